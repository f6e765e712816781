#include "authz/rego/compile/index.h"

/* A place that a body compares, and with what. */
struct fact {
    int arg;
    struct val path[8];
    size_t n_path;
    struct val values; /* an array of those that let the body go on */
};

enum { FACTS_MAX = 12, PLACES_MAX = 64 };

static const size_t INDEX_MEMORY_MAX = (size_t)1 << 30;

struct candidate {
    struct crule *rule;
    struct fact facts[FACTS_MAX];
    size_t n;
};

struct builder {
    struct arena *a;  /* of the policy */
    struct arena tmp; /* of what only building needs */
    size_t budget;    /* entries of leaves that may still be made */
};

static bool same_place(const struct fact *x, const struct fact *y)
{
    bool same = x->arg == y->arg && x->n_path == y->n_path;
    for (size_t i = 0; same && i < x->n_path; i++) {
        same = val_eq(x->path[i], y->path[i]);
    }
    return same;
}

static int arg_of(const struct head *h, const struct local *l)
{
    for (size_t i = 0; l != NULL && i < h->n_args; i++) {
        if (h->args[i]->type == T_VAR && h->args[i]->var.local == l) {
            return (int)i;
        }
    }
    return -1;
}

/* `input.a.b`, `arg` or `arg.a.b`, with nothing but constants behind the head. */
static bool read_place(struct builder *b, const struct head *h, const struct term *t,
                       struct fact *out)
{
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    if (head->type != T_VAR) {
        return false;
    }
    out->arg = arg_of(h, head->var.local);
    if (out->arg < 0 && (head->var.local != NULL || !str_eq(head->var.name, S("input")))) {
        return false;
    }
    out->n_path = t->type == T_REF ? t->list.n - 1 : 0;
    if (out->n_path > ARRAY_LEN(out->path)) {
        return false;
    }
    for (size_t i = 0; i < out->n_path; i++) {
        if (t->list.v[i + 1]->type > T_STRING) {
            return false;
        }
        out->path[i] = term_const(&b->tmp, t->list.v[i + 1]);
    }
    return true;
}

static void add_fact(struct candidate *k, struct fact f)
{
    for (size_t i = 0; i < k->n; i++) {
        if (same_place(&k->facts[i], &f)) {
            return; /* one of them is enough */
        }
    }
    if (k->n < FACTS_MAX && val_len(f.values) > 0) {
        k->facts[k->n++] = f;
    }
}

static struct val one(struct builder *b, struct val v)
{
    return val_array(&b->tmp, &v, 1);
}

/* `place == constant`, either way round, or `place in {constants}`. */
static void read_expr(struct builder *b, struct candidate *k, const struct expr *e)
{
    const struct term *t = e->term;
    struct fact f = {0};
    if (e->kind != E_TERM || e->negated || e->n_with > 0 || t->type != T_CALL || t->list.n != 3) {
        return;
    }
    const struct head *h = k->rule->rule->head;
    struct val x = term_const(&b->tmp, t->list.v[1]), y = term_const(&b->tmp, t->list.v[2]);
    if (term_is_call_of(t, "eq") || term_is_call_of(t, "equal")) {
        bool right = val_undef(x) && !val_undef(y), left = !val_undef(x) && val_undef(y);
        if ((right || left) && read_place(b, h, t->list.v[right ? 1 : 2], &f)) {
            f.values = one(b, right ? y : x);
            add_fact(k, f);
        }
        return;
    }
    bool many = term_is_call_of(t, "internal.member_2") && val_is_collection(y) &&
                val_len(y) <= 64 && !val_is(y, V_OBJECT);
    if (many && read_place(b, h, t->list.v[1], &f)) {
        f.values =
            val_array(&b->tmp, val_is(y, V_ARRAY) ? val_arr(y)->v : val_tab(y)->v, val_len(y));
        add_fact(k, f);
    }
}

static void read_rule(struct builder *b, struct candidate *k, struct crule *cr)
{
    const struct rule *r = cr->rule;
    *k = (struct candidate){.rule = cr};
    if (cr->otherwise != NULL) {
        return;
    }
    for (size_t i = 0; i < r->head->n_args; i++) {
        struct val v = term_const(&b->tmp, r->head->args[i]);
        if (!val_undef(v)) {
            add_fact(k, (struct fact){.arg = (int)i, .values = one(b, v)});
        }
    }
    for (size_t i = 0; r->body != NULL && i < r->body->n; i++) {
        read_expr(b, k, r->body->v[i]);
    }
}

static const struct fact *fact_at(const struct candidate *k, const struct fact *place)
{
    for (size_t i = 0; i < k->n; i++) {
        if (same_place(&k->facts[i], place)) {
            return &k->facts[i];
        }
    }
    return NULL;
}

static struct index *leaf(struct builder *b, struct candidate *const *v, size_t n)
{
    struct index *x = arena_new(b->a, struct index);
    struct crule **rules = arena_array(b->a, struct crule *, n + 1);
    for (size_t i = 0; i < n; i++) {
        rules[i] = v[i]->rule;
    }
    x->rules = rules;
    x->n_rules = n;
    b->budget -= MIN(b->budget, n);
    return x;
}

/* All values that the definitions compare the place with. */
static struct val values_at(struct builder *b, struct candidate *const *v, size_t n,
                            const struct fact *place, size_t *unbound, size_t *entries)
{
    struct vlist all = {.a = &b->tmp};
    *unbound = *entries = 0;
    for (size_t i = 0; i < n; i++) {
        const struct fact *f = fact_at(v[i], place);
        *unbound += f == NULL;
        for (uint32_t k = 0; f != NULL && k < val_len(f->values); k++) {
            vlist_add(&all, val_arr(f->values)->v[k]);
            ++*entries;
        }
    }
    return vlist_set(&all);
}

struct choice {
    const struct fact *place;
    struct val values;
    double left; /* definitions that a look-up leaves over, on average */
};

/* The place that leaves the fewest, among those that the first few definitions name. */
static struct choice choose(struct builder *b, struct candidate *const *v, size_t n)
{
    struct choice best = {.left = (double)n * 0.75};
    const struct fact *tried[PLACES_MAX];
    size_t n_tried = 0;
    for (size_t i = 0; i < n && n_tried < PLACES_MAX; i++) {
        for (size_t k = 0; k < v[i]->n && n_tried < PLACES_MAX; k++) {
            const struct fact *place = &v[i]->facts[k];
            bool seen = false;
            for (size_t j = 0; j < n_tried && !seen; j++) {
                seen = same_place(tried[j], place);
            }
            if (seen) {
                continue;
            }
            tried[n_tried++] = place;
            size_t unbound, entries;
            struct val values = values_at(b, v, n, place, &unbound, &entries);
            double left = (double)unbound + (double)entries / (double)MAX(val_len(values), 1u);
            /* What is unbound stands in every leaf. */
            if (left < best.left && unbound * val_len(values) <= b->budget) {
                best = (struct choice){.place = place, .values = values, .left = left};
            }
        }
        if (i >= 64 && n_tried == 0) {
            break;
        }
    }
    return best;
}

static struct index *build(struct builder *b, struct candidate *const *v, size_t n, int depth);

/* Definitions by value in one pass: bucket k holds those that value k, or any value, lets go on. */
struct buckets {
    struct candidate ***v;
    size_t *n, *cap;
};

static void bucket_add(struct builder *b, struct buckets *u, size_t at, struct candidate *k)
{
    if (u->n[at] > 0 && u->v[at][u->n[at] - 1] == k) {
        return;
    }
    u->v[at] = arena_grow(&b->tmp, u->v[at], u->n[at], u->n[at] + 1, &u->cap[at], sizeof(k));
    u->v[at][u->n[at]++] = k;
}

static struct buckets sort_out(struct builder *b, struct candidate *const *v, size_t n,
                               const struct choice *ch, struct val positions)
{
    size_t m = val_len(ch->values);
    struct buckets u = {.v = arena_array(&b->tmp, struct candidate **, m + 1),
                        .n = arena_array(&b->tmp, size_t, m + 1),
                        .cap = arena_array(&b->tmp, size_t, m + 1)};
    for (size_t i = 0; i < n; i++) {
        const struct fact *f = fact_at(v[i], ch->place);
        for (size_t k = 0; f == NULL && k <= m; k++) {
            bucket_add(b, &u, k, v[i]);
        }
        for (uint32_t k = 0; f != NULL && k < val_len(f->values); k++) {
            struct val at = val_get(positions, val_arr(f->values)->v[k]);
            bucket_add(b, &u, (size_t)val_small(at), v[i]);
        }
    }
    return u;
}

static void slot_put(struct index *x, struct val key, const struct index *child)
{
    size_t at = val_hash(key) & x->mask;
    while (x->slots[at].key.w != 0) {
        at = (at + 1) & x->mask;
    }
    x->slots[at] = (struct index_slot){.key = key, .child = child};
}

static struct index *build_switch(struct builder *b, struct candidate *const *v, size_t n,
                                  const struct choice *ch, int depth)
{
    struct arena *a = b->a;
    size_t m = val_len(ch->values), slots = 4;
    struct vlist pairs = {.a = &b->tmp};
    for (uint32_t i = 0; i < m; i++) {
        vlist_add2(&pairs, val_nth(ch->values, i), val_int(&b->tmp, i));
    }
    struct buckets u = sort_out(b, v, n, ch, vlist_object(&pairs));
    while (slots < m * 2) {
        slots *= 2;
    }
    struct index *x = arena_new(a, struct index);
    struct val *path = arena_array(a, struct val, ch->place->n_path + 1);
    for (size_t i = 0; i < ch->place->n_path; i++) {
        path[i] = val_copy(a, ch->place->path[i]);
    }
    *x = (struct index){.arg = ch->place->arg,
                        .path = path,
                        .n_path = ch->place->n_path,
                        .slots = arena_array(a, struct index_slot, slots),
                        .mask = slots - 1};
    for (uint32_t i = 0; i < m; i++) {
        slot_put(x, val_copy(a, val_nth(ch->values, i)), build(b, u.v[i], u.n[i], depth + 1));
    }
    x->other = build(b, u.v[m], u.n[m], depth + 1);
    return x;
}

/* Once a place was looked at, its facts are spent: all that is left has the value, or does not care. */
static struct index *build(struct builder *b, struct candidate *const *v, size_t n, int depth)
{
    if (n <= INDEX_LEAF_MAX || depth >= INDEX_DEPTH_MAX || b->budget == 0) {
        return leaf(b, v, n);
    }
    struct choice ch = choose(b, v, n);
    return ch.place == NULL ? leaf(b, v, n) : build_switch(b, v, n, &ch, depth);
}

struct index *index_build(struct compiler *c, struct crule *const *rules, size_t n)
{
    if (n < INDEX_FROM) {
        return NULL;
    }
    struct builder b = {.a = c->a, .budget = n * 16};
    arena_init(&b.tmp, INDEX_MEMORY_MAX);
    struct candidate *all = arena_array(&b.tmp, struct candidate, n);
    struct candidate **v = arena_array(&b.tmp, struct candidate *, n);
    for (size_t i = 0; i < n; i++) {
        read_rule(&b, &all[i], rules[i]);
        v[i] = &all[i];
    }
    struct index *x = build(&b, v, n, 0);
    arena_release(&b.tmp);
    return x->slots == NULL ? NULL : x;
}
