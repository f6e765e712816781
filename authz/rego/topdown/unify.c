/* Unification of two terms, each with the bindings of its variables. */
#include "authz/rego/topdown/save.h"

struct tt **tt_elements(struct td *td, const struct tt *t, size_t *n)
{
    if (t->kind != TT_VAL) {
        *n = t->list.n;
        return t->list.v;
    }
    *n = val_len(t->v);
    struct tt **v = arena_array(td->a, struct tt *, *n + 1);
    for (size_t i = 0; i < *n; i++) {
        v[i] = tt_val(td->a, val_nth(t->v, (uint32_t)i), t->loc);
    }
    return v;
}

struct k_list {
    struct k k;
    struct te *e;
    struct tt **a, **b;
    size_t n, at;
    struct binds *b1, *b2;
    struct k *then;
};

static struct halt *list_rest(struct k *self)
{
    struct k_list *c = (struct k_list *)self;
    if (c->at == c->n) {
        return k_run(c->then);
    }
    struct k_list next = *c;
    next.at++;
    return unify(c->e, c->a[c->at], c->b[c->at], c->b1, c->b2, &next.k);
}

struct halt *unify_lists(struct te *e, struct tt **a, struct tt **b, size_t n, struct binds *b1,
                         struct binds *b2, struct k *k)
{
    struct k_list c = {
        .k = {list_rest}, .e = e, .a = a, .b = b, .n = n, .b1 = b1, .b2 = b2, .then = k};
    return list_rest(&c.k);
}

static bool is_type(const struct tt *t, enum tt_kind kind, enum vtype type)
{
    return t->kind == kind || (t->kind == TT_VAL && val_is(t->v, type));
}

static struct tt *with_keys(struct td *td, struct tt *t, struct binds *b)
{
    bool ground = true;
    for (size_t i = 0; t->kind == TT_OBJECT && i < t->list.n; i += 2) {
        ground &= t->list.v[i]->kind == TT_VAL;
    }
    if (ground) {
        return t;
    }
    struct tt *c = tt_list(td->a, TT_OBJECT, t->list.n, t->loc);
    for (size_t i = 0; i < t->list.n; i++) {
        c->list.v[i] = i % 2 == 0 ? plug(td, t->list.v[i], b) : t->list.v[i];
    }
    return tt_fold(td->a, c);
}

static struct tt *member(struct td *td, const struct tt *t, const struct tt *key)
{
    if (t->kind == TT_VAL) {
        struct val v = key->kind == TT_VAL ? val_get(t->v, key->v) : VAL_UNDEF;
        return val_undef(v) ? NULL : tt_val(td->a, v, t->loc);
    }
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        if (tt_same(t->list.v[i], key)) {
            return t->list.v[i + 1];
        }
    }
    return NULL;
}

static size_t object_len(const struct tt *t)
{
    return t->kind == TT_VAL ? val_len(t->v) : t->list.n / 2;
}

static struct halt *unify_objects(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                                  struct binds *b2, struct k *k)
{
    struct td *td = e->td;
    size_t n = object_len(a);
    if (n != object_len(b)) {
        return NULL;
    }
    a = with_keys(td, a, b1);
    b = with_keys(td, b, b2);
    n = object_len(a);
    struct tt **x = arena_array(td->a, struct tt *, n + 1),
              **y = arena_array(td->a, struct tt *, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct tt *key = a->kind == TT_VAL
                             ? tt_val(td->a, val_nth_key(td->a, a->v, (uint32_t)i), a->loc)
                             : a->list.v[2 * i];
        x[i] = a->kind == TT_VAL ? tt_val(td->a, val_nth(a->v, (uint32_t)i), a->loc)
                                 : a->list.v[2 * i + 1];
        y[i] = member(td, b, key);
        if (y[i] == NULL) {
            return NULL;
        }
    }
    return unify_lists(e, x, y, n, b1, b2, k);
}

static struct halt *unify_ref(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                              struct binds *b2, struct k *k)
{
    struct td *td = e->td;
    struct tref r = {.e = e, .ref = a, .pos = 1, .b = b1, .rterm = b, .rb = b2, .k = k};
    struct tt *head = a->list.v[0];
    if (head->kind == TT_VAR && head->sym == td->t->data) {
        r.plugged = arena_new(td->a, struct tt);
        *r.plugged = *a;
        r.plugged->list.v = arena_array(td->a, struct tt *, a->list.n + 1);
        memcpy(r.plugged->list.v, a->list.v, a->list.n * sizeof(struct tt *));
        r.node = tnode_root(td->t);
        return eval_tree(r);
    }
    r.term = head;
    r.tb = b1;
    if (head->kind == TT_VAR && head->sym == td->t->input) {
        if (val_undef(td->w->input)) {
            return NULL;
        }
        r.term = tt_val(td->a, td->w->input, head->loc);
    } else {
        binds_apply(&r.term, &r.tb);
        if (r.term == head && head->kind == TT_VAR) {
            return NULL;
        }
    }
    return eval_term(r);
}

static struct halt *bind_var(struct te *e, struct tt *var, struct binds *b, struct tt *t,
                             struct binds *of, struct k *k)
{
    binds_push(e->td, b, var->sym, t, of);
    struct halt *h = k_run(k);
    binds_pop(b);
    return h;
}

static bool must_save(struct te *e, struct tt *t, struct binds *b)
{
    if (e->td->pe == NULL) {
        return false;
    }
    return t->kind == TT_SET ? save_contains_any(e->td, t, b) : save_contains(e->td, t, b);
}

/* One of the two is a variable, a reference, a comprehension or a set. */
static struct halt *unify_values(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                                 struct binds *b2, struct k *k)
{
    bool save_a = must_save(e, a, b1);
    if (!save_a && a->kind == TT_REF) {
        return unify_ref(e, a, b, b1, b2, k);
    }
    bool save_b = must_save(e, b, b2);
    if (!save_b && b->kind == TT_REF) {
        return unify_ref(e, b, a, b2, b1, k);
    }
    if (save_a || save_b) {
        return save_unify(e, a, b, b1, b2, k);
    }
    if (tt_is_comp(a)) {
        return unify_comprehension(e, a, b, b1, b2, false, k);
    }
    if (tt_is_comp(b)) {
        return unify_comprehension(e, b, a, b2, b1, true, k);
    }
    if (a->kind == TT_VAR) {
        if (b->kind == TT_VAR && b1 == b2 && a->sym == b->sym) {
            return k_run(k);
        }
        return bind_var(e, a, b1, b, b2, k);
    }
    if (b->kind == TT_VAR) {
        return bind_var(e, b, b2, a, b1, k);
    }
    a = plug(e->td, a, b1);
    b = plug(e->td, b, b2);
    return tt_same(a, b) ? k_run(k) : NULL;
}

static bool open_ended(const struct tt *t)
{
    return t->kind == TT_VAR || t->kind == TT_REF || tt_is_comp(t);
}

struct halt *unify(struct te *e, struct tt *a, struct tt *b, struct binds *b1, struct binds *b2,
                   struct k *k)
{
    if (!td_step(e->td)) {
        return &halt_error;
    }
    binds_apply(&a, &b1);
    binds_apply(&b, &b2);
    trace_unify(e, a, b);
    if (open_ended(a) || open_ended(b) || a->kind == TT_SET || b->kind == TT_SET) {
        return unify_values(e, a, b, b1, b2, k);
    }
    if (a->kind == TT_VAL && b->kind == TT_VAL) {
        return val_eq(a->v, b->v) ? k_run(k) : NULL;
    }
    if (is_type(a, TT_ARRAY, V_ARRAY) && is_type(b, TT_ARRAY, V_ARRAY)) {
        size_t n, m;
        struct tt **x = tt_elements(e->td, a, &n), **y = tt_elements(e->td, b, &m);
        return n == m ? unify_lists(e, x, y, n, b1, b2, k) : NULL;
    }
    if (is_type(a, TT_OBJECT, V_OBJECT) && is_type(b, TT_OBJECT, V_OBJECT)) {
        return unify_objects(e, a, b, b1, b2, k);
    }
    return NULL;
}

struct k_collect {
    struct k k;
    struct te *e;
    const struct tt *comp;
    struct vlist list;
};

static bool ground_value(struct te *e, struct tt *t, struct val *out)
{
    struct tt *p = plug(e->td, t, e->b);
    *out = p->kind == TT_VAL ? p->v : VAL_UNDEF;
    return p->kind == TT_VAL;
}

static struct halt *collect(struct k *self)
{
    struct k_collect *c = (struct k_collect *)self;
    struct val key, v;
    trace_body(c->e, OP_TRACE_EXIT, c->comp->comp.body);
    bool ok = ground_value(c->e, c->comp->comp.value, &v);
    if (c->comp->kind == TT_OBJECT_COMP) {
        ok = ground_value(c->e, c->comp->comp.key, &key) && ok;
        if (ok) {
            vlist_add(&c->list, key);
        }
    }
    if (!ok) {
        return td_error(c->e, "eval_internal_error", c->e->file, c->comp->loc,
                        "comprehension holds an unbound variable");
    }
    vlist_add(&c->list, v);
    trace_body(c->e, OP_TRACE_REDO, c->comp->comp.body);
    return NULL;
}

struct halt *unify_comprehension(struct te *e, struct tt *a, struct tt *b, struct binds *b1,
                                 struct binds *b2, bool swap, struct k *k)
{
    struct td *td = e->td;
    if (td->pe != NULL && unknown_term(e, a, b1)) {
        return save_comprehension(e, a, b, b1, b2, swap, k);
    }
    struct te child;
    te_closure(e, a->comp.body, &child);
    struct k_collect c = {.k = {collect}, .e = &child, .comp = a, .list = {.a = td->a}};
    trace_body(&child, OP_TRACE_ENTER, a->comp.body);
    struct halt *h = eval_body(&child, &c.k);
    if (h != NULL) {
        return h;
    }
    struct val v, clash;
    if (a->kind == TT_ARRAY_COMP) {
        v = vlist_array(&c.list);
    } else if (a->kind == TT_SET_COMP) {
        v = vlist_set(&c.list);
    } else if (!vlist_object_strict(&c.list, &v, &clash)) {
        return td_error(e, "eval_conflict_error", e->file, a->comp.key->loc,
                        "object keys must be unique");
    }
    return unify(e, tt_val(td->a, v, a->loc), b, b1, b2, k);
}
