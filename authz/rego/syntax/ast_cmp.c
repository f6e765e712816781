/* The total order of the language over what is written: sets and keys of objects stand in it. */
#include "authz/rego/syntax/ast.h"

#include <stdlib.h>

static int expr_cmp(const struct expr *a, const struct expr *b);

static int rank(const struct term *t)
{
    static const unsigned char ranks[] = {
        [T_NULL] = 0,      [T_BOOL] = 1,  [T_NUMBER] = 2,      [T_STRING] = 3,
        [T_TEMPLATE] = 4,  [T_VAR] = 5,   [T_REF] = 6,         [T_ARRAY] = 7,
        [T_OBJECT] = 8,    [T_SET] = 9,   [T_ARRAY_COMP] = 10, [T_OBJECT_COMP] = 11,
        [T_SET_COMP] = 12, [T_CALL] = 13, [T_EXPR] = 100,      [T_NOT] = 111,
        [T_AND] = 103,     [T_OR] = 104,
    };
    return ranks[t->type];
}

static int order(long a, long b)
{
    return (a > b) - (a < b);
}

static int lists_cmp(struct term *const *a, size_t n, struct term *const *b, size_t m)
{
    for (size_t i = 0; i < MIN(n, m); i++) {
        int c = term_cmp(a[i], b[i]);
        if (c != 0) {
            return c;
        }
    }
    return order((long)n, (long)m);
}

static int body_cmp(const struct body *a, const struct body *b)
{
    for (size_t i = 0; i < MIN(a->n, b->n); i++) {
        int c = expr_cmp(a->v[i], b->v[i]);
        if (c != 0) {
            return c;
        }
    }
    return order((long)a->n, (long)b->n);
}

/* An operator is a reference even where it is a mere name. */
static int operator_cmp(const struct term *a, const struct term *b)
{
    if (a->type == T_REF && b->type == T_REF) {
        return lists_cmp(a->list.v, a->list.n, b->list.v, b->list.n);
    }
    int c = term_cmp(a->type == T_REF ? a->list.v[0] : a, b->type == T_REF ? b->list.v[0] : b);
    return c != 0 ? c
                  : order(a->type == T_REF ? (long)a->list.n : 1,
                          b->type == T_REF ? (long)b->list.n : 1);
}

static int calls_cmp(const struct term *a, const struct term *b)
{
    int c = operator_cmp(a->list.v[0], b->list.v[0]);
    return c != 0 ? c : lists_cmp(a->list.v + 1, a->list.n - 1, b->list.v + 1, b->list.n - 1);
}

static int templates_cmp(const struct term *a, const struct term *b)
{
    int c = order(a->raw, b->raw);
    c = c != 0 ? c : order((long)a->list.n, (long)b->list.n);
    return c != 0 ? c : lists_cmp(a->list.v, a->list.n, b->list.v, b->list.n);
}

static int comps_cmp(const struct term *a, const struct term *b)
{
    int c = a->comp.key != NULL ? term_cmp(a->comp.key, b->comp.key) : 0;
    c = c != 0 ? c : term_cmp(a->comp.value, b->comp.value);
    return c != 0 ? c : body_cmp(a->comp.body, b->comp.body);
}

static int logic_cmp(const struct term *a, const struct term *b)
{
    int c = body_cmp(a->logic.lhs, b->logic.lhs);
    return c != 0 || a->type == T_NOT ? c : body_cmp(a->logic.rhs, b->logic.rhs);
}

int term_cmp(const struct term *a, const struct term *b)
{
    if (a == b) {
        return 0;
    }
    if (a->type != b->type) {
        return order(rank(a), rank(b));
    }
    switch (a->type) {
    case T_NULL:
        return 0;
    case T_BOOL:
        return order(a->boolean, b->boolean);
    case T_NUMBER:
        return num_cmp(a->num, b->num);
    case T_STRING:
        return str_cmp(a->str, b->str);
    case T_VAR:
        return str_cmp(a->var.name, b->var.name);
    case T_TEMPLATE:
        return templates_cmp(a, b);
    case T_REF:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        return lists_cmp(a->list.v, a->list.n, b->list.v, b->list.n);
    case T_CALL:
        return calls_cmp(a, b);
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        return comps_cmp(a, b);
    case T_AND:
    case T_OR:
    case T_NOT:
        return logic_cmp(a, b);
    case T_EXPR:
        return expr_cmp(a->expr, b->expr);
    }
    return 0;
}

static int expr_rank(const struct expr *e)
{
    if (e->kind != E_TERM) {
        return e->kind == E_SOME ? 0 : 3;
    }
    switch (e->term->type) {
    case T_CALL:
        return 2;
    case T_NOT:
        return 4;
    case T_AND:
        return 5;
    case T_OR:
        return 6;
    default:
        return 1;
    }
}

static int every_cmp(const struct expr *a, const struct expr *b)
{
    int c = order(a->every.key != NULL, b->every.key != NULL);
    if (c == 0 && a->every.key != NULL) {
        c = term_cmp(a->every.key, b->every.key);
    }
    c = c != 0 ? c : term_cmp(a->every.value, b->every.value);
    c = c != 0 ? c : term_cmp(a->every.domain, b->every.domain);
    return c != 0 ? c : body_cmp(a->every.body, b->every.body);
}

static int withs_cmp(const struct expr *a, const struct expr *b)
{
    for (size_t i = 0; i < MIN(a->n_with, b->n_with); i++) {
        int c = term_cmp(a->with[i]->target, b->with[i]->target);
        c = c != 0 ? c : term_cmp(a->with[i]->value, b->with[i]->value);
        if (c != 0) {
            return c;
        }
    }
    return order((long)a->n_with, (long)b->n_with);
}

static int expr_cmp(const struct expr *a, const struct expr *b)
{
    int c = order(expr_rank(a), expr_rank(b));
    c = c != 0 ? c : order(a->negated, b->negated);
    if (c != 0) {
        return c;
    }
    if (a->kind == E_SOME) {
        c = lists_cmp(a->symbols, a->n_symbols, b->symbols, b->n_symbols);
    } else if (a->kind == E_EVERY) {
        c = every_cmp(a, b);
    } else {
        c = term_cmp(a->term, b->term);
    }
    return c != 0 ? c : withs_cmp(a, b);
}

/* A member of a set or object on its way to its place; `at` keeps equal ones in their order. */
struct member {
    struct term *key, *value;
    size_t at;
};

static int members_cmp(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    int c = term_cmp(x->key, y->key);
    return c != 0 ? c : order((long)x->at, (long)y->at);
}

void term_sort(struct arena *a, struct term *t, bool keep_equal)
{
    size_t step = t->type == T_OBJECT ? 2 : 1, n = t->list.n / step, kept = 0;
    if (n < 2) {
        return;
    }
    struct member *v = arena_array(a, struct member, n);
    for (size_t i = 0; i < n; i++) {
        v[i] = (struct member){t->list.v[i * step], t->list.v[i * step + step - 1], i};
    }
    qsort(v, n, sizeof *v, members_cmp);
    for (size_t i = 0; i < n; i++) {
        bool keep = step == 2 && keep_equal;
        if (keep || kept == 0 || term_cmp(v[kept - 1].key, v[i].key) != 0) {
            v[kept++] = v[i];
        } else {
            v[kept - 1].value =
                step == 2 ? v[i].value : v[kept - 1].value; /* the last one counts */
        }
    }
    for (size_t i = 0; i < kept; i++) {
        t->list.v[i * step] = v[i].key;
        t->list.v[i * step + step - 1] = v[i].value;
    }
    t->list.n = kept * step;
}
