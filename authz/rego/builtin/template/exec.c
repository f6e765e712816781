/* Templates executed: a tree walked over a value, commands evaluated, results written. */
#include "authz/rego/builtin/template/priv.h"

#include "authz/rego/value/utf8.h"

#include <stdarg.h>
#include <stdio.h>

struct variable {
    struct str name;
    struct tval value;
};

enum flow { GO_ON, BREAK, CONTINUE, STOP };

struct exec {
    const struct template *t;
    struct arena *a;
    struct buf *out;
    const struct tdef *def;
    const struct tnode *at; /* where errors are placed */
    struct variable *vars;
    size_t n_vars, cap_vars;
    unsigned calls;
    uint64_t steps;
    struct str error;
};

/* Which type a function's argument has in Go. */
enum want { WANT_VALUE, WANT_ANY, WANT_STRING };

static struct tval pipeline(struct exec *x, struct tval dot, const struct tnode *pipe);

static void fail(struct exec *x, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void fail(struct exec *x, const char *fmt, ...)
{
    char text[2048];
    struct buf context, name;
    unsigned line = 1;
    size_t from = 0;
    va_list ap;
    if (x->error.n > 0) {
        return;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (size_t i = 0; i < x->at->pos && i < x->t->text.n; i++) {
        if (x->t->text.p[i] == '\n') {
            line++;
            from = i + 1;
        }
    }
    buf_init(&context, 4096);
    buf_init(&name, 4096);
    tnode_put(&context, x->at);
    gofmt_quoted(&name, x->def->name);
    x->error =
        arena_printf(x->a, "template: template:%u:%zu: executing %.*s at <%.*s>: %s", line,
                     x->at->pos - from, STR_FMT(buf_str(&name)), STR_FMT(buf_str(&context)), text);
    buf_release(&context);
    buf_release(&name);
}

/* False: enough. */
static bool step(struct exec *x, const struct tnode *at)
{
    x->at = at;
    x->steps++;
    if (x->error.n == 0 &&
        (x->steps > TEMPLATE_STEPS_MAX || arena_exhausted(x->a) || !buf_ok(x->out))) {
        fail(x, "template takes too much work, memory or output");
    }
    return x->error.n == 0;
}

/* Variables. */

static void push_var(struct exec *x, struct str name, struct tval value)
{
    if (x->n_vars == x->cap_vars) {
        x->vars =
            arena_grow(x->a, x->vars, x->n_vars, x->n_vars + 1, &x->cap_vars, sizeof *x->vars);
    }
    x->vars[x->n_vars++] = (struct variable){name, value};
}

static struct variable *find_var(struct exec *x, struct str name)
{
    for (size_t i = x->n_vars; i-- > 0;) {
        if (str_eq(x->vars[i].name, name)) {
            return &x->vars[i];
        }
    }
    fail(x, "undefined variable: %.*s", STR_FMT(name));
    return NULL;
}

static void set_var(struct exec *x, struct str name, struct tval value)
{
    struct variable *v = find_var(x, name);
    if (v != NULL) {
        v->value = value;
    }
}

/* Operands. */

static const struct tval none = {.kind = TV_NONE};

static struct tval member(struct exec *x, struct tval from, struct str name, bool has_args)
{
    if (from.kind == TV_NONE) {
        return none;
    }
    if (from.kind == TV_NULL) {
        fail(x, "nil pointer evaluating interface {}.%.*s", STR_FMT(name));
        return none;
    }
    if (from.kind != TV_MAP) {
        fail(x, "can't evaluate field %.*s in type %s", STR_FMT(name), tval_type(from));
        return none;
    }
    if (has_args) {
        fail(x, "%.*s is not a method but has arguments", STR_FMT(name));
        return none;
    }
    struct val v = val_get(from.v, val_str(x->a, name));
    return val_undef(v) ? none : tval_of(x->a, v);
}

static struct tval members(struct exec *x, struct tval from, const struct tnode *n, size_t first,
                           bool has_args)
{
    for (size_t i = first; i < n->n_idents && x->error.n == 0; i++) {
        from = member(x, from, n->idents[i], has_args && i + 1 == n->n_idents);
    }
    return from;
}

static void not_a_function(struct exec *x, const struct tnode *first, bool has_args)
{
    struct buf b;
    if (!has_args) {
        return;
    }
    buf_init(&b, 4096);
    tnode_put(&b, first);
    fail(x, "can't give argument to non-function %.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static struct tval constant(struct exec *x, const struct tnode *n)
{
    x->at = n;
    switch (n->kind) {
    case T_BOOL:
        return (struct tval){.kind = TV_BOOL, .truth = n->truth};
    case T_NUMBER:
        return n->is_int ? (struct tval){.kind = TV_INT, .i = n->i}
                         : (struct tval){.kind = TV_FLOAT, .f = n->f};
    default:
        return (struct tval){.kind = TV_STRING, .s = n->value};
    }
}

static struct tval variable(struct exec *x, const struct tnode *n, bool has_args)
{
    x->at = n;
    const struct variable *v = find_var(x, n->idents[0]);
    if (v == NULL) {
        return none;
    }
    if (n->n_idents == 1) {
        not_a_function(x, n, has_args);
        return v->value;
    }
    return members(x, v->value, n, 1, has_args);
}

static struct tval function(struct exec *x, struct tval dot, const struct tnode *name,
                            const struct tnode *cmd, const struct tval *final);

static struct tval operand(struct exec *x, struct tval dot, const struct tnode *n);

static struct tval chain(struct exec *x, struct tval dot, const struct tnode *n, bool has_args)
{
    struct buf b;
    x->at = n;
    if (n->pipe->kind == T_NIL) {
        buf_init(&b, 4096);
        tnode_put(&b, n);
        fail(x, "indirection through explicit nil in %.*s", STR_FMT(buf_str(&b)));
        buf_release(&b);
        return none;
    }
    struct tval from = operand(x, dot, n->pipe);
    return members(x, from, n, 0, has_args);
}

/* A word by itself, not a command. */
static struct tval operand(struct exec *x, struct tval dot, const struct tnode *n)
{
    if (!step(x, n)) {
        return none;
    }
    switch (n->kind) {
    case T_DOT:
        return dot;
    case T_NIL:
        return none;
    case T_FIELD:
        return members(x, dot, n, 0, false);
    case T_VARIABLE:
        return variable(x, n, false);
    case T_PIPE:
        return pipeline(x, dot, n);
    case T_IDENTIFIER:
        return function(x, dot, n, n, NULL);
    case T_CHAIN:
        return chain(x, dot, n, false);
    default:
        return constant(x, n);
    }
}

/* Calls. */

static struct tval fitting(struct exec *x, struct tval v, enum want want)
{
    if (want != WANT_STRING) {
        return v;
    }
    if (v.kind == TV_NONE) {
        fail(x, "invalid value; expected string");
    } else if (v.kind != TV_STRING) {
        fail(x, "wrong type for value; expected string; got %s",
             v.kind == TV_NULL ? "interface {}" : tval_type(tval_unboxed(v)));
    }
    return v;
}

static struct tval argument(struct exec *x, struct tval dot, const struct tnode *n, enum want want)
{
    struct buf b;
    x->at = n;
    if (want == WANT_STRING && n->kind == T_NIL) {
        fail(x, "cannot assign nil to string");
        return none;
    }
    if (want == WANT_STRING && (n->kind == T_BOOL || n->kind == T_NUMBER)) {
        buf_init(&b, 4096);
        tnode_put(&b, n);
        fail(x, "expected string; found %.*s", STR_FMT(buf_str(&b)));
        buf_release(&b);
        return none;
    }
    struct tval v = operand(x, dot, n);
    return x->error.n == 0 ? fitting(x, v, want) : none;
}

/* "and" and "or" stop at the argument that decides. */
static struct tval logic(struct exec *x, struct tval dot, const struct tnode *cmd, bool is_or,
                         const struct tval *final)
{
    struct tval v = none;
    for (size_t i = 1; i < cmd->items.n; i++) {
        v = argument(x, dot, cmd->items.v[i], WANT_VALUE);
        if (x->error.n > 0 || tval_truth(v) == is_or) {
            return v;
        }
    }
    return final != NULL ? *final : v;
}

static bool enough_arguments(struct exec *x, const struct tfunc *f, size_t given, bool final)
{
    size_t n = given + final;
    if (f->more && n < (size_t)f->fixed) {
        fail(x, "wrong number of args for %s: want at least %d got %zu", f->name, f->fixed, given);
    } else if (!f->more && n != (size_t)f->fixed) {
        fail(x, "wrong number of args for %s: want %d got %zu", f->name, f->fixed, n);
    }
    return x->error.n == 0;
}

static void not_callable(struct exec *x, const struct tnode *cmd, struct tval callee,
                         const struct tval *final)
{
    struct buf b;
    callee = tval_unboxed(callee);
    buf_init(&b, 4096);
    if (cmd->items.n > 1) {
        tnode_put(&b, cmd->items.v[1]);
    } else if (final != NULL) {
        struct gofmt_arg a = tval_arg(x->a, *final);
        gofmt_value(x->a, &b, &a);
    }
    x->at = cmd;
    if (callee.kind == TV_NONE) {
        fail(x, "error calling call: call of nil");
    } else {
        fail(x, "error calling call: non-function %.*s of type %s", STR_FMT(buf_str(&b)),
             tval_type(callee));
    }
    buf_release(&b);
}

static struct tval function(struct exec *x, struct tval dot, const struct tnode *name,
                            const struct tnode *cmd, const struct tval *final)
{
    const struct tfunc *f = tfunc_find(name->text);
    size_t given = cmd->kind == T_COMMAND ? cmd->items.n - 1 : 0, n = 0;
    struct tval out = none;
    struct str why;
    x->at = name;
    if (!enough_arguments(x, f, given, final != NULL)) {
        return none;
    }
    if (str_is(name->text, "and") || str_is(name->text, "or")) {
        return given + (final != NULL) > 0 && cmd->kind == T_COMMAND
                   ? logic(x, dot, cmd, str_is(name->text, "or"), final)
                   : none;
    }
    struct tval *args = arena_array(x->a, struct tval, given + 2);
    for (; n < given; n++) {
        args[n] = argument(x, dot, cmd->items.v[n + 1],
                           !f->text               ? WANT_VALUE
                           : n < (size_t)f->fixed ? WANT_STRING
                                                  : WANT_ANY);
        if (x->error.n > 0) {
            return none;
        }
    }
    if (final != NULL) {
        args[n] = fitting(x, *final, f->text && n < (size_t)f->fixed ? WANT_STRING : WANT_ANY);
        n++;
    }
    if (x->error.n == 0 && f->fn == NULL) {
        not_callable(x, cmd, args[0], final);
    } else if (x->error.n == 0 && !f->fn(x->a, args, n, &out, &why)) {
        x->at = cmd;
        fail(x, "error calling %s: %.*s", f->name, STR_FMT(why));
    }
    x->steps += n;
    return out;
}

static struct tval command(struct exec *x, struct tval dot, const struct tnode *cmd,
                           const struct tval *final)
{
    const struct tnode *first = cmd->items.v[0];
    bool has_args = cmd->items.n > 1 || final != NULL;
    if (!step(x, cmd)) {
        return none;
    }
    switch (first->kind) {
    case T_FIELD:
        x->at = first;
        return members(x, dot, first, 0, has_args);
    case T_CHAIN:
        return chain(x, dot, first, has_args);
    case T_IDENTIFIER:
        return function(x, dot, first, cmd, final);
    case T_VARIABLE:
        return variable(x, first, has_args);
    case T_PIPE:
        not_a_function(x, first, has_args);
        return x->error.n == 0 ? pipeline(x, dot, first) : none;
    default:
        x->at = first;
        not_a_function(x, first, has_args);
        if (x->error.n == 0 && first->kind == T_NIL) {
            fail(x, "nil is not a command");
        }
        return x->error.n > 0 ? none : first->kind == T_DOT ? dot : constant(x, first);
    }
}

static struct tval pipeline(struct exec *x, struct tval dot, const struct tnode *pipe)
{
    struct tval v = none;
    if (!step(x, pipe)) {
        return none;
    }
    for (size_t i = 0; i < pipe->items.n && x->error.n == 0; i++) {
        v = tval_unboxed(command(x, dot, pipe->items.v[i], i > 0 ? &v : NULL));
    }
    for (size_t i = 0; i < pipe->decls.n && x->error.n == 0; i++) {
        if (pipe->assign) {
            set_var(x, pipe->decls.v[i]->idents[0], v);
        } else {
            push_var(x, pipe->decls.v[i]->idents[0], v);
        }
    }
    return v;
}

/* Walking. Depth is bounded by TEMPLATE_DEPTH_MAX times TEMPLATE_CALLS_MAX. */

static enum flow walk(struct exec *x, struct tval dot, const struct tnode *n);

static void print(struct exec *x, struct tval v)
{
    if (v.kind == TV_NONE) {
        buf_puts(x->out, S("<no value>"));
        return;
    }
    struct gofmt_arg a = tval_arg(x->a, v);
    gofmt_value(x->a, x->out, &a);
}

static enum flow walk_choice(struct exec *x, struct tval dot, const struct tnode *n)
{
    size_t mark = x->n_vars;
    struct tval v = pipeline(x, dot, n->pipe);
    enum flow flow = GO_ON;
    if (x->error.n > 0) {
        return STOP;
    }
    if (tval_truth(v)) {
        flow = walk(x, n->kind == T_WITH ? v : dot, n->list);
    } else if (n->otherwise != NULL) {
        flow = walk(x, dot, n->otherwise);
    }
    x->n_vars = mark;
    return flow;
}

static enum flow iterate(struct exec *x, const struct tnode *n, struct tval key, struct tval item)
{
    const struct tnodes *d = &n->pipe->decls;
    size_t mark = x->n_vars;
    if (n->pipe->assign && d->n > 0) {
        set_var(x, d->v[0]->idents[0], d->n > 1 ? key : item);
        if (d->n > 1) {
            set_var(x, d->v[1]->idents[0], item);
        }
    } else if (d->n > 0) {
        x->vars[x->n_vars - 1].value = item;
        if (d->n > 1) {
            x->vars[x->n_vars - 2].value = key;
        }
    }
    enum flow flow = walk(x, item, n->list);
    x->n_vars = mark;
    return flow == CONTINUE ? GO_ON : flow;
}

static enum flow iterate_data(struct exec *x, const struct tnode *n, struct tval over)
{
    enum flow flow = GO_ON;
    for (uint32_t i = 0; i < val_len(over.v) && flow == GO_ON; i++) {
        struct tval key = {.kind = TV_INT, .i = i};
        if (over.kind == TV_MAP) {
            key = (struct tval){.kind = TV_STRING, .s = val_text(val_nth_key(x->a, over.v, i))};
        }
        flow = iterate(x, n, key, tval_of(x->a, val_nth(over.v, i)));
    }
    return flow;
}

static enum flow iterate_int(struct exec *x, const struct tnode *n, int64_t to)
{
    enum flow flow = GO_ON;
    if (n->pipe->decls.n > 1) {
        fail(x, "can't use %lld to iterate over more than one variable", (long long)to);
        return STOP;
    }
    for (int64_t i = 0; i < to && flow == GO_ON; i++) {
        flow = iterate(x, n, none, (struct tval){.kind = TV_INT, .i = i});
    }
    return flow;
}

static void not_iterable(struct exec *x, struct tval v)
{
    struct buf b;
    struct gofmt_arg a = tval_arg(x->a, v);
    buf_init(&b, 4096);
    gofmt_value(x->a, &b, &a);
    fail(x, "range can't iterate over %.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static enum flow walk_range(struct exec *x, struct tval dot, const struct tnode *n)
{
    size_t mark = x->n_vars;
    struct tval v = pipeline(x, dot, n->pipe);
    bool data = v.kind == TV_LIST || v.kind == TV_MAP,
         number = v.kind == TV_INT || v.kind == TV_BYTE;
    enum flow flow = GO_ON;
    if (x->error.n > 0) {
        return STOP;
    }
    if (data && val_len(v.v) > 0) {
        flow = iterate_data(x, n, v);
    } else if (number && (v.i > 0 || n->pipe->decls.n > 1)) {
        flow = iterate_int(x, n, v.i);
    } else if (!data && !number && v.kind != TV_NONE) {
        not_iterable(x, v);
    } else if (n->otherwise != NULL) {
        flow = walk(x, dot, n->otherwise);
        x->n_vars = mark;
        return flow;
    }
    x->n_vars = mark;
    return flow == BREAK ? GO_ON : flow;
}

static enum flow walk_template(struct exec *x, struct tval dot, const struct tnode *n)
{
    const struct tdef *def = NULL;
    for (size_t i = 0; i < x->t->n_defs; i++) {
        def = str_eq(x->t->defs[i].name, n->text) ? &x->t->defs[i] : def;
    }
    if (def == NULL) {
        struct buf b;
        buf_init(&b, 4096);
        gofmt_quoted(&b, n->text);
        fail(x, "template %.*s not defined", STR_FMT(buf_str(&b)));
        buf_release(&b);
        return STOP;
    }
    if (x->calls == TEMPLATE_CALLS_MAX) {
        fail(x, "exceeded maximum template depth (%d)", TEMPLATE_CALLS_MAX);
        return STOP;
    }
    dot = n->pipe != NULL ? pipeline(x, dot, n->pipe) : none;
    struct exec kept = *x;
    x->calls++;
    x->def = def;
    x->vars = NULL;
    x->n_vars = x->cap_vars = 0;
    push_var(x, S("$"), dot);
    enum flow flow = x->error.n == 0 ? walk(x, dot, def->root) : STOP;
    x->calls = kept.calls;
    x->def = kept.def;
    x->vars = kept.vars;
    x->n_vars = kept.n_vars;
    x->cap_vars = kept.cap_vars;
    return flow;
}

static enum flow walk_list(struct exec *x, struct tval dot, const struct tnode *n)
{
    enum flow flow = GO_ON;
    for (size_t i = 0; i < n->items.n && flow == GO_ON; i++) {
        flow = walk(x, dot, n->items.v[i]);
    }
    return flow;
}

static enum flow walk(struct exec *x, struct tval dot, const struct tnode *n)
{
    struct tval v;
    if (!step(x, n)) {
        return STOP;
    }
    switch (n->kind) {
    case T_LIST:
        return walk_list(x, dot, n);
    case T_TEXT:
        buf_puts(x->out, n->text);
        return GO_ON;
    case T_ACTION:
        v = pipeline(x, dot, n->pipe);
        if (x->error.n == 0 && n->pipe->decls.n == 0) {
            print(x, v);
        }
        return x->error.n == 0 ? GO_ON : STOP;
    case T_IF:
    case T_WITH:
        return walk_choice(x, dot, n);
    case T_RANGE:
        return walk_range(x, dot, n);
    case T_TEMPLATE:
        return walk_template(x, dot, n);
    case T_BREAK:
        return BREAK;
    case T_CONTINUE:
        return CONTINUE;
    default:
        return GO_ON;
    }
}

bool template_execute(const struct template *t, struct val data, struct buf *out, uint64_t *steps,
                      struct str *why)
{
    struct exec x = {.t = t, .a = t->a, .out = out};
    struct tval dot = tval_unboxed(tval_of(t->a, data));
    for (size_t i = 0; i < t->n_defs; i++) {
        x.def = str_is(t->defs[i].name, "template") ? &t->defs[i] : x.def;
    }
    push_var(&x, S("$"), dot);
    (void)walk(&x, dot, x.def->root);
    *steps = x.steps;
    *why = x.error;
    return x.error.n == 0;
}
