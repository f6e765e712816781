/*
 * manage: OPA's management interfaces of a running server: bundles, discovery, decision logs, status.
 *
 *     struct manage *m;
 *     TRY(manage_new(loop, z, &settings, &options, &m));         bundles are fetched from now on
 *     …
 *     manage_flush(m, stop, ctx);                  the last decision logs leave
 *     manage_free(m);                              before the server and its store
 *
 * All of it lives in the server's event loop. Unpacking, verifying, parsing and compiling are done on threads of
 * the loop's pool, on memory of their own; what they made is handed over by a pointer, so that no decision waits
 * for a bundle.
 */
#ifndef SEXTANT_AUTHZ_MANAGE_H
#define SEXTANT_AUTHZ_MANAGE_H

#include "authz/authz.h"
#include "settings.h"

struct manage;

struct manage_opts {
    const char *directory; /* for what persists; NULL: the settings' persistence_directory */
    bool skip_verify;      /* signatures are not looked at */
};

/* The settings are taken over (also on failure): they must have been allocated with malloc. */
struct err manage_new(struct loop *l, struct authz *z, struct settings *s,
                      const struct manage_opts *o, struct manage **out);
void manage_reloaded(
    struct manage *m); /* z->config is another: what the settings say of it goes there */
void manage_flush(struct manage *m, void (*done)(void *ctx), void *ctx);
void manage_free(struct manage *m); /* NULL is fine */
/* Longest time that the loop was held by putting bundles in force. */
int64_t manage_longest_ns(const struct manage *m);

#endif
