/*
 * transit/: the crypto daemon behind secrets' policies. Requests go on as they came; what crypto says comes back.
 * Crypto sees the caller as secrets, so each of its keys must grant secrets what is to be done here.
 */
#include "engines.h"

#include "lib/http/client.h"

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct request *r = ctx;
    if (failed(e)) {
        request_finish_err(r, err_make(ERR_UNAVAILABLE, "crypto cannot be reached"));
        return;
    }
    r->reply.raw = arena_str(r->arena, res->body);
    r->reply.status = res->status;
    if (res->status == 403) {
        r->denied_because = "crypto refused";
    }
    request_finish(r);
}

static const char *method_of(enum acl_op op)
{
    return op == ACL_READ ? "GET" : op == ACL_LIST ? "LIST" : op == ACL_DELETE ? "DELETE" : "POST";
}

static struct err pass_on(struct request *r)
{
    ENSURE(r->core->http != NULL && r->core->crypto_url.n > 0, ERR_UNAVAILABLE,
           "crypto is not configured");
    struct str body = r->op == ACL_READ || r->op == ACL_LIST || r->op == ACL_DELETE
                          ? STR_EMPTY
                          : json_text(r->arena, r->data);
    struct str url = arena_printf(r->arena, "%.*s/v1/transit/%.*s", STR_FMT(r->core->crypto_url),
                                  STR_FMT(r->rel));
    r->later = true;
    http_client_call(r->core->http, &(struct http_call){.method = str_of(method_of(r->op)),
                                                        .url = url,
                                                        .body = body,
                                                        .content_type = S("application/json"),
                                                        .trace = r->trace,
                                                        .timeout_ms = 10000,
                                                        .done = answered,
                                                        .ctx = r});
    return OK;
}

static const struct route routes[] = {
    {"{path...}", pass_on, pass_on, NULL, pass_on, pass_on, 0, NULL},
    {0},
};

const struct engine transit_engine = {.type = "transit", .routes = routes};
