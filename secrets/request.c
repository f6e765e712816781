/* The way of one request, from its path to its durable, audited answer. */
#include "request_priv.h"

#include "identity.h"
#include "lease.h"
#include "token.h"
#include "trail.h"

#include "lib/base/log.h"
#include "lib/telemetry/audit.h"
#include "lib/telemetry/telemetry.h"

static struct metric handled =
    METRIC_COUNTER("sextant_secrets_requests_total", "Requests by outcome.", "outcome", "allowed");
static struct metric refused =
    METRIC_COUNTER("sextant_secrets_requests_total", "Requests by outcome.", "outcome", "denied");
static struct metric broken =
    METRIC_COUNTER("sextant_secrets_requests_total", "Requests by outcome.", "outcome", "failed");

/* ---- the end ---- */

static void leave(struct request *r)
{
    struct core *c = r->core;
    struct metric *m = r->status < 400 ? &handled : r->status == 403 ? &refused : &broken;
    metric_add(m, 1);
    token_unref(r->token);
    r->token = NULL;
    mount_unref(r->mount);
    r->mount = NULL;
    c->inflight--;
    bool seal = c->sealing && c->inflight == 0;
    r->done(r);
    if (seal) {
        core_seal(c);
    }
}

/* What this request made must not outlive an answer that cannot be given. */
static void undo(struct request *r)
{
    if (r->core->sealed) {
        return;
    }
    if (r->reply.lease != NULL) {
        lease_revoke(r->core, r->reply.lease, NULL);
    }
    if (r->reply.token != NULL && !r->reply.token->revoked) {
        token_revoke(r->core, r->reply.token, false);
    }
}

static void after_audit(void *ctx, struct err e)
{
    struct request *r = ctx;
    if (failed(e)) {
        log_error("audit did not take an event; the answer is withheld",
                  {"detail", LOG_CSTR(err_detail())}, {"path", LOG_STR(r->path)});
        undo(r);
        reply_build_error(r, 500, S("audit is unavailable; nothing was answered"));
    }
    leave(r);
}

static void after_commit(void *ctx, struct err e)
{
    struct request *r = ctx;
    if (failed(e)) {
        log_error("storage did not take a write", {"detail", LOG_CSTR(err_detail())});
        r->denied_because = "storage failed";
        reply_build_error(r, 500, S("internal error"));
    }
    if (r->core->audit != NULL) {
        request_audit(r, after_audit);
    } else {
        after_audit(r, r->core->opts.audit_required ? err_make(ERR_UNAVAILABLE, "no audit") : OK);
    }
}

/* A token whose last use this was goes, and takes what it was given with it. */
static void end_last_use(struct request *r)
{
    if (r->token == NULL || r->token->uses != -1 || r->token->revoked) {
        return;
    }
    bool leased = r->reply.lease != NULL;
    token_revoke(r->core, r->token, false);
    if (leased) {
        r->reply = (struct reply){0};
        ignore_err(reply_error(r, 400,
                               "Secret cannot be returned; token had one use left, so leased "
                               "credentials were immediately revoked."));
    }
}

void request_finish(struct request *r)
{
    if (r->in_handler) {
        r->later = false; /* call_handler goes on from here, so that `r` outlives its handler */
        return;
    }
    end_last_use(r);
    if (r->wrap && r->reply.errors == NULL && r->reply.form != FORM_RAW && r->reply.raw.p == NULL &&
        (r->reply.data != NULL || r->reply.auth != NULL)) {
        struct err e = wrap_reply(r);
        if (failed(e)) {
            undo(r);
            r->reply = (struct reply){0};
            ignore_err(reply_error(r, err_http_status(e), "%s", err_detail()));
        }
    }
    reply_build(r);
    if (r->core->sealed) {
        reply_build_error(r, 503, S("Vault is sealed"));
    }
    storage_commit(r->core->st, after_commit, r);
}

/* Our own texts go to the client; what a library says stays in the log. */
static bool text_is_for_clients(struct err e)
{
    return e.code != ERR_IO && e.code != ERR_CRYPTO && e.code != ERR_INTERNAL;
}

static int status_of(struct err e)
{
    switch (e.code) {
    case ERR_UNAUTHENTICATED:
    case ERR_REVOKED:
    case ERR_DENIED:
        return 403;
    case ERR_EXISTS:
    case ERR_CONFLICT:
    case ERR_EXPIRED:
    case ERR_SIGNATURE:
    case ERR_UNSUPPORTED:
        return 400;
    default:
        return err_http_status(e);
    }
}

void request_finish_err(struct request *r, struct err e)
{
    undo(r);
    struct json *warnings = r->reply.warnings;
    r->reply = (struct reply){.warnings = warnings};
    if (text_is_for_clients(e)) {
        ignore_err(reply_error(r, status_of(e), "%s", err_detail()));
    } else {
        log_error("request failed", {"path", LOG_STR(r->path)}, {"detail", LOG_CSTR(err_detail())});
        ignore_err(reply_error(r, 500, "internal error"));
    }
    request_finish(r);
}

static void refuse(struct request *r, const char *why)
{
    r->denied_because = why;
    ignore_err(reply_error(r, 403, "permission denied"));
    request_finish(r);
}

/* ---- the way in ---- */

static void find_mount(struct request *r)
{
    r->mount = mount_of(r->core, r->path);
    if (r->mount == NULL) {
        return;
    }
    mount_ref(r->mount);
    r->rel = str_sub(r->path, MIN(r->mount->path.n, r->path.n), r->path.n);
    if (r->op == ACL_LIST && str_ends(r->rel, S("/"))) {
        r->rel = str_sub(r->rel, 0, r->rel.n - 1);
    }
    if (r->rel.p == NULL) {
        r->rel = S("");
    }
    route_find(r);
}

/* ERR_DENIED with the reason for the audit record. */
static struct err find_token(struct request *r)
{
    struct core *c = r->core;
    ENSURE(r->client_token.n > 0, ERR_DENIED, "no token");
    struct token *t = token_find(c, r->client_token);
    if (t == NULL && r->client_token.n <= TOKEN_ID_MAX) {
        char hash[HASH_TEXT];
        token_hash(c, r->client_token, hash);
        if (trail_recall(c, hash, &r->actor_accessor, &r->actor)) {
            r->actor_accessor = arena_str(r->arena, r->actor_accessor);
            r->actor = arena_str(r->arena, r->actor);
            FAIL(ERR_DENIED, "revoked token");
        }
    }
    ENSURE(t != NULL, ERR_DENIED, "unknown or expired token");
    r->token = token_ref(t);
    r->entity = t->entity_id.n > 0 ? entity_by_id(c, t->entity_id) : NULL;
    return OK;
}

static void note_rule(struct request *r, const struct acl_verdict *v)
{
    if (v->root) {
        r->policy_name = S("root");
    }
    unsigned need = acl_capability_of(r->op);
    for (size_t i = 0; v->rule != NULL && i < v->rule->n_granting; i++) {
        unsigned caps = v->rule->granting_caps[i];
        if (r->policy_name.n == 0 || (caps & need) != 0 || (caps & CAP_DENY) != 0) {
            r->policy_name = arena_str(r->arena, v->rule->granting[i]->name);
            r->policy_line = v->rule->granting_lines[i];
        }
    }
}

/* NULL when the policies of the token allow this. */
static const char *check_policy(struct request *r)
{
    struct acl *acl;
    struct acl_verdict v;
    if (failed(core_acl(r->core, r->token, &acl))) {
        return "the policies of the token do not compile";
    }
    acl_check(acl,
              &(struct acl_request){.op = r->op,
                                    .path = r->path,
                                    .data = r->data,
                                    .wrapped = r->wrap,
                                    .wrap_ttl_s = r->wrap_ttl_s},
              &v);
    note_rule(r, &v);
    r->root = v.root;
    r->sudo = v.sudo;
    if (!v.allowed) {
        return v.rule == NULL ? "no policy grants this path" : "the policy does not grant this";
    }
    if (r->route != NULL && (r->route->flags & ROUTE_SUDO) != 0 && !v.sudo) {
        return "sudo is needed";
    }
    return NULL;
}

static const char *check_entity(const struct request *r)
{
    if (r->entity == NULL) {
        return NULL;
    }
    if (r->entity->disabled) {
        return "the entity is disabled";
    }
    if (r->entity->spiffe_id.n > 0 && map_get(&r->core->banned, r->entity->spiffe_id) != NULL) {
        return "the SPIFFE id is banned";
    }
    return NULL;
}

static void call_handler(struct request *r)
{
    if (r->mount == NULL) {
        ignore_err(reply_error(r, 404, "no handler for route \"%.*s\". route entry not found.",
                               STR_FMT(r->path)));
        request_finish(r);
        return;
    }
    handler *fn = r->route != NULL ? route_handler(r) : NULL;
    if (fn == NULL) {
        ignore_err(r->route == NULL ? reply_error(r, 404, "unsupported path")
                                    : reply_error(r, 405, "unsupported operation"));
        request_finish(r);
        return;
    }
    r->in_handler = true;
    struct err e = fn(r);
    r->in_handler = false;
    if (failed(e)) {
        request_finish_err(r, e);
    } else if (!r->later) {
        request_finish(r);
    }
}

/* Token, policy, entity and use count; false when the request has been refused. */
static bool admit(struct request *r)
{
    struct err e = find_token(r);
    if (failed(e)) {
        refuse(r, arena_cstr(r->arena, str_of(err_detail())));
        return false;
    }
    bool last = false;
    e = token_use(r->core, r->token, &last);
    const char *why = failed(e) ? "the use could not be counted" : check_policy(r);
    why = why != NULL ? why : check_entity(r);
    if (why != NULL) {
        refuse(r, why);
        return false;
    }
    return true;
}

static bool is_open(const struct request *r)
{
    return r->route != NULL && (r->route->flags & ROUTE_UNAUTH) != 0;
}

void request_start(struct request *r)
{
    struct core *c = r->core;
    c->inflight++;
    uuid4(r->id);
    buf_init_secret(&r->body, 33 << 20);
    if (c->sealed || c->sealing) {
        ignore_err(reply_error(r, 503, "Vault is sealed"));
        request_finish(r);
        return;
    }
    find_mount(r);
    if (c->audit != NULL && c->opts.audit_required && !audit_reachable(c->audit)) {
        ignore_err(reply_error(r, 500, "audit is unavailable; nothing is served without it"));
        request_finish(r);
        return;
    }
    if (r->op == ACL_UPDATE && r->route != NULL && r->route->exists != NULL &&
        !r->route->exists(r)) {
        r->op = ACL_CREATE;
    }
    if (r->internal) {
        r->root = r->sudo = true;
    } else if (!is_open(r) && !admit(r)) {
        return;
    }
    call_handler(r);
}
