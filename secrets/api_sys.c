/* What a sealed server answers, too, without a token: health, seal-status, init, unseal, leader. */
#include "secretsd.h"

#include "field.h"

#include "lib/base/log.h"

static void send_json(struct http_req *req, int status, const struct json *v)
{
    struct buf b;
    buf_init_secret(&b, 1 << 20);
    json_write(&b, v);
    buf_putc(&b, '\n');
    api_reply(req, status, buf_str(&b));
    buf_release(&b);
}

/* Load balancers may say which status means what. */
static struct err code_for(const struct http_req *req, const char *param, int fallback, int *out)
{
    struct str v;
    uint64_t n;
    *out = fallback;
    if (http_query_get(req, param, &v)) {
        ENSURE(!failed(str_to_u64(v, &n)) && n >= 100 && n < 600, ERR_SYNTAX,
               "bad value for \"%s\"", param);
        *out = (int)n;
    }
    return OK;
}

static struct err health_status(struct secretsd *s, const struct http_req *req, int *status)
{
    int active, sealed, uninit;
    TRY(code_for(req, "activecode", 200, &active));
    TRY(code_for(req, "sealedcode", 503, &sealed));
    TRY(code_for(req, "uninitcode", 501, &uninit));
    *status = !s->core->initialized ? uninit : s->core->sealed ? sealed : active;
    return OK;
}

static void health(struct secretsd *s, struct http_req *req)
{
    struct arena *a = req->arena;
    int status;
    if (failed(health_status(s, req, &status))) {
        api_error(req, 400, str_of(err_detail()));
        return;
    }
    struct json *o = json_new_object(a);
    json_set_bool(a, o, "initialized", s->core->initialized);
    json_set_bool(a, o, "sealed", s->core->sealed);
    json_set_bool(a, o, "standby", false);
    json_set_bool(a, o, "performance_standby", false);
    json_set_str(a, o, "replication_performance_mode", S("disabled"));
    json_set_str(a, o, "replication_dr_mode", S("disabled"));
    json_set_int(a, o, "server_time_utc", clock_wall_s());
    json_set_str(a, o, "version", s->core->opts.version);
    if (!s->core->sealed) {
        json_set_str(a, o, "cluster_name", s->core->opts.cluster_name);
        json_set_str(a, o, "cluster_id", str_of(s->core->cluster_id));
    }
    send_json(req, status, o);
}

static void leader(struct secretsd *s, struct http_req *req)
{
    struct arena *a = req->arena;
    struct json *o = json_new_object(a);
    json_set_bool(a, o, "ha_enabled", false);
    json_set_bool(a, o, "is_self", false);
    json_set_str(a, o, "leader_address", S(""));
    json_set_str(a, o, "leader_cluster_address", S(""));
    json_set_bool(a, o, "performance_standby", false);
    send_json(req, 200, o);
}

/* One line in the audit log for what may open or make a vault; keys and shares are never part of it. */
static void audit_operator(struct secretsd *s, const struct http_req *req, const char *activity,
                           bool ok)
{
    if (s->core->audit == NULL) {
        return;
    }
    audit_emit(s->core->audit,
               &(struct audit_event){.class_uid = OCSF_API_ACTIVITY,
                                     .activity = activity,
                                     .outcome = ok ? "allowed" : "failed",
                                     .resource_type = S("system"),
                                     .resource_uid = S("sys/seal"),
                                     .source_addr = req->peer->addr,
                                     .trace = req->trace},
               NULL, NULL);
}

struct committing {
    struct secretsd *s;
    struct http_req *req;
    struct json *answer;
};

static void committed(void *ctx, struct err e)
{
    struct committing *cm = ctx;
    if (failed(e)) {
        log_error("initialisation was not stored", {"detail", LOG_CSTR(err_detail())});
        api_error(cm->req, 500, S("internal error"));
    } else {
        send_json(cm->req, 200, cm->answer);
    }
}

static void init(struct secretsd *s, struct http_req *req)
{
    struct arena *a = req->arena;
    if (str_is(req->method, "GET")) {
        struct json *o = json_new_object(a);
        json_set_bool(a, o, "initialized", s->core->initialized);
        send_json(req, 200, o);
        return;
    }
    struct json *data, *out;
    struct err e = api_body(a, req, &data);
    if (!failed(e)) {
        e = seal_init(s->seal, a, data, &out);
    }
    if (failed(e)) {
        api_error(req, 400, str_of(err_detail()));
        return;
    }
    audit_operator(s, req, "init", true);
    struct committing *cm = arena_new(a, struct committing);
    *cm = (struct committing){s, req, out};
    storage_commit(s->storage, committed, cm);
}

static void unseal(struct secretsd *s, struct http_req *req)
{
    struct json *data;
    struct err e = api_body(req->arena, req, &data);
    if (!failed(e)) {
        e = seal_unseal(s->seal, data);
        audit_operator(s, req, "unseal", !failed(e));
    }
    if (failed(e)) {
        api_error(req, 400, str_of(err_detail()));
    } else {
        send_json(req, 200, seal_status(s->seal, req->arena));
    }
}

static bool reads(const struct http_req *req)
{
    return str_is(req->method, "GET") || str_is(req->method, "HEAD");
}

bool api_sys(struct secretsd *s, struct http_req *req, struct str path)
{
    bool writes = str_is(req->method, "PUT") || str_is(req->method, "POST");
    if (str_is(path, "sys/health") && reads(req)) {
        health(s, req);
    } else if (str_is(path, "sys/seal-status") && reads(req)) {
        send_json(req, 200, seal_status(s->seal, req->arena));
    } else if (str_is(path, "sys/leader") && reads(req)) {
        leader(s, req);
    } else if (str_is(path, "sys/init") && (reads(req) || writes)) {
        init(s, req);
    } else if (str_is(path, "sys/unseal") && writes) {
        unseal(s, req);
    } else {
        return false;
    }
    return true;
}
