/*
 * activate: bundles put in force, several at once, without holding up requests.
 *
 * What was offered waits until the compiler is free; then all of it is compiled at one go on a thread of the
 * pool, from the sources in force and the bundles' modules. Then policy and data change by a few pointers, on the
 * loop: the data of a bundle is never copied. If the store changed meanwhile, it is done again. When several
 * together do not compile, each is tried alone, so that a broken one does not hold the others back.
 */
#ifndef SEXTANT_AUTHZ_ACTIVATE_H
#define SEXTANT_AUTHZ_ACTIVATE_H

#include "authz/bundle/bundle.h"
#include "authz/store.h"
#include "lib/loop/loop.h"

enum { ACTIVATE_TRIES = 20, ACTIVATE_BATCH_MAX = 1000 };

struct activator;

/* How it went. `error` NULL: in force. */
struct activated {
    const char *error;
    const struct rego_errors *errors; /* of modules; NULL: none */
    int64_t compile_ns;
};

struct activator *activator_new(struct loop *l, struct authz_store *s);
void activator_free(struct activator *a); /* NULL is fine; the store keeps no data of bundles */
/*
 * Puts the bundle (counted: a reference is taken) in force under its name, a delta on the snapshot in force.
 * done(ctx, …) runs later, once.
 */
void activator_offer(struct activator *a, struct bundle *b,
                     void (*done)(void *ctx, const struct activated *r), void *ctx);
/* Takes bundles out of force that are not in `names`. */
void activator_retain(struct activator *a, const struct str *names, size_t n);
/* Forgets callbacks of this ctx: who would hear is gone. */
void activator_forget(struct activator *a, const void *ctx);
const struct bundle *activator_find(const struct activator *a, struct str name);
size_t activator_count(const struct activator *a);
const struct bundle *activator_at(const struct activator *a, size_t i);
int64_t activator_longest_ns(const struct activator *a); /* time the loop was held by a change */

#endif
