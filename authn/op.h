/*
 * op: one request on its way through the daemon.
 *
 * An operation owns everything it needs (its arena), so it survives a client that goes away while
 * a password is hashed or a commit is under way. It ends exactly once, by op_end: the audit event
 * is durable first, then the answer leaves.
 *
 *     struct op *op = op_new(n, req);
 *     op_json(op, 200, body);
 *     op_end(op, "token", "allowed", STR_EMPTY);
 */
#ifndef SEXTANT_AUTHN_OP_H
#define SEXTANT_AUTHN_OP_H

#include "lib/http/http.h"
#include "lib/json/json.h"
#include "lib/telemetry/audit.h"

#include "authn.h"
#include "params.h"

enum { OP_HEADERS_MAX = 12 };

struct op {
    struct arena arena;
    struct authn *n;
    struct http_req *req; /* NULL when the client is gone */
    struct str method, path, source, peer_id /* SPIFFE id of the caller; empty */, origin, bearer,
        basic;
    bool bearer_twice;
    struct str session_cookie, browser_cookie, fetch_site;
    struct trace trace;
    uid_t uid; /* of a caller on a unix socket; (uid_t)-1 */
    bool form; /* the body is a form */
    struct params params;
    struct str body;       /* of JSON requests */
    struct client *client; /* counted; NULL */
    struct audit_event event;
    struct http_header headers[OP_HEADERS_MAX];
    size_t n_headers;
    int status;
    struct str content_type, answer;
    bool wipe_answer; /* it holds a secret */
    void (*then)(struct op *op, struct err e);
    struct err (*write)(struct op *op);
    void *state; /* of the endpoint, in the arena */
    struct op *next_watcher;
    struct timer *timer;
    int64_t after;
};

struct op *op_new(struct authn *n, struct http_req *req);
/* Query and form into params. On failure the answer (400) has been prepared: end the operation. */
struct err op_params(struct op *op, bool with_query);
/* Body as JSON object. */
struct err op_body_json(struct op *op, struct json **out);

/* Scripts of any origin may read the answer: for endpoints that no cookie opens. */
void op_cross_origin(struct op *op);
void op_preflight(struct http_req *req, void *ctx); /* the handler of OPTIONS for those */

void op_header(struct op *op, const char *name, struct str value);
void op_answer(struct op *op, int status, struct str content_type, struct str body);
void op_json(struct op *op, int status, const struct buf *body);
void op_redirect(struct op *op, struct str location); /* 303 */
/* RFC 6749 section 5.2: {"error":…,"error_description":…}. */
void op_oauth_error(struct op *op, int status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
/* For admin answers: {"error": detail of e}. */
void op_error(struct op *op, struct err e);

/* write(op) within the group commit, then then(op, result) once it is durable. */
void op_store(struct op *op, struct err (*write)(struct op *op),
              void (*then)(struct op *op, struct err e));
/* One audit event on the way, then then(op, result). */
void op_audit(struct op *op, const char *activity, const char *outcome, struct str reason,
              void (*then)(struct op *op, struct err e));
/* The event, then the answer. Without audit there is no answer but 503. */
void op_end(struct op *op, const char *activity, const char *outcome, struct str reason);
/* As op_end with the detail of a failure that is ours: 503 or 500. */
void op_fail(struct op *op, const char *activity, struct err e);
/* The answer alone: for what decides nothing (pages, discovery). */
void op_send(struct op *op);

#endif
