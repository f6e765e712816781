/* One OCSF event a request; every value that came with it as an HMAC under the installation's key. */
#include "request_priv.h"

#include "identity.h"
#include "lease.h"
#include "token.h"

#include "lib/telemetry/audit.h"

enum { VALUES_MAX = 64 /* HMACed values in one event */, DEPTH_MAX = 8 };

static struct json *hashed_value(struct request *r, const struct json *v, unsigned *left,
                                 unsigned depth)
{
    struct arena *a = r->arena;
    if (*left == 0 || depth == DEPTH_MAX) {
        return json_new_string(a, S("..."));
    }
    if (v->type == JSON_STRING) {
        --*left;
        return json_new_string(a, core_hmac(r->core, a, v->text));
    }
    if (v->type != JSON_OBJECT && v->type != JSON_ARRAY) {
        return json_copy(a, v);
    }
    struct json *out = v->type == JSON_OBJECT ? json_new_object(a) : json_new_array(a);
    for (uint32_t i = 0; i<v->n && * left> 0; i++) {
        if (v->type == JSON_OBJECT) {
            json_set(a, out, v->members[i].key,
                     hashed_value(r, v->members[i].value, left, depth + 1));
        } else {
            json_push(a, out, hashed_value(r, v->items[i], left, depth + 1));
        }
    }
    return out;
}

static const char *activity_of(const struct request *r)
{
    static const char *const names[] = {
        [ACL_READ] = "read",     [ACL_UPDATE] = "update", [ACL_CREATE] = "create",
        [ACL_DELETE] = "delete", [ACL_PATCH] = "patch",   [ACL_LIST] = "list",
        [ACL_SCAN] = "scan",     [ACL_HELP] = "help",
    };
    if (r->reply.auth != NULL && r->mount != NULL && r->mount->engine->auth && r->token == NULL) {
        return "login";
    }
    if (str_starts(r->path, S("sys/leases/revoke")) || str_starts(r->path, S("sys/revoke"))) {
        return "lease.revoke";
    }
    if (str_starts(r->path, S("sys/leases/renew")) || str_is(r->path, "sys/renew")) {
        return "lease.renew";
    }
    if (str_starts(r->path, S("auth/token/revoke"))) {
        return "token.revoke";
    }
    return names[r->op];
}

static bool is_login(const struct request *r)
{
    return r->route != NULL && (r->route->flags & ROUTE_UNAUTH) != 0 && r->mount->engine->auth;
}

static const char *resource_of(const struct request *r)
{
    if (r->mount == NULL) {
        return "path";
    }
    const char *type = r->mount->engine->type;
    return strcmp(type, "kv") == 0         ? "secret"
           : strcmp(type, "database") == 0 ? "database-credentials"
           : strcmp(type, "system") == 0   ? "system"
                                           : type;
}

static struct str reason_of(const struct request *r)
{
    if (r->denied_because != NULL) {
        return str_of(r->denied_because);
    }
    const struct json *errors = r->reply.errors;
    return errors != NULL && errors->n > 0 ? json_str(errors->items[0]) : STR_EMPTY;
}

static struct str actor_name(struct request *r, const struct token *t)
{
    if (r->actor.n > 0) {
        return r->actor;
    }
    if (r->entity != NULL && r->entity->spiffe_id.n > 0) {
        return r->entity->spiffe_id;
    }
    if (t != NULL) {
        return t->display_name;
    }
    return r->internal ? S("sextant-secrets") : r->peer_spiffe_id;
}

static struct json *details(struct request *r)
{
    struct arena *a = r->arena;
    unsigned left = VALUES_MAX;
    struct json *extra = json_new_object(a);
    json_set_str(a, extra, "request_id", str_of(r->id));
    json_set_str(a, extra, "path", r->path);
    json_set_int(a, extra, "status", r->status);
    if (r->mount != NULL) {
        json_set_str(a, extra, "mount_point", arena_str(a, r->mount->path));
        json_set_str(a, extra, "mount_type", str_of(r->mount->engine->type));
    }
    if (r->entity != NULL) {
        json_set_str(a, extra, "entity_id", arena_str(a, str_of(r->entity->id)));
    }
    if (r->data->n > 0) {
        json_put(a, extra, "request_data", hashed_value(r, r->data, &left, 0));
    }
    return extra;
}

void request_audit(struct request *r, void (*done)(void *ctx, struct err e))
{
    bool login = is_login(r), denied = r->status == 403 || (login && r->status >= 400);
    const struct token *t = r->token != NULL ? r->token : r->reply.token;
    struct str who = r->core->sealed ? STR_EMPTY : actor_name(r, t);
    bool spiffe = str_starts(who, S("spiffe://"));
    struct audit_event e = {
        .class_uid = login ? OCSF_AUTHENTICATION : OCSF_API_ACTIVITY,
        .activity = login ? "login" : activity_of(r),
        .outcome = r->status < 400 || (r->status == 404 && r->denied_because == NULL) ? "allowed"
                   : denied                                                           ? "denied"
                                                                                      : "failed",
        .actor_user = spiffe ? STR_EMPTY : who,
        .actor_spiffe_id = spiffe ? who : STR_EMPTY,
        .token_accessor = t != NULL ? str_of(t->accessor) : r->actor_accessor,
        .policy_path = r->policy_name,
        .resource_type = str_of(resource_of(r)),
        .resource_uid = r->path,
        .secret_path = r->mount != NULL && !r->mount->engine->auth &&
                               strcmp(r->mount->engine->type, "system") != 0
                           ? r->path
                           : STR_EMPTY,
        .lease_id = r->reply.lease_id,
        .source_addr = r->source,
        .reason = r->status >= 400 ? reason_of(r) : STR_EMPTY,
        .trace = r->trace,
    };
    if (r->policy_line > 0) {
        e.policy_rule = arena_printf(r->arena, "%.*s:%u", STR_FMT(r->policy_name), r->policy_line);
    }
    e.extra = r->core->sealed ? NULL : details(r);
    audit_emit(r->core->audit, &e, done, r);
}
