/* `and`, `or`, `not`, and the parentheses that keep their meaning. */
#include "authz/rego/syntax/format_priv.h"

bool is_logic(const struct expr *e)
{
    return e->kind == E_TERM && (e->term->type == T_AND || e->term->type == T_OR);
}

bool is_union_expr(const struct expr *e)
{
    return e->kind == E_TERM && is_union(e->term) && e->term->list.n == 3;
}

static bool term_brace_led(const struct term *t)
{
    switch (t->type) {
    case T_SET:
        return t->list.n > 0; /* the empty one is written set() */
    case T_OBJECT:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return true;
    case T_REF:
        return term_brace_led(t->list.v[0]);
    case T_CALL:
        if (is_member(t)) {
            return t->list.n == (term_is_call_of(t, "internal.member_3") ? 4u : 3u) &&
                   term_brace_led(t->list.v[1]);
        }
        return infix_of(t) != NULL && t->list.n == 3 && term_brace_led(t->list.v[1]);
    default:
        return false;
    }
}

/* The operand that is written first: of `z = x + y` it is the last. */
static const struct term *leading_operand(const struct term *t)
{
    size_t arity = term_is_call_of(t, "internal.member_3") ? 3 : 2;
    if (infix_of(t) == NULL && !is_member(t)) {
        return NULL;
    }
    if (t->list.n == arity + 1) {
        return t->list.v[1];
    }
    return t->list.n == arity + 2 ? t->list.v[t->list.n - 1] : NULL;
}

bool brace_led(const struct expr *e)
{
    if (e->kind != E_TERM) {
        return false;
    }
    if (e->term->type == T_CALL) {
        const struct term *first = leading_operand(e->term);
        return first != NULL && term_brace_led(first);
    }
    return term_brace_led(e->term);
}

struct operand {
    struct body *body;
    bool explicit, parens;
    struct loc brace; /* of explicit ones */
};

static bool operand_parens(const struct expr *e, enum term_type parent, bool right)
{
    if (e->n_with > 0) {
        return true;
    }
    if (e->kind == E_TERM && e->term->type == T_OR) {
        return parent == T_AND || right;
    }
    if (e->kind == E_TERM && e->term->type == T_AND) {
        return parent == T_AND && right;
    }
    return brace_led(e);
}

/* The opening brace of an operand: the last one before its first expression. */
static struct loc brace_of(const struct writer *w, struct loc node, const struct body *b)
{
    struct str text = loc_text(w, node);
    struct loc first = b->v[0]->loc;
    size_t i = first.row > 0 && first.off > node.off ? MIN(first.off - node.off, text.n) : 0;
    while (i-- > 0) {
        if (text.p[i] == '{') {
            node.row = (uint32_t)(row_of(node) + count_lines(str_sub(text, 0, i)));
            node.off += (uint32_t)i;
            return node;
        }
    }
    return node;
}

static struct operand operand_of(const struct writer *w, const struct expr *e, bool right)
{
    const struct term *t = e->term;
    struct operand o = {.body = right ? t->logic.rhs : t->logic.lhs};
    o.explicit = (right ? t->logic.explicit_rhs : t->logic.explicit_lhs) || o.body->n != 1;
    if (o.explicit) {
        o.brace = brace_of(w, e->loc, o.body);
    } else {
        o.parens = operand_parens(o.body->v[0], t->type, right);
    }
    return o;
}

static int64_t body_end(const struct writer *w, const struct body *b)
{
    struct loc l = b->v[b->n - 1]->loc;
    struct str text = loc_text(w, l);
    while (text.n > 0 && (text.p[text.n - 1] == ' ' || text.p[text.n - 1] == '\t' ||
                          text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
        text.n--;
    }
    return row_of(l) + count_lines(text);
}

static int64_t operand_end(const struct writer *w, const struct operand *o)
{
    int64_t row = o->explicit ? closing_row(w, o->brace, '{', '}') : -1;
    return row > 0 ? row : body_end(w, o->body);
}

static enum written write_braced(struct writer *w, struct body *b, struct loc around)
{
    if (is_union_expr(b->v[0])) {
        w->paren_expr = b->v[0];
    }
    int in_term = w->in_term;
    put(w, "{");
    w->in_term = 0; /* nothing of the body may be given up */
    (void)write_closure(w, b, row_of(around), around, '{', '}');
    w->in_term = in_term;
    put(w, row_of(b->v[b->n - 1]->loc) == row_of(around) ? " }" : "}");
    return W_OK;
}

static enum written write_operand(struct writer *w, const struct operand *o)
{
    if (o->explicit) {
        return write_braced(w, o->body, o->brace);
    }
    put(w, o->parens ? "(" : "");
    enum written r = write_expr(w, o->body->v[0]);
    put(w, o->parens ? ")" : "");
    return r;
}

/* The operators of a chain from the left: those below `e` that need no parentheses come first. */
static struct operand chain_start(const struct writer *w, const struct expr *e,
                                  const struct expr **steps, size_t *n, size_t max)
{
    for (;;) {
        steps[(*n)++] = e;
        struct operand lhs = operand_of(w, e, false);
        if (lhs.explicit || lhs.parens || !is_logic(lhs.body->v[0]) || *n == max) {
            return lhs;
        }
        e = lhs.body->v[0];
    }
}

static bool breaks_line(const struct operand *rhs, int64_t lhs_end)
{
    return row_of(rhs->explicit ? rhs->brace : rhs->body->v[0]->loc) > lhs_end;
}

static size_t chain_length(const struct expr *e)
{
    size_t n = 1;
    for (; is_logic(e); e = e->term->logic.lhs->v[0]) {
        n++;
    }
    return n;
}

static enum written write_chain(struct writer *w, struct expr *e)
{
    size_t n = 0, max = chain_length(e);
    const struct expr **steps = arena_array(w->a, const struct expr *, max);
    struct operand first = chain_start(w, e, steps, &n, max);
    enum written r = write_operand(w, &first);
    int64_t lhs_end = operand_end(w, &first);
    bool indented = false;
    while (n-- > 0) {
        const struct expr *step = steps[n];
        struct operand rhs = operand_of(w, step, true);
        put(w, step->term->type == T_AND ? " and" : " or");
        if (breaks_line(&rhs, lhs_end)) {
            w->level += !indented;
            indented = true;
            end_line(w);
            start_line(w);
        } else {
            put(w, " ");
        }
        r = write_operand(w, &rhs) != W_OK ? W_UNEXPECTED : r;
        struct body whole = {.v = (struct expr *[]){steps[n] == e ? e : NULL}, .n = 1};
        if (n > 0) {
            whole.v[0] = steps[n - 1]->term->logic.lhs->v[0];
            lhs_end = body_end(w, &whole);
        }
    }
    w->level -= indented;
    return r;
}

static enum written write_not(struct writer *w, struct expr *e)
{
    struct body *b = e->term->logic.lhs;
    struct expr *only = b->v[0];
    enum written r = insert_comments(w, row_of(e->loc));
    put(w, "not ");
    if (e->term->logic.explicit_lhs || b->n > 1) {
        (void)write_braced(w, b, e->loc);
        return r;
    }
    bool parens = only->n_with > 0 || is_logic(only) ||
                  (only->kind == E_TERM && only->term->type == T_NOT) || brace_led(only);
    put(w, parens ? "(" : "");
    (void)write_expr(w, only);
    put(w, parens ? ")" : "");
    return r;
}

enum written write_logic(struct writer *w, struct expr *e)
{
    return e->term->type == T_NOT ? write_not(w, e) : write_chain(w, e);
}

void mark_union_lead(struct writer *w, const struct expr *e)
{
    while (!e->negated && is_logic(e)) {
        struct operand lhs = operand_of(w, e, false);
        if (lhs.explicit || lhs.parens) {
            return;
        }
        e = lhs.body->v[0];
    }
    if (e->negated || e->kind != E_TERM) {
        return;
    }
    if (is_union_expr(e)) {
        w->paren_expr = e;
        return;
    }
    const struct term *lead = e->term->type == T_CALL ? leading_operand(e->term) : NULL;
    if (lead != NULL && is_union(lead)) {
        w->paren_term = lead;
    }
}
