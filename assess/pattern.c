/* Which of the two reference patterns suits: a startup's few managed parts, or an enterprise's own platform. */
#include "report.h"

#include "lib/yaml/yaml.h"

#include <stdio.h>

enum { ANSWERS_BYTES_MAX = 64 * 1024, ENTERPRISE_FROM = 3 };

static bool is_known_framework(struct str s)
{
    static const char *const more[] = {"fedramp", "dora", "nis2", "none"};
    for (size_t i = 0; i < FRAMEWORK_MAX; i++) {
        if (str_eq_nocase(s, str_of(framework_ids[i]))) {
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(more); i++) {
        if (str_eq_nocase(s, str_of(more[i]))) {
            return true;
        }
    }
    return false;
}

struct err answers_add_compliance(struct answers *out, struct str comma_list)
{
    for (struct str rest = comma_list; rest.p != NULL;) {
        struct str one = str_trim(str_split(&rest, ','));
        ENSURE(is_known_framework(one), ERR_INVALID,
               "'%.*s' is not a framework: soc2, iso27001, pci, hipaa, nist-csf, nist-800-53, "
               "cisa-ztmm, fedramp, dora, nis2 or none",
               STR_FMT(one));
        if (!str_eq_nocase(one, S("none")) && out->n_compliance < ARRAY_LEN(out->compliance)) {
            out->compliance[out->n_compliance++] = one;
        }
    }
    out->given = true;
    return OK;
}

/* A number, or a list whose length counts. */
static struct err read_count(const struct json *v, const char *key, uint64_t *out)
{
    if (v == NULL) {
        return OK;
    }
    if (json_is(v, JSON_ARRAY)) {
        *out = v->n;
        return OK;
    }
    if (failed(json_u64(v, out))) {
        return err_make_at(ERR_INVALID, v->line, v->col,
                           "line %u: %s must be a whole number or a list", v->line, key);
    }
    return OK;
}

static struct err read_tree(const struct json *v, struct answers *out)
{
    static const char *const known[] = {"teams", "clouds", "services", "compliance"};
    ENSURE(json_is(v, JSON_OBJECT), ERR_INVALID,
           "the answers must be a mapping of teams, clouds, services and compliance");
    for (uint32_t i = 0; i < v->n; i++) {
        bool found = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++) {
            found = found || str_is(v->members[i].key, known[k]);
        }
        ENSURE(found, ERR_INVALID,
               "line %u: '%.*s' is not asked; teams, clouds, services and compliance are",
               v->members[i].line, STR_FMT(v->members[i].key));
    }
    TRY(read_count(json_get(v, "teams"), "teams", &out->teams));
    TRY(read_count(json_get(v, "clouds"), "clouds", &out->clouds));
    TRY(read_count(json_get(v, "services"), "services", &out->services));
    const struct json *list = json_get(v, "compliance");
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        TRY(answers_add_compliance(out, json_str(list->items[i])));
    }
    return json_is(list, JSON_STRING) ? answers_add_compliance(out, list->text) : OK;
}

struct err answers_read(struct arena *a, const char *file, struct answers *out)
{
    FILE *f = fopen(file, "re");
    struct json *docs;
    ENSURE(f != NULL, ERR_NOT_FOUND, "%s cannot be read", file);
    char *text = arena_alloc_raw(a, ANSWERS_BYTES_MAX, 1);
    size_t n = fread(text, 1, ANSWERS_BYTES_MAX, f);
    fclose(f);
    TRY(yaml_parse(a, str_n(text, n), str_of(file), NULL, &docs));
    ENSURE(docs->n == 1, ERR_INVALID, "%s: one document is expected", file);
    out->given = true;
    struct err e = read_tree(docs->items[0], out);
    return failed(e) ? err_wrap(e, "%s", file) : e;
}

static void weigh(struct arena *a, struct pattern *p, int points, struct str why)
{
    p->points += points;
    if (p->n_reasons < REASONS_MAX) {
        p->reasons[p->n_reasons++] = arena_printf(a, "%+d  %.*s", points, STR_FMT(why));
    }
}

static void weigh_counts(struct arena *a, struct pattern *p, const struct answers *in)
{
    if (in->teams > 0) {
        weigh(a, p,
              in->teams >= 10  ? 2
              : in->teams >= 4 ? 1
                               : -1,
              arena_printf(a, "%llu team%s: %s", (unsigned long long)in->teams,
                           in->teams == 1 ? "" : "s",
                           in->teams >= 4 ? "policies need owners and delegation"
                                          : "everybody can know every policy"));
    }
    if (in->clouds > 0) {
        weigh(
            a, p, in->clouds >= 2 ? 2 : -1,
            in->clouds >= 2
                ? S("several clouds: one cloud's identity and key service cannot carry all of them")
                : S("one cloud: its workload federation and key service suffice"));
    }
    if (in->services > 0) {
        weigh(a, p,
              in->services >= 30   ? 2
              : in->services >= 10 ? 1
                                   : -1,
              arena_printf(a, "%llu services: %s", (unsigned long long)in->services,
                           in->services >= 30
                               ? "identities and certificates need a platform of their own"
                           : in->services >= 10 ? "a mesh begins to pay"
                                                : "a mesh costs more than it saves"));
    }
}

static void weigh_compliance(struct arena *a, struct pattern *p, const struct answers *in)
{
    for (size_t i = 0; i < in->n_compliance; i++) {
        struct str c = in->compliance[i];
        bool strict = str_eq_nocase(c, S("pci")) || str_eq_nocase(c, S("hipaa")) ||
                      str_eq_nocase(c, S("fedramp")) || str_eq_nocase(c, S("dora"));
        weigh(a, p, strict ? 2 : 1,
              arena_printf(a, "%.*s: %s", STR_FMT(c),
                           strict ? "segmentation and log integrity have to be proven"
                                  : "evidence has to be kept and shown"));
    }
    if (in->n_compliance == 0) {
        weigh(a, p, 0, S("no compliance need was named"));
    }
}

struct pattern pattern_for(struct arena *a, const struct answers *in)
{
    struct pattern p = {0};
    weigh_counts(a, &p, in);
    weigh_compliance(a, &p, in);
    p.enterprise = p.points >= ENTERPRISE_FROM;
    p.advice = p.enterprise ? S("enterprise: identity provider with federation, policy engine with "
                                "bundles and owners, workload identity "
                                "across clouds, secret manager with dynamic credentials, mesh with "
                                "STRICT mTLS, default-deny network, "
                                "audit log with proofs into a SIEM")
                            : S("startup: one identity provider, the policy engine beside each "
                                "service, the cloud's workload federation, one "
                                "secret manager, TLS at the edge and between services, one audit "
                                "log; add the mesh when services pass ten");
    return p;
}
