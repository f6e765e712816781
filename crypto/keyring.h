/*
 * keyring: all keys, and the answers to messages about them. This is the part of crypto that sees
 * private keys; it does no input or output, so it is the same in the key process, in `init`, in tests
 * and under the fuzzer.
 *
 * Every message names its caller. Administrators (ids given at start) may make, grant, delete,
 * change, rotate and read keys, but not use them; everyone else may do what a grant of the key says.
 * A change does not take effect by itself: its answer holds new sealed records, which the
 * front stores and then loads (WIRE_LOAD_META, WIRE_LOAD_VERSION), so that memory never runs ahead of disk.
 */
#ifndef SEXTANT_CRYPTO_KEYRING_H
#define SEXTANT_CRYPTO_KEYRING_H

#include "lib/base/buf.h"
#include "lib/base/secret.h"

struct keyring;

/* Takes over `seal`. `admins` is copied. */
struct keyring *keyring_new(struct secret *seal, const struct str *admins, size_t n);
void keyring_free(struct keyring *kr); /* wipes; NULL ok */

/* Appends the reply to `reply`, always exactly one, whatever the request. */
void keyring_handle(struct keyring *kr, struct str request, struct buf *reply);

/* Bits of WIRE_CONFIG's mask, one a field, in the order the values follow (64 bits each). */
enum keyring_config {
    KEYRING_MIN_DECRYPTION = 1 << 0,
    KEYRING_MIN_ENCRYPTION = 1 << 1,
    KEYRING_DELETION_ALLOWED = 1 << 2,
    KEYRING_AUTO_ROTATE = 1 << 3,
    KEYRING_CONFIG_ALL = (1 << 4) - 1,
};

#endif
