/* Rules that build a set or an object, member by member. */
#include "authz/rego/topdown/save.h"

struct building {
    const struct tnode *node;
    size_t pos;
    struct vlist set;
    struct parts *parts;
    bool objects;
};

static void building_init(struct building *m, struct td *td, const struct tref *r)
{
    *m = (struct building){.node = r->node, .pos = r->pos, .set = {.a = td->a}};
    m->objects = !(r->node->multi && r->node->ground);
    m->parts = parts_new(&td->ev);
}

static struct val building_value(struct building *m, struct td *td)
{
    return m->objects ? parts_value(&td->ev, m->parts) : vlist_set(&m->set);
}

static struct halt *unbound(struct te *e, const struct trule *r)
{
    return td_error(e, "eval_internal_error", e->file, r->rule->loc,
                    "the head of a rule holds an unbound variable");
}

/* Adds what the rule's head says now. */
static struct halt *add_member(struct building *m, struct te *child, const struct trule *r)
{
    struct td *td = child->td;
    struct tt *v = plug(td, r->key != NULL ? r->key : r->value, child->b);
    struct val path[64];
    size_t n = 0;
    if (v->kind != TT_VAL) {
        return unbound(child, r);
    }
    if (!m->objects) {
        vlist_add(&m->set, v->v);
        return NULL;
    }
    for (size_t i = m->pos + 1; i < r->ref->list.n; i++) {
        struct tt *k = plug(td, r->ref->list.v[i], child->b);
        if (k->kind != TT_VAL || n == ARRAY_LEN(path)) {
            return unbound(child, r);
        }
        path[n++] = k->v;
    }
    if (parts_add(&td->ev, m->parts, path, n, v->v, r->key != NULL)) {
        return NULL;
    }
    return td_error(child, "eval_conflict_error", child->file, r->rule->head->loc,
                    "object keys must be unique");
}

struct k_member {
    struct k k;
    struct tref r;
    struct te *child;
    const struct trule *rule;
    struct building *m;
};

static struct halt *take_member(struct k *self)
{
    struct k_member *c = (struct k_member *)self;
    trace_rule(c->child, OP_TRACE_EXIT, c->rule);
    c->child->defined = true;
    struct halt *h = add_member(c->m, c->child, c->rule);
    if (h == NULL) {
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
    }
    return h;
}

static struct halt *all_members(struct tref r, struct val *out)
{
    struct td *td = r.e->td;
    struct building m;
    building_init(&m, td, &r);
    for (size_t i = 0; i < r.node->n_extent; i++) {
        const struct trule *rule = r.node->extent[i];
        struct te child;
        te_child(r.e, rule->body, rule->rule->module->file, &child);
        struct k_member c = {.k = {take_member}, .r = r, .child = &child, .rule = rule, .m = &m};
        trace_rule(&child, OP_TRACE_ENTER, rule);
        struct halt *h = eval_body(&child, &c.k);
        if (h != NULL) {
            return h;
        }
    }
    *out = building_value(&m, td);
    return NULL;
}

static struct halt *whole(struct tref r, struct val *out)
{
    struct td *td = r.e->td;
    if (cache_get(td, r.node, VAL_UNDEF, out)) {
        return NULL;
    }
    struct halt *h = all_members(r, out);
    if (h == NULL) {
        cache_put(td, r.node, VAL_UNDEF, *out);
    }
    return h;
}

/* The reference is unified with the rule's path from `at` on, and with its key. */
struct k_head {
    struct k k;
    struct tref r;
    const struct trule *rule;
    struct binds *rb;
    size_t at;
    struct k *then;
};

static struct halt *unify_head(struct k *self)
{
    struct k_head *c = (struct k_head *)self;
    const struct tt *ref = c->r.ref, *path = c->rule->ref;
    struct k_head next = *c;
    next.at++;
    if (c->at < ref->list.n && c->at < path->list.n) {
        return unify(c->r.e, ref->list.v[c->at], path->list.v[c->at], c->r.b, c->rb, &next.k);
    }
    bool key = c->rule->key != NULL && c->at < ref->list.n && c->at == path->list.n;
    if (key) {
        return unify(c->r.e, ref->list.v[c->at], c->rule->key, c->r.b, c->rb, c->then);
    }
    return k_run(c->then);
}

static struct halt *with_head(struct tref r, const struct trule *rule, struct binds *rb,
                              struct k *then)
{
    struct k_head c = {
        .k = {unify_head}, .r = r, .rule = rule, .rb = rb, .at = r.pos + 1, .then = then};
    return unify_head(&c.k);
}

static struct halt *run_member(struct k *self)
{
    struct k_member *c = (struct k_member *)self;
    struct k_member take = *c;
    take.k.run = take_member;
    c->child->defined = true;
    return eval_body(c->child, &take.k);
}

static size_t longest_path(const struct tnode *n, size_t most)
{
    size_t longest = 0;
    for (size_t i = 0; i < n->n_extent; i++) {
        size_t l = n->extent[i]->ref->list.n + (n->extent[i]->key != NULL);
        longest = MAX(longest, l);
    }
    return MIN(longest, most);
}

/* The keys of the reference below the rule, when all of them are known. */
static bool known_keys(const struct tref *r, size_t until, struct val *key)
{
    struct td *td = r->e->td;
    struct vlist l = {.a = td->a};
    for (size_t i = r->pos + 1; i < until; i++) {
        struct tt *k = plug(td, r->ref->list.v[i], r->b);
        if (k->kind != TT_VAL) {
            return false;
        }
        vlist_add(&l, k->v);
    }
    *key = vlist_array(&l);
    return true;
}

static struct halt *through(struct tref r, struct val v)
{
    r.term = tt_val(r.e->td->a, v, r.ref->loc);
    r.tb = r.b;
    r.pos++;
    return eval_term(r);
}

static struct halt *by_key(struct tref r)
{
    struct td *td = r.e->td;
    struct val key, v;
    size_t until = longest_path(r.node, r.ref->list.n);
    bool known = known_keys(&r, until, &key);
    if (known && cache_get(td, r.node, key, &v)) {
        r.pos = until - 1;
        return through(r, v);
    }
    struct building m;
    building_init(&m, td, &r);
    for (size_t i = 0; i < r.node->n_extent; i++) {
        const struct trule *rule = r.node->extent[i];
        struct te child;
        te_child(r.e, rule->body, rule->rule->module->file, &child);
        struct k_member c = {.k = {run_member}, .r = r, .child = &child, .rule = rule, .m = &m};
        trace_rule(&child, OP_TRACE_ENTER, rule);
        struct halt *h = with_head(r, rule, child.b, &c.k);
        if (h != NULL) {
            return h;
        }
        if (!child.defined) {
            trace_rule(&child, OP_TRACE_FAIL, rule);
        }
    }
    v = building_value(&m, td);
    if (known) {
        struct val at = v;
        for (uint32_t i = 0; i < val_len(key) && !val_undef(at); i++) {
            at = val_is_collection(at) ? val_index(at, val_nth(key, i)) : VAL_UNDEF;
        }
        if (!val_undef(at)) {
            cache_put(td, r.node, key, at);
        }
    }
    return through(r, v);
}

static struct tt *wrapped(struct td *td, struct tt *leaf, const struct tt *path, size_t from)
{
    for (size_t i = path->list.n; i > from; i--) {
        struct tt *o = tt_list(td->a, TT_OBJECT, 2, leaf->loc);
        o->list.v[0] = path->list.v[i - 1];
        o->list.v[1] = leaf;
        leaf = tt_fold(td->a, o);
    }
    return leaf;
}

/* What the rule's head would add, followed where the reference leads. */
static struct halt *follow_member(struct k_member *c)
{
    struct td *td = c->child->td;
    struct tref r = c->r;
    r.term = c->rule->key != NULL ? c->rule->key : c->rule->value;
    r.tb = c->child->b;
    binds_apply(&r.term, &r.tb);
    if (c->rule->key != NULL) {
        struct tt *set = tt_list(td->a, TT_SET, 1, r.term->loc);
        set->list.v[0] = r.term;
        r.term = tt_fold(td->a, set);
    }
    r.term = wrapped(td, r.term, c->rule->ref, r.pos + 1);
    r.pos++;
    struct halt *h = eval_term(r);
    if (h == NULL) {
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
    }
    return h;
}

static struct halt *follow_after_body(struct k *self)
{
    struct k_member *c = (struct k_member *)self;
    trace_rule(c->child, OP_TRACE_EXIT, c->rule);
    return follow_member(c);
}

static struct halt *follow_body(struct k *self)
{
    struct k_member *c = (struct k_member *)self;
    struct k_member after = *c;
    after.k.run = follow_after_body;
    c->child->defined = true;
    return eval_body(c->child, &after.k);
}

static struct halt *unify_after_body(struct k *self)
{
    struct k_member *c = (struct k_member *)self;
    struct k_member after = *c;
    after.k.run = follow_after_body;
    c->child->defined = true;
    return with_head(c->r, c->rule, c->child->b, &after.k);
}

/* Partial evaluation: the path is unified before the body runs, or after when keys are unknown. */
static struct halt *follow_members(struct tref r, bool unify_last)
{
    for (size_t i = 0; i < r.node->n_extent; i++) {
        const struct trule *rule = r.node->extent[i];
        struct te child;
        te_child(r.e, rule->body, rule->rule->module->file, &child);
        struct k_member c = {.r = r, .child = &child, .rule = rule};
        struct halt *h;
        trace_rule(&child, OP_TRACE_ENTER, rule);
        if (unify_last) {
            c.k.run = unify_after_body;
            h = eval_body(&child, &c.k);
        } else {
            c.k.run = follow_body;
            h = with_head(r, rule, child.b, &c.k);
        }
        if (h != NULL) {
            return h;
        }
        if (!child.defined) {
            trace_rule(&child, OP_TRACE_FAIL, rule);
        }
    }
    return NULL;
}

static bool keys_unknown(const struct tref *r)
{
    size_t until = longest_path(r->node, r->ref->list.n);
    for (size_t i = r->pos + 1; i < until; i++) {
        if (unknown_term(r->e, r->ref->list.v[i], r->b)) {
            return true;
        }
    }
    return false;
}

struct halt *eval_members(struct tref r)
{
    struct td *td = r.e->td;
    struct tt *prefix = ref_slice(td->a, r.ref, r.pos + 1);
    bool unknown = td->pe != NULL && unknown_term(r.e, prefix, r.b);
    bool all = r.ref->list.n == r.pos + 1;
    if ((all && unknown) ||
        (!all && td->pe != NULL &&
         ((unknown && td->pe->shallow) || inlining_disabled(td, prefix, false)))) {
        bool set = r.node->multi && r.node->ground;
        return partial_support(
            r, tt_val(td->a, set ? val_empty_set() : val_empty_object(), r.ref->loc));
    }
    if (!all && td->pe != NULL && keys_unknown(&r)) {
        return follow_members(r, true);
    }
    if (unknown) {
        return follow_members(r, false);
    }
    struct val v;
    bool cached = cache_get(td, r.node, VAL_UNDEF, &v);
    if (all || cached || plug(td, r.ref->list.v[r.pos + 1], r.b)->kind == TT_VAR) {
        struct halt *h = whole(r, &v);
        if (h != NULL) {
            return h;
        }
        return all ? unify(r.e, tt_val(td->a, v, r.ref->loc), r.rterm, r.b, r.rb, r.k)
                   : through(r, v);
    }
    return by_key(r);
}
