/* `and`, `or`, and the groups and bodies that are their operands. */
#include "authz/rego/syntax/parse_priv.h"

bool logic_active(const struct parser *p)
{
    return (p->s.lex.keywords & (KW_AND | KW_OR)) != 0;
}

bool is_negated(struct parser *p)
{
    if (tok(p) != TOK_NOT) {
        return false;
    }
    struct parse_state before = p->s;
    parser_scan_ws(p);
    enum token next = tok(p);
    parser_restore(p, &before);
    return next != TOK_DOT && next != TOK_LBRACK;
}

bool ambiguous_union(const struct parser *p, const struct body *b)
{
    const struct expr *e = b->n > 0 ? b->v[0] : NULL;
    if (e == NULL || e->kind != E_TERM || !term_is_call_of(e->term, "or") || !e->term->infix) {
        return false;
    }
    return e->loc.off >= p->source.n || p->source.p[e->loc.off] != '(';
}

void error_ambiguous_union(struct parser *p, struct loc loc, const struct body *b,
                           const char *prefix)
{
    struct str braces = str_sub(p->source, loc.off, p->s.last_end);
    struct loc in = b->v[0]->loc;
    struct str before = str_sub(p->source, loc.off, in.off);
    struct str expr = str_sub(p->source, in.off, in.end);
    struct str after = str_sub(p->source, in.end, p->s.last_end);
    parser_hint(p,
                "write `%s(%.*s)` for the comprehension, or `%s%.*s(%.*s)%.*s` for the set union",
                prefix, STR_FMT(braces), prefix, STR_FMT(before), STR_FMT(expr), STR_FMT(after));
    parser_error(p, loc,
                 "ambiguous `{ ... | ... }` operand: read as a body holding a set-union "
                 "expression, not as a comprehension");
}

void error_brace_led(struct parser *p, struct loc loc, struct str operand, const char *op)
{
    parser_hint(p, "wrap the operand to keep the value: `(%.*s) %s ...`", STR_FMT(operand), op);
    parser_error(p, loc, "operand of `%s` cannot begin with `{` unless the braces hold a body", op);
}

static void check_print_operand(struct parser *p, const struct body *b, const char *op)
{
    const struct expr *first = NULL;
    for (size_t i = 0; i < b->n; i++) {
        const struct expr *e = b->v[i];
        if (e->kind != E_TERM || e->negated || !term_is_call_of(e->term, "print")) {
            return;
        }
        first = first == NULL ? e : first;
    }
    if (first != NULL) {
        parser_hint(p,
                    "`print` produces no value and always succeeds, so the operand can never fail; "
                    "move it out of the operand, or add an expression that can fail");
        parser_error(p, first->loc, "operand of `%s` cannot consist only of calls to `print`", op);
    }
}

static struct body *operand_braces(struct parser *p, const char *op, struct loc *loc)
{
    struct parse_state before = p->s;
    *loc = here(p);
    parser_scan(p);
    bool empty = tok(p) == TOK_RBRACE;
    struct body *b = parse_body(p, TOK_RBRACE);
    if (b == NULL) {
        if (!empty && op != NULL) {
            struct parse_state failure = p->s;
            parser_restore(p, &before);
            if (parse_infix(p) != NULL) {
                error_brace_led(p, *loc, str_sub(p->source, loc->off, p->s.last_end), op);
                return NULL;
            }
            parser_restore(p, &failure);
        }
        return NULL;
    }
    parser_scan(p);
    if (ambiguous_union(p, b)) {
        error_ambiguous_union(p, *loc, b, "");
    }
    return b;
}

static struct body *negate(struct parser *p, struct body *b, bool explicit, struct loc not_loc,
                           struct loc *loc)
{
    struct term *t = term_new(p->a, T_NOT, span(not_loc, p->s.last_end));
    t->logic.lhs = b;
    t->logic.explicit_lhs = explicit;
    *loc = t->loc;
    return body_of(p, expr_of(p, t, t->loc));
}

/* One operand. `op` is NULL when the caller only tries. */
static struct body *logic_operand(struct parser *p, const char *op, bool *explicit, struct loc *loc)
{
    *explicit = false;
    if (tok(p) == TOK_LBRACE) {
        *explicit = true;
        return operand_braces(p, op, loc);
    }
    struct loc not_loc = here(p);
    bool negated = is_negated(p);
    if (negated) {
        parser_scan(p);
    }
    if (negated && p->not_bodies && tok(p) == TOK_LBRACE) {
        struct expr *e = parse_not_body(p, not_loc);
        *loc = e != NULL ? e->loc : not_loc;
        return e != NULL ? body_of(p, e) : NULL;
    }
    if (tok(p) == TOK_LPAREN && logic_active(p) && (!negated || p->not_bodies)) {
        bool committed;
        struct body *b = logic_group(p, true, negated ? "not " : "", explicit, loc, &committed);
        if (committed) {
            if (b == NULL || !negated) {
                return b;
            }
            b = negate(p, b, *explicit, not_loc, loc);
            *explicit = false;
            return b;
        }
        *explicit = false;
    }
    *loc = here(p);
    struct expr *e = parse_plain_expr(p);
    if (e == NULL) {
        return NULL;
    }
    *loc = e->loc;
    if (negated && p->not_bodies) {
        return negate(p, body_of(p, e), false, not_loc, loc);
    }
    e->negated = negated;
    return body_of(p, e);
}

static struct expr *join(struct parser *p, enum term_type type, struct body *lhs, bool explicit_lhs,
                         struct body *rhs, bool explicit_rhs, struct loc loc)
{
    const char *op = type == T_AND ? "and" : "or";
    check_print_operand(p, lhs, op);
    check_print_operand(p, rhs, op);
    struct term *t = term_new(p->a, type, span(loc, p->s.last_end));
    t->logic.lhs = lhs;
    t->logic.rhs = rhs;
    t->logic.explicit_lhs = explicit_lhs;
    t->logic.explicit_rhs = explicit_rhs;
    return expr_of(p, t, t->loc);
}

static struct expr *and_chain(struct parser *p, struct body *lhs, bool explicit, struct loc loc)
{
    while (tok(p) == TOK_LOGICAL_AND) {
        bool explicit_rhs;
        struct loc rhs_loc;
        parser_scan(p);
        struct body *rhs = logic_operand(p, "and", &explicit_rhs, &rhs_loc);
        if (rhs == NULL) {
            return NULL;
        }
        lhs = body_of(p, join(p, T_AND, lhs, explicit, rhs, explicit_rhs, loc));
        explicit = false;
    }
    return lhs->v[0];
}

static struct expr *or_chain(struct parser *p, struct body *lhs, bool explicit, struct loc loc)
{
    if (tok(p) == TOK_LOGICAL_AND) {
        struct expr *e = and_chain(p, lhs, explicit, loc);
        if (e == NULL) {
            return NULL;
        }
        lhs = body_of(p, e);
        explicit = false;
    }
    while (tok(p) == TOK_LOGICAL_OR) {
        bool explicit_rhs;
        struct loc rhs_loc;
        parser_scan(p);
        struct body *rhs = logic_operand(p, "or", &explicit_rhs, &rhs_loc);
        if (rhs != NULL && tok(p) == TOK_LOGICAL_AND) {
            struct expr *e = and_chain(p, rhs, explicit_rhs, rhs_loc);
            rhs = e != NULL ? body_of(p, e) : NULL;
            explicit_rhs = false;
        }
        if (rhs == NULL) {
            return NULL;
        }
        lhs = body_of(p, join(p, T_OR, lhs, explicit, rhs, explicit_rhs, loc));
        explicit = false;
    }
    return lhs->v[0];
}

struct expr *logic_chain(struct parser *p, struct body *lhs, bool explicit, struct loc loc)
{
    if (!parser_enter(p)) {
        return NULL;
    }
    struct expr *e = or_chain(p, lhs, explicit, loc);
    parser_leave(p);
    return e;
}

struct expr *logic_tail(struct parser *p, struct body *lhs, bool explicit, struct loc loc)
{
    struct expr *e = lhs->v[0];
    if (tok(p) == TOK_LOGICAL_AND || tok(p) == TOK_LOGICAL_OR) {
        e = logic_chain(p, lhs, explicit, loc);
    }
    return e != NULL && parse_with(p, e) ? e : NULL;
}

static bool expect_rparen(struct parser *p)
{
    if (tok(p) != TOK_RPAREN) {
        parser_error(p, here(p), "expected ) to close parenthesized group");
        return false;
    }
    parser_scan(p);
    return true;
}

static bool is_logic_body(const struct body *b)
{
    return b->n == 1 && b->v[0]->kind == E_TERM &&
           (b->v[0]->term->type == T_AND || b->v[0]->term->type == T_OR);
}

static bool is_negated_operand(const struct body *b)
{
    return b->n == 1 &&
           (b->v[0]->negated || (b->v[0]->kind == E_TERM && b->v[0]->term->type == T_NOT));
}

static void with_on_operand(struct parser *p, struct loc loc)
{
    const char *op = token_name(tok(p));
    parser_hint(p,
                "Wrap the operand in `(...)` or `{...}` to scope, or move `with` after the `%s` "
                "expression to apply it to the whole expression",
                op);
    parser_error(p, loc, "`with` modifier is not allowed on operand of `%s`", op);
}

/* `({ body })` alone: braces in parentheses are a value, or else a mistake. */
static bool parens_hold_body(struct parser *p, const struct parse_state *start, struct loc open,
                             struct loc inner, const char *prefix)
{
    struct str braces = str_sub(p->source, inner.off, p->s.last_end);
    parser_restore(p, start);
    struct parse_state probe = p->s;
    parser_scan(p);
    struct term *t = parse_term(p);
    parser_restore(p, &probe);
    if (t != NULL) {
        return false;
    }
    parser_hint(p, "drop the parens to keep the body: `%s%.*s`", prefix, STR_FMT(braces));
    parser_error(p, open, "`(...)` in an operand position cannot contain a body");
    return true;
}

/* Behind the first operand of a group: is it one? Sets *committed; the group's body or NULL. */
static struct body *finish_group(struct parser *p, const struct parse_state *start,
                                 struct body *lhs, bool *explicit, struct loc lhs_loc,
                                 struct loc open, bool operand, const char *prefix, bool *committed)
{
    *committed = true;
    if (tok(p) == TOK_LOGICAL_AND || tok(p) == TOK_LOGICAL_OR) {
        struct expr *e = logic_chain(p, lhs, *explicit, lhs_loc);
        *explicit = false;
        bool ok = e != NULL && parse_with(p, e) && expect_rparen(p);
        return ok ? body_of(p, e) : NULL;
    }
    if (tok(p) == TOK_WITH && !*explicit && lhs->n == 1) {
        struct loc with = here(p);
        if (!parse_with(p, lhs->v[0])) {
            return NULL;
        }
        if (tok(p) == TOK_LOGICAL_AND || tok(p) == TOK_LOGICAL_OR) {
            with_on_operand(p, with);
            return NULL;
        }
        if (!expect_rparen(p)) {
            return NULL;
        }
        if (operand || tok(p) == TOK_LOGICAL_AND || tok(p) == TOK_LOGICAL_OR) {
            return lhs;
        }
    } else if (*explicit) {
        *committed = parens_hold_body(p, start, open, lhs_loc, prefix);
        return NULL;
    } else if (is_logic_body(lhs) || is_negated_operand(lhs)) {
        return expect_rparen(p) ? lhs : NULL;
    }
    parser_restore(p, start);
    *committed = false;
    return NULL;
}

struct body *logic_group(struct parser *p, bool operand, const char *prefix, bool *explicit,
                         struct loc *loc, bool *committed)
{
    *explicit = false;
    *loc = here(p);
    *committed = true;
    if (!parser_enter(p)) {
        return NULL;
    }
    struct parse_state start = p->s;
    parser_scan(p);
    struct body *b = NULL;
    if (tok(p) == TOK_RPAREN && operand) {
        parser_error(p, *loc, "empty parenthesized group");
    } else {
        struct loc lhs_loc = here(p);
        struct body *lhs = tok(p) == TOK_RPAREN ? NULL : logic_operand(p, NULL, explicit, &lhs_loc);
        if (lhs == NULL) {
            parser_restore(p, &start);
            *committed = false;
        } else {
            b = finish_group(p, &start, lhs, explicit, lhs_loc, *loc, operand, prefix, committed);
        }
    }
    loc->end = p->s.last_end;
    parser_leave(p);
    return b;
}
