/*
 * pool: equal values made once. Base data repeats itself (keys, roles, whole records): while it is read or copied, a
 * pool remembers what was made last and hands it out again. It is a cache of a fixed size, not a set: what it has
 * forgotten is made a second time. Values outlive it.
 *
 *     struct val_pool *p = val_pool_new(text.n);
 *     … v = val_pooled(p, v) … for each value whose parts came out of the pool
 *     val_pool_free(p);
 */
#ifndef SEXTANT_REGO_POOL_H
#define SEXTANT_REGO_POOL_H

#include "authz/rego/value/value.h"

struct val_pool;

/* `bytes`: of the text or data that will be read; how much there is to remember follows from it. */
struct val_pool *val_pool_new(size_t bytes);
void val_pool_free(struct val_pool *p); /* NULL is fine */

/* An equal value that was made earlier, or `v` itself, which is now remembered. */
struct val val_pooled(struct val_pool *p, struct val v);

#endif
