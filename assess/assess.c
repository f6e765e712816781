#include "assess.h"

#include "lib/base/codec.h"
#include "lib/tls/digest.h"

#include <stdlib.h>

static const struct {
    const char *id, *title, *remedy;
} antipatterns[ANTI_MAX] = {
    {"permissions-in-jwt", "permissions travel in a JWT",
     "keep identity only in the token; ask the policy engine at request time, where a right can be "
     "taken back at once"},
    {"shared-database-password", "a database password is shared across services",
     "give each service a role of its own, best a dynamic one that lives minutes"},
    {"secret-in-git", "a secret is in Git",
     "revoke it first (rewriting history does not), then read it from the secret manager"},
    {"long-lived-cloud-key", "a long-lived cloud key is in use",
     "replace it by workload identity federation: no key to keep, nothing to rotate"},
    {"shared-admin-token", "one admin token is shared across teams",
     "give each team an identity with a policy of its own, and revoke the shared token"},
};

static const struct {
    int level;
    const char *id, *title, *next_step;
} gates[GATE_MAX] = {
    {1, "tree-clean", "no secret in the work tree",
     "remove the secrets that are listed and revoke them; keep them out with a pre-commit scan"},
    {2, "history-clean", "no secret in Git's history",
     "revoke what history holds: whoever has a clone has it"},
    {2, "no-literals", "workloads get secrets as objects, not as literals",
     "move literal values into Secret objects or the secret manager"},
    {2, "separated", "each workload has its own account, and no account reads all secrets",
     "give every workload a service account of its own; narrow RBAC rules on secrets to names"},
    {3, "secret-manager", "a secret manager is the source of secrets",
     "put secrets into a manager (KV) and refer to it from the manifests"},
    {3, "rotation", "secrets are rotated at least every 90 days",
     "set a rotation period or a TTL of at most 90 days for each secret"},
    {4, "workload-identity", "at least 80 % of the workloads have a workload identity",
     "issue SVIDs (or federate service accounts) and log in to the manager with them"},
    {4, "dynamic-database", "database credentials are dynamic",
     "replace static database passwords by leased roles"},
    {4, "no-cloud-keys", "no long-lived cloud key",
     "federate workload identities with the cloud and delete the keys"},
    {5, "policy-tests", "authorization policy is in the repository, with tests",
     "add policies (Rego) with _test files and run them in CI"},
    {5, "mtls-strict", "mutual TLS is required",
     "set PeerAuthentication mtls.mode STRICT for the mesh or each namespace"},
    {5, "default-deny", "the network denies by default",
     "add a NetworkPolicy with an empty podSelector and no rules to each namespace"},
    {5, "audit-proof", "the audit log is proven regularly",
     "schedule the verification of the audit log, and keep its public key elsewhere"},
    {5, "detection-tests", "detections exist and are tested",
     "add detection rules with events that must and must not trigger them"},
};

const char *antipattern_id(enum antipattern a)
{
    return antipatterns[a].id;
}

const char *antipattern_title(enum antipattern a)
{
    return antipatterns[a].title;
}

const char *antipattern_remedy(enum antipattern a)
{
    return antipatterns[a].remedy;
}

void assess_init(struct assess *a, const char *root)
{
    *a = (struct assess){.root = root, .with_history = true};
    arena_init(&a->arena, ASSESS_ARENA_MAX);
    map_init(&a->seen);
    map_init(&a->spiffe_ids);
    random_bytes(a->key, sizeof(a->key));
    for (int g = 0; g < GATE_MAX; g++) {
        a->gates[g] = (struct gate){.level = gates[g].level,
                                    .id = gates[g].id,
                                    .title = gates[g].title,
                                    .next_step = gates[g].next_step};
    }
}

void assess_release(struct assess *a)
{
    scanner_free(a->scanner);
    map_release(&a->seen);
    map_release(&a->spiffe_ids);
    arena_release(&a->arena);
}

unsigned line_of(struct str text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && i < text.n; i++) {
        line += text.p[i] == '\n';
    }
    return line;
}

char *assess_lower(struct str text)
{
    char *p = malloc(text.n + 1);
    BUG_ON(p == NULL);
    for (size_t i = 0; i < text.n; i++) {
        p[i] = text.p[i] >= 'A' && text.p[i] <= 'Z' ? (char)(text.p[i] + 32) : text.p[i];
    }
    return p;
}

void assess_fingerprint(const struct assess *a, struct str value, uint8_t out[FINGERPRINT_BYTES])
{
    uint8_t mac[SHA256_BYTES];
    hmac_sha256(str_n(a->key, sizeof(a->key)), value, mac);
    memcpy(out, mac, FINGERPRINT_BYTES);
}

/*
 * In the tree a value is reported once a file. History says once what the tree does not say: the
 * same value in older versions and under older names is one secret to revoke.
 */
void assess_find(struct assess *a, const struct finding *f)
{
    struct str print = hex_encode(&a->arena, str_n(f->fingerprint, sizeof(f->fingerprint)));
    struct str anywhere =
        arena_printf(&a->arena, "%.*s %s", STR_FMT(print), antipattern_id(f->kind));
    struct str here = arena_printf(&a->arena, "%.*s %.*s", STR_FMT(anywhere), STR_FMT(f->path));
    if (a->n_findings >= ASSESS_FINDINGS_MAX ||
        map_get(&a->seen, f->in_tree ? here : anywhere) != NULL) {
        return;
    }
    map_set(&a->seen, here, a);
    map_set(&a->seen, anywhere, a);
    a->findings = arena_grow(&a->arena, a->findings, a->n_findings, a->n_findings + 1,
                             &a->cap_findings, sizeof(*a->findings));
    a->findings[a->n_findings++] = *f;
}

struct consumer *assess_consumer(struct assess *a, struct str name, struct str path, unsigned line)
{
    a->consumers = arena_grow(&a->arena, a->consumers, a->n_consumers, a->n_consumers + 1,
                              &a->cap_consumers, sizeof(*a->consumers));
    struct consumer *c = &a->consumers[a->n_consumers++];
    struct str rest = path, top = str_split(&rest, '/');
    *c = (struct consumer){
        .name = name, .path = path, .line = line, .team = rest.p != NULL ? top : S(".")};
    return c;
}

void assess_use(struct assess *a, const struct use *u)
{
    a->uses =
        arena_grow(&a->arena, a->uses, a->n_uses, a->n_uses + 1, &a->cap_uses, sizeof(*a->uses));
    a->uses[a->n_uses++] = *u;
}

static void add_evidence(struct evidence_list *l, struct str path, unsigned line, struct str text)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->items[i].path, path) && str_eq(l->items[i].text, text)) {
            return;
        }
    }
    if (l->n == ASSESS_EVIDENCE_MAX) {
        l->more++;
        return;
    }
    l->items[l->n++] = (struct evidence){path, line, text};
}

void assess_pro(struct assess *a, enum gate_id g, struct str path, unsigned line, struct str text)
{
    add_evidence(&a->gates[g].pro, path, line, text);
}

void assess_con(struct assess *a, enum gate_id g, struct str path, unsigned line, struct str text)
{
    add_evidence(&a->gates[g].con, path, line, text);
}

static bool is_binary(struct str text)
{
    return memchr(text.p != NULL ? text.p : "", '\0', MIN(text.n, (size_t)8192)) != NULL;
}

/* Generated by tools, full of hashes, and written by nobody. */
static bool is_passed_over(struct str path)
{
    static const char *const ends[] = {"package-lock.json",
                                       "yarn.lock",
                                       "pnpm-lock.yaml",
                                       "go.sum",
                                       "Cargo.lock",
                                       "poetry.lock",
                                       "Pipfile.lock",
                                       "composer.lock",
                                       ".min.js",
                                       ".min.css",
                                       ".map",
                                       ".svg",
                                       ".png",
                                       ".jpg",
                                       ".pdf",
                                       ".woff2",
                                       ".ipynb"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (str_ends(path, str_of(ends[i]))) {
            return true;
        }
    }
    return str_find(path, S("node_modules/")) != STR_NPOS;
}

void assess_text(struct assess *a, const struct origin *o, struct str text)
{
    if (text.n == 0 || is_binary(text) || is_passed_over(o->path)) {
        a->passed_over++;
        return;
    }
    scan_secrets(a, o, text);
    if (!o->in_tree) {
        return; /* history is asked for secrets only */
    }
    scan_tokens(a, o, text);
    scan_env_file(a, o, text);
    scan_manifests(a, o, text);
    scan_markers(a, o, text);
}
