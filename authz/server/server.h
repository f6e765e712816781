/*
 * server: what the handlers of the REST API share. Facts of the wire follow OPA 1.22: error bodies are indented by two
 * blanks, values are one line, object keys are sorted, < > & are escaped.
 */
#ifndef SEXTANT_AUTHZ_SERVER_H
#define SEXTANT_AUTHZ_SERVER_H

#include "authz/authz.h"
#include "authz/rego/trace.h"

enum { PATH_SEGMENTS_MAX = 256, REPLY_MAX = 1 << 30 };

/* ---- parameters of the query string ---- */

struct params {
    bool pretty, metrics, instrument, provenance, strict, rule_labels, why;
    bool bundles, plugins; /* /health */
    enum rego_explain explain;
};
void params_read(const struct http_req *req, struct params *p);
/* The next parameter of `*rest`, decoded; pairs that are wrongly escaped or hold a ';' are passed over, as Go does. */
bool param_next(struct arena *a, struct str *rest, struct str *name, struct str *v);

/* ---- paths ---- */

/* What of the raw path follows `prefix`, without the slash between. */
struct str path_rest(const struct http_req *req, const char *prefix);
/*
 * Segments of an escaped path, each decoded on its own; whole numbers are numbers. A segment with a quotation mark is
 * refused: *bad is that segment.
 */
bool path_values(struct arena *a, struct str path, struct val *out, size_t *n, struct str *bad);
/* The same as names in the base data: all strings. */
bool path_names(struct arena *a, struct str path, struct str *out, size_t *n);
/* data.a["b-c"] for messages. */
struct str path_ref(struct arena *a, const struct val *path, size_t n);

/* ---- bodies ---- */

/* The body, unpacked. False: *why says what is wrong with it ("could not decompress the body: …"). */
bool body_read(const struct authz *z, const struct http_req *req, struct arena *a, struct str *out,
               struct str *why);
bool body_is_yaml(const struct http_req *req);
/*
 * A JSON or YAML document in the words of Go's decoder: what follows the first value is not read. An empty body gives
 * VAL_UNDEF. False: *why ("unexpected EOF", "invalid character '@' looking for beginning of value").
 */
bool body_parse(struct arena *a, struct str text, bool yaml, struct val *out, struct str *why);
/* The whole of a text must be one JSON value: of parameters. */
bool json_parse_whole(struct arena *a, struct str text, struct val *out, struct str *why);
/* What Go says of a text that is no JSON; OK with *first when a whole value stands at its beginning. */
bool go_json_scan(struct arena *a, struct str text, struct str *first, struct str *why);
const char *go_json_kind(struct val v); /* "array", "bool", "number", "string", "object" */

/* ---- replies ---- */

void reply_error(struct http_req *req, int status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void reply_errors(struct http_req *req, int status, const char *code, const char *message,
                  const struct rego_errors *errors);
/* 500 with the error of an evaluation. */
void reply_eval_error(struct http_req *req, const struct rego_error *e);
/* JSON that is complete but for its newline; takes and frees the buf. */
void reply_value(struct authz *z, struct http_req *req, int status, struct buf *body, bool pretty);
/* The same, of a body that is complete and stays the caller's. */
void reply_json(struct authz *z, struct http_req *req, int status, struct str body);
void reply_no_content(struct http_req *req);
/* Puts blanks and lines into JSON text, keeping the order of its members. */
void json_indent(struct buf *out, struct str text);

void put_provenance(const struct authz *z, struct buf *b);
void put_labels(const struct authz *z, struct buf *b);

/* ---- who asks ---- */

/* Authentication and authorization as configured: false after a reply. */
bool gate_pass(struct authz *z, struct http_req *req);

/* ---- times and counts ---- */

enum handler_label {
    HANDLER_CATCHALL,
    HANDLER_V0_DATA,
    HANDLER_V1_DATA,
    HANDLER_V1_QUERY,
    HANDLER_V1_POLICIES,
    HANDLER_V1_COMPILE,
    HANDLER_V1_CONFIG,
    HANDLER_V1_STATUS,
    HANDLER_INDEX,
    HANDLER_HEALTH,
    HANDLER_AUTHZ,
    HANDLER_BATCH,
    HANDLERS,
};
void meter_begin(struct http_req *req);
void meter_label(struct http_req *req, enum handler_label l);
void meter_observe(enum handler_label l, struct str method, int status, int64_t ns);
void meters_write(struct buf *out);

/* Timers of one request, for ?metrics: nanoseconds. */
struct timers {
    int64_t begin_ns; /* 0: nobody asks, nothing is measured */
    int64_t parse_ns, prepare_ns, compile_ns, eval_ns, handler_ns;
    bool cached;
};
void put_metrics(struct buf *b, const struct timers *t);

/* ---- routes ---- */

void data_read(struct http_req *req, void *z);  /* GET and POST /v1/data/… */
void data_write(struct http_req *req, void *z); /* PUT, PATCH, DELETE */
void data_v0(struct http_req *req, void *z);
void data_default(struct http_req *req, void *z);
void data_batch(struct http_req *req, void *z);
void policy_routes(struct authz *z, struct router *r);
void query_routes(struct authz *z, struct router *r);
void health_routes(struct authz *z, struct router *r);
void state_routes(struct authz *z, struct router *r);
void compile_routes(struct authz *z, struct router *r);

/* The second evaluator of the policies in force, made when it is first asked for. */
const struct rego_topdown *topdown_of(struct authz *z);

#endif
