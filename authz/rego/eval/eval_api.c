/* Running queries, and builtins with their errors. */
#include "authz/rego/eval/eval_priv.h"

#include "lib/base/clock.h"

#include <stdarg.h>
#include <stdlib.h>

enum { STACK_VALUES = 1 << 18 };

/* What a thread keeps from query to query. One query at a time uses it. */
struct workspace {
    struct val *stack;
    struct memo *memo;
    size_t n_memo;
    uint64_t stamp;
    bool busy;
};

static _Thread_local struct workspace own;

static struct memo *memo_for(struct eval *ev, size_t n)
{
    if (own.busy) { /* a query inside of another one */
        return arena_array(ev->a, struct memo, n);
    }
    if (own.n_memo < n) {
        free(own.memo);
        own.n_memo = n * 2;
        own.memo = calloc(own.n_memo, sizeof *own.memo);
        BUG_ON(own.memo == NULL);
    }
    return own.memo;
}

static void start(struct eval *ev, const struct rego_policy *p, const struct rego_eval_options *o,
                  struct arena *a)
{
    if (own.stack == NULL) {
        own.stack = malloc(STACK_VALUES * sizeof *own.stack);
        BUG_ON(own.stack == NULL);
    }
    BUG_ON(own.busy);
    own.stamp += 2;
    *ev = (struct eval){
        .a = a, .p = p, .o = o, .top = own.stack, .stack_end = own.stack + STACK_VALUES};
    ev->stamp = own.stamp;
    ev->max_steps = o->max_steps != 0 ? o->max_steps : REGO_STEPS_DEFAULT;
    ev->w.input = o->input.w == 0 ? VAL_UNDEF : o->input;
    ev->w.data = o->data.w == 0 ? VAL_UNDEF : o->data;
    ev->w.memo = memo_for(ev, p->n_nodes + 1);
    ev->w.calls = &ev->calls;
    ev->builtin_errors.a = a;
    ev->now_ns = o->now_ns != 0 ? o->now_ns : memory_now(o->memory);
    own.busy = true;
}

static void finish(struct eval *ev, struct rego_result *out)
{
    own.busy = false;
    if (!ev->failed && arena_exhausted(ev->a)) {
        (void)eval_stop(ev);
    }
    out->failed = ev->failed;
    out->waiting = ev->waiting;
    out->error = ev->error;
    out->steps = ev->steps;
    out->builtin_errors = vlist_array(&ev->builtin_errors);
}

void rego_eval(const struct rego_query *q, const struct rego_eval_options *o, struct arena *a,
               struct rego_result *out)
{
    struct eval ev;
    start(&ev, q->policy, o, a);
    *out = (struct rego_result){.n_vars = q->n_vars, .n_exprs = q->n_exprs};
    struct sink s = {.kind = SINK_ROWS, .list = {.a = a}};
    if (eval_code(&ev, q->code, NULL, 0, &s)) {
        size_t width = q->n_vars + q->n_exprs;
        for (size_t i = 0; i < s.list.n && !ev.failed; i++) {
            (void)doc_force(&ev, s.list.v[i], &s.list.v[i]);
        }
        out->n_rows = width > 0 ? s.list.n / width : 0;
        out->rows = arena_array(a, struct val, out->n_rows + 1);
        for (size_t i = 0; i < out->n_rows; i++) {
            out->rows[i] = val_array(a, s.list.v + i * width, width);
        }
    }
    finish(&ev, out);
}

/* The rule at a path on which no document with base data has to be made, or NULL. */
static struct node *rule_at(const struct rego_policy *p, const struct val *path, size_t n)
{
    struct node *at = p->root;
    for (size_t i = 0; i < n && at != NULL; i++) {
        at = node_is_doc(at) ? node_child(at, path[i]) : NULL;
    }
    return at == NULL || at->func || node_is_doc(at) ? NULL : at;
}

static void note_rule(struct eval *ev, const struct node *n, struct rego_result *out)
{
    const struct memo *m = &ev->w.memo[n->id];
    if (m->stamp == ev->stamp + 1 && m->by != NULL) {
        out->rule_file = m->by->rule->module->file;
        out->rule_row = m->by->rule->loc.row;
    }
}

static struct val eval_steps(struct eval *ev, const struct val *path, size_t n,
                             struct rego_result *out)
{
    struct val v = doc_new(ev, ev->p->root, ev->w.data);
    struct node *at = ev->p->root;
    for (size_t i = 0; i < n && !val_undef(v) && !ev->failed; i++) {
        at = at != NULL ? node_child(at, path[i]) : NULL;
        if (!val_is(v, V_DOC)) {
            v = val_index(v, path[i]);
        } else if (!doc_child(ev, v, path[i], &v)) {
            v = VAL_UNDEF;
        }
        if (at != NULL) {
            note_rule(ev, at, out);
        }
    }
    return !val_undef(v) && !doc_force(ev, v, &v) ? VAL_UNDEF : v;
}

struct val rego_eval_path(const struct rego_policy *p, const struct val *path, size_t n,
                          const struct rego_eval_options *o, struct arena *a,
                          struct rego_result *out)
{
    struct eval ev;
    struct val v = VAL_UNDEF;
    start(&ev, p, o, a);
    *out = (struct rego_result){0};
    struct node *rule = rule_at(p, path, n);
    if (rule != NULL && eval_node(&ev, rule, &v) && !val_undef(v)) {
        note_rule(&ev, rule, out);
    } else if (!ev.failed) {
        v = eval_steps(&ev, path, n, out);
    }
    finish(&ev, out);
    return out->failed ? VAL_UNDEF : v;
}

bool rego_path_has_rules(const struct rego_policy *p, const struct val *path, size_t n)
{
    const struct node *at = p->root;
    for (size_t i = 0; i < n && at != NULL && (at == p->root || node_is_doc(at)); i++) {
        at = node_child(at, path[i]);
    }
    return at != NULL;
}

static void record_builtin_error(struct eval *ev, const char *code, struct str text)
{
    struct str line = arena_printf(ev->a, "%.*s:%u: %s: %.*s", STR_FMT(ev->file), ev->loc.row, code,
                                   STR_FMT(text));
    vlist_add(&ev->builtin_errors, val_str(ev->a, line));
    if (ev->o->strict_builtin_errors) {
        eval_fail(ev, code, ev->file, ev->loc, "%.*s", STR_FMT(text));
    }
}

/*
 * What looking at an operand costs, in steps: a step is some ten nanoseconds. Builtins whose work is more than
 * linear, or more than their operands tell, charge the rest themselves.
 */
static uint64_t cost_of(struct val v, bool cheap)
{
    const struct vhead *h = val_head(v);
    switch ((enum vtype)h->type) {
    case V_STRING:
        return cheap ? h->n >> 10 : h->n >> 7;
    case V_NUMBER: { /* products and their texts go with the square */
        uint64_t n = val_number(v).text.n;
        return n < 64 ? 0 : n * n >> 14;
    }
    case V_ARRAY:
    case V_OBJECT:
    case V_SET:
        return cheap ? 0 : h->n >> 4;
    default:
        return 0;
    }
}

enum { COPIES = 4 }; /* of its operands, that a builtin may make before it looks at the budget */

/* Runs the builtin; false when the query is out of budget. */
static bool charged(struct eval *ev, struct bcall *b, struct val *out)
{
    bool cheap = (b->fn->flags & BF_CHEAP) != 0;
    uint64_t cost = 0;
    for (int i = 0; i < b->n; i++) {
        cost += val_is_ptr(b->args[i]) ? cost_of(b->args[i], cheap) : 0;
    }
    if (unlikely(cost > 0)) {
        ev->steps += cost;
        /* Operands of a cost of 1024 have at least 128 KiB: those may be too large to be copied. */
        bool large = cost >= 1024 && !cheap && cost * 128 * COPIES > ev->a->budget + b_room(b);
        if (unlikely(ev->steps > ev->max_steps || large) || (cost >= 1024 && eval_stop(ev))) {
            if (large) {
                eval_fail(ev, "eval_cancel_error", ev->file, ev->loc,
                          "memory budget of the query is used up");
            }
            return !eval_stop(ev);
        }
    }
    *out = b->fn->fn(b) == B_OK ? b->out : VAL_UNDEF;
    if (val_is_ptr(*out) && val_head(*out)->type == V_NUMBER) {
        ev->steps += cost_of(*out, false);
        if (unlikely(ev->steps > ev->max_steps)) {
            return !eval_stop(ev);
        }
    }
    return likely(!arena_exhausted(ev->a)) || !eval_stop(ev);
}

bool eval_call(struct eval *ev, const struct builtin *fn, const struct val *args, size_t n,
               struct val *out)
{
    if (unlikely(ev->w.mocks != NULL)) {
        for (struct mock *m = ev->w.mocks; m != NULL; m = m->next) {
            if (m->target->builtin == fn) {
                return eval_builtin_mocked(ev, fn, args, n, out);
            }
        }
    }
    struct bcall b = {.a = ev->a, .ev = ev, .fn = fn, .args = args, .n = (int)n, .out = VAL_UNDEF};
    struct val key = VAL_UNDEF;
    if ((fn->flags & (BF_NONDET | BF_UNCACHED)) == BF_NONDET) {
        key = val_array(ev->a, args, n);
        key = val_array(ev->a, (struct val[]){val_str(ev->a, str_of(fn->name)), key}, 2);
        struct val seen = b_cache_get(&b, key);
        if (!val_undef(seen)) {
            *out = seen;
            return true;
        }
    }
    *out = VAL_UNDEF;
    if (!charged(ev, &b, out)) {
        return false;
    }
    if (!val_undef(key) && !val_undef(*out)) {
        b_cache_put(&b, key, *out);
    }
    return !ev->failed;
}

static const char *type_error = "eval_type_error", *builtin_error = "eval_builtin_error";

enum b_status b_operand(struct bcall *b, int pos, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    record_builtin_error(b->ev, type_error,
                         arena_printf(b->a, "%s: operand %d %s", b->fn->name, pos, text));
    return B_ERROR;
}

enum b_status b_type(struct bcall *b, int pos, const char *want)
{
    return b_operand(b, pos, "must be %s but got %s", want, val_type_name(b->args[pos - 1]));
}

enum b_status b_type_of_item(struct bcall *b, int pos, const char *want, struct val item)
{
    return b_operand(b, pos, "must be %s but got %s containing %s", want,
                     val_type_name(b->args[pos - 1]), val_type_name(item));
}

enum b_status b_fail(struct bcall *b, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    record_builtin_error(b->ev, builtin_error, arena_printf(b->a, "%s: %s", b->fn->name, text));
    return B_ERROR;
}

enum b_status b_fail_err(struct bcall *b, struct err e)
{
    (void)e;
    return b_fail(b, "%s", err_detail());
}

bool b_is(struct bcall *b, int pos, enum vtype t)
{
    static const char *const names[] = {"undefined", "null",  "boolean", "number",
                                        "string",    "array", "object",  "set"};
    if (val_is(b->args[pos - 1], t)) {
        return true;
    }
    (void)b_type(b, pos, names[t]);
    return false;
}

bool b_string(struct bcall *b, int pos, struct str *out)
{
    if (!b_is(b, pos, V_STRING)) {
        return false;
    }
    *out = val_text(b->args[pos - 1]);
    return true;
}

bool b_number(struct bcall *b, int pos, struct num *out)
{
    if (!b_is(b, pos, V_NUMBER)) {
        return false;
    }
    *out = val_number(b->args[pos - 1]);
    return true;
}

bool b_int(struct bcall *b, int pos, int64_t *out)
{
    if (!b_is(b, pos, V_NUMBER)) {
        return false;
    }
    if (!val_to_i64(b->args[pos - 1], out)) {
        (void)b_operand(b, pos, "must be integer number but got floating-point number");
        return false;
    }
    return true;
}

bool b_strings(struct bcall *b, int pos)
{
    struct val v = b->args[pos - 1];
    bool array = val_is(v, V_ARRAY);
    for (uint32_t i = 0; i < val_len(v); i++) {
        if (!val_is(val_nth(v, i), V_STRING)) {
            (void)b_type_of_item(b, pos, array ? "array of strings" : "set of strings",
                                 val_nth(v, i));
            return false;
        }
    }
    return true;
}

size_t b_room(const struct bcall *b)
{
    const struct arena *a = b->a;
    return a->budget > a->used ? a->budget - a->used : 0;
}

size_t b_text_max(const struct bcall *b, size_t most)
{
    return MIN(most, b_room(b) + (1 << 16));
}

/* Bytes that the query has no memory for end it before they are taken. */
static bool fits(struct bcall *b, size_t n)
{
    if (likely(n < (1 << 16)) || n <= b_room(b)) {
        return true;
    }
    eval_fail(b->ev, "eval_cancel_error", b->ev->file, b->ev->loc,
              "memory budget of the query is used up");
    return false;
}

enum b_status b_str(struct bcall *b, struct str s)
{
    return fits(b, s.n) ? b_out(b, val_str(b->a, s)) : B_ERROR;
}

enum b_status b_buf(struct bcall *b, struct buf *text)
{
    bool ok = buf_ok(text);
    if (ok && !fits(b, text->n)) {
        buf_release(text);
        return B_ERROR;
    }
    if (ok) {
        b->out = val_str(b->a, buf_str(text));
    }
    buf_release(text);
    return ok ? B_OK : b_fail(b, "the result is too large");
}

bool b_budget(struct bcall *b, uint64_t work)
{
    struct eval *ev = b->ev;
    uint64_t before = ev->steps;
    ev->steps += work;
    /* The clock is looked at now and then, too. */
    bool look = ((before ^ ev->steps) >> 12) != 0 || arena_exhausted(b->a);
    return look || ev->steps > ev->max_steps ? eval_stop(ev) : false;
}

void b_tell_test_case(struct bcall *b, struct val name)
{
    if (b->ev->o->test_case != NULL) {
        b->ev->o->test_case(b->ev->o->test_case_ctx, name);
    }
}
