/* Names that mean something already: imports, root documents, deprecated builtins. */
#include "authz/rego/compile/compile_priv.h"
#include "authz/rego/syntax/visit.h"

static bool is_root_document(const struct term *t)
{
    const struct term *v = t->type == T_REF && t->list.n == 1 ? t->list.v[0] : t;
    return v->type == T_VAR && (str_is(v->var.name, "input") || str_is(v->var.name, "data"));
}

static struct str root_name(const struct term *t)
{
    return t->type == T_REF ? t->list.v[0]->var.name : t->var.name;
}

static const struct term *root_in_argument(const struct term *t)
{
    if (is_root_document(t)) {
        return t;
    }
    bool object = t->type == T_OBJECT;
    for (size_t i = object; (object || t->type == T_ARRAY) && i < t->list.n; i += object ? 2 : 1) {
        const struct term *found = root_in_argument(t->list.v[i]);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

void check_argument_names(struct compiler *c, struct crule *cr)
{
    for (size_t i = 0; i < cr->rule->head->n_args; i++) {
        const struct term *t = root_in_argument(cr->rule->head->args[i]);
        if (t != NULL) {
            compile_error(c, "rego_compile_error", cr->rule->loc,
                          "args must not shadow %.*s (use a different variable name)",
                          STR_FMT(root_name(t)));
            return;
        }
    }
}

/* Checks that came with v1 hold for modules of v0 in strict mode only. */
static bool is_strict(const struct compiler *c, const struct module *m)
{
    return c->o->strict || m->effective >= REGO_V1 || m->version >= REGO_V1;
}

static struct str import_name(const struct import *imp)
{
    const struct term *last = imp->path->list.v[imp->path->list.n - 1];
    return imp->alias.n > 0 ? imp->alias : last->type == T_VAR ? last->var.name : last->str;
}

static struct str import_text(struct compiler *c, const struct import *imp)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    buf_puts(&b, S("import "));
    term_write(&b, imp->path);
    if (imp->alias.n > 0) {
        buf_printf(&b, " as %.*s", STR_FMT(imp->alias));
    }
    struct str s = arena_str(c->a, buf_str(&b));
    buf_release(&b);
    return s;
}

void check_imports(struct compiler *c)
{
    for (size_t u = 0; u < c->p->n_units; u++) {
        const struct module *m = c->p->units[u].m;
        c->unit = &c->p->units[u];
        if (!is_strict(c, m)) {
            continue;
        }
        struct map seen;
        map_init(&seen);
        for (size_t i = 0; i < m->n_imports; i++) {
            struct import *first = map_get(&seen, import_name(m->imports[i]));
            if (first == NULL) {
                map_set(&seen, import_name(m->imports[i]), m->imports[i]);
                continue;
            }
            compile_note(c, "rego_compile_error", m->imports[i]->loc, "import must not shadow %.*s",
                         STR_FMT(import_text(c, first)));
        }
        map_release(&seen);
    }
}

void check_unused_imports(struct compiler *c)
{
    for (size_t u = 0; u < c->p->n_units && c->o->strict; u++) {
        const struct module *m = c->p->units[u].m;
        c->unit = &c->p->units[u];
        for (size_t i = 0; i < m->n_imports; i++) {
            const struct import *imp = m->imports[i];
            struct str root = imp->path->list.v[0]->var.name;
            struct global *g = map_get(&c->unit->globals, import_name(imp));
            bool used = g != NULL && g->imp != NULL && g->imp->used;
            if ((str_is(root, "data") || str_is(root, "input")) && !used) {
                compile_note(c, "rego_compile_error", imp->loc, "%.*s unused",
                             STR_FMT(import_text(c, imp)));
            }
        }
    }
}

static bool root_assigned(struct visitor *v, struct expr *e)
{
    struct compiler *c = v->ctx;
    if (e->kind == E_TERM && term_is_call_of(e->term, "assign") && e->term->list.n > 1 &&
        is_root_document(e->term->list.v[1])) {
        compile_note(c, "rego_compile_error", e->loc,
                     "variables must not shadow %.*s (use a different variable name)",
                     STR_FMT(root_name(e->term->list.v[1])));
    }
    return true;
}

void check_root_names(struct compiler *c)
{
    struct visitor v = {.expr = root_assigned, .ctx = c};
    for (size_t u = 0; u < c->p->n_units; u++) {
        const struct module *m = c->p->units[u].m;
        c->unit = &c->p->units[u];
        for (size_t i = 0; is_strict(c, m) && i < m->n_rules; i++) {
            const struct term *name = m->rules[i]->head->ref->list.v[0];
            if (is_root_document(name)) {
                compile_note(c, "rego_compile_error", m->rules[i]->loc,
                             "rules must not shadow %.*s (use a different rule name)",
                             STR_FMT(name->var.name));
            }
            for (struct rule *r = m->rules[i]; r != NULL; r = r->otherwise) {
                visit_rule(&v, r);
            }
        }
    }
}

void check_root_names_of_query(struct compiler *c, struct body *b)
{
    struct visitor v = {.expr = root_assigned, .ctx = c};
    if (c->strict || c->version >= REGO_V1) {
        visit_body(&v, b);
    }
}

static bool deprecated_call(struct visitor *v, struct term *t)
{
    struct compiler *c = v->ctx;
    if (t->type != T_CALL) {
        return true;
    }
    struct callee callee;
    if (find_callee(c, t->list.v[0], &callee) && callee.builtin != NULL &&
        (callee.builtin->flags & BF_DEPRECATED) != 0) {
        compile_note(c, "rego_type_error", t->loc,
                     "deprecated built-in function calls in expression: %s", callee.builtin->name);
    }
    return true;
}

static void deprecated_in(struct compiler *c, struct crule *cr)
{
    struct visitor v = {.term = deprecated_call, .ctx = c};
    if (is_strict(c, cr->unit->m)) {
        visit_rule(&v, cr->rule);
    }
}

void check_deprecated(struct compiler *c)
{
    compile_each(c, deprecated_in);
}

void check_deprecated_in_query(struct compiler *c, struct body *b)
{
    struct visitor v = {.term = deprecated_call, .ctx = c};
    if (c->strict || c->version >= REGO_V1) {
        visit_body(&v, b);
    }
}
