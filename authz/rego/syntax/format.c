/* A module, from its package to the comments behind its last rule. */
#include "authz/rego/syntax/format.h"

#include "authz/rego/syntax/format_priv.h"
#include "authz/rego/syntax/lex.h"
#include "authz/rego/value/utf8.h"

static bool imports(const struct import *imp, const char *root, const char *second,
                    const char *third)
{
    const struct term *p = imp->path;
    size_t n = third != NULL ? 3 : 2;
    return p->list.n == n && str_is(p->list.v[0]->var.name, root) &&
           str_is(p->list.v[1]->str, second) && (n == 2 || str_is(p->list.v[2]->str, third));
}

static void note_import(struct writer *w, const struct import *imp)
{
    bool all = imports(imp, "rego", "v1", NULL) || imports(imp, "rego", "v2", NULL) ||
               imports(imp, "future", "keywords", NULL);
    w->contains |= all || imports(imp, "future", "keywords", "contains");
    w->ifs |= all || imports(imp, "future", "keywords", "if");
    if (imports(imp, "rego", "v2", NULL)) {
        w->keywords |= KW_V2;
    } else if (imp->path->list.n == 3 && imports(imp, "future", "keywords", "if")) {
        w->keywords |= KW_IF;
    } else if (imp->path->list.n == 3 && str_is(imp->path->list.v[0]->var.name, "future") &&
               imp->alias.n == 0) {
        w->keywords |= keyword_bit(imp->path->list.v[2]->str);
    }
}

/* What the module has decides how all of it is written. */
static void note_features(struct writer *w)
{
    for (size_t i = 0; i < w->m->n_imports; i++) {
        note_import(w, w->m->imports[i]);
    }
    for (size_t i = 0; i < w->m->n_rules; i++) {
        const struct head *h = w->m->rules[i]->head;
        w->ref_heads |= h->ref->list.n > 2 || (h->ref->list.n == 2 && h->key != NULL);
    }
}

static void write_package(struct writer *w)
{
    const struct term *path = w->m->package;
    size_t n = path->list.n - 1;
    struct term **v = arena_array(w->a, struct term *, n);
    (void)insert_comments(w, row_of(w->m->package_loc));
    start_line(w);
    put(w, "package ");
    v[0] = term_var(w->a, path->list.v[1]->str, (struct loc){0});
    for (size_t i = 1; i < n; i++) {
        v[i] = path->list.v[i + 1];
    }
    size_t all = w->n_comments;
    w->n_comments = w->next; /* a path takes no comments along */
    (void)write_ref(w, v, n);
    w->n_comments = all;
    blank_line(w);
}

static bool import_first(const struct import *imp, const struct rule *r)
{
    return imp->loc.row < r->loc.row || (imp->loc.row == r->loc.row && imp->loc.col < r->loc.col);
}

static void sort_imports(struct import **v, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        for (size_t k = i;
             k > 0 && (v[k]->loc.row < v[k - 1]->loc.row ||
                       (v[k]->loc.row == v[k - 1]->loc.row && v[k]->loc.col < v[k - 1]->loc.col));
             k--) {
            struct import *x = v[k];
            v[k] = v[k - 1];
            v[k - 1] = x;
        }
    }
}

/* An import that was added must not come out behind a rule: then all added ones go to the front. */
static size_t write_added(struct writer *w, struct import **v, size_t n)
{
    struct import **added = arena_array(w->a, struct import *, n + 1);
    size_t n_added = 0, kept = 0;
    bool late = false;
    for (size_t i = 0; i < n && w->m->n_rules > 0; i++) {
        late |= v[i]->used && v[i]->loc.row >= w->m->rules[0]->loc.row;
    }
    if (!late) {
        return n;
    }
    for (size_t i = 0; i < n; i++) {
        if (v[i]->used) {
            added[n_added++] = v[i];
        } else {
            v[kept++] = v[i];
        }
    }
    write_imports(w, added, n_added);
    return kept;
}

static void write_module(struct writer *w)
{
    struct import **imp = arena_array(w->a, struct import *, w->m->n_imports + 10);
    struct rule **rules = w->m->rules;
    size_t n = final_imports(w, imp), i = 0, r = 0;
    sort_imports(imp, n);
    write_package(w);
    n = write_added(w, imp, n);
    while (i < n || r < w->m->n_rules) {
        size_t from = i;
        while (i < n && (r >= w->m->n_rules || import_first(imp[i], rules[r]))) {
            i++;
        }
        write_imports(w, imp + from, i - from);
        from = r;
        while (r < w->m->n_rules && (i >= n || !import_first(imp[i], rules[r]))) {
            r++;
        }
        write_rules(w, rules + from, r - from);
    }
    for (; w->next < w->n_comments; w->next++) {
        write_comment_line(w, &w->comments[w->next]);
        put(w, w->next + 1 == w->n_comments ? "\n" : "");
    }
}

static struct str without_trailing_space(struct str s)
{
    for (;;) {
        size_t at = s.n, next;
        while (at > 0 && ((unsigned char)s.p[at - 1] & 0xc0) == 0x80) {
            at--;
        }
        at -= at > 0;
        next = at;
        if (s.n == 0 || !utf8_is_space(utf8_next(s, &next)) || next != s.n) {
            return s;
        }
        s.n = at;
    }
}

bool rego_format(struct arena *a, struct str file, struct str source,
                 const struct format_options *o, struct rego_errors *errors, struct buf *out)
{
    struct parse_options po = {.version = o->read_v1 ? REGO_V1 : o->from,
                               .no_templates = o->read_v1,
                               .keep_equal_keys = true};
    struct module *m;
    size_t n_errors = errors->n;
    if (!rego_parse_module(a, file, source, &po, errors, &m)) {
        return false;
    }
    check_target_version(m, o->to, errors);
    if (errors->n > n_errors) {
        return false;
    }
    struct writer w = {.a = a, .m = m, .o = o, .errors = errors, .out = out};
    w.comments = m->comments;
    w.n_comments = m->n_comments;
    for (size_t i = 0; i < m->n_comments; i++) {
        m->comments[i].text = without_trailing_space(m->comments[i].text);
    }
    w.v1 = w.ifs = w.contains = o->to >= REGO_V1;
    w.v2 = o->to == REGO_V2;
    w.keywords = w.v2 ? KW_V2 : w.v1 ? KW_V1 : 0;
    w.keywords_in_refs = !o->no_keywords_in_refs;
    note_features(&w);
    write_module(&w);
    while (out->n > 1 && out->p[out->n - 1] == '\n' && out->p[out->n - 2] == '\n') {
        out->n--;
    }
    if (errors->n > n_errors) {
        errors->prefix = arena_printf(errors->a, "%.*s: ", STR_FMT(file));
    }
    return errors->n == n_errors;
}
