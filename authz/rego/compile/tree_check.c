/* What the rule tree must not hold: rules that contradict each other, and circles. */
#include "authz/rego/compile/compile_priv.h"

static void conflict(struct compiler *c, const struct rule *r, const char *what, struct str path)
{
    rego_errors_add(c->errors, "rego_type_error", r->module->file, r->loc, "%s %.*s found", what,
                    STR_FMT(path));
}

static bool mixed_kinds(const struct node *n)
{
    int kinds = (n->n_sets > 0) + (n->n_complete > 0 && !n->func) + n->func;
    return kinds > 1 || (n->n_dynamic > 0 && n->n_complete + n->n_sets > 0);
}

static bool mixed_arity(const struct node *n)
{
    for (size_t i = 0; n->func && i < n->n_complete; i++) {
        if ((int)n->complete[i]->rule->head->n_args != n->arity ||
            !n->complete[i]->rule->head->is_func) {
            return true;
        }
    }
    return false;
}

static size_t count_defaults(struct compiler *c, const struct node *n, const struct rule **second)
{
    size_t count = 0;
    for (size_t i = 0; i < c->p->n_units; i++) {
        const struct module *m = c->p->units[i].m;
        for (size_t k = 0; k < m->n_rules; k++) {
            const struct rule *r = m->rules[k];
            if (r->is_default && n->fallback != NULL && c->p->units[i].package == n->parent &&
                r->head->ref->list.n == 1 &&
                str_eq(r->head->ref->list.v[0]->var.name, val_text(n->key))) {
                *second = count++ > 0 ? r : *second;
            }
        }
    }
    return count;
}

static void check_node(struct compiler *c, struct node *n)
{
    const struct rule *second = n->first;
    if (n->first != NULL && (mixed_kinds(n) || mixed_arity(n))) {
        conflict(c, n->first, "conflicting rules", node_path(c->a, n));
    } else if (n->fallback != NULL && val_is(n->key, V_STRING) &&
               count_defaults(c, n, &second) > 1) {
        conflict(c, n->first, "multiple default rules", node_path(c->a, n));
    }
    bool whole = n->n_complete > 0 || n->n_sets > 0 || n->func;
    if (whole && n->n_children > 0) {
        struct str path = node_path(c->a, n);
        struct node *child = n->children[0];
        while (child->first == NULL && child->n_children > 0) {
            child = child->children[0];
        }
        rego_errors_add(c->errors, "rego_type_error", n->first->module->file, n->first->loc,
                        "rule %.*s conflicts with [%.*s at %.*s:%u]", STR_FMT(path),
                        STR_FMT(node_path(c->a, child)),
                        STR_FMT(child->first != NULL ? child->first->module->file : STR_EMPTY),
                        child->first != NULL ? child->first->loc.row : 0);
    }
    for (size_t i = 0; i < n->n_children; i++) {
        check_node(c, n->children[i]);
    }
}

static bool is_rule(const struct node *n)
{
    return n->first != NULL && n->n_dynamic == 0;
}

static void hidden_rule(struct rego_errors *errors, const struct node *n, struct str path)
{
    rego_errors_add(errors, "rego_compile_error", n->first->module->file, n->first->loc,
                    "conflicting rule for data path %.*s found", STR_FMT(path));
}

/* All rules below a place where data is that has no members. */
static void hidden_below(struct rego_errors *errors, const struct node *n, struct str path)
{
    for (size_t i = 0; i < n->n_children; i++) {
        const struct node *child = n->children[i];
        struct str key = val_is(child->key, V_STRING) ? val_text(child->key)
                                                      : val_rego_text(errors->a, child->key);
        struct str at = arena_printf(errors->a, "%.*s/%.*s", STR_FMT(path), STR_FMT(key));
        if (is_rule(child)) {
            hidden_rule(errors, child, at);
        } else {
            hidden_below(errors, child, at);
        }
    }
}

/* A rule where base data stands would hide it. */
static void check_data(struct rego_errors *errors, const struct node *n, struct val data,
                       struct str path)
{
    struct arena *a = errors->a;
    for (size_t i = 0; i < n->n_children && val_is(data, V_OBJECT); i++) {
        struct node *child = n->children[i];
        struct val below = val_get(data, child->key);
        if (val_undef(below)) {
            continue;
        }
        struct str key =
            val_is(child->key, V_STRING) ? val_text(child->key) : val_rego_text(a, child->key);
        struct str at =
            path.n == 0 ? key : arena_printf(a, "%.*s/%.*s", STR_FMT(path), STR_FMT(key));
        if (is_rule(child)) {
            hidden_rule(errors, child, at);
        } else if (val_is(below, V_OBJECT)) {
            check_data(errors, child, below, at);
        } else {
            hidden_below(errors, child, at);
        }
    }
}

void rego_data_conflicts(const struct rego_policy *p, const struct str *path, size_t n,
                         struct val v, struct rego_errors *errors)
{
    const struct node *at = p->root;
    struct str text = STR_EMPTY;
    for (size_t i = 0; i < n && at != NULL; i++) {
        at = node_child(at, val_str(errors->a, path[i]));
        text = i == 0 ? path[0]
                      : arena_printf(errors->a, "%.*s/%.*s", STR_FMT(text), STR_FMT(path[i]));
        if (at != NULL && is_rule(at)) {
            hidden_rule(errors, at, text);
            return;
        }
    }
    if (at != NULL && val_is(v, V_OBJECT)) {
        check_data(errors, at, v, text);
    } else if (at != NULL && !val_undef(v)) {
        hidden_below(errors, at, text);
    }
}

void tree_check_conflicts(struct compiler *c)
{
    size_t before = c->errors->n;
    if (c->o->data != NULL) {
        check_data(c->errors, c->p->root, *c->o->data, STR_EMPTY);
    }
    if (c->errors->n == before) {
        check_node(c, c->p->root);
    }
}

struct walk {
    struct compiler *c;
    struct node **path;
    size_t n, cap;
};

static void report_circle(struct walk *w, struct node *back_to)
{
    struct compiler *c = w->c;
    size_t from = 0;
    while (from < w->n && w->path[from] != back_to) {
        from++;
    }
    struct str chain = STR_EMPTY;
    for (size_t i = from; i <= w->n; i++) {
        struct node *n = i < w->n ? w->path[i] : back_to;
        if (n->first == NULL) {
            continue;
        }
        chain = arena_printf(c->a, "%.*s%s%.*s", STR_FMT(chain), chain.n > 0 ? " -> " : "",
                             STR_FMT(node_path(c->a, n)));
    }
    struct node *named = back_to;
    for (size_t i = from; named->first == NULL && i < w->n; i++) {
        named = w->path[i];
    }
    if (named->first != NULL) {
        rego_errors_add(c->errors, "rego_recursion_error", named->first->module->file,
                        named->first->loc, "rule %.*s is recursive: %.*s",
                        STR_FMT(node_path(c->a, named)), STR_FMT(chain));
    }
}

enum { UNSEEN, OPEN, CLOSED };

/* Depth is bounded by the number of rules, not by any input. */
static void visit(struct walk *w, struct node *n)
{
    if (n->mark == CLOSED) {
        return;
    }
    if (n->mark == OPEN) {
        report_circle(w, n);
        return;
    }
    n->mark = OPEN;
    w->path = arena_grow(w->c->a, w->path, w->n, w->n + 1, &w->cap, sizeof *w->path);
    w->path[w->n++] = n;
    for (size_t i = 0; i < n->n_uses && w->c->errors->n == 0; i++) {
        visit(w, n->uses[i]);
    }
    for (size_t i = 0; i < n->n_children && w->c->errors->n == 0 && n->used_whole; i++) {
        visit(w, n->children[i]);
    }
    w->n--;
    n->mark = CLOSED;
}

static void mark_whole(struct node *n)
{
    n->used_whole = true;
    for (size_t i = 0; i < n->n_children; i++) {
        if (!n->children[i]->used_whole) {
            mark_whole(n->children[i]);
        }
    }
}

static void mark_used(struct node *n)
{
    for (size_t i = 0; i < n->n_uses; i++) {
        if (!n->uses[i]->used_whole) {
            mark_whole(n->uses[i]);
        }
    }
    for (size_t i = 0; i < n->n_children; i++) {
        mark_used(n->children[i]);
    }
}

static void visit_all(struct walk *w, struct node *n)
{
    if (n->first != NULL) {
        visit(w, n);
    }
    for (size_t i = 0; i < n->n_children && w->c->errors->n == 0; i++) {
        visit_all(w, n->children[i]);
    }
}

void tree_check_recursion(struct compiler *c)
{
    struct walk w = {.c = c};
    mark_used(c->p->root);
    visit_all(&w, c->p->root);
}
