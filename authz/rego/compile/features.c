/* Features of the language that capabilities may leave out: heads that are references, imports, templates. */
#include "authz/rego/compile/compile_priv.h"
#include "authz/rego/syntax/visit.h"

static struct str text_of_term(struct compiler *c, const struct term *t)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, t);
    struct str s = arena_str(c->a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* `p`, and in the old way `p[x]`, need nothing. */
static void check_head(struct compiler *c, const struct rule *r)
{
    const struct capabilities *caps = c->caps;
    const struct term *ref = r->head->ref;
    bool new = caps->rego_v1 || caps->rego_v2;
    bool prefixes = new || caps->rule_head_ref_string_prefixes,
         general = new || caps->rule_head_refs;
    bool dotted = ref->list.n > 2 || (ref->list.n == 2 && ref->list.v[1]->type == T_STRING &&
                                      r->head->key == NULL && !r->head->named);
    if (!prefixes && !general && dotted) {
        compile_error(c, "rego_compile_error", r->loc,
                      "rule heads with refs are not supported: %.*s",
                      STR_FMT(text_of_term(c, ref)));
        return;
    }
    for (size_t i = 1; i < ref->list.n && !general; i++) {
        bool last = i + 1 == ref->list.n;
        if ((r->head->key != NULL || !last) && ref->list.v[i]->type != T_STRING) {
            compile_error(
                c, "rego_type_error", r->loc,
                "rule heads with general refs (containing variables) are not supported: %.*s",
                STR_FMT(text_of_term(c, ref)));
        }
    }
}

static bool find_template(struct visitor *v, struct term *t)
{
    struct compiler *c = v->ctx;
    if (t->type == T_TEMPLATE) {
        compile_error(c, "rego_compile_error", t->loc, "template-strings are not supported");
        return false;
    }
    return true;
}

static void check_import(struct compiler *c, const struct import *imp)
{
    const struct capabilities *caps = c->caps;
    const struct term *path = imp->path;
    if (path->list.n != 2 || !str_is(path->list.v[0]->var.name, "rego") ||
        path->list.v[1]->type != T_STRING) {
        return;
    }
    bool v1 = str_is(path->list.v[1]->str, "v1"), v2 = str_is(path->list.v[1]->str, "v2");
    if ((v1 && !caps->rego_v1_import && !caps->rego_v1 && !caps->rego_v2) ||
        (v2 && !caps->rego_v2_import && !caps->rego_v2)) {
        compile_note(c, "rego_compile_error", imp->loc, "rego.%s import is not supported",
                     v1 ? "v1" : "v2");
    }
}

void check_features(struct compiler *c)
{
    struct visitor v = {.term = find_template, .ctx = c};
    for (size_t u = 0; c->caps->limited && u < c->p->n_units; u++) {
        const struct module *m = c->p->units[u].m;
        c->unit = &c->p->units[u];
        bool templates = c->caps->template_strings || (m->version == REGO_V2 && c->caps->rego_v2);
        for (size_t i = 0; i < m->n_imports; i++) {
            check_import(c, m->imports[i]);
        }
        for (size_t i = 0; i < m->n_rules; i++) {
            check_head(c, m->rules[i]);
            for (struct rule *r = m->rules[i]; r != NULL && !templates; r = r->otherwise) {
                visit_rule(&v, r);
            }
        }
    }
}
