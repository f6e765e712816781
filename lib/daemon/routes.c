/* What every daemon answers, and who is asking. */
#include "daemon_priv.h"

#include "lib/http/router.h"
#include "lib/json/json.h"
#include "lib/telemetry/telemetry.h"

enum { METRICS_MAX = 1 << 20, HEALTH_MAX = 8192 };

static void put_sandbox(struct jw *w, const struct sandbox_report *r)
{
    jw_key(w, S("sandbox"));
    jw_obj(w);
    jw_key_int(w, S("landlock_abi"), r->landlock_abi);
    jw_key_bool(w, S("files"), r->files);
    jw_key_bool(w, S("tcp_ports"), r->tcp_ports);
    jw_key_bool(w, S("scoped"), r->scoped);
    jw_key_bool(w, S("seccomp"), r->seccomp);
    jw_key_bool(w, S("no_capabilities"), r->no_caps);
    jw_key_bool(w, S("own_uid"), r->own_uid);
    jw_key_bool(w, S("sanitized_build"), r->sanitized);
    jw_end(w);
}

static void health(struct http_req *req, void *ctx)
{
    struct daemon *d = ctx;
    struct buf body;
    struct jw w;
    bool ready = daemon_ready(d);
    buf_init(&body, HEALTH_MAX);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key_bool(&w, S("ready"), ready);
    jw_key_str(&w, S("daemon"), str_of(d->spec->name));
    jw_key(&w, S("dependencies"));
    jw_obj(&w);
    for (size_t i = 0; i < d->priv->n_deps; i++) {
        const struct dependency *dep = &d->priv->deps[i];
        jw_key_str(&w, str_of(dep->name), str_of(dep->there ? "ok" : dep->why));
    }
    jw_end(&w);
    put_sandbox(&w, &d->sandboxed);
    jw_end(&w);
    http_reply_json(req, ready ? 200 : 503, buf_str(&body));
    buf_release(&body);
}

static void metrics(struct http_req *req, void *ctx)
{
    struct buf body;
    buf_init(&body, METRICS_MAX);
    metrics_write(&body);
    http_reply(req, &(struct http_reply){.status = 200,
                                         .content_type = S("text/plain; version=0.0.4"),
                                         .body = buf_str(&body)});
    buf_release(&body);
}

void daemon_add_health_route(struct daemon *d, struct router *r)
{
    router_add(r, "GET", "/healthz", health, d);
}

void daemon_add_common_routes(struct daemon *d, struct router *r)
{
    daemon_add_health_route(d, r);
    router_add(r, "GET", "/metrics", metrics, d);
}

static struct str id_of_name(const struct daemon *d, const struct http_req *req, struct str name)
{
    if (str_starts(name, S("spiffe://"))) {
        return name;
    }
    return arena_printf(req->arena, "spiffe://%.*s/sextant/%.*s", STR_FMT(d->trust_domain),
                        STR_FMT(name));
}

/* A name may be claimed only by the uid it stands for. */
static struct err unix_name(const struct daemon *d, const struct http_req *req, struct str *out)
{
    struct str claim = http_header_get(req, "x-sextant-caller");
    uint32_t uid = req->peer->uid, of_claim;
    if (claim.n > 0) {
        ENSURE(config_uid(d->config, claim, &of_claim) && of_claim == uid, ERR_UNAUTHENTICATED,
               "uid %u may not call itself '%.*s'", uid, STR_FMT(claim));
        *out = claim;
        return OK;
    }
    struct str name = config_uid_name(d->config, uid);
    ENSURE(name.n > 0, ERR_UNAUTHENTICATED, "uid %u has no name in `uids`", uid);
    *out = name;
    return OK;
}

struct err daemon_caller(const struct daemon *d, const struct http_req *req, struct caller *out)
{
    const struct peer *p = req->peer;
    if (p->kind == PEER_UNIX) {
        struct str name = STR_EMPTY;
        TRY(unix_name(d, req, &name));
        *out = (struct caller){.spiffe_id = id_of_name(d, req, name),
                               .source = S("unix:"),
                               .pid = p->pid,
                               .uid = p->uid};
        return OK;
    }
    ENSURE(p->spiffe_id.n > 0, ERR_UNAUTHENTICATED,
           "%.*s showed no client certificate with a SPIFFE id", STR_FMT(p->addr));
    *out = (struct caller){.spiffe_id = p->spiffe_id, .source = p->addr, .uid = (uid_t)-1};
    return OK;
}

void daemon_audit_caller(struct audit_event *e, const struct caller *c, const struct trace *t)
{
    e->actor_spiffe_id = c->spiffe_id;
    e->source_addr = c->source;
    e->trace = *t;
}
