/* The compiler's stages in their order, and what holds their result. */
#include "authz/rego/compile/code.h"
#include "authz/rego/compile/compile_priv.h"
#include "authz/rego/compile/index.h"
#include "authz/rego/compile/resolve_priv.h"
#include "authz/rego/compile/test_cases.h"

#include <stdlib.h>

static const size_t POLICY_MEMORY_MAX = (size_t)4 << 30;

bool find_callee(struct compiler *c, const struct term *op, struct callee *out)
{
    *out = (struct callee){.arity = -1};
    const struct term *head = op->type == T_REF ? op->list.v[0] : op;
    if (head->type != T_VAR || head->var.local != NULL) {
        return false; /* a value is no function */
    }
    if (str_is(head->var.name, "data")) {
        struct node *n = c->p->root;
        for (size_t i = 1; n != NULL && op->type == T_REF && i < op->list.n; i++) {
            struct val k = term_const(c->a, op->list.v[i]);
            n = val_undef(k) ? NULL : node_child(n, k);
        }
        if (n == NULL || !n->func) {
            return false;
        }
        out->func = n;
        out->arity = n->arity;
        return true;
    }
    struct term *slot = (struct term *)(uintptr_t)op;
    struct term call = {.type = T_CALL};
    call.list.v = &slot;
    call.list.n = 1;
    struct str name = term_call_name(c->a, &call);
    out->builtin = builtin_find(name);
    if (out->builtin == NULL || (c->caps != NULL && !capabilities_allow(c->caps, name))) {
        out->builtin = NULL;
        return false;
    }
    out->arity = out->builtin->arity;
    c->asks |= (out->builtin->flags & BF_OUTSIDE) != 0;
    return true;
}

static bool simple_head(const struct term *t)
{
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_TEMPLATE:
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return false;
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            if (!simple_head(t->list.v[i])) {
                return false;
            }
        }
        return true;
    default:
        return true;
    }
}

/* References, calls and comprehensions in a head are evaluated at the end of the body. */
static struct term *hoist_head_term(struct compiler *c, struct rule *r, struct term *t)
{
    if (t == NULL || simple_head(t)) {
        return t;
    }
    struct local *l = new_local(c, S("$head"), t->loc);
    struct expr *e = arena_new(c->a, struct expr);
    e->generated = true;
    e->loc = t->loc;
    e->term = term_new(c->a, T_CALL, t->loc);
    e->term->infix = true;
    term_push(c->a, e->term, term_var(c->a, S("eq"), t->loc));
    term_push(c->a, e->term, local_term(c, l, t->loc));
    term_push(c->a, e->term, t);
    body_push(c->a, r->body, e);
    return local_term(c, l, t->loc);
}

static void hoist_head(struct compiler *c, struct rule *r)
{
    struct head *h = r->head;
    for (size_t i = 1; i < h->ref->list.n; i++) {
        h->ref->list.v[i] = hoist_head_term(c, r, h->ref->list.v[i]);
    }
    h->key = hoist_head_term(c, r, h->key);
    h->value = hoist_head_term(c, r, h->value);
}

void compile_enter(struct compiler *c, struct crule *cr)
{
    c->unit = cr->unit;
    c->node = cr->node;
    c->crule = cr;
    c->rule = cr->rule;
    c->locals = cr->locals;
    c->n_locals = cr->n_locals;
}

void compile_leave(struct compiler *c, struct crule *cr)
{
    cr->locals = c->locals;
    cr->n_locals = c->n_locals;
}

void compile_each(struct compiler *c, void (*fn)(struct compiler *c, struct crule *cr))
{
    for (size_t i = 0; i < c->n_rules && !c->enough; i++) {
        for (struct crule *cr = c->rules[i]; cr != NULL; cr = cr->otherwise) {
            compile_enter(c, cr);
            fn(c, cr);
            compile_leave(c, cr);
        }
    }
}

static void resolve_one(struct compiler *c, struct crule *cr)
{
    resolve_rule(c, cr->rule);
    cr->test_case = c->o->tests ? test_case_name(c, cr->rule) : NULL;
}

static void hoist_one(struct compiler *c, struct crule *cr)
{
    hoist_head(c, cr->rule);
}

static void order_one(struct compiler *c, struct crule *cr)
{
    order_rule(c, cr->rule);
}

static bool body_is_true(const struct body *b)
{
    return b == NULL ||
           (b->n == 1 && b->v[0]->kind == E_TERM && !b->v[0]->negated && b->v[0]->n_with == 0 &&
            b->v[0]->term->type == T_BOOL && b->v[0]->term->boolean);
}

static void emit_one(struct compiler *c, struct crule *cr)
{
    metadata_replace(c, cr);
    if (cr->test_case != NULL) {
        test_case_insert(c, cr->rule, cr->test_case);
    }
    cr->code = emit_rule(c, cr->rule, cr->tail, cr->n_tail);
    const struct head *h = cr->rule->head;
    struct val v = h->value != NULL && h->key == NULL ? term_const(c->a, h->value) : VAL_UNDEF;
    cr->constant = !val_undef(v);
    cr->value = v;
    cr->always = cr->constant && cr->otherwise == NULL && cr->n_tail == 0 && h->n_args == 0 &&
                 body_is_true(cr->rule->body);
}

/* Short code without loops, calls of functions, and builtins that are worth remembering. */
static bool code_is_cheap(const struct crule *cr)
{
    enum { CHEAP_INSNS = 24 };
    for (; cr != NULL; cr = cr->otherwise) {
        if (cr->code == NULL || cr->code->n > CHEAP_INSNS) {
            return false;
        }
        for (size_t i = 0; i < cr->code->n; i++) {
            const struct insn *x = &cr->code->v[i];
            if (x->op == OP_SCAN || x->op == OP_FUNC || x->op == OP_RULE || x->op == OP_DOC ||
                x->op == OP_COLLECT || x->op == OP_WITH || x->op == OP_TEMPLATE ||
                x->op == OP_PRINT) {
                return false;
            }
            if (x->op == OP_CALL && (((const struct builtin *)x->p)->flags & BF_CHEAP) == 0) {
                return false;
            }
        }
    }
    return true;
}

static void settle_cheap(struct node *n)
{
    enum { CHEAP_DEFINITIONS = 8 };
    n->cheap = n->func && (n->n_complete <= CHEAP_DEFINITIONS || n->index != NULL) &&
               code_is_cheap(n->fallback);
    for (size_t i = 0; i < n->n_complete && n->cheap; i++) {
        n->cheap = code_is_cheap(n->complete[i]);
    }
}

/* What is known of a place once all its rules are compiled. */
static void settle_node(struct compiler *c, struct node *n)
{
    n->early_exit = n->n_complete > 1;
    for (size_t i = 0; i < n->n_complete && n->early_exit; i++) {
        for (const struct crule *cr = n->complete[i]; cr != NULL; cr = cr->otherwise) {
            n->early_exit &= cr->constant && val_eq(cr->value, n->complete[0]->value);
        }
    }
    n->index = index_build(c, n->complete, n->n_complete);
    n->set_index = index_build(c, n->sets, n->n_sets);
    n->dynamic_index = index_build(c, n->dynamic, n->n_dynamic);
    settle_cheap(n);
    for (size_t i = 0; i < n->n_children; i++) {
        settle_node(c, n->children[i]);
    }
}

static bool parse_all(struct compiler *c, const struct rego_source *sources, size_t n)
{
    struct rego_policy *p = c->p;
    p->units = arena_array(c->a, struct policy_unit, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct parse_options o = {.version = sources[i].version};
        struct policy_unit *u = &p->units[p->n_units];
        if (rego_parse_module(c->a, arena_str(c->a, sources[i].name),
                              arena_str(c->a, sources[i].text), &o, c->errors, &u->m)) {
            p->n_units++;
        }
    }
    return c->errors->n == c->errors_before;
}

static void make_packages(struct compiler *c)
{
    for (size_t i = 0; i < c->p->n_units; i++) {
        struct policy_unit *u = &c->p->units[i];
        struct node *n = c->p->root;
        for (size_t k = 1; k < u->m->package->list.n; k++) {
            n = node_make(c, n, val_str(c->a, u->m->package->list.v[k]->str));
        }
        n->package = true;
        u->package = n;
    }
}

static void stage_names(struct compiler *c)
{
    for (size_t i = 0; i < c->p->n_units; i++) {
        c->unit = &c->p->units[i];
        resolve_globals(c, c->unit);
    }
    compile_each(c, check_argument_names);
}

static void stage_resolve(struct compiler *c)
{
    compile_each(c, resolve_one);
    check_unused_arguments(c);
    check_unused_imports(c);
}

static void stage_calls(struct compiler *c)
{
    compile_each(c, check_void_calls);
    if (!c->stop) {
        compile_each(c, check_prints);
    }
}

static void stage_hoist(struct compiler *c)
{
    compile_each(c, hoist_one);
}

static void stage_with(struct compiler *c)
{
    compile_each(c, check_withs);
}

static void stage_functions(struct compiler *c)
{
    compile_each(c, check_functions);
}

static void stage_head_safety(struct compiler *c)
{
    compile_each(c, order_check_head);
}

static void stage_safety(struct compiler *c)
{
    compile_each(c, order_one);
}

static void stage_emit(struct compiler *c)
{
    if (c->errors->n == c->errors_before) {
        compile_each(c, emit_one);
        settle_node(c, c->p->root);
    }
}

/* In this order, until one of them tells an error that makes the rest meaningless. */
static void (*const stages[])(struct compiler *c) = {
    tree_add_rules,       stage_names,      check_features,    check_root_names, check_imports,
    stage_resolve,        stage_calls,      metadata_prepare,  stage_hoist,      stage_with,
    tree_check_conflicts, stage_functions,  stage_head_safety, stage_safety,     graph_check,
    types_check,          check_deprecated, stage_emit,
};

static void compile_modules(struct compiler *c)
{
    c->p->root = arena_new(c->a, struct node);
    c->p->root->arity = -1;
    c->p->n_nodes = 1;
    make_packages(c);
    if (c->o->tests) {
        tests_rename(c);
    }
    for (size_t i = 0; i < ARRAY_LEN(stages) && !c->stop; i++) {
        stages[i](c);
        c->unit = NULL;
    }
}

bool rego_compile(const struct rego_source *sources, size_t n, const struct rego_compile_options *o,
                  struct rego_errors *errors, struct rego_policy **out)
{
    static const struct rego_compile_options defaults;
    struct rego_policy *p = calloc(1, sizeof *p);
    BUG_ON(p == NULL);
    arena_init(&p->a, POLICY_MEMORY_MAX);
    struct compiler c = {.a = &p->a, .p = p, .o = o != NULL ? o : &defaults, .errors = errors};
    c.strict = c.o->strict;
    c.max_errors = c.o->max_errors == 0 ? REGO_ERRORS_MAX : MAX(c.o->max_errors, 0);
    c.errors_before = errors->n;
    struct capabilities caps;
    if (failed(capabilities_read(c.o->capabilities, &caps))) {
        compile_error(&c, "rego_compile_error", (struct loc){0}, "%s", err_detail());
    }
    c.caps = &caps;
    arena_init(&c.scratch, POLICY_MEMORY_MAX);
    c.unsafe_builtins = c.o->unsafe_builtins;
    p->enable_print = c.o->enable_print;
    if (parse_all(&c, sources, n)) {
        compile_modules(&c);
        compile_sort_errors(&c, c.errors_before);
    }
    p->asks = c.asks;
    arena_release(&c.scratch);
    capabilities_release(&caps);
    if (errors->n > c.errors_before) {
        rego_policy_free(p);
        return false;
    }
    *out = p;
    return true;
}

static void release_node(struct node *n)
{
    if (n->by_name != NULL) {
        map_release(n->by_name);
    }
    for (size_t i = 0; i < n->n_children; i++) {
        release_node(n->children[i]);
    }
}

void rego_policy_free(struct rego_policy *p)
{
    if (p == NULL) {
        return;
    }
    for (size_t i = 0; i < p->n_units; i++) {
        map_release(&p->units[i].globals);
    }
    if (p->root != NULL) {
        release_node(p->root);
    }
    arena_release(&p->a);
    free(p);
}

bool rego_policy_asks(const struct rego_policy *p)
{
    return p->asks;
}

size_t rego_policy_modules(const struct rego_policy *p)
{
    return p->n_units;
}

const struct module *rego_policy_module(const struct rego_policy *p, size_t i)
{
    return p->units[i].m;
}
