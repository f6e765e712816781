/* Rules with one value: their cache, their conflicts. */
#include "authz/rego/topdown/save.h"

static uint64_t cache_hash(const void *what, struct val key)
{
    uint64_t h = (uint64_t)(uintptr_t)what >> 4;
    h ^= val_undef(key) ? 7 : val_hash(key);
    h *= UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ h >> 29) | 1;
}

static struct cached *cache_slot(struct cached *v, size_t slots, const void *what, struct val key,
                                 uint64_t hash)
{
    for (size_t at = hash & (slots - 1);; at = (at + 1) & (slots - 1)) {
        struct cached *c = &v[at];
        bool same =
            c->hash == hash && c->what == what &&
            (val_undef(key) ? val_undef(c->key) : !val_undef(c->key) && val_eq(c->key, key));
        if (c->hash == 0 || same) {
            return c;
        }
    }
}

bool cache_get(struct td *td, const void *what, struct val key, struct val *out)
{
    struct vcache *c = &td->w->cache;
    if (c->slots == 0) {
        return false;
    }
    struct cached *found = cache_slot(c->v, c->slots, what, key, cache_hash(what, key));
    *out = found->v;
    return found->hash != 0;
}

static void cache_grow(struct td *td, struct vcache *c)
{
    struct cached *old = c->v;
    size_t n = c->slots;
    c->slots = n == 0 ? 64 : n * 4;
    c->v = arena_array(td->a, struct cached, c->slots);
    for (size_t i = 0; i < n; i++) {
        if (old[i].hash != 0) {
            *cache_slot(c->v, c->slots, old[i].what, old[i].key, old[i].hash) = old[i];
        }
    }
}

void cache_put(struct td *td, const void *what, struct val key, struct val v)
{
    struct vcache *c = &td->w->cache;
    if (c->n * 2 >= c->slots) {
        cache_grow(td, c);
    }
    uint64_t hash = cache_hash(what, key);
    struct cached *slot = cache_slot(c->v, c->slots, what, key, hash);
    c->n += slot->hash == 0;
    *slot = (struct cached){.what = what, .key = key, .v = v, .hash = hash};
}

/* The first value of a definition that differs from another. */
struct k_differs {
    struct k k;
    struct te *child;
    const struct trule *rule;
    struct val first, found;
};

static struct halt *differs(struct k *self)
{
    static struct halt enough = {.kind = HALT_EXIT};
    struct k_differs *c = (struct k_differs *)self;
    struct tt *p = plug(c->child->td, c->rule->value, c->child->b);
    if (p->kind != TT_VAL || val_eq(p->v, c->first)) {
        return NULL;
    }
    c->found = p->v;
    return &enough;
}

struct k_body {
    struct k k;
    struct te *child;
    struct k *then;
};

static struct halt *run_child(struct k *self)
{
    struct k_body *c = (struct k_body *)self;
    return eval_body(c->child, c->then);
}

static struct val other_value(struct te *e, const struct trule *r, struct tt **args,
                              struct binds *b, struct val first)
{
    struct te child;
    te_child(e, r->body, r->rule->module->file, &child);
    struct k_differs c = {
        .k = {differs}, .child = &child, .rule = r, .first = first, .found = VAL_UNDEF};
    struct k_body body = {.k = {run_child}, .child = &child, .then = &c.k};
    struct binds before = *child.b;
    (void)unify_lists(e, args, r->args, r->n_args, b, child.b, &body.k);
    *child.b = before;
    return c.found;
}

enum { CONFLICT_VALUES_MAX = 10, CONFLICT_WIDTH = 80 };

static void write_candidate(struct buf *out, struct td *td, struct val v, const struct trule *r)
{
    struct str text = val_rego_text(td->a, v);
    buf_printf(out, "\n  %.*s%s at %.*s:%u", STR_FMT(str_sub(text, 0, CONFLICT_WIDTH)),
               text.n > CONFLICT_WIDTH ? "..." : "", STR_FMT(r->rule->module->file),
               r->rule->loc.row);
}

static void write_candidates(struct buf *out, struct te *e, const struct tnode *n, struct tt **args,
                             struct binds *b, struct val first, const struct trule *first_by)
{
    int count = 1;
    write_candidate(out, e->td, first, first_by);
    for (size_t i = 0; i < n->n_rules; i++) {
        for (const struct trule *r = n->rules[i]; r != NULL; r = r->otherwise) {
            struct val v = other_value(e, r, args, b, first);
            if (val_undef(v)) {
                continue;
            }
            if (count++ == CONFLICT_VALUES_MAX) {
                buf_puts(out, S("\n  ..."));
                return;
            }
            write_candidate(out, e->td, v, r);
            break;
        }
    }
}

struct halt *conflict_error(struct te *e, const struct tnode *n, const struct trule *clashing,
                            struct tt **args, struct binds *b, struct val first,
                            const struct trule *first_by)
{
    struct td *td = e->td;
    struct buf text;
    struct str path = node_path(td->a, n->n);
    const struct rego_tracer *tracer = td->tracer;
    td->tracer = NULL;
    buf_init(&text, 8000);
    if (n->arity >= 0) {
        buf_printf(&text,
                   "function %.*s produced conflicting values for the same inputs:", STR_FMT(path));
    } else {
        buf_printf(&text, "rule %.*s produced conflicting values:", STR_FMT(path));
    }
    write_candidates(&text, e, n, args, b, first, first_by != NULL ? first_by : clashing);
    td->tracer = tracer;
    struct halt *h = td_error(e, "eval_conflict_error", clashing->rule->module->file,
                              clashing->rule->loc, "%.*s", STR_FMT(buf_str(&text)));
    buf_release(&text);
    return h;
}

struct k_rule {
    struct k k;
    struct tref r;
    struct te *child;
    const struct trule *rule;
    struct val prev;
    const struct trule *first_by;
    bool done; /* this definition gave a value */
};

static struct halt *through_value(struct k_rule *c)
{
    struct tref r = c->r;
    r.term = c->rule->value;
    r.tb = c->child->b;
    binds_apply(&r.term, &r.tb);
    r.pos++;
    struct halt *h = eval_term(r);
    if (h == NULL) {
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
    }
    return h;
}

static struct halt *rule_value(struct k *self)
{
    struct k_rule *c = (struct k_rule *)self;
    struct td *td = c->child->td;
    trace_rule(c->child, OP_TRACE_EXIT, c->rule);
    c->done = true;
    struct tt *p = plug(td, c->rule->value, c->child->b);
    if (p->kind != TT_VAL) {
        return td_error(c->child, "eval_internal_error", c->child->file, c->rule->rule->loc,
                        "the value of a rule holds an unbound variable");
    }
    if (!val_undef(c->prev)) {
        if (!val_eq(c->prev, p->v)) {
            return conflict_error(c->r.e, c->r.node, c->rule, NULL, c->r.b, c->prev, c->first_by);
        }
        trace_rule(c->child, OP_TRACE_REDO, c->rule);
        return NULL;
    }
    c->prev = p->v;
    c->first_by = c->rule;
    cache_put(td, c->r.node, VAL_UNDEF, p->v);
    return through_value(c);
}

static struct halt *run_rule(struct k_rule *c, const struct trule *r)
{
    struct te child;
    te_child(c->r.e, r->body, r->rule->module->file, &child);
    child.find_one = c->r.node->early_exit;
    c->child = &child;
    c->rule = r;
    c->done = false;
    trace_rule(&child, OP_TRACE_ENTER, r);
    return eval_body(&child, &c->k);
}

static struct halt *complete_rules(struct k_rule *c)
{
    const struct tnode *n = c->r.node;
    struct halt *deferred = NULL;
    for (size_t i = 0; i < n->n_rules; i++) {
        for (const struct trule *r = n->rules[i]; r != NULL; r = r->otherwise) {
            struct halt *h = run_rule(c, r);
            if (h != NULL && h->kind != HALT_DEFER) {
                return h;
            }
            deferred = deferred != NULL ? deferred : h;
            if (c->done) {
                break;
            }
        }
    }
    if (n->fallback != NULL && val_undef(c->prev)) {
        return run_rule(c, n->fallback);
    }
    if (val_undef(c->prev)) {
        cache_put(c->r.e->td, n, VAL_UNDEF, VAL_UNDEF);
    }
    return deferred;
}

static struct halt *complete_value(struct tref r)
{
    struct td *td = r.e->td;
    struct val v;
    if (cache_get(td, r.node, VAL_UNDEF, &v)) {
        if (val_undef(v)) {
            return NULL;
        }
        r.term = tt_val(td->a, v, r.ref->loc);
        r.tb = r.b;
        r.pos++;
        return eval_term(r);
    }
    struct k_rule c = {.k = {rule_value}, .r = r, .prev = VAL_UNDEF};
    return halt_unwrap(complete_rules(&c));
}

static struct halt *partial_value(struct k *self)
{
    struct k_rule *c = (struct k_rule *)self;
    trace_rule(c->child, OP_TRACE_EXIT, c->rule);
    return through_value(c);
}

/* Each definition is followed where it leads; which of them holds is not known. */
static struct halt *follow_rules(struct tref r)
{
    struct k_rule c = {.k = {partial_value}, .r = r, .prev = VAL_UNDEF};
    for (size_t i = 0; i < r.node->n_rules; i++) {
        struct halt *h = run_rule(&c, r.node->rules[i]);
        if (h != NULL) {
            return h;
        }
    }
    return NULL;
}

struct halt *eval_complete(struct tref r)
{
    struct td *td = r.e->td;
    const struct tnode *n = r.node;
    if (n->arity >= 0) {
        return NULL;
    }
    if (td->pe == NULL || !unknown_term(r.e, r.ref, r.b)) {
        return complete_value(r);
    }
    bool support = false;
    if (n->fallback != NULL) {
        struct tt *d = n->fallback->value;
        bool tested = r.rterm->kind == TT_VAR && inlining_disabled_var(td, r.rterm->sym, false);
        if (!(tt_is(d, VAL_FALSE) && tested)) {
            struct tt *other = plug(td, r.rterm, r.rb);
            support = other->kind != TT_VAL || tt_same(d, other);
        }
    }
    if (support || td->pe->shallow ||
        inlining_disabled(td, ref_slice(td->a, r.plugged, r.pos + 1), false)) {
        return complete_support(r);
    }
    return follow_rules(r);
}

struct halt *eval_virtual(struct tref r)
{
    struct td *td = r.e->td;
    trace_index(r.e, r.node, r.plugged, r.pos + 1);
    if (td->pe != NULL && r.node->has_else && unknown_term(r.e, r.ref, r.b)) {
        return save_unify(r.e, r.ref, r.rterm, r.b, r.rb, r.k);
    }
    if (r.node->multi || !r.node->ground) {
        return eval_members(r);
    }
    return eval_complete(r);
}
