/* What the rule tree must not hold: rules that contradict each other, packages, or base data. */
#include "authz/rego/compile/compile_priv.h"

#include <stdlib.h>

enum { NAME_MAX_BYTES = 1 << 16 };

struct str rule_path(struct arena *a, const struct rule *r)
{
    struct term path = {.type = T_REF};
    const struct term *package = r->module->package, *ref = r->head->ref;
    for (size_t i = 0; i < package->list.n; i++) {
        term_push(a, &path, package->list.v[i]);
    }
    term_push(a, &path, term_string(a, ref->list.v[0]->var.name, ref->loc));
    for (size_t i = 1; i < ref->list.n; i++) {
        term_push(a, &path, ref->list.v[i]);
    }
    struct buf b;
    buf_init(&b, NAME_MAX_BYTES);
    term_write(&b, &path);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* Rules found below another, each by its path; only the outermost ones are told. */
struct found {
    struct crule **v;
    size_t n, cap;
    bool functions;
};

static void find_below(struct compiler *c, const struct node *n, struct found *f)
{
    for (size_t i = 0; i < n->n_all; i++) {
        if (!f->functions || n->all[i]->rule->head->is_func) {
            f->v = arena_grow(c->a, f->v, f->n, f->n + 1, &f->cap, sizeof *f->v);
            f->v[f->n++] = n->all[i];
            return;
        }
    }
    for (size_t i = 0; i < n->n_children; i++) {
        find_below(c, n->children[i], f);
    }
}

static int by_path(const void *x, const void *y)
{
    const struct crule *const *a = x, *const *b = y;
    const struct node *m = (*a)->node, *n = (*b)->node;
    while (m->depth > n->depth) {
        m = m->parent;
    }
    while (n->depth > m->depth) {
        n = n->parent;
    }
    while (m->parent != n->parent) {
        m = m->parent, n = n->parent;
    }
    return val_cmp(m->key, n->key);
}

static struct found rules_below(struct compiler *c, const struct node *n, bool functions)
{
    struct found f = {.functions = functions};
    for (size_t i = 0; i < n->n_children; i++) {
        find_below(c, n->children[i], &f);
    }
    if (f.n > 1) {
        qsort(f.v, f.n, sizeof *f.v, by_path);
    }
    return f;
}

static struct str list_of(struct compiler *c, const struct found *f)
{
    struct buf b;
    buf_init(&b, NAME_MAX_BYTES);
    for (size_t i = 0; i < f->n; i++) {
        const struct rule *r = f->v[i]->rule;
        buf_printf(&b, "\n  rule %.*s at %.*s:%u", STR_FMT(rule_path(c->a, r)),
                   STR_FMT(r->module->file), r->loc.row);
    }
    struct str s = arena_str(c->a, buf_str(&b));
    buf_release(&b);
    return s;
}

static bool is_ground(const struct rule *r)
{
    return ground_prefix(r->head->ref) == r->head->ref->list.n;
}

/* What kinds of rules stand in one place. */
struct kinds {
    bool single, multi, complete, partial, set, object_of_sets, mixed_arity, ground;
    size_t n_defaults;
};

static struct kinds kinds_of(const struct node *n)
{
    struct kinds k = {0};
    for (size_t i = 0; i < n->n_all; i++) {
        const struct rule *r = n->all[i]->rule;
        bool multi = r->head->key != NULL, ground = is_ground(r);
        k.multi |= multi;
        k.single |= !multi;
        k.complete |= !multi && ground;
        k.partial |= multi || !ground;
        k.set |= multi && ground;
        k.object_of_sets |= multi && !ground;
        k.ground |= ground;
        k.mixed_arity |= r->head->n_args != n->all[0]->rule->head->n_args;
        k.n_defaults += r->is_default;
    }
    return k;
}

static void tell_defaults(struct compiler *c, const struct node *n, struct str name)
{
    struct str places = STR_EMPTY;
    const struct module *m = NULL;
    for (size_t i = 0; i < n->n_all; i++) {
        const struct rule *r = n->all[i]->rule;
        if (r->is_default) {
            places = arena_printf(c->a, "%.*s%s%.*s:%u", STR_FMT(places), m != NULL ? ", " : "",
                                  STR_FMT(r->module->file), r->loc.row);
            m = m != NULL ? m : r->module;
        }
    }
    compile_error_in(c, m->file, "rego_type_error", m->package_loc,
                     "multiple default rules %.*s found at %.*s", STR_FMT(name), STR_FMT(places));
}

/* The first rule, in the outermost package. */
static const struct rule *outermost(const struct node *n)
{
    const struct crule *best = n->all[0];
    for (size_t i = 1; i < n->n_all; i++) {
        if (n->all[i]->unit->package->depth < best->unit->package->depth) {
            best = n->all[i];
        }
    }
    return best->rule;
}

static void check_place(struct compiler *c, const struct node *n)
{
    struct kinds k = kinds_of(n);
    const struct rule *first = outermost(n);
    struct str name = rule_path(c->a, n->all[n->n_all - 1]->rule);
    struct found below = {0};
    if (k.ground && n->n_children > 0) {
        below = rules_below(c, n, false);
    }
    if (below.n == 0 && n->n_children > 0 && k.partial) {
        below = rules_below(c, n, true);
    }
    if (below.n > 0) {
        compile_error_in(c, first->module->file, "rego_type_error", first->loc,
                         "rule %.*s conflicts with:%.*s", STR_FMT(name),
                         STR_FMT(list_of(c, &below)));
    } else if ((k.single && k.multi) || k.mixed_arity || (k.complete && k.partial) ||
               (k.set && k.object_of_sets)) {
        compile_error_in(c, first->module->file, "rego_type_error", first->loc,
                         "conflicting rules %.*s found", STR_FMT(name));
    } else if (k.n_defaults > 1) {
        tell_defaults(c, n, name);
    }
}

static void check_node(struct compiler *c, struct node *n)
{
    if (n->n_all > 0) {
        check_place(c, n);
    }
    for (size_t i = 0; i < n->n_children && !c->enough; i++) {
        check_node(c, n->children[i]);
    }
}

/* A package may not stand where a rule does. */
static void check_packages(struct compiler *c, const struct crule *cr)
{
    const struct rule *r = cr->rule;
    for (size_t i = 0; is_ground(r) && cr->node->package && i < c->p->n_units; i++) {
        const struct policy_unit *u = &c->p->units[i];
        if (u->package != cr->node || u->m == r->module) {
            continue;
        }
        struct buf b;
        buf_init(&b, NAME_MAX_BYTES);
        struct term path = *u->m->package;
        path.list.v++; /* without "data" */
        path.list.n--;
        struct term head = *path.list.v[0];
        if (head.type == T_STRING) {
            head.type = T_VAR;
            head.var.name = path.list.v[0]->str;
        }
        struct term **v = arena_array(c->a, struct term *, path.list.n);
        memcpy(v, path.list.v, path.list.n * sizeof *v);
        v[0] = &head;
        path.list.v = v;
        term_write(&b, &path);
        buf_puts(&b, S(" conflicts with rule "));
        term_write(&b, r->head->ref);
        compile_error_in(c, r->module->file, "rego_type_error", r->module->package_loc,
                         "package %.*s defined at %.*s:%u", STR_FMT(buf_str(&b)),
                         STR_FMT(r->module->file), r->loc.row);
        buf_release(&b);
    }
}

void tree_check_conflicts(struct compiler *c)
{
    check_node(c, c->p->root);
    tree_check_data(c);
    for (size_t i = 0; i < c->n_rules && !c->enough; i++) {
        check_packages(c, c->rules[i]);
    }
}
