/* Modules, imports, rules. */
#include "authz/rego/syntax/format_priv.h"

#include <stdlib.h>

struct str loc_text(const struct writer *w, struct loc l)
{
    return l.row == 0 ? STR_EMPTY : str_sub(w->m->source, l.off, l.end);
}

static int64_t newlines(struct str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == '\n';
    }
    return n;
}

int64_t end_row(const struct writer *w, struct loc l)
{
    return (int64_t)l.row + newlines(loc_text(w, l));
}

/* Position behind the bracket that closes the first `open`, and the lines passed; n when there is none. */
static size_t skip_past(struct str s, size_t i, char open, char close, int64_t *rows)
{
    while (i < s.n && s.p[i] != open) {
        i++;
    }
    for (int depth = 1; depth > 0;) {
        if (++i >= s.n) {
            return s.n;
        }
        depth += s.p[i] == open;
        depth -= s.p[i] == close;
        *rows += s.p[i] == '\n';
    }
    return i;
}

int64_t closing_row(const struct writer *w, struct loc l, char skip_open, char skip_close,
                    char open, char close)
{
    struct str s = loc_text(w, l);
    int64_t rows = 0;
    size_t i = skip_open != 0 ? skip_past(s, 0, skip_open, skip_close, &rows) : 0;
    return skip_past(s, i, open, close, &rows) >= s.n ? -1 : (int64_t)l.row + rows;
}

void put(struct writer *w, const char *text)
{
    buf_puts(w->out, str_of(text));
}

void start_line(struct writer *w)
{
    w->inline_ = true;
    for (int i = 0; i < w->level; i++) {
        buf_putc(w->out, '\t');
    }
}

static void put_comment(struct writer *w, const struct comment *c)
{
    struct str t = c->text;
    while (t.n > 0 && (t.p[t.n - 1] == ' ' || t.p[t.n - 1] == '\t')) {
        t.n--;
    }
    buf_putc(w->out, '#');
    buf_puts(w->out, t);
}

void end_line(struct writer *w)
{
    w->inline_ = false;
    if (w->before_end != NULL && !w->delay) {
        buf_putc(w->out, ' ');
        put_comment(w, w->before_end);
        w->before_end = NULL;
    }
    w->delay = false;
    buf_putc(w->out, '\n');
}

void blank_line(struct writer *w)
{
    if (w->inline_) {
        end_line(w);
    }
    buf_putc(w->out, '\n');
}

static bool is_metadata(const struct comment *c)
{
    return str_is(str_trim(c->text), "METADATA");
}

void write_comments_until(struct writer *w, int64_t row)
{
    bool metadata = false;
    for (size_t i = w->next; w->next < w->n_comments && w->comments[w->next].loc.row < row;
         w->next++) {
        const struct comment *c = &w->comments[w->next];
        if (w->next > i) {
            uint32_t gap = c->loc.row - c[-1].loc.row;
            if (gap > 1) {
                blank_line(w);
                metadata = false;
            } else if (metadata && is_metadata(c)) {
                blank_line(w);
            }
        }
        metadata |= is_metadata(c);
        if (!w->inline_) {
            start_line(w);
        }
        put_comment(w, c);
        end_line(w);
    }
}

/* Comments above the row are written; one on it waits for the end of the line. */
enum written insert_comments(struct writer *w, int64_t row)
{
    size_t first = w->next;
    write_comments_until(w, row);
    if (w->next > first && row - (int64_t)w->comments[w->next - 1].loc.row > 1) {
        blank_line(w);
    }
    const struct comment *at = NULL;
    while (w->next < w->n_comments && (int64_t)w->comments[w->next].loc.row == row) {
        at = &w->comments[w->next++];
    }
    if (w->before_end != NULL) {
        if (at != NULL) {
            w->before_end = NULL;
            return W_UNEXPECTED;
        }
        return W_OK;
    }
    w->before_end = at;
    return W_OK;
}

enum written write_unformatted(struct writer *w, struct loc l)
{
    int64_t last = end_row(w, l);
    buf_puts(w->out, loc_text(w, l));
    while (w->next < w->n_comments && (int64_t)w->comments[w->next].loc.row <= last) {
        const struct comment *c = &w->comments[w->next];
        if ((int64_t)c->loc.row == last) {
            if (!w->comment_on_last_line) {
                break;
            }
            buf_putc(w->out, ' ');
            buf_puts(w->out, loc_text(w, c->loc));
        }
        w->next++;
    }
    return W_UNEXPECTED;
}

static bool is_true(const struct term *t)
{
    return t->type == T_BOOL && t->boolean;
}

static bool expanded_const(const struct rule *r)
{
    const struct expr *e = r->body->n == 1 ? r->body->v[0] : NULL;
    return e != NULL && r->otherwise == NULL && e->kind == E_TERM && !e->negated &&
           e->n_with == 0 && is_true(e->term);
}

static enum written head_name(struct writer *w, struct rule *r)
{
    struct head *h = r->head;
    struct term **v = h->ref->list.v;
    size_t n = h->ref->list.n;
    if (r->is_else) {
        put(w, "else");
        return W_OK;
    }
    if (w->ref_heads || n == 1) {
        return write_ref(w, v, n);
    }
    if (w->next < w->n_comments && v[1]->loc.row == w->comments[w->next].loc.row &&
        v[1]->type == T_OBJECT) {
        return write_unformatted(w, h->loc);
    }
    term_write(w->out, v[0]);
    buf_putc(w->out, '[');
    term_write(w->out, v[1]);
    buf_putc(w->out, ']');
    return W_OK;
}

static enum written head_value(struct writer *w, struct rule *r, bool expanded)
{
    struct head *h = r->head;
    if (h->value == NULL || h->key != NULL) {
        return W_OK;
    }
    bool partial = h->ref->list.n == 2 && !h->is_func && !term_is_ground(h->ref->list.v[1]);
    bool wanted =
        (partial && !(h->generated_value)) || !is_true(h->value) || expanded || r->is_default;
    if (!wanted) {
        return W_OK;
    }
    bool v1_const = w->v1 && expanded && h->key == NULL && !h->is_func;
    if (h->generated_value && !r->is_else && is_true(h->value) && (!v1_const || partial)) {
        return W_OK;
    }
    if (r->is_else && h->generated_value && is_true(h->value) && !expanded) {
        return W_OK;
    }
    put(w, h->assign || w->v1 ? " := " : " = ");
    return write_term(w, h->value);
}

static enum written write_head(struct writer *w, struct rule *r, bool expanded)
{
    struct head *h = r->head;
    if (head_name(w, r) != W_OK) {
        return W_UNEXPECTED;
    }
    if (h->n_args > 0 && !r->is_else) {
        buf_putc(w->out, '(');
        enum written e = write_list(w, h->args, h->n_args, h->loc,
                                    closing_row(w, h->loc, 0, 0, '(', ')'), false, false);
        buf_putc(w->out, ')');
        if (e != W_OK) {
            return e;
        }
    } else if (h->is_func && !r->is_else) {
        put(w, "()");
    }
    if (h->key != NULL) {
        put(w, w->contains ? " contains " : "[");
        enum written e = write_term(w, h->key);
        put(w, w->contains ? "" : "]");
        if (e != W_OK) {
            return e;
        }
    }
    return head_value(w, r, expanded);
}

static bool lone_set(const struct body *b)
{
    const struct expr *e = b->v[0];
    return b->n == 1 && e->kind == E_TERM && !e->negated && e->term->type == T_SET;
}

static void write_rule(struct writer *w, struct rule *r);

static void write_else(struct writer *w, struct rule *r)
{
    struct rule *e = r->otherwise;
    struct str text = loc_text(w, r->loc);
    bool was_inline = false;
    int64_t want = (int64_t)e->loc.row - r->loc.row;
    for (int64_t row = 0; text.p != NULL; row++) {
        struct str line = str_split(&text, '\n');
        if (row == want && row > 0) {
            was_inline = !str_starts(str_trim(line), S("else"));
        }
    }
    bool comment = w->before_end != NULL ||
                   (w->next < w->n_comments && w->comments[w->next].loc.row < e->head->loc.row);
    if (!comment && was_inline) {
        buf_putc(w->out, ' ');
    } else {
        blank_line(w);
        start_line(w);
    }
    (void)insert_comments(w, e->head->loc.row);
    if (comment && !was_inline) {
        start_line(w);
    }
    if (e->head->value != NULL && e->head->value->type != T_STRING) {
        e->head->value->loc.row = e->head->loc.row;
    }
    write_rule(w, e);
}

static bool body_on_head_line(struct writer *w, struct rule *r)
{
    return r->body->n == 1 && !lone_set(r->body) &&
           (int64_t)r->body->v[0]->loc.row == end_row(w, r->head->loc);
}

static void write_block(struct writer *w, struct rule *r, bool unexpected, bool uses_if)
{
    put(w, unexpected && w->next < w->n_comments ? " { " : " {");
    if (!unexpected || w->next >= w->n_comments) {
        end_line(w);
    }
    struct expr *first = r->body->v[0];
    if (uses_if && !r->is_else && first->kind == E_TERM && is_union(first->term) &&
        !first->negated) {
        w->paren_expr = first;
    } else if (uses_if && !r->is_else && first->kind == E_TERM && !first->negated) {
        w->union_lead = first->term->type == T_CALL;
    }
    w->level++;
    (void)write_body(w, r->body);
    struct head *h = r->head;
    int64_t close = h->n_args > 0                    ? closing_row(w, r->loc, '(', ')', '{', '}')
                    : h->key != NULL && !w->contains ? closing_row(w, r->loc, '[', ']', '{', '}')
                                                     : closing_row(w, r->loc, 0, 0, '{', '}');
    (void)insert_comments(w, close);
    w->level--;
    start_line(w);
    buf_putc(w->out, '}');
    if (r->otherwise != NULL) {
        write_else(w, r);
    }
}

static void write_rule(struct writer *w, struct rule *r)
{
    if (!r->is_else) {
        start_line(w);
    }
    put(w, r->is_default ? "default " : "");
    bool expanded = expanded_const(r);
    w->comment_on_last_line = expanded;
    bool unexpected = write_head(w, r, expanded) != W_OK;
    if (expanded) {
        end_line(w);
        return;
    }
    w->comment_on_last_line = true;
    bool uses_if = (w->v1 || w->ifs) && (w->contains || r->head->key == NULL);
    if (uses_if) {
        put(w, " if");
        if (body_on_head_line(w, r)) {
            buf_putc(w->out, ' ');
            (void)write_expr(w, r->body->v[0]);
            end_line(w);
            if (r->otherwise != NULL) {
                write_else(w, r);
            }
            return;
        }
    }
    write_block(w, r, unexpected, uses_if);
}

static bool groupable(const struct writer *w, const struct rule *r)
{
    bool shape = r->body->n <= 1 && !r->is_default && r->otherwise == NULL && !lone_set(r->body);
    return shape && (w->v1 || w->ifs) && (w->contains || r->head->key == NULL);
}

static int by_path(const void *a, const void *b)
{
    const struct import *const *x = a, *const *y = b;
    const struct term *p = (*x)->path, *q = (*y)->path;
    for (size_t i = 0; i < MIN(p->list.n, q->list.n); i++) {
        struct str s = p->list.v[i]->type == T_VAR ? p->list.v[i]->var.name : p->list.v[i]->str;
        struct str t = q->list.v[i]->type == T_VAR ? q->list.v[i]->var.name : q->list.v[i]->str;
        int c = str_cmp(s, t);
        if (c != 0) {
            return c;
        }
    }
    if (p->list.n != q->list.n) {
        return p->list.n < q->list.n ? -1 : 1;
    }
    return str_cmp((*x)->alias, (*y)->alias);
}

static const struct comment *comment_at(struct writer *w, uint32_t row)
{
    for (size_t i = w->next; i < w->n_comments; i++) {
        if (w->comments[i].loc.row == row) {
            return &w->comments[i];
        }
    }
    return NULL;
}

static void drop_comment(struct writer *w, const struct comment *c)
{
    size_t at = (size_t)(c - w->comments);
    memmove(w->comments + at, w->comments + at + 1, (w->n_comments - at - 1) * sizeof *c);
    w->n_comments--;
}

static void write_group(struct writer *w, struct import **v, size_t n)
{
    struct comment *own = arena_array(w->a, struct comment, n + 1);
    bool *has = arena_array(w->a, bool, n + 1);
    struct import **sorted = arena_array(w->a, struct import *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const struct comment *c = v[i]->loc.row > 0 ? comment_at(w, v[i]->loc.row) : NULL;
        sorted[i] = v[i];
        v[i]->used = c != NULL;
        if (c != NULL) {
            own[i] = *c;
            has[i] = true;
            drop_comment(w, c);
        }
    }
    (void)insert_comments(w, v[0]->loc.row);
    qsort(sorted, n, sizeof *sorted, by_path);
    for (size_t i = 0; i < n; i++) {
        start_line(w);
        put(w, "import ");
        (void)write_ref(w, sorted[i]->path->list.v, sorted[i]->path->list.n);
        if (sorted[i]->alias.n > 0) {
            put(w, " as ");
            buf_puts(w->out, sorted[i]->alias);
        }
        for (size_t k = 0; k < n; k++) {
            if (v[k] == sorted[i] && has[k]) {
                buf_putc(w->out, ' ');
                put_comment(w, &own[k]);
            }
        }
        end_line(w);
    }
    blank_line(w);
}

static void write_imports(struct writer *w, struct import **v, size_t n)
{
    for (size_t from = 0; from < n;) {
        size_t to = from + 1;
        while (to < n && v[to]->loc.row <= v[to - 1]->loc.row + 1) {
            to++;
        }
        write_group(w, v + from, to - from);
        from = to;
    }
}

static void write_rules(struct writer *w, struct rule **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)insert_comments(w, v[i]->loc.row);
        write_rule(w, v[i]);
        bool together = i + 1 < n && groupable(w, v[i]) && groupable(w, v[i + 1]) &&
                        v[i + 1]->loc.row == v[i]->loc.row + 1;
        if (!together) {
            blank_line(w);
        }
    }
}

static void write_package(struct writer *w)
{
    const struct term *path = w->m->package;
    (void)insert_comments(w, w->m->package_loc.row);
    start_line(w);
    put(w, "package ");
    struct term first = *path->list.v[1];
    struct term *v[256];
    size_t n = MIN(path->list.n - 1, ARRAY_LEN(v));
    first.type = T_VAR;
    first.var.name = path->list.v[1]->str;
    first.var.local = NULL;
    v[0] = &first;
    for (size_t i = 1; i < n; i++) {
        v[i] = path->list.v[i + 1];
    }
    (void)write_ref(w, v, n);
    blank_line(w);
}

static bool import_is(const struct import *imp, const char *root)
{
    return str_is(imp->path->list.v[0]->var.name, root);
}

static struct import *v1_import(struct arena *a, uint32_t row)
{
    struct import *imp = arena_new(a, struct import);
    struct loc none = {.row = row};
    imp->loc = none;
    imp->path = term_new(a, T_REF, (struct loc){0});
    term_push(a, imp->path, term_var(a, S("rego"), (struct loc){0}));
    term_push(a, imp->path, term_string(a, S("v1"), (struct loc){0}));
    return imp;
}

/* Imports of the result: those that the version makes superfluous leave, rego.v1 may come. */
static size_t final_imports(struct writer *w, struct import **out)
{
    size_t n = 0;
    bool has_v1 = false, adds = w->o->from == REGO_V0 && w->o->to == REGO_V1;
    for (size_t i = 0; i < w->m->n_imports; i++) {
        has_v1 |= import_is(w->m->imports[i], "rego");
    }
    if (adds && !has_v1 && !w->o->drop_v0_imports && w->o->add_v1_import) {
        uint32_t row = w->m->package_loc.row + 1;
        for (size_t i = 0; i < w->m->n_imports; i++) {
            if (import_is(w->m->imports[i], "future")) {
                row = w->m->imports[i]->loc.row;
                break;
            }
        }
        out[n++] = v1_import(w->a, row);
    }
    for (size_t i = 0; i < w->m->n_imports; i++) {
        struct import *imp = w->m->imports[i];
        bool future = import_is(imp, "future");
        bool superfluous = future && (adds || has_v1 || w->o->drop_v0_imports);
        if (superfluous || (w->o->drop_v0_imports && import_is(imp, "rego"))) {
            continue;
        }
        out[n++] = imp;
    }
    return n;
}

static void note_features(struct writer *w)
{
    for (size_t i = 0; i < w->m->n_imports; i++) {
        const struct term *p = w->m->imports[i]->path;
        bool future = import_is(w->m->imports[i], "future"), all = future && p->list.n == 2;
        w->ifs |= all || import_is(w->m->imports[i], "rego") ||
                  (future && p->list.n == 3 && str_is(p->list.v[2]->str, "if"));
        w->contains |= all || import_is(w->m->imports[i], "rego") ||
                       (future && p->list.n == 3 && str_is(p->list.v[2]->str, "contains"));
    }
    for (size_t i = 0; i < w->m->n_rules; i++) {
        const struct head *h = w->m->rules[i]->head;
        w->ref_heads |= h->ref->list.n > 2 || (h->ref->list.n == 2 && h->key != NULL);
    }
}

static void write_module(struct writer *w)
{
    struct import **imports = arena_array(w->a, struct import *, w->m->n_imports + 2);
    size_t n = final_imports(w, imports), i = 0, r = 0;
    write_package(w);
    while (i < n || r < w->m->n_rules) {
        size_t from = i;
        while (i < n && (r >= w->m->n_rules || imports[i]->loc.row < w->m->rules[r]->loc.row)) {
            i++;
        }
        write_imports(w, imports + from, i - from);
        from = r;
        while (r < w->m->n_rules && (i >= n || w->m->rules[r]->loc.row < imports[i]->loc.row)) {
            r++;
        }
        write_rules(w, w->m->rules + from, r - from);
    }
    for (; w->next < w->n_comments; w->next++) {
        start_line(w);
        put_comment(w, &w->comments[w->next]);
        end_line(w);
        if (w->next + 1 == w->n_comments) {
            put(w, "\n");
        }
    }
}

bool rego_format(struct arena *a, struct str file, struct str source,
                 const struct format_options *o, struct rego_errors *errors, struct buf *out)
{
    struct parse_options po = {.version = o->from};
    struct module *m;
    if (!rego_parse_module(a, file, source, &po, errors, &m)) {
        return false;
    }
    struct writer w = {.a = a,
                       .m = m,
                       .o = o,
                       .out = out,
                       .comments = m->comments,
                       .n_comments = m->n_comments,
                       .v1 = o->to >= REGO_V1};
    w.ifs = w.contains = w.v1;
    note_features(&w);
    write_module(&w);
    while (out->n > 1 && out->p[out->n - 1] == '\n' && out->p[out->n - 2] == '\n') {
        out->n--;
    }
    return true;
}
