/* All rules of a policy, lowered in upstream's stages; and queries. */
#include "authz/rego/topdown/program.h"

#include "authz/rego/query.h"

#include <stdlib.h>

static const size_t PROGRAM_MEMORY_MAX = (size_t)2 << 30;

const struct tnode *tnode_child(const struct rego_topdown *t, const struct tnode *n, struct val k)
{
    const struct node *c = node_child(n->n, k);
    return c != NULL ? &t->nodes[c->id] : NULL;
}

const struct tnode *tnode_find(const struct rego_topdown *t, const struct tt *ref)
{
    const struct tnode *n = ref_head_is(ref, t->data) ? tnode_root(t) : NULL;
    for (size_t i = 1; n != NULL && i < ref->list.n; i++) {
        const struct tt *k = ref->list.v[i];
        n = k->kind == TT_VAL ? tnode_child(t, n, k->v) : NULL;
    }
    return n;
}

static int by_key(const void *a, const void *b)
{
    const struct tnode *const *x = a, *const *y = b;
    return val_cmp((*x)->n->key, (*y)->n->key);
}

static void add_node(struct rego_topdown *t, const struct node *n, struct tnode *parent)
{
    struct tnode *tn = &t->nodes[n->id];
    tn->n = n;
    tn->parent = parent;
    tn->arity = n->func ? n->arity : -1;
    tn->multi = n->n_sets > 0;
    tn->ground = n->n_dynamic == 0;
    tn->hidden = n->depth == 1 && val_is(n->key, V_STRING) && str_is(val_text(n->key), "system");
    tn->n_children = n->n_children;
    tn->children = arena_array(&t->a, struct tnode *, n->n_children + 1);
    for (size_t i = 0; i < n->n_children; i++) {
        tn->children[i] = &t->nodes[n->children[i]->id];
        add_node(t, n->children[i], tn);
    }
    qsort(tn->children, tn->n_children, sizeof(struct tnode *), by_key);
}

#define PUSH_RULE(t, list, count, cap, item)                                                       \
    do {                                                                                           \
        list = arena_grow(&(t)->a, list, count, (count) + 1, &(cap), sizeof *(list));              \
        (list)[(count)++] = (item);                                                                \
    } while (0)

static struct trule *add_rule(struct rego_topdown *t, const struct policy_unit *u,
                              const struct rule *r, struct tnode *n)
{
    struct trule *tr = arena_new(&t->a, struct trule);
    tr->rule = r;
    tr->node = n;
    tr->is_default = r->is_default;
    tr->n_package = u->m->package->list.n;
    tr->index = (uint32_t)t->n_all;
    PUSH_RULE(t, t->all, t->n_all, t->cap_all, tr);
    if (r->otherwise != NULL) {
        tr->otherwise = add_rule(t, u, r->otherwise, n);
        n->has_else = true;
    }
    return tr;
}

static struct tnode *node_of_rule(struct rego_topdown *t, const struct policy_unit *u,
                                  const struct rule *r)
{
    const struct term *ref = r->head->ref;
    struct arena *a = &t->a;
    const struct node *n = node_child(u->package, val_str(a, ref->list.v[0]->var.name));
    size_t prefix = ground_prefix(ref);
    for (size_t i = 1; n != NULL && i < prefix; i++) {
        n = node_child(n, term_const(a, ref->list.v[i]));
    }
    return n != NULL ? &t->nodes[n->id] : NULL;
}

static void add_rules(struct rego_topdown *t, const struct policy_unit *u)
{
    for (size_t i = 0; i < u->m->n_rules; i++) {
        const struct rule *r = u->m->rules[i];
        struct tnode *n = node_of_rule(t, u, r);
        if (n == NULL) {
            continue;
        }
        struct trule *tr = add_rule(t, u, r, n);
        n->multi |= r->head->key != NULL;
        if (r->is_default) {
            n->fallback = tr;
        } else {
            PUSH_RULE(t, n->rules, n->n_rules, n->cap_rules, tr);
        }
    }
}

/* The path of the rule: its package, then its own reference. */
static void lower_head(struct lowering *l, struct trule *r)
{
    const struct head *h = r->rule->head;
    const struct term *package = r->rule->module->package;
    r->ref = tt_list(l->a, TT_REF, package->list.n + h->ref->list.n, h->loc);
    size_t n = 0;
    r->ref->list.v[n++] = tt_var(l->a, l->t->data, h->loc);
    for (size_t i = 1; i < package->list.n; i++) {
        r->ref->list.v[n++] = lower_term(l, package->list.v[i]);
    }
    r->ref->list.v[n++] = tt_val(l->a, val_str(l->a, h->ref->list.v[0]->var.name), h->loc);
    for (size_t i = 1; i < h->ref->list.n; i++) {
        r->ref->list.v[n++] = lower_term(l, h->ref->list.v[i]);
    }
    r->key = h->key != NULL ? lower_term(l, h->key) : NULL;
    r->value = h->value != NULL ? lower_term(l, h->value) : NULL;
    if (r->value == NULL && r->key == NULL) {
        r->value = tt_val(l->a, VAL_TRUE, h->loc);
    }
    r->n_args = h->n_args;
    r->args = arena_array(l->a, struct tt *, h->n_args + 1);
    for (size_t i = 0; i < h->n_args; i++) {
        r->args[i] = lower_term(l, h->args[i]);
    }
}

/* What stands in a reference's place in the head, but is no constant or variable, is bound below. */
static void hoist_path(struct lowering *l, struct trule *r)
{
    struct tbody more = {0};
    for (size_t i = 1; i < r->ref->list.n; i++) {
        struct tt *t = r->ref->list.v[i];
        if (t->kind != TT_VAR && !tt_is_scalar(t)) {
            r->ref->list.v[i] = bind_to_local(l, t, &more);
        }
    }
    body_append(l->a, r->body, &more);
}

static void expand_head(struct lowering *l, struct trule *r)
{
    struct tbody more = {0};
    for (size_t i = 0; i < r->n_args; i++) {
        r->args[i] = expand_term(l, r->args[i], &more);
    }
    r->key = r->key != NULL ? expand_term(l, r->key, &more) : NULL;
    r->value = r->value != NULL ? expand_term(l, r->value, &more) : NULL;
    body_append(l->a, r->body, &more);
    expand_body(l, r->body);
}

static void bind_head(struct lowering *l, struct trule *r)
{
    struct tbody more = {0};
    if (requires_eval(r->key)) {
        r->key = bind_to_local(l, r->key, &more);
    }
    if (requires_eval(r->value)) {
        r->value = bind_to_local(l, r->value, &more);
    }
    for (size_t i = 0; i < r->n_args; i++) {
        if (requires_eval(r->args[i])) {
            r->args[i] = bind_to_local(l, r->args[i], &more);
        }
    }
    body_append(l->a, r->body, &more);
}

static void order_rule_body(struct lowering *l, struct trule *r)
{
    struct vset globals = {.a = l->a};
    vset_add_all(&globals, &l->t->reserved);
    for (size_t i = 0; i < r->n_args; i++) {
        tt_vars(r->args[i], VARS_ALL, &globals);
    }
    tb_order(l->a, r->body, &globals);
}

static void lower_rules(struct rego_topdown *t)
{
    struct lowering l = {
        .t = t, .written = &t->written, .prefix = "__local", .next = &t->next_local};
    lowering_init(&l, &t->a, &t->syms);
    for (size_t i = 0; i < t->n_all; i++) {
        find_hoisted(&l, t->all[i]->rule);
    }
    const struct rule *first = NULL;
    for (size_t i = 0; i < t->n_all; i++) {
        const struct rule *r = t->all[i]->rule;
        first = r->is_else ? first : r;
        name_rule(&l, r, r->is_else ? first : NULL);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        lower_head(&l, t->all[i]);
        t->all[i]->body = lower_body(&l, t->all[i]->rule->body);
        hoist_path(&l, t->all[i]);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        struct trule *r = t->all[i];
        expand_templates(&l, r->body);
        for (size_t k = 0; k < r->n_args; k++) {
            expand_template_term(&l, &r->args[k]);
        }
        if (r->key != NULL) {
            expand_template_term(&l, &r->key);
        }
        if (r->value != NULL) {
            expand_template_term(&l, &r->value);
        }
    }
    for (size_t i = 0; i < t->n_all; i++) {
        expand_head(&l, t->all[i]);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        struct trule *r = t->all[i];
        if (r->key != NULL) {
            expand_comprehension_heads_in(&l, r->key);
        }
        if (r->value != NULL) {
            expand_comprehension_heads_in(&l, r->value);
        }
        expand_comprehension_heads(&l, r->body);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        bind_head(&l, t->all[i]);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        expand_withs(&l, t->all[i]->body);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        order_rule_body(&l, t->all[i]);
        unify_equals(&l, t->all[i]->body);
    }
    for (size_t i = 0; i < t->n_all; i++) {
        expand_dynamics(&l, t->all[i]->body);
    }
    lowering_release(&l);
}

static void gather(struct rego_topdown *t, struct tnode *to, const struct tnode *from)
{
    for (size_t i = 0; i < from->n_rules; i++) {
        PUSH_RULE(t, to->extent, to->n_extent, to->cap_extent, from->rules[i]);
    }
    for (size_t i = 0; i < from->n_children; i++) {
        gather(t, to, from->children[i]);
    }
}

static bool one_value(const struct tnode *n)
{
    struct val v = VAL_UNDEF;
    for (size_t i = 0; i < n->n_rules; i++) {
        for (const struct trule *r = n->rules[i]; r != NULL; r = r->otherwise) {
            if (r->key != NULL || r->value == NULL || r->value->kind != TT_VAL ||
                (!val_undef(v) && !val_eq(v, r->value->v))) {
                return false;
            }
            v = r->value->v;
        }
    }
    return n->n_rules > 0 && n->ground;
}

static void settle_nodes(struct rego_topdown *t)
{
    for (uint32_t i = 0; i < t->p->n_nodes; i++) {
        struct tnode *n = &t->nodes[i];
        if (n->n == NULL) {
            continue;
        }
        n->early_exit = one_value(n);
        if (n->ground) {
            n->extent = n->rules;
            n->n_extent = n->n_rules;
        } else {
            gather(t, n, n);
        }
    }
}

static int by_file(const void *a, const void *b)
{
    const struct policy_unit *const *x = a, *const *y = b;
    return str_cmp((*x)->m->file, (*y)->m->file);
}

struct rego_topdown *rego_topdown_new(const struct rego_policy *p)
{
    struct rego_topdown *t = calloc(1, sizeof *t);
    BUG_ON(t == NULL);
    arena_init(&t->a, PROGRAM_MEMORY_MAX);
    t->p = p;
    symtab_init(&t->syms, &t->a, NULL);
    map_init(&t->written);
    t->data = sym_get(&t->syms, S("data"));
    t->input = sym_get(&t->syms, S("input"));
    t->reserved.a = &t->a;
    vset_add(&t->reserved, t->data);
    vset_add(&t->reserved, t->input);
    t->nodes = arena_array(&t->a, struct tnode, p->n_nodes + 1);
    add_node(t, p->root, NULL);
    const struct policy_unit **units =
        arena_array(&t->a, const struct policy_unit *, p->n_units + 1);
    for (size_t i = 0; i < p->n_units; i++) {
        units[i] = &p->units[i];
    }
    qsort(units, p->n_units, sizeof *units, by_file);
    for (size_t i = 0; i < p->n_units; i++) {
        add_rules(t, units[i]);
    }
    lower_rules(t);
    settle_nodes(t);
    return t;
}

void rego_topdown_free(struct rego_topdown *t)
{
    if (t == NULL) {
        return;
    }
    map_release(&t->syms.m);
    map_release(&t->written);
    arena_release(&t->a);
    free(t);
}

static int by_sym_name(const void *a, const void *b)
{
    struct sym *const *x = a, *const *y = b;
    return str_cmp((*x)->name, (*y)->name);
}

static void query_vars(struct rego_topdown_query *q, const struct tbody *b)
{
    struct vset vars = {.a = &q->a};
    for (size_t i = 0; i < b->n; i++) {
        tx_vars(b->v[i], VARS_NO_CLOSURES | VARS_NO_OPERATORS, &vars);
    }
    q->vars = arena_array(&q->a, struct sym *, vars.n + 1);
    for (size_t i = 0; i < vars.n; i++) {
        struct sym *s = vars.v[i], *written = map_get(&q->written, s->name);
        bool hidden = sym_wildcard(s) || s == q->t->data || s == q->t->input ||
                      (sym_generated(s) && (written == NULL || sym_wildcard(written)));
        if (!hidden) {
            q->vars[q->n_vars++] = s;
        }
    }
    qsort(q->vars, q->n_vars, sizeof(struct sym *), by_sym_name);
}

struct str rego_topdown_query_var(const struct rego_topdown_query *q, size_t i)
{
    const struct sym *written = map_get(&q->written, q->vars[i]->name);
    return written != NULL ? written->name : q->vars[i]->name;
}

size_t rego_topdown_query_vars(const struct rego_topdown_query *q)
{
    return q->n_vars;
}

/* Makes the expression give its value through a variable instead of having to hold. */
static struct sym *capture_one(struct lowering *l, struct texpr *e, size_t at)
{
    if (e->negated || e->n_with > 0 || e->eq || (e->kind != TX_TERM && e->kind != TX_CALL)) {
        return NULL;
    }
    if (e->kind == TX_CALL && (e->builtin == NULL || e->builtin->flags & BF_VOID) &&
        e->func == NULL) {
        return NULL;
    }
    if (e->kind == TX_CALL && tx_arity(e) != (int)e->n - 1) {
        return NULL;
    }
    struct sym *s = sym_get(l->syms, arena_printf(l->a, "$term%zu", at + 1));
    struct tt *var = tt_var(l->a, s, e->loc);
    if (e->kind == TX_CALL) {
        struct tt **t = arena_array(l->a, struct tt *, e->n + 1);
        memcpy(t, e->t, e->n * sizeof(struct tt *));
        t[e->n++] = var;
        e->t = t;
        return s;
    }
    struct texpr *eq = tx_eq(l->a, l->syms, e->t[0], var);
    eq->loc = e->loc;
    *e = *eq;
    return s;
}

static void rewrite_query(struct lowering *l, struct tbody *b, bool partial)
{
    expand_templates(l, b);
    expand_body(l, b);
    expand_comprehension_heads(l, b);
    expand_withs(l, b);
    struct vset globals = {.a = l->a};
    vset_add_all(&globals, &l->t->reserved);
    tb_order(l->a, b, &globals);
    if (partial) {
        unify_equals(l, b);
    }
    expand_dynamics(l, b);
}

static void lower_query(struct rego_topdown_query *q, struct body *b, bool capture)
{
    unsigned next = 0;
    struct lowering l = {
        .t = q->t, .written = &q->written, .prefix = "__localq", .next = &next, .query = true};
    lowering_init(&l, &q->a, &q->syms);
    name_body(&l, b);
    q->body = lower_body(&l, b);
    q->plain = tb_copy(&q->a, q->body);
    q->partial = tb_copy(&q->a, q->body);
    q->n_exprs = b->n;
    q->captures = arena_array(&q->a, struct sym *, q->n_exprs + 1);
    query_vars(q, q->body);
    struct expr **written = source_order(&q->a, b);
    for (size_t i = 0, k = 0; capture && i < b->n && k < q->body->n; i++) {
        if (written[i]->kind != E_SOME) { /* a declaration is no expression here */
            q->captures[i] = capture_one(&l, q->body->v[k++], i);
        }
    }
    unsigned declared = next;
    rewrite_query(&l, q->body, false);
    if (capture) {
        next = declared;
        rewrite_query(&l, q->plain, false);
    } else {
        q->plain = q->body;
    }
    next = declared;
    rewrite_query(&l, q->partial, true);
    lowering_release(&l);
}

bool rego_topdown_prepare(const struct rego_topdown *t, struct str text,
                          const struct rego_query_options *o, struct rego_errors *errors,
                          struct rego_topdown_query **out)
{
    static const struct rego_query_options defaults = {.version = REGO_V1};
    o = o != NULL ? o : &defaults;
    struct rego_topdown_query *q = calloc(1, sizeof *q);
    BUG_ON(q == NULL);
    arena_init(&q->a, QUERY_MEMORY_MAX);
    q->t = t;
    symtab_init(&q->syms, &q->a, (struct symtab *)(uintptr_t)&t->syms);
    map_init(&q->written);
    q->text = arena_str(&q->a, text);
    struct compiler c = {
        .a = &q->a, .p = (struct rego_policy *)(uintptr_t)t->p, .errors = errors, .query = true};
    struct body *b;
    map_init(&c.query_globals);
    bool ok = query_parse(&c, q->text, o, &b) && query_resolve(&c, b);
    map_release(&c.query_globals);
    if (!ok) {
        rego_topdown_query_free(q);
        return false;
    }
    lower_query(q, b, o->capture);
    *out = q;
    return true;
}

void rego_topdown_query_free(struct rego_topdown_query *q)
{
    if (q != NULL) {
        map_release(&q->syms.m);
        map_release(&q->written);
        arena_release(&q->a);
        free(q);
    }
}
