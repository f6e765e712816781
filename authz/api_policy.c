/* The Policy API. */
#include "authz.h"

#include "authz/rego/syntax/ast_json.h"
#include "lib/base/codec.h"

enum { REPLY_MAX = 1 << 30 };

static struct str policy_id(struct http_req *req)
{
    struct str raw = str_sub(req->path, strlen("/v1/policies/"), req->path.n), id;
    return failed(percent_decode(req->arena, raw, false, &id)) ? raw : id;
}

/* The tree as it was written: what the compiler works on has been changed by it. */
static void put_policy(struct http_req *req, struct buf *b, const struct policy_file *f)
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

static void finish(struct http_req *req, struct buf *b)
{
    if (query_flag(req, "pretty")) {
        struct val v;
        if (!failed(val_from_json(req->arena, arena_str(req->arena, buf_str(b)), &v))) {
            buf_clear(b);
            val_to_json_pretty(b, v, "  ", true);
        }
    }
    buf_putc(b, '\n');
    reply_value(req, 200, b);
}

static void list(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":["));
    for (size_t i = 0; i < z->store.image->n_files; i++) {
        buf_puts(&b, i > 0 ? S(",") : S(""));
        put_policy(req, &b, &z->store.image->files[i]);
    }
    buf_puts(&b, S("]}"));
    finish(req, &b);
}

static void unknown(struct http_req *req, struct str id)
{
    reply_error(req, 404, "resource_not_found", "storage_not_found_error: policy id \"%.*s\"",
                STR_FMT(id));
}

static void get(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct str id = policy_id(req);
    const struct policy_file *f = store_policy(&z->store, id);
    if (f == NULL) {
        unknown(req, id);
        return;
    }
    struct buf b;
    buf_init(&b, REPLY_MAX);
    buf_puts(&b, S("{\"result\":"));
    put_policy(req, &b, f);
    buf_putc(&b, '}');
    finish(req, &b);
}

static void done(struct http_req *req, bool ok, const struct rego_errors *errors)
{
    if (ok) {
        http_reply_json(req, 200, S("{}\n"));
    } else {
        reply_errors(req, 400, "invalid_parameter", "error(s) occurred while compiling module(s)",
                     errors);
    }
}

static void put(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct rego_errors errors = {.a = req->arena};
    if (authz_may_write(z, req)) {
        done(req, store_put_policy(&z->store, policy_id(req), req->body, &errors), &errors);
    }
}

static void del(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct rego_errors errors = {.a = req->arena};
    struct str id = policy_id(req);
    if (!authz_may_write(z, req)) {
        return;
    }
    if (store_policy(&z->store, id) == NULL) {
        unknown(req, id);
        return;
    }
    done(req, store_del_policy(&z->store, id, &errors), &errors);
}

void policy_routes(struct authz *z, struct router *r)
{
    router_add(r, "GET", "/v1/policies", list, z);
    router_add(r, "GET", "/v1/policies/{id...}", get, z);
    router_add(r, "PUT", "/v1/policies/{id...}", put, z);
    router_add(r, "DELETE", "/v1/policies/{id...}", del, z);
}
