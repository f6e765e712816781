/* /health: does the server evaluate, are its bundles and plugins up, and what do policies say of it? */
#include "server.h"

static void reply(struct authz *z, struct http_req *req, struct str error)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    if (error.n == 0) {
        buf_puts(&b, S("{}"));
    } else {
        buf_puts(&b, S("{\"error\":"));
        val_json_string(&b, error, true);
        buf_putc(&b, '}');
    }
    reply_value(z, req, error.n == 0 ? 200 : 500, &b, false);
}

/* As any decision is made: one that needs no policy. */
static bool can_evaluate(const struct authz *z)
{
    struct arena a;
    struct rego_result r;
    arena_init(&a, (size_t)z->config->eval_memory);
    struct rego_eval_options o = {.data = z->store.data};
    struct val path = val_str(&a, S("system"));
    (void)rego_eval_path(z->store.policy, &path, 0, &o, &a, &r);
    bool ok = z->store.policy != NULL;
    arena_release(&a);
    return ok;
}

/* Discovery, then bundles: what is configured must have been in force once. */
static bool bundles_ready(const struct authz *z, const char **names)
{
    static const char *const order[] = {"discovery", "bundle"};
    *names = NULL;
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        for (const struct authz_plugin *p = z->plugins; p != NULL; p = p->next) {
            if (strcmp(p->name, order[i]) == 0 && p->state != PLUGIN_OK) {
                *names = p->not_activated;
                return false;
            }
        }
    }
    return true;
}

static bool is_excluded(const struct http_req *req, const char *plugin)
{
    struct str rest = req->query, name, v;
    while (param_next(req->arena, &rest, &name, &v)) {
        if (str_is(name, "exclude-plugin") && str_is(v, plugin)) {
            return true;
        }
    }
    return false;
}

static bool plugins_up(const struct authz *z, const struct http_req *req)
{
    for (const struct authz_plugin *p = z->plugins; p != NULL; p = p->next) {
        if (p->state != PLUGIN_OK && !is_excluded(req, p->name)) {
            return false;
        }
    }
    return true;
}

static void health(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct params p;
    const char *names;
    meter_label(req, HANDLER_HEALTH);
    params_read(req, &p);
    if (!can_evaluate(z)) {
        reply(z, req, S("unable to perform evaluation"));
    } else if (p.bundles && !bundles_ready(z, &names)) {
        reply(z, req,
              names == NULL
                  ? S("one or more bundles are not activated")
                  : arena_printf(req->arena, "one or more bundles are not activated: %s", names));
    } else if ((p.plugins && !plugins_up(z, req)) ||
               (z->daemon != NULL && !daemon_ready(z->daemon))) {
        reply(z, req, S("one or more plugins are not up"));
    } else {
        reply(z, req, STR_EMPTY);
    }
}

/* {"plugin_state": {name: state}, "plugins_ready": have all of them been up at one time?} */
static struct val health_input(struct authz *z, struct arena *a)
{
    static const char *const states[] = {"OK", "NOT_READY", "WARN", "ERROR"};
    struct vlist l = {.a = a}, s = {.a = a};
    bool all = true;
    for (const struct authz_plugin *p = z->plugins; p != NULL; p = p->next) {
        vlist_put(&s, p->name, val_str(a, str_of(states[p->state])));
        all &= p->state == PLUGIN_OK;
    }
    z->plugins_were_ready |= all;
    vlist_put(&l, "plugin_state", vlist_object(&s));
    vlist_put(&l, "plugins_ready", val_bool(z->plugins_were_ready));
    return vlist_object(&l);
}

static struct str eval_error_text(struct arena *a, const struct rego_error *e)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    rego_error_write(&b, e);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* /health/{path}: data.system.health.<path> must be true. */
static void health_path(struct http_req *req, void *ctx)
{
    struct authz *z = ctx;
    struct val path[PATH_SEGMENTS_MAX];
    size_t n;
    struct arena a;
    struct str bad,
        why = STR_EMPTY,
        raw = arena_printf(req->arena, "system/health/%.*s", STR_FMT(path_rest(req, "/health")));
    meter_label(req, HANDLER_HEALTH);
    if (!path_values(req->arena, raw, path, &n, &bad)) {
        reply_error(req, 400, "invalid_parameter", "invalid path: invalid ref term '%.*s'",
                    STR_FMT(bad));
        return;
    }
    arena_init(&a, (size_t)z->config->eval_memory);
    struct decision d = {.path = raw};
    decide(z, path, n, health_input(z, &a), false, &a, &d);
    struct str ref = path_ref(&a, path, n);
    if (d.eval.failed) {
        why = eval_error_text(&a, &d.eval.error);
    } else if (val_undef(d.result)) {
        why = arena_printf(&a, "health check (%.*s) was undefined", STR_FMT(ref));
    } else if (!val_is_true(d.result)) {
        why = arena_printf(&a, "health check (%.*s) returned unexpected value", STR_FMT(ref));
    }
    reply(z, req, why);
    arena_release(&a);
}

void health_routes(struct authz *z, struct router *r)
{
    router_add(r, "GET", "/health", health, z);
    router_add(r, "GET", "/health/{path...}", health_path, z);
}
