/* Parameters of the query string. */
#include "server.h"

/* Go's reading of a boolean parameter: one empty value, or any that says true. */
struct flag {
    unsigned count, empty;
    bool yes;
};

static bool is_on(const struct flag *f)
{
    return f->yes || (f->count == 1 && f->empty == 1);
}

enum {
    P_PRETTY,
    P_METRICS,
    P_INSTRUMENT,
    P_PROVENANCE,
    P_STRICT,
    P_RULE_LABELS,
    P_WHY,
    P_BUNDLES,
    P_BUNDLE,
    P_PLUGINS,
    P_COUNT,
};

static const char *const names[P_COUNT] = {
    [P_PRETTY] = "pretty",
    [P_METRICS] = "metrics",
    [P_INSTRUMENT] = "instrument",
    [P_PROVENANCE] = "provenance",
    [P_STRICT] = "strict-builtin-errors",
    [P_RULE_LABELS] = "rule_labels",
    [P_WHY] = "why",
    [P_BUNDLES] = "bundles",
    [P_BUNDLE] = "bundle",
    [P_PLUGINS] = "plugins",
};

/* Values are case-sensitive; the first known one counts. */
static enum rego_explain explain_of(struct str v)
{
    static const struct {
        const char *name;
        enum rego_explain mode;
    } modes[] = {{"notes", EXPLAIN_NOTES},
                 {"fails", EXPLAIN_FAILS},
                 {"full", EXPLAIN_FULL},
                 {"debug", EXPLAIN_DEBUG}};
    for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
        if (str_is(v, modes[i].name)) {
            return modes[i].mode;
        }
    }
    return EXPLAIN_OFF;
}

static void note(struct flag *flags, struct str name, struct str v)
{
    for (size_t i = 0; i < P_COUNT; i++) {
        if (str_is(name, names[i])) {
            flags[i].count++;
            flags[i].empty += v.n == 0;
            flags[i].yes |= str_eq_nocase(v, S("true"));
        }
    }
}

bool param_next(struct arena *a, struct str *rest, struct str *name, struct str *v)
{
    while (rest->p != NULL && rest->n > 0) {
        struct str pair = str_split(rest, '&');
        bool bad = false;
        if (str_find_char(pair, ';') == STR_NPOS && http_pairs_next(a, &pair, name, v, &bad) &&
            !bad) {
            return true;
        }
    }
    return false;
}

void params_read(const struct http_req *req, struct params *p)
{
    struct flag flags[P_COUNT] = {{0}};
    struct str rest = req->query, name, v;
    *p = (struct params){.explain = EXPLAIN_OFF};
    if (rest.n == 0) {
        return;
    }
    while (param_next(req->arena, &rest, &name, &v)) {
        note(flags, name, v);
        if (p->explain == EXPLAIN_OFF && str_is(name, "explain")) {
            p->explain = explain_of(v);
        }
    }
    p->pretty = is_on(&flags[P_PRETTY]);
    p->metrics = is_on(&flags[P_METRICS]);
    p->instrument = is_on(&flags[P_INSTRUMENT]);
    p->provenance = is_on(&flags[P_PROVENANCE]);
    p->strict = is_on(&flags[P_STRICT]);
    p->rule_labels = is_on(&flags[P_RULE_LABELS]);
    p->why = is_on(&flags[P_WHY]);
    p->bundles = is_on(&flags[P_BUNDLES]) || is_on(&flags[P_BUNDLE]);
    p->plugins = is_on(&flags[P_PLUGINS]);
}
