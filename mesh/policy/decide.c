/* The order of an authorization decision: CUSTOM, DENY, then ALLOW. */
#include "policy_priv.h"

static bool clause_holds(const struct mesh_clause *c, const struct mesh_set *set,
                         const struct mesh_request *req)
{
    for (size_t i = 0; i < c->n; i++) {
        if (!req->http && mesh_field_needs_http(c->conds[i].field)) {
            continue; /* only reached for actions that keep the rest of the rule, see rule_holds */
        }
        if (!mesh_cond_holds(&c->conds[i], set, req)) {
            return false;
        }
    }
    return true;
}

static bool some_clause_holds(const struct mesh_clause *list, size_t n, const struct mesh_set *set,
                              const struct mesh_request *req)
{
    for (size_t i = 0; i < n; i++) {
        if (clause_holds(&list[i], set, req)) {
            return true;
        }
    }
    return n == 0;
}

/*
 * On a TCP connection a rule that needs HTTP is dropped where it would allow, and enforced without
 * its HTTP parts where it would deny (or ask, or audit): both ways less is let through.
 */
static bool rule_holds(const struct mesh_rule *r, const struct mesh_set *set,
                       const struct mesh_request *req)
{
    if (!req->http && r->needs_http && r->policy->action == ACTION_ALLOW) {
        return false;
    }
    return some_clause_holds(r->from, r->n_from, set, req) &&
           some_clause_holds(r->to, r->n_to, set, req) && clause_holds(&r->when, set, req);
}

static const struct mesh_rule *first_match(const struct mesh_rules *rules,
                                           const struct mesh_set *set,
                                           const struct mesh_request *req)
{
    for (size_t i = 0; i < rules->n; i++) {
        if (rule_holds(rules->items[i], set, req)) {
            return rules->items[i];
        }
    }
    return NULL;
}

static const struct mesh_provider *provider_named(const struct mesh_set *set, struct str name)
{
    for (size_t i = 0; i < set->all->config.n_providers; i++) {
        if (str_eq(set->all->config.providers[i].name, name)) {
            return &set->all->config.providers[i];
        }
    }
    return NULL;
}

/* Several providers on one workload have no defined order; the platform denies, so do we. */
static bool one_provider(const struct mesh_rules *rules)
{
    for (size_t i = 1; i < rules->n; i++) {
        if (!str_eq(rules->items[i]->policy->provider, rules->items[0]->policy->provider)) {
            return false;
        }
    }
    return true;
}

static struct mesh_decision decided(enum mesh_verdict verdict, const struct mesh_rule *rule,
                                    const char *reason)
{
    return (struct mesh_decision){
        .verdict = verdict, .policy_key = rule != NULL ? rule->key : STR_EMPTY, .reason = reason};
}

static struct mesh_decision decide_deny_allow(const struct mesh_set *set,
                                              const struct mesh_request *req)
{
    const struct mesh_rule *rule = first_match(&set->rules[ACTION_DENY], set, req);
    if (rule != NULL) {
        return decided(MESH_DENY, rule, "a DENY policy matches");
    }
    if (!set->has_allow) {
        return decided(MESH_ALLOW, NULL, "no ALLOW policy selects the workload");
    }
    rule = first_match(&set->rules[ACTION_ALLOW], set, req);
    if (rule != NULL) {
        return decided(MESH_ALLOW, rule, "an ALLOW policy matches");
    }
    return decided(MESH_DENY, NULL, "no ALLOW policy matches");
}

static void note_silent(struct mesh_decision *d, const struct mesh_set *set,
                        const struct mesh_request *req)
{
    const struct mesh_rule *audit = first_match(&set->rules[ACTION_AUDIT], set, req);
    const struct mesh_rule *dry = first_match(&set->dry_run, set, req);
    d->audit_key = audit != NULL ? audit->key : STR_EMPTY;
    d->dry_run_key = dry != NULL ? dry->key : STR_EMPTY;
}

struct mesh_decision mesh_authz_decide_after_custom(const struct mesh_set *set,
                                                    const struct mesh_request *req)
{
    struct mesh_decision d = decide_deny_allow(set, req);
    note_silent(&d, set, req);
    return d;
}

struct mesh_decision mesh_authz_decide(const struct mesh_set *set, const struct mesh_request *req)
{
    const struct mesh_rule *rule = first_match(&set->rules[ACTION_CUSTOM], set, req);
    if (rule == NULL) {
        return mesh_authz_decide_after_custom(set, req);
    }
    struct mesh_decision d = decided(MESH_CUSTOM, rule, "a CUSTOM policy matches");
    d.provider = provider_named(set, rule->policy->provider);
    if (!one_provider(&set->rules[ACTION_CUSTOM])) {
        d = decided(MESH_DENY, rule, "CUSTOM policies of several providers select the workload");
    } else if (d.provider == NULL) {
        d = decided(MESH_DENY, rule, "the provider of the CUSTOM policy is not configured");
    } else if (d.provider->http && !req->http) {
        return mesh_authz_decide_after_custom(set, req);
    }
    note_silent(&d, set, req);
    return d;
}

bool mesh_set_needs_http(const struct mesh_set *set)
{
    return set->needs_http || set->n_jwt > 0;
}
