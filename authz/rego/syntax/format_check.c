/* What keeps a module from being moved to a later version of the language. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/syntax/format_priv.h"
#include "authz/rego/syntax/lex.h"
#include "authz/rego/types/signature.h"

/* What to do with each node of a tree; each may be NULL. */
struct visitor {
    const struct module *m;
    struct rego_errors *errors;
    void (*expr)(struct visitor *v, const struct expr *e);
    void (*term)(struct visitor *v, const struct term *t);
    bool operators; /* are operators of calls and names of rules visited as well? */
};

static void visit_body(struct visitor *v, const struct body *b);
static void visit_expr(struct visitor *v, const struct expr *e);

static void visit_list(struct visitor *v, struct term *const *list, size_t n, size_t from);

static void visit(struct visitor *v, const struct term *t)
{
    if (t == NULL) {
        return;
    }
    if (v->term != NULL) {
        v->term(v, t);
    }
    switch (t->type) {
    case T_REF:
    case T_CALL:
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
    case T_TEMPLATE:
        visit_list(v, t->list.v, t->list.n, t->type == T_CALL && !v->operators);
        break;
    case T_ARRAY_COMP:
    case T_SET_COMP:
    case T_OBJECT_COMP:
        visit(v, t->comp.key);
        visit(v, t->comp.value);
        visit_body(v, t->comp.body);
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        visit_body(v, t->logic.lhs);
        visit_body(v, t->logic.rhs);
        break;
    case T_EXPR:
        visit_expr(v, t->expr);
        break;
    default:
        break;
    }
}

static void visit_list(struct visitor *v, struct term *const *list, size_t n, size_t from)
{
    for (size_t i = from; i < n; i++) {
        visit(v, list[i]);
    }
}

static void visit_expr(struct visitor *v, const struct expr *e)
{
    if (v->expr != NULL) {
        v->expr(v, e);
    }
    visit_list(v, e->symbols, e->n_symbols, 0);
    if (e->kind == E_EVERY) {
        visit(v, e->every.key);
        visit(v, e->every.value);
        visit(v, e->every.domain);
        visit_body(v, e->every.body);
    }
    if (e->kind == E_TERM && e->term->type == T_CALL) { /* no term of its own, but a list of them */
        visit_list(v, e->term->list.v, e->term->list.n, v->operators ? 0 : 1);
    } else if (e->kind == E_TERM) {
        visit(v, e->term);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        visit(v, e->with[i]->target);
        visit(v, e->with[i]->value);
    }
}

static void visit_body(struct visitor *v, const struct body *b)
{
    for (size_t i = 0; b != NULL && i < b->n; i++) {
        visit_expr(v, b->v[i]);
    }
}

static void visit_head(struct visitor *v, const struct head *h)
{
    if (v->operators) {
        visit_list(v, h->ref->list.v, h->ref->list.n, 0);
    }
    visit_list(v, h->args, h->n_args, 0);
    visit(v, h->key != NULL ? h->key : h->map_key);
    visit(v, h->key == NULL ? h->value : NULL);
}

static struct str import_name(const struct import *imp)
{
    const struct term *last = imp->path->list.v[imp->path->list.n - 1];
    return imp->alias.n > 0 ? imp->alias : last->type == T_VAR ? last->var.name : last->str;
}

static void check_imports(const struct module *m, struct rego_errors *errors)
{
    for (size_t i = 1; i < m->n_imports; i++) {
        for (size_t k = 0; k < i; k++) {
            const struct import *first = m->imports[k];
            if (!str_eq(import_name(first), import_name(m->imports[i]))) {
                continue;
            }
            struct buf b;
            buf_init(&b, m->source.n * 4 + 4096);
            term_write(&b, first->path);
            if (first->alias.n > 0) {
                buf_printf(&b, " as %.*s", STR_FMT(first->alias));
            }
            rego_errors_add(errors, "rego_compile_error", m->file, m->imports[i]->loc,
                            "import must not shadow import %.*s", STR_FMT(buf_str(&b)));
            buf_release(&b);
            break;
        }
    }
}

static bool is_root_name(struct str s)
{
    return str_is(s, "input") || str_is(s, "data");
}

static void check_rule_roots(const struct module *m, const struct rule *r,
                             struct rego_errors *errors)
{
    const struct term *name = r->head->ref->list.v[0];
    if (name->type == T_VAR && is_root_name(name->var.name)) {
        rego_errors_add(errors, "rego_compile_error", m->file, r->loc,
                        "rules must not shadow %.*s (use a different rule name)",
                        STR_FMT(name->var.name));
    }
    for (size_t i = 0; i < r->head->n_args; i++) {
        const struct term *t = r->head->args[i];
        if (t->type == T_REF && t->list.n == 1 && t->list.v[0]->type == T_VAR &&
            is_root_name(t->list.v[0]->var.name)) {
            rego_errors_add(errors, "rego_compile_error", m->file, t->loc,
                            "args must not shadow %.*s (use a different variable name)",
                            STR_FMT(t->list.v[0]->var.name));
        }
    }
}

static void check_assignment(struct visitor *v, const struct expr *e)
{
    if (e->kind != E_TERM || !term_is_call_of(e->term, "assign") || e->term->list.n < 2) {
        return;
    }
    const struct term *t = e->term->list.v[1];
    t = t->type == T_REF && t->list.n == 1 ? t->list.v[0] : t;
    if (t->type == T_VAR && is_root_name(t->var.name)) {
        rego_errors_add(v->errors, "rego_compile_error", v->m->file, e->loc,
                        "variables must not shadow %.*s (use a different variable name)",
                        STR_FMT(t->var.name));
    }
}

static void check_deprecated(struct visitor *v, const struct term *t, struct loc loc)
{
    struct str name = term_call_name(v->errors->a, t);
    const struct signature *s = signature_find(name);
    if (s != NULL && (s->flags & BF_DEPRECATED) != 0) {
        rego_errors_add(v->errors, "rego_type_error", v->m->file, loc,
                        "deprecated built-in function calls in expression: %.*s", STR_FMT(name));
    }
}

static void deprecated_expr(struct visitor *v, const struct expr *e)
{
    if (e->kind == E_TERM && e->term->type == T_CALL) {
        check_deprecated(v, e->term, e->loc);
    }
}

static void keyword_var(struct visitor *v, const struct term *t)
{
    if (t->type == T_VAR && (str_is(t->var.name, "and") || str_is(t->var.name, "or"))) {
        rego_errors_add(v->errors, "rego_parse_error", v->m->file, t->loc,
                        "%.*s keyword cannot be used for variable name", STR_FMT(t->var.name));
    }
}

static void keyword_rule(const struct module *m, const struct rule *r, enum rego_version v,
                         struct rego_errors *errors)
{
    const struct term *name = r->head->ref->list.v[0];
    if (r->head->ref->list.n == 1 && name->type == T_VAR &&
        is_keyword_in_version(name->var.name, v) &&
        (v == REGO_V1 || !is_keyword_in_version(name->var.name, REGO_V1))) {
        rego_errors_add(errors, "rego_parse_error", m->file, r->loc,
                        "%.*s keyword cannot be used for rule name", STR_FMT(name->var.name));
    }
}

static void visit_rules(struct visitor *v, const struct module *m)
{
    for (size_t i = 0; i < m->n_rules; i++) {
        for (const struct rule *r = m->rules[i]; r != NULL; r = r->otherwise) {
            visit_head(v, r->head);
            visit_body(v, r->body);
        }
    }
}

/* Calls inside of expressions: those that are the whole expression are reported with its place. */
static void deprecated_term(struct visitor *v, const struct term *t)
{
    if (t->type == T_CALL) {
        check_deprecated(v, t, t->list.v[0]->loc);
    }
}

static void visit_deprecated(const struct module *m, struct rego_errors *errors);

static void check_v2_rule(const struct module *m, const struct rule *r, struct rego_errors *errors)
{
    struct visitor v = {.m = m, .errors = errors, .term = keyword_var};
    keyword_rule(m, r, REGO_V2, errors);
    for (; r != NULL; r = r->otherwise) {
        const struct head *h = r->head;
        visit_list(&v, h->ref->list.v, h->ref->list.n, 1);
        visit_list(&v, h->args, h->n_args, 0);
        visit(&v, h->key);
        visit(&v, h->key == NULL ? h->value : NULL);
        visit_body(&v, r->body);
    }
}

void check_target_version(const struct module *m, enum rego_version to, struct rego_errors *errors)
{
    if (to == REGO_V0) {
        return;
    }
    check_imports(m, errors);
    for (size_t i = 0; i < m->n_rules; i++) {
        check_rule_roots(m, m->rules[i], errors);
    }
    struct visitor v = {.m = m, .errors = errors, .expr = check_assignment};
    visit_rules(&v, m);
    visit_deprecated(m, errors);
    for (size_t i = 0; i < m->n_rules; i++) {
        keyword_rule(m, m->rules[i], REGO_V1, errors);
    }
    for (size_t i = 0; to == REGO_V2 && i < m->n_rules; i++) {
        check_v2_rule(m, m->rules[i], errors);
    }
}

static void visit_deprecated(const struct module *m, struct rego_errors *errors)
{
    struct visitor v = {.m = m, .errors = errors, .expr = deprecated_expr, .term = deprecated_term};
    v.operators = true;
    visit_rules(&v, m);
}
