/* Errors of the compiler: how many are kept, when they end the work, and their order. */
#include "authz/rego/compile/compile_priv.h"

#include <stdarg.h>
#include <stdlib.h>

/* Adds an error unless there are enough; the last that is kept is followed by a remark. */
static struct rego_error *add(struct compiler *c, bool stop, const char *code, struct str file,
                              struct loc loc, struct str text)
{
    if (c->enough) {
        return NULL;
    }
    rego_errors_add(c->errors, code, file, loc, "%s", "");
    struct rego_error *e = &c->errors->v[c->errors->n - 1];
    e->message = arena_str(c->errors->a, text);
    c->stop |= stop;
    c->enough = c->max_errors > 0 && ++c->n_errors == (size_t)c->max_errors;
    if (c->enough) {
        c->stop = true;
    }
    return e;
}

static struct str formatted(struct compiler *c, const char *fmt, va_list ap)
{
    char text[4096];
    int n = vsnprintf(text, sizeof text, fmt, ap);
    return arena_str(c->a, str_n(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1)));
}

struct str compile_file(const struct compiler *c)
{
    return c->query || c->unit == NULL ? STR_EMPTY : c->unit->m->file;
}

void compile_error(struct compiler *c, const char *code, struct loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(c, true, code, compile_file(c), loc, formatted(c, fmt, ap));
    va_end(ap);
}

void compile_error_in(struct compiler *c, struct str file, const char *code, struct loc loc,
                      const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(c, true, code, file, loc, formatted(c, fmt, ap));
    va_end(ap);
}

void compile_note(struct compiler *c, const char *code, struct loc loc, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    add(c, false, code, compile_file(c), loc, formatted(c, fmt, ap));
    va_end(ap);
}

void compile_detailed(struct compiler *c, bool stop, const struct rego_error *error)
{
    struct rego_error *e = add(c, stop, error->code, error->loc.row == 0 ? STR_EMPTY : error->file,
                               error->loc, error->message);
    if (e != NULL) {
        e->details = arena_str(c->errors->a, error->details);
    }
}

static int by_place(const void *x, const void *y)
{
    const struct rego_error *a = x, *b = y;
    if ((a->loc.row == 0) != (b->loc.row == 0)) { /* those without a place stand last */
        return a->loc.row == 0 ? 1 : -1;
    }
    int r = str_cmp(a->file, b->file);
    if (r != 0) {
        return r;
    }
    if (a->loc.row != b->loc.row) {
        return a->loc.row < b->loc.row ? -1 : 1;
    }
    if (a->loc.col != b->loc.col) {
        return a->loc.col < b->loc.col ? -1 : 1;
    }
    r = strcmp(a->code, b->code);
    return r != 0 ? r : str_cmp(a->message, b->message);
}

void compile_sort_errors(struct compiler *c, size_t from)
{
    struct rego_errors *e = c->errors;
    if (e->n - from > 1) {
        qsort(e->v + from, e->n - from, sizeof *e->v, by_place);
    }
    if (c->enough) {
        rego_errors_add(e, "rego_compile_error", STR_EMPTY, (struct loc){0}, "%s",
                        "error limit reached");
    }
}
