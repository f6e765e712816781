/* keyring_priv: what keyring.c (dispatch, use) and keyring_admin.c (changes) share. */
#ifndef SEXTANT_CRYPTO_KEYRING_PRIV_H
#define SEXTANT_CRYPTO_KEYRING_PRIV_H

#include "key.h"
#include "keyring.h"
#include "wire.h"

#include "lib/base/map.h"

struct keyring {
    struct secret seal;
    struct map keys; /* name -> struct ckey */
    char **admins;
    size_t n_admins;
};

/* One message at work. `key` is NULL when there is none of that name. */
struct request {
    struct str caller, name;
    struct ckey *key;
    struct wire_reader body;
};

bool keyring_is_admin(const struct keyring *kr, struct str caller);
/* ERR_DENIED unless the caller is an administrator or the key grants one of `ops`. */
struct err keyring_may(const struct keyring *kr, const struct request *q, uint32_t ops);
struct err
keyring_end(const struct request *q); /* ERR_SYNTAX unless the body was read to its end */

struct err keyring_load_meta(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_load_version(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_drop(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_create(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_rotate(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_config(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_trim(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_grant(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_delete(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_read(struct keyring *kr, struct request *q, struct buf *out);
struct err keyring_list(struct keyring *kr, struct request *q, struct buf *out);

#endif
