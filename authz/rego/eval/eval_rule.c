/* Rules: complete ones with their conflicts, functions with their memory, sets and objects. */
#include "authz/rego/compile/index.h"
#include "authz/rego/eval/eval_priv.h"

enum { EVAL_DEPTH_MAX = 1000 };

/* Definitions that are to be tried, in order. */
struct tries {
    struct crule *const *v;
    size_t n;
};

static struct tries candidates(const struct eval *ev, const struct index *x,
                               struct crule *const *all, size_t n, const struct val *args)
{
    if (x == NULL || unlikely(ev->w.mocks != NULL)) {
        return (struct tries){all, n};
    }
    while (x->slots != NULL) {
        struct val v = x->arg < 0 ? ev->w.input : args[x->arg];
        for (size_t i = 0; i < x->n_path && !val_undef(v); i++) {
            v = val_member(v, x->path[i]);
        }
        const struct index *next = x->other;
        if (!val_undef(v)) {
            size_t at = val_hash(v) & x->mask;
            for (; x->slots[at].key.w != 0; at = (at + 1) & x->mask) {
                if (val_eq(x->slots[at].key, v)) {
                    next = x->slots[at].child;
                    break;
                }
            }
        }
        x = next;
    }
    return (struct tries){x->rules, x->n_rules};
}

bool eval_code(struct eval *ev, const struct code *k, const struct val *args, size_t n,
               struct sink *s)
{
    struct val *frame = ev->top;
    if (unlikely((size_t)(ev->stack_end - frame) < k->n_regs + 1u || ev->depth >= EVAL_DEPTH_MAX)) {
        eval_fail(ev, "eval_internal_error", k->file, ev->loc, "rules are nested too deeply");
        return false;
    }
    ev->top += k->n_regs;
    ev->depth++;
    for (size_t i = 0; i < n; i++) {
        frame[i] = args[i];
    }
    for (size_t i = 0; i < k->n_kept; i++) {
        frame[k->kept[i]].w = 0;
    }
    bool ok = eval_run(ev, k, frame, s);
    ev->top = frame;
    ev->depth--;
    return ok;
}

/* One definition with its else branches: the first that yields something. */
static bool run_chain(struct eval *ev, const struct crule *cr, const struct val *args, size_t n,
                      struct sink *s, const struct crule **by)
{
    for (; cr != NULL; cr = cr->otherwise) {
        if (cr->always) {
            s->value = cr->value;
        } else if (!eval_code(ev, cr->code, args, n, s)) {
            return false;
        }
        if (s->clash || !val_undef(s->value)) {
            *by = cr;
            return true;
        }
    }
    return true;
}

enum { CONFLICT_VALUES_MAX = 10, CONFLICT_WIDTH = 80 };

static void write_candidate(struct buf *out, struct eval *ev, struct val v, const struct crule *cr)
{
    struct str text = val_rego_text(ev->a, v);
    bool cut = text.n > CONFLICT_WIDTH;
    buf_printf(out, "\n  %.*s%s at %.*s:%u", STR_FMT(str_sub(text, 0, CONFLICT_WIDTH)),
               cut ? "..." : "", STR_FMT(cr->rule->module->file), cr->rule->loc.row);
}

/* All candidates run again, each giving its first value that differs from the first of all. */
static void write_candidates(struct buf *out, struct eval *ev, const struct node *n,
                             const struct val *args, size_t n_args, struct val first,
                             const struct crule *first_by)
{
    write_candidate(out, ev, first, first_by);
    int count = 1;
    for (size_t i = 0; i < n->n_complete; i++) {
        for (const struct crule *cr = n->complete[i]; cr != NULL; cr = cr->otherwise) {
            struct sink s = {.kind = SINK_DIFFERENT, .value = VAL_UNDEF, .base = first};
            if (!eval_code(ev, cr->code, args, n_args, &s)) {
                return;
            }
            if (val_undef(s.value)) {
                continue;
            }
            if (count++ == CONFLICT_VALUES_MAX) {
                buf_puts(out, S("\n  ..."));
                return;
            }
            write_candidate(out, ev, s.value, cr);
            break;
        }
    }
}

static bool conflict(struct eval *ev, const struct node *n, const struct val *args, size_t n_args,
                     struct val first, const struct crule *first_by, const struct crule *clashing)
{
    struct buf b;
    buf_init(&b, 8000);
    struct str path = node_path(ev->a, n);
    if (n->func) {
        buf_printf(&b,
                   "function %.*s produced conflicting values for the same inputs:", STR_FMT(path));
    } else {
        buf_printf(&b, "rule %.*s produced conflicting values:", STR_FMT(path));
    }
    write_candidates(&b, ev, n, args, n_args, first, first_by);
    eval_fail(ev, "eval_conflict_error", clashing->rule->module->file, clashing->rule->loc, "%.*s",
              STR_FMT(buf_str(&b)));
    buf_release(&b);
    return false;
}

/* All definitions of a complete rule or function must agree. */
static bool run_complete(struct eval *ev, const struct node *n, const struct val *args,
                         size_t n_args, struct val *out, const struct crule **by)
{
    struct val value = VAL_UNDEF;
    struct tries t = candidates(ev, n->index, n->complete, n->n_complete, args);
    for (size_t i = 0; i < t.n; i++) {
        struct sink s = {.kind = SINK_VALUE, .value = VAL_UNDEF};
        const struct crule *who = NULL;
        if (!run_chain(ev, t.v[i], args, n_args, &s, &who)) {
            return false;
        }
        if (s.clash) {
            return conflict(ev, n, args, n_args, val_undef(value) ? s.value : value,
                            val_undef(value) ? who : *by, who);
        }
        if (val_undef(s.value)) {
            continue;
        }
        if (val_undef(value)) {
            value = s.value;
            *by = who;
            if (n->early_exit) {
                break;
            }
        } else if (!val_eq(value, s.value)) {
            return conflict(ev, n, args, n_args, value, *by, who);
        }
    }
    if (val_undef(value) && n->fallback != NULL && n->fallback->code != NULL) {
        struct sink s = {.kind = SINK_VALUE, .value = n->fallback->value};
        if (!n->fallback->always && !eval_code(ev, n->fallback->code, args, n_args, &s)) {
            return false;
        }
        value = s.value;
        *by = n->fallback;
    }
    *out = value;
    return true;
}

static bool run_sets(struct eval *ev, const struct node *n, struct val *out)
{
    struct sink s = {.kind = SINK_MEMBERS, .list = {.a = ev->a}};
    struct tries t = candidates(ev, n->set_index, n->sets, n->n_sets, NULL);
    for (size_t i = 0; i < t.n; i++) {
        if (!eval_code(ev, t.v[i]->code, NULL, 0, &s)) {
            return false;
        }
    }
    *out = vlist_set(&s.list);
    return true;
}

enum { OBJECT_DEPTH_MAX = 64 };

/* Rules below a node that also has rules of a dynamic path: their values are parts of the object. */
static bool add_children(struct eval *ev, struct node *n, struct parts *p, struct val *path,
                         size_t depth)
{
    for (size_t i = 0; i < n->n_children; i++) {
        struct node *child = n->children[i];
        struct val v;
        if (child->func || depth >= OBJECT_DEPTH_MAX) {
            continue;
        }
        path[depth] = child->key;
        if (node_is_doc(child)) {
            if (!add_children(ev, child, p, path, depth + 1)) {
                return false;
            }
            continue;
        }
        if (!eval_node(ev, child, &v)) {
            return false;
        }
        if (!val_undef(v) && !parts_add(ev, p, path, depth + 1, v, false)) {
            eval_fail(ev, "eval_conflict_error", child->first->module->file, child->first->loc,
                      "object keys must be unique");
            return false;
        }
    }
    return true;
}

static bool run_dynamic(struct eval *ev, struct node *n, struct val *out)
{
    struct val path[OBJECT_DEPTH_MAX];
    struct sink s = {.kind = SINK_PARTS, .parts = parts_new(ev)};
    struct tries t = candidates(ev, n->dynamic_index, n->dynamic, n->n_dynamic, NULL);
    for (size_t i = 0; i < t.n; i++) {
        if (!eval_code(ev, t.v[i]->code, NULL, 0, &s)) {
            return false;
        }
    }
    if (!add_children(ev, n, s.parts, path, 0)) {
        return false;
    }
    *out = parts_value(ev, s.parts);
    return true;
}

static bool run_node(struct eval *ev, struct node *n, struct val *out, const struct crule **by)
{
    if (n->n_sets > 0) {
        return run_sets(ev, n, out);
    }
    if (n->n_dynamic > 0) {
        if (!run_dynamic(ev, n, out)) {
            return false;
        }
        struct val base = node_base(ev, n);
        if (val_is(base, V_OBJECT)) {
            *out = val_merge(ev->a, base, *out, NULL);
        }
        return true;
    }
    return run_complete(ev, n, NULL, 0, out, by);
}

bool eval_node(struct eval *ev, struct node *n, struct val *out)
{
    struct memo *m = &ev->w.memo[n->id];
    if (m->stamp == ev->stamp + 1) {
        *out = m->v;
        return true;
    }
    if (ev->w.masks != NULL && is_masked(ev, n)) {
        *out = node_base(ev, n);
        return true;
    }
    if (n->func) {
        *out = VAL_UNDEF;
        return true;
    }
    if (m->stamp == ev->stamp) {
        eval_fail(ev, "eval_internal_error", ev->file, ev->loc, "rule %.*s is recursive",
                  STR_FMT(node_path(ev->a, n)));
        return false;
    }
    m->stamp = ev->stamp;
    struct val v = VAL_UNDEF;
    const struct crule *by = NULL;
    if (!run_node(ev, n, &v, &by)) {
        return false;
    }
    m->v = v;
    m->by = by;
    m->stamp = ev->stamp + 1;
    *out = v;
    return true;
}

static uint64_t call_hash(const struct node *n, const struct val *args, size_t n_args)
{
    uint64_t h = (uint64_t)(uintptr_t)n >> 4;
    for (size_t i = 0; i < n_args; i++) {
        h = (h ^ val_hash_quick(args[i])) * UINT64_C(0x9e3779b97f4a7c15);
        h ^= h >> 31;
    }
    return h | 1;
}

static struct fcall *call_slot(struct fcache *c, const struct node *n, uint64_t hash,
                               const struct val *args, size_t n_args)
{
    for (size_t at = hash & c->mask;; at = (at + 1) & c->mask) {
        struct fcall *f = &c->slots[at];
        if (f->hash == 0) {
            return f;
        }
        bool same = f->hash == hash && f->node == n;
        for (size_t i = 0; same && i < n_args; i++) {
            same = val_eq(f->args[i], args[i]);
        }
        if (same) {
            return f;
        }
    }
}

static void cache_grow(struct eval *ev, struct fcache *c)
{
    struct fcall *old = c->slots;
    size_t n = old != NULL ? c->mask + 1 : 0;
    c->mask = n == 0 ? 15 : n * 4 - 1;
    c->slots = arena_array(ev->a, struct fcall, c->mask + 1);
    for (size_t i = 0; i < n; i++) {
        if (old[i].hash != 0) {
            size_t at = old[i].hash & c->mask;
            while (c->slots[at].hash != 0) {
                at = (at + 1) & c->mask;
            }
            c->slots[at] = old[i];
        }
    }
}

static void cache_put(struct eval *ev, const struct node *n, uint64_t hash, const struct val *args,
                      size_t n_args, struct val v)
{
    struct fcache *c = ev->w.calls;
    if (c->slots == NULL || c->n * 2 > c->mask) {
        cache_grow(ev, c);
    }
    struct fcall *f = call_slot(c, n, hash, args, n_args);
    if (f->hash == 0) {
        struct val *copy = arena_alloc_raw(ev->a, n_args * sizeof *copy + 8, 8);
        memcpy(copy, args, n_args * sizeof *copy);
        *f = (struct fcall){.node = n, .hash = hash, .args = copy, .v = v};
        c->n++;
    }
}

/* A function replaced by `with`: inside of the replacement nothing is replaced. */
static bool run_mock(struct eval *ev, struct mock *m, const struct val *args, size_t n,
                     struct val *out)
{
    if (m->target->by_func == NULL && m->target->by_builtin == NULL) {
        *out = m->value;
        return true;
    }
    struct mock *saved = ev->w.mocks;
    struct fcache own = {0}, *calls = ev->w.calls;
    ev->w.mocks = NULL;
    ev->w.calls = &own;
    bool ok = m->target->by_func != NULL ? eval_func(ev, m->target->by_func, args, n, out)
                                         : eval_call(ev, m->target->by_builtin, args, n, out);
    ev->w.mocks = saved;
    ev->w.calls = calls;
    return ok;
}

bool eval_func(struct eval *ev, struct node *n, const struct val *args, size_t n_args,
               struct val *out)
{
    for (struct mock *m = ev->w.mocks; unlikely(m != NULL); m = m->next) {
        if (m->target->func == n) {
            return run_mock(ev, m, args, n_args, out);
        }
    }
    const struct crule *by = NULL;
    if (n->cheap) {
        return run_complete(ev, n, args, n_args, out, &by);
    }
    uint64_t hash = call_hash(n, args, n_args);
    if (ev->w.calls->slots != NULL) {
        struct fcall *f = call_slot(ev->w.calls, n, hash, args, n_args);
        if (f->hash != 0) {
            *out = f->v;
            return true;
        }
    }
    if (!run_complete(ev, n, args, n_args, out, &by)) {
        return false;
    }
    cache_put(ev, n, hash, args, n_args, *out);
    return true;
}

bool eval_builtin_mocked(struct eval *ev, const struct builtin *fn, const struct val *args,
                         size_t n, struct val *out)
{
    for (struct mock *m = ev->w.mocks; m != NULL; m = m->next) {
        if (m->target->builtin == fn) {
            struct val r = VAL_UNDEF;
            bool ok = run_mock(ev, m, args, n, &r);
            *out = r;
            return ok;
        }
    }
    *out = VAL_UNDEF;
    return true;
}
