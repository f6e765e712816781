/* Arrays, sets, objects, comprehensions and template strings. */
#include "authz/rego/syntax/parse_priv.h"

bool parse_term_list(struct parser *p, enum token end, struct term *list)
{
    while (tok(p) != end) {
        struct term *t = parse_infix_in_list(p);
        if (t == NULL) {
            return false;
        }
        term_push(p->a, list, t);
        if (tok(p) == end) {
            return true;
        }
        if (tok(p) != TOK_COMMA) {
            parser_illegal(p, "expected \"%s\" or \"%s\"", ",", token_name(end));
            return false;
        }
        parser_scan(p);
    }
    return true;
}

static bool parse_pairs(struct parser *p, struct term *object)
{
    while (tok(p) != TOK_RBRACE) {
        struct term *k = parse_infix_in_list(p), *v;
        if (k == NULL) {
            return false;
        }
        if (tok(p) != TOK_COLON) {
            parser_illegal(p, "expected \"%s\"", ":");
            return false;
        }
        parser_scan(p);
        if ((v = parse_infix_in_list(p)) == NULL) {
            return false;
        }
        term_push(p->a, object, k);
        term_push(p->a, object, v);
        if (tok(p) == TOK_RBRACE) {
            return true;
        }
        if (tok(p) != TOK_COMMA) {
            parser_illegal(p, "expected \"%s\" or \"%s\"", ",", "}");
            return false;
        }
        parser_scan(p);
    }
    return true;
}

static struct term *one_item(struct parser *p, enum term_type type, struct loc loc, struct term *t)
{
    struct term *list = term_new(p->a, type, loc);
    if (t != NULL) {
        term_push(p->a, list, t);
    }
    return list;
}

static struct term *comprehension(struct parser *p, enum term_type type, struct loc loc,
                                  struct term *key, struct term *value, enum token end)
{
    parser_scan(p); /* the | */
    struct body *b = parse_body(p, end);
    if (b == NULL) {
        return NULL;
    }
    struct term *t = term_new(p->a, type, loc);
    t->comp.key = key;
    t->comp.value = value;
    t->comp.body = b;
    return t;
}

/*
 * The rest of `[` or `{` when a list of terms is meant. `[x | …]` is a comprehension if it can be
 * read as one; only then comes the reading as a list that starts with a union.
 */
static struct term *list_or_comprehension(struct parser *p, const struct parse_state *start,
                                          struct loc loc, struct term *head, bool may_be_comp,
                                          bool array)
{
    enum token end = array ? TOK_RBRACK : TOK_RBRACE;
    enum term_type list = array ? T_ARRAY : T_SET;
    if (tok(p) == end) {
        return one_item(p, list, loc, head);
    }
    if (tok(p) == TOK_COMMA) {
        parser_scan(p);
        struct term *t = one_item(p, list, loc, head);
        return parse_term_list(p, end, t) ? t : NULL;
    }
    if (tok(p) == TOK_OR && may_be_comp) {
        struct term *t = comprehension(p, array ? T_ARRAY_COMP : T_SET_COMP, loc, NULL, head, end);
        if (t != NULL || tok(p) != TOK_COMMA) {
            return t;
        }
    }
    parser_restore(p, start);
    struct term *t = one_item(p, list, loc, NULL);
    return parse_term_list(p, end, t) ? t : NULL;
}

struct term *parse_array(struct parser *p)
{
    struct loc loc = here(p);
    parser_scan(p);
    struct term *t = NULL;
    if (tok(p) == TOK_RBRACK) {
        t = term_new(p->a, T_ARRAY, loc);
    } else {
        bool comp = tok(p) != TOK_COMMA;
        if (!comp) {
            parser_scan(p);
        }
        struct parse_state start = p->s;
        struct term *head = parse_term(p);
        t = head != NULL ? list_or_comprehension(p, &start, loc, head, comp, true) : NULL;
    }
    if (t != NULL) {
        t->loc.end = p->s.tok_end;
    }
    return t;
}

static struct term *finish_object(struct parser *p, struct loc loc, struct term *k, struct term *v,
                                  bool may_be_comp)
{
    if (tok(p) == TOK_OR) {
        if (may_be_comp) {
            return comprehension(p, T_OBJECT_COMP, loc, k, v, TOK_RBRACE);
        }
        parser_illegal(p, "non-terminated object");
        return NULL;
    }
    struct term *t = one_item(p, T_OBJECT, loc, k);
    term_push(p->a, t, v);
    if (tok(p) == TOK_COMMA) {
        parser_scan(p);
        return parse_pairs(p, t) ? t : NULL;
    }
    return tok(p) == TOK_RBRACE ? t : NULL;
}

static struct term *parse_object(struct parser *p, struct loc loc, struct term *k, bool may_be_comp)
{
    parser_scan(p); /* the : */
    struct parse_state start = p->s;
    struct term *v = parse_term(p), *t;
    if (v == NULL) {
        return NULL;
    }
    if (may_be_comp && (tok(p) == TOK_RBRACE || tok(p) == TOK_COMMA)) {
        return finish_object(p, loc, k, v, true);
    }
    if (may_be_comp && tok(p) == TOK_OR && (t = finish_object(p, loc, k, v, true)) != NULL) {
        return t;
    }
    parser_restore(p, &start);
    if ((v = parse_infix_in_list(p)) == NULL) {
        return NULL;
    }
    if (tok(p) == TOK_RBRACE || tok(p) == TOK_COMMA) {
        return finish_object(p, loc, k, v, false);
    }
    parser_illegal(p, "non-terminated object");
    return NULL;
}

static struct term *parse_filled_braces(struct parser *p, struct loc loc)
{
    bool comp = tok(p) != TOK_COMMA;
    if (!comp) {
        parser_scan(p);
    }
    struct parse_state start = p->s;
    struct term *head = parse_term(p);
    if (head == NULL) {
        return NULL;
    }
    if (tok(p) == TOK_RBRACE || tok(p) == TOK_COMMA || (tok(p) == TOK_OR && comp)) {
        return list_or_comprehension(p, &start, loc, head, comp, false);
    }
    if (tok(p) == TOK_COLON) {
        return parse_object(p, loc, head, comp);
    }
    parser_restore(p, &start);
    if ((head = parse_infix_in_list(p)) == NULL) {
        return NULL;
    }
    if (tok(p) == TOK_RBRACE || tok(p) == TOK_COMMA) {
        return list_or_comprehension(p, &start, loc, head, false, false);
    }
    if (tok(p) == TOK_COLON) {
        return parse_object(p, loc, head, comp);
    }
    parser_illegal(p, "non-terminated set");
    return NULL;
}

struct term *parse_braces(struct parser *p)
{
    struct loc loc = here(p);
    parser_scan(p);
    struct term *t =
        tok(p) == TOK_RBRACE ? term_new(p->a, T_OBJECT, loc) : parse_filled_braces(p, loc);
    if (t != NULL && (t->type == T_SET || t->type == T_OBJECT)) {
        term_sort(&p->scratch, t, p->o.keep_equal_keys);
    }
    if (t != NULL) {
        t->loc.end = p->s.tok_end;
    }
    return t;
}

static bool template_text(struct parser *p, bool raw, struct str *out)
{
    struct str inner = str_sub(lit(p), 1, lit(p).n - 1);
    *out = inner;
    if (str_find_char(inner, '\\') == STR_NPOS) {
        return true;
    }
    struct buf b;
    buf_init(&b, inner.n * 2 + 8);
    buf_puts(&b, raw ? S("") : S("\""));
    for (size_t i = 0; i < inner.n; i++) {
        if (inner.p[i] == '\\' && i + 1 < inner.n && inner.p[i + 1] == '{') {
            continue;
        }
        buf_putc(&b, inner.p[i]);
        if (inner.p[i] == '\\' && !raw && i + 1 < inner.n) {
            buf_putc(&b, inner.p[++i]);
        }
    }
    buf_puts(&b, raw ? S("") : S("\""));
    struct val v = VAL_UNDEF;
    bool ok = raw || !failed(val_from_json(p->a, buf_str(&b), &v));
    if (ok) {
        *out = raw ? arena_str(p->a, buf_str(&b)) : val_text(v);
    } else {
        parser_error(p, here(p), "illegal template-string part: %.*s", STR_FMT(lit(p)));
    }
    buf_release(&b);
    return ok;
}

static bool template_allows(struct parser *p, const struct expr *e)
{
    const char *what = NULL;
    if (e->negated) {
        parser_error(p, e->loc, "unexpected negation ('not') in template-string expression");
        return false;
    }
    if (e->kind == E_TERM && term_is_call_of(e->term, "eq")) {
        what = "unexpected unification ('=') in template-string expression";
    } else if (e->kind == E_TERM && term_is_call_of(e->term, "assign")) {
        what = "unexpected assignment (':=') in template-string expression";
    } else if (e->kind == E_EVERY) {
        what = "unexpected 'every' in template-string expression";
    } else if (e->kind == E_SOME) {
        what = "unexpected 'some' in template-string expression";
    }
    if (what != NULL) {
        parser_error(p, e->loc, "%s", what);
    }
    return what == NULL;
}

static bool template_expression(struct parser *p, struct term *t)
{
    size_t comments = p->s.n_comments;
    parser_scan(p);
    bool commented = p->s.n_comments != comments;
    struct expr *e = parse_literal(p);
    if (e == NULL) {
        parser_error(p, here(p), "invalid template-string expression");
        return false;
    }
    if (!template_allows(p, e)) {
        return false;
    }
    bool scalar = e->kind == E_TERM && e->term->type <= T_STRING && !commented && e->n_with == 0;
    struct term *part = e->term;
    if (!scalar) {
        part = term_new(p->a, T_EXPR, e->loc);
        part->expr = e;
    }
    term_push(p->a, t, part);
    if (tok(p) != TOK_RBRACE) {
        parser_error(p, here(p), "expected } to end template string expression");
        return false;
    }
    return true;
}

struct term *parse_template(struct parser *p, bool raw)
{
    struct term *t = term_new(p->a, T_TEMPLATE, here(p));
    t->raw = raw;
    if (p->o.version == REGO_V0 || p->o.no_templates) {
        parser_error(p, t->loc, "template strings are not supported by current capabilities");
        return NULL;
    }
    for (;;) {
        struct str text;
        if (!template_text(p, raw, &text)) {
            return NULL;
        }
        if (text.n > 0) {
            struct term *part = term_string(p->a, text, here(p));
            part->generated = true; /* literal text, not an expression that is a string */
            term_push(p->a, t, part);
        }
        if (tok(p) == TOK_TEMPLATE_END || tok(p) == TOK_RAW_TEMPLATE_END) {
            break;
        }
        if (!template_expression(p, t)) {
            return NULL;
        }
        parser_template_rest(p, raw);
        if (tok(p) == TOK_ILLEGAL) {
            parser_error(p, here(p), "expected template-string part");
            return NULL;
        }
    }
    t->loc.end = p->s.tok_end;
    return t;
}
