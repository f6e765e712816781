/* An event as OCSF 1.8 JSON: https://schema.ocsf.io, attributes of each class by its `requirement`. */
#include "audit.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/json/json.h"

enum { OCSF_OTHER_ACTIVITY = 99, SEVERITY_INFORMATIONAL = 1, SEVERITY_LOW = 2 };
enum { STATUS_SUCCESS = 1, STATUS_FAILURE = 2, ACTION_ALLOWED = 1, ACTION_DENIED = 2 };
enum { USER_TYPE_USER = 1, USER_TYPE_SERVICE = 4 };

static bool is_outcome(const struct audit_event *e, const char *what)
{
    return e->outcome != NULL && strcmp(e->outcome, what) == 0;
}

static void put_optional(struct jw *w, struct str key, struct str value)
{
    if (value.n > 0) {
        jw_key_str(w, key, value);
    }
}

static void put_head(struct jw *w, const struct audit_event *e)
{
    int activity = e->activity_id != 0 ? e->activity_id : OCSF_OTHER_ACTIVITY;
    int severity = e->severity != 0          ? e->severity
                   : is_outcome(e, "denied") ? SEVERITY_LOW
                                             : SEVERITY_INFORMATIONAL;
    jw_key_int(w, S("class_uid"), e->class_uid);
    jw_key_int(w, S("category_uid"), e->class_uid / 1000);
    jw_key_int(w, S("activity_id"), activity);
    jw_key_str(w, S("activity_name"), str_of(e->activity));
    jw_key_int(w, S("type_uid"), (int64_t)e->class_uid * 100 + activity);
    jw_key_int(w, S("time"), clock_wall_ns() / NS_PER_MS);
    jw_key_int(w, S("severity_id"), severity);
    jw_key_int(w, S("status_id"), is_outcome(e, "allowed") ? STATUS_SUCCESS : STATUS_FAILURE);
    put_optional(w, S("status_detail"), e->reason);
    if (!is_outcome(e, "failed")) {
        jw_key_int(w, S("action_id"), is_outcome(e, "denied") ? ACTION_DENIED : ACTION_ALLOWED);
    }
}

static void put_metadata(struct jw *w, const struct audit_event *e, const char *daemon)
{
    char uid[UUID_TEXT], product[64], trace[TRACE_ID_TEXT];
    uuid4(uid);
    snprintf(product, sizeof(product), "sextant-%s", daemon);
    jw_key(w, S("metadata"));
    jw_obj(w);
    jw_key_str(w, S("version"), S("1.8.0"));
    jw_key_str(w, S("uid"), str_of(uid));
    if (trace_is_set(&e->trace)) {
        struct buf id;
        buf_init(&id, sizeof(trace));
        trace_id_put(&id, &e->trace);
        jw_key_str(w, S("correlation_uid"), buf_str(&id));
        buf_release(&id);
    }
    jw_key(w, S("product"));
    jw_obj(w);
    jw_key_str(w, S("name"), str_of(product));
    jw_key_str(w, S("vendor_name"), S("Sextant"));
    jw_end(w);
    jw_end(w);
}

static void put_user(struct jw *w, const struct audit_event *e)
{
    bool person = e->actor_user.n > 0;
    struct str uid = person ? e->actor_user : e->actor_spiffe_id;
    jw_key(w, S("user"));
    jw_obj(w);
    jw_key_str(w, S("uid"), uid.n > 0 ? uid : S("unknown"));
    jw_key_int(w, S("type_id"), person ? USER_TYPE_USER : USER_TYPE_SERVICE);
    jw_end(w);
}

static void put_actor(struct jw *w, const struct audit_event *e)
{
    jw_key(w, S("actor"));
    jw_obj(w);
    put_user(w, e);
    put_optional(w, S("app_uid"), e->actor_spiffe_id);
    if (e->session.n > 0) {
        jw_key(w, S("session"));
        jw_obj(w);
        jw_key_str(w, S("uid"), e->session);
        jw_end(w);
    }
    if (e->policy_path.n > 0 || e->decision_id.n > 0) {
        jw_key(w, S("authorizations"));
        jw_arr(w);
        jw_obj(w);
        put_optional(w, S("decision"), str_of(e->outcome));
        jw_key(w, S("policy"));
        jw_obj(w);
        put_optional(w, S("name"), e->policy_path);
        put_optional(w, S("uid"), e->policy_rule);
        jw_end(w);
        jw_end(w);
        jw_end(w);
    }
    jw_end(w);
}

/* "10.0.0.1:4242", "[::1]:4242" or "unix:"; the last has no address, so it is named. */
static void put_source(struct jw *w, struct str source)
{
    size_t colon = str_rfind_char(source, ':');
    uint64_t port = 0;
    jw_key(w, S("src_endpoint"));
    jw_obj(w);
    if (source.n == 0 || str_starts(source, S("unix:")) || colon == STR_NPOS ||
        failed(str_to_u64(str_sub(source, colon + 1, source.n), &port))) {
        jw_key_str(w, S("name"), source.n > 0 ? source : S("local"));
    } else {
        struct str ip = str_sub(source, 0, colon);
        bool bracketed = ip.n > 2 && ip.p[0] == '[';
        jw_key_str(w, S("ip"), bracketed ? str_sub(ip, 1, ip.n - 1) : ip);
        jw_key_int(w, S("port"), (int64_t)port);
    }
    jw_end(w);
}

static void put_resource(struct jw *w, struct str type, struct str uid)
{
    if (uid.n > 0) {
        jw_obj(w);
        jw_key_str(w, S("type"), type.n > 0 ? type : S("resource"));
        jw_key_str(w, S("uid"), uid);
        jw_end(w);
    }
}

static void put_resources(struct jw *w, const struct audit_event *e)
{
    if (e->resource_uid.n + e->secret_path.n + e->key_name.n + e->lease_id.n == 0) {
        return;
    }
    jw_key(w, S("resources"));
    jw_arr(w);
    put_resource(w, e->resource_type, e->resource_uid);
    put_resource(w, S("secret"), e->secret_path);
    put_resource(w, S("key"), e->key_name);
    put_resource(w, S("lease"), e->lease_id);
    jw_end(w);
}

static void put_named(struct jw *w, struct str key, struct str name)
{
    jw_key(w, key);
    jw_obj(w);
    jw_key_str(w, S("name"), name.n > 0 ? name : S("unknown"));
    if (str_is(key, "databucket")) {
        jw_key_int(w, S("type_id"), OCSF_OTHER_ACTIVITY);
    }
    jw_end(w);
}

/* Attributes that a class does not have stay in unmapped alone. */
static void put_common_part(struct jw *w, const struct audit_event *e)
{
    if (e->class_uid != OCSF_REMEDIATION_ACTIVITY) {
        put_actor(w, e);
        put_source(w, e->source_addr);
    }
    if (e->class_uid == OCSF_API_ACTIVITY) {
        jw_key(w, S("api"));
        jw_obj(w);
        jw_key_str(w, S("operation"), str_of(e->activity));
        jw_end(w);
        put_resources(w, e);
    }
}

/* What single classes require beside the common attributes. */
static void put_class_part(struct jw *w, const struct audit_event *e, const char *daemon)
{
    struct str resource = e->resource_uid.n > 0  ? e->resource_uid
                          : e->secret_path.n > 0 ? e->secret_path
                                                 : e->key_name;
    switch (e->class_uid) {
    case OCSF_AUTHENTICATION:
        put_user(w, e);
        put_named(w, S("service"), str_of(daemon));
        break;
    case OCSF_ACCOUNT_CHANGE:
        put_user(w, e);
        break;
    case OCSF_AUTHORIZE_SESSION:
    case OCSF_USER_ACCESS:
        put_user(w, e);
        jw_key(w, S("privileges"));
        jw_arr(w);
        jw_str(w, resource.n > 0 ? resource : str_of(e->activity));
        jw_end(w);
        break;
    case OCSF_ENTITY_MANAGEMENT:
        put_named(w, S("entity"), resource);
        break;
    case OCSF_DATASTORE_ACTIVITY:
        put_named(w, S("databucket"), resource);
        break;
    case OCSF_REMEDIATION_ACTIVITY:
        jw_key_str(w, S("command_uid"), resource.n > 0 ? resource : str_of(e->activity));
        break;
    default:
        break;
    }
}

static void put_own_fields(struct jw *w, const struct audit_event *e, const char *daemon)
{
    const struct {
        struct str key, value;
    } fields[] = {
        {S("daemon"), str_of(daemon)},
        {S("activity"), str_of(e->activity)},
        {S("outcome"), str_of(e->outcome)},
        {S("actor_user"), e->actor_user},
        {S("actor_spiffe_id"), e->actor_spiffe_id},
        {S("session"), e->session},
        {S("token_accessor"), e->token_accessor},
        {S("decision_id"), e->decision_id},
        {S("policy_path"), e->policy_path},
        {S("policy_rule"), e->policy_rule},
        {S("resource_type"), e->resource_type},
        {S("resource_uid"), e->resource_uid},
        {S("secret_path"), e->secret_path},
        {S("key_name"), e->key_name},
        {S("lease_id"), e->lease_id},
        {S("source_addr"), e->source_addr},
        {S("namespace"), e->namespace},
        {S("region"), e->region},
        {S("reason"), e->reason},
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        put_optional(w, fields[i].key, fields[i].value);
    }
    if (trace_is_set(&e->trace)) {
        struct buf ids;
        buf_init(&ids, TRACE_ID_TEXT + 16);
        hex_put(&ids, str_n(e->trace.trace_id, sizeof(e->trace.trace_id)));
        jw_key_str(w, S("trace_id"), buf_str(&ids));
        buf_clear(&ids);
        hex_put(&ids, str_n(e->trace.span_id, sizeof(e->trace.span_id)));
        jw_key_str(w, S("span_id"), buf_str(&ids));
        buf_release(&ids);
    }
    for (uint32_t i = 0; json_is(e->extra, JSON_OBJECT) && i < e->extra->n; i++) {
        jw_key(w, e->extra->members[i].key);
        jw_json(w, e->extra->members[i].value);
    }
}

void audit_event_write(struct buf *out, const struct audit_event *e, const char *daemon)
{
    struct jw w;
    BUG_ON(e->class_uid == 0 || e->activity == NULL || e->outcome == NULL);
    jw_init(&w, out);
    jw_obj(&w);
    put_head(&w, e);
    put_metadata(&w, e, daemon);
    put_common_part(&w, e);
    put_class_part(&w, e, daemon);
    jw_key(&w, S("unmapped"));
    jw_obj(&w);
    jw_key(&w, S("sextant"));
    jw_obj(&w);
    put_own_fields(&w, e, daemon);
    jw_end(&w);
    jw_end(&w);
    jw_end(&w);
    buf_putc(out, '\n');
}
