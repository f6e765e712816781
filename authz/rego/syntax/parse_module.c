/* A module from its statements: what stands where, and what the version of the language asks of rules. */
#include "authz/rego/syntax/parse_priv.h"

#include <stdarg.h>

static void module_error(struct parser *p, struct loc loc, const char *fmt, ...) PRINTF_LIKE(3, 4);

static void module_error(struct parser *p, struct loc loc, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (p->errors.n < PARSE_ERRORS_MAX) {
        rego_errors_add(&p->errors, "rego_parse_error", p->file, loc, "%s", text);
    }
}

static bool is_import_of(const struct import *imp, const char *root, const char *word)
{
    const struct term *path = imp->path;
    return path->list.n == 2 && str_is(path->list.v[0]->var.name, root) &&
           str_is(path->list.v[1]->str, word);
}

static void add_import(struct parser *p, struct module *m, struct import *imp)
{
    m->imports = arena_grow(p->a, m->imports, m->n_imports, m->n_imports + 1, &m->cap_imports,
                            sizeof *m->imports);
    m->imports[m->n_imports++] = imp;
    if (is_import_of(imp, "rego", "v1")) {
        m->effective = MAX(m->effective, REGO_V1);
    } else if (is_import_of(imp, "rego", "v2")) {
        m->effective = MAX(m->effective, REGO_V2);
    }
}

static void add_rule(struct parser *p, struct module *m, struct rule *r)
{
    for (struct rule *e = r; e != NULL; e = e->otherwise) {
        e->module = m;
    }
    m->rules =
        arena_grow(p->a, m->rules, m->n_rules, m->n_rules + 1, &m->cap_rules, sizeof *m->rules);
    m->rules[m->n_rules++] = r;
}

/* The name that a statement was read as, where only the missing import of a keyword explains it. */
static struct str lone_name(const struct statement *s)
{
    const struct term *t = NULL;
    if (s->kind == ST_RULE && s->rule->head->named) {
        t = s->rule->head->ref->list.v[0];
    } else if (s->kind == ST_BODY && s->body->n == 1 && s->body->v[0]->kind == E_TERM) {
        t = s->body->v[0]->term;
    }
    return t != NULL && t->type == T_VAR ? t->var.name : STR_EMPTY;
}

/* `p if { … }` without the import reads as `p` and a rule named `if`. */
static const char *missing_keyword(const struct parser *p, const struct module *m, size_t i)
{
    if (m->effective != REGO_V0) {
        return "";
    }
    for (size_t k = i; k < MIN(p->n_statements, i + 2); k++) {
        const struct statement *s = &p->statements[k];
        struct str name = s->loc.row == p->statements[i].loc.row ? lone_name(s) : STR_EMPTY;
        if (str_is(name, "if")) {
            return " (hint: `import future.keywords.if` for `p if { ... }` rules)";
        }
        if (str_is(name, "contains")) {
            return " (hint: `import future.keywords.contains` for `p contains x` rules)";
        }
    }
    return "";
}

static void add_body(struct parser *p, struct module *m, size_t i)
{
    const struct body *b = p->statements[i].body;
    const char *why = NULL;
    struct rule *r = rule_from_body(p, b, &why);
    if (r == NULL) {
        module_error(p, b->v[0]->loc, "%s%s", why, missing_keyword(p, m, i));
        return;
    }
    r->generated_body = true;
    add_rule(p, m, r);
}

static void check_v1_rule(struct parser *p, const struct rule *r)
{
    const struct head *h = r->head;
    const char *what = h->n_args > 0 ? "function" : "rule";
    struct str name = h->ref->list.v[0]->type == T_VAR ? h->ref->list.v[0]->var.name : STR_EMPTY;
    if (h->ref->list.n < 2 && is_keyword_in_version(name, REGO_V1)) {
        module_error(p, r->loc, "%.*s keyword cannot be used for rule name", STR_FMT(name));
    }
    if (r->generated_body && h->generated_value) {
        module_error(p, r->loc, "%s must have value assignment and/or body declaration", what);
    }
    if (!r->generated_body && !h->uses_if && !r->is_default) {
        module_error(p, r->loc, "`if` keyword is required before %s body", what);
    }
    if (h->key != NULL && !h->uses_contains) {
        module_error(p, r->loc, "`contains` keyword is required for partial set rules");
    }
}

static void add_rest(struct parser *p, struct module *m)
{
    for (size_t i = 1; i < p->n_statements; i++) {
        struct statement *s = &p->statements[i];
        switch (s->kind) {
        case ST_PACKAGE:
            module_error(p, s->loc, "unexpected package");
            break;
        case ST_IMPORT:
            add_import(p, m, s->import);
            break;
        case ST_RULE:
            add_rule(p, m, s->rule);
            break;
        case ST_BODY:
            add_body(p, m, i);
            break;
        }
    }
}

bool assemble_module(struct parser *p, struct module *m)
{
    if (p->n_statements == 0) {
        module_error(p, (struct loc){0}, "empty module");
        p->errors.v[0].whole_file = true;
        return false;
    }
    const struct statement *first = &p->statements[0];
    m->has_package = first->kind == ST_PACKAGE;
    if (m->has_package) {
        m->package = first->package;
        m->package_loc = first->loc;
    } else {
        module_error(p, first->loc, "package expected");
    }
    add_rest(p, m);
    for (size_t i = 0; m->effective >= REGO_V1 && i < m->n_rules; i++) {
        for (const struct rule *r = m->rules[i]; r != NULL; r = r->otherwise) {
            check_v1_rule(p, r);
        }
    }
    return p->errors.n == 0;
}
