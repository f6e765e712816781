/* What a body declares and mentions, and the entry points of resolving: rules, queries, imports. */
#include "authz/rego/compile/resolve_priv.h"

void names_in_pattern(struct compiler *c, struct scope *s, const struct term *t)
{
    if (t->type == T_VAR) {
        names_add(c, &s->will, t->var.name);
    } else if (t->type == T_ARRAY) {
        for (size_t i = 0; i < t->list.n; i++) {
            names_in_pattern(c, s, t->list.v[i]);
        }
    } else if (t->type == T_OBJECT) {
        for (size_t i = 1; i < t->list.n; i += 2) {
            names_in_pattern(c, s, t->list.v[i]);
        }
    }
}

static void will_in_expr(struct compiler *c, struct scope *s, const struct expr *e)
{
    if (e->kind == E_TERM && term_is_call_of(e->term, "assign") && e->term->infix) {
        names_in_pattern(c, s, e->term->list.v[1]);
    }
    for (size_t i = 0; e->kind == E_SOME && i < e->n_symbols; i++) {
        const struct term *t = e->symbols[i];
        if (t->type == T_VAR) {
            names_add(c, &s->will, t->var.name);
        } else {
            for (size_t k = 1; k + 1 < t->list.n; k++) {
                names_in_pattern(c, s, t->list.v[k]);
            }
        }
    }
}

static void direct_in_expr(struct compiler *c, struct scope *s, const struct expr *e);

static void direct_in_body(struct compiler *c, struct scope *s, const struct body *b)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        direct_in_expr(c, s, b->v[i]);
    }
}

void direct_in_term(struct compiler *c, struct scope *s, const struct term *t)
{
    switch (t->type) {
    case T_VAR:
        if (!names_has(&s->will, t->var.name)) {
            names_add(c, &s->direct, t->var.name);
        }
        break;
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            direct_in_term(c, s, t->list.v[i]);
        }
        break;
    case T_NOT:
    case T_AND:
    case T_OR:
        if (!t->logic.explicit_lhs) {
            direct_in_body(c, s, t->logic.lhs);
        }
        if (!t->logic.explicit_rhs) {
            direct_in_body(c, s, t->logic.rhs);
        }
        break;
    default:
        break;
    }
}

static void direct_in_expr(struct compiler *c, struct scope *s, const struct expr *e)
{
    if (e->kind == E_TERM) {
        direct_in_term(c, s, e->term);
    } else if (e->kind == E_EVERY) {
        direct_in_term(c, s, e->every.domain);
    } else if (e->symbols[0]->type == T_CALL) {
        const struct term *call = e->symbols[0];
        direct_in_term(c, s, call->list.v[call->list.n - 1]);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        direct_in_term(c, s, e->with[i]->value);
        const struct term *target = e->with[i]->target;
        for (size_t k = 1; target->type == T_REF && k < target->list.n; k++) {
            direct_in_term(c, s, target->list.v[k]);
        }
    }
}

void scope_prepare(struct compiler *c, struct scope *s, const struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        will_in_expr(c, s, b->v[i]);
    }
    direct_in_body(c, s, b);
}

static void head_terms(struct compiler *c, struct scope *s, struct head *h,
                       void (*fn)(struct compiler *, struct scope *, struct term *))
{
    for (size_t i = 1; i < h->ref->list.n; i++) {
        fn(c, s, h->ref->list.v[i]);
    }
    if (h->key != NULL) {
        fn(c, s, h->key);
    }
    if (h->value != NULL) {
        fn(c, s, h->value);
    }
}

static void direct_head(struct compiler *c, struct scope *s, struct term *t)
{
    direct_in_term(c, s, t);
}

/* Variables of parameters are declared; a name may stand in several of them. */
static void declare_args(struct compiler *c, struct scope *s, struct term *t)
{
    if (t->type == T_VAR) {
        struct binding *b = scope_find(s, t->var.name);
        if (b != NULL) {
            t->var.local = b->local;
            b->local->used = true;
            return;
        }
        struct local *l = declare(c, s, t, "declared");
        l->arg = true;
        return;
    }
    if (t->type == T_ARRAY || t->type == T_OBJECT || t->type == T_SET) {
        bool object = t->type == T_OBJECT;
        for (size_t i = object; i < t->list.n; i += object ? 2 : 1) {
            declare_args(c, s, t->list.v[i]);
        }
        for (size_t i = 0; object && i < t->list.n; i += 2) {
            resolve_term(c, s, t->list.v[i]);
        }
        return;
    }
    resolve_term(c, s, t);
}

/* A parameter that is computed is compared at the start of the body. */
static void hoist_args(struct compiler *c, struct rule *r)
{
    for (size_t i = 0; i < r->head->n_args; i++) {
        struct term *t = r->head->args[i];
        bool plain = t->type <= T_STRING || t->type == T_VAR || t->type == T_ARRAY ||
                     t->type == T_OBJECT || t->type == T_SET;
        if (plain) {
            continue;
        }
        if (t->type == T_CALL) {
            compile_error(c, "rego_compile_error", t->loc, "rule arguments cannot contain calls");
            continue;
        }
        struct str name = arena_printf(c->a, "$arg%zu", i);
        struct expr *e = arena_new(c->a, struct expr);
        e->generated = true;
        e->loc = t->loc;
        e->term = term_new(c->a, T_CALL, t->loc);
        e->term->infix = true;
        term_push(c->a, e->term, term_var(c->a, S("eq"), t->loc));
        term_push(c->a, e->term, term_var(c->a, name, t->loc));
        term_push(c->a, e->term, t);
        body_push(c->a, r->body, e);
        r->head->args[i] = term_var(c->a, name, t->loc);
    }
}

void resolve_rule(struct compiler *c, struct rule *r)
{
    c->rule = r;
    c->locals = NULL;
    c->n_locals = 0;
    struct scope args = {.arguments = true};
    hoist_args(c, r);
    for (size_t i = 0; i < r->head->n_args; i++) {
        declare_args(c, &args, r->head->args[i]);
    }
    struct scope s = {.up = &args};
    scope_prepare(c, &s, r->body);
    head_terms(c, &s, r->head, direct_head);
    c->rule_errors = c->errors->n;
    c->unused_told = false;
    resolve_body(c, &s, r->body);
    head_terms(c, &s, r->head, resolve_term);
    check_unused(c, &s);
}

void resolve_query(struct compiler *c, struct body *b)
{
    struct scope s = {0};
    scope_prepare(c, &s, b);
    c->rule_errors = c->errors->n;
    c->unused_told = false;
    resolve_body(c, &s, b);
    check_unused(c, &s);
}

static struct term *rule_ref(struct compiler *c, const struct term *package, struct str name)
{
    struct term *t = term_new(c->a, T_REF, package->loc);
    for (size_t i = 0; i < package->list.n; i++) {
        term_push(c->a, t, package->list.v[i]);
    }
    term_push(c->a, t, term_string(c->a, name, package->loc));
    return t;
}

static void add_global(struct compiler *c, struct map *m, struct str name, struct import *imp,
                       struct term *ref)
{
    struct global *g = arena_new(c->a, struct global);
    g->imp = imp;
    g->ref = ref;
    map_set(m, name, g);
}

static struct str import_name(const struct import *imp)
{
    if (imp->alias.n > 0) {
        return imp->alias;
    }
    const struct term *last = imp->path->list.v[imp->path->list.n - 1];
    return last->type == T_VAR ? last->var.name : last->str;
}

/* Rules of the whole package come first, imports of the module win. */
void resolve_globals(struct compiler *c, struct policy_unit *u)
{
    map_init(&u->globals);
    for (size_t i = 0; i < c->p->n_units; i++) {
        const struct policy_unit *other = &c->p->units[i];
        if (other->package != u->package) {
            continue;
        }
        for (size_t k = 0; k < other->m->n_rules; k++) {
            struct str name = other->m->rules[k]->head->ref->list.v[0]->var.name;
            if (map_get(&u->globals, name) == NULL) {
                add_global(c, &u->globals, name, NULL, rule_ref(c, u->m->package, name));
            }
        }
    }
    for (size_t i = 0; i < u->m->n_imports; i++) {
        struct import *imp = u->m->imports[i];
        struct str root = imp->path->list.v[0]->var.name;
        if (str_is(root, "data") || str_is(root, "input")) {
            add_global(c, &u->globals, import_name(imp), imp, imp->path);
        }
    }
}
