/*
 * transit: what identity asks of the crypto daemon, through the Vault Transit API on its unix socket.
 *
 * Private keys stay there: a digest goes out, a signature comes back. Answers are checked before they
 * are believed, since a broken neighbour must not make us hand out broken credentials.
 */
#ifndef SEXTANT_IDENTITY_TRANSIT_H
#define SEXTANT_IDENTITY_TRANSIT_H

#include "lib/base/trace.h"
#include "lib/http/client.h"
#include "lib/x509/key.h"

enum { TRANSIT_VERSIONS_MAX = 16, TRANSIT_ANSWER_MAX = 256 * 1024, TRANSIT_TIMEOUT_MS = 5000 };

struct transit {
    struct http_client *http;
    const char *socket; /* "unix:/run/sextant/crypto/crypto.sock" */
    bool name_self;     /* several daemons share our uid: say which one we are */
};

struct transit_keys {
    struct key *keys[TRANSIT_VERSIONS_MAX]; /* public; borrowed by the callback */
    uint64_t versions[TRANSIT_VERSIONS_MAX];
    size_t n;
    uint64_t latest;
};

/* Public keys of all live versions of key `name`. */
void transit_keys(struct transit *t, const char *name,
                  void (*done)(void *ctx, struct err e, const struct transit_keys *keys),
                  void *ctx);
/* ECDSA on P-256 over a SHA-256 digest; the signature is DER. version 0: the latest. */
void transit_sign(struct transit *t, const char *name, uint64_t version, const uint8_t sha256[32],
                  const struct trace *trace,
                  void (*done)(void *ctx, struct err e, struct str signature, uint64_t version),
                  void *ctx);

#endif
