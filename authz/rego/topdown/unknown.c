/* What is unknown: references as the caller named them, and variables that saved expressions bind. */
#include "authz/rego/topdown/save.h"

void unknown_push(struct td *td, struct tt *t, struct binds *b)
{
    struct partial *pe = td->pe;
    pe->unknown = arena_grow(td->a, pe->unknown, pe->n_unknown, pe->n_unknown + 1, &pe->cap_unknown,
                             sizeof *pe->unknown);
    pe->unknown[pe->n_unknown++] = (struct unknown){.t = t, .b = b};
}

size_t unknown_push_vars(struct td *td, struct tt *t, struct binds *b)
{
    size_t n = 0;
    if (t->kind == TT_VAR) {
        unknown_push(td, t, b);
        return 1;
    }
    struct vset vars = {.a = td->a};
    tt_vars(t, VARS_NO_CLOSURES | VARS_NO_REF_HEAD, &vars);
    for (size_t i = 0; i < vars.n; i++) {
        struct tt *x = tt_var(td->a, vars.v[i], t->loc);
        struct binds *next = b;
        binds_apply(&x, &next);
        n += unknown_push_vars(td, x, next);
    }
    return n;
}

static bool var_unknown(const struct td *td, const struct sym *s, const struct binds *b)
{
    const struct partial *pe = td->pe;
    for (size_t i = pe->n_unknown; i > 0; i--) {
        const struct unknown *u = &pe->unknown[i - 1];
        if (u->t->kind == TT_VAR && u->b == b && u->t->sym == s) {
            return true;
        }
    }
    return false;
}

static bool head_unknown(const struct td *td, const struct tt *ref, const struct binds *b)
{
    const struct tt *head = ref->list.v[0];
    return head->kind == TT_VAR && var_unknown(td, head->sym, b);
}

bool save_contains(struct td *td, const struct tt *t, const struct binds *b)
{
    const struct partial *pe = td->pe;
    if (t->kind == TT_VAR) {
        return var_unknown(td, t->sym, b);
    }
    if (t->kind != TT_REF) {
        return false;
    }
    for (size_t i = pe->n_unknown; i > 0; i--) {
        const struct tt *u = pe->unknown[i - 1].t;
        if (u->kind == TT_REF && (ref_has_prefix(t, u) || ref_has_prefix(u, t))) {
            return true;
        }
    }
    return head_unknown(td, t, b);
}

bool save_contains_any(struct td *td, struct tt *t, struct binds *b)
{
    if (t->kind == TT_VAL) {
        return false;
    }
    struct vset vars = {.a = td->a};
    tt_vars(t, VARS_ALL, &vars);
    for (size_t i = 0; i < vars.n; i++) {
        struct tt var = {.kind = TT_VAR}, *x = &var;
        struct binds *next = b;
        var.sym = vars.v[i];
        binds_apply(&x, &next);
        bool found = x != &var ? save_contains_any(td, x, next) ||
                                     (x->kind == TT_VAR && var_unknown(td, x->sym, next))
                               : var_unknown(td, var.sym, next);
        if (found) {
            return true;
        }
    }
    return false;
}

/* Could the two name the same document? What is not constant may be anything. */
static bool may_overlap(const struct tt *a, const struct tt *b)
{
    if (!tt_same(a->list.v[0], b->list.v[0])) {
        return false;
    }
    for (size_t i = 1; i < a->list.n && i < b->list.n; i++) {
        const struct tt *x = a->list.v[i], *y = b->list.v[i];
        if (!tt_same(x, y) && tt_ground(x) && tt_ground(y)) {
            return false;
        }
    }
    return true;
}

static bool overlaps_unknown(struct td *td, const struct tt *ref, const struct binds *b)
{
    const struct partial *pe = td->pe;
    for (size_t i = 0; i < pe->n_unknown; i++) {
        if (pe->unknown[i].t->kind == TT_REF && may_overlap(pe->unknown[i].t, ref)) {
            return true;
        }
    }
    return head_unknown(td, ref, b);
}

void inlining_push(struct td *td, struct tt **refs, size_t n, struct sym *var, bool internal)
{
    struct partial *pe = td->pe;
    pe->disabled = arena_grow(td->a, pe->disabled, pe->n_disabled, pe->n_disabled + 1,
                              &pe->cap_disabled, sizeof *pe->disabled);
    pe->disabled[pe->n_disabled++] =
        (struct disabled){.internal = internal, .refs = refs, .n = n, .var = var};
}

bool inlining_disabled(struct td *td, const struct tt *ref, bool ignore_internal)
{
    const struct partial *pe = td->pe;
    for (size_t i = 0; pe != NULL && i < pe->n_disabled; i++) {
        const struct disabled *d = &pe->disabled[i];
        for (size_t k = 0; !(d->internal && ignore_internal) && k < d->n; k++) {
            if (ref_has_prefix(ref, d->refs[k]) || ref_has_prefix(d->refs[k], ref)) {
                return true;
            }
        }
    }
    return false;
}

bool inlining_disabled_var(struct td *td, const struct sym *var, bool ignore_internal)
{
    const struct partial *pe = td->pe;
    for (size_t i = 0; i < pe->n_disabled; i++) {
        if (!(pe->disabled[i].internal && ignore_internal) && pe->disabled[i].var == var) {
            return true;
        }
    }
    return false;
}

/* One search through terms and the rules they reach. */
struct search {
    struct td *td;
    struct binds *b;
    bool inside;   /* of a rule: variables are no longer the caller's */
    uint8_t *seen; /* by rule */
};

static bool in_term(struct search *s, struct tt *t);
static bool in_body(struct search *s, const struct tbody *b);

static bool in_terms(struct search *s, struct tt **v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (in_term(s, v[i])) {
            return true;
        }
    }
    return false;
}

static bool in_expr(struct search *s, const struct texpr *x)
{
    if (x->n_with > 0) {
        return true;
    }
    bool waits = x->kind == TX_CALL && x->builtin != NULL && !s->td->pe->nondeterministic &&
                 (x->builtin->flags & BF_NONDET) != 0;
    if (waits || in_terms(s, x->t, x->n)) {
        return true;
    }
    if (x->kind == TX_EVERY &&
        (in_term(s, x->key) || in_term(s, x->value) || in_term(s, x->domain))) {
        return true;
    }
    return (x->lhs != NULL && in_body(s, x->lhs)) || (x->rhs != NULL && in_body(s, x->rhs));
}

static bool in_body(struct search *s, const struct tbody *b)
{
    for (size_t i = 0; i < b->n; i++) {
        if (in_expr(s, b->v[i])) {
            return true;
        }
    }
    return false;
}

static bool in_rule(struct search *s, const struct trule *r)
{
    for (; r != NULL; r = r->otherwise) {
        if (s->seen[r->index]) {
            return false;
        }
        s->seen[r->index] = 1;
        bool inside = s->inside;
        s->inside = true;
        bool found = in_body(s, r->body) || in_terms(s, r->args, r->n_args) ||
                     (r->key != NULL && in_term(s, r->key)) ||
                     (r->value != NULL && in_term(s, r->value));
        s->inside = inside;
        if (found) {
            return true;
        }
    }
    return false;
}

static bool in_rules_of(struct search *s, const struct tnode *n)
{
    for (size_t i = 0; i < n->n_rules; i++) {
        if (in_rule(s, n->rules[i])) {
            return true;
        }
    }
    return n->fallback != NULL && in_rule(s, n->fallback);
}

static bool in_tree(struct search *s, const struct tnode *n)
{
    for (size_t i = 0; !n->hidden && i < n->n_children; i++) {
        if (in_rules_of(s, n->children[i]) || in_tree(s, n->children[i])) {
            return true;
        }
    }
    return false;
}

static bool in_matching(struct search *s, const struct tnode *n, struct tt **keys, size_t count)
{
    if (count == 0) {
        return in_tree(s, n);
    }
    if (keys[0]->kind == TT_VAL) {
        const struct tnode *child = tnode_child(s->td->t, n, keys[0]->v);
        return child != NULL &&
               (in_rules_of(s, child) || in_matching(s, child, keys + 1, count - 1));
    }
    for (size_t i = 0; i < n->n_children; i++) {
        const struct tnode *child = n->children[i];
        if (!child->hidden &&
            (in_rules_of(s, child) || in_matching(s, child, keys + 1, count - 1))) {
            return true;
        }
    }
    return false;
}

static bool in_ref(struct search *s, struct tt *t)
{
    struct td *td = s->td;
    size_t n = 1;
    while (n < t->list.n && t->list.v[n]->kind == TT_VAL) {
        n++;
    }
    if (overlaps_unknown(td, t, s->b) || inlining_disabled(td, ref_slice(td->a, t, n), true)) {
        return true;
    }
    if (ref_head_is(t, td->t->data)) {
        struct tt **keys = arena_array(td->a, struct tt *, t->list.n);
        for (size_t i = 1; i < t->list.n; i++) {
            struct tt *k = t->list.v[i], *p = k;
            if (!s->inside && k->kind == TT_VAR && s->b != NULL) {
                p = plug(td, k, s->b);
            }
            keys[i - 1] = tt_is_scalar(p) ? p : k;
        }
        if (in_matching(s, tnode_root(td->t), keys, t->list.n - 1)) {
            return true;
        }
    }
    return in_terms(s, t->list.v, t->list.n);
}

static bool in_term(struct search *s, struct tt *t)
{
    switch (t->kind) {
    case TT_VAL:
    case TT_TEMPLATE:
        return false;
    case TT_VAR:
        return !s->inside && save_contains_any(s->td, t, s->b);
    case TT_REF:
        return in_ref(s, t);
    case TT_ARRAY:
    case TT_OBJECT:
    case TT_SET:
    case TT_CALL:
        return in_terms(s, t->list.v, t->list.n);
    default:
        return (t->comp.key != NULL && in_term(s, t->comp.key)) || in_term(s, t->comp.value) ||
               in_body(s, t->comp.body);
    }
}

static struct search new_search(struct te *e, struct binds *b)
{
    struct td *td = e->td;
    return (struct search){.td = td, .b = b, .seen = arena_array(td->a, uint8_t, td->t->n_all + 1)};
}

bool unknown_term(struct te *e, struct tt *t, struct binds *b)
{
    if (e->td->pe == NULL || t->kind == TT_VAL) {
        return false;
    }
    struct search s = new_search(e, b);
    return in_term(&s, t);
}

bool unknown_expr(struct te *e, const struct texpr *x)
{
    if (e->td->pe == NULL) {
        return false;
    }
    struct search s = new_search(e, e->b);
    return in_expr(&s, x);
}

bool unknown_body(struct te *e, const struct tbody *body)
{
    for (size_t i = 0; e->td->pe != NULL && i < body->n; i++) {
        if (unknown_expr(e, body->v[i])) {
            return true;
        }
    }
    return false;
}

struct vset unknown_vars(struct td *td, const struct binds *caller)
{
    struct vset out = {.a = td->a};
    for (size_t i = 0; i < td->pe->n_unknown; i++) {
        const struct unknown *u = &td->pe->unknown[i];
        if (u->t->kind == TT_VAR) {
            struct tt *p = plug_for(td, u->t, u->b, caller);
            if (p->kind == TT_VAR) {
                vset_add(&out, p->sym);
            }
        }
    }
    return out;
}

static struct tt *path_with(const struct tref *r, struct tt *key)
{
    struct td *td = r->e->td;
    struct tt *p = tt_list(td->a, TT_REF, r->ref->list.n, r->ref->loc);
    for (size_t i = 0; i < r->ref->list.n; i++) {
        p->list.v[i] = i == r->pos ? key : plug(td, r->ref->list.v[i], r->b);
    }
    return p;
}

struct tt *unknown_path(const struct tref *r, struct tt *key)
{
    struct partial *pe = r->e->td->pe;
    struct tt *path = path_with(r, key);
    struct tt *prefix = ref_slice(r->e->td->a, path, r->pos + 1);
    for (size_t i = 0; i < pe->n_unknown; i++) {
        if (pe->unknown[i].t->kind == TT_REF && ref_has_prefix(prefix, pe->unknown[i].t)) {
            return path;
        }
    }
    return NULL;
}

struct k_unknown_key {
    struct k k;
    struct tref r;
    struct tt *path;
};

static struct halt *save_path(struct k *self)
{
    struct k_unknown_key *c = (struct k_unknown_key *)self;
    return save_unify(c->r.e, c->path, c->r.rterm, c->r.b, c->r.rb, c->r.k);
}

static bool has_member(const struct tt *t, const struct tt *key)
{
    return t->kind == TT_VAL && val_is_collection(t->v) && key->kind == TT_VAL &&
           !val_undef(val_index(t->v, key->v));
}

/* Keys that an unknown gives below what is enumerated, but the known part lacks. */
struct halt *enumerate_unknown_keys(struct tref r, struct halt **deferred)
{
    struct partial *pe = r.e->td->pe;
    struct tt *prefix = ref_slice(r.e->td->a, path_with(&r, r.ref->list.v[r.pos]), r.pos);
    for (size_t i = pe->n_unknown; i > 0; i--) {
        struct tt *u = pe->unknown[i - 1].t;
        if (u->kind != TT_REF || u->list.n <= r.pos || !ref_has_prefix(u, prefix)) {
            continue;
        }
        struct tt *key = u->list.v[r.pos];
        bool again = !tt_ground(key) || has_member(r.term, key);
        for (size_t k = pe->n_unknown; !again && k > i; k--) {
            struct tt *other = pe->unknown[k - 1].t;
            again = other->kind == TT_REF && other->list.n > r.pos &&
                    ref_has_prefix(other, prefix) && tt_same(other->list.v[r.pos], key);
        }
        struct k_unknown_key c = {.k = {save_path}, .r = r, .path = path_with(&r, key)};
        if (again || !overlaps_unknown(r.e->td, c.path, r.b)) {
            continue;
        }
        struct halt *h = unify(r.e, key, r.ref->list.v[r.pos], r.b, r.b, &c.k);
        if (h != NULL && h->kind != HALT_DEFER) {
            return h;
        }
        *deferred = *deferred != NULL ? *deferred : h;
    }
    return NULL;
}
