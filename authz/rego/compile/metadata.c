/* Where annotations stand in the rule tree, and calls that read them. */
#include "authz/rego/compile/metadata.h"

#include "authz/rego/syntax/visit.h"

static bool is_chain_call(const struct term *t)
{
    return term_is_call_of(t, "rego.metadata.chain");
}

static bool is_rule_call(const struct term *t)
{
    return term_is_call_of(t, "rego.metadata.rule");
}

static bool find_call(struct visitor *v, struct term *t)
{
    *(bool *)v->ctx |= is_chain_call(t) || is_rule_call(t);
    return true;
}

static bool anyone_asks(struct compiler *c)
{
    bool any = false;
    struct visitor v = {.term = find_call, .ctx = &any};
    for (size_t i = 0; i < c->n_rules && !any; i++) {
        for (struct crule *cr = c->rules[i]; cr != NULL; cr = cr->otherwise) {
            visit_rule(&v, cr->rule);
        }
    }
    return any;
}

static void redeclared(struct compiler *c, const struct annotation *n,
                       const struct annotation *other)
{
    compile_error_in(c, n->module->file, "rego_type_error", n->loc,
                     "%s annotation redeclared: %.*s:%u", annotation_scope_name(n->scope),
                     STR_FMT(other->module->file), other->loc.row);
}

static struct node *node_of_rule(struct compiler *c, const struct rule *r)
{
    for (size_t i = 0; i < c->n_rules; i++) {
        for (struct crule *cr = c->rules[i]; cr != NULL; cr = cr->otherwise) {
            if (cr->rule == r) {
                return cr->node;
            }
        }
    }
    return NULL;
}

static void place(struct compiler *c, struct policy_unit *u, struct annotation *n)
{
    struct node *at = n->rule != NULL ? node_of_rule(c, n->rule) : u->package;
    struct annotation **slot = n->scope == SCOPE_PACKAGE ? &at->of_package : &at->of_path;
    if (n->scope == SCOPE_RULE) {
        return;
    }
    if (*slot != NULL) {
        redeclared(c, n, *slot);
        return;
    }
    *slot = n;
}

static void read_unit(struct compiler *c, struct policy_unit *u)
{
    struct rego_errors errors = {.a = c->a};
    if (!annotations_read(c->a, u->m, &errors)) {
        for (size_t i = 0; i < errors.n; i++) {
            compile_detailed(c, true, &errors.v[i]);
        }
        return;
    }
    for (size_t i = 0; i < u->m->n_annotations; i++) {
        place(c, u, u->m->annotations[i]);
        c->has_labels |= !val_undef(u->m->annotations[i]->labels);
    }
}

struct annotation **metadata_chain(struct arena *a, const struct crule *cr, size_t *n)
{
    struct annotation **v = NULL;
    size_t cap = 0, own = 0;
    *n = 0;
    for (struct annotation *x = cr->rule->annotation; x != NULL; x = x->next) {
        v = arena_grow(a, v, *n, *n + 1, &cap, sizeof(struct annotation *));
        v[(*n)++] = x;
    }
    own = *n;
    for (size_t i = 0; i < own / 2; i++) { /* the last one in the file stands next to the rule */
        struct annotation *x = v[i];
        v[i] = v[own - 1 - i];
        v[own - 1 - i] = x;
    }
    const struct node *package = cr->unit->package;
    v = arena_grow(a, v, *n, *n + 3 + package->depth, &cap, sizeof(struct annotation *));
    if (cr->node->of_path != NULL && cr->node->of_path->scope == SCOPE_DOCUMENT) {
        v[(*n)++] = cr->node->of_path;
    }
    if (package->of_package != NULL) {
        v[(*n)++] = package->of_package;
    }
    for (const struct node *at = package; at != NULL; at = at->parent) {
        if (at->of_path != NULL) {
            v[(*n)++] = at->of_path;
        }
    }
    return v;
}

static struct val path_of(struct arena *a, const struct node *n)
{
    struct vlist l = {.a = a};
    for (uint32_t i = 0; i < n->depth; i++) {
        vlist_add(&l, VAL_NULL);
    }
    for (; n->parent != NULL; n = n->parent) {
        l.v[n->depth - 1] = n->key;
    }
    return vlist_array(&l);
}

static const struct node *target_of(struct compiler *c, const struct crule *cr,
                                    const struct annotation *n)
{
    if (n->rule != NULL) {
        return cr->node; /* all that are in its chain stand in one place */
    }
    for (size_t i = 0; i < c->p->n_units; i++) {
        if (c->p->units[i].m == n->module) {
            return c->p->units[i].package;
        }
    }
    return cr->node;
}

static struct val link_of(struct arena *a, const struct node *target, const struct annotation *n)
{
    struct vlist l = {.a = a};
    vlist_put(&l, "path", path_of(a, target));
    if (n != NULL) {
        vlist_put(&l, "annotations", n->value);
    }
    return vlist_object(&l);
}

static struct val chain_value(struct compiler *c, const struct crule *cr)
{
    size_t n;
    struct annotation **chain = metadata_chain(c->a, cr, &n);
    struct vlist l = {.a = c->a};
    if (cr->rule->annotation == NULL) { /* the rule itself is there in any case */
        vlist_add(&l, link_of(c->a, cr->node, NULL));
    }
    for (size_t i = 0; i < n; i++) {
        vlist_add(&l, link_of(c->a, target_of(c, cr, chain[i]), chain[i]));
    }
    return vlist_array(&l);
}

/* Labels of a rule: those of the inner scope win. */
static struct val labels_of(struct compiler *c, const struct crule *cr)
{
    size_t n;
    struct annotation **chain = metadata_chain(c->a, cr, &n);
    struct vlist l = {.a = c->a};
    for (size_t i = n; i > 0; i--) {
        struct val labels = chain[i - 1]->labels;
        for (uint32_t k = 0; !val_undef(labels) && k < val_len(labels); k++) {
            vlist_add2(&l, val_nth_key(c->a, labels, k), val_nth(labels, k));
        }
    }
    return l.n > 0 ? vlist_object(&l) : VAL_UNDEF;
}

static bool note_call(struct visitor *v, struct term *t)
{
    struct crule *cr = v->ctx;
    cr->asks_chain |= is_chain_call(t);
    cr->asks_rule |= is_rule_call(t);
    return true;
}

static void prepare(struct compiler *c, struct crule *cr)
{
    struct visitor v = {.term = note_call, .ctx = cr};
    visit_rule(&v, cr->rule);
    if (cr->asks_chain) {
        cr->chain = term_of_val(c->a, chain_value(c, cr), cr->rule->loc);
    }
    if (cr->asks_rule) {
        const struct annotation *n = cr->rule->annotation;
        cr->own = term_of_val(c->a, n != NULL ? n->value : val_empty_object(), cr->rule->loc);
    }
    cr->labels = c->has_labels ? labels_of(c, cr) : VAL_UNDEF;
}

void metadata_prepare(struct compiler *c)
{
    bool asked = anyone_asks(c);
    if (!asked && !c->o->annotations) {
        return;
    }
    for (size_t i = 0; i < c->p->n_units && !c->enough; i++) {
        c->unit = &c->p->units[i];
        read_unit(c, c->unit);
    }
    if (!c->stop && (asked || c->has_labels)) {
        compile_each(c, prepare);
    }
}

struct term *metadata_of_call(struct compiler *c, const struct term *call)
{
    const struct crule *cr = c->crule;
    if (cr == NULL) {
        return NULL;
    }
    return is_chain_call(call) ? cr->chain : is_rule_call(call) ? cr->own : NULL;
}

static bool replace_call(struct visitor *v, struct term *t)
{
    struct term *constant = metadata_of_call(v->ctx, t);
    if (constant != NULL) {
        struct loc loc = t->loc;
        *t = *constant;
        t->loc = loc;
        return false;
    }
    return true;
}

static bool replace_statement(struct visitor *v, struct expr *e)
{
    /* as a statement the call may have a variable for its result: f(x) */
    struct term *constant = e->kind == E_TERM ? metadata_of_call(v->ctx, e->term) : NULL;
    if (constant != NULL && e->term->list.n == 2) {
        struct compiler *c = v->ctx;
        e->term->list.v[0] = term_var(c->a, S("eq"), e->term->loc);
        e->term->infix = true;
        term_push(c->a, e->term, constant);
    }
    return true;
}

void metadata_replace(struct compiler *c, struct crule *cr)
{
    struct visitor v = {.term = replace_call, .expr = replace_statement, .ctx = c};
    if (cr->asks_chain || cr->asks_rule) {
        visit_rule(&v, cr->rule);
    }
}
