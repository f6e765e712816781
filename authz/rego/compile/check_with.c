/* What `with` may replace: input, base and virtual documents, functions; and by what. */
#include "authz/rego/compile/compile_priv.h"
#include "authz/rego/syntax/visit.h"

static bool is_root(const struct term *t, const char *name)
{
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    return head->type == T_VAR && head->var.local == NULL && str_is(head->var.name, name);
}

static const struct builtin *builtin_named(struct compiler *c, struct term *t)
{
    struct callee callee;
    if (t->type != T_VAR && t->type != T_REF) {
        return NULL;
    }
    const struct term *head = t->type == T_REF ? t->list.v[0] : t;
    if (head->type != T_VAR || head->var.local != NULL || is_root(t, "data") ||
        is_root(t, "input")) {
        return NULL;
    }
    return find_callee(c, t, &callee) ? callee.builtin : NULL;
}

static void check_builtin_target(struct compiler *c, const struct builtin *b, struct loc loc)
{
    static const char prefix[] = "with keyword replacing built-in function:";
    struct str name = str_of(b->name);
    if (str_is(name, "eq") || str_is(name, "rego.metadata.chain") ||
        str_is(name, "rego.metadata.rule")) {
        compile_error(c, "rego_compile_error", loc, "%s replacement of \"%s\" invalid", prefix,
                      b->name);
    } else if (str_starts(name, S("internal."))) {
        compile_error(c, "rego_compile_error", loc,
                      "%s replacement of internal function \"%s\" invalid", prefix, b->name);
    } else if ((b->flags & BF_RELATION) != 0) {
        compile_error(c, "rego_compile_error", loc, "%s target must not be a relation", prefix);
    } else if ((b->flags & BF_VOID) != 0) {
        compile_error(c, "rego_compile_error", loc, "%s target must not be a void function",
                      prefix);
    }
}

/* Only what a rule defines as a whole can be replaced, not a part of it. */
static void check_data_target(struct compiler *c, const struct term *t)
{
    struct node *n = c->p->root;
    for (size_t i = 1; t->type == T_REF && i + 1 < t->list.n; i++) {
        struct val k = term_const(c->a, t->list.v[i]);
        n = val_undef(k) ? NULL : node_child(n, k);
        if (n == NULL) {
            return;
        }
        if (n->n_all > 0) {
            compile_error(c, "rego_compile_error", t->loc,
                          "with keyword cannot partially replace virtual document(s)");
            return;
        }
    }
}

static void check_with(struct compiler *c, struct with *w)
{
    const struct builtin *b = builtin_named(c, w->target);
    if (is_root(w->target, "data")) {
        check_data_target(c, w->target);
    } else if (b != NULL) {
        check_builtin_target(c, b, w->target->loc);
    } else if (!is_root(w->target, "input")) {
        compile_error(c, "rego_type_error", w->target->loc,
                      "with keyword target must reference existing input, data, or a function");
    }
}

static bool withs_of_expr(struct visitor *v, struct expr *e)
{
    struct compiler *c = v->ctx;
    bool before = c->stop;
    c->stop = false;
    for (size_t i = 0; i < e->n_with && !c->stop; i++) {
        check_with(c, e->with[i]);
    }
    c->stop |= before;
    return true;
}

void check_withs(struct compiler *c, struct crule *cr)
{
    struct visitor v = {.expr = withs_of_expr, .ctx = c};
    visit_rule(&v, cr->rule);
}

void check_withs_of_body(struct compiler *c, struct body *b)
{
    struct visitor v = {.expr = withs_of_expr, .ctx = c};
    visit_body(&v, b);
}
