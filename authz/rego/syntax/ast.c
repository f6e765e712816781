#include "authz/rego/syntax/ast.h"

#include <stdarg.h>

struct term *term_new(struct arena *a, enum term_type type, struct loc loc)
{
    struct term *t = arena_new(a, struct term);
    t->type = type;
    t->loc = loc;
    return t;
}

struct term *term_string(struct arena *a, struct str s, struct loc loc)
{
    struct term *t = term_new(a, T_STRING, loc);
    t->str = s;
    return t;
}

struct term *term_var(struct arena *a, struct str name, struct loc loc)
{
    struct term *t = term_new(a, T_VAR, loc);
    t->var.name = name;
    return t;
}

struct term *term_bool(struct arena *a, bool b, struct loc loc)
{
    struct term *t = term_new(a, T_BOOL, loc);
    t->boolean = b;
    return t;
}

void term_push(struct arena *a, struct term *list, struct term *item)
{
    list->list.v = arena_grow(a, list->list.v, list->list.n, list->list.n + 1, &list->list.cap,
                              sizeof *list->list.v);
    list->list.v[list->list.n++] = item;
}

void body_push(struct arena *a, struct body *b, struct expr *e)
{
    b->v = arena_grow(a, b->v, b->n, b->n + 1, &b->cap, sizeof *b->v);
    b->v[b->n++] = e;
}

static bool has_list(enum term_type t)
{
    return t == T_REF || t == T_CALL || t == T_ARRAY || t == T_SET || t == T_OBJECT ||
           t == T_TEMPLATE;
}

struct term *term_copy(struct arena *a, const struct term *t)
{
    if (t == NULL) {
        return NULL;
    }
    struct term *c = arena_new(a, struct term);
    *c = *t;
    if (has_list(t->type)) {
        c->list.n = c->list.cap = 0;
        c->list.v = NULL;
        for (size_t i = 0; i < t->list.n; i++) {
            term_push(a, c, term_copy(a, t->list.v[i]));
        }
    } else if (t->type == T_ARRAY_COMP || t->type == T_SET_COMP || t->type == T_OBJECT_COMP) {
        c->comp.key = term_copy(a, t->comp.key);
        c->comp.value = term_copy(a, t->comp.value);
        c->comp.body = body_copy(a, t->comp.body);
    } else if (t->type == T_AND || t->type == T_OR || t->type == T_NOT) {
        c->logic.lhs = body_copy(a, t->logic.lhs);
        c->logic.rhs = body_copy(a, t->logic.rhs);
    } else if (t->type == T_EXPR) {
        c->expr = expr_copy(a, t->expr);
    }
    return c;
}

struct expr *expr_copy(struct arena *a, const struct expr *e)
{
    struct expr *c = arena_new(a, struct expr);
    *c = *e;
    c->term = term_copy(a, e->term);
    if (e->n_symbols > 0) {
        c->symbols = arena_array(a, struct term *, e->n_symbols);
        for (size_t i = 0; i < e->n_symbols; i++) {
            c->symbols[i] = term_copy(a, e->symbols[i]);
        }
    }
    c->every.key = term_copy(a, e->every.key);
    c->every.value = term_copy(a, e->every.value);
    c->every.domain = term_copy(a, e->every.domain);
    c->every.body = body_copy(a, e->every.body);
    c->cap_with = e->n_with;
    c->with = arena_array(a, struct with *, e->n_with + 1);
    for (size_t i = 0; i < e->n_with; i++) {
        c->with[i] = arena_new(a, struct with);
        c->with[i]->loc = e->with[i]->loc;
        c->with[i]->target = term_copy(a, e->with[i]->target);
        c->with[i]->value = term_copy(a, e->with[i]->value);
    }
    return c;
}

struct body *body_copy(struct arena *a, const struct body *b)
{
    if (b == NULL) {
        return NULL;
    }
    struct body *c = arena_new(a, struct body);
    c->loc = b->loc;
    for (size_t i = 0; i < b->n; i++) {
        body_push(a, c, expr_copy(a, b->v[i]));
    }
    return c;
}

bool term_is_ground(const struct term *t)
{
    switch (t->type) {
    case T_VAR:
        return false;
    case T_REF:
        for (size_t i = 1; i < t->list.n; i++) {
            if (!term_is_ground(t->list.v[i])) {
                return false;
            }
        }
        return true;
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_CALL:
        for (size_t i = t->type == T_CALL; i < t->list.n; i++) {
            if (!term_is_ground(t->list.v[i])) {
                return false;
            }
        }
        return true;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return false;
    default:
        return t->type <= T_STRING;
    }
}

static void write_name(struct buf *out, const struct term *t)
{
    if (t->type == T_REF) {
        for (size_t i = 0; i < t->list.n; i++) {
            const struct term *p = t->list.v[i];
            buf_puts(out, i > 0 ? S(".") : S(""));
            buf_puts(out, p->type == T_VAR ? p->var.name : p->type == T_STRING ? p->str : S("?"));
        }
    } else if (t->type == T_VAR) {
        buf_puts(out, t->var.name);
    }
}

enum { NAME_MAX_BYTES = 4096 };

struct str term_call_name(struct arena *a, const struct term *t)
{
    if (t->type != T_CALL) {
        return STR_EMPTY;
    }
    struct buf b;
    buf_init(&b, NAME_MAX_BYTES);
    write_name(&b, t->list.v[0]);
    struct str r = arena_str(a, buf_str(&b));
    buf_release(&b);
    return r;
}

bool term_is_call_of(const struct term *t, const char *name)
{
    if (t == NULL || t->type != T_CALL) {
        return false;
    }
    const struct term *op = t->list.v[0];
    if (op->type == T_VAR) {
        return str_is(op->var.name, name);
    }
    if (op->type != T_REF) {
        return false;
    }
    struct str rest = str_of(name);
    for (size_t i = 0; i < op->list.n; i++) {
        const struct term *p = op->list.v[i];
        struct str word = p->type == T_VAR ? p->var.name : p->type == T_STRING ? p->str : S("?");
        if (i > 0) {
            if (rest.n == 0 || rest.p[0] != '.') {
                return false;
            }
            rest = str_sub(rest, 1, rest.n);
        }
        if (!str_starts(rest, word)) {
            return false;
        }
        rest = str_sub(rest, word.n, rest.n);
    }
    return rest.n == 0;
}

void rego_errors_add(struct rego_errors *e, const char *code, struct str file, struct loc loc,
                     const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    size_t len = n < 0 ? 0 : (size_t)n;
    char *text = arena_alloc_raw(e->a, len + 1, 1);
    vsnprintf(text, len + 1, fmt, again);
    va_end(again);
    va_end(ap);
    e->v = arena_grow(e->a, e->v, e->n, e->n + 1, &e->cap, sizeof *e->v);
    e->v[e->n++] = (struct rego_error){
        .code = code, .file = arena_str(e->a, file), .loc = loc, .message = str_n(text, len)};
}

static void write_place(struct buf *out, const struct rego_error *e, bool column)
{
    if (e->loc.row == 0 && !e->whole_file) {
        return;
    }
    if (e->file.n > 0) {
        buf_printf(out, "%.*s:%u", STR_FMT(e->file), e->loc.row);
    } else {
        buf_printf(out, "%u:%u", e->loc.row, e->loc.col);
    }
    (void)column;
    buf_puts(out, S(": "));
}

/* Errors of loading have no code. */
static void write_code(struct buf *out, const struct rego_error *e)
{
    if (e->code[0] != '\0') {
        buf_printf(out, "%s: ", e->code);
    }
}

void rego_error_write(struct buf *out, const struct rego_error *e)
{
    write_place(out, e, false);
    write_code(out, e);
    buf_puts(out, e->message);
}

void rego_errors_write(struct buf *out, const struct rego_errors *e)
{
    buf_puts(out, e->prefix);
    if (e->n != 1) {
        buf_printf(out, "%zu errors occurred:\n", e->n);
    } else if (!e->v[0].whole_file) {
        buf_puts(out, S("1 error occurred: "));
    }
    for (size_t i = 0; i < e->n; i++) {
        buf_puts(out, i > 0 ? S("\n") : S(""));
        write_place(out, &e->v[i], true);
        write_code(out, &e->v[i]);
        buf_puts(out, e->v[i].message);
        for (struct str rest = e->v[i].details; rest.p != NULL && e->v[i].details.n > 0;) {
            buf_puts(out, S("\n\t"));
            buf_puts(out, str_split(&rest, '\n'));
        }
    }
}
