/*
 * service: requests to a service of the configuration: base URL, headers, credentials, TLS.
 *
 *     struct service_call c = {.method = "GET", .path = b->resource, .done = got, .ctx = x};
 *     struct service_request *r = service_send(svc, &c);
 *
 * `done` runs once, later, unless the request was cancelled. A token of OAuth 2 is fetched when it is needed and
 * kept until it ends; requests that wait for one are sent when it is there.
 */
#ifndef SEXTANT_AUTHZ_SERVICE_H
#define SEXTANT_AUTHZ_SERVICE_H

#include "lib/http/client.h"
#include "settings.h"

enum { SERVICE_HEADERS_MAX = 64, SERVICE_HEAD_OF_BODY_MS = 120 * 1000 };

struct service;
struct service_request;

struct service_result {
    int status;
    const struct http_header *headers;
    size_t n_headers;
    struct str body;
    struct buf
        *whole; /* the body's memory: may be moved out (the caller then releases it), or NULL */
};

struct service_call {
    const char *method;
    struct str path; /* below the service's URL; slashes at its ends don't count */
    const struct http_header *headers;
    size_t n_headers;
    struct str body, content_type;
    int64_t head_ms; /* how long the head of the reply may take; 0: of the settings; -1: no limit */
    size_t body_max;
    /* `error` (OPA's words) when there is no reply; res dies with the callback. */
    void (*done)(void *ctx, const char *error, const struct service_result *res);
    void *ctx;
};

/* The settings must outlive the service. ERR for certificates and keys that cannot be read. */
struct err service_new(struct loop *l, const struct service_settings *s, struct service **out);
void service_free(struct service *s); /* pending requests end without a call of `done` */
struct service_request *service_send(struct service *s, const struct service_call *c);
void service_cancel(struct service_request *r); /* NULL is fine; `done` will not run */
struct str service_header(const struct service_result *res, const char *lower_name);
struct str service_name(const struct service *s);

#endif
