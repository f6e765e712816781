/* Results of partial evaluation as JSON and as policy text. */
#include "authz/rego/partial.h"
#include "authz/rego/syntax/ast_json.h"

void rego_partial_to_json(struct buf *out, const struct rego_partial_result *r, const char *modules)
{
    buf_putc(out, '{');
    for (size_t i = 0; i < r->n_queries; i++) {
        buf_puts(out, i == 0 ? S("\"queries\":[") : S(","));
        ast_body_to_json(out, r->queries[i]);
    }
    buf_puts(out, r->n_queries > 0 ? S("]") : S(""));
    for (size_t i = 0; i < r->n_support; i++) {
        if (i == 0) {
            buf_printf(out, "%s\"%s\":[", r->n_queries > 0 ? "," : "", modules);
        } else {
            buf_putc(out, ',');
        }
        ast_to_json(out, r->support[i], NULL);
    }
    buf_puts(out, r->n_support > 0 ? S("]}") : S("}"));
}

static const char *const operators[][2] = {
    {"eq", "="},   {"assign", ":="}, {"equal", "=="}, {"neq", "!="},
    {"lt", "<"},   {"lte", "<="},    {"gt", ">"},     {"gte", ">="},
    {"plus", "+"}, {"minus", "-"},   {"mul", "*"},    {"div", "/"},
    {"rem", "%"},  {"and", "&"},     {"or", "|"},     {"internal.member_2", "in"}};

static const char *operator_of(const struct term *call)
{
    struct str name = call->list.v[0]->type == T_VAR ? call->list.v[0]->var.name : STR_EMPTY;
    for (size_t i = 0; i < ARRAY_LEN(operators); i++) {
        if (str_is(name, operators[i][0])) {
            return operators[i][1];
        }
    }
    return NULL;
}

static void put_term(struct buf *out, const struct term *t, bool nested);
static void put_body(struct buf *out, const struct body *b, const char *between);

static void put_list(struct buf *out, struct term *const *v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, i > 0 ? S(", ") : S(""));
        put_term(out, v[i], true);
    }
}

/* Operators between their operands; where the result goes stands in front, as `x = a + b`. */
static void put_call(struct buf *out, const struct term *t, bool nested)
{
    const char *op = operator_of(t);
    size_t n = t->list.n;
    if (op == NULL || n < 3 || n > 4) {
        term_write(out, t->list.v[0]);
        buf_putc(out, '(');
        put_list(out, t->list.v + 1, n - 1);
        buf_putc(out, ')');
        return;
    }
    if (n == 4) {
        put_term(out, t->list.v[3], true);
        buf_puts(out, S(" = "));
    }
    bool compares = n == 3 && strchr("=!<>:i", op[0]) != NULL;
    buf_puts(out, nested ? S("(") : S(""));
    put_term(out, t->list.v[1], !compares);
    buf_printf(out, " %s ", op);
    put_term(out, t->list.v[2], !compares);
    buf_puts(out, nested ? S(")") : S(""));
}

static void put_object(struct buf *out, const struct term *t)
{
    buf_putc(out, '{');
    for (size_t i = 0; i + 1 < t->list.n; i += 2) {
        buf_puts(out, i > 0 ? S(", ") : S(""));
        put_term(out, t->list.v[i], true);
        buf_puts(out, S(": "));
        put_term(out, t->list.v[i + 1], true);
    }
    buf_putc(out, '}');
}

static void put_comp(struct buf *out, const struct term *t)
{
    buf_putc(out, t->type == T_ARRAY_COMP ? '[' : '{');
    if (t->type == T_OBJECT_COMP) {
        put_term(out, t->comp.key, true);
        buf_puts(out, S(": "));
    }
    put_term(out, t->comp.value, true);
    buf_puts(out, S(" | "));
    put_body(out, t->comp.body, "; ");
    buf_putc(out, t->type == T_ARRAY_COMP ? ']' : '}');
}

static void put_operand(struct buf *out, const struct body *b, bool explicit)
{
    bool braces = explicit || b->n > 1;
    buf_puts(out, braces ? S("{ ") : S(""));
    put_body(out, b, "; ");
    buf_puts(out, braces ? S(" }") : S(""));
}

static void put_logic(struct buf *out, const struct term *t)
{
    if (t->type == T_NOT) {
        buf_puts(out, S("not "));
        put_operand(out, t->logic.lhs, t->logic.explicit_lhs);
        return;
    }
    put_operand(out, t->logic.lhs, t->logic.explicit_lhs);
    buf_puts(out, t->type == T_AND ? S(" and ") : S(" or "));
    put_operand(out, t->logic.rhs, t->logic.explicit_rhs);
}

static void put_term(struct buf *out, const struct term *t, bool nested)
{
    switch (t->type) {
    case T_CALL:
        put_call(out, t, nested);
        break;
    case T_ARRAY:
        buf_putc(out, '[');
        put_list(out, t->list.v, t->list.n);
        buf_putc(out, ']');
        break;
    case T_SET:
        buf_puts(out, t->list.n == 0 ? S("set(") : S("{"));
        put_list(out, t->list.v, t->list.n);
        buf_puts(out, t->list.n == 0 ? S(")") : S("}"));
        break;
    case T_OBJECT:
        put_object(out, t);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        put_comp(out, t);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        put_logic(out, t);
        break;
    default:
        term_write(out, t);
    }
}

static void put_expr(struct buf *out, const struct expr *e)
{
    buf_puts(out, e->negated ? S("not ") : S(""));
    if (e->kind == E_EVERY) {
        buf_puts(out, S("every "));
        if (e->every.key != NULL) {
            put_term(out, e->every.key, true);
            buf_puts(out, S(", "));
        }
        put_term(out, e->every.value, true);
        buf_puts(out, S(" in "));
        put_term(out, e->every.domain, true);
        buf_puts(out, S(" { "));
        put_body(out, e->every.body, "; ");
        buf_puts(out, S(" }"));
    } else {
        put_term(out, e->term, false);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        buf_puts(out, S(" with "));
        put_term(out, e->with[i]->target, true);
        buf_puts(out, S(" as "));
        put_term(out, e->with[i]->value, true);
    }
}

static void put_body(struct buf *out, const struct body *b, const char *between)
{
    for (size_t i = 0; i < b->n; i++) {
        buf_puts(out, i > 0 ? str_of(between) : S(""));
        put_expr(out, b->v[i]);
    }
}

static bool says_true(const struct body *b)
{
    return b->n == 1 && b->v[0]->kind == E_TERM && b->v[0]->n_with == 0 && !b->v[0]->negated &&
           b->v[0]->term->type == T_BOOL && b->v[0]->term->boolean;
}

static void put_rule(struct buf *out, const struct rule *r)
{
    const struct head *h = r->head;
    bool truth = h->value != NULL && h->value->type == T_BOOL && h->value->boolean;
    bool empty = says_true(r->body);
    buf_puts(out, r->is_default ? S("default ") : S(""));
    term_write(out, h->ref);
    if (h->is_func) {
        buf_putc(out, '(');
        put_list(out, h->args, h->n_args);
        buf_putc(out, ')');
    }
    if (h->key != NULL) {
        buf_puts(out, S(" contains "));
        put_term(out, h->key, true);
    } else if (h->value != NULL && (!truth || empty || r->is_default)) {
        buf_puts(out, S(" := "));
        put_term(out, h->value, true);
    }
    if (empty || r->is_default) {
        buf_putc(out, '\n');
    } else if (r->body->n == 1) {
        buf_puts(out, S(" if "));
        put_expr(out, r->body->v[0]);
        buf_putc(out, '\n');
    } else {
        buf_puts(out, S(" if {\n\t"));
        put_body(out, r->body, "\n\t");
        buf_puts(out, S("\n}\n"));
    }
}

void rego_partial_module_source(struct buf *out, const struct module *m)
{
    struct buf path;
    buf_init(&path, 1 << 16);
    term_write(&path, m->package);
    struct str name = buf_str(&path);
    buf_printf(out, "package %.*s\n", STR_FMT(str_sub(name, sizeof "data." - 1, name.n)));
    buf_release(&path);
    for (size_t i = 0; i < m->n_rules; i++) {
        buf_putc(out, '\n');
        put_rule(out, m->rules[i]);
    }
}

void rego_partial_query_source(struct buf *out, const struct body *b)
{
    put_body(out, b, "\n");
    buf_puts(out, b->n > 0 ? S("\n") : S(""));
}

void rego_partial_to_source(struct buf *out, const struct rego_partial_result *r)
{
    for (size_t i = 0; i < r->n_queries; i++) {
        buf_printf(out, "# Query %zu\n", i + 1);
        rego_partial_query_source(out, r->queries[i]);
        buf_putc(out, '\n');
    }
    for (size_t i = 0; i < r->n_support; i++) {
        buf_printf(out, "# Module %zu\n", i + 1);
        rego_partial_module_source(out, r->support[i]);
    }
}
