/*
 * loader: one bundle, fetched again and again: from a service with ETags, long polls and back-off, or from the
 * disk (file://…), where it is looked at for changes. What is slow (unpacking, checking signatures, parsing) is
 * done on a thread of the pool, so that requests go on.
 *
 * Its owner decides what becomes of a bundle and tells loader_done() how that went.
 */
#ifndef SEXTANT_AUTHZ_LOADER_H
#define SEXTANT_AUTHZ_LOADER_H

#include "service.h"

enum {
    LOADER_RETRY_MS = 100,     /* the first delay after a failure; then it doubles */
    LOADER_SUPERSEDED_MAX = 8, /* replaced etags that are still sent */
    LOADER_ETAG_MAX = 1024,
    LOADER_FILE_POLL_MS = 1000,
};

/* What came of one attempt. */
struct loaded {
    struct bundle *bundle;      /* NULL: nothing new (304), or an error; borrowed */
    const char *error;          /* NULL: none */
    struct rego_errors *errors; /* of modules, with the error; may be NULL */
    int http_code;              /* of an error that is a status; 0: none */
    struct buf *raw; /* the archive, for keeping it on disk: may be moved out; NULL: none */
    size_t size;
    int64_t request_ns, load_ns; /* how long it took */
};

struct loader;
struct loader_opts {
    const struct bundle_settings *settings; /* outlives the loader */
    struct service *service;                /* NULL for file:// */
    enum rego_version version;
    bool skip_verify;
    /* loader_done() must be called for each, now or later; the next attempt waits for it. */
    void (*got)(void *ctx, const struct loaded *l);
    void *ctx;
};

struct loader *loader_new(struct loop *l, const struct loader_opts *o, struct str etag);
void loader_start(struct loader *l);   /* the first attempt now, unless its trigger is manual */
void loader_trigger(struct loader *l); /* an attempt now */
/* The outcome: `ok` false sets back to the etag that is in force and retries soon. */
void loader_done(struct loader *l, bool ok);
void loader_free(struct loader *l); /* NULL is fine */

#endif
