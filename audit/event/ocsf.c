/* The OCSF 1.8 classes that are taken in: what each requires (https://schema.ocsf.io/1.8.0). */
#include "event.h"

#include <inttypes.h>

enum { NAMES_MAX = 4 };

struct class_rule {
    int64_t uid;
    const char *name;
    const char *required[NAMES_MAX]; /* beside the common ones */
    const char *at_least_one[NAMES_MAX];
    bool exactly_one;     /* of at_least_one */
    int64_t activity_max; /* 0..activity_max and 99 */
};

static const struct class_rule classes[] = {
    {2003, "compliance_finding", {"compliance", "finding_info"}, {0}, false, 3},
    {2004, "detection_finding", {"finding_info"}, {0}, false, 3},
    {2005,
     "incident_finding",
     {"finding_info_list", "status_id"},
     {"assignee", "assignee_group"},
     false,
     3},
    {3001, "account_change", {"user"}, {0}, false, 14},
    {3002, "authentication", {"user"}, {"service", "dst_endpoint"}, false, 7},
    {3003, "authorize_session", {"user"}, {"privileges", "group"}, true, 2},
    {3004, "entity_management", {"entity"}, {0}, false, 14},
    {3005, "user_access", {"user", "privileges"}, {0}, false, 2},
    {3006, "group_management", {"group"}, {0}, false, 6},
    {4001, "network_activity", {0}, {"src_endpoint", "dst_endpoint"}, false, 7},
    {4002, "http_activity", {0}, {"http_request", "http_response"}, false, 9},
    {6003, "api_activity", {"actor", "api", "src_endpoint"}, {0}, false, 4},
    {6005,
     "datastore_activity",
     {"actor", "src_endpoint"},
     {"database", "databucket", "table"},
     false,
     10},
    {7001, "remediation_activity", {"command_uid"}, {0}, false, 5},
};

static const struct class_rule *find_class(int64_t uid)
{
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        if (classes[i].uid == uid) {
            return &classes[i];
        }
    }
    return NULL;
}

static struct err need_integer(const struct json *v, const char *key, int64_t *out)
{
    const struct json *m = json_get(v, key);
    ENSURE(m != NULL, ERR_INVALID, "the event lacks '%s'", key);
    struct err e = json_i64(m, out);
    return failed(e) ? err_wrap(e, "'%s'", key) : OK;
}

static struct err check_parts(const struct json *v, const struct class_rule *c)
{
    for (size_t i = 0; i < NAMES_MAX && c->required[i] != NULL; i++) {
        ENSURE(json_get(v, c->required[i]) != NULL, ERR_INVALID, "an event of class %s needs '%s'",
               c->name, c->required[i]);
    }
    size_t have = 0;
    for (size_t i = 0; i < NAMES_MAX && c->at_least_one[i] != NULL; i++) {
        have += json_get(v, c->at_least_one[i]) != NULL;
    }
    ENSURE(c->at_least_one[0] == NULL || have > 0, ERR_INVALID,
           "an event of class %s needs '%s' or '%s'", c->name, c->at_least_one[0],
           c->at_least_one[1] != NULL ? c->at_least_one[1] : "");
    ENSURE(!c->exactly_one || have == 1, ERR_INVALID,
           "an event of class %s has '%s' or '%s', not both", c->name, c->at_least_one[0],
           c->at_least_one[1]);
    return OK;
}

static struct err check_metadata(const struct json *v)
{
    const struct json *m = json_get(v, "metadata"), *product = json_get(m, "product");
    ENSURE(json_is(m, JSON_OBJECT), ERR_INVALID, "the event lacks 'metadata'");
    ENSURE(json_str(json_get(m, "version")).n > 0, ERR_INVALID,
           "the event lacks 'metadata.version'");
    ENSURE(json_str(json_get(product, "name")).n > 0 || json_str(json_get(product, "uid")).n > 0,
           ERR_INVALID, "'metadata.product' needs a name or uid");
    struct str uid = json_str(json_get(m, "uid"));
    ENSURE(uid.n > 0 && uid.n <= 128, ERR_INVALID,
           "the event lacks 'metadata.uid', by which repeated deliveries are told apart");
    return OK;
}

struct err event_check(const struct json *v)
{
    int64_t class_uid, activity, type, category, severity, when;
    ENSURE(json_is(v, JSON_OBJECT), ERR_INVALID, "an event is a JSON object, not %s",
           json_type_name(v->type));
    TRY(need_integer(v, "class_uid", &class_uid));
    const struct class_rule *c = find_class(class_uid);
    ENSURE(c != NULL, ERR_INVALID, "class_uid %" PRId64 " is not one of the OCSF classes taken in",
           class_uid);
    TRY(need_integer(v, "activity_id", &activity));
    TRY(need_integer(v, "type_uid", &type));
    TRY(need_integer(v, "category_uid", &category));
    TRY(need_integer(v, "severity_id", &severity));
    TRY(need_integer(v, "time", &when));
    ENSURE((activity >= 0 && activity <= c->activity_max) || activity == 99, ERR_INVALID,
           "activity_id %" PRId64 " does not exist in class %s", activity, c->name);
    ENSURE(category == class_uid / 1000, ERR_INVALID, "category_uid of class %s is %" PRId64,
           c->name, class_uid / 1000);
    ENSURE(type == class_uid * 100 + activity, ERR_INVALID, "type_uid should be %" PRId64,
           class_uid * 100 + activity);
    ENSURE((severity >= 0 && severity <= 6) || severity == 99, ERR_INVALID,
           "severity_id %" PRId64 " is not 0 to 6 or 99", severity);
    ENSURE(when > 0 && when < INT64_C(253402300800000), ERR_INVALID,
           "'time' is milliseconds since 1970, not %" PRId64, when);
    TRY(check_metadata(v));
    return check_parts(v, c);
}
