/* Lines that show a practice: a lease here, a policy test there. Evidence, each with file and line. */
#include "assess.h"

#include <stdlib.h>

struct marker {
    const char *path_end; /* "" any; several split at blanks */
    const char *word;     /* in the line, lower case */
    enum gate_id gate;
    bool against;
    const char *text;
};

static const struct marker markers[] = {
    {"", "vault_kv_secret", GATE_SECRET_MANAGER, false, "Terraform keeps secrets in a KV engine"},
    {"", "secret/data/", GATE_SECRET_MANAGER, false, "a KV path of the secret manager is read"},
    {"", "aws_secretsmanager_secret", GATE_SECRET_MANAGER, false, "AWS Secrets Manager is used"},
    {"", "google_secret_manager_secret", GATE_SECRET_MANAGER, false,
     "Google Secret Manager is used"},
    {"", "azurerm_key_vault_secret", GATE_SECRET_MANAGER, false, "Azure Key Vault is used"},
    {"", "vault kv get", GATE_SECRET_MANAGER, false, "secrets are read from the manager"},
    {"", "sextant secrets kv", GATE_SECRET_MANAGER, false, "secrets are read from the manager"},
    {"", "rotation_period", GATE_ROTATION, false, "a rotation period is set"},
    {"", "rotate_interval", GATE_ROTATION, false, "a rotation interval is set"},
    {"", "automatically_after_days", GATE_ROTATION, false, "rotation by days is set"},
    {"", "default_lease_ttl", GATE_ROTATION, false, "leases have a TTL"},
    {"", "auto_rotate_period", GATE_ROTATION, false, "keys rotate by themselves"},
    {"", "default_ttl", GATE_ROTATION, false, "leases have a TTL"},
    {"", "database/creds/", GATE_DYNAMIC_DB, false, "database credentials are leased"},
    {"", "database/creds/", GATE_SECRET_MANAGER, false,
     "a secret manager hands out database credentials"},
    {"", "database/creds/", GATE_ROTATION, false, "leased credentials expire by themselves"},
    {"", "kv/data/", GATE_SECRET_MANAGER, false, "a KV path of the secret manager is read"},
    {"", "creation_statements", GATE_DYNAMIC_DB, false, "a dynamic database role is defined"},
    {"", "vault_database_secret_backend_role", GATE_DYNAMIC_DB, false,
     "a dynamic database role is defined"},
    {"", "database/static-roles/", GATE_DYNAMIC_DB, true, "a static database role is defined"},
    {".yml .yaml .json .tf .hcl", "spiffe://", GATE_WORKLOAD_IDENTITY, false,
     "a SPIFFE id is configured"},
    {"", "auth/kubernetes/login", GATE_WORKLOAD_IDENTITY, false,
     "workloads log in with their service account"},
    {"", "auth/jwt/login", GATE_WORKLOAD_IDENTITY, false,
     "workloads log in with a signed identity"},
    {"", "aws_iam_access_key", GATE_NO_CLOUD_KEYS, true, "Terraform makes a long-lived access key"},
    {"", "google_service_account_key", GATE_NO_CLOUD_KEYS, true,
     "Terraform makes a service account key"},
    {"", "iam:createaccesskey", GATE_NO_CLOUD_KEYS, true, "a policy lets long-lived keys be made"},
    {"_test.rego", "test_", GATE_POLICY_TESTS, false, "a policy test"},
    {".yml .yaml", "opa test", GATE_POLICY_TESTS, false, "policy tests run in CI"},
    {".yml .yaml .sh run", "sextant authz test", GATE_POLICY_TESTS, false,
     "policy tests run in CI"},
    {".yml .yaml .sh .service .timer .json run crontab", "audit verify", GATE_AUDIT_PROOF, false,
     "the audit log is verified"},
    {"", "rekor-cli verify", GATE_AUDIT_PROOF, false, "a transparency log is verified"},
    {"", "validate-logs", GATE_AUDIT_PROOF, false, "audit log integrity is validated"},
    {".yml .yaml", "detection:", GATE_DETECTION_TESTS, false, "a detection rule"},
};

static bool path_fits(struct str path, const char *ends)
{
    for (struct str rest = str_of(ends); rest.p != NULL;) {
        struct str end = str_split(&rest, ' ');
        if (end.n == 0 || str_ends(path, end)) {
            return true;
        }
    }
    return ends[0] == '\0';
}

/* Prose and programs that look for these words are no evidence of the practice. */
static bool is_evidence(struct str path)
{
    static const char *const not [] = {".md", ".rst", ".adoc", ".1",    ".c",
                                       ".h",  ".go",  ".rs",   ".html", ".css"};
    for (size_t i = 0; i < ARRAY_LEN(not ); i++) {
        if (str_ends(path, str_of(not [i]))) {
            return false;
        }
    }
    return true;
}

static bool holds(struct str text, const char *word)
{
    struct str w = str_of(word);
    return memmem(text.p, text.n, w.p, w.n) != NULL;
}

/* `text` is in lower case, as the words are. */
static void find_marker(struct assess *a, const struct origin *o, struct str text,
                        const struct marker *m)
{
    unsigned number = 0;
    for (struct str rest = text; rest.p != NULL;) {
        struct str line = str_trim(str_split(&rest, '\n'));
        number++;
        bool comment = line.n > 0 && (line.p[0] == '#' || str_starts(line, S("//")));
        if (!comment && line.n > 0 && line.n < 2000 && holds(line, m->word)) {
            (m->against ? assess_con : assess_pro)(a, m->gate, o->path, number, str_of(m->text));
            return;
        }
    }
}

/* Remembers every spiffe://TD/ns/NS/sa/ACCOUNT of a configuration file. */
static void note_spiffe_ids(struct assess *a, struct str text)
{
    for (size_t at; (at = str_find(text, S("spiffe://"))) != STR_NPOS;) {
        text = str_sub(text, at + 9, text.n);
        size_t end = 0, slash = str_find_char(text, '/');
        while (end < text.n && text.p[end] > ' ' && strchr("\"',}])", text.p[end]) == NULL) {
            end++;
        }
        if (slash < end) {
            map_set(&a->spiffe_ids, str_sub(text, slash + 1, end), a);
        }
    }
}

void scan_markers(struct assess *a, const struct origin *o, struct str text)
{
    if (!is_evidence(o->path)) {
        return;
    }
    char *lower = assess_lower(text);
    for (size_t i = 0; i < ARRAY_LEN(markers); i++) {
        if (path_fits(o->path, markers[i].path_end) &&
            holds(str_n(lower, text.n), markers[i].word)) {
            find_marker(a, o, str_n(lower, text.n), &markers[i]);
        }
    }
    free(lower);
    if (str_ends(o->path, S(".yaml")) || str_ends(o->path, S(".yml")) ||
        str_ends(o->path, S(".json"))) {
        note_spiffe_ids(a, text);
    }
    bool tests = str_find(o->path, S("test")) != STR_NPOS;
    if (tests &&
        (str_find(o->path, S("detect")) != STR_NPOS || str_find(o->path, S("sigma")) != STR_NPOS)) {
        assess_pro(a, GATE_DETECTION_TESTS, o->path, 0, S("a test of a detection"));
    }
}
