/* deps: which documents a query reads, and which rules stand between. */
#include "cmd.h"

#include <stdio.h>
#include <stdlib.h>

static const struct flag flags[] = {
    ROW_DATA, ROW_BUNDLES, ROW_FORMAT("pretty,json", "pretty"), ROW_IGNORE, ROW_V0, ROW_V1, {0},
};

static const struct flag_command fc = {"deps", "QUERY",
                                       "Tell which documents and rules a query depends on.", flags};

enum { DEPS_DEPTH_MAX = 400 };

struct ref_list {
    struct term **v;
    size_t n, cap;
};

struct deps {
    struct arena *a;
    const struct rego_policy *p;
    struct ref_list base, virtual;
};

static size_t ground(const struct term *ref)
{
    size_t n = 1;
    while (n < ref->list.n && ref->list.v[n]->type <= T_STRING) {
        n++;
    }
    return n;
}

static bool same_part(const struct term *x, const struct term *y)
{
    return x->type == y->type && term_cmp(x, y) == 0;
}

/* Do the first parts of both agree as far as the shorter goes? */
static bool agree(const struct term *x, size_t nx, const struct term *y, size_t ny)
{
    for (size_t i = 1; i < MIN(nx, ny); i++) {
        if (!same_part(x->list.v[i], y->list.v[i])) {
            return false;
        }
    }
    return true;
}

static bool add(struct deps *d, struct ref_list *l, const struct term *ref, size_t n)
{
    struct term *t = term_new(d->a, T_REF, ref->loc);
    for (size_t i = 0; i < n; i++) {
        term_push(d->a, t, ref->list.v[i]);
    }
    for (size_t i = 0; i < l->n; i++) {
        if (term_cmp(l->v[i], t) == 0) {
            return false;
        }
    }
    l->v = arena_grow(d->a, l->v, l->n, l->n + 1, &l->cap, sizeof(struct term *));
    l->v[l->n++] = t;
    return true;
}

static void in_body(struct deps *d, const struct body *b, unsigned depth);
static void in_term(struct deps *d, const struct term *t, unsigned depth);

/* data.a.b.p, from the package and the head. */
static struct term *rule_path(struct deps *d, const struct module *m, const struct rule *r)
{
    struct term *t = term_new(d->a, T_REF, r->loc);
    for (size_t i = 0; i < m->package->list.n; i++) {
        term_push(d->a, t, m->package->list.v[i]);
    }
    const struct term *head = r->head->ref;
    for (size_t i = 0; i < head->list.n; i++) {
        const struct term *part = head->list.v[i];
        bool name = i == 0 && part->type == T_VAR;
        if (!name && part->type > T_STRING) {
            break;
        }
        term_push(d->a, t, name ? term_string(d->a, part->var.name, part->loc) : head->list.v[i]);
    }
    return t;
}

static void in_rule(struct deps *d, const struct rule *r, unsigned depth)
{
    for (; r != NULL; r = r->otherwise) {
        in_body(d, r->body, depth);
        const struct head *h = r->head;
        if (h->key != NULL) {
            in_term(d, h->key, depth);
        }
        if (h->value != NULL) {
            in_term(d, h->value, depth);
        }
        for (size_t i = 1; i < h->ref->list.n; i++) {
            in_term(d, h->ref->list.v[i], depth);
        }
    }
}

/* A reference to data: to rules where there are some, else to what was loaded. */
static void in_data(struct deps *d, const struct term *ref, unsigned depth)
{
    size_t n = ground(ref);
    bool found = false;
    for (size_t i = 0; i < rego_policy_modules(d->p); i++) {
        const struct module *m = rego_policy_module(d->p, i);
        for (size_t k = 0; k < m->n_rules; k++) {
            struct term *path = rule_path(d, m, m->rules[k]);
            if (!agree(path, path->list.n, ref, n)) {
                continue;
            }
            found = true;
            size_t before = d->virtual.n;
            (void)add(d, &d->virtual, path, path->list.n);
            bool first = d->virtual.n > before;
            for (size_t j = 0; first && j < m->n_rules; j++) {
                struct term *other = rule_path(d, m, m->rules[j]);
                if (term_cmp(other, path) == 0) {
                    in_rule(d, m->rules[j], depth + 1);
                }
            }
        }
    }
    if (!found) {
        (void)add(d, &d->base, ref, n);
    }
}

static void in_list(struct deps *d, const struct term *t, size_t from, unsigned depth)
{
    for (size_t i = from; i < t->list.n; i++) {
        in_term(d, t->list.v[i], depth + 1);
    }
}

static bool is_root(const struct term *t, const char *name)
{
    return t->type == T_VAR && t->var.local == NULL && str_is(t->var.name, name);
}

static void in_ref(struct deps *d, const struct term *t, unsigned depth)
{
    const struct term *head = t->list.v[0];
    in_list(d, t, head->type == T_VAR ? 1 : 0, depth);
    if (is_root(head, "input")) {
        (void)add(d, &d->base, t, ground(t));
    } else if (is_root(head, "data")) {
        in_data(d, t, depth);
    }
}

static void in_term(struct deps *d, const struct term *t, unsigned depth)
{
    if (depth > DEPS_DEPTH_MAX) {
        return;
    }
    switch (t->type) {
    case T_REF:
        in_ref(d, t, depth);
        break;
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        in_list(d, t, 0, depth);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        if (t->comp.key != NULL) {
            in_term(d, t->comp.key, depth + 1);
        }
        in_term(d, t->comp.value, depth + 1);
        in_body(d, t->comp.body, depth + 1);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        in_body(d, t->logic.lhs, depth + 1);
        in_body(d, t->logic.rhs, depth + 1);
        break;
    case T_EXPR:
        in_body(d, &(struct body){.v = (struct expr **)(uintptr_t)&t->expr, .n = 1}, depth + 1);
        break;
    default:
        break;
    }
}

static void in_body(struct deps *d, const struct body *b, unsigned depth)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        const struct expr *e = b->v[i];
        if (e->term != NULL) {
            in_term(d, e->term, depth + 1);
        }
        for (size_t k = 0; k < e->n_symbols; k++) {
            in_term(d, e->symbols[k], depth + 1);
        }
        if (e->kind == E_EVERY) {
            in_term(d, e->every.domain, depth + 1);
            in_body(d, e->every.body, depth + 1);
        }
        for (size_t k = 0; k < e->n_with; k++) {
            in_term(d, e->with[k]->value, depth + 1);
        }
    }
}

static int by_ref(const void *x, const void *y)
{
    return term_cmp(*(struct term *const *)x, *(struct term *const *)y);
}

static struct str text_of(struct arena *a, const struct ref_list *l, size_t i)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    if (i < l->n) {
        term_write(&b, l->v[i]);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

static void print_pretty(struct buf *b, const struct deps *d)
{
    bool base = d->base.n > 0, virtual = d->virtual.n > 0;
    struct table t = {.a = d->a, .header = true, .n_columns = (size_t)base + virtual};
    if (t.n_columns == 0) {
        return;
    }
    if (base) {
        table_add(&t, S("BASE DOCUMENTS"));
    }
    if (virtual) {
        table_add(&t, S("VIRTUAL DOCUMENTS"));
    }
    for (size_t i = 0; i < MAX(d->base.n, d->virtual.n); i++) {
        if (base) {
            table_add(&t, text_of(d->a, &d->base, i));
        }
        if (virtual) {
            table_add(&t, text_of(d->a, &d->virtual, i));
        }
    }
    table_print(b, &t);
}

static void put_refs(struct buf *b, const char *name, const struct ref_list *l, bool more)
{
    for (size_t i = 0; i < l->n; i++) {
        if (i == 0) {
            buf_printf(b, "%s\n  \"%s\": [", more ? "," : "", name);
        }
        buf_puts(b, i > 0 ? S(",\n    [") : S("\n    ["));
        for (size_t k = 0; k < l->v[i]->list.n; k++) {
            const struct term *t = l->v[i]->list.v[k];
            buf_printf(
                b, "%s\n      {\n        \"type\": \"%s\",\n        \"value\": ", k > 0 ? "," : "",
                t->type == T_VAR      ? "var"
                : t->type == T_STRING ? "string"
                                      : "number");
            if (t->type == T_VAR || t->type == T_STRING) {
                val_json_string(b, t->type == T_VAR ? t->var.name : t->str, true);
            } else {
                term_write(b, t);
            }
            buf_puts(b, S("\n      }"));
        }
        buf_puts(b, S("\n    ]"));
    }
    buf_puts(b, l->n > 0 ? S("\n  ]") : S(""));
}

static int find(struct cmd *c)
{
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {.enable_print = true};
    struct parse_options po = {.version = cmd_version(c)};
    struct body *query;
    bool loading = false;
    struct image *im = cmd_load(c, LOAD_FLAGS, &o, &errors, &loading);
    if (im == NULL || !rego_parse_query(&c->a, str_of(c->args.v[0]), &po, &errors, &query)) {
        print_errors(c, &errors, loading);
        image_free(im);
        return 1;
    }
    struct deps d = {.a = &c->a, .p = im->policy};
    struct buf b;
    buf_init(&b, 1 << 28);
    in_body(&d, query, 0);
    qsort(d.base.v, d.base.n, sizeof *d.base.v, by_ref);
    qsort(d.virtual.v, d.virtual.n, sizeof *d.virtual.v, by_ref);
    if (strcmp(c->format, "json") == 0) {
        buf_puts(&b, S("{"));
        put_refs(&b, "base", &d.base, false);
        put_refs(&b, "virtual", &d.virtual, d.base.n > 0);
        buf_puts(&b, d.base.n + d.virtual.n > 0 ? S("\n}\n") : S("}\n"));
    } else {
        print_pretty(&b, &d);
    }
    print_buf(&b);
    buf_release(&b);
    image_free(im);
    return 0;
}

int cmd_deps(struct daemon *daemon, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)daemon;
    if (c != NULL) {
        code = c->args.n == 1 ? find(c) : cmd_wrong(&fc, "specify exactly one query argument");
        cmd_free(c);
    }
    return code;
}
