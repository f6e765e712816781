/*
 * hasher: Argon2id on the pool of threads, a bounded number at a time, so that logins can neither
 * stall the loop nor take more memory than hash_workers times hash_memory.
 *
 * A check of an unknown or disabled user runs against a hash made at start from a random password,
 * with the same parameters: it takes the same time and always fails.
 */
#ifndef SEXTANT_AUTHN_HASHER_H
#define SEXTANT_AUTHN_HASHER_H

#include "lib/base/secret.h"

struct hasher;
struct loop;

struct hasher_opts {
    int64_t memory_kib, passes, workers;
};

enum { PASSWORD_HASH_MAX = 128 };

/* `loop` NULL: work is done at once (tests, commands). */
struct err hasher_new(struct loop *loop, const struct hasher_opts *o, struct hasher **out);
void hasher_free(struct hasher *h);

/* The password is moved out of `*password` and wiped when done. ERR_BUSY at once when the queue is full. */
struct err hasher_make(struct hasher *h, struct secret *password,
                       void (*done)(void *ctx, struct err e, struct str hash), void *ctx);
/*
 * `hash` empty: nobody. done's `match` tells whether the password fits; `renewed`, when not empty, is a
 * hash of it under today's parameters, to be stored in place of the one that was checked.
 */
struct err hasher_check(struct hasher *h, struct str hash, struct secret *password,
                        void (*done)(void *ctx, struct err e, bool match, struct str renewed),
                        void *ctx);

/* Length and text: PASSWORD_MIN to PASSWORD_MAX bytes of UTF-8 without NUL; not the user's name. */
struct err password_check(struct str password, struct str user_name);

#endif
