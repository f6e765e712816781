/*
 * Envoy's external authorization, version 3. The request becomes the input that OPA's Envoy plugin
 * makes of it (attributes, parsed_path, parsed_query, parsed_body); the decision becomes the reply.
 */
#include "envoy.h"
#include "outing.h"

#include "authz/authz.h"
#include "lib/grpc/grpc.h"

#include <stdlib.h>

struct check {
    struct grpc_call *call; /* NULL when the caller has gone */
    struct authz *z;
    struct decision d;
    struct arena memory;
    struct val path[64], input;
    size_t n;
    Extauthz__CheckResponse *reply; /* NULL: `why` there is none */
    struct str why;
    struct outing *outing; /* while an answer from outside is on its way */
};

static void check_free(struct check *k)
{
    arena_release(&k->memory);
    free(k);
}

static void caller_gone(void *ctx)
{
    ((struct check *)ctx)->call = NULL;
}

static void recorded(void *ctx, struct err e)
{
    struct check *k = ctx;
    if (k->call == NULL) {
        check_free(k);
        return;
    }
    if (failed(e)) {
        grpc_end(k->call, GRPC_UNAVAILABLE, "the decision could not be recorded");
    } else if (k->reply == NULL) {
        grpc_end(k->call, GRPC_UNKNOWN, k->why.p);
    } else {
        grpc_send(k->call, &k->reply->base);
        grpc_end(k->call, GRPC_OK, NULL);
    }
    check_free(k);
}

/* The answer is made before its record is waited for: policies and data may change meanwhile. */
static void make_reply(struct check *k)
{
    k->why = S("the policy failed to evaluate");
    if (k->d.eval.failed) {
        return;
    }
    if (failed(envoy_reply(&k->memory, k->d.result, k->d.id, &k->reply))) {
        k->reply = NULL;
        k->why = arena_printf(&k->memory, "%s", err_detail());
        k->d.error = k->why.p;
        k->d.result = VAL_FALSE; /* nothing was let through */
    }
}

/* A request that cannot be read is denied before any policy is asked: 400 for the client. */
static void refuse_request(struct check *k)
{
    struct vlist l = {.a = &k->memory};
    vlist_put(&l, "allowed", VAL_FALSE);
    vlist_put(&l, "http_status", val_int(&k->memory, 400));
    k->d.error = "the request cannot be read";
    k->d.result = vlist_object(&l);
    make_reply(k);
}

static size_t decision_path(struct arena *a, struct str path, struct val *out, size_t max)
{
    size_t n = 0;
    while (path.p != NULL && n < max) {
        struct str part = str_split(&path, '/');
        if (part.n > 0) {
            out[n++] = val_str(a, part);
        }
    }
    return n;
}

/* Whom and what the decision is about, for its audit event. */
static void describe(struct arena *a, const Extauthz__CheckRequest *in, struct decision *d)
{
    const Extauthz__AttributeContext *c = in->attributes;
    const Extauthz__HttpRequest *h = c != NULL && c->request != NULL ? c->request->http : NULL;
    if (c != NULL && c->source != NULL && strncmp(c->source->principal, "spiffe://", 9) == 0) {
        d->actor = arena_str(a, str_of(c->source->principal));
    }
    if (h != NULL) {
        struct str path = str_of(h->path);
        d->resource = arena_printf(a, "%s %.*s", h->method,
                                   STR_FMT(str_sub(path, 0, str_find_char(path, '?'))));
    }
}

static void gone_waiting(void *ctx)
{
    struct check *k = ctx;
    outing_cancel(k->outing);
    check_free(k);
}

static void check_decide(void *ctx, struct outing *o)
{
    struct check *k = ctx;
    struct http_req *req = grpc_request(k->call);
    outing_begin(k->z, o, http_req_loop(req), check_decide, k);
    decide(k->z, k->path, k->n, k->input, false, &k->memory, &k->d);
    if (k->d.eval.waiting) {
        outing_wait(k->z);
    }
    k->outing = outing_end(k->z);
    if (k->outing != NULL) {
        grpc_on_abort(k->call, gone_waiting, k);
        return;
    }
    if (val_undef(k->d.result)) {
        k->d.result = VAL_FALSE;
    }
    make_reply(k);
    grpc_on_abort(k->call, caller_gone, k);
    decision_record(k->z, &k->d, req, recorded, k);
}

static void check_request(struct grpc_call *call, const ProtobufCMessage *m, void *ctx)
{
    struct authz *z = ctx;
    struct check *k = calloc(1, sizeof *k);
    BUG_ON(k == NULL);
    k->call = call;
    k->z = z;
    arena_init(&k->memory, (size_t)z->config->eval_memory);
    k->n = decision_path(&k->memory, z->config->ext_authz_path, k->path, ARRAY_LEN(k->path));
    struct str shown = z->config->ext_authz_path;
    k->d.path = str_sub(shown, str_starts(shown, S("/")), shown.n);
    const Extauthz__CheckRequest *in = (const Extauthz__CheckRequest *)m;
    decision_new_id(k->d.id);
    describe(&k->memory, in, &k->d);
    if (failed(envoy_input(&k->memory, in, &k->input))) {
        refuse_request(k);
        grpc_on_abort(k->call, caller_gone, k);
        decision_record(z, &k->d, grpc_request(call), recorded, k);
        return;
    }
    check_decide(k, NULL);
}

static bool serving(void *ctx)
{
    struct authz *z = ctx;
    return z->daemon == NULL || daemon_ready(z->daemon);
}

void ext_authz_routes(struct authz *z, struct router *r)
{
    grpc_method(r, "/envoy.service.auth.v3.Authorization/Check",
                &extauthz__check_request__descriptor, check_request, z);
    grpc_unknown(r, "envoy.service.auth.v3.Authorization");
    grpc_health(r, serving, z);
}
