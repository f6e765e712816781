/* manage_priv: what the files of manage share. */
#ifndef SEXTANT_AUTHZ_MANAGE_PRIV_H
#define SEXTANT_AUTHZ_MANAGE_PRIV_H

#include "activate.h"
#include "loader.h"
#include "logs.h"
#include "manage.h"
#include "mask.h"

enum { STATUS_QUIET_MS = 50, STATUS_ERRORS_MAX = 10, EVENT_MEMORY_MAX = 512 << 20 };

/* What the status says of a bundle, or of discovery. Times are wall clock, 0: never. */
struct source_status {
    int64_t requested_ns, ok_request_ns, downloaded_ns, activated_ns;
    int64_t request_took_ns, load_took_ns, compile_took_ns;
    char revision[256];
    const char *type;
    size_t size;
    bool failed;
    int http_code;
    char message[1024];
    struct buf errors; /* JSON array, or empty */
    uint64_t loads, failures;
};

/* One bundle of the configuration, or the discovery bundle. */
struct source {
    struct manage *m;
    struct source *next;
    const struct bundle_settings *settings;
    struct loader *loader;
    struct service *service;
    struct source_status status;
    struct loaded last; /* while it is being put in force */
    struct save_job *saving;
    bool discovery;
};

struct manage {
    struct loop *loop;
    struct authz *z;
    struct manage_opts o;
    char directory[1024];
    struct settings **all; /* every configuration there was: services and loaders point into them */
    size_t n_all;
    struct settings *now, *boot; /* of `all` */
    struct service **services;
    size_t n_services;
    struct activator *activator;
    struct source *sources, *discovery;
    struct logs *logs;
    struct service *logs_service;
    struct authz_plugin bundle_plugin, discovery_plugin, logs_plugin, status_plugin;
    struct buf not_activated;
    struct val labels; /* with id and version */
    struct arena label_memory;
    uint64_t requests; /* numbers decisions */
    char logs_error[1024];
    int logs_code;
    bool logs_failed, logs_tried;
    struct timer *status_timer;
    struct service_request *status_request;
    bool status_again;
    uint64_t rules_revision; /* of the store, when it was last looked whether there are masks */
    bool has_mask, has_drop;
};

/* manage.c */
struct service *manage_service(struct manage *m, struct str name);
void manage_ready(struct manage *m); /* says which plugins are up */
/* Another configuration: what is the same in both goes on. */
struct err manage_apply(struct manage *m, struct settings *s);
/* The same with a configuration that was discovered; it is kept, also on failure. */
struct err manage_rediscover(struct manage *m, struct settings *s);

/* source.c */
struct source *source_new(struct manage *m, const struct bundle_settings *s, bool discovery);
void source_free(struct source *s);
void source_start(struct source *s);
void source_make_folders(const char *path);
void source_rest(struct source *s, const struct activated *r); /* it is in force, or not */

/* discovery.c */
void discovery_found(struct source *s, const struct bundle *b);

/* event.c */
struct err event_log(void *ctx, const struct decision *d, const struct http_req *req);

/* status.c */
void status_changed(struct manage *m);
void status_write(void *ctx, struct buf *out);
void status_metrics(void *ctx, struct buf *out);
struct str time_text(struct arena *a, int64_t wall_ns); /* RFC 3339 with nanoseconds, UTC */
/* Parts of a decision's event that most decisions have not; VAL_UNDEF: none. */
struct console_parts {
    struct val bundles, custom, error, context;
};
/* The decision as a line on stderr, when nothing masks or drops it; it leaves before its reply. */
void console_decision(struct manage *m, const struct decision *d, const struct http_req *req,
                      const struct console_parts *p);
/* A line of JSON on stderr, as OPA's console has them. */
void console_line(struct arena *a, struct val fields, const char *message, const char *type);

#endif
