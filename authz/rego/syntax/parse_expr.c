/* Bodies and their expressions: literals, some, every, with. */
#include "authz/rego/syntax/parse_priv.h"

struct body *body_of(struct parser *p, struct expr *e)
{
    struct body *b = arena_new(p->a, struct body);
    body_push(p->a, b, e);
    return b;
}

struct expr *expr_of(struct parser *p, struct term *t, struct loc loc)
{
    struct expr *e = arena_new(p->a, struct expr);
    e->term = t;
    e->loc = loc;
    return e;
}

struct body *parse_body(struct parser *p, enum token end)
{
    if (!parser_enter(p)) {
        return NULL;
    }
    struct body *b = parse_query(p, false, end);
    parser_leave(p);
    return b;
}

/* Would what follows the current token be `x in xs` or `x, y in xs` with all keywords on? */
static bool future_membership(struct parser *p)
{
    struct parse_state before = p->s;
    struct parsed_term *cache = p->cache;
    parser_scan(p);
    p->s.lex.keywords |= KW_V2;
    p->cache = NULL;
    struct term *t = parse_infix(p);
    p->cache = cache;
    parser_restore(p, &before);
    return term_is_call_of(t, "internal.member_2") || term_is_call_of(t, "internal.member_3");
}

/* A body that goes on with a word that would be an operator had it been imported. */
static void hint_missing_keyword(struct parser *p)
{
    static const struct {
        const char *word, *example;
    } infix[] = {{"in", "x in xs"}, {"and", "x and y"}, {"or", "x or y"}};
    if (p->s.n_hints > 0) {
        return;
    }
    struct str word = tok(p) == TOK_IDENT ? lit(p) : STR_EMPTY;
    if (tok(p) == TOK_COMMA && future_membership(p)) {
        word = S("in");
    }
    for (size_t i = 0; i < ARRAY_LEN(infix); i++) {
        if (str_is(word, infix[i].word)) {
            parser_hint(p, "`import future.keywords.%s` for `%s` expressions", infix[i].word,
                        infix[i].example);
        }
    }
}

struct body *parse_query(struct parser *p, bool one, enum token end)
{
    if (tok(p) == end) {
        parser_error(p, here(p), "found empty body");
        return NULL;
    }
    struct body *b = arena_new(p->a, struct body);
    b->loc = here(p);
    for (;;) {
        struct expr *e = parse_literal(p);
        if (e == NULL) {
            return NULL;
        }
        body_push(p->a, b, e);
        if (tok(p) == TOK_SEMICOLON) {
            parser_scan(p);
            continue;
        }
        if (tok(p) == end || one) {
            return b;
        }
        if (!p->s.skipped_nl) {
            if (p->s.n_errors == 0) {
                hint_missing_keyword(p);
                parser_illegal(p, "expected \\n or %s or %s", token_name(TOK_SEMICOLON),
                               token_name(end));
            }
            return NULL;
        }
    }
}

static bool parse_one_with(struct parser *p, struct with *w)
{
    w->loc = here(p);
    parser_scan(p);
    if (tok(p) != TOK_IDENT) {
        parser_illegal(p, "expected ident");
        return false;
    }
    w->target = parse_term(p);
    if (w->target == NULL) {
        return false;
    }
    if (w->target->type != T_REF && w->target->type != T_VAR) {
        parser_illegal(p, "expected with target path");
    }
    if (tok(p) != TOK_AS) {
        parser_illegal(p, "expected as keyword");
        return false;
    }
    parser_scan(p);
    w->value = parse_infix(p);
    w->loc.end = p->s.last_end;
    return w->value != NULL;
}

bool parse_with(struct parser *p, struct expr *e)
{
    if (tok(p) == TOK_WITH) { /* those behind a group take the place of those in it */
        e->with = NULL;
        e->n_with = e->cap_with = 0;
    }
    while (tok(p) == TOK_WITH) {
        struct with *w = arena_new(p->a, struct with);
        if (!parse_one_with(p, w)) {
            return false;
        }
        e->with =
            arena_grow(p->a, e->with, e->n_with, e->n_with + 1, &e->cap_with, sizeof *e->with);
        e->with[e->n_with++] = w;
    }
    return true;
}

/* `some x in xs`: NULL without an error when it is not of this form. */
static struct expr *some_in(struct parser *p, struct loc loc, bool *bad)
{
    struct term *t = parse_infix(p);
    if (t == NULL || t->type != T_CALL) {
        return NULL;
    }
    *bad = true;
    bool two = term_is_call_of(t, "internal.member_3");
    if (!two && !term_is_call_of(t, "internal.member_2")) {
        parser_illegal(p, "expected `x in xs` or `x, y in xs` expression");
        return NULL;
    }
    if (t->list.n != (two ? 4u : 3u)) {
        parser_illegal(p, "illegal domain");
        return NULL;
    }
    struct expr *e = expr_of(p, NULL, loc);
    e->kind = E_SOME;
    e->word = loc;
    e->symbols = arena_new(p->a, struct term *);
    e->symbols[0] = t;
    e->n_symbols = 1;
    return parse_with(p, e) ? e : NULL;
}

static void hint_some_in(struct parser *p)
{
    if (p->o.version == REGO_V0 && future_membership(p)) {
        parser_hint(p, "`import future.keywords.in` for `some x in xs` expressions");
    }
}

static struct expr *parse_some(struct parser *p)
{
    struct loc loc = here(p);
    struct parse_state before = p->s;
    bool bad = false;
    parser_scan(p);
    struct expr *e = some_in(p, loc, &bad);
    if (e != NULL || bad) {
        return e;
    }
    parser_restore(p, &before);
    hint_some_in(p);
    struct term *list = term_new(p->a, T_ARRAY, loc);
    do {
        parser_scan(p);
        if (tok(p) != TOK_IDENT) {
            parser_illegal(p, "expected var");
            return NULL;
        }
        term_push(p->a, list, parse_var(p));
        parser_scan(p);
    } while (tok(p) == TOK_COMMA);
    e = expr_of(p, NULL, loc);
    e->kind = E_SOME;
    e->word = loc;
    e->symbols = list->list.v;
    e->n_symbols = list->list.n;
    return e;
}

/* The head of `every k, v in xs`, or an error. */
static bool every_head(struct parser *p, struct expr *e)
{
    struct term *t = parse_infix(p);
    if (t == NULL) {
        return false;
    }
    bool two = term_is_call_of(t, "internal.member_3");
    if (!two && !term_is_call_of(t, "internal.member_2")) {
        parser_illegal(p, "expected `x[, y] in xs { ... }` expression");
        return false;
    }
    if (t->list.n != (two ? 4u : 3u)) {
        parser_illegal(p, "illegal domain");
        return false;
    }
    if (two) {
        e->every.key = t->list.v[1];
        if (e->every.key->type != T_VAR) {
            parser_illegal(p, "expected key to be a variable");
            return false;
        }
    }
    e->every.value = t->list.v[two ? 2 : 1];
    e->every.domain = t->list.v[two ? 3 : 2];
    if (e->every.value->type != T_VAR) {
        parser_illegal(p, "expected value to be a variable");
        return false;
    }
    return true;
}

static struct expr *parse_every(struct parser *p)
{
    struct expr *e = expr_of(p, NULL, here(p));
    e->word = here(p);
    e->kind = E_EVERY;
    parser_scan(p);
    if (!every_head(p, e)) {
        return NULL;
    }
    if (tok(p) != TOK_LBRACE) {
        parser_illegal(p, "missing body");
        return NULL;
    }
    parser_scan(p);
    e->every.body = parse_body(p, TOK_RBRACE);
    if (e->every.body == NULL) {
        return NULL;
    }
    parser_scan(p);
    return parse_with(p, e) ? e : NULL;
}

struct expr *parse_plain_expr(struct parser *p)
{
    static const enum token equations[] = {TOK_ASSIGN, TOK_UNIFY};
    struct loc loc = here(p);
    struct term *lhs = parse_infix(p), *rhs;
    if (lhs == NULL) {
        return NULL;
    }
    struct term *op = parse_operator(p, equations, ARRAY_LEN(equations));
    if (op == NULL) {
        return expr_of(p, lhs, span(loc, p->s.last_end));
    }
    if ((rhs = parse_infix(p)) == NULL) {
        return NULL;
    }
    struct term *c = term_new(p->a, T_CALL, span(loc, p->s.last_end));
    c->infix = true;
    term_push(p->a, c, op);
    term_push(p->a, c, lhs);
    term_push(p->a, c, rhs);
    return expr_of(p, c, span(loc, p->s.last_end));
}

static struct expr *wrap_not(struct parser *p, struct body *b, bool explicit, struct loc loc)
{
    struct term *t = term_new(p->a, T_NOT, span(loc, p->s.last_end));
    t->logic.lhs = b;
    t->logic.explicit_lhs = explicit;
    return expr_of(p, t, t->loc);
}

struct expr *parse_not_body(struct parser *p, struct loc not_loc)
{
    struct loc brace = here(p);
    struct parse_state before = p->s;
    parser_scan(p);
    bool empty = tok(p) == TOK_RBRACE;
    struct body *b = parse_body(p, TOK_RBRACE);
    if (b == NULL && !empty) {
        struct parse_state failure = p->s;
        parser_restore(p, &before);
        struct term *t = parse_infix(p);
        if (t != NULL) {
            struct str text = str_sub(p->source, brace.off, p->s.last_end);
            struct term *first = t;
            while (first->type == T_CALL && first->infix) {
                first = first->list.v[1];
            }
            parser_hint(
                p, "write `not (%.*s)` to negate the value, or `not {%.*s}` for a body holding it",
                STR_FMT(text), STR_FMT(text));
            parser_error(p, brace,
                         "`{...}` in an operand position must contain expression(s), got: %s",
                         term_kind(first));
            return NULL;
        }
        parser_restore(p, &failure);
    }
    if (b == NULL) {
        return NULL;
    }
    parser_scan(p);
    if (ambiguous_union(p, b)) {
        error_ambiguous_union(p, brace, b, "not ");
        return NULL;
    }
    return wrap_not(p, b, true, not_loc);
}

/* `every x in xs {…}` where `every` is still a plain name. */
static void hint_every(struct parser *p, const struct expr *e, const struct parse_state *start)
{
    if (p->o.version != REGO_V0 || e->term->type != T_VAR || !str_is(e->term->var.name, "every")) {
        return;
    }
    struct parse_state after = p->s;
    struct parsed_term *cache = p->cache;
    parser_restore(p, start);
    p->s.lex.keywords |= KW_V2;
    p->cache = NULL;
    bool hint = parse_every(p) != NULL;
    p->cache = cache;
    parser_restore(p, &after);
    if (hint) {
        parser_hint(p, "`import future.keywords.every` for `every x in xs { ... }` expressions");
    }
}

static struct expr *chain_after(struct parser *p, struct expr *e, bool negated,
                                const struct loc *with_loc)
{
    const char *op = token_name(tok(p));
    if (with_loc != NULL) {
        parser_hint(p,
                    "Wrap the operand in `(...)` or `{...}` to scope, or move `with` after the "
                    "`%s` expression to apply it to the whole expression",
                    op);
        parser_error(p, *with_loc, "`with` modifier is not allowed on operand of `%s`", op);
        return NULL;
    }
    if (!negated && e->loc.off < p->source.n && p->source.p[e->loc.off] == '{') {
        if (e->term->type == T_OBJECT && e->term->list.n == 0) {
            parser_error(p, e->loc, "found empty body");
            return NULL;
        }
        error_brace_led(p, e->loc, str_sub(p->source, e->loc.off, e->loc.end), op);
        return NULL;
    }
    return logic_tail(p, body_of(p, e), false, e->loc);
}

static struct expr *literal_expr(struct parser *p, bool negated, struct loc not_loc)
{
    struct parse_state start = p->s;
    if (negated && p->not_bodies && tok(p) == TOK_LPAREN) {
        bool explicit, committed;
        struct loc loc;
        struct body *b = logic_group(p, true, "not ", &explicit, &loc, &committed);
        if (committed) {
            if (b == NULL) {
                return NULL;
            }
            struct expr *e = wrap_not(p, b, explicit, not_loc);
            return logic_tail(p, body_of(p, e), false, e->loc);
        }
    }
    struct expr *e = parse_plain_expr(p);
    if (e == NULL) {
        return NULL;
    }
    bool with = tok(p) == TOK_WITH;
    struct loc with_loc = here(p);
    if (!parse_with(p, e)) {
        return NULL;
    }
    hint_every(p, e, &start);
    if (negated && p->not_bodies) {
        struct expr *inner = arena_new(p->a, struct expr);
        *inner = *e;
        inner->n_with = inner->cap_with = 0;
        inner->with = NULL;
        inner->loc = (struct loc){0}; /* parse_literal gives it the place of the whole */
        struct expr *outer = wrap_not(p, body_of(p, inner), false, not_loc);
        outer->with = e->with;
        outer->n_with = e->n_with;
        outer->cap_with = e->cap_with;
        e = outer;
    } else {
        e->negated = negated;
    }
    if (tok(p) == TOK_LOGICAL_AND || tok(p) == TOK_LOGICAL_OR) {
        return chain_after(p, e, negated, with ? &with_loc : NULL);
    }
    return e;
}

/* `{ body } and …` at the start of a statement. *done tells that it was that, even if it failed. */
static struct expr *leading_operand(struct parser *p, bool *done)
{
    struct parse_state before = p->s;
    struct parsed_term *cache = p->cache;
    struct loc loc = here(p);
    parser_scan(p);
    struct body *b = parse_body(p, TOK_RBRACE);
    if (b != NULL) {
        parser_scan(p);
        if (tok(p) == TOK_LOGICAL_AND || tok(p) == TOK_LOGICAL_OR) {
            *done = true;
            if (ambiguous_union(p, b)) {
                error_ambiguous_union(p, loc, b, "");
                return NULL;
            }
            return logic_tail(p, b, true, loc);
        }
    }
    parser_restore(p, &before);
    p->cache = cache;
    return NULL;
}

static struct expr *literal(struct parser *p)
{
    bool done = false;
    if (tok(p) == TOK_LBRACE && logic_active(p)) {
        struct expr *e = leading_operand(p, &done);
        if (done) {
            return e;
        }
    }
    if (tok(p) == TOK_LPAREN && logic_active(p)) {
        bool explicit;
        struct loc loc;
        struct body *b = logic_group(p, false, "", &explicit, &loc, &done);
        if (done) {
            return b != NULL ? logic_tail(p, b, explicit, loc) : NULL;
        }
    }
    if (scan_ahead_ref(p)) {
        return literal_expr(p, false, here(p));
    }
    struct loc not_loc = here(p);
    bool negated = is_negated(p);
    if (negated) {
        parser_scan(p);
    }
    if (negated && p->not_bodies && tok(p) == TOK_LBRACE) {
        struct expr *e = parse_not_body(p, not_loc);
        return e != NULL ? logic_tail(p, body_of(p, e), false, e->loc) : NULL;
    }
    if (tok(p) == TOK_SOME || tok(p) == TOK_EVERY) {
        if (negated) {
            parser_illegal(p, "illegal negation of '%s'", token_name(tok(p)));
            return NULL;
        }
        return tok(p) == TOK_SOME ? parse_some(p) : parse_every(p);
    }
    return literal_expr(p, negated, not_loc);
}

struct expr *parse_literal(struct parser *p)
{
    struct loc loc = here(p);
    struct expr *e = literal(p);
    if (e != NULL) {
        e->loc = span(loc, p->s.last_end);
        bool implicit = e->kind == E_TERM && e->term->type == T_NOT && !e->term->logic.explicit_lhs;
        for (size_t i = 0; implicit && i < e->term->logic.lhs->n; i++) {
            e->term->logic.lhs->v[i]->loc = e->loc;
        }
    }
    return e;
}
