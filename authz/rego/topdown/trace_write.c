/* Events kept, filtered for a mode of explaining, and printed. */
#include "authz/rego/trace.h"

#include "authz/rego/syntax/ast_json.h"
#include "authz/rego/topdown/term.h"

static const char *const op_names[] = {"Enter", "Exit",      "Eval", "Redo",  "Save",
                                       "Fail",  "Duplicate", "Note", "Index", "Unify"};

bool rego_explain_parse(struct str s, enum rego_explain *out)
{
    static const char *const names[] = {"off", "full", "notes", "fails", "debug"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_is(s, names[i])) {
            *out = (enum rego_explain)i;
            return true;
        }
    }
    return false;
}

static void record(void *ctx, const struct rego_event *e)
{
    struct rego_trace *t = ctx;
    if (t->n == TRACE_EVENTS_MAX || arena_exhausted(t->a)) {
        t->cut = true;
        return;
    }
    t->v = arena_grow(t->a, t->v, t->n, t->n + 1, &t->cap, sizeof *t->v);
    t->v[t->n++] = *e;
}

void rego_trace_init(struct rego_trace *t, struct arena *a, enum rego_explain mode)
{
    *t = (struct rego_trace){.mode = mode, .a = a};
    t->tracer = (struct rego_tracer){.event = record, .ctx = t};
    t->tracer.unify = mode == EXPLAIN_DEBUG;
}

/* The way to each wanted event: the last enter or redo of its query, of that one's parent, and so on. */
static void keep_with_path(struct rego_trace *t, enum rego_op op)
{
    uint64_t most = 0;
    for (size_t i = 0; i < t->n; i++) {
        most = MAX(most, t->v[i].query_id);
    }
    size_t *last = arena_array(t->a, size_t, most + 1), *path = arena_array(t->a, size_t, most + 2);
    struct rego_event *kept = NULL;
    size_t n = 0, cap = 0;
    for (size_t i = 0; i < t->n; i++) {
        const struct rego_event *e = &t->v[i];
        if (e->op == op) {
            size_t len = 0, at = last[e->query_id], before = 0;
            while (at != 0 && at != before && len <= most) {
                path[len++] = at - 1;
                before = at;
                uint64_t parent = t->v[at - 1].parent_id;
                at = parent <= most ? last[parent] : 0;
            }
            kept = arena_grow(t->a, kept, n, n + len + 1, &cap, sizeof *kept);
            while (len > 0) {
                kept[n++] = t->v[path[--len]];
            }
            kept[n++] = *e;
            memset(last, 0, (most + 1) * sizeof *last);
        }
        if ((e->op == OP_TRACE_ENTER || e->op == OP_TRACE_REDO) && e->kind != NODE_EXPR) {
            last[e->query_id] = i + 1;
        }
    }
    t->v = kept;
    t->n = n;
    t->cap = cap;
}

void rego_trace_select(struct rego_trace *t)
{
    if (t->mode == EXPLAIN_NOTES || t->mode == EXPLAIN_FAILS) {
        keep_with_path(t, t->mode == EXPLAIN_NOTES ? OP_TRACE_NOTE : OP_TRACE_FAIL);
    }
    if (t->mode == EXPLAIN_OFF) {
        t->n = 0;
    }
    t->mode = t->mode == EXPLAIN_OFF ? EXPLAIN_OFF : EXPLAIN_DEBUG;
}

static struct str written_name(const struct rego_event *e, struct str name)
{
    const struct sym *s = NULL;
    for (size_t i = 0; i < ARRAY_LEN(e->written) && s == NULL; i++) {
        s = e->written[i] != NULL ? map_get(e->written[i], name) : NULL;
    }
    return s != NULL ? s->name : name;
}

static void rename_body(const struct rego_event *e, struct body *b);

/* In place, on a copy. */
static void rename_term(const struct rego_event *e, struct term *t)
{
    switch (t->type) {
    case T_VAR:
        t->var.name = written_name(e, t->var.name);
        break;
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            rename_term(e, t->list.v[i]);
        }
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        if (t->comp.key != NULL) {
            rename_term(e, t->comp.key);
        }
        rename_term(e, t->comp.value);
        rename_body(e, t->comp.body);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        rename_body(e, t->logic.lhs);
        if (t->logic.rhs != NULL) {
            rename_body(e, t->logic.rhs);
        }
        break;
    default:
        break;
    }
}

static void rename_expr(const struct rego_event *e, struct expr *x)
{
    if (x->term != NULL) {
        rename_term(e, x->term);
    }
    if (x->kind == E_EVERY) {
        if (x->every.key != NULL &&
            str_starts(written_name(e, x->every.key->var.name), S("__local"))) {
            x->every.key = NULL;
        } else if (x->every.key != NULL) {
            rename_term(e, x->every.key);
        }
        rename_term(e, x->every.value);
        rename_term(e, x->every.domain);
        rename_body(e, x->every.body);
    }
    for (size_t i = 0; i < x->n_with; i++) {
        rename_term(e, x->with[i]->target);
        rename_term(e, x->with[i]->value);
    }
}

static void rename_body(const struct rego_event *e, struct body *b)
{
    for (size_t i = 0; i < b->n; i++) {
        rename_expr(e, b->v[i]);
    }
}

static void write_node(struct buf *out, struct arena *a, const struct rego_event *e)
{
    if (e->path.n > 0) {
        buf_puts(out, e->path);
    } else if (e->kind == NODE_EXPR) {
        struct expr *x = expr_copy(a, e->expr);
        rename_expr(e, x);
        expr_write(out, x);
    } else if (e->body != NULL) {
        struct body *b = body_copy(a, e->body);
        rename_body(e, b);
        body_write(out, b);
    }
}

static void write_event(struct buf *out, struct arena *a, const struct rego_event *e,
                        unsigned depth)
{
    bool shallow = e->op == OP_TRACE_ENTER || (e->op == OP_TRACE_REDO && e->kind != NODE_EXPR);
    for (unsigned i = 1; i < depth + !shallow; i++) {
        buf_puts(out, S("| "));
    }
    buf_printf(out, "%s ", op_names[e->op]);
    if (e->op == OP_TRACE_NOTE) {
        buf_printf(out, "\"%.*s\"", STR_FMT(e->message));
        return;
    }
    write_node(out, a, e);
    if (e->message.n > 0) {
        buf_printf(out, " %.*s", STR_FMT(e->message));
    }
}

static struct str location(struct arena *a, const struct rego_event *e)
{
    if (e->loc.row == 0) {
        return STR_EMPTY;
    }
    struct str file = e->file.n > 0 ? e->file : S("query");
    return arena_printf(a, "%.*s:%u", STR_FMT(file), e->loc.row);
}

enum { COLUMN_GAP = 5, LINES_MAX = 256 << 20 };

void rego_trace_to_text(struct buf *out, struct rego_trace *t, bool locations)
{
    rego_trace_select(t);
    uint64_t most = 0;
    size_t width = 0;
    for (size_t i = 0; i < t->n; i++) {
        most = MAX(MAX(most, t->v[i].query_id), t->v[i].parent_id);
        width = MAX(width, location(t->a, &t->v[i]).n);
    }
    unsigned *depth = arena_array(t->a, unsigned, most + 1);
    for (size_t i = 0; i < t->n; i++) {
        const struct rego_event *e = &t->v[i];
        if (depth[e->query_id] == 0) {
            depth[e->query_id] = depth[e->parent_id] + 1;
        }
        if (locations) {
            struct str l = location(t->a, e);
            buf_printf(out, "%-*.*s", (int)(width + COLUMN_GAP), STR_FMT(l));
        }
        write_event(out, t->a, e, depth[e->query_id]);
        buf_putc(out, '\n');
    }
}

static void put_locals(struct buf *out, const struct rego_event *e)
{
    buf_putc(out, '[');
    for (size_t i = 0; i < e->n_locals; i++) {
        struct term key = {.type = T_VAR};
        key.var.name = e->locals[i].name;
        buf_puts(out, i > 0 ? S(",{\"key\":") : S("{\"key\":"));
        ast_term_to_json(out, &key);
        buf_puts(out, S(",\"value\":"));
        ast_term_to_json(out, e->locals[i].value);
        buf_putc(out, '}');
    }
    buf_putc(out, ']');
}

static void put_event(struct buf *out, const struct rego_event *e)
{
    static const char *const types[] = {"body", "expr", "rule"};
    struct str op = str_of(op_names[e->op]);
    buf_printf(out, "{\"op\":\"%c%.*s\"", op.p[0] | 0x20, STR_FMT(str_sub(op, 1, op.n)));
    buf_printf(out, ",\"query_id\":%llu,\"parent_id\":%llu", (unsigned long long)e->query_id,
               (unsigned long long)e->parent_id);
    buf_printf(out, ",\"type\":\"%s\",\"node\":", e->op == OP_TRACE_NOTE ? "" : types[e->kind]);
    if (e->op == OP_TRACE_NOTE) {
        buf_puts(out, S("null"));
    } else if (e->kind == NODE_EXPR) {
        ast_expr_to_json(out, e->expr, e->index);
    } else if (e->kind == NODE_RULE) {
        ast_rule_to_json(out, e->rule);
    } else {
        ast_body_to_json(out, e->body);
    }
    buf_puts(out, S(",\"locals\":"));
    put_locals(out, e);
    if (e->message.n > 0) {
        buf_puts(out, S(",\"message\":"));
        val_json_string(out, e->message, true);
    }
    buf_putc(out, '}');
}

void rego_trace_to_json(struct buf *out, struct rego_trace *t, bool pretty)
{
    rego_trace_select(t);
    buf_putc(out, '[');
    if (pretty) {
        struct buf text;
        buf_init(&text, LINES_MAX);
        rego_trace_to_text(&text, t, true);
        struct str rest = str_trim(buf_str(&text));
        for (size_t n = 0; rest.n > 0 && rest.p != NULL; n++) {
            buf_puts(out, n > 0 ? S(",") : S(""));
            val_json_string(out, str_split(&rest, '\n'), true);
        }
        buf_release(&text);
    } else {
        for (size_t i = 0; i < t->n; i++) {
            buf_puts(out, i > 0 ? S(",") : S(""));
            put_event(out, &t->v[i]);
        }
    }
    buf_putc(out, ']');
}
