/* Two passes for each expression: calls move out, then references and comprehensions do. */
#include "authz/rego/types/lower.h"

#include "authz/rego/compile/metadata.h"
#include "authz/rego/syntax/visit.h"

static struct term *made_up(struct lower *l, struct loc loc, const struct term *subject)
{
    struct local *v = arena_new(l->a, struct local);
    v->name = arena_printf(l->a, "__local%u__", l->next);
    v->id = l->next++;
    v->loc = loc;
    v->generated = true;
    v->subject = subject;
    struct term *t = term_var(l->a, v->name, loc);
    t->var.local = v;
    return t;
}

static struct expr *new_expr(struct lower *l, struct term *t, struct loc loc)
{
    struct expr *e = arena_new(l->a, struct expr);
    e->generated = true;
    e->loc = loc;
    e->term = t;
    return e;
}

static struct term *call_of(struct lower *l, const char *name, struct loc loc)
{
    struct term *call = term_new(l->a, T_CALL, loc);
    term_push(l->a, call, term_var(l->a, str_of(name), loc));
    return call;
}

/* A new variable that equals `t`. */
static struct expr *equation(struct lower *l, struct term *t, struct term **var,
                             const struct term *subject)
{
    struct term *eq = call_of(l, "eq", t->loc);
    *var = made_up(l, t->loc, subject);
    term_push(l->a, eq, *var);
    term_push(l->a, eq, t);
    return new_expr(l, eq, t->loc);
}

static struct term *like(struct lower *l, const struct term *t)
{
    struct term *n = arena_new(l->a, struct term);
    *n = *t;
    return n;
}

static struct term *expand(struct lower *l, struct term *t, struct body *out);

static struct term *expand_list(struct lower *l, struct term *t, size_t from, struct body *out)
{
    struct term *n = like(l, t);
    n->list.v = NULL;
    n->list.n = n->list.cap = 0;
    for (size_t i = 0; i < t->list.n; i++) {
        term_push(l->a, n, i < from ? t->list.v[i] : expand(l, t->list.v[i], out));
    }
    return n;
}

static struct term *expand_call(struct lower *l, struct term *t, struct body *out)
{
    struct term *constant = metadata_of_call(l->c, t);
    if (constant != NULL) {
        struct term *var, *here = like(l, constant);
        here->loc = t->loc;
        body_push(l->a, out, equation(l, here, &var, NULL));
        return var;
    }
    struct term *n = expand_list(l, t, 1, out), *result = made_up(l, t->loc, NULL);
    term_push(l->a, n, result);
    body_push(l->a, out, new_expr(l, n, t->loc));
    return result;
}

static bool is_composite(const struct term *t)
{
    return t->type == T_ARRAY || t->type == T_OBJECT || t->type == T_SET ||
           (t->type >= T_ARRAY_COMP && t->type <= T_OBJECT_COMP);
}

static struct term *expand_ref(struct lower *l, struct term *t, struct body *out)
{
    struct term *n = expand_list(l, t, t->list.n, out);
    for (size_t i = 0; i < n->list.n; i++) {
        struct term *part = t->list.v[i];
        n->list.v[i] = expand(l, part, out);
        if (part->type == T_CALL) {
            n->list.v[i]->var.local->subject = part;
        }
    }
    if (is_composite(n->list.v[0])) {
        struct term *var;
        body_push(l->a, out, equation(l, n->list.v[0], &var, t->list.v[0]));
        n->list.v[0] = var;
    }
    return n;
}

static void lower_expr(struct lower *l, struct expr *e, struct body *out);
static void dynamic_expr(struct lower *l, struct expr *e, struct body *out);

/* The head of a comprehension, computed at the end of its body. */
static struct term *comprehension_head(struct lower *l, struct term *t, struct body *body)
{
    struct body support = {0};
    t = expand(l, t, &support);
    if (term_requires_evaluation(t)) {
        struct term *var;
        body_push(l->a, &support, equation(l, t, &var, NULL));
        t = var;
    }
    for (size_t i = 0; i < support.n; i++) {
        dynamic_expr(l, support.v[i], body);
    }
    return t;
}

static struct term *expand_comprehension(struct lower *l, struct term *t)
{
    struct term *n = like(l, t);
    n->comp.body = lowered_body(l, t->comp.body);
    if (t->comp.key != NULL) {
        n->comp.key = comprehension_head(l, t->comp.key, n->comp.body);
    }
    n->comp.value = comprehension_head(l, t->comp.value, n->comp.body);
    return n;
}

/* A set of the values of an expression: what a template or print shows. */
static struct term *captured(struct lower *l, struct term *t, const struct expr *origin)
{
    struct term *set = term_new(l->a, T_SET_COMP, t->loc), *var;
    struct body *raw = arena_new(l->a, struct body);
    struct expr *eq = equation(l, t, &var, NULL);
    if (origin != NULL) {
        eq->with = origin->with;
        eq->n_with = origin->n_with;
    }
    body_push(l->a, raw, eq);
    set->comp.value = var;
    set->comp.body = lowered_body(l, raw);
    return set;
}

static struct term *template_part(struct lower *l, struct term *part)
{
    if (part->type != T_EXPR || part->expr->kind != E_TERM) {
        return part->type == T_EXPR ? term_string(l->a, STR_EMPTY, part->loc) : part;
    }
    struct term *t = part->expr->term;
    if (t->type == T_VAR) {
        struct term *set = term_new(l->a, T_SET, part->loc);
        term_push(l->a, set, t);
        return set;
    }
    if (t->type == T_CALL) { /* errors of such a call are told without a place */
        t = like(l, t);
        t->loc = (struct loc){0};
    }
    return captured(l, t, part->expr);
}

static struct term *expand_template(struct lower *l, struct term *t, struct body *out)
{
    struct term *parts = term_new(l->a, T_ARRAY, t->loc), *call = term_new(l->a, T_CALL, t->loc);
    for (size_t i = 0; i < t->list.n; i++) {
        term_push(l->a, parts, template_part(l, t->list.v[i]));
    }
    if (t->list.n == 0) {
        term_push(l->a, parts, term_string(l->a, STR_EMPTY, t->loc));
    }
    struct term *name = term_new(l->a, T_REF, t->loc);
    term_push(l->a, name, term_var(l->a, S("internal"), t->loc));
    term_push(l->a, name, term_string(l->a, S("template_string"), t->loc));
    term_push(l->a, call, name);
    term_push(l->a, call, parts);
    return expand_call(l, call, out);
}

static struct term *expand(struct lower *l, struct term *t, struct body *out)
{
    switch (t->type) {
    case T_CALL:
        return expand_call(l, t, out);
    case T_REF:
        return expand_ref(l, t, out);
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        return expand_list(l, t, 0, out);
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return expand_comprehension(l, t);
    case T_TEMPLATE:
        return expand_template(l, t, out);
    default:
        return t;
    }
}

/* ---- The second pass: operands that must be evaluated become variables. ---- */

static struct term *dynamic(struct lower *l, struct term *t, const struct expr *e,
                            struct body *out);

static struct term *dynamic_list(struct lower *l, struct term *t, size_t from, const struct expr *e,
                                 struct body *out)
{
    struct term *n = like(l, t);
    n->list.v = NULL;
    n->list.n = n->list.cap = 0;
    for (size_t i = 0; i < t->list.n; i++) {
        term_push(l->a, n, i < from ? t->list.v[i] : dynamic(l, t->list.v[i], e, out));
    }
    return n;
}

static struct term *dynamic(struct lower *l, struct term *t, const struct expr *e, struct body *out)
{
    struct term *subject = t, *var;
    switch (t->type) {
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        return dynamic_list(l, t, 0, e, out);
    case T_REF:
        t = dynamic_list(l, t, 1, e, out);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        break;
    default:
        return t;
    }
    struct expr *eq = equation(l, t, &var, subject);
    eq->with = e->with;
    eq->n_with = e->n_with;
    body_push(l->a, out, eq);
    return var;
}

/* At the top of an equation or expression a reference or comprehension may stay. */
static struct term *dynamic_below(struct lower *l, struct term *t, const struct expr *e,
                                  struct body *out)
{
    if (t->type == T_REF) {
        return dynamic_list(l, t, 1, e, out);
    }
    if (t->type >= T_ARRAY_COMP && t->type <= T_OBJECT_COMP) {
        return t;
    }
    return dynamic(l, t, e, out);
}

static void dynamic_expr(struct lower *l, struct expr *e, struct body *out)
{
    if (e->kind == E_TERM && e->term->type == T_CALL) {
        struct term *n = like(l, e->term);
        bool eq = term_is_call_of(e->term, "eq");
        n->list.v = NULL;
        n->list.n = n->list.cap = 0;
        term_push(l->a, n, e->term->list.v[0]);
        for (size_t i = 1; i < e->term->list.n; i++) {
            struct term *t = e->term->list.v[i];
            term_push(l->a, n, eq ? dynamic_below(l, t, e, out) : dynamic(l, t, e, out));
        }
        e->term = n;
    } else if (e->kind == E_TERM && e->term->type < T_AND) {
        e->term = dynamic_below(l, e->term, e, out);
    }
    body_push(l->a, out, e);
}

/* ---- Expressions ---- */

static bool names_function(struct lower *l, const struct term *t)
{
    struct callee callee;
    if (t->type != T_VAR && t->type != T_REF) {
        return false;
    }
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    return head->type == T_VAR && head->var.local == NULL && find_callee(l->c, t, &callee);
}

static struct with **lower_withs(struct lower *l, const struct expr *e, struct body *out)
{
    struct with **v = arena_array(l->a, struct with *, e->n_with + 1);
    for (size_t i = 0; i < e->n_with; i++) {
        struct body support = {0};
        v[i] = arena_new(l->a, struct with);
        *v[i] = *e->with[i];
        if (names_function(l, v[i]->value)) {
            continue;
        }
        v[i]->value = expand(l, v[i]->value, &support);
        if (term_requires_evaluation(v[i]->value)) {
            struct term *var;
            body_push(l->a, &support, equation(l, v[i]->value, &var, NULL));
            v[i]->value = var;
        }
        for (size_t k = 0; k < support.n; k++) {
            dynamic_expr(l, support.v[k], out);
        }
    }
    return v;
}

static void rename_equal(struct lower *l, struct term *call)
{
    if (!l->query && call->list.n == 3 && term_is_call_of(call, "equal")) {
        call->list.v[0] = term_var(l->a, S("eq"), call->list.v[0]->loc);
    }
}

static struct term *print_call(struct lower *l, struct term *t)
{
    struct term *call = call_of(l, "internal.print", t->loc),
                *list = term_new(l->a, T_ARRAY, t->loc);
    for (size_t i = 1; i < t->list.n; i++) {
        term_push(l->a, list, captured(l, t->list.v[i], NULL));
    }
    struct term *name = term_new(l->a, T_REF, t->loc);
    term_push(l->a, name, term_var(l->a, S("internal"), t->loc));
    term_push(l->a, name, term_string(l->a, S("print"), t->loc));
    call->list.v[0] = name;
    term_push(l->a, call, list);
    return call;
}

/* What was moved out of a head, and is a call, gives its result to the head's variable at once. */
static struct term *head_call(struct lower *l, const struct expr *e)
{
    const struct term *t = e->term;
    if (!e->generated || t->type != T_CALL || t->list.n != 3 || t->list.v[2]->type != T_CALL ||
        t->list.v[1]->type != T_VAR || !str_is(t->list.v[1]->var.name, "$head") ||
        metadata_of_call(l->c, t->list.v[2]) != NULL) {
        return e->term;
    }
    struct term *call = like(l, t->list.v[2]), *from = t->list.v[2];
    call->list.v = NULL;
    call->list.n = call->list.cap = 0;
    for (size_t i = 0; i < from->list.n; i++) {
        term_push(l->a, call, from->list.v[i]);
    }
    term_push(l->a, call, t->list.v[1]);
    return call;
}

static void lower_statement(struct lower *l, struct expr *e, struct body *out)
{
    struct body support = {0};
    struct term *t = head_call(l, e);
    if (t->type == T_CALL) {
        t = term_is_call_of(t, "print") ? print_call(l, t) : t;
        e->term = expand_list(l, t, 1, &support);
        rename_equal(l, e->term);
    } else if (t->type == T_AND || t->type == T_OR || t->type == T_NOT) {
        e->term = like(l, t);
        e->term->logic.lhs = t->logic.lhs != NULL ? lowered_body(l, t->logic.lhs) : NULL;
        e->term->logic.rhs = t->logic.rhs != NULL ? lowered_body(l, t->logic.rhs) : NULL;
    } else {
        e->term = expand(l, t, &support);
    }
    for (size_t i = 0; i < support.n; i++) {
        support.v[i]->with = e->with;
        support.v[i]->n_with = e->n_with;
        dynamic_expr(l, support.v[i], out);
    }
    dynamic_expr(l, e, out);
}

static void lower_every(struct lower *l, struct expr *e, struct body *out)
{
    struct term *var;
    struct expr *eq = equation(l, e->every.domain, &var, NULL);
    eq->with = e->with;
    eq->n_with = e->n_with;
    lower_statement(l, eq, out);
    e->every.domain = var;
    e->every.body = lowered_body(l, e->every.body);
    body_push(l->a, out, e);
}

static void lower_expr(struct lower *l, struct expr *e, struct body *out)
{
    if (e->kind == E_SOME) {
        return;
    }
    struct expr *n = arena_new(l->a, struct expr);
    *n = *e;
    if (e->n_with > 0) {
        n->with = lower_withs(l, e, out);
    }
    if (e->kind == E_EVERY) {
        lower_every(l, n, out);
    } else {
        lower_statement(l, n, out);
    }
}

struct body *lowered_body(struct lower *l, const struct body *b)
{
    struct body *out = arena_new(l->a, struct body);
    out->loc = b->loc;
    for (size_t i = 0; i < b->n; i++) {
        lower_expr(l, b->v[i], out);
    }
    return out;
}

struct term *lowered_term(struct lower *l, struct term *t, struct body *out)
{
    struct body support = {0};
    t = expand(l, t, &support);
    for (size_t i = 0; i < support.n; i++) {
        dynamic_expr(l, support.v[i], out);
    }
    return t;
}

struct term *lowered_result(struct lower *l, const struct term *call)
{
    struct term *n = like(l, call);
    n->list.v = NULL;
    n->list.n = n->list.cap = 0;
    for (size_t i = 0; i < call->list.n; i++) {
        term_push(l->a, n, call->list.v[i]);
    }
    term_push(l->a, n, made_up(l, call->loc, NULL));
    return n;
}
