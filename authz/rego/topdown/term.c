/* Terms and expressions of the second evaluator: making, folding, comparing, copying. */
#include "authz/rego/topdown/term.h"

#include <stdlib.h>

void symtab_init(struct symtab *s, struct arena *a, struct symtab *up)
{
    map_init(&s->m);
    s->a = a;
    s->up = up;
}

struct sym *sym_find(struct symtab *s, struct str name)
{
    struct sym *found = NULL;
    for (; s != NULL && found == NULL; s = s->up) {
        found = map_get(&s->m, name);
    }
    return found;
}

struct sym *sym_get(struct symtab *s, struct str name)
{
    struct sym *sym = sym_find(s, name);
    if (sym != NULL) {
        return sym;
    }
    sym = arena_new(s->a, struct sym);
    sym->name = arena_str(s->a, name);
    map_set(&s->m, name, sym);
    return sym;
}

bool sym_generated(const struct sym *s)
{
    return str_starts(s->name, S("__local"));
}

static struct tt *tt_new(struct arena *a, enum tt_kind kind, struct loc loc)
{
    struct tt *t = arena_new(a, struct tt);
    t->kind = kind;
    t->loc = loc;
    return t;
}

struct tt *tt_val(struct arena *a, struct val v, struct loc loc)
{
    struct tt *t = tt_new(a, TT_VAL, loc);
    t->v = v;
    return t;
}

struct tt *tt_var(struct arena *a, struct sym *s, struct loc loc)
{
    struct tt *t = tt_new(a, TT_VAR, loc);
    t->sym = s;
    return t;
}

struct tt *tt_list(struct arena *a, enum tt_kind kind, size_t n, struct loc loc)
{
    struct tt *t = tt_new(a, kind, loc);
    t->list.v = arena_array(a, struct tt *, n + 1);
    t->list.n = n;
    return t;
}

static int by_term(const void *x, const void *y)
{
    const struct tt *const *a = x, *const *b = y;
    return tt_cmp(*a, *b);
}

static void sort_members(struct tt *t)
{
    bool object = t->kind == TT_OBJECT;
    size_t width = object ? 2 : 1;
    qsort(t->list.v, t->list.n / width, width * sizeof *t->list.v, by_term);
    size_t kept = 0;
    for (size_t i = 0; i < t->list.n; i += width) {
        if (kept > 0 && tt_same(t->list.v[kept - width], t->list.v[i])) {
            kept -= width; /* the later one wins */
        }
        for (size_t k = 0; k < width; k++) {
            t->list.v[kept++] = t->list.v[i + k];
        }
    }
    t->list.n = kept;
}

struct tt *tt_fold(struct arena *a, struct tt *t)
{
    if (t->kind != TT_ARRAY && t->kind != TT_OBJECT && t->kind != TT_SET) {
        return t;
    }
    struct vlist l = {.a = a};
    for (size_t i = 0; i < t->list.n; i++) {
        if (t->list.v[i]->kind != TT_VAL) {
            if (t->kind != TT_ARRAY) {
                sort_members(t);
            }
            return t;
        }
        vlist_add(&l, t->list.v[i]->v);
    }
    struct val v = t->kind == TT_ARRAY ? vlist_array(&l)
                   : t->kind == TT_SET ? vlist_set(&l)
                                       : vlist_object(&l);
    return tt_val(a, v, t->loc);
}

bool tt_ground(const struct tt *t)
{
    switch (t->kind) {
    case TT_VAL:
        return true;
    case TT_REF:
    case TT_ARRAY:
    case TT_OBJECT:
    case TT_SET:
        for (size_t i = t->kind == TT_REF; i < t->list.n; i++) {
            if (!tt_ground(t->list.v[i])) {
                return false;
            }
        }
        return true;
    default:
        return false;
    }
}

bool tt_is(const struct tt *t, struct val v)
{
    return t->kind == TT_VAL && val_eq(t->v, v);
}

/* Order of kinds as Rego sorts them; constants take the rank of their type. */
static int rank_of(const struct tt *t)
{
    static const int of_kind[] = {0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};
    if (t->kind != TT_VAL) {
        return of_kind[t->kind];
    }
    switch (val_type(t->v)) {
    case V_NULL:
        return 0;
    case V_BOOL:
        return 1;
    case V_NUMBER:
        return 2;
    case V_STRING:
        return 3;
    case V_ARRAY:
        return 7;
    case V_OBJECT:
        return 8;
    default:
        return 9;
    }
}

struct members {
    const struct tt *t;
    uint32_t n;
};

static uint32_t count_members(const struct tt *t)
{
    return t->kind != TT_VAL ? (uint32_t)(t->kind == TT_OBJECT ? t->list.n / 2 : t->list.n)
                             : val_len(t->v);
}

/* The nth member of a composite as a term; `room` holds it when it is a constant's. */
static const struct tt *nth(const struct tt *t, uint32_t i, bool key, struct tt *room)
{
    if (t->kind == TT_OBJECT) {
        return t->list.v[2 * (size_t)i + !key];
    }
    if (t->kind != TT_VAL) {
        return t->list.v[i];
    }
    *room = (struct tt){.kind = TT_VAL};
    room->v = key && val_is(t->v, V_OBJECT) ? val_tab(t->v)->v[2 * (size_t)i] : val_nth(t->v, i);
    return room;
}

static int cmp_members(const struct tt *a, const struct tt *b, bool object)
{
    uint32_t na = count_members(a), nb = count_members(b);
    struct tt ra, rb;
    for (uint32_t i = 0; i < na && i < nb; i++) {
        int c = object ? tt_cmp(nth(a, i, true, &ra), nth(b, i, true, &rb)) : 0;
        c = c != 0 ? c : tt_cmp(nth(a, i, false, &ra), nth(b, i, false, &rb));
        if (c != 0) {
            return c;
        }
    }
    return na < nb ? -1 : na > nb;
}

static int cmp_comp(const struct tt *a, const struct tt *b)
{
    int c = a->kind == TT_OBJECT_COMP ? tt_cmp(a->comp.key, b->comp.key) : 0;
    c = c != 0 ? c : tt_cmp(a->comp.value, b->comp.value);
    return c != 0 ? c : tb_cmp(a->comp.body, b->comp.body);
}

int tt_cmp(const struct tt *a, const struct tt *b)
{
    if (a == b) {
        return 0;
    }
    int ra = rank_of(a), rb = rank_of(b);
    if (ra != rb) {
        return ra < rb ? -1 : 1;
    }
    if (a->kind == TT_VAL && b->kind == TT_VAL) {
        return val_cmp(a->v, b->v);
    }
    switch (a->kind) {
    case TT_VAR:
        return a->sym == b->sym ? 0 : str_cmp(a->sym->name, b->sym->name);
    case TT_ARRAY_COMP:
    case TT_OBJECT_COMP:
    case TT_SET_COMP:
        return cmp_comp(a, b);
    case TT_TEMPLATE:
        return a < b ? -1 : 1;
    default:
        return cmp_members(a, b, rank_of(a) == 8);
    }
}

bool tt_same(const struct tt *a, const struct tt *b)
{
    return tt_cmp(a, b) == 0;
}

static int cmp_with(const struct texpr *a, const struct texpr *b)
{
    for (size_t i = 0; i < a->n_with && i < b->n_with; i++) {
        int c = tt_cmp(a->with[i].target, b->with[i].target);
        c = c != 0 ? c : tt_cmp(a->with[i].value, b->with[i].value);
        if (c != 0) {
            return c;
        }
    }
    return a->n_with < b->n_with ? -1 : a->n_with > b->n_with;
}

static int cmp_opt(const struct tt *a, const struct tt *b)
{
    if (a == NULL || b == NULL) {
        return a == b ? 0 : a == NULL ? -1 : 1;
    }
    return tt_cmp(a, b);
}

static int cmp_content(const struct texpr *a, const struct texpr *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        int c = tt_cmp(a->t[i], b->t[i]);
        if (c != 0) {
            return c;
        }
    }
    if (a->n != b->n) {
        return a->n < b->n ? -1 : 1;
    }
    int c = cmp_opt(a->key, b->key);
    c = c != 0 ? c : cmp_opt(a->value, b->value);
    c = c != 0 ? c : cmp_opt(a->domain, b->domain);
    c = c != 0 || a->lhs == NULL ? c : tb_cmp(a->lhs, b->lhs);
    return c != 0 || a->rhs == NULL ? c : tb_cmp(a->rhs, b->rhs);
}

int tx_cmp(const struct texpr *a, const struct texpr *b, bool withs)
{
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->negated != b->negated) {
        return a->negated ? 1 : -1;
    }
    int c = cmp_content(a, b);
    return c != 0 || !withs ? c : cmp_with(a, b);
}

int tb_cmp(const struct tbody *a, const struct tbody *b)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        int c = tx_cmp(a->v[i], b->v[i], true);
        if (c != 0) {
            return c;
        }
    }
    return a->n < b->n ? -1 : a->n > b->n;
}

bool ref_has_prefix(const struct tt *t, const struct tt *p)
{
    if (p->list.n > t->list.n) {
        return false;
    }
    for (size_t i = 0; i < p->list.n; i++) {
        if (!tt_same(t->list.v[i], p->list.v[i])) {
            return false;
        }
    }
    return true;
}

bool ref_head_is(const struct tt *t, const struct sym *s)
{
    return t->kind == TT_REF && t->list.v[0]->kind == TT_VAR && t->list.v[0]->sym == s;
}

struct tt *ref_slice(struct arena *a, const struct tt *t, size_t n)
{
    struct tt *r = tt_new(a, TT_REF, t->loc);
    r->list.v = t->list.v;
    r->list.n = n;
    return r;
}

struct texpr *tx_new(struct arena *a, enum tx_kind kind, struct loc loc)
{
    struct texpr *e = arena_new(a, struct texpr);
    e->kind = kind;
    e->loc = loc;
    return e;
}

struct texpr *tx_term(struct arena *a, struct tt *t)
{
    struct texpr *e = tx_new(a, TX_TERM, t->loc);
    e->t = arena_array(a, struct tt *, 1);
    e->t[0] = t;
    e->n = 1;
    return e;
}

struct texpr *tx_eq(struct arena *a, struct symtab *s, struct tt *x, struct tt *y)
{
    struct texpr *e = tx_new(a, TX_CALL, x->loc);
    struct tt *op = tt_list(a, TT_REF, 1, x->loc);
    op->list.v[0] = tt_var(a, sym_get(s, S("eq")), x->loc);
    e->t = arena_array(a, struct tt *, 3);
    e->t[0] = op;
    e->t[1] = x;
    e->t[2] = y;
    e->n = 3;
    e->eq = true;
    return e;
}

struct tbody *tb_new(struct arena *a)
{
    return arena_new(a, struct tbody);
}

void tb_push(struct arena *a, struct tbody *b, struct texpr *e)
{
    b->v = arena_grow(a, b->v, b->n, b->n + 1, &b->cap, sizeof *b->v);
    b->v[b->n++] = e;
}

struct tt *tt_copy(struct arena *a, const struct tt *t)
{
    if (t == NULL) {
        return NULL;
    }
    struct tt *c = arena_new(a, struct tt);
    *c = *t;
    if (tt_is_list(t)) {
        c->list.v = arena_array(a, struct tt *, t->list.n + 1);
        for (size_t i = 0; i < t->list.n; i++) {
            c->list.v[i] = tt_copy(a, t->list.v[i]);
        }
    } else if (tt_is_comp(t)) {
        c->comp.key = tt_copy(a, t->comp.key);
        c->comp.value = tt_copy(a, t->comp.value);
        c->comp.body = tb_copy(a, t->comp.body);
    } else if (t->kind == TT_TEMPLATE) {
        c->parts.v = arena_array(a, struct texpr *, t->parts.n + 1);
        for (size_t i = 0; i < t->parts.n; i++) {
            c->parts.v[i] = tx_copy(a, t->parts.v[i]);
        }
    }
    return c;
}

struct texpr *tx_copy(struct arena *a, const struct texpr *e)
{
    struct texpr *c = arena_new(a, struct texpr);
    *c = *e;
    c->ast = NULL;
    c->t = arena_array(a, struct tt *, e->n + 1);
    for (size_t i = 0; i < e->n; i++) {
        c->t[i] = tt_copy(a, e->t[i]);
    }
    c->key = tt_copy(a, e->key);
    c->value = tt_copy(a, e->value);
    c->domain = tt_copy(a, e->domain);
    c->lhs = tb_copy(a, e->lhs);
    c->rhs = tb_copy(a, e->rhs);
    c->with = arena_array(a, struct twith, e->n_with + 1);
    for (size_t i = 0; i < e->n_with; i++) {
        c->with[i].loc = e->with[i].loc;
        c->with[i].target = tt_copy(a, e->with[i].target);
        c->with[i].value = tt_copy(a, e->with[i].value);
    }
    return c;
}

struct tbody *tb_copy(struct arena *a, const struct tbody *b)
{
    if (b == NULL) {
        return NULL;
    }
    struct tbody *c = tb_new(a);
    c->loc = b->loc;
    for (size_t i = 0; i < b->n; i++) {
        tb_push(a, c, tx_copy(a, b->v[i]));
    }
    return c;
}
