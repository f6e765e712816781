/* The Data API: /v1/data, /v0/data and the default decision. */
#include "lib/base/codec.h"
#include "lib/json/json.h"
#include "lib/yaml/yaml.h"

#include "authz.h"

#include <stdlib.h>

enum { PATH_SEGMENTS_MAX = 256, REPLY_MAX = 1 << 30 };

/* A decision on its way out: it waits for its audit event. */
struct answer {
    struct http_req *req; /* NULL when the client has gone */
    struct authz *z;
    struct decision d;
    struct arena *memory; /* of the evaluation */
    bool v0, warn;
    struct str ref; /* data.a.b, for messages */
};

static void answer_free(struct answer *x)
{
    arena_release(x->memory);
    free(x->memory);
    free(x);
}

static void client_gone(void *ctx)
{
    ((struct answer *)ctx)->req = NULL;
}

static void reply_failed(struct answer *x)
{
    struct rego_errors errors = {.a = x->req->arena};
    const struct rego_error *e = &x->d.eval.error;
    rego_errors_add(&errors, e->code, e->file, e->loc, "%.*s", STR_FMT(e->message));
    reply_errors(x->req, 500, "internal_error", "error(s) occurred while evaluating query",
                 &errors);
}

static void put_member(struct buf *b, const char *name, bool *first)
{
    buf_printf(b, "%s\"%s\":", *first ? "" : ",", name);
    *first = false;
}

static void pretty(struct arena *a, struct buf *b)
{
    struct val v;
    struct str text = arena_str(a, buf_str(b));
    if (!failed(val_from_json(a, text, &v))) {
        buf_clear(b);
        val_to_json_pretty(b, v, "  ", true);
    }
}

static void reply_result(struct answer *x)
{
    struct buf b;
    bool first = true;
    buf_init(&b, REPLY_MAX);
    if (x->v0) {
        val_to_json(&b, x->d.result, true);
    } else {
        buf_putc(&b, '{');
        if (x->z->audit != NULL) {
            put_member(&b, "decision_id", &first);
            val_json_string(&b, str_of(x->d.id), true);
        }
        if (query_flag(x->req, "provenance")) {
            put_member(&b, "provenance", &first);
            buf_puts(&b, S("{\"version\":\"1.22.2\",\"build_commit\":\"\",\"build_timestamp\":\"\","
                           "\"build_hostname\":\"\"}"));
        }
        if (!val_undef(x->d.result)) {
            put_member(&b, "result", &first);
            val_to_json(&b, x->d.result, true);
        }
        if (x->warn) {
            put_member(&b, "warning", &first);
            buf_puts(&b, S("{\"code\":\"api_usage_warning\",\"message\":\"'input' key missing from "
                           "the request\"}"));
        }
        buf_putc(&b, '}');
    }
    if (query_flag(x->req, "pretty")) {
        pretty(x->req->arena, &b);
    }
    buf_putc(&b, '\n');
    reply_value(x->req, 200, &b);
}

static void recorded(void *ctx, struct err e)
{
    struct answer *x = ctx;
    if (x->req != NULL) {
        if (failed(e)) {
            reply_error(x->req, 500, "internal_error", "the decision could not be recorded");
        } else if (x->d.eval.failed) {
            reply_failed(x);
        } else if (x->v0 && val_undef(x->d.result)) {
            reply_error(x->req, 404, "undefined_document", "document %.*s", STR_FMT(x->ref));
        } else {
            reply_result(x);
        }
    }
    answer_free(x);
}

/* Segments of the escaped path, each decoded on its own; whole numbers are numbers. */
static bool path_of(struct http_req *req, struct str path, struct val *out, size_t *n)
{
    *n = 0;
    while (path.p != NULL) {
        struct str part = str_split(&path, '/'), text;
        if (part.n == 0) {
            continue;
        }
        struct num number;
        bool ok = *n < PATH_SEGMENTS_MAX &&
                  !failed(percent_decode(req->arena, part, false, &text)) &&
                  str_find_char(text, '"') == STR_NPOS;
        if (!ok) {
            reply_error(req, 400, "invalid_parameter", "invalid path");
            return false;
        }
        bool numeric = !failed(num_parse(text, &number)) && number.kind == NUM_I64;
        out[(*n)++] = numeric ? val_int(req->arena, number.i) : val_str(req->arena, text);
    }
    return true;
}

static struct str ref_text(struct arena *a, const struct val *path, size_t n)
{
    struct str s = S("data");
    for (size_t i = 0; i < n; i++) {
        bool plain = val_is(path[i], V_STRING);
        struct str t = plain ? val_text(path[i]) : val_rego_text(a, path[i]);
        for (size_t k = 0; plain && k < t.n; k++) {
            char c = t.p[k];
            plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                    (k > 0 && c >= '0' && c <= '9');
        }
        s = plain ? arena_printf(a, "%.*s.%.*s", STR_FMT(s), STR_FMT(t))
                  : arena_printf(a, "%.*s[%.*s]", STR_FMT(s), STR_FMT(val_rego_text(a, path[i])));
    }
    return s;
}

static struct str slash_path(struct arena *a, const struct val *path, size_t n)
{
    struct str s = STR_EMPTY;
    for (size_t i = 0; i < n; i++) {
        struct str t = val_is(path[i], V_STRING) ? val_text(path[i]) : val_rego_text(a, path[i]);
        s = arena_printf(a, "%.*s%s%.*s", STR_FMT(s), i > 0 ? "/" : "", STR_FMT(t));
    }
    return s;
}

static struct answer *answer_new(struct authz *z, struct http_req *req)
{
    struct answer *x = calloc(1, sizeof *x);
    BUG_ON(x == NULL);
    x->memory = calloc(1, sizeof *x->memory);
    BUG_ON(x->memory == NULL);
    x->z = z;
    x->req = req;
    arena_init(x->memory, (size_t)z->config->eval_memory);
    return x;
}

static void decide_and_answer(struct answer *x, const struct val *path, size_t n, struct val input)
{
    struct http_req *req = x->req;
    x->ref = ref_text(x->memory, path, n);
    x->d.path = slash_path(x->memory, path, n);
    decide(x->z, path, n, input, query_flag(req, "strict-builtin-errors"), x->memory, &x->d);
    if (x->v0 && val_undef(x->d.result) && !x->d.eval.failed) {
        /* Whether rules stand there is asked now: policies may change while the event is on its way. */
        bool rules = rego_path_has_rules(x->z->store.image->policy, path, n);
        x->ref =
            arena_printf(x->memory, "%s: %.*s", rules ? "undefined" : "missing", STR_FMT(x->ref));
    }
    http_on_abort(req, client_gone, x);
    decision_record(x->z, &x->d, req, recorded, x);
}

static bool is_yaml(const struct http_req *req)
{
    return str_find(http_header_get(req, "content-type"), S("yaml")) != STR_NPOS;
}

/* The body as a value. Replies and returns false when it is malformed. */
static bool body_value(struct answer *x, struct val *out)
{
    struct http_req *req = x->req;
    if (is_yaml(req)) {
        struct json *docs;
        struct err e = yaml_parse(x->memory, req->body, S("body"), NULL, &docs);
        if (failed(e)) {
            reply_error(req, 400, "invalid_parameter", "body contains malformed input document: %s",
                        err_detail());
            return false;
        }
        struct buf text;
        buf_init(&text, REPLY_MAX);
        if (docs->n > 0) {
            json_write(&text, docs->items[0]);
        }
        e = val_from_json(x->memory, docs->n > 0 ? buf_str(&text) : S("null"), out);
        buf_release(&text);
        return !failed(e);
    }
    struct err e = val_from_json(x->memory, req->body, out);
    if (failed(e)) {
        const char *why = err_detail();
        bool eof = strncmp(why, "unexpected end", 14) == 0;
        reply_error(req, 400, "invalid_parameter", "body contains malformed input document: %s",
                    eof ? "unexpected EOF" : why);
        return false;
    }
    return true;
}

static bool v1_input(struct answer *x, struct val *input)
{
    struct val body;
    *input = VAL_UNDEF;
    if (x->req->body.n == 0) {
        x->warn = str_is(x->req->method, "POST");
        return true;
    }
    if (!body_value(x, &body)) {
        return false;
    }
    if (!val_is(body, V_OBJECT) && !val_is(body, V_NULL)) {
        reply_error(
            x->req, 400, "invalid_parameter",
            "body contains malformed input document: json: cannot unmarshal %s into Go value "
            "of type types.alias",
            val_type_name(body));
        return false;
    }
    *input = val_get_str(body, "input");
    x->warn = val_undef(*input);
    return true;
}

static void data_query(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct val path[PATH_SEGMENTS_MAX], input = VAL_UNDEF;
    size_t n;
    struct str rest = str_sub(req->path, strlen("/v1/data"), req->path.n), text;
    if (!path_of(req, rest, path, &n)) {
        return;
    }
    struct answer *x = answer_new(z, req);
    bool get = str_is(req->method, "GET") || str_is(req->method, "HEAD");
    bool ok = true;
    if (!get) {
        ok = v1_input(x, &input);
    } else if (http_query_get(req, "input", &text) &&
               failed(val_from_json(x->memory, text, &input))) {
        reply_error(req, 400, "invalid_parameter",
                    "parameter contains malformed input document: %s", err_detail());
        ok = false;
    }
    if (!ok) {
        answer_free(x);
        return;
    }
    decide_and_answer(x, path, n, input);
}

static void v0_decision(struct authz *z, struct http_req *req, struct str rest)
{
    struct val path[PATH_SEGMENTS_MAX], input = VAL_UNDEF;
    size_t n;
    if (!path_of(req, rest, path, &n)) {
        return;
    }
    struct answer *x = answer_new(z, req);
    x->v0 = true;
    if (req->body.n > 0 && !body_value(x, &input)) {
        answer_free(x);
        return;
    }
    decide_and_answer(x, path, n, input);
}

static void v0_query(struct http_req *req, void *ctx)
{
    v0_decision(ctx, req, str_sub(req->path, strlen("/v0/data"), req->path.n));
}

static void default_query(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    v0_decision(z, req, z->config->default_decision);
}

/* ---- writes ---- */

/* A daemon of this trust domain, or an identity, that `writers` names. */
static bool is_writer(struct authz *z, const struct http_req *req)
{
    struct caller who;
    if (z->daemon == NULL || failed(daemon_caller(z->daemon, req, &who))) {
        return false;
    }
    for (size_t i = 0; i < z->config->writers.n; i++) {
        struct str name = z->config->writers.items[i];
        struct str id = arena_printf(req->arena, "spiffe://%.*s/sextant/%.*s",
                                     STR_FMT(z->daemon->trust_domain), STR_FMT(name));
        if (str_eq(who.spiffe_id, name) || str_eq(who.spiffe_id, id)) {
            return true;
        }
    }
    return false;
}

bool authz_may_write(struct authz *z, struct http_req *req)
{
    if (!z->config->api_writes && !is_writer(z, req)) {
        reply_error(
            req, 403, "unauthorized",
            "writing over the API is off (authz.api_writes, authz.writers); policies and data come "
            "from files");
        return false;
    }
    return true;
}

static void conflict(struct http_req *req, const struct rego_errors *errors)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, errors);
    reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static struct val replaced(struct arena *a, struct val v, const struct val *path, size_t n,
                           struct val leaf)
{
    if (n == 0) {
        return leaf;
    }
    struct val old = val_get(v, path[0]);
    return val_with(a, val_is(v, V_OBJECT) ? v : VAL_UNDEF, path[0],
                    replaced(a, old, path + 1, n - 1, leaf));
}

static struct val without(struct arena *a, struct val v, const struct val *path, size_t n)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val k = val_nth_key(a, v, i), item = val_nth(v, i);
        bool here = val_eq(k, path[0]);
        if (here && n == 1) {
            continue;
        }
        vlist_add2(&l, k, here ? without(a, item, path + 1, n - 1) : item);
    }
    return vlist_object(&l);
}

static struct val at_path(struct val v, const struct val *path, size_t n)
{
    for (size_t i = 0; i < n && !val_undef(v); i++) {
        v = val_index(v, path[i]);
    }
    return v;
}

static void no_content(struct http_req *req)
{
    http_reply(req, &(struct http_reply){.status = 204});
}

static void commit(struct authz *z, struct http_req *req, struct val data)
{
    struct rego_errors errors = {.a = req->arena};
    if (store_set_data(&z->store, data, &errors)) {
        no_content(req);
    } else {
        conflict(req, &errors);
    }
}

static void not_there(struct http_req *req)
{
    reply_error(req, 404, "resource_not_found", "storage_not_found_error: document does not exist");
}

static bool write_path(struct authz *z, struct http_req *req, struct val *path, size_t *n)
{
    return authz_may_write(z, req) &&
           path_of(req, str_sub(req->path, strlen("/v1/data"), req->path.n), path, n);
}

static void data_put(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct val path[PATH_SEGMENTS_MAX], v;
    size_t n;
    if (!write_path(z, req, path, &n)) {
        return;
    }
    if (failed(val_from_json(req->arena, req->body, &v))) {
        bool eof = strncmp(err_detail(), "unexpected end", 14) == 0;
        reply_error(req, 400, "invalid_parameter", "%s", eof ? "unexpected EOF" : err_detail());
        return;
    }
    bool exists = !val_undef(at_path(z->store.image->data, path, n));
    if (exists && str_is(http_header_get(req, "if-none-match"), "*")) {
        http_reply(req, &(struct http_reply){.status = 304});
        return;
    }
    commit(z, req, replaced(req->arena, z->store.image->data, path, n, v));
}

static void data_delete(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct val path[PATH_SEGMENTS_MAX];
    size_t n;
    if (!write_path(z, req, path, &n)) {
        return;
    }
    struct val data = z->store.image->data;
    if (n == 0 || val_undef(at_path(data, path, n))) {
        not_there(req);
        return;
    }
    commit(z, req, without(req->arena, data, path, n));
}

/* One operation of a patch, relative to the path of the request. False after a reply. */
static bool patch_one(struct http_req *req, struct val *data, const struct val *base, size_t n,
                      struct val op)
{
    struct val name = val_get_str(op, "op"), where = val_get_str(op, "path");
    struct val path[2 * PATH_SEGMENTS_MAX], value = val_get_str(op, "value");
    struct str what = val_is(name, V_STRING) ? val_text(name) : STR_EMPTY;
    bool add = str_is(what, "add"), drop = str_is(what, "remove"), put = str_is(what, "replace");
    if (!add && !drop && !put) {
        reply_error(req, 400, "invalid_parameter", "bad patch operation: %.*s", STR_FMT(what));
        return false;
    }
    memcpy(path, base, n * sizeof *path);
    size_t extra = 0;
    struct str rest = val_is(where, V_STRING) ? val_text(where) : STR_EMPTY;
    if (!path_of(req, rest, path + n, &extra)) {
        return false;
    }
    size_t len = n + extra;
    bool there = !val_undef(at_path(*data, path, len));
    if ((drop || put ? !there : len > 0 && val_undef(at_path(*data, path, len - 1)))) {
        not_there(req);
        return false;
    }
    *data = drop ? without(req->arena, *data, path, len)
                 : replaced(req->arena, *data, path, len, value);
    return true;
}

static void data_patch(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct val path[PATH_SEGMENTS_MAX], ops, data = z->store.image->data;
    size_t n;
    if (!write_path(z, req, path, &n)) {
        return;
    }
    if (failed(val_from_json(req->arena, req->body, &ops)) || !val_is(ops, V_ARRAY)) {
        reply_error(req, 400, "invalid_parameter", "the patch is not a JSON array of operations");
        return;
    }
    for (uint32_t i = 0; i < val_len(ops); i++) {
        if (!patch_one(req, &data, path, n, val_nth(ops, i))) {
            return;
        }
    }
    commit(z, req, data);
}

void data_routes(struct authz *z, struct router *r)
{
    router_add(r, "GET", "/v1/data/{path...}", data_query, z);
    router_add(r, "POST", "/v1/data/{path...}", data_query, z);
    router_add(r, "PUT", "/v1/data/{path...}", data_put, z);
    router_add(r, "PATCH", "/v1/data/{path...}", data_patch, z);
    router_add(r, "DELETE", "/v1/data/{path...}", data_delete, z);
    router_add(r, "GET", "/v1/data", data_query, z);
    router_add(r, "POST", "/v1/data", data_query, z);
    router_add(r, "PUT", "/v1/data", data_put, z);
    router_add(r, "PATCH", "/v1/data", data_patch, z);
    router_add(r, "POST", "/v0/data/{path...}", v0_query, z);
    router_add(r, "POST", "/v0/data", v0_query, z);
    router_add(r, "POST", "/", default_query, z);
}
