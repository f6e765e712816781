/* Writing the base data over the API: PUT, PATCH, DELETE. */
#include "answer.h"

#include "lib/base/clock.h"

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

/* One request that writes. */
struct writing {
    struct authz *z;
    struct http_req *req;
    struct store_txn *txn;
    struct params p;
    struct timers t;
    struct str path[2 * PATH_SEGMENTS_MAX];
    size_t n;
};

static bool begin(struct writing *w, struct authz *z, struct http_req *req)
{
    struct str rest = path_rest(req, "/v1/data");
    w->z = z;
    w->req = req;
    w->txn = NULL;
    w->t = (struct timers){.begin_ns = clock_mono_ns()};
    params_read(req, &w->p);
    if (!authz_may_write(z, req)) {
        return false;
    }
    if (!path_names(req->arena, rest, w->path, &w->n)) {
        reply_error(req, 400, "invalid_parameter", "bad path: %.*s", STR_FMT(rest));
        return false;
    }
    return true;
}

/* The body as a value: Go's words for what is wrong, "EOF" for nothing at all. */
static bool read_value(struct writing *w, struct val *out, struct str *why)
{
    if (!body_parse(w->req->arena, w->req->body, false, out, why)) {
        return false;
    }
    if (val_undef(*out)) {
        *why = S("EOF");
        return false;
    }
    w->t.parse_ns = clock_mono_ns() - w->t.begin_ns;
    return true;
}

static void refuse(struct writing *w, enum store_status st, struct str why)
{
    struct http_req *req = w->req;
    switch (st) {
    case STORE_NOT_FOUND:
        reply_error(req, 404, "resource_not_found", "storage_not_found_error: %.*s", STR_FMT(why));
        break;
    case STORE_CONFLICT:
        reply_error(req, 404, "resource_conflict", "storage_write_conflict_error: %.*s",
                    STR_FMT(why));
        break;
    case STORE_INVALID:
        reply_error(req, 400, "invalid_parameter", "storage_invalid_patch_error: %.*s",
                    STR_FMT(why));
        break;
    default:
        reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
        break;
    }
    store_abort(w->txn);
}

/* A write that rules stand in the way of. */
static void refuse_rules(struct http_req *req, const struct rego_errors *errors)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_errors_write(&b, errors);
    bool storage = strcmp(errors->v[0].code, "storage_error") == 0;
    reply_error(req, storage ? 500 : 400, storage ? "internal_error" : "invalid_parameter", "%.*s",
                STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static void commit(struct writing *w)
{
    struct rego_errors errors = {.a = w->req->arena};
    if (!store_commit(w->txn, &errors)) {
        refuse_rules(w->req, &errors);
        return;
    }
    if (!w->p.metrics) {
        reply_no_content(w->req);
        return;
    }
    struct buf b;
    buf_init(&b, REPLY_MAX);
    w->t.handler_ns = clock_mono_ns() - w->t.begin_ns;
    buf_printf(
        &b, "{\"metrics\":{\"timer_rego_input_parse_ns\":%lld,\"timer_server_handler_ns\":%lld}}",
        (long long)w->t.parse_ns, (long long)w->t.handler_ns);
    reply_value(w->z, w->req, 200, &b, false);
}

static bool owned(struct writing *w)
{
    struct str why;
    enum store_status st = store_check_owner(&w->z->store, w->path, w->n, w->req->arena, &why);
    if (st != STORE_OK) {
        refuse(w, st, why);
    }
    return st != STORE_OK;
}

static void put(struct writing *w)
{
    struct val v;
    struct str why;
    if (!read_value(w, &v, &why)) {
        reply_error(w->req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
        return;
    }
    if (owned(w)) {
        return;
    }
    enum store_status st = STORE_OK;
    w->txn = store_begin(&w->z->store);
    if (val_undef(store_read(w->z->store.data, w->path, w->n))) {
        st = w->n > 0 ? store_txn_mkdir(w->txn, w->path, w->n - 1, &why) : STORE_OK;
    } else if (str_is(http_header_get(w->req, "if-none-match"), "*")) {
        store_abort(w->txn);
        http_reply(w->req, &(struct http_reply){.status = 304});
        return;
    }
    st = st == STORE_OK ? store_txn_write(w->txn, STORE_ADD, w->path, w->n, v, &why) : st;
    if (st != STORE_OK) {
        refuse(w, st, why);
        return;
    }
    commit(w);
}

static void drop(struct writing *w)
{
    struct str why;
    if (owned(w)) {
        return;
    }
    w->txn = store_begin(&w->z->store);
    enum store_status st = store_txn_write(w->txn, STORE_REMOVE, w->path, w->n, VAL_UNDEF, &why);
    if (st != STORE_OK) {
        refuse(w, st, why);
        return;
    }
    commit(w);
}

/* ---- patches ---- */

struct patch {
    enum store_op op;
    size_t n;
    struct str path[2 * PATH_SEGMENTS_MAX];
    struct val value;
};

/* ~1 and ~0 of JSON pointers, after the percent-decoding. */
static struct str unescape_pointer(struct arena *a, struct str s)
{
    if (str_find_char(s, '~') == STR_NPOS) {
        return s;
    }
    char *to = arena_alloc_raw(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool escaped = s.p[i] == '~' && i + 1 < s.n && (s.p[i + 1] == '0' || s.p[i + 1] == '1');
        to[n++] = !escaped ? s.p[i] : s.p[i + 1] == '1' ? '/' : '~';
        i += escaped;
    }
    return str_n(to, n);
}

static bool text_member(struct writing *w, struct val op, const char *name, struct str *out)
{
    struct val v = val_get_str(op, name);
    *out = STR_EMPTY;
    if (val_is(v, V_STRING)) {
        *out = val_text(v);
    } else if (!val_undef(v) && !val_is(v, V_NULL)) {
        reply_error(w->req, 400, "invalid_parameter",
                    "json: cannot unmarshal %s into Go struct field PatchV1.%s of type string",
                    go_json_kind(v), name);
        return false;
    }
    return true;
}

static bool read_patch(struct writing *w, struct val op, struct patch *p)
{
    struct str name, path;
    if (!text_member(w, op, "op", &name) || !text_member(w, op, "path", &path)) {
        return false;
    }
    bool add = str_is(name, "add"), remove = str_is(name, "remove");
    if (!add && !remove && !str_is(name, "replace")) {
        reply_error(w->req, 400, "invalid_parameter", "bad patch operation: %.*s", STR_FMT(name));
        return false;
    }
    p->op = add ? STORE_ADD : remove ? STORE_REMOVE : STORE_REPLACE;
    size_t extra = 0;
    memcpy(p->path, w->path, w->n * sizeof *p->path);
    if (!path_names(w->req->arena, path, p->path + w->n, &extra)) {
        reply_error(w->req, 400, "invalid_parameter", "bad patch path: %.*s", STR_FMT(path));
        return false;
    }
    p->n = w->n + extra;
    for (size_t i = 0; i < p->n; i++) {
        p->path[i] = unescape_pointer(w->req->arena, p->path[i]);
    }
    p->value = val_get_str(op, "value");
    p->value = val_undef(p->value) ? VAL_NULL : p->value;
    return true;
}

static bool read_operations(struct writing *w, struct val *ops)
{
    struct str why;
    if (!read_value(w, ops, &why)) {
        reply_error(w->req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
        return false;
    }
    *ops = val_is(*ops, V_NULL) ? val_empty_array() : *ops;
    if (!val_is(*ops, V_ARRAY)) {
        reply_error(w->req, 400, "invalid_parameter",
                    "json: cannot unmarshal %s into Go value of type []types.PatchV1",
                    go_json_kind(*ops));
        return false;
    }
    for (uint32_t i = 0; i < val_len(*ops); i++) {
        struct val op = val_nth(*ops, i);
        if (!val_is(op, V_OBJECT) && !val_is(op, V_NULL)) {
            reply_error(w->req, 400, "invalid_parameter",
                        "json: cannot unmarshal %s into Go value of type types.PatchV1",
                        go_json_kind(op));
            return false;
        }
    }
    return true;
}

/* All operations are read before the first is done: a wrong one late in the list is found, too. */
static void patch(struct writing *w)
{
    struct val ops;
    struct patch p;
    if (!read_operations(w, &ops)) {
        return;
    }
    for (uint32_t i = 0; i < val_len(ops); i++) {
        if (!read_patch(w, val_nth(ops, i), &p)) {
            return;
        }
    }
    w->txn = store_begin(&w->z->store);
    for (uint32_t i = 0; i < val_len(ops); i++) {
        struct str why;
        if (!read_patch(w, val_nth(ops, i), &p)) {
            store_abort(w->txn);
            return;
        }
        enum store_status st = store_check_owner(&w->z->store, p.path, p.n, w->req->arena, &why);
        st = st == STORE_OK ? store_txn_write(w->txn, p.op, p.path, p.n, p.value, &why) : st;
        if (st != STORE_OK) {
            refuse(w, st, why);
            return;
        }
    }
    commit(w);
}

void data_write(struct http_req *req, void *ctx)
{
    struct writing w;
    if (!begin(&w, ctx, req)) {
        return;
    }
    if (str_is(req->method, "PUT")) {
        put(&w);
    } else if (str_is(req->method, "PATCH")) {
        patch(&w);
    } else {
        drop(&w);
    }
}
