/* The tree as an indented list, in the form of `opa parse --format pretty`. */
#include "authz/rego/syntax/ast_json.h"

struct printer {
    struct buf *out;
    size_t depth;
};

static void show_body(struct printer *p, const struct body *b);
static void show_expr(struct printer *p, const struct expr *e, size_t index);

static void line(struct printer *p, const char *text)
{
    for (size_t i = 0; i < p->depth; i++) {
        buf_putc(p->out, ' ');
    }
    buf_puts(p->out, str_of(text));
    buf_putc(p->out, '\n');
}

static void line_term(struct printer *p, const struct term *t)
{
    for (size_t i = 0; i < p->depth; i++) {
        buf_putc(p->out, ' ');
    }
    term_write(p->out, t);
    buf_putc(p->out, '\n');
}

static void show_term(struct printer *p, const struct term *t);

static void show_terms(struct printer *p, const char *name, struct term *const *v, size_t n)
{
    line(p, name);
    p->depth++;
    for (size_t i = 0; i < n; i++) {
        show_term(p, v[i]);
    }
    p->depth--;
}

static void show_operator(struct printer *p, const struct term *t)
{
    if (t->type == T_REF) {
        show_term(p, t);
        return;
    }
    line(p, "ref");
    p->depth++;
    line_term(p, t);
    p->depth--;
}

static void show_call(struct printer *p, const struct term *t)
{
    show_operator(p, t->list.v[0]);
    for (size_t i = 1; i < t->list.n; i++) {
        show_term(p, t->list.v[i]);
    }
}

static void show_comp(struct printer *p, const struct term *t, const char *name)
{
    line(p, name);
    p->depth++;
    if (t->comp.key != NULL) {
        show_term(p, t->comp.key);
    }
    show_term(p, t->comp.value);
    show_body(p, t->comp.body);
    p->depth--;
}

static void show_logic(struct printer *p, const struct term *t)
{
    line(p, t->type == T_NOT ? "not" : t->type == T_AND ? "logicaland" : "logicalor");
    p->depth++;
    show_body(p, t->logic.lhs);
    if (t->type != T_NOT) {
        show_body(p, t->logic.rhs);
    }
    p->depth--;
}

static void show_term(struct printer *p, const struct term *t)
{
    switch (t->type) {
    case T_REF:
        show_terms(p, "ref", t->list.v, t->list.n);
        break;
    case T_ARRAY:
        show_terms(p, "array", t->list.v, t->list.n);
        break;
    case T_SET:
        show_terms(p, "set", t->list.v, t->list.n);
        break;
    case T_OBJECT:
        show_terms(p, "object", t->list.v, t->list.n);
        break;
    case T_CALL:
        line(p, "call");
        p->depth++;
        show_call(p, t);
        p->depth--;
        break;
    case T_TEMPLATE:
        line(p, "templatestring"); /* its parts are not shown */
        break;
    case T_ARRAY_COMP:
        show_comp(p, t, "arraycomprehension");
        break;
    case T_SET_COMP:
        show_comp(p, t, "setcomprehension");
        break;
    case T_OBJECT_COMP:
        show_comp(p, t, "objectcomprehension");
        break;
    case T_AND:
    case T_OR:
    case T_NOT:
        show_logic(p, t);
        break;
    default:
        line_term(p, t);
    }
}

static void show_every(struct printer *p, const struct expr *e)
{
    line(p, "every");
    p->depth++;
    if (e->every.key != NULL) {
        show_term(p, e->every.key);
    }
    show_term(p, e->every.value);
    show_term(p, e->every.domain);
    show_body(p, e->every.body);
    p->depth--;
}

static void show_expr(struct printer *p, const struct expr *e, size_t index)
{
    char text[64];
    snprintf(text, sizeof text, "expr %sindex=%zu", e->negated ? "negated " : "", index);
    line(p, text);
    p->depth++;
    if (e->kind == E_SOME) {
        show_terms(p, "somedecl", e->symbols, e->n_symbols);
    } else if (e->kind == E_EVERY) {
        show_every(p, e);
    } else if (e->term->type == T_CALL) {
        show_call(p, e->term);
    } else {
        show_term(p, e->term);
    }
    for (size_t i = 0; i < e->n_with; i++) {
        show_terms(p, "with", (struct term *[]){e->with[i]->target, e->with[i]->value}, 2);
    }
    p->depth--;
}

static void show_body(struct printer *p, const struct body *b)
{
    line(p, "body");
    p->depth++;
    for (size_t i = 0; i < b->n; i++) {
        show_expr(p, b->v[i], i);
    }
    p->depth--;
}

static void show_rule(struct printer *p, const struct rule *r)
{
    for (size_t deeper = 0;; r = r->otherwise, deeper++) {
        line(p, "rule");
        p->depth++;
        line(p, "head");
        p->depth++;
        show_term(p, r->head->ref);
        if (r->head->n_args > 0) {
            show_terms(p, "args", r->head->args, r->head->n_args);
        }
        if (r->head->value != NULL && r->head->key == NULL) {
            show_term(p, r->head->value);
        }
        p->depth--;
        show_body(p, r->body);
        if (r->otherwise == NULL) {
            p->depth -= deeper + 1;
            return;
        }
    }
}

static void show_import(struct printer *p, const struct import *imp)
{
    line(p, "import");
    p->depth++;
    show_term(p, imp->path);
    for (size_t i = 0; i < p->depth; i++) {
        buf_putc(p->out, ' ');
    }
    buf_puts(p->out, imp->alias); /* a line of its own even when there is none */
    buf_putc(p->out, '\n');
    p->depth--;
}

void ast_to_pretty(struct buf *out, const struct module *m, bool comments)
{
    struct printer p = {.out = out};
    line(&p, "module");
    p.depth = 1;
    line(&p, "package");
    p.depth = 2;
    show_term(&p, m->package);
    p.depth = 1;
    for (size_t i = 0; i < m->n_imports; i++) {
        show_import(&p, m->imports[i]);
    }
    for (size_t i = 0; i < m->n_rules; i++) {
        show_rule(&p, m->rules[i]);
    }
    for (size_t i = 0; comments && i < m->n_comments; i++) {
        line(&p, "comment");
    }
}
