/* Coverage: the ranges of text that ran, and those that could have. */
#include "authz/rego/trace.h"

#include <stdlib.h>

struct range {
    uint32_t off, end, row, col, end_row, end_col;
};

struct ranges {
    struct range *v;
    size_t n, cap;
};

struct cover_file {
    const struct module *m;
    struct ranges covered, open;
};

static struct range range_of(const struct module *m, struct loc l)
{
    struct range r = {.off = l.off, .end = l.end, .row = l.row, .col = l.col};
    r.end_row = l.row;
    r.end_col = l.col;
    for (uint32_t i = l.off; i < l.end && i < m->source.n; i++) {
        if (m->source.p[i] == '\n') {
            r.end_row++;
            r.end_col = 1;
        } else if (((unsigned char)m->source.p[i] & 0xc0) != 0x80) {
            r.end_col++;
        }
    }
    return r;
}

static int by_place(const void *a, const void *b)
{
    const struct range *x = a, *y = b;
    if (x->off != y->off) {
        return x->off < y->off ? -1 : 1;
    }
    return x->end < y->end ? -1 : x->end > y->end;
}

/* Sorted, without doubles. */
static void add_range(struct arena *a, struct ranges *s, struct range r)
{
    size_t lo = 0, hi = s->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        int c = by_place(&s->v[mid], &r);
        if (c == 0) {
            return;
        }
        lo = c < 0 ? mid + 1 : lo;
        hi = c < 0 ? hi : mid;
    }
    s->v = arena_grow(a, s->v, s->n, s->n + 1, &s->cap, sizeof *s->v);
    memmove(s->v + lo + 1, s->v + lo, (s->n - lo) * sizeof *s->v);
    s->v[lo] = r;
    s->n++;
}

static bool is_covered(const struct ranges *s, const struct range *r)
{
    for (size_t i = 0; i < s->n && s->v[i].off <= r->off; i++) {
        if (s->v[i].end >= r->end) {
            return true;
        }
    }
    return false;
}

static void hit(void *ctx, const struct rego_event *e)
{
    struct rego_cover *c = ctx;
    bool counts = (e->op == OP_TRACE_EXIT && e->kind == NODE_RULE) ||
                  (e->op == OP_TRACE_EVAL && e->kind == NODE_EXPR);
    if (!counts || e->file.n == 0 || e->loc.end <= e->loc.off) {
        return;
    }
    for (size_t i = 0; i < rego_policy_modules(c->p); i++) {
        if (str_eq(c->files[i].m->file, e->file)) {
            add_range(c->a, &c->files[i].covered, range_of(c->files[i].m, e->loc));
            return;
        }
    }
}

void rego_cover_init(struct rego_cover *c, const struct rego_policy *p, struct arena *a)
{
    *c = (struct rego_cover){.p = p, .a = a};
    c->tracer = (struct rego_tracer){.event = hit, .ctx = c};
    c->files = arena_array(a, struct cover_file, rego_policy_modules(p) + 1);
    for (size_t i = 0; i < rego_policy_modules(p); i++) {
        c->files[i].m = rego_policy_module(p, i);
    }
}

static void open_body(struct rego_cover *c, struct cover_file *f, const struct body *b);

static void open_term(struct rego_cover *c, struct cover_file *f, const struct term *t)
{
    if (t == NULL) {
        return;
    }
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        for (size_t i = 0; i < t->list.n; i++) {
            open_term(c, f, t->list.v[i]);
        }
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        open_term(c, f, t->comp.key);
        open_term(c, f, t->comp.value);
        open_body(c, f, t->comp.body);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        open_body(c, f, t->logic.lhs);
        open_body(c, f, t->logic.rhs);
        break;
    default:
        break;
    }
}

static void open_range(struct rego_cover *c, struct cover_file *f, struct loc l)
{
    struct range r = range_of(f->m, l);
    if (l.row > 0 && l.end > l.off && !is_covered(&f->covered, &r)) {
        add_range(c->a, &f->open, r);
    }
}

static void open_body(struct rego_cover *c, struct cover_file *f, const struct body *b)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        const struct expr *e = b->v[i];
        if (e->kind == E_SOME || e->generated) {
            continue;
        }
        open_range(c, f, e->loc);
        open_term(c, f, e->term);
        if (e->kind == E_EVERY) {
            open_term(c, f, e->every.domain);
            open_body(c, f, e->every.body);
        }
    }
}

static void open_rule(struct rego_cover *c, struct cover_file *f, const struct rule *r)
{
    for (; r != NULL; r = r->otherwise) {
        open_range(c, f, r->head->loc);
        open_term(c, f, r->head->key);
        open_term(c, f, r->head->value);
        if (!r->generated_body) {
            open_body(c, f, r->body);
        }
    }
}

static size_t count_rows(struct arena *a, const struct ranges *s)
{
    uint32_t most = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        most = MAX(most, s->v[i].end_row);
    }
    uint8_t *seen = arena_array(a, uint8_t, most + 1);
    for (size_t i = 0; i < s->n; i++) {
        for (uint32_t row = s->v[i].row; row <= s->v[i].end_row; row++) {
            n += seen[row] == 0;
            seen[row] = 1;
        }
    }
    return n;
}

struct lines {
    size_t covered, open;
};

static double percent(struct lines n)
{
    size_t all = n.covered + n.open;
    return all == 0 ? 0 : 100.0 * (double)n.covered / (double)all;
}

static struct lines file_lines(const struct rego_cover *c, struct cover_file *f)
{
    f->open.n = 0;
    for (size_t i = 0; i < f->m->n_rules; i++) {
        open_rule((struct rego_cover *)(uintptr_t)c, f, f->m->rules[i]);
    }
    return (struct lines){count_rows(c->a, &f->covered), count_rows(c->a, &f->open)};
}

static struct lines all_lines(const struct rego_cover *c)
{
    struct lines all = {0};
    for (size_t i = 0; i < rego_policy_modules(c->p); i++) {
        struct lines n = file_lines(c, &c->files[i]);
        all.covered += n.covered;
        all.open += n.open;
    }
    return all;
}

double rego_cover_percent(const struct rego_cover *c)
{
    return percent(all_lines(c));
}

/* As an encoder of JSON writes a float64: the shortest form that reads back the same. */
static void put_float(struct buf *out, double d)
{
    char text[40];
    for (int digits = 0; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*f", digits, d);
        if (strtod(text, NULL) == d) {
            break;
        }
    }
    buf_puts(out, str_of(text));
}

static void put_ranges(struct buf *out, const char *name, const struct ranges *s)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct range *r = &s->v[i];
        if (i == 0) {
            buf_printf(out, "\"%s\":[", name);
        }
        buf_printf(out, "%s{\"start\":{\"row\":%u,\"col\":%u},\"end\":{\"row\":%u,\"col\":%u}}",
                   i > 0 ? "," : "", r->row, r->col, r->end_row, r->end_col);
    }
    buf_puts(out, s->n > 0 ? S("],") : S(""));
}

static void put_lines(struct buf *out, struct lines n, bool zeros)
{
    if (n.covered > 0 || zeros) {
        buf_printf(out, "\"covered_lines\":%zu,", n.covered);
    }
    if (n.open > 0 || zeros) {
        buf_printf(out, "\"not_covered_lines\":%zu,", n.open);
    }
    if (n.covered > 0 || zeros) {
        buf_puts(out, S("\"coverage\":"));
        put_float(out, percent(n));
        buf_putc(out, ',');
    }
    if (out->n > 0 && out->p[out->n - 1] == ',') {
        out->n--;
    }
}

static int by_file(const void *a, const void *b)
{
    const struct cover_file *const *x = a, *const *y = b;
    return str_cmp((*x)->m->file, (*y)->m->file);
}

void rego_cover_to_json(struct buf *out, const struct rego_cover *c)
{
    struct lines all = all_lines(c);
    size_t n = rego_policy_modules(c->p);
    struct cover_file **v = arena_array(c->a, struct cover_file *, n + 1);
    for (size_t i = 0; i < n; i++) {
        v[i] = &c->files[i];
    }
    qsort(v, n, sizeof(struct cover_file *), by_file);
    buf_puts(out, S("{\"files\":{"));
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i > 0 ? S(",") : S(""));
        val_json_string(out, v[i]->m->file, true);
        buf_puts(out, S(":{"));
        struct lines f = file_lines(c, v[i]);
        put_ranges(out, "covered", &v[i]->covered);
        put_ranges(out, "not_covered", &v[i]->open);
        put_lines(out, f, false);
        buf_putc(out, '}');
    }
    buf_puts(out, S("},"));
    put_lines(out, all, true);
    buf_putc(out, '}');
}
