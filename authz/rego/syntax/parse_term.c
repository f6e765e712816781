/* Terms: scalars, references, calls, and operators by their binding strength. */
#include "authz/rego/syntax/parse_priv.h"

struct str wildcard_name(struct parser *p)
{
    return arena_printf(p->a, "$%u", p->s.wildcard++);
}

struct term *parse_var(struct parser *p)
{
    struct str name = str_is(lit(p), "_") ? wildcard_name(p) : lit(p);
    return term_var(p->a, name, here(p));
}

struct term *parse_operator(struct parser *p, const enum token *any_of, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (any_of[i] == tok(p)) {
            struct term *t = term_var(p->a, str_of(token_name(tok(p))), here(p));
            parser_scan(p);
            return t;
        }
    }
    return NULL;
}

static struct term *call_of(struct parser *p, struct term *op, struct term *x, struct term *y,
                            struct loc loc, uint32_t offset)
{
    struct term *c = term_new(p->a, T_CALL, loc);
    c->infix = true;
    c->loc.off = offset;
    c->loc.end = p->s.last_end;
    term_push(p->a, c, op);
    term_push(p->a, c, x);
    term_push(p->a, c, y);
    return c;
}

/* Levels from the loosest: relations, |, &, + -, * / %. All associate to the left. */
static const struct {
    enum token ops[6];
    size_t n;
} levels[] = {
    {{TOK_EQUAL, TOK_NEQ, TOK_LT, TOK_GT, TOK_LTE, TOK_GTE}, 6},
    {{TOK_OR}, 1},
    {{TOK_AND}, 1},
    {{TOK_ADD, TOK_SUB}, 2},
    {{TOK_MUL, TOK_QUO, TOK_REM}, 3},
};

static int level_of(enum token t)
{
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        for (size_t k = 0; k < levels[i].n; k++) {
            if (levels[i].ops[k] == t) {
                return (int)i;
            }
        }
    }
    return -1;
}

static struct term *parse_level(struct parser *p, int lowest, uint32_t offset)
{
    struct term *lhs = parse_term(p);
    int highest = (int)ARRAY_LEN(levels);
    while (lhs != NULL) {
        int level = level_of(tok(p));
        if (level < lowest || level > highest) {
            return lhs;
        }
        struct term *op = parse_operator(p, levels[level].ops, levels[level].n);
        struct term *rhs = parse_level(p, level + 1, here(p).off);
        highest = level;
        if (rhs == NULL) {
            highest--; /* the error is on record; looser operators are read on */
        } else {
            lhs = call_of(p, op, lhs, rhs, lhs->loc, offset);
        }
    }
    return NULL;
}

static struct term *member_operator(struct parser *p, const char *word)
{
    if (tok(p) != TOK_IN) {
        return NULL;
    }
    struct loc loc = here(p);
    struct term *op = term_new(p->a, T_REF, loc);
    term_push(p->a, op, term_var(p->a, S("internal"), loc));
    term_push(p->a, op, term_string(p->a, str_of(word), loc));
    parser_scan(p);
    return op;
}

/* `k, v in xs`; NULL, with everything put back, when it is not one. */
static struct term *parse_key_value_in(struct parser *p, struct term *key, uint32_t offset)
{
    struct parse_state before = p->s;
    parser_scan(p);
    struct term *value = parse_level(p, 0, offset), *op = NULL, *domain = NULL;
    if (value != NULL && (op = member_operator(p, "member_3")) != NULL) {
        domain = parse_level(p, 0, here(p).off);
    }
    if (domain == NULL) {
        parser_restore(p, &before);
        return NULL;
    }
    struct term *c = call_of(p, op, key, value, key->loc, offset);
    term_push(p->a, c, domain);
    return c;
}

static struct term *parse_in(struct parser *p, bool key_value)
{
    uint32_t offset = here(p).off;
    struct term *lhs = parse_level(p, 0, offset);
    while (lhs != NULL) {
        if (key_value && tok(p) == TOK_COMMA) {
            struct term *c = parse_key_value_in(p, lhs, offset);
            if (c != NULL) {
                lhs = c;
                if (tok(p) == TOK_IN) {
                    continue;
                }
                return lhs;
            }
        }
        scan_ahead_ref(p);
        struct term *op = member_operator(p, "member_2");
        struct term *domain = op != NULL ? parse_level(p, 0, here(p).off) : NULL;
        if (domain == NULL) {
            return lhs;
        }
        lhs = call_of(p, op, lhs, domain, lhs->loc, offset);
        if (tok(p) != TOK_IN) {
            return lhs;
        }
    }
    return NULL;
}

struct term *parse_infix(struct parser *p)
{
    if (!parser_enter(p)) {
        return NULL;
    }
    struct term *t = parse_in(p, true);
    parser_leave(p);
    return t;
}

struct term *parse_infix_in_list(struct parser *p)
{
    if (!parser_enter(p)) {
        return NULL;
    }
    struct term *t = parse_in(p, false);
    parser_leave(p);
    return t;
}

/* Beyond 32 bits upstream does not see a number at all. */
static bool huge_exponent(struct str s)
{
    size_t at = 0;
    while (at < s.n && s.p[at] != 'e' && s.p[at] != 'E') {
        at++;
    }
    at += at + 1 < s.n && (s.p[at + 1] == '+' || s.p[at + 1] == '-');
    while (at + 1 < s.n && s.p[at + 1] == '0') {
        at++;
    }
    uint64_t v = 0;
    return at < s.n && (failed(str_to_u64(str_sub(s, at + 1, s.n), &v)) || v > INT32_MAX);
}

static struct term *parse_number(struct parser *p)
{
    struct loc loc = here(p);
    uint32_t from = loc.off;
    if (tok(p) == TOK_SUB) {
        parser_scan(p);
        if (tok(p) != TOK_NUMBER && tok(p) != TOK_DOT) {
            parser_illegal(p, "expected number");
            return NULL;
        }
    }
    bool point = tok(p) == TOK_DOT;
    if (point) {
        parser_scan(p);
        if (tok(p) != TOK_NUMBER) {
            parser_illegal(p, "expected number");
            return NULL;
        }
    }
    struct str s = lit(p);
    bool zero = !point && s.n > 1 && s.p[0] == '0' && s.p[1] != '.' &&
                !(s.n > 2 && (s.p[1] == 'e' || s.p[1] == 'E'));
    if (zero) {
        parser_illegal(p, "expected number without leading zero");
        return NULL;
    }
    bool minus = p->source.p[from] == '-';
    struct str text =
        arena_printf(p->a, "%s%s%.*s", minus ? "-" : "", point ? "0." : "", STR_FMT(s));
    struct num n;
    struct err e = num_parse(text, &n);
    if (p->s.lex.cur >= 0x80) { /* upstream sees its first bytes as part of the number */
        parser_illegal(p, "invalid float");
        return NULL;
    }
    if (failed(e) && e.code == ERR_RANGE && !huge_exponent(text)) {
        parser_error(p, here(p), "number too big");
        return NULL;
    }
    if (failed(e)) {
        parser_illegal(p, "invalid float");
        return NULL;
    }
    struct term *t = term_new(p->a, T_NUMBER, loc);
    t->num = n;
    return t;
}

static struct term *parse_string(struct parser *p)
{
    struct str s = lit(p);
    if (s.n < 2) {
        return NULL;
    }
    struct term *t = term_string(p->a, str_sub(s, 1, s.n - 1), here(p));
    t->raw = s.p[0] == '`';
    if (t->raw || str_find_char(t->str, '\\') == STR_NPOS) {
        return t;
    }
    struct val v;
    if (failed(val_from_json(p->a, s, &v))) {
        parser_error(p, here(p), "illegal string literal: %.*s", STR_FMT(s));
        return NULL;
    }
    t->str = val_text(v);
    return t;
}

static struct term *parse_parens(struct parser *p)
{
    struct loc loc = here(p);
    parser_scan(p);
    struct term *t = parse_infix(p);
    if (t == NULL) {
        return NULL;
    }
    if (tok(p) != TOK_RPAREN) {
        parser_error(p, here(p), "non-terminated expression");
        return NULL;
    }
    t->loc.off = loc.off;
    t->loc.end = p->s.tok_end;
    if (t->type == T_REF && t->list.n == 1) { /* `input` and its name stand in one place */
        t->list.v[0]->loc = t->loc;
    }
    t->paren = true;
    return t;
}

static struct term *parse_call(struct parser *p, struct term *op, uint32_t offset, uint32_t *end)
{
    struct term *c = term_new(p->a, T_CALL, op->loc);
    term_push(p->a, c, op);
    parser_scan(p); /* the ( */
    if (!parse_term_list(p, TOK_RPAREN, c)) {
        return NULL;
    }
    *end = p->s.tok_end;
    parser_scan_ws(p);
    bool set = c->list.n == 1 && op->type == T_REF && op->list.n == 1 &&
               op->list.v[0]->type == T_VAR && str_is(op->list.v[0]->var.name, "set");
    if (set) {
        c = term_new(p->a, T_SET, op->loc);
    }
    c->loc.off = offset;
    c->loc.end = *end;
    return c;
}

/* `(` after a reference: a call, perhaps followed by more. */
static struct term *parse_ref_call(struct parser *p, struct term *ref, uint32_t offset)
{
    uint32_t end = 0;
    ref->loc = span(ref->list.v[0]->loc, here(p).off);
    ref->loc.off = offset;
    if (!parser_enter(p)) {
        return NULL;
    }
    struct term *c = parse_call(p, ref, offset, &end);
    parser_leave(p);
    if (c == NULL) {
        return NULL;
    }
    if (tok(p) == TOK_WHITESPACE) {
        parser_scan(p);
    } else if (tok(p) == TOK_DOT || tok(p) == TOK_LBRACK) {
        c = parse_ref_tail(p, c, offset);
    }
    return c;
}

static bool ref_bracket(struct parser *p, struct term *ref)
{
    parser_scan(p);
    struct term *t = parse_infix(p);
    if (t == NULL) {
        return false;
    }
    if (tok(p) != TOK_RBRACK) {
        parser_illegal(p, "expected %s", "[");
        return false;
    }
    term_push(p->a, ref, t);
    parser_scan_ws(p);
    return true;
}

static bool ref_dot(struct parser *p, struct term *ref)
{
    parser_scan_ws(p);
    if (tok(p) != TOK_IDENT && !ref_keyword(p)) {
        parser_illegal(p, "expected %s", "identifier");
        return false;
    }
    term_push(p->a, ref, term_string(p->a, lit(p), here(p)));
    parser_scan_ws(p);
    return true;
}

struct term *parse_ref_tail(struct parser *p, struct term *head, uint32_t offset)
{
    bool fine = head->type == T_VAR || head->type == T_ARRAY || head->type == T_OBJECT ||
                head->type == T_SET || head->type == T_CALL || head->type == T_ARRAY_COMP ||
                head->type == T_SET_COMP || head->type == T_OBJECT_COMP;
    if (!fine) {
        parser_error(p, head->loc, "illegal ref (head cannot be %s)", term_kind(head));
    }
    struct term *ref = term_new(p->a, T_REF, head->loc);
    term_push(p->a, ref, head);
    for (;;) {
        if (tok(p) == TOK_DOT) {
            if (!ref_dot(p, ref)) {
                return NULL;
            }
        } else if (tok(p) == TOK_LBRACK) {
            if (!ref_bracket(p, ref)) {
                return NULL;
            }
        } else if (tok(p) == TOK_LPAREN) {
            return parse_ref_call(p, ref, offset);
        } else {
            break;
        }
    }
    ref->loc.off = offset;
    ref->loc.end = p->s.last_end;
    if (tok(p) == TOK_WHITESPACE) {
        ref->loc.end = p->s.last_end;
        parser_scan(p);
    }
    return ref;
}

static bool is_root(const struct term *t)
{
    return t->type == T_VAR && (str_is(t->var.name, "input") || str_is(t->var.name, "data"));
}

/*
 * What may follow the start of a term: a reference or a call. The text of those begins where the
 * last token of the start does, which for brackets is the closing one.
 */
static struct term *finish_term(struct parser *p, struct term *head)
{
    uint32_t offset = here(p).off;
    parser_scan_ws(p);
    if (tok(p) == TOK_LPAREN || tok(p) == TOK_DOT || tok(p) == TOK_LBRACK) {
        return parse_ref_tail(p, head, offset);
    }
    if (tok(p) == TOK_WHITESPACE) {
        parser_scan(p);
    }
    if (is_root(head)) {
        return single_ref(p, head);
    }
    return head;
}

/* `and(` and `or(` where a term is due call the builtins on sets. */
static void scan_ahead_logic_call(struct parser *p)
{
    if (tok(p) != TOK_LOGICAL_AND && tok(p) != TOK_LOGICAL_OR) {
        return;
    }
    struct parse_state before = p->s;
    parser_scan_ws(p);
    enum token next = tok(p);
    parser_restore(p, &before);
    if (next == TOK_LPAREN) {
        p->s.cur.tok = TOK_IDENT;
    }
}

static struct term *parse_minus(struct parser *p)
{
    struct parse_state before = p->s;
    struct loc loc = here(p);
    parser_scan(p);
    if (tok(p) != TOK_IDENT && tok(p) != TOK_CONTAINS) {
        parser_restore(p, &before);
        struct term *n = parse_number(p);
        return n != NULL ? finish_term(p, n) : NULL;
    }
    struct term *t = finish_term(p, parse_var(p));
    if (t == NULL) {
        return NULL;
    }
    struct term *zero = term_new(p->a, T_NUMBER, loc);
    zero->num = num_int(0);
    struct term *op = term_var(p->a, S("minus"), (struct loc){0});
    return call_of(p, op, zero, t, loc, loc.off);
}

static struct term *term_start(struct parser *p)
{
    struct term *t;
    switch (tok(p)) {
    case TOK_NULL:
        return term_new(p->a, T_NULL, here(p));
    case TOK_TRUE:
    case TOK_FALSE:
        return term_bool(p->a, tok(p) == TOK_TRUE, here(p));
    case TOK_DOT:
    case TOK_NUMBER:
        return parse_number(p);
    case TOK_STRING:
        return parse_string(p);
    case TOK_TEMPLATE_PART:
    case TOK_TEMPLATE_END:
        return parse_template(p, false);
    case TOK_RAW_TEMPLATE_PART:
    case TOK_RAW_TEMPLATE_END:
        return parse_template(p, true);
    case TOK_IDENT:
    case TOK_CONTAINS:
        return parse_var(p);
    case TOK_LBRACK:
        t = parse_array(p);
        return t;
    case TOK_LBRACE:
        return parse_braces(p);
    case TOK_LPAREN:
        return parse_parens(p);
    default:
        parser_illegal(p, NULL);
        return NULL;
    }
}

/* The same place is read several times when braces turn out to be something else: remember it. */
static bool cached(struct parser *p, struct term **out)
{
    uint32_t off = here(p).off;
    const struct parsed_term *c = p->cache;
    while (c != NULL && c->off > off) {
        c = c->next;
    }
    if (c == NULL || c->off != off) {
        return false;
    }
    parser_restore(p, &c->after);
    *out = c->term;
    return true;
}

static void remember(struct parser *p, uint32_t off, struct term *t)
{
    struct parsed_term *next = p->cache, *c = arena_new(&p->scratch, struct parsed_term);
    while (next != NULL && next->off >= off) {
        next = next->next;
    }
    *c = (struct parsed_term){.off = off, .term = t, .after = p->s, .next = next};
    p->cache = c;
}

struct term *parse_term(struct parser *p)
{
    struct term *t = NULL;
    if (!parser_enter(p)) {
        return NULL;
    }
    if (cached(p, &t)) {
        parser_leave(p);
        return t;
    }
    uint32_t offset = here(p).off;
    scan_ahead_logic_call(p);
    if (tok(p) == TOK_SUB) {
        t = parse_minus(p);
    } else {
        t = term_start(p);
        t = t != NULL ? finish_term(p, t) : NULL;
    }
    remember(p, offset, t);
    parser_leave(p);
    return t;
}
