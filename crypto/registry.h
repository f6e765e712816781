/*
 * registry: the sealed records of the keys, in SQLite. It sees names and sealed bytes, nothing else.
 * A change is one group commit; `done` comes when it is durable.
 */
#ifndef SEXTANT_CRYPTO_REGISTRY_H
#define SEXTANT_CRYPTO_REGISTRY_H

#include "lib/base/arena.h"
#include "lib/base/err.h"

struct loop;
struct registry;

struct err registry_open(const char *path, struct loop *loop /* NULL: commits at once */,
                         struct registry **out);
void registry_close(struct registry *r); /* NULL ok */

/* What changes for one key. Empty slices change nothing. Must live until `done`. */
struct registry_change {
    struct str name;
    struct str meta;  /* the new rules */
    uint32_t version; /* with `material`: a new version */
    struct str material;
    uint32_t trim_below; /* versions below this one are deleted; 0: none */
    bool is_new;         /* the key must not be there yet */
    bool remove;         /* the key and all its versions are deleted */
};
void registry_apply(struct registry *r, const struct registry_change *c,
                    void (*done)(void *ctx, struct err e), void *ctx);

/* Every key: each(meta) once, then version(...) ascending. The first error ends it. */
struct registry_reader {
    struct err (*meta)(void *ctx, struct str name, struct str sealed);
    struct err (*version)(void *ctx, struct str name, uint32_t n, struct str sealed);
    void *ctx;
};
struct err registry_read(struct registry *r, const struct registry_reader *reader);
struct err registry_has(struct registry *r, struct str name, bool *out);

#endif
