/*
 * Names become what they mean. A variable is a local of its rule, or it names a rule or an import, and
 * is then replaced by the full reference. `:=`, `some` and `every` declare; any other variable belongs
 * to the outermost body in which it occurs outside of closures.
 */
#include "authz/rego/compile/resolve_priv.h"

struct local *new_local(struct compiler *c, struct str name, struct loc loc)
{
    struct local *l = arena_new(c->a, struct local);
    l->name = name;
    l->loc = loc;
    l->id = c->n_locals++;
    l->next = c->locals;
    c->locals = l;
    return l;
}

struct term *local_term(struct compiler *c, struct local *l, struct loc loc)
{
    struct term *t = term_var(c->a, l->name, loc);
    t->var.local = l;
    return t;
}

void names_add(struct compiler *c, struct names *s, struct str name)
{
    if (names_has(s, name)) {
        return;
    }
    s->v = arena_grow(c->a, s->v, s->n, s->n + 1, &s->cap, sizeof *s->v);
    s->v[s->n++] = name;
}

bool names_has(const struct names *s, struct str name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (str_eq(s->v[i], name)) {
            return true;
        }
    }
    return false;
}

struct binding *scope_find(struct scope *s, struct str name)
{
    for (struct binding *b = s->bindings; b != NULL; b = b->next) {
        if (str_eq(b->name, name)) {
            return b;
        }
    }
    return NULL;
}

static struct binding *scope_bind(struct compiler *c, struct scope *s, struct str name,
                                  struct local *l)
{
    struct binding *b = arena_new(c->a, struct binding);
    *b = (struct binding){.name = name, .local = l, .next = s->bindings};
    s->bindings = b;
    return b;
}

struct global *find_global(struct compiler *c, struct str name)
{
    struct map *m = c->query ? &c->query_globals : &c->unit->globals;
    return map_get(m, name);
}

static struct binding *find_declared(struct scope *s, struct str name)
{
    for (; s != NULL; s = s->up) {
        struct binding *b = scope_find(s, name);
        if (b != NULL && b->declared) {
            return b;
        }
    }
    return NULL;
}

static bool will_be_declared(const struct scope *s, struct str name)
{
    for (; s != NULL; s = s->up) {
        if (names_has(&s->will, name)) {
            return true;
        }
    }
    return false;
}

/* The outermost scope in which the undeclared name stands, or this one. */
static struct scope *home_of(struct scope *s, struct str name)
{
    struct scope *home = s;
    for (struct scope *up = s; up != NULL; up = up->up) {
        struct binding *b = scope_find(up, name);
        if (names_has(&up->direct, name) || (b != NULL && !b->declared)) {
            home = up;
        }
    }
    return home;
}

static struct local *undeclared_local(struct compiler *c, struct scope *s, struct term *t)
{
    struct scope *home = home_of(s, t->var.name);
    struct binding *b = scope_find(home, t->var.name);
    if (b == NULL || b->declared) {
        b = scope_bind(c, home, t->var.name, new_local(c, t->var.name, t->loc));
    }
    return b->local;
}

static void to_global(struct compiler *c, struct term *t, struct global *g)
{
    struct loc loc = t->loc;
    if (g->imp != NULL) {
        g->imp->used = true;
    }
    t->type = T_REF;
    t->list.v = NULL;
    t->list.n = t->list.cap = 0;
    for (size_t i = 0; i < g->ref->list.n; i++) {
        struct term *part = term_copy(c->a, g->ref->list.v[i]);
        part->loc = loc;
        term_push(c->a, t, part);
    }
}

static bool is_root_name(struct str name)
{
    return str_is(name, "input") || str_is(name, "data");
}

static void resolve_var(struct compiler *c, struct scope *s, struct term *t)
{
    if (t->var.local != NULL) {
        return;
    }
    struct binding *b = find_declared(s, t->var.name);
    if (b != NULL) {
        t->var.local = b->local;
        b->local->used = true;
        return;
    }
    struct global *g = find_global(c, t->var.name);
    if (g != NULL && !will_be_declared(s, t->var.name)) {
        to_global(c, t, g);
        return;
    }
    t->var.local = undeclared_local(c, s, t);
    t->var.local->wildcard = term_is_wildcard(t);
}

/* In modules of old a rule may have the name of a root document, and hides it. */
static bool is_rule_name(struct compiler *c, struct str name)
{
    const struct global *g = c->query ? NULL : find_global(c, name);
    return g != NULL && g->imp == NULL;
}

/* Where a root document stands alone it may be a variable of that name (in v0). */
static bool is_root_alone(const struct term *t)
{
    return t->type == T_REF && t->list.n == 1 && t->list.v[0]->type == T_VAR &&
           is_root_name(t->list.v[0]->var.name);
}

/* The head of a reference: a root document, a local, or a global whose path is spliced in. */
static void resolve_ref(struct compiler *c, struct scope *s, struct term *t)
{
    struct term *head = t->list.v[0];
    if (head->type == T_VAR &&
        (head->var.local != NULL ||
         (is_root_name(head->var.name) && find_declared(s, head->var.name) == NULL &&
          !is_rule_name(c, head->var.name)))) {
        return;
    }
    struct binding *shadow = is_root_alone(t) ? find_declared(s, head->var.name) : NULL;
    bool used = shadow != NULL && shadow->local->used;
    resolve_term(c, s, head);
    if (shadow != NULL) { /* alone it does not count as a use */
        shadow->local->used = used;
    }
    if (head->type != T_REF) {
        return;
    }
    struct term *all = term_new(c->a, T_REF, t->loc);
    for (size_t i = 0; i < head->list.n; i++) {
        term_push(c->a, all, head->list.v[i]);
    }
    for (size_t i = 1; i < t->list.n; i++) {
        term_push(c->a, all, t->list.v[i]);
    }
    t->list = all->list;
}

/* Operators name builtins or functions; only functions of rules and imports need replacing. */
static void resolve_operator(struct compiler *c, struct scope *s, struct term *call, bool alone)
{
    struct term *op = call->list.v[0];
    struct term *head = op->type == T_REF ? op->list.v[0] : op;
    struct binding *b = head->type == T_VAR ? find_declared(s, head->var.name) : NULL;
    if (call->infix || head->type != T_VAR || (is_root_name(head->var.name) && b == NULL)) {
        return;
    }
    if (b != NULL) {
        head->var.local = b->local; /* a function it is no longer */
        b->local->used = true;
        if (!alone) {
            compile_error(c, "rego_compile_error", call->loc, "called function %.*s shadowed",
                          STR_FMT(term_call_name(c->a, call)));
        }
        return;
    }
    struct global *g = find_global(c, head->var.name);
    if (g == NULL) {
        return;
    }
    if (op->type == T_VAR) {
        to_global(c, op, g);
    } else {
        resolve_ref(c, s, op);
    }
}

static void resolve_comprehension(struct compiler *c, struct scope *up, struct term *t)
{
    struct scope s = {.up = up};
    scope_prepare(c, &s, t->comp.body);
    direct_in_term(c, &s, t->comp.value);
    if (t->comp.key != NULL) {
        direct_in_term(c, &s, t->comp.key);
    }
    resolve_body(c, &s, t->comp.body);
    if (t->comp.key != NULL) {
        resolve_term(c, &s, t->comp.key);
    }
    resolve_term(c, &s, t->comp.value);
    check_unused(c, &s);
}

static void resolve_operand(struct compiler *c, struct scope *up, struct body *b, bool explicit,
                            const char *what)
{
    if (b == NULL) {
        return;
    }
    struct scope s = {.up = up, .implicit = explicit ? NULL : what};
    if (explicit) {
        scope_prepare(c, &s, b);
    }
    resolve_body(c, &s, b);
    if (explicit) {
        check_unused(c, &s);
    }
}

static void resolve_template(struct compiler *c, struct scope *up, struct term *t)
{
    for (size_t i = 0; i < t->list.n; i++) {
        struct term *part = t->list.v[i];
        if (part->type != T_EXPR) {
            continue;
        }
        struct scope s = {.up = up};
        struct body *b = arena_new(c->a, struct body);
        body_push(c->a, b, part->expr);
        scope_prepare(c, &s, b);
        resolve_body(c, &s, b);
    }
}

static void resolve_operands(struct compiler *c, struct scope *s, struct term *call)
{
    for (size_t i = 1; i < call->list.n; i++) {
        resolve_term(c, s, call->list.v[i]);
    }
}

void resolve_term(struct compiler *c, struct scope *s, struct term *t)
{
    switch (t->type) {
    case T_VAR:
        resolve_var(c, s, t);
        break;
    case T_REF:
        for (size_t i = 1; i < t->list.n; i++) {
            resolve_term(c, s, t->list.v[i]);
        }
        resolve_ref(c, s, t);
        break;
    case T_CALL:
        resolve_operator(c, s, t, false);
        resolve_operands(c, s, t);
        break;
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            resolve_term(c, s, t->list.v[i]);
        }
        break;
    case T_TEMPLATE:
        resolve_template(c, s, t);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        resolve_comprehension(c, s, t);
        break;
    case T_NOT:
        resolve_operand(c, s, t->logic.lhs, t->logic.explicit_lhs, "inside negated expression");
        break;
    case T_AND:
    case T_OR: {
        const char *what =
            t->type == T_AND ? "inside implicit and operand" : "inside implicit or operand";
        resolve_operand(c, s, t->logic.lhs, t->logic.explicit_lhs, what);
        resolve_operand(c, s, t->logic.rhs, t->logic.explicit_rhs, what);
        break;
    }
    default:
        break;
    }
}

static void check_declaration(struct compiler *c, struct scope *s, const struct term *t,
                              const char *verb)
{
    struct str name = t->var.name;
    struct binding *b = scope_find(s, name);
    if (b == NULL && s->up != NULL && s->up->arguments) {
        b = scope_find(s->up, name);
    }
    if (b == NULL || term_is_wildcard(t)) {
        return;
    }
    struct loc loc = verb[0] == 'a' ? t->loc : s->at;
    if (b->local->arg) {
        compile_error(c, "rego_compile_error", loc, "arg %.*s redeclared", STR_FMT(name));
    } else if (b->declared) {
        compile_error(c, "rego_compile_error", loc, "var %.*s %s above", STR_FMT(name),
                      b->local->assigned ? "assigned" : "declared");
    } else {
        compile_error(c, "rego_compile_error", loc, "var %.*s referenced above", STR_FMT(name));
    }
}

struct local *declare(struct compiler *c, struct scope *s, struct term *t, const char *verb)
{
    check_declaration(c, s, t, verb);
    struct local *l = new_local(c, t->var.name, t->loc);
    l->declared = true;
    l->assigned = verb[0] == 'a';
    l->member = verb[0] == 'm';
    l->wildcard = term_is_wildcard(t);
    l->declared_at = s->at;
    t->var.local = l;
    scope_bind(c, s, t->var.name, l)->declared = true;
    return l;
}

static const char *kind_of(const struct term *t)
{
    static const char *const kinds[] = {
        [T_NULL] = "null",
        [T_BOOL] = "boolean",
        [T_NUMBER] = "number",
        [T_STRING] = "string",
        [T_TEMPLATE] = "templatestring",
        [T_VAR] = "var",
        [T_REF] = "ref",
        [T_ARRAY] = "array",
        [T_OBJECT] = "object",
        [T_SET] = "set",
        [T_ARRAY_COMP] = "arraycomprehension",
        [T_SET_COMP] = "setcomprehension",
        [T_OBJECT_COMP] = "objectcomprehension",
        [T_CALL] = "call",
        [T_AND] = "logicaland",
        [T_OR] = "logicalor",
        [T_NOT] = "not",
        [T_EXPR] = "expr",
    };
    return kinds[t->type];
}

/* Declares every variable of a pattern; what is no pattern is resolved as usual. */
static void declare_pattern(struct compiler *c, struct scope *s, struct term *t, const char *verb)
{
    bool assigned = verb[0] == 'a';
    if (assigned && is_root_alone(t)) {
        *t = *t->list.v[0];
    }
    switch (t->type) {
    case T_VAR:
        declare(c, s, t, verb);
        break;
    case T_ARRAY:
        for (size_t i = 0; i < t->list.n; i++) {
            declare_pattern(c, s, t->list.v[i], verb);
        }
        break;
    case T_OBJECT:
        for (size_t i = 0; i + 1 < t->list.n; i += 2) {
            resolve_term(c, s, t->list.v[i]);
            declare_pattern(c, s, t->list.v[i + 1], verb);
        }
        break;
    default:
        if (assigned) {
            compile_error(c, "rego_compile_error", t->loc, "cannot assign to %s", kind_of(t));
        }
        resolve_term(c, s, t);
    }
}

/* `some x in xs[x]`: what is bound must not be needed to find it. */
static bool bound_in_domain(struct compiler *c, struct scope *s, const struct term *call,
                            struct loc loc)
{
    struct scope bound = {.up = s}, domain = {.up = s};
    bool any = false;
    for (size_t i = 1; i + 1 < call->list.n; i++) {
        names_in_pattern(c, &bound, call->list.v[i]);
    }
    direct_in_term(c, &domain, call->list.v[call->list.n - 1]);
    for (size_t i = 0; i < bound.will.n; i++) {
        if (bound.will.v[i].p[0] != '$' && names_has(&domain.direct, bound.will.v[i])) {
            compile_error(c, "rego_compile_error", loc, "var %.*s assigned before",
                          STR_FMT(bound.will.v[i]));
            any = true;
        }
    }
    return any;
}

static void resolve_some(struct compiler *c, struct scope *s, struct expr *e)
{
    struct term *call = e->symbols[0];
    if (call->type != T_CALL) {
        for (size_t i = 0; i < e->n_symbols; i++) {
            declare(c, s, e->symbols[i], "declared");
        }
        return;
    }
    bool pair = call->list.n == 4;
    if (bound_in_domain(c, s, call, e->loc)) {
        return;
    }
    struct term *domain = call->list.v[pair ? 3 : 2], *value = call->list.v[pair ? 2 : 1];
    struct term *key = pair ? call->list.v[1] : NULL;
    resolve_term(c, s, domain);
    if (key != NULL) {
        declare_pattern(c, s, key, "member");
    }
    declare_pattern(c, s, value, "member");
    if (key == NULL) {
        key = local_term(c, new_local(c, S("$some"), e->loc), e->loc);
        key->var.local->wildcard = true;
    }
    /* some k, v in xs  means  v = xs[k] */
    struct term *ref = term_new(c->a, T_REF, domain->loc);
    if (domain->type == T_REF) {
        ref = domain;
    } else {
        term_push(c->a, ref, domain);
    }
    term_push(c->a, ref, key);
    struct term *eq = term_new(c->a, T_CALL, call->loc);
    eq->infix = true;
    term_push(c->a, eq, term_var(c->a, S("eq"), call->loc));
    term_push(c->a, eq, value);
    term_push(c->a, eq, ref);
    e->kind = E_TERM;
    e->term = eq;
}

static void resolve_every(struct compiler *c, struct scope *up, struct expr *e)
{
    resolve_term(c, up, e->every.domain);
    struct scope s = {.up = up};
    scope_prepare(c, &s, e->every.body);
    s.at = e->loc;
    if (e->every.key != NULL) {
        declare(c, &s, e->every.key, "declared");
    }
    declare(c, &s, e->every.value, "declared");
    for (struct binding *b = s.bindings; b != NULL && e->every.body->n > 0; b = b->next) {
        b->local->declared_at = e->every.body->v[0]->loc;
    }
    resolve_body(c, &s, e->every.body);
    check_unused(c, &s);
}

static void resolve_assign(struct compiler *c, struct scope *s, struct expr *e)
{
    struct term *call = e->term;
    const char *inside = e->negated ? "inside negated expression" : s->implicit;
    resolve_term(c, s, call->list.v[2]);
    if (inside != NULL) {
        compile_error(c, "rego_compile_error", e->loc, "cannot assign vars %s", inside);
        resolve_term(c, s, call->list.v[1]);
    } else {
        declare_pattern(c, s, call->list.v[1], "assigned");
    }
    call->list.v[0] = term_var(c->a, S("eq"), call->list.v[0]->loc);
    call->generated = true; /* remembers that it was an assignment */
}

static void resolve_with(struct compiler *c, struct scope *s, struct with *w)
{
    struct term *t = w->target;
    struct term *head = t->type == T_REF ? t->list.v[0] : t;
    bool builtin = t->type == T_VAR ? builtin_find(t->var.name) != NULL : false;
    if (t->type == T_REF && head->type == T_VAR && !is_root_name(head->var.name)) {
        struct term call = {.type = T_CALL};
        struct term *ops[1] = {t};
        call.list.v = ops;
        call.list.n = 1;
        builtin = builtin_find(term_call_name(c->a, &call)) != NULL;
    }
    struct global *g = head->type == T_VAR ? find_global(c, head->var.name) : NULL;
    if (head->type == T_VAR && is_root_name(head->var.name)) { /* never a variable here */
        for (size_t i = 1; t->type == T_REF && i < t->list.n; i++) {
            resolve_term(c, s, t->list.v[i]);
        }
    } else if (g != NULL || !builtin) {
        resolve_term(c, s, t);
    }
    struct term *v = w->value;
    bool names_builtin = v->type == T_VAR && find_global(c, v->var.name) == NULL &&
                         find_declared(s, v->var.name) == NULL && builtin_find(v->var.name) != NULL;
    if (v->type == T_REF && v->list.v[0]->type == T_VAR && !is_root_name(v->list.v[0]->var.name) &&
        find_global(c, v->list.v[0]->var.name) == NULL &&
        find_declared(s, v->list.v[0]->var.name) == NULL) {
        struct term call = {.type = T_CALL};
        struct term *ops[1] = {v};
        call.list.v = ops;
        call.list.n = 1;
        names_builtin = builtin_find(term_call_name(c->a, &call)) != NULL;
    }
    if (!names_builtin) {
        resolve_term(c, s, v);
    }
}

void resolve_expr(struct compiler *c, struct scope *s, struct expr *e)
{
    for (size_t i = 0; i < e->n_with; i++) {
        resolve_with(c, s, e->with[i]);
    }
    if (e->kind == E_SOME) {
        resolve_some(c, s, e);
    } else if (e->kind == E_EVERY) {
        resolve_every(c, s, e);
    } else if (term_is_call_of(e->term, "assign") && e->term->infix) {
        resolve_assign(c, s, e);
    } else if (e->term->type == T_CALL) {
        resolve_operator(c, s, e->term, true);
        resolve_operands(c, s, e->term);
    } else {
        resolve_term(c, s, e->term);
    }
}

void resolve_body(struct compiler *c, struct scope *s, struct body *b)
{
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct expr *e = b->v[i];
        bool print = e->kind == E_TERM && term_is_call_of(e->term, "print") &&
                     find_global(c, S("print")) == NULL;
        s->at = e->loc;
        resolve_expr(c, s, e);
        if (print && !c->p->enable_print) {
            continue;
        }
        b->v[kept++] = e;
    }
    if (kept == 0 && b->n > 0) {
        struct expr *e = b->v[0];
        *e = (struct expr){.generated = true, .loc = e->loc};
        e->term = term_bool(c->a, true, e->loc);
        kept = 1;
    }
    b->n = kept;
}
