/* AuthorizationPolicy documents: admission and reading in one pass. */
#include "policy_priv.h"

struct field_name {
    const char *any, *none;
    enum mesh_field field;
};

static const struct field_name source_fields[] = {
    {"principals", "notPrincipals", FIELD_PRINCIPAL},
    {"requestPrincipals", "notRequestPrincipals", FIELD_REQUEST_PRINCIPAL},
    {"namespaces", "notNamespaces", FIELD_NAMESPACE},
    {"ipBlocks", "notIpBlocks", FIELD_SOURCE_IP},
    {"remoteIpBlocks", "notRemoteIpBlocks", FIELD_REMOTE_IP},
    {"serviceAccounts", "notServiceAccounts", FIELD_SERVICE_ACCOUNT},
    {"trustDomains", "notTrustDomains", FIELD_TRUST_DOMAIN},
};

static const struct field_name operation_fields[] = {
    {"hosts", "notHosts", FIELD_HOST},
    {"ports", "notPorts", FIELD_PORT},
    {"methods", "notMethods", FIELD_METHOD},
    {"paths", "notPaths", FIELD_PATH},
};

static bool is_field_of(const struct field_name *names, size_t n, struct str key)
{
    for (size_t i = 0; i < n; i++) {
        if (str_is(key, names[i].any) || str_is(key, names[i].none)) {
            return true;
        }
    }
    return false;
}

/* One source or operation: every listed field a condition. */
static struct err read_clause(struct mesh_reader *r, const struct json *obj, const char *what,
                              const struct field_name *names, size_t n_names, struct str ns,
                              struct mesh_clause *out)
{
    if (!json_is(obj, JSON_OBJECT) || obj->n == 0) {
        return mesh_invalid(obj, "%s must list at least one field", what);
    }
    for (uint32_t i = 0; i < obj->n; i++) {
        if (!is_field_of(names, n_names, obj->members[i].key)) {
            return err_make_at(ERR_INVALID, obj->members[i].line, obj->members[i].col,
                               "%s has no field '%.*s'", what, STR_FMT(obj->members[i].key));
        }
    }
    out->conds = arena_array(r->arena, struct mesh_cond, n_names);
    for (size_t i = 0; i < n_names; i++) {
        struct mesh_cond *c = &out->conds[out->n];
        c->field = names[i].field;
        TRY(mesh_read_values(r, c->field, json_get(obj, names[i].any), names[i].any, ns, &c->any));
        TRY(mesh_read_values(r, c->field, json_get(obj, names[i].none), names[i].none, ns,
                             &c->none));
        out->n += c->any.n + c->none.n > 0;
    }
    return OK;
}

static struct err check_source(const struct json *source)
{
    bool accounts = json_get(source, "serviceAccounts") != NULL ||
                    json_get(source, "notServiceAccounts") != NULL;
    bool others =
        json_get(source, "principals") != NULL || json_get(source, "notPrincipals") != NULL ||
        json_get(source, "namespaces") != NULL || json_get(source, "notNamespaces") != NULL;
    return accounts && others
               ? mesh_invalid(source,
                              "serviceAccounts cannot stand beside principals or namespaces")
               : OK;
}

/* from and to: lists of {source: {...}} or {operation: {...}}. */
static struct err read_clauses(struct mesh_reader *r, const struct json *list, const char *what,
                               const char *inner, struct str ns, struct mesh_clause **out,
                               size_t *n)
{
    bool source = str_is(str_of(inner), "source");
    const struct field_name *names = source ? source_fields : operation_fields;
    size_t n_names = source ? ARRAY_LEN(source_fields) : ARRAY_LEN(operation_fields);
    const char *const known[] = {inner, NULL};
    if (list == NULL || json_is(list, JSON_NULL)) {
        return OK;
    }
    if (!json_is(list, JSON_ARRAY) || list->n == 0 || list->n > MESH_RULES_MAX) {
        return mesh_invalid(list, "%s must be a list of 1 to %d", what, MESH_RULES_MAX);
    }
    *out = arena_array(r->arena, struct mesh_clause, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        TRY(mesh_check_fields(list->items[i], what, known));
        const struct json *obj = json_get(list->items[i], inner);
        if (source && obj != NULL) {
            TRY(check_source(obj));
        }
        if (obj == NULL) {
            return mesh_invalid(list->items[i], "%s needs %s", what, inner);
        }
        TRY(read_clause(r, obj, inner, names, n_names, ns, &(*out)[(*n)]));
        (*n)++;
    }
    return OK;
}

static struct err read_when(struct mesh_reader *r, const struct json *list, struct str ns,
                            struct mesh_clause *out)
{
    static const char *const known[] = {"key", "values", "notValues", NULL};
    if (list == NULL || json_is(list, JSON_NULL)) {
        return OK;
    }
    if (!json_is(list, JSON_ARRAY) || list->n > MESH_RULES_MAX) {
        return mesh_invalid(list, "when must be a list of at most %d conditions", MESH_RULES_MAX);
    }
    out->conds = arena_array(r->arena, struct mesh_cond, list->n);
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *c = list->items[i];
        struct mesh_cond *cond = &out->conds[out->n++];
        TRY(mesh_check_fields(c, "a condition", known));
        if (json_get(c, "key") == NULL) {
            return mesh_invalid(c, "a condition needs a key");
        }
        TRY(mesh_read_condition_key(r, json_get(c, "key"), cond));
        TRY(mesh_read_values(r, cond->field, json_get(c, "values"), "values", ns, &cond->any));
        TRY(mesh_read_values(r, cond->field, json_get(c, "notValues"), "notValues", ns,
                             &cond->none));
        if (cond->any.n + cond->none.n == 0) {
            return mesh_invalid(c, "a condition needs values or notValues");
        }
    }
    return OK;
}

/* What a rule is made of, for the checks below and the HTTP flag. */
struct census {
    bool http, other, identity_or_token, port;
};

static void count_clause(const struct mesh_clause *c, struct census *n)
{
    for (size_t i = 0; i < c->n; i++) {
        enum mesh_field f = c->conds[i].field;
        n->http = n->http || mesh_field_needs_http(f);
        n->other = n->other || !mesh_field_needs_http(f);
        n->port = n->port || f == FIELD_PORT;
        n->identity_or_token =
            n->identity_or_token || mesh_field_is_identity(f) || mesh_field_is_token(f);
    }
}

static struct census count_rule(const struct mesh_rule *rule)
{
    struct census n = {0};
    for (size_t i = 0; i < rule->n_from; i++) {
        count_clause(&rule->from[i], &n);
    }
    for (size_t i = 0; i < rule->n_to; i++) {
        count_clause(&rule->to[i], &n);
    }
    count_clause(&rule->when, &n);
    return n;
}

static struct err check_rule(struct mesh_reader *r, const struct json *obj,
                             const struct mesh_authz *p, struct mesh_rule *rule)
{
    struct census n = count_rule(rule);
    rule->needs_http = n.http;
    if (p->action == ACTION_CUSTOM && n.identity_or_token) {
        return mesh_invalid(
            obj, "a CUSTOM rule cannot use the peer's identity or request.auth: the provider is "
                 "asked before they count");
    }
    if (p->action == ACTION_DENY && n.http && !n.port) {
        r->warning = S("a DENY rule with HTTP fields and no ports denies every TCP connection; "
                       "list the HTTP ports");
    }
    return OK;
}

static struct err read_rule(struct mesh_reader *r, const struct json *obj, struct mesh_authz *p,
                            size_t index)
{
    static const char *const known[] = {"from", "to", "when", NULL};
    struct mesh_rule *rule = &p->rules[index];
    TRY(mesh_check_fields(obj, "a rule", known));
    rule->policy = p;
    rule->line = obj->line;
    rule->key = arena_printf(r->arena, "ns[%.*s]-policy[%.*s]-rule[%zu]", STR_FMT(p->object.ns),
                             STR_FMT(p->object.name), index);
    TRY(read_clauses(r, json_get(obj, "from"), "from", "source", p->object.ns, &rule->from,
                     &rule->n_from));
    TRY(read_clauses(r, json_get(obj, "to"), "to", "operation", p->object.ns, &rule->to,
                     &rule->n_to));
    TRY(read_when(r, json_get(obj, "when"), p->object.ns, &rule->when));
    return check_rule(r, obj, p, rule);
}

static struct err read_action(const struct json *spec, enum mesh_action *out)
{
    static const char *const names[] = {"ALLOW", "DENY", "AUDIT", "CUSTOM"};
    const struct json *v = json_get(spec, "action");
    *out = ACTION_ALLOW;
    for (size_t i = 0; v != NULL && i < ARRAY_LEN(names); i++) {
        if (str_is(json_str(v), names[i])) {
            *out = (enum mesh_action)i;
            return OK;
        }
    }
    return v == NULL ? OK : mesh_invalid(v, "action must be ALLOW, DENY, AUDIT or CUSTOM");
}

static bool is_dns_label(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && (c != '-' || i == 0 || i + 1 == s.n)) {
            return false;
        }
    }
    return s.n > 0 && s.n <= 63;
}

static struct err read_provider(const struct json *spec, struct mesh_authz *p)
{
    static const char *const known[] = {"name", NULL};
    const struct json *v = json_get(spec, "provider");
    if ((v != NULL) != (p->action == ACTION_CUSTOM)) {
        return mesh_invalid(v != NULL ? v : spec, p->action == ACTION_CUSTOM
                                                      ? "action CUSTOM needs provider.name"
                                                      : "provider belongs to action CUSTOM only");
    }
    if (v == NULL) {
        return OK;
    }
    TRY(mesh_check_fields(v, "provider", known));
    p->provider = json_str(json_get(v, "name"));
    return is_dns_label(p->provider)
               ? OK
               : mesh_invalid(v, "provider.name must be a DNS label of at most 63 characters");
}

static struct err read_dry_run(const struct json *doc, struct mesh_authz *p)
{
    const struct json *annotations = json_path(doc, "metadata.annotations");
    const struct json *v = json_get(annotations, "istio.io/dry-run");
    if (v == NULL) {
        return OK;
    }
    if (!str_is(json_str(v), "true") && !str_is(json_str(v), "false")) {
        return mesh_invalid(v, "istio.io/dry-run must be \"true\" or \"false\"");
    }
    p->dry_run = str_is(json_str(v), "true");
    if (p->action != ACTION_ALLOW && p->action != ACTION_DENY) {
        return mesh_invalid(v, "istio.io/dry-run is for ALLOW and DENY only");
    }
    return OK;
}

struct err mesh_read_authz(struct mesh_reader *r, const struct json *doc, struct mesh_authz *out)
{
    static const char *const known[] = {"selector", "targetRef", "targetRefs", "rules",
                                        "action",   "provider",  NULL};
    const struct json *spec = json_get(doc, "spec"), *rules = json_get(spec, "rules");
    if (spec != NULL && !json_is(spec, JSON_NULL)) {
        TRY(mesh_check_fields(spec, "spec", known));
    }
    TRY(mesh_read_object(r, doc, &out->object));
    TRY(read_action(spec, &out->action));
    TRY(read_provider(spec, out));
    TRY(read_dry_run(doc, out));
    size_t n = json_is(rules, JSON_ARRAY) ? rules->n : 0;
    if (n == 0 && (out->action == ACTION_DENY || out->action == ACTION_CUSTOM)) {
        return mesh_invalid(spec != NULL ? spec : doc,
                            "DENY and CUSTOM need rules; without any they match nothing");
    }
    if (n > MESH_RULES_MAX || (rules != NULL && n == 0 && !json_is(rules, JSON_ARRAY))) {
        return mesh_invalid(rules, "rules must be a list of at most %d", MESH_RULES_MAX);
    }
    out->rules = arena_array(r->arena, struct mesh_rule, n);
    for (size_t i = 0; i < n; i++) {
        TRY(read_rule(r, rules->items[i], out, i));
        out->n_rules++;
    }
    return OK;
}
