/* The AST as Rego text, in upstream's own notation (operators as calls, `_` for wildcards). */
#include "authz/rego/syntax/lex.h"

static bool plain_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return s.n > 0;
}

static void write_string(struct buf *out, struct str s)
{
    struct arena a;
    arena_init(&a, s.n + (1 << 16));
    val_to_rego(out, val_str(&a, s));
    arena_release(&a);
}

static void write_terms(struct buf *out, struct term *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i > 0 ? S(", ") : S(""));
        term_write(out, v[i]);
    }
}

static void write_ref(struct buf *out, const struct term *t)
{
    term_write(out, t->list.v[0]);
    for (size_t i = 1; i < t->list.n; i++) {
        const struct term *p = t->list.v[i];
        if (p->type == T_STRING && plain_name(p->str) && !is_keyword_in_version(p->str, REGO_V1)) {
            buf_putc(out, '.');
            buf_puts(out, p->str);
        } else {
            buf_putc(out, '[');
            term_write(out, p);
            buf_putc(out, ']');
        }
    }
}

static void write_comp(struct buf *out, const struct term *t)
{
    bool array = t->type == T_ARRAY_COMP;
    buf_putc(out, array ? '[' : '{');
    if (t->type == T_OBJECT_COMP) {
        term_write(out, t->comp.key);
        buf_puts(out, S(": "));
    }
    term_write(out, t->comp.value);
    buf_puts(out, S(" | "));
    body_write(out, t->comp.body);
    buf_putc(out, array ? ']' : '}');
}

static void write_object(struct buf *out, const struct term *t)
{
    buf_putc(out, '{');
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        buf_puts(out, i > 0 ? S(", ") : S(""));
        term_write(out, t->list.v[i]);
        buf_puts(out, S(": "));
        term_write(out, t->list.v[i + 1]);
    }
    buf_putc(out, '}');
}

static void write_template(struct buf *out, const struct term *t)
{
    buf_puts(out, t->raw ? S("$`") : S("$\""));
    for (size_t i = 0; i < t->list.n; i++) {
        const struct term *p = t->list.v[i];
        if (p->type == T_STRING && p->generated) {
            for (size_t k = 0; k < p->str.n; k++) {
                if (p->str.p[k] == '{') {
                    buf_putc(out, '\\');
                }
                buf_putc(out, p->str.p[k]);
            }
            continue;
        }
        buf_putc(out, '{');
        term_write(out, p);
        buf_putc(out, '}');
    }
    buf_putc(out, t->raw ? '`' : '"');
}

static void write_operand(struct buf *out, const struct body *b, bool explicit)
{
    bool braces = explicit || b->n > 1;
    buf_puts(out, braces ? S("{ ") : S(""));
    body_write(out, b);
    buf_puts(out, braces ? S(" }") : S(""));
}

static void write_logic(struct buf *out, const struct term *t)
{
    if (t->type == T_NOT) {
        buf_puts(out, S("not "));
        write_operand(out, t->logic.lhs, t->logic.explicit_lhs);
        return;
    }
    write_operand(out, t->logic.lhs, t->logic.explicit_lhs);
    buf_puts(out, t->type == T_AND ? S(" and ") : S(" or "));
    write_operand(out, t->logic.rhs, t->logic.explicit_rhs);
}

void term_write(struct buf *out, const struct term *t)
{
    switch (t->type) {
    case T_NULL:
        buf_puts(out, S("null"));
        break;
    case T_BOOL:
        buf_puts(out, t->boolean ? S("true") : S("false"));
        break;
    case T_NUMBER:
        num_write(out, t->num);
        break;
    case T_STRING:
        write_string(out, t->str);
        break;
    case T_TEMPLATE:
        write_template(out, t);
        break;
    case T_VAR:
        buf_puts(out, term_is_wildcard(t) ? S("_") : t->var.name);
        break;
    case T_REF:
        write_ref(out, t);
        break;
    case T_CALL:
        term_write(out, t->list.v[0]);
        buf_putc(out, '(');
        write_terms(out, t->list.v + 1, t->list.n - 1);
        buf_putc(out, ')');
        break;
    case T_ARRAY:
        buf_putc(out, '[');
        write_terms(out, t->list.v, t->list.n);
        buf_putc(out, ']');
        break;
    case T_SET:
        if (t->list.n == 0) {
            buf_puts(out, S("set()"));
            break;
        }
        buf_putc(out, '{');
        write_terms(out, t->list.v, t->list.n);
        buf_putc(out, '}');
        break;
    case T_OBJECT:
        write_object(out, t);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        write_comp(out, t);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        write_logic(out, t);
        break;
    case T_EXPR:
        expr_write(out, t->expr);
        break;
    }
}

static void write_some(struct buf *out, const struct expr *e)
{
    buf_puts(out, S("some "));
    const struct term *c = e->symbols[0];
    if (c->type == T_CALL) {
        write_terms(out, c->list.v + 1, c->list.n - 2);
        buf_puts(out, S(" in "));
        term_write(out, c->list.v[c->list.n - 1]);
        return;
    }
    write_terms(out, e->symbols, e->n_symbols);
}

static void write_every(struct buf *out, const struct expr *e)
{
    buf_puts(out, S("every "));
    if (e->every.key != NULL) {
        term_write(out, e->every.key);
        buf_puts(out, S(", "));
    }
    term_write(out, e->every.value);
    buf_puts(out, S(" in "));
    term_write(out, e->every.domain);
    buf_puts(out, S(" { "));
    body_write(out, e->every.body);
    buf_puts(out, S(" }"));
}

void expr_write(struct buf *out, const struct expr *e)
{
    buf_puts(out, e->negated ? S("not ") : S(""));
    if (e->kind == E_SOME) {
        write_some(out, e);
    } else if (e->kind == E_EVERY) {
        write_every(out, e);
    } else if (term_is_call_of(e->term, "eq") || term_is_call_of(e->term, "assign")) {
        term_write(out, e->term->list.v[1]);
        buf_puts(out, term_is_call_of(e->term, "eq") ? S(" = ") : S(" := "));
        term_write(out, e->term->list.v[2]);
    } else {
        term_write(out, e->term);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        buf_puts(out, S(" with "));
        term_write(out, e->with[i]->target);
        buf_puts(out, S(" as "));
        term_write(out, e->with[i]->value);
    }
}

void body_write(struct buf *out, const struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        buf_puts(out, i > 0 ? S("; ") : S(""));
        expr_write(out, b->v[i]);
    }
}
