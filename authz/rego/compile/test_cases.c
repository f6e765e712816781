/*
 * What running tests needs of the compiler: rules of one name are tests of their own, and rules that
 * hold several cases (`test_x[note] if …`) tell of each case as soon as its name is known, so that one
 * that fails later is known to have been there.
 */
#include "authz/rego/compile/order_priv.h"

#include "authz/rego/compile/test_cases.h"

static struct str word(const struct term *t)
{
    return t->type == T_VAR ? t->var.name : t->type == T_STRING ? t->str : STR_EMPTY;
}

static bool is_test(struct str name)
{
    return str_starts(name, S("test_")) || str_starts(name, S("todo_test_"));
}

size_t rego_test_name(const struct rule *r)
{
    const struct term *ref = r->head->ref;
    for (size_t i = 0; i < ref->list.n; i++) {
        if (i > 0 && ref->list.v[i]->type == T_VAR) {
            return 0;
        }
        if (is_test(word(ref->list.v[i]))) {
            return i + 1;
        }
    }
    return 0;
}

static void rename_rule(struct compiler *c, struct rule *r, size_t n, size_t count)
{
    struct term *t = r->head->ref->list.v[n - 1];
    struct str name = arena_printf(c->a, "%.*s#%02zu", STR_FMT(word(t)), count);
    t = term_copy(c->a, t);
    if (t->type == T_VAR) {
        t->var.name = name;
    } else {
        t->str = name;
    }
    r->head->ref = term_copy(c->a, r->head->ref);
    r->head->ref->list.v[n - 1] = t;
}

static struct str full_name(struct compiler *c, const struct module *m, const struct rule *r,
                            size_t n)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, m->package);
    for (size_t i = 0; i < n; i++) {
        buf_putc(&b, '.');
        buf_puts(&b, word(r->head->ref->list.v[i]));
    }
    struct str s = arena_str(c->a, buf_str(&b));
    buf_release(&b);
    return s;
}

void tests_rename(struct compiler *c)
{
    struct map seen;
    map_init(&seen);
    for (size_t u = 0; u < c->p->n_units; u++) {
        struct module *m = c->p->units[u].m;
        for (size_t i = 0; i < m->n_rules; i++) {
            struct rule *r = m->rules[i];
            size_t n = rego_test_name(r);
            if (n == 0 || !str_starts(word(r->head->ref->list.v[n - 1]), S("test_"))) {
                continue;
            }
            struct str name = full_name(c, m, r, n);
            size_t *count = map_get(&seen, name);
            if (count == NULL) {
                count = arena_new(c->a, size_t);
                map_set(&seen, name, count);
            } else {
                rename_rule(c, r, n, *count);
            }
            (*count)++;
        }
    }
    map_release(&seen);
}

static bool plain(const struct term *t, unsigned depth)
{
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            if (depth > 16 || !plain(t->list.v[i], depth + 1)) {
                return false;
            }
        }
        return true;
    default:
        return t->type <= T_STRING || t->type == T_VAR;
    }
}

struct term *test_case_name(struct compiler *c, const struct rule *r)
{
    size_t n = rego_test_name(r);
    const struct term *ref = r->head->ref;
    if (n == 0 || n == ref->list.n || !str_starts(word(ref->list.v[n - 1]), S("test_"))) {
        return NULL;
    }
    struct term *name = term_new(c->a, T_ARRAY, ref->loc);
    for (size_t i = n; i < ref->list.n; i++) {
        if (!plain(ref->list.v[i], 0)) {
            return NULL;
        }
        term_push(c->a, name, term_copy(c->a, ref->list.v[i]));
    }
    return name;
}

static bool calls_it(const struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (b->v[i]->kind == E_TERM && term_is_call_of(b->v[i]->term, "internal.test_case")) {
            return true;
        }
    }
    return false;
}

static bool has_all(const struct varset *have, const struct varset *want)
{
    for (size_t i = 0; i < want->words; i++) {
        if ((want->bits[i] & ~(i < have->words ? have->bits[i] : 0)) != 0) {
            return false;
        }
    }
    return true;
}

void test_case_insert(struct compiler *c, struct rule *r, struct term *name)
{
    struct varset want = varset_new(c), have = varset_new(c);
    size_t at = 0;
    if (calls_it(r->body)) {
        return;
    }
    direct_vars(name, &want);
    while (at < r->body->n && !has_all(&have, &want)) {
        needed_vars(r->body->v[at++], &have);
    }
    struct expr *e = arena_new(c->a, struct expr);
    e->generated = true;
    e->loc = r->loc;
    e->term = term_new(c->a, T_CALL, r->loc);
    term_push(c->a, e->term, term_var(c->a, S("internal.test_case"), r->loc));
    term_push(c->a, e->term, name);
    body_push(c->a, r->body, e);
    for (size_t i = r->body->n - 1; i > at; i--) {
        r->body->v[i] = r->body->v[i - 1];
    }
    r->body->v[at] = e;
}
