/* Imports: which ones the result has, and in what order. */
#include "authz/rego/syntax/format_priv.h"
#include "authz/rego/syntax/lex.h"

#include <stdlib.h>

static bool under(const struct import *imp, const char *root)
{
    return str_is(imp->path->list.v[0]->var.name, root);
}

static bool is_rego(const struct import *imp, const char *version)
{
    return under(imp, "rego") && imp->path->list.n == 2 &&
           str_is(imp->path->list.v[1]->str, version);
}

static bool has_rego(struct import *const *v, size_t n, const char *version)
{
    for (size_t i = 0; i < n; i++) {
        if (is_rego(v[i], version)) {
            return true;
        }
    }
    return false;
}

static size_t drop(struct import **v, size_t n, bool future, const char *version)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool out = future ? under(v[i], "future") : is_rego(v[i], version);
        if (!out) {
            v[kept++] = v[i];
        }
    }
    return kept;
}

/* A new import stands below the last one that it belongs with, or else above all. */
static struct import *new_import(struct writer *w, struct import *const *v, size_t n,
                                 const char *root, const char *second, const char *third)
{
    struct import *imp = arena_new(w->a, struct import);
    uint32_t row = 0;
    for (size_t i = 0; i < n; i++) {
        if (under(v[i], "future") || is_rego(v[i], "v1")) {
            row = MAX(row, v[i]->loc.row);
        }
    }
    imp->loc = (struct loc){.row = row + 1, .col = 1};
    imp->used = true; /* marks it as added */
    imp->path = term_new(w->a, T_REF, (struct loc){0});
    term_push(w->a, imp->path, term_var(w->a, str_of(root), (struct loc){0}));
    term_push(w->a, imp->path, term_string(w->a, str_of(second), (struct loc){0}));
    if (third != NULL) {
        term_push(w->a, imp->path, term_string(w->a, str_of(third), (struct loc){0}));
    }
    return imp;
}

static bool imports_keyword(const struct import *imp, const char *word)
{
    const struct term *p = imp->path;
    if (!under(imp, "future") || p->list.n < 2 || !str_is(p->list.v[1]->str, "keywords")) {
        return false;
    }
    bool every = str_is(str_of(word), "in") && p->list.n == 3 && str_is(p->list.v[2]->str, "every");
    return p->list.n == 2 || (p->list.n == 3 && str_is(p->list.v[2]->str, word)) || every;
}

static size_t ensure_keyword(struct writer *w, struct import **v, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        if (imports_keyword(v[i], word)) {
            return n;
        }
    }
    v[n] = new_import(w, v, n, "future", "keywords", word);
    return n + 1;
}

static unsigned body_keywords(const struct body *b);

static unsigned term_keywords(const struct term *t)
{
    unsigned k = 0;
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        for (size_t i = 0; i < t->list.n; i++) {
            k |= term_keywords(t->list.v[i]);
        }
        return k;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        k |= t->comp.key != NULL ? term_keywords(t->comp.key) : 0;
        return k | term_keywords(t->comp.value) | body_keywords(t->comp.body);
    case T_NOT:
        return KW_NOT | body_keywords(t->logic.lhs);
    case T_AND:
    case T_OR:
        k = t->type == T_AND ? KW_AND : KW_OR;
        return k | body_keywords(t->logic.lhs) | body_keywords(t->logic.rhs);
    case T_EXPR:
        return body_keywords(&(struct body){.v = (struct expr *[]){t->expr}, .n = 1});
    default:
        return 0;
    }
}

static unsigned expr_keywords(const struct expr *e)
{
    unsigned k = 0;
    for (size_t i = 0; i < e->n_with; i++) {
        k |= term_keywords(e->with[i]->target) | term_keywords(e->with[i]->value);
    }
    if (e->kind == E_SOME) {
        for (size_t i = 0; i < e->n_symbols; i++) {
            k |= term_keywords(e->symbols[i]);
        }
        return k;
    }
    if (e->kind == E_EVERY) {
        return k | KW_EVERY | term_keywords(e->every.domain) | body_keywords(e->every.body);
    }
    k |= is_member(e->term) ? KW_IN : 0;
    k |= e->negated && is_logic(e) ? KW_NOT : 0;
    return k | term_keywords(e->term);
}

static unsigned body_keywords(const struct body *b)
{
    unsigned k = 0;
    for (size_t i = 0; i < b->n; i++) {
        k |= expr_keywords(b->v[i]);
    }
    return k;
}

/* The keywords that the module's expressions need. */
static unsigned needed_keywords(const struct module *m)
{
    unsigned k = 0;
    for (size_t i = 0; i < m->n_rules; i++) {
        for (const struct rule *r = m->rules[i]; r != NULL; r = r->otherwise) {
            const struct head *h = r->head;
            k |= body_keywords(r->body);
            k |= h->value != NULL ? term_keywords(h->value) : 0;
            k |= h->key != NULL ? term_keywords(h->key) : 0;
            k |= h->map_key != NULL ? term_keywords(h->map_key) : 0;
            for (size_t a = 0; a < h->n_args; a++) {
                k |= term_keywords(h->args[a]);
            }
        }
    }
    return k;
}

static size_t ensure_needed(struct writer *w, struct import **v, size_t n, unsigned keywords)
{
    static const struct {
        unsigned bit;
        const char *word;
    } all[] = {{KW_IN, "in"},   {KW_EVERY, "every"}, {KW_IF, "if"}, {KW_CONTAINS, "contains"},
               {KW_NOT, "not"}, {KW_AND, "and"},     {KW_OR, "or"}};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        n = (keywords & all[i].bit) != 0 ? ensure_keyword(w, v, n, all[i].word) : n;
    }
    return n;
}

/* Text for v0, v1, or both; v2 may be imported. */
static size_t imports_below_v2(struct writer *w, struct import **v, size_t n)
{
    enum rego_version from = w->o->from, to = w->o->to;
    bool v2 = has_rego(v, n, "v2"), drops = w->o->drop_v0_imports;
    if (v2 || (from == REGO_V1 && drops)) {
        n = drop(v, n, false, "v1");
    } else if (from != to && !has_rego(v, n, "v1")) {
        v[n] = new_import(w, v, n, "rego", "v1", NULL);
        n++;
    }
    bool v1 = v2 || has_rego(v, n, "v1");
    unsigned needed = needed_keywords(w->m);
    if (to != REGO_V1 && !v1) {
        return ensure_needed(w, v, n, needed);
    }
    if (drops || v1) {
        n = drop(v, n, true, NULL);
    }
    return v2 ? n : ensure_needed(w, v, n, needed & ~(unsigned)KW_V1);
}

size_t final_imports(struct writer *w, struct import **out)
{
    size_t n = 0;
    for (; n < w->m->n_imports; n++) {
        out[n] = w->m->imports[n];
        out[n]->used = false;
    }
    if (w->o->to != REGO_V2) {
        return imports_below_v2(w, out, n);
    }
    if (w->o->from == REGO_V2) {
        if (w->o->drop_v0_imports) {
            n = drop(out, drop(out, n, false, "v1"), false, "v2");
            n = drop(out, n, true, NULL);
        }
        return n;
    }
    if (!has_rego(out, n, "v2")) {
        out[n] = new_import(w, out, n, "rego", "v2", NULL);
        n++;
    }
    n = drop(out, n, false, "v1");
    return drop(out, n, true, NULL);
}

static int by_path(const void *a, const void *b)
{
    const struct import *const *x = a, *const *y = b;
    int c = term_cmp((*x)->path, (*y)->path);
    c = c != 0 ? c : str_cmp((*x)->alias, (*y)->alias);
    return c != 0 ? c : ((*x)->loc.row > (*y)->loc.row) - ((*x)->loc.row < (*y)->loc.row);
}

struct import_comment {
    const struct import *imp;
    struct comment comment;
};

/* Comments on the lines of imports move along with them. */
static size_t take_comments(struct writer *w, struct import **v, size_t n,
                            struct import_comment *taken)
{
    size_t kept = w->next, n_taken = 0;
    for (size_t i = w->next; i < w->n_comments; i++) {
        const struct import *at = NULL;
        for (size_t k = 0; k < n && at == NULL; k++) {
            at = v[k]->loc.row == w->comments[i].loc.row ? v[k] : NULL;
        }
        if (at != NULL) {
            taken[n_taken++] = (struct import_comment){at, w->comments[i]};
        } else {
            w->comments[kept++] = w->comments[i];
        }
    }
    w->n_comments = kept;
    return n_taken;
}

static void write_import(struct writer *w, const struct import *imp)
{
    unsigned keywords = w->keywords;
    bool in_refs = w->keywords_in_refs;
    if (under(imp, "future") && imp->alias.n == 0 && imp->path->list.n == 3) {
        w->keywords = 0; /* `future.keywords.in` as it is */
        w->keywords_in_refs = true;
    }
    size_t all = w->n_comments;
    w->n_comments = w->next; /* a path takes no comments along */
    put(w, "import ");
    (void)write_ref(w, imp->path->list.v, imp->path->list.n);
    w->n_comments = all;
    w->keywords = keywords;
    w->keywords_in_refs = in_refs;
    if (imp->alias.n > 0) {
        put(w, " as ");
        put_str(w, imp->alias);
    }
}

static void write_group(struct writer *w, struct import **v, size_t n,
                        const struct import_comment *taken, size_t n_taken)
{
    (void)insert_comments(w, v[0]->loc.row);
    qsort(v, n, sizeof *v, by_path);
    for (size_t i = 0; i < n; i++) {
        start_line(w);
        write_import(w, v[i]);
        for (size_t k = 0; k < n_taken; k++) {
            if (taken[k].imp == v[i]) {
                put(w, " ");
                put_comment(w, &taken[k].comment);
            }
        }
        end_line(w);
    }
    blank_line(w);
}

void write_imports(struct writer *w, struct import **v, size_t n)
{
    struct import_comment *taken =
        arena_array(w->a, struct import_comment, w->n_comments - w->next + 1);
    size_t n_taken = take_comments(w, v, n, taken);
    for (size_t from = 0; from < n;) {
        size_t to = from + 1;
        while (to < n && v[to]->loc.row <= v[to - 1]->loc.row + 1) {
            to++;
        }
        write_group(w, v + from, to - from, taken, n_taken);
        from = to;
    }
}
