/* The machine: one loop over instructions, no recursion but into other rules. */
#include "authz/rego/eval/eval_priv.h"

#include "lib/base/clock.h"

#include <stdarg.h>

void eval_fail(struct eval *ev, const char *code, struct str file, struct loc loc, const char *fmt,
               ...)
{
    if (ev->failed) {
        return;
    }
    char text[8192];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ev->failed = true;
    ev->error = (struct rego_error){
        .code = code,
        .file = file,
        .loc = loc,
        .message = arena_str(ev->a, str_n(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1)))};
}

bool eval_stop(struct eval *ev)
{
    if (unlikely(ev->steps > ev->max_steps)) {
        eval_fail(ev, "eval_cancel_error", ev->file, ev->loc,
                  "step budget of the query is used up");
    } else if (unlikely(arena_exhausted(ev->a))) {
        eval_fail(ev, "eval_cancel_error", ev->file, ev->loc,
                  "memory budget of the query is used up");
    } else if (ev->o->deadline_ns != 0 && clock_mono_ns() > ev->o->deadline_ns) {
        eval_fail(ev, "eval_cancel_error", ev->file, ev->loc, "caller cancelled query execution");
    }
    return ev->failed;
}

static inline bool step(struct eval *ev)
{
    if (unlikely((++ev->steps & 1023) == 0)) {
        return !eval_stop(ev);
    }
    return true;
}

#define V(x) ((x) >= 0 ? r[x] : k->consts[~(x)])
#define FAIL_TO(i)                                                                                 \
    do {                                                                                           \
        ip = k->v + (i)->to;                                                                       \
        goto next;                                                                                 \
    } while (0)

static struct val *gather(struct eval *ev, const struct code *k, const struct insn *i,
                          const struct val *r)
{
    struct val *v = arena_alloc_raw(ev->a, (i->n + 1u) * sizeof *v, 8);
    for (unsigned j = 0; j < i->n; j++) {
        int32_t x = k->lists[i->b + (int32_t)j];
        v[j] = V(x);
    }
    return v;
}

static inline struct val place(struct val v, const struct code *k, const struct insn *i)
{
    for (unsigned j = 0; j < i->n && !val_undef(v); j++) {
        v = val_member(v, k->consts[~k->lists[i->b + (int32_t)j]]);
    }
    return v;
}

/* Starts iterating over `v`: it[0] what, it[1] how far, it[2] the document when it is one. */
static bool scan(struct eval *ev, struct val v, struct val *it)
{
    it[1] = (struct val){0};
    it[2] = VAL_UNDEF;
    if (val_is(v, V_DOC)) {
        it[2] = v;
        return doc_keys(ev, v, &it[0]);
    }
    it[0] = v;
    return true;
}

enum scan_step { SCAN_ITEM, SCAN_END, SCAN_ERROR };

/* The next element of an array, whose position nobody wants: most iterations. */
static inline bool scan_plain(struct eval *ev, struct val *it, struct val *value)
{
    const struct varr *a = val_arr(it[0]);
    uint64_t at = it[1].w;
    if (a->h.type != V_ARRAY || !val_undef(it[2]) || at >= a->h.n || (ev->steps & 1023) == 1023) {
        return false;
    }
    ev->steps++;
    it[1].w = at + 1;
    *value = a->v[at];
    return true;
}

static enum scan_step scan_next(struct eval *ev, struct val *it, struct val *key, struct val *value)
{
    for (;;) {
        uint64_t at = it[1].w++;
        if (at >= val_len(it[0])) {
            return SCAN_END;
        }
        if (!step(ev)) {
            return SCAN_ERROR;
        }
        if (val_undef(it[2])) {
            if (key != NULL) {
                *key = val_nth_key(ev->a, it[0], (uint32_t)at);
            }
            *value = val_nth(it[0], (uint32_t)at);
            return SCAN_ITEM;
        }
        struct val k = val_arr(it[0])->v[at], v;
        if (!doc_child(ev, it[2], k, &v)) {
            return SCAN_ERROR;
        }
        if (!val_undef(v)) {
            if (key != NULL) {
                *key = k;
            }
            *value = v;
            return SCAN_ITEM;
        }
    }
}

static inline bool compare(unsigned rel, struct val x, struct val y)
{
    if (rel <= 1) {
        return val_equal(x, y) == (rel == 0);
    }
    int c = val_cmp(x, y);
    return rel == 2 ? c < 0 : rel == 3 ? c <= 0 : rel == 4 ? c > 0 : c >= 0;
}

/* A comparison where `with` may have put something else in its place. */
static bool compare_mocked(struct eval *ev, const struct code *k, const struct insn *i,
                           struct val x, struct val y, bool *holds)
{
    struct val args[2] = {x, y}, v;
    ev->loc = i->loc, ev->file = k->file;
    if (!eval_call(ev, i->p, args, 2, &v)) {
        return false;
    }
    *holds = !val_undef(v) && !val_is_false(v);
    return true;
}

/* The collection behind OP_COLLECT is a list in the arena; its pointer rides in a register. */
static struct vlist *collection(struct val v)
{
    return (struct vlist *)(uintptr_t)(v.w & ~UINT64_C(3));
}

static bool collected(struct eval *ev, const struct code *k, const struct insn *i, struct vlist *l,
                      struct val *out)
{
    if (i->n == V_ARRAY) {
        *out = vlist_array(l);
    } else if (i->n == V_SET) {
        *out = vlist_set(l);
    } else {
        struct val clash;
        if (!vlist_object_strict(l, out, &clash)) {
            eval_fail(ev, "eval_conflict_error", k->file, i->loc, "object keys must be unique");
            return false;
        }
    }
    return true;
}

static bool take_value(struct eval *ev, struct sink *s, struct val v)
{
    (void)ev;
    if (s->kind == SINK_DIFFERENT) {
        if (val_eq(v, s->base)) {
            return true;
        }
        s->value = v;
        return false;
    }
    if (val_undef(s->value)) {
        s->value = v;
        return true;
    }
    if (!val_eq(s->value, v)) {
        s->clash = true;
        return false;
    }
    return true;
}

static void print_values(struct eval *ev, const struct insn *i, const struct val *sets,
                         struct str file)
{
    struct buf line;
    if (ev->o->print == NULL && ev->o->print_at == NULL) {
        return;
    }
    size_t combinations = 1;
    for (unsigned j = 0; j < i->n; j++) {
        combinations *= MAX(val_len(sets[j]), 1u);
    }
    for (size_t at = 0; at < MIN(combinations, (size_t)1000); at++) {
        size_t rest = at;
        buf_init(&line, 1 << 20);
        for (unsigned j = 0; j < i->n; j++) {
            uint32_t n = val_len(sets[j]);
            buf_puts(&line, j > 0 ? S(" ") : S(""));
            struct val v = n > 0 ? val_tab(sets[j])->v[rest % n] : VAL_UNDEF;
            rest /= MAX(n, 1u);
            if (val_undef(v)) {
                buf_puts(&line, S("<undefined>"));
            } else if (val_is(v, V_STRING)) {
                buf_puts(&line, val_text(v));
            } else {
                val_to_rego(&line, v);
            }
        }
        if (ev->o->print_at != NULL) {
            ev->o->print_at(ev->o->print_ctx, file, i->loc, buf_str(&line));
        } else {
            ev->o->print(ev->o->print_ctx, buf_str(&line));
        }
        buf_release(&line);
    }
}

static bool template_text(struct eval *ev, const struct code *k, const struct insn *i,
                          const struct val *parts, struct val *out)
{
    struct buf b;
    buf_init(&b, 64 << 20);
    for (unsigned j = 0; j < i->n; j++) {
        struct val v = parts[j];
        bool wrapped = val_is(v, V_SET);
        if (wrapped && val_len(v) > 1) {
            buf_release(&b);
            eval_fail(ev, "eval_conflict_error", k->file, i->loc,
                      "template-strings must not produce multiple outputs");
            return false;
        }
        if (wrapped) {
            v = val_len(v) == 0 ? VAL_UNDEF : val_tab(v)->v[0];
        }
        if (val_undef(v)) {
            buf_puts(&b, S("<undefined>"));
        } else if (val_is(v, V_STRING)) {
            buf_puts(&b, val_text(v));
        } else {
            val_to_rego(&b, v);
        }
    }
    *out = val_str(ev->a, buf_str(&b));
    buf_release(&b);
    return true;
}

/* Hands a solution over. False: stop (enough, a clash, or an error). */
static bool deliver(struct eval *ev, const struct code *k, const struct insn *i,
                    const struct val *r, struct sink *s)
{
    if (i->op == OP_ROW) {
        const struct val *row = gather(ev, k, i, r);
        for (unsigned j = 0; j < i->n; j++) {
            vlist_add(&s->list, row[j]);
        }
        return !ev->failed;
    }
    if (i->op == OP_MEMBER) {
        vlist_add(&s->list, V(i->b));
        return true;
    }
    const struct val *path = gather(ev, k, i, r);
    if (!parts_add(ev, s->parts, path, i->n - 1u, path[i->n - 1], i->c != 0)) {
        eval_fail(ev, "eval_conflict_error", k->file, i->loc, "object keys must be unique");
    }
    return !ev->failed;
}

/* dispatch: the machine's instructions are cases of one switch, since a call for each would cost more than most do */
bool eval_run(struct eval *ev, const struct code *k, struct val *r, struct sink *s)
{
    const struct insn *ip = k->v;
    struct val v, x;
    const struct insn *i;
next:
    for (;;) {
        i = ip++;
        switch ((enum op)i->op) {
        case OP_JMP:
            ip = k->v + i->to;
            break;
        case OP_MOVE:
            r[i->a] = V(i->b);
            break;
        case OP_INPUT:
            if (val_undef(ev->w.input)) {
                FAIL_TO(i);
            }
            r[i->a] = ev->w.input;
            break;
        case OP_INPUT_PATH:
        case OP_DATA_PATH:
            if (i->flag != 0 && r[i->a].w != 0) {
                break;
            }
            v = place(i->op == OP_INPUT_PATH ? ev->w.input : ev->w.data, k, i);
            if (val_undef(v)) {
                FAIL_TO(i);
            }
            r[i->a] = v;
            break;
        case OP_DOC: {
            struct node *n = (struct node *)(uintptr_t)i->p;
            r[i->a] = is_masked(ev, n) ? node_base(ev, n) : doc_new(ev, n, node_base(ev, n));
            if (val_undef(r[i->a])) {
                FAIL_TO(i);
            }
            break;
        }
        case OP_RULE:
            if (!eval_node(ev, (struct node *)(uintptr_t)i->p, &v)) {
                return false;
            }
            if (val_undef(v)) {
                FAIL_TO(i);
            }
            r[i->a] = v;
            break;
        case OP_FIELD:
            v = V(i->b), x = k->consts[~i->c];
            if (unlikely(val_is(v, V_DOC))) {
                if (!doc_child(ev, v, x, &v)) {
                    return false;
                }
            } else {
                v = val_field(v, x);
            }
            if (val_undef(v)) {
                FAIL_TO(i);
            }
            r[i->a] = v;
            break;
        case OP_FIELD_CMP:
            v = V(i->b), x = k->consts[~i->c];
            if (unlikely(val_is(v, V_DOC))) {
                if (!doc_child(ev, v, x, &v)) {
                    return false;
                }
            } else {
                v = val_field(v, x);
            }
            if (val_undef(v)) {
                FAIL_TO(i);
            }
            x = V(i->a);
            if (unlikely(ev->w.mocks != NULL)) {
                bool holds;
                if (!compare_mocked(ev, k, i, i->flag ? x : v, i->flag ? v : x, &holds)) {
                    return false;
                }
                if (!holds) {
                    FAIL_TO(i);
                }
                break;
            }
            if (!compare(i->n, v, x)) {
                FAIL_TO(i);
            }
            break;
        case OP_DOT:
            v = V(i->b), x = V(i->c);
            if (unlikely(val_is(v, V_DOC))) {
                if (!doc_child(ev, v, x, &v)) {
                    return false;
                }
            } else {
                v = unlikely(i->flag != 0) ? base_index(ev->a, v, x) : val_index(v, x);
            }
            if (val_undef(v)) {
                FAIL_TO(i);
            }
            r[i->a] = v;
            break;
        case OP_FORCE:
            v = V(i->b);
            if (val_is(v, V_DOC) && !doc_force(ev, v, &v)) {
                return false;
            }
            r[i->a] = v;
            break;
        case OP_SCAN:
            v = V(i->b);
            if (!val_is_collection(v) && !val_is(v, V_DOC)) {
                FAIL_TO(i);
            }
            if (!scan(ev, v, &r[i->a])) {
                return false;
            }
            break;
        case OP_NEXT: {
            struct val unused;
            if (i->b < 0 && scan_plain(ev, &r[i->a], i->c >= 0 ? &r[i->c] : &unused)) {
                break;
            }
            enum scan_step got = scan_next(ev, &r[i->a], i->b >= 0 ? &r[i->b] : NULL,
                                           i->c >= 0 ? &r[i->c] : &unused);
            if (got == SCAN_ERROR) {
                return false;
            }
            if (got == SCAN_END) {
                FAIL_TO(i);
            }
            break;
        }
        case OP_EQ:
            v = V(i->b), x = V(i->c);
            if (!val_equal(v, x)) {
                FAIL_TO(i);
            }
            break;
        case OP_TRUE:
            if (val_is_false(V(i->b))) {
                FAIL_TO(i);
            }
            break;
        case OP_CMP:
            if (unlikely(ev->w.mocks != NULL)) {
                bool holds;
                if (!compare_mocked(ev, k, i, V(i->b), V(i->c), &holds)) {
                    return false;
                }
                if (!holds) {
                    FAIL_TO(i);
                }
                break;
            }
            if (!compare(i->n, V(i->b), V(i->c))) {
                FAIL_TO(i);
            }
            break;
        case OP_LEN:
            v = V(i->b);
            if (!val_is(v, (enum vtype)i->n) || val_len(v) != (uint32_t)i->c) {
                FAIL_TO(i);
            }
            break;
        case OP_ARRAY:
            r[i->a] = val_array(ev->a, gather(ev, k, i, r), i->n);
            break;
        case OP_SET:
            r[i->a] = val_set(ev->a, gather(ev, k, i, r), i->n);
            break;
        case OP_OBJECT: {
            struct vlist l = {.a = ev->a, .v = gather(ev, k, i, r), .n = i->n, .cap = i->n};
            struct val clash;
            if (!vlist_object_strict(&l, &r[i->a], &clash)) {
                eval_fail(ev, "eval_conflict_error", k->file, i->loc, "object keys must be unique");
                return false;
            }
            break;
        }
        case OP_CALL:
        case OP_FUNC: {
            struct val few[8], *args = few;
            if (i->n <= ARRAY_LEN(few)) {
                for (unsigned j = 0; j < i->n; j++) {
                    int32_t o = k->lists[i->b + (int32_t)j];
                    few[j] = V(o);
                }
            } else {
                args = gather(ev, k, i, r);
            }
            ev->loc = i->loc, ev->file = k->file;
            bool ok = step(ev) && (i->op == OP_FUNC ? eval_func(ev, (struct node *)(uintptr_t)i->p,
                                                                args, i->n, &v)
                                                    : eval_call(ev, i->p, args, i->n, &v));
            if (!ok) {
                return false;
            }
            if (val_undef(v)) {
                FAIL_TO(i);
            }
            r[i->a] = v;
            break;
        }
        case OP_COLLECT: {
            struct vlist *l = arena_new(ev->a, struct vlist);
            l->a = ev->a;
            r[i->a] = (struct val){(uint64_t)(uintptr_t)l | 2};
            break;
        }
        case OP_ADD:
            v = V(i->b);
            if (val_is(v, V_DOC) && !doc_force(ev, v, &v)) {
                return false;
            }
            vlist_add(collection(r[i->a]), v);
            break;
        case OP_ADD2:
            vlist_add2(collection(r[i->a]), V(i->b), V(i->c));
            break;
        case OP_DONE:
            if (!collected(ev, k, i, collection(r[i->b]), &r[i->a]) ||
                (unlikely(arena_exhausted(ev->a)) && eval_stop(ev))) {
                return false;
            }
            break;
        case OP_WITH:
            with_push(ev, i->p, gather(ev, k, i, r));
            break;
        case OP_UNWITH:
            with_pop(ev);
            break;
        case OP_VALUE:
            if (!take_value(ev, s, V(i->b))) {
                return true;
            }
            break;
        case OP_RETURN:
            (void)take_value(ev, s, V(i->b));
            return true;
        case OP_MEMBER:
        case OP_PART:
        case OP_ROW:
            if (!deliver(ev, k, i, r, s)) {
                return !ev->failed;
            }
            break;
        case OP_TEMPLATE:
            if (!template_text(ev, k, i, gather(ev, k, i, r), &r[i->a]) ||
                (unlikely(arena_exhausted(ev->a)) && eval_stop(ev))) {
                return false;
            }
            break;
        case OP_PRINT:
            print_values(ev, i, gather(ev, k, i, r), k->file);
            break;
        case OP_END:
            return true;
        }
    }
}
