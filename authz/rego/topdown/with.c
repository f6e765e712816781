/* `with`: input, data or functions replaced while one expression runs, but not behind it. */
#include "authz/rego/topdown/save.h"

static struct val replaced(struct td *td, struct val v, const struct tt *path, size_t at,
                           struct val by)
{
    if (at == path->list.n) {
        return by;
    }
    struct val key = path->list.v[at]->kind == TT_VAL ? path->list.v[at]->v : VAL_NULL;
    bool object = val_is(v, V_OBJECT);
    struct val below = object ? val_get(v, key) : VAL_UNDEF;
    return val_with(td->a, object ? v : val_empty_object(), key,
                    replaced(td, below, path, at + 1, by));
}

struct k_with {
    struct k k;
    struct te *e;
    struct tworld *inside, *outside;
    struct tt **disable;
    size_t n_disable;
    struct k *then;
};

static void enter(struct k_with *c)
{
    struct td *td = c->e->td;
    td->w = c->inside;
    if (td->pe != NULL) {
        inlining_push(td, c->disable, c->n_disable, NULL, true);
    }
}

static void leave(struct k_with *c)
{
    inlining_pop(c->e->td);
    c->e->td->w = c->outside;
}

static struct halt *behind_with(struct k *self)
{
    struct k_with *c = (struct k_with *)self;
    leave(c);
    struct halt *h = eval_next(c->e, c->then);
    enter(c);
    return h;
}

static bool is_document(const struct td *td, const struct tt *t)
{
    return ref_head_is(t, td->t->data) || ref_head_is(t, td->t->input);
}

static void disable_refs(struct td *td, struct tt *t, struct k_with *c, size_t *cap)
{
    if (t->kind == TT_REF) {
        size_t n = 1;
        while (n < t->list.n && t->list.v[n]->kind == TT_VAL) {
            n++;
        }
        c->disable =
            arena_grow(td->a, c->disable, c->n_disable, c->n_disable + 1, cap, sizeof *c->disable);
        c->disable[c->n_disable++] = ref_slice(td->a, t, n);
    }
    for (size_t i = 0; tt_is_list(t) && i < t->list.n; i++) {
        disable_refs(td, t->list.v[i], c, cap);
    }
}

static void disable_in_body(struct td *td, const struct tbody *b, struct k_with *c, size_t *cap);

static void disable_in_expr(struct td *td, const struct texpr *x, struct k_with *c, size_t *cap)
{
    for (size_t i = 0; i < x->n; i++) {
        disable_refs(td, x->t[i], c, cap);
    }
    if (x->kind == TX_EVERY) {
        disable_refs(td, x->domain, c, cap);
    }
    if (x->lhs != NULL) {
        disable_in_body(td, x->lhs, c, cap);
    }
    if (x->rhs != NULL) {
        disable_in_body(td, x->rhs, c, cap);
    }
}

static void disable_in_body(struct td *td, const struct tbody *b, struct k_with *c, size_t *cap)
{
    for (size_t i = 0; i < b->n; i++) {
        disable_in_expr(td, b->v[i], c, cap);
    }
}

static bool replaces_function(struct td *td, const struct tt *target)
{
    const struct builtin *b;
    const struct tnode *f;
    find_operator(td, target, &b, &f);
    return b != NULL || f != NULL;
}

/* False: a value is unknown, so the whole expression must wait. */
static bool with_known(struct te *e, const struct texpr *x, struct k_with *c)
{
    struct td *td = e->td;
    size_t cap = 0;
    for (size_t i = 0; i < x->n_with; i++) {
        const struct twith *w = &x->with[i];
        if (!replaces_function(td, w->target)) {
            if (save_contains_any(td, w->value, e->b)) {
                return false;
            }
            disable_refs(td, w->target, c, &cap);
        }
        disable_refs(td, w->value, c, &cap);
    }
    disable_in_expr(td, x, c, &cap);
    return true;
}

static struct tworld *new_world(struct te *e, const struct texpr *x)
{
    struct td *td = e->td;
    struct tworld *w = arena_new(td->a, struct tworld);
    *w = (struct tworld){.input = td->w->input, .data = td->w->data, .outer = td->w};
    w->targets = arena_array(td->a, struct tt *, x->n_with + 1);
    w->mocks = arena_array(td->a, struct tmock, td->w->n_mocks + x->n_with + 1);
    for (size_t i = 0; i < td->w->n_mocks; i++) {
        w->mocks[w->n_mocks++] = td->w->mocks[i];
    }
    for (size_t i = 0; i < x->n_with; i++) {
        struct tt *target = x->with[i].target, *v = plug(td, x->with[i].value, e->b);
        bool input = ref_head_is(target, td->t->input);
        if (replaces_function(td, target)) {
            w->mocks[w->n_mocks++] = (struct tmock){.target = target, .value = v};
        } else if (v->kind == TT_VAL && input) {
            w->input = replaced(td, w->input, target, 1, v->v);
        } else if (v->kind == TT_VAL && is_document(td, target)) {
            w->data = replaced(td, w->data, target, 1, v->v);
        }
        w->targets[w->n_targets++] = target;
    }
    return w;
}

struct halt *eval_with(struct te *e, struct k *k)
{
    struct td *td = e->td;
    const struct texpr *x = te_expr(e);
    struct k_with c = {.k = {behind_with}, .e = e, .then = k};
    if (td->pe != NULL && !with_known(e, x, &c)) {
        return save_expr_unknowns(e, x, e->b, k);
    }
    c.outside = td->w;
    c.inside = new_world(e, x);
    enter(&c);
    struct halt *h = eval_step(e, &c.k, false);
    leave(&c);
    return h;
}
