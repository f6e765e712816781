/* The Policy API. */
#include "server.h"

#include "authz/rego/syntax/ast_json.h"
#include "lib/base/clock.h"

/* The rest of the path, decoded: an id may hold slashes. */
static struct str policy_id(const struct http_req *req)
{
    return http_param(req, "id");
}

/* The tree as it was written: what the compiler works on has been changed by it. */
static void put_policy(struct http_req *req, struct buf *b, const struct policy_source *f)
{
    struct rego_errors errors = {.a = req->arena};
    struct parse_options o = {.version = f->version};
    struct module *m;
    buf_puts(b, S("{\"id\":"));
    val_json_string(b, f->id, true);
    buf_puts(b, S(",\"raw\":"));
    val_json_string(b, f->text, true);
    if (rego_parse_module(req->arena, f->id, f->text, &o, &errors, &m)) {
        buf_puts(b, S(",\"ast\":"));
        ast_to_json(b, m, NULL);
    }
    buf_putc(b, '}');
}

static void finish(struct authz *z, struct http_req *req, struct buf *b)
{
    struct params p;
    params_read(req, &p);
    reply_value(z, req, 200, b, p.pretty);
}

static void list(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    meter_label(req, HANDLER_V1_POLICIES);
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":["));
    for (size_t i = 0; i < z->store.n_sources; i++) {
        buf_puts(&b, i > 0 ? S(",") : S(""));
        put_policy(req, &b, z->store.sources[i]);
    }
    buf_puts(&b, S("]}"));
    finish(z, req, &b);
}

static void unknown(struct http_req *req, struct str id)
{
    struct buf b;
    buf_init(&b, REPLY_MAX);
    val_json_string(&b, id, false);
    reply_error(req, 404, "resource_not_found", "storage_not_found_error: policy id %.*s",
                STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static void get(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct str id = policy_id(req);
    meter_label(req, HANDLER_V1_POLICIES);
    const struct policy_source *f = store_policy(&z->store, id);
    if (f == NULL) {
        unknown(req, id);
        return;
    }
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":"));
    put_policy(req, &b, f);
    buf_putc(&b, '}');
    finish(z, req, &b);
}

/* "{}", with the times of what was done when they are asked for. */
static void done(struct authz *z, struct http_req *req, int64_t begin_ns, bool compiled)
{
    struct params p;
    struct buf b;
    params_read(req, &p);
    buf_init(&b, 4096);
    if (p.metrics) {
        buf_printf(&b, "{\"metrics\":{");
        if (compiled) {
            buf_printf(&b, "\"timer_rego_module_compile_ns\":%lld,",
                       (long long)(clock_mono_ns() - begin_ns));
        }
        buf_printf(&b, "\"timer_server_read_bytes_ns\":0}}");
    } else {
        buf_puts(&b, S("{}"));
    }
    reply_value(z, req, 200, &b, p.pretty);
}

/* May the API change the policy with this text: is its package below a bundle's root? */
static bool package_is_free(struct authz *z, struct http_req *req, struct str id, struct str text)
{
    struct rego_errors errors = {.a = req->arena};
    struct parse_options o = {.version = z->store.version};
    struct module *m;
    if (z->store.n_owners == 0 || !rego_parse_module(req->arena, id, text, &o, &errors, &m)) {
        return true;
    }
    struct str *path = arena_array(req->arena, struct str, m->package->list.n + 1), why;
    size_t n = 0;
    for (size_t i = 1; i < m->package->list.n; i++) {
        path[n++] = m->package->list.v[i]->str;
    }
    if (store_check_owner(&z->store, path, n, req->arena, &why) == STORE_OK) {
        return true;
    }
    reply_error(req, 400, "invalid_parameter", "%.*s", STR_FMT(why));
    return false;
}

static void put(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct str id = policy_id(req);
    struct rego_errors errors = {.a = req->arena};
    int64_t begin_ns = clock_mono_ns();
    meter_label(req, HANDLER_V1_POLICIES);
    if (!authz_may_write(z, req)) {
        return;
    }
    const struct policy_source *old = store_policy(&z->store, id);
    if (old != NULL && !package_is_free(z, req, id, old->text)) {
        return;
    }
    if (old != NULL && str_eq(old->text, req->body)) {
        done(z, req, begin_ns, false);
        return;
    }
    if (!package_is_free(z, req, id, req->body)) {
        return;
    }
    struct store_txn *t = store_begin(&z->store);
    store_txn_put(t, id, req->body, z->store.version);
    if (store_commit(t, &errors)) {
        done(z, req, begin_ns, true);
    } else if (errors.n == 1 && str_is(errors.v[0].message, "empty module")) {
        reply_error(req, 400, "invalid_parameter", "%.*s:0: rego_parse_error: empty module",
                    STR_FMT(id));
    } else {
        reply_errors(req, 400, "invalid_parameter", "error(s) occurred while compiling module(s)",
                     &errors);
    }
}

static void del(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct rego_errors errors = {.a = req->arena};
    struct str id = policy_id(req);
    int64_t begin_ns = clock_mono_ns();
    meter_label(req, HANDLER_V1_POLICIES);
    if (!authz_may_write(z, req)) {
        return;
    }
    const struct policy_source *old = store_policy(&z->store, id);
    if (old == NULL) {
        unknown(req, id);
        return;
    }
    if (!package_is_free(z, req, id, old->text)) {
        return;
    }
    struct store_txn *t = store_begin(&z->store);
    (void)store_txn_drop(t, id);
    if (store_commit(t, &errors)) {
        done(z, req, begin_ns, true);
    } else {
        reply_errors(req, 400, "invalid_operation", "error(s) occurred while compiling module(s)",
                     &errors);
    }
}

/* Without an id there is nothing to write. */
static void no_id(struct http_req *req, void *ctx)
{
    (void)ctx;
    http_reply(req, &(struct http_reply){.status = 405});
}

void policy_routes(struct authz *z, struct router *r)
{
    router_add(r, "PUT", "/v1/policies", no_id, z);
    router_add(r, "DELETE", "/v1/policies", no_id, z);
    router_add(r, "GET", "/v1/policies", list, z);
    router_add(r, "GET", "/v1/policies/{id...}", get, z);
    router_add(r, "PUT", "/v1/policies/{id...}", put, z);
    router_add(r, "DELETE", "/v1/policies/{id...}", del, z);
}
