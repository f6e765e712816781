/*
 * secret: bytes that must not leak. A type of its own, so that printing one does not compile.
 *
 * The bytes live between guard pages, locked in memory, left out of core files and of forked
 * children, and are wiped when released (libsodium's guarded heap). They are small (keys,
 * passwords, tokens): at most SECRET_MAX bytes each.
 *
 *     struct secret key;
 *     TRY(secret_random(&key, 32));
 *     use(secret_bytes(&key));      the slice dies with the secret; never keep or copy it
 *     secret_release(&key);
 */
#ifndef SEXTANT_SECRET_H
#define SEXTANT_SECRET_H

#include "err.h"

enum { SECRET_MAX = 64 * 1024 };

struct secret {
    unsigned char *guarded; /* owned */
    size_t n;
};

#define SECRET_EMPTY ((struct secret){NULL, 0})

/* Process-wide hardening: no core files, not dumpable, not traceable by the same uid. */
struct err secret_harden_process(void);

struct err secret_random(struct secret *out, size_t n); /* ERR_LIMIT over SECRET_MAX */
struct err secret_copy(struct secret *out, struct str bytes);
struct err secret_zeroed(struct secret *out, size_t n); /* to be filled through secret_mutable */
void secret_release(struct secret *s);                  /* wipes; harmless on an empty one */

static inline struct str secret_bytes(const struct secret *s)
{
    return (struct str){(const char *)s->guarded, s->n};
}

static inline unsigned char *secret_mutable(struct secret *s)
{
    return s->guarded;
}

bool secret_equal(const struct secret *a, struct str b); /* constant time for equal lengths */

/* Wipes ordinary memory in a way the compiler may not remove. */
void wipe(void *p, size_t n);

#endif
