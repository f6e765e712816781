/*
 * What Kubernetes manifests and compose files say about workloads: where their secrets come from,
 * which identity they have, what the network and the mesh demand.
 */
#include "assess.h"

#include "lib/yaml/yaml.h"

struct doc {
    struct assess *a;
    const struct origin *o;
    const struct json *v;
    struct str ns, name;
};

static bool is_yaml(struct str path)
{
    return str_ends(path, S(".yaml")) || str_ends(path, S(".yml")) || str_ends(path, S(".json"));
}

static struct str label_of(const struct json *meta, const char *key)
{
    return json_str(json_get(json_get(meta, "labels"), key));
}

/* --- one workload ------------------------------------------------------------------------------ */

static void see_variable(const struct doc *d, struct consumer *c, const struct json *env)
{
    struct str name = json_str(json_get(env, "name")), value = json_str(json_get(env, "value"));
    const struct json *ref = json_path(env, "valueFrom.secretKeyRef");
    if (ref != NULL) {
        c->secret_object = true;
        struct use u = {.consumer = c->name,
                        .team = c->team,
                        .name = name,
                        .path = d->o->path,
                        .line = env->line,
                        .database = name_is_database_secret(name) ||
                                    name_is_database_secret(json_str(json_get(ref, "key"))),
                        .admin = name_is_admin_token(name)};
        struct str where = arena_printf(&d->a->arena, "object %.*s %.*s %.*s", STR_FMT(d->ns),
                                        STR_FMT(json_str(json_get(ref, "name"))),
                                        STR_FMT(json_str(json_get(ref, "key"))));
        assess_fingerprint(d->a, where, u.fingerprint);
        if (u.database || u.admin) {
            assess_use(d->a, &u);
        }
        assess_pro(d->a, GATE_NO_LITERALS, d->o->path, env->line,
                   arena_printf(&d->a->arena, "%.*s reads %.*s from a Secret", STR_FMT(c->name),
                                STR_FMT(name)));
        return;
    }
    if (str_is(name, "SPIFFE_ENDPOINT_SOCKET")) {
        c->identity = true;
    }
    if ((str_is(name, "VAULT_ADDR") || str_is(name, "BAO_ADDR")) && value.n > 0) {
        c->manager = true;
    }
    if (name_is_secret(name) && value_is_literal(value)) {
        c->literal_secret = true;
        assess_con(d->a, GATE_NO_LITERALS, d->o->path, env->line,
                   arena_printf(&d->a->arena, "%.*s gets %.*s as a literal", STR_FMT(c->name),
                                STR_FMT(name)));
    }
    use_value(d->a, c, name, value, d->o->path, env->line);
}

static void see_containers(const struct doc *d, struct consumer *c, const struct json *list)
{
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        const struct json *env = json_get(list->items[i], "env"),
                          *from = json_get(list->items[i], "envFrom");
        for (uint32_t k = 0; json_is(env, JSON_ARRAY) && k < env->n; k++) {
            see_variable(d, c, env->items[k]);
        }
        for (uint32_t k = 0; json_is(from, JSON_ARRAY) && k < from->n; k++) {
            c->secret_object = c->secret_object || json_get(from->items[k], "secretRef") != NULL;
        }
    }
}

static void see_volumes(struct consumer *c, const struct json *list)
{
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        struct str driver = json_str(json_path(list->items[i], "csi.driver"));
        const struct json *sources = json_path(list->items[i], "projected.sources");
        c->manager = c->manager || str_is(driver, "secrets-store.csi.k8s.io");
        c->identity =
            c->identity || str_is(driver, "csi.spiffe.io") || str_is(driver, "csi.cert-manager.io");
        c->secret_object = c->secret_object || json_get(list->items[i], "secret") != NULL;
        for (uint32_t k = 0; json_is(sources, JSON_ARRAY) && k < sources->n; k++) {
            c->identity = c->identity || json_get(sources->items[k], "serviceAccountToken") != NULL;
        }
    }
}

static void see_annotations(struct consumer *c, const struct json *annotations)
{
    for (uint32_t i = 0; json_is(annotations, JSON_OBJECT) && i < annotations->n; i++) {
        struct str key = annotations->members[i].key;
        c->manager = c->manager || str_starts(key, S("vault.hashicorp.com/agent-inject")) ||
                     str_starts(key, S("sextant.dev/secret"));
        c->identity = c->identity || str_starts(key, S("spiffe.io/")) ||
                      str_starts(key, S("sextant.dev/spiffe-id"));
    }
}

/* By its own labels, or by what its containers are called. */
static bool is_data_store(const struct json *pod, const struct json *template_meta)
{
    static const char *const words[] = {"postgres",   "mysql",         "mariadb",   "mongo",
                                        "redis",      "kafka",         "rabbitmq",  "database",
                                        "clickhouse", "elasticsearch", "opensearch"};
    const struct json *containers = json_get(pod, "containers");
    struct str app = label_of(template_meta, "app");
    struct str first = json_is(containers, JSON_ARRAY) && containers->n > 0
                           ? json_str(json_get(containers->items[0], "name"))
                           : STR_EMPTY;
    struct str image = json_is(containers, JSON_ARRAY) && containers->n > 0
                           ? json_str(json_get(containers->items[0], "image"))
                           : STR_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        struct str w = str_of(words[i]);
        if (str_eq(app, w) || str_eq(first, w) || str_find(image, w) != STR_NPOS) {
            return true;
        }
    }
    return false;
}

static void see_workload(const struct doc *d, const struct json *pod,
                         const struct json *template_meta)
{
    const struct json *meta = json_get(d->v, "metadata");
    struct str name = arena_printf(&d->a->arena, "%.*s/%.*s", STR_FMT(d->ns), STR_FMT(d->name));
    struct consumer *c = assess_consumer(d->a, name, d->o->path, d->v->line);
    struct str team =
        label_of(meta, "team").n > 0 ? label_of(meta, "team") : label_of(meta, "owner");
    struct str account = json_str(json_get(pod, "serviceAccountName"));
    c->team = team.n > 0 ? team : c->team;
    c->own_account = account.n > 0 && !str_is(account, "default");
    c->data_store = is_data_store(pod, template_meta);
    if (c->own_account) {
        c->account =
            arena_printf(&d->a->arena, "ns/%.*s/sa/%.*s", STR_FMT(d->ns), STR_FMT(account));
    }
    see_containers(d, c, json_get(pod, "containers"));
    see_containers(d, c, json_get(pod, "initContainers"));
    see_volumes(c, json_get(pod, "volumes"));
    see_annotations(c, json_get(template_meta, "annotations"));
    see_annotations(c, json_get(meta, "annotations"));
    c->identity =
        c->identity || str_is(label_of(template_meta, "azure.workload.identity/use"), "true");
    if (c->own_account) {
        assess_pro(d->a, GATE_SEPARATED, d->o->path, d->v->line,
                   arena_printf(&d->a->arena, "%.*s runs as its own account %.*s", STR_FMT(name),
                                STR_FMT(account)));
    }
}

/* --- other objects ----------------------------------------------------------------------------- */

static bool list_has(const struct json *list, const char *word)
{
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        if (str_is(json_str(list->items[i]), word)) {
            return true;
        }
    }
    return false;
}

static void see_role(const struct doc *d)
{
    const struct json *rules = json_get(d->v, "rules");
    for (uint32_t i = 0; json_is(rules, JSON_ARRAY) && i < rules->n; i++) {
        const struct json *r = rules->items[i], *resources = json_get(r, "resources"),
                          *verbs = json_get(r, "verbs");
        bool secrets = list_has(resources, "secrets") || list_has(resources, "*");
        bool reads = list_has(verbs, "*") || list_has(verbs, "list") || list_has(verbs, "watch") ||
                     (list_has(verbs, "get") && json_get(r, "resourceNames") == NULL);
        if (secrets && reads) {
            assess_con(d->a, GATE_SEPARATED, d->o->path, r->line,
                       arena_printf(&d->a->arena, "role %.*s reads every secret of its scope",
                                    STR_FMT(d->name)));
        }
    }
}

static void see_binding(const struct doc *d)
{
    const struct json *subjects = json_get(d->v, "subjects");
    struct str role = json_str(json_path(d->v, "roleRef.name"));
    if (!str_is(role, "cluster-admin") || !json_is(subjects, JSON_ARRAY)) {
        return;
    }
    for (uint32_t i = 0; i < subjects->n; i++) {
        struct str name = json_str(json_get(subjects->items[i], "name"));
        assess_con(d->a, GATE_SEPARATED, d->o->path, subjects->items[i]->line,
                   arena_printf(&d->a->arena, "%.*s is bound to cluster-admin", STR_FMT(name)));
    }
    if (subjects->n > 1) {
        struct finding f = {.kind = ANTI_SHARED_ADMIN_TOKEN,
                            .rule = S("cluster-admin-binding"),
                            .path = d->o->path,
                            .line = d->v->line,
                            .in_tree = true,
                            .text = arena_printf(&d->a->arena,
                                                 "binding %.*s gives cluster-admin to %u subjects",
                                                 STR_FMT(d->name), subjects->n)};
        assess_fingerprint(d->a, d->name, f.fingerprint);
        assess_find(d->a, &f);
    }
}

static void see_account(const struct doc *d)
{
    const struct json *annotations = json_path(d->v, "metadata.annotations");
    for (uint32_t i = 0; json_is(annotations, JSON_OBJECT) && i < annotations->n; i++) {
        struct str key = annotations->members[i].key;
        if (str_is(key, "eks.amazonaws.com/role-arn") ||
            str_is(key, "iam.gke.io/gcp-service-account") ||
            str_is(key, "azure.workload.identity/client-id")) {
            assess_pro(d->a, GATE_WORKLOAD_IDENTITY, d->o->path, d->v->line,
                       arena_printf(&d->a->arena,
                                    "service account %.*s is federated with the cloud",
                                    STR_FMT(d->name)));
            assess_pro(d->a, GATE_NO_CLOUD_KEYS, d->o->path, d->v->line,
                       S("cloud access is federated"));
        }
    }
}

static void see_network_policy(const struct doc *d)
{
    const struct json *spec = json_get(d->v, "spec"), *selector = json_get(spec, "podSelector");
    bool all = selector != NULL && (!json_is(selector, JSON_OBJECT) || selector->n == 0);
    bool no_ingress = json_get(spec, "ingress") == NULL || json_get(spec, "ingress")->n == 0;
    if (all && no_ingress &&
        (json_get(spec, "policyTypes") == NULL ||
         list_has(json_get(spec, "policyTypes"), "Ingress"))) {
        assess_pro(d->a, GATE_DEFAULT_DENY, d->o->path, d->v->line,
                   arena_printf(&d->a->arena, "NetworkPolicy %.*s/%.*s denies by default",
                                STR_FMT(d->ns), STR_FMT(d->name)));
    }
}

static void see_peer_authentication(const struct doc *d)
{
    struct str mode = json_str(json_path(d->v, "spec.mtls.mode"));
    if (str_is(mode, "STRICT")) {
        assess_pro(d->a, GATE_MTLS_STRICT, d->o->path, d->v->line,
                   arena_printf(&d->a->arena, "PeerAuthentication %.*s/%.*s is STRICT",
                                STR_FMT(d->ns), STR_FMT(d->name)));
    } else if (mode.n > 0) {
        assess_con(d->a, GATE_MTLS_STRICT, d->o->path, d->v->line,
                   arena_printf(&d->a->arena, "PeerAuthentication %.*s/%.*s is %.*s",
                                STR_FMT(d->ns), STR_FMT(d->name), STR_FMT(mode)));
    }
}

static void see_external_secret(const struct doc *d)
{
    struct str refresh = json_str(json_path(d->v, "spec.refreshInterval"));
    assess_pro(
        d->a, GATE_SECRET_MANAGER, d->o->path, d->v->line,
        arena_printf(&d->a->arena, "ExternalSecret %.*s comes from a manager", STR_FMT(d->name)));
    if (refresh.n > 0 && !str_is(refresh, "0")) {
        assess_pro(d->a, GATE_ROTATION, d->o->path, d->v->line,
                   arena_printf(&d->a->arena, "ExternalSecret %.*s is refreshed every %.*s",
                                STR_FMT(d->name), STR_FMT(refresh)));
    }
}

/* A Secret with data in the tree is a secret in the tree, even in base64. */
static void see_secret(const struct doc *d)
{
    const struct json *sets[] = {json_get(d->v, "data"), json_get(d->v, "stringData")};
    for (size_t s = 0; s < ARRAY_LEN(sets); s++) {
        for (uint32_t i = 0; json_is(sets[s], JSON_OBJECT) && i < sets[s]->n; i++) {
            const struct json_member *m = &sets[s]->members[i];
            if (!value_is_literal(json_str(m->value))) {
                continue;
            }
            struct finding f = {
                .kind = ANTI_SECRET_IN_GIT,
                .rule = S("kubernetes-secret"),
                .path = d->o->path,
                .line = m->line,
                .in_tree = true,
                .text = arena_printf(&d->a->arena, "Secret %.*s/%.*s holds a value for %.*s",
                                     STR_FMT(d->ns), STR_FMT(d->name), STR_FMT(m->key))};
            assess_fingerprint(d->a, json_str(m->value), f.fingerprint);
            assess_find(d->a, &f);
        }
    }
}

static void see_certificate(const struct doc *d)
{
    struct str duration = json_str(json_path(d->v, "spec.duration"));
    if (duration.n > 0) {
        assess_pro(d->a, GATE_ROTATION, d->o->path, d->v->line,
                   arena_printf(&d->a->arena, "certificate %.*s lives %.*s", STR_FMT(d->name),
                                STR_FMT(duration)));
    }
}

static void see_object(struct assess *a, const struct origin *o, const struct json *v)
{
    const struct json *meta = json_get(v, "metadata"), *spec = json_get(v, "spec"),
                      *template = json_get(spec, "template");
    struct doc d = {a, o, v, json_str(json_get(meta, "namespace")),
                    json_str(json_get(meta, "name"))};
    struct str kind = json_str(json_get(v, "kind"));
    d.ns = d.ns.n > 0 ? d.ns : S("default");
    if (str_is(kind, "CronJob")) {
        template = json_path(spec, "jobTemplate.spec.template");
    }
    if (str_is(kind, "Pod")) {
        see_workload(&d, spec, meta);
    } else if (str_is(kind, "Deployment") || str_is(kind, "StatefulSet") ||
               str_is(kind, "DaemonSet") || str_is(kind, "Job") || str_is(kind, "CronJob") ||
               str_is(kind, "ReplicaSet")) {
        see_workload(&d, json_get(template, "spec"), json_get(template, "metadata"));
    } else if (str_is(kind, "Role") || str_is(kind, "ClusterRole")) {
        see_role(&d);
    } else if (str_is(kind, "RoleBinding") || str_is(kind, "ClusterRoleBinding")) {
        see_binding(&d);
    } else if (str_is(kind, "ServiceAccount")) {
        see_account(&d);
    } else if (str_is(kind, "NetworkPolicy")) {
        see_network_policy(&d);
    } else if (str_is(kind, "PeerAuthentication")) {
        see_peer_authentication(&d);
    } else if (str_is(kind, "ExternalSecret") || str_is(kind, "SecretProviderClass") ||
               str_is(kind, "VaultStaticSecret")) {
        see_external_secret(&d);
    } else if (str_is(kind, "VaultDynamicSecret")) {
        assess_pro(a, GATE_DYNAMIC_DB, o->path, v->line, S("a VaultDynamicSecret is used"));
        see_external_secret(&d);
    } else if (str_is(kind, "Secret")) {
        see_secret(&d);
    } else if (str_is(kind, "Certificate")) {
        see_certificate(&d);
    }
}

/* --- compose ----------------------------------------------------------------------------------- */

static void compose_variable(struct assess *a, const struct origin *o, struct consumer *c,
                             struct str name, struct str value, unsigned line)
{
    if (name_is_secret(name) && value_is_literal(value)) {
        c->literal_secret = true;
        assess_con(a, GATE_NO_LITERALS, o->path, line,
                   arena_printf(&a->arena, "%.*s gets %.*s as a literal", STR_FMT(c->name),
                                STR_FMT(name)));
    }
    use_value(a, c, name, value, o->path, line);
}

static void see_compose(struct assess *a, const struct origin *o, const struct json *services)
{
    for (uint32_t i = 0; i < services->n; i++) {
        const struct json *s = services->members[i].value, *env = json_get(s, "environment");
        struct consumer *c =
            assess_consumer(a, services->members[i].key, o->path, services->members[i].line);
        c->secret_object = json_get(s, "secrets") != NULL;
        for (uint32_t k = 0; json_is(env, JSON_OBJECT) && k < env->n; k++) {
            compose_variable(a, o, c, env->members[k].key, json_str(env->members[k].value),
                             env->members[k].line);
        }
        for (uint32_t k = 0; json_is(env, JSON_ARRAY) && k < env->n; k++) {
            struct str value = json_str(env->items[k]), name = str_split(&value, '=');
            compose_variable(a, o, c, name, value, env->items[k]->line);
        }
    }
}

void scan_manifests(struct assess *a, const struct origin *o, struct str text)
{
    struct json *docs;
    if (!is_yaml(o->path) || failed(yaml_parse(&a->arena, text, o->path, NULL, &docs))) {
        return; /* templates are no YAML; the line scans have seen them */
    }
    for (uint32_t i = 0; i < docs->n; i++) {
        const struct json *v = docs->items[i], *items = json_get(v, "items"),
                          *services = json_get(v, "services");
        if (json_get(v, "kind") != NULL && json_is(items, JSON_ARRAY)) {
            for (uint32_t k = 0; k < items->n; k++) {
                see_object(a, o, items->items[k]);
            }
        } else if (json_get(v, "kind") != NULL) {
            see_object(a, o, v);
        } else if (json_is(services, JSON_OBJECT) && str_find(o->path, S("compose")) != STR_NPOS) {
            see_compose(a, o, services);
        }
    }
}
