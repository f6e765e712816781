/* The daemon around the service: configuration, sockets, signer, exports. One thread, one loop. */
#ifndef SEXTANT_AUDIT_DAEMON_H
#define SEXTANT_AUDIT_DAEMON_H

#include "lib/daemon/daemon.h"
#include "lib/http/client.h"
#include "lib/http/http.h"
#include "lib/http/router.h"
#include "lib/loop/loop.h"
#include "service.h"

enum {
    AUDIT_BODY_MAX = 4 << 20, /* bytes of one intake request */
    AUDIT_PAGE_MAX = 1000,    /* events in one answer of GET /v1/events */
    AUDIT_WAIT_MAX_S = 60,    /* of a long poll */
    AUDIT_WAITERS_MAX = 256,
};

struct audit_config {
    struct str listen, origin, key_name, syslog, syslog_file, facility;
    int64_t checkpoint_ns;
    struct config_list readers;
    struct config_items expect; /* of struct expect_config */
};

struct expect_config {
    struct str identity;
    struct config_list secrets, namespaces, resources, regions;
};

extern const struct config_key audit_keys[];

struct signer;
struct exporter;
struct waiter;

struct audit {
    struct daemon *d;
    const struct audit_config *config;
    struct service *service;
    struct expectations expected;
    struct str origin;
    struct router router;
    struct http_server *http;
    struct tls_server *tls;
    struct signer *signer;
    struct exporter *file_export, *syslog_export;
    struct waiter *waiters;
    size_t n_waiters;
    struct timer *tick;
    bool commit_due;
};

struct str audit_origin(struct arena *a, const struct daemon *d);
/* Turns the configured expectations into those of the detector; memory of the boot arena. */
void audit_expectations(struct daemon *d, struct expectations *out);

/* intake.c */
void audit_wake(void *ctx); /* a commit is wanted in this turn of the loop */
void intake_post(struct http_req *req, void *ctx);

/* api.c */
void api_routes(struct audit *a);
void api_committed(struct audit *a, uint64_t size); /* wakes long polls */
void api_release(struct audit *a);
/* May this caller read events? Answers 401 or 403 itself when not. */
bool api_may_read(struct audit *a, struct http_req *req);

/* signer.c: keeps the checkpoint fresh with the key that lives in crypto. */
struct err signer_new(struct audit *a, struct signer **out);
void signer_free(struct signer *s);
void signer_step(struct signer *s); /* called by the tick */
/* The log's verifier key: false until crypto has been seen once. */
bool signer_key(const struct signer *s, struct note_key *out);

/* export.c: events to a receiver, in order, from a cursor that survives restarts. */
struct err exporter_file(struct audit *a, struct str path, struct exporter **out);
struct err exporter_syslog(struct audit *a, struct str address, struct exporter **out);
void exporter_step(struct exporter *e);
void exporter_free(struct exporter *e); /* NULL ok */

/* sandbox.c */
const struct sandbox_profile *audit_sandbox(struct arena *a, const struct config *c,
                                            const void *section);

extern const struct daemon_command audit_commands[];

#endif
