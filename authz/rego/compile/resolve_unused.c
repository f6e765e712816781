/* Names that are declared and never used. Variables of `:=` and parameters are told of in strict mode. */
#include "authz/rego/compile/resolve_priv.h"

/* Where a body has errors, or an inner one told of unused names, nothing more is told. */
void check_unused(struct compiler *c, const struct scope *s)
{
    if (c->errors->n > c->rule_errors || c->unused_told) {
        return;
    }
    for (const struct binding *b = s->bindings; b != NULL; b = b->next) {
        const struct local *l = b->local;
        if (!b->declared || l->arg || l->used || l->wildcard || l->member ||
            (l->assigned && !c->strict)) {
            continue;
        }
        c->unused_told = true;
        compile_note(c, "rego_compile_error", l->declared_at, "%s var %.*s unused",
                     l->assigned ? "assigned" : "declared", STR_FMT(l->name));
    }
}

static bool argument_is_used(const struct crule *cr, struct str name)
{
    for (; cr != NULL; cr = cr->otherwise) {
        for (const struct local *l = cr->locals; l != NULL; l = l->next) {
            if (l->arg && l->used && str_eq(l->name, name)) {
                return true;
            }
        }
    }
    return false;
}

void check_unused_arguments(struct compiler *c)
{
    for (size_t i = 0; i < c->n_rules && c->strict; i++) {
        const struct crule *cr = c->rules[i];
        c->unit = cr->unit;
        for (const struct local *l = cr->locals; l != NULL; l = l->next) {
            if (l->arg && !l->wildcard && l->name.p[0] != '$' && !argument_is_used(cr, l->name)) {
                compile_note(c, "rego_compile_error", cr->rule->head->loc,
                             "unused argument %.*s. (hint: use _ (wildcard variable) instead)",
                             STR_FMT(l->name));
            }
        }
    }
}
