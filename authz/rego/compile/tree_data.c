/* Rules where base data stands: one would hide the other. */
#include "authz/rego/compile/compile_priv.h"

static bool is_rule(const struct node *n)
{
    return n->first != NULL && n->n_dynamic == 0;
}

static void hidden_rule(struct rego_errors *errors, const struct node *n, struct str path)
{
    rego_errors_add(errors, "rego_compile_error", n->first->module->file, n->first->loc,
                    "conflicting rule for data path %.*s found", STR_FMT(path));
}

/* All rules below a place where data is that has no members. */
static void hidden_below(struct rego_errors *errors, const struct node *n, struct str path)
{
    for (size_t i = 0; i < n->n_children; i++) {
        const struct node *child = n->children[i];
        struct str key = val_is(child->key, V_STRING) ? val_text(child->key)
                                                      : val_rego_text(errors->a, child->key);
        struct str at = arena_printf(errors->a, "%.*s/%.*s", STR_FMT(path), STR_FMT(key));
        if (is_rule(child)) {
            hidden_rule(errors, child, at);
        } else {
            hidden_below(errors, child, at);
        }
    }
}

/* A rule where base data stands would hide it. */
static void check_data(struct rego_errors *errors, const struct node *n, struct val data,
                       struct str path)
{
    struct arena *a = errors->a;
    for (size_t i = 0; i < n->n_children && val_is(data, V_OBJECT); i++) {
        struct node *child = n->children[i];
        struct val below = val_get(data, child->key);
        if (val_undef(below)) {
            continue;
        }
        struct str key =
            val_is(child->key, V_STRING) ? val_text(child->key) : val_rego_text(a, child->key);
        struct str at =
            path.n == 0 ? key : arena_printf(a, "%.*s/%.*s", STR_FMT(path), STR_FMT(key));
        if (is_rule(child)) {
            hidden_rule(errors, child, at);
        } else if (val_is(below, V_OBJECT)) {
            check_data(errors, child, below, at);
        } else {
            hidden_below(errors, child, at);
        }
    }
}

void rego_data_conflicts(const struct rego_policy *p, const struct str *path, size_t n,
                         struct val v, struct rego_errors *errors)
{
    const struct node *at = p->root;
    struct str text = STR_EMPTY;
    for (size_t i = 0; i < n && at != NULL; i++) {
        at = node_child(at, val_str(errors->a, path[i]));
        text = i == 0 ? path[0]
                      : arena_printf(errors->a, "%.*s/%.*s", STR_FMT(text), STR_FMT(path[i]));
        if (at != NULL && is_rule(at)) {
            hidden_rule(errors, at, text);
            return;
        }
    }
    if (at != NULL && val_is(v, V_OBJECT)) {
        check_data(errors, at, v, text);
    } else if (at != NULL && !val_undef(v)) {
        hidden_below(errors, at, text);
    }
}

void tree_check_data(struct compiler *c)
{
    size_t before = c->errors->n;
    if (c->o->data != NULL) {
        check_data(c->errors, c->p->root, *c->o->data, STR_EMPTY);
    }
    c->stop |= c->errors->n > before;
}
