/* Statements that are rules without saying so: `p = 1`, `f(x)`, `p[x]`, `a.b.c`. */
#include "authz/rego/syntax/parse_priv.h"
#include "authz/rego/types/signature.h"

static struct rule *new_rule(struct parser *p, struct term *ref, struct loc loc, struct loc body)
{
    struct rule *r = arena_new(p->a, struct rule);
    struct head *h = arena_new(p->a, struct head);
    r->head = h;
    r->loc = h->loc = loc;
    h->ref = ref;
    h->named = ref->list.n == 1;
    r->body = true_body(p, body);
    return r;
}

static const char *describe(struct parser *p, const struct term *t, const char *before,
                            const char *behind)
{
    struct buf b;
    buf_init(&b, p->source.n * 8 + 4096);
    if (before != NULL) {
        buf_puts(&b, str_of(before));
        term_write(&b, t);
    } else {
        buf_puts(&b, str_of(term_kind(t)));
        buf_puts(&b, str_of(behind));
    }
    char *text = arena_cstr(p->a, buf_str(&b));
    buf_release(&b);
    return text;
}

static bool names_rule(struct parser *p, const struct term *ref, const char **why)
{
    if (ref->list.v[0]->type == T_VAR) {
        return true;
    }
    *why = describe(p, ref, "invalid rule head: ", NULL);
    return false;
}

/* `a.b.c` is true; `p[x]` and `p.x` are members of the set p. */
static struct rule *from_ref(struct parser *p, struct term *t, const char **why)
{
    if (t->list.n == 1) {
        *why = "refs cannot be used for rule head";
        return NULL;
    }
    if (!names_rule(p, t, why)) {
        return NULL;
    }
    if (t->list.n == 2) {
        struct rule *r = new_rule(p, single_ref(p, t->list.v[0]), t->loc, t->loc);
        r->head->key = t->list.v[1];
        return r;
    }
    struct rule *r = new_rule(p, t, t->loc, t->loc);
    r->head->value = term_bool(p->a, true, t->loc);
    r->head->generated_value = r->head->value_at_head = true;
    return r;
}

static struct rule *from_call(struct parser *p, struct term *call, struct term *value,
                              struct loc loc, const char **why)
{
    struct term *ref = single_ref(p, call->list.v[0]);
    if (!names_rule(p, ref, why)) {
        return NULL;
    }
    struct rule *r = new_rule(p, ref, loc, value != NULL ? value->loc : ref->loc);
    struct head *h = r->head;
    h->is_func = true;
    h->args = call->list.v + 1;
    h->n_args = call->list.n - 1;
    h->value = value != NULL ? value : term_bool(p->a, true, ref->loc);
    h->value_at_head = value == NULL;
    return r;
}

static struct rule *from_equation(struct parser *p, struct term *lhs, struct term *rhs,
                                  struct loc loc, const char **why)
{
    if (lhs->type == T_CALL) {
        struct rule *r = from_call(p, lhs, rhs, loc, why);
        *why = r == NULL ? "call cannot be used for rule name" : *why;
        return r;
    }
    if (lhs->type != T_VAR && lhs->type != T_REF) {
        *why = describe(p, lhs, NULL, " cannot be used for rule name");
        return NULL;
    }
    struct term *ref = single_ref(p, lhs);
    if (!names_rule(p, ref, why)) {
        return NULL;
    }
    struct rule *r = new_rule(p, ref, loc, rhs->loc);
    r->head->value = rhs;
    if (ref->list.n == 2) {
        r->head->named = true;
        r->head->map_key = ref->list.v[1];
    }
    return r;
}

static const char *not_a_rule(const struct body *b)
{
    const struct expr *e = b->v[0];
    if (b->n != 1) {
        return "multiple expressions cannot be used for rule head";
    }
    if (e->n_with > 0) {
        return "expressions using with keyword cannot be used for rule head";
    }
    if (e->negated) {
        return "negated expressions cannot be used for rule head";
    }
    if (e->kind == E_SOME) {
        return "'some' declarations cannot be used for rule head";
    }
    return e->kind != E_TERM || (e->term->type >= T_AND && e->term->type <= T_NOT)
               ? "expression cannot be used for rule head"
               : NULL;
}

static bool is_builtin_name(struct str name)
{
    return signature_find(name) != NULL;
}

struct rule *rule_from_body(struct parser *p, const struct body *b, const char **why)
{
    *why = not_a_rule(b);
    if (*why != NULL) {
        return NULL;
    }
    struct expr *e = b->v[0];
    struct term *t = e->term;
    if (t->type == T_REF) {
        return from_ref(p, t, why);
    }
    if (t->type != T_CALL) {
        *why = describe(p, t, NULL, " cannot be used for rule name");
        return NULL;
    }
    bool assign = term_is_call_of(t, "assign");
    if (assign || term_is_call_of(t, "eq")) {
        if (t->list.n < 3) {
            *why = "assignment requires two operands";
            return NULL;
        }
        struct rule *r = from_equation(p, t->list.v[1], t->list.v[2], e->loc, why);
        if (r != NULL) {
            r->head->assign = assign;
        }
        return r;
    }
    if (is_builtin_name(term_call_name(p->a, t))) {
        *why = "rule name conflicts with built-in function";
        return NULL;
    }
    if (t->list.n < 2) {
        *why = "rule argument list must take at least one argument";
        return NULL;
    }
    struct term *op = t->list.v[0];
    return from_call(p, t, NULL, op->loc, why);
}
