#include "examples/services/records.h"

#include "lib/base/log.h"
#include "lib/grpc/grpc.h"
#include "lib/http/client.h"
#include "lib/json/json.h"
#include "lib/spiffe/svid_source.h"
#include "workload.pb-c.h"

/* How service B gets its credentials: SVID -> token -> role, and round again before each runs out. */

enum { RETRY_MS = 250, CALL_ARENA_MAX = 1 << 20 };

static void fetch_jwt(void *ctx);

static void again(struct records *r, int64_t after_ms)
{
    r->busy = false;
    timer_stop(r->timer);
    r->timer = timer_start(r->loop, after_ms, 0, fetch_jwt, r);
}

static void give_up_for_now(struct records *r, const char *what)
{
    log_warn("no credentials yet", {"step", LOG_CSTR(what)}, {"detail", LOG_CSTR(err_detail())});
    again(r, RETRY_MS);
}

/* ---- the role ---- */

static struct err take_lease(struct records *r, struct str body)
{
    struct arena a;
    struct json *v;
    struct secret password;
    arena_init(&a, CALL_ARENA_MAX);
    struct err e = json_parse(&a, body, NULL, &v);
    if (!failed(e)) {
        e = secret_copy(&password, json_str(json_path(v, "data.password")));
    }
    if (!failed(e)) {
        arena_release(&r->arena);
        r->arena = a;
        secret_release(&r->lease.password);
        r->lease = (struct lease){.valid = true,
                                  .id = json_str(json_get(v, "lease_id")),
                                  .user = json_str(json_path(v, "data.username")),
                                  .password = password};
        ignore_err(json_i64(json_get(v, "lease_duration"), &r->lease.seconds));
        return OK;
    }
    arena_release(&a);
    return e;
}

static void leased(void *ctx, struct err e, const struct http_result *res)
{
    struct records *r = ctx;
    if (!failed(e) && res->status != 200) {
        e = err_make(ERR_DENIED, "database/creds/records: status %d", res->status);
    }
    if (!failed(e)) {
        e = take_lease(r, res->body);
    }
    if (failed(e)) {
        give_up_for_now(r, "role");
        return;
    }
    service_ready(r->service);
    log_info("leased a database role", {"user", LOG_STR(r->lease.user)},
             {"seconds", LOG_INT(r->lease.seconds)});
    again(r, MAX(r->lease.seconds * 1000 / 2, (int64_t)RETRY_MS));
}

static void lease_role(struct records *r)
{
    char url[256], token[512];
    snprintf(url, sizeof(url), "%s/v1/database/creds/records", r->secrets_url);
    if (failed(str_to_cstr(secret_bytes(&r->token), token, sizeof(token)))) {
        give_up_for_now(r, "token");
        return;
    }
    struct http_header header = {S("x-vault-token"), str_of(token)};
    struct http_call call = {.method = S("GET"),
                             .url = str_of(url),
                             .headers = &header,
                             .n_headers = 1,
                             .done = leased,
                             .ctx = r};
    http_client_call(r->secrets, &call);
    wipe(token, sizeof(token));
}

/* ---- the token ---- */

static void logged_in(void *ctx, struct err e, const struct http_result *res)
{
    struct records *r = ctx;
    struct arena a;
    struct json *v;
    arena_init(&a, CALL_ARENA_MAX);
    if (!failed(e) && res->status != 200) {
        e = err_make(ERR_DENIED, "auth/jwt/login: status %d", res->status);
    }
    if (!failed(e)) {
        e = json_parse(&a, res->body, NULL, &v);
    }
    if (!failed(e)) {
        secret_release(&r->token);
        e = secret_copy(&r->token, json_str(json_path(v, "auth.client_token")));
    }
    arena_release(&a);
    if (failed(e)) {
        give_up_for_now(r, "login");
        return;
    }
    lease_role(r);
}

static void log_in(struct records *r, struct str jwt)
{
    struct buf body;
    char url[256];
    buf_init_secret(&body, 16 * 1024);
    snprintf(url, sizeof(url), "%s/v1/auth/jwt/login", r->secrets_url);
    buf_printf(&body, "{\"role\":\"service-b\",\"jwt\":\"%.*s\"}", STR_FMT(jwt));
    struct http_call call = {.method = S("POST"),
                             .url = str_of(url),
                             .body = buf_str(&body),
                             .content_type = S("application/json"),
                             .done = logged_in,
                             .ctx = r};
    http_client_call(r->secrets, &call);
    buf_release(&body);
}

/* ---- the SVID ---- */

static void got_jwt(void *ctx, const ProtobufCMessage *message)
{
    const JWTSVIDResponse *m = (const JWTSVIDResponse *)message;
    struct records *r = ctx;
    r->has_jwt = m->n_svids > 0;
    if (r->has_jwt) {
        log_in(r, str_of(m->svids[0]->svid));
    }
}

static void jwt_ended(void *ctx, int status, struct str message)
{
    struct records *r = ctx;
    if (status != 0 || !r->has_jwt) {
        ignore_err(err_make(ERR_DENIED, "FetchJWTSVID: %d %.*s", status, STR_FMT(message)));
        give_up_for_now(r, "SVID");
    }
}

static void fetch_jwt(void *ctx)
{
    struct records *r = ctx;
    r->timer = NULL;
    if (r->busy || !svid_source_ready(r->svid)) {
        again(r, RETRY_MS);
        return;
    }
    r->busy = true;
    r->has_jwt = false;
    char audience[] = "secrets";
    char *audiences[] = {audience};
    JWTSVIDRequest request = JWTSVIDREQUEST__INIT;
    request.n_audience = 1;
    request.audience = audiences;
    struct http_header metadata = {S("workload.spiffe.io"), S("true")};
    struct grpc_out out = {.path = "/SpiffeWorkloadAPI/FetchJWTSVID",
                           .request = &request.base,
                           .reply = &jwtsvidresponse__descriptor,
                           .metadata = &metadata,
                           .n_metadata = 1,
                           .timeout_ms = 5000,
                           .on_message = got_jwt,
                           .on_end = jwt_ended,
                           .ctx = r};
    grpc_client_call(r->workload, &out);
}

void records_renew_now(struct records *r)
{
    if (!r->busy) {
        again(r, 0);
    }
}

static void on_svid(void *ctx, struct svid_source *s, struct err e)
{
    (void)ctx;
    if (failed(e)) {
        log_warn("identity", {"detail", LOG_CSTR(err_detail())});
    } else {
        log_info("identity", {"spiffe_id", LOG_STR(svid_source_id(s))});
    }
}

struct err records_start(struct records *r, struct str workload_api)
{
    arena_init(&r->arena, CALL_ARENA_MAX);
    struct tls_client_opts tls = {0};
    TRY(tls_client_new(&tls, &r->tls));
    TRY(svid_source_start(r->loop, workload_api, on_svid, r, &r->svid));
    TRY(svid_source_attach_client(r->svid, r->tls));
    TRY(grpc_client_new(r->loop, workload_api, NULL, &r->workload));
    struct http_client_opts opts = {.tls = r->tls, .timeout_ms = 5000};
    TRY(http_client_new(r->loop, &opts, &r->secrets));
    TRY(http_client_new(r->loop, &opts, &r->crypto));
    again(r, 0);
    return OK;
}
