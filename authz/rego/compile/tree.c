/* The tree of documents: packages, rules by their place, and the graph of who uses whom. */
#include "authz/rego/compile/compile_priv.h"

struct node *node_child(const struct node *n, struct val key)
{
    if (n->by_name != NULL && val_is(key, V_STRING)) {
        return map_get(n->by_name, val_text(key));
    }
    for (size_t i = 0; i < n->n_children; i++) {
        if (val_eq(n->children[i]->key, key)) {
            return n->children[i];
        }
    }
    return NULL;
}

enum { BY_NAME_FROM = 8 };

static void index_children(struct compiler *c, struct node *n)
{
    if (n->by_name == NULL) {
        n->by_name = arena_new(c->a, struct map);
        map_init(n->by_name);
        for (size_t i = 0; i < n->n_children; i++) {
            if (val_is(n->children[i]->key, V_STRING)) {
                map_set(n->by_name, val_text(n->children[i]->key), n->children[i]);
            }
        }
        return;
    }
    struct node *last = n->children[n->n_children - 1];
    if (val_is(last->key, V_STRING)) {
        map_set(n->by_name, val_text(last->key), last);
    }
}

struct node *node_make(struct compiler *c, struct node *parent, struct val key)
{
    struct node *n = node_child(parent, key);
    if (n != NULL) {
        return n;
    }
    n = arena_new(c->a, struct node);
    n->key = key;
    n->parent = parent;
    n->id = c->p->n_nodes++;
    n->depth = parent->depth + 1;
    n->arity = -1;
    parent->children =
        arena_grow(c->a, parent->children, parent->n_children, parent->n_children + 1,
                   &parent->cap_children, sizeof *parent->children);
    parent->children[parent->n_children++] = n;
    if (parent->n_children >= BY_NAME_FROM) {
        index_children(c, parent);
    }
    return n;
}

struct val term_const(struct arena *a, const struct term *t)
{
    struct vlist l = {.a = a};
    switch (t->type) {
    case T_NULL:
        return VAL_NULL;
    case T_BOOL:
        return val_bool(t->boolean);
    case T_NUMBER:
        return val_num(a, t->num);
    case T_STRING:
        return val_str(a, t->str);
    case T_ARRAY:
    case T_SET:
    case T_OBJECT:
        for (size_t i = 0; i < t->list.n; i++) {
            struct val v = term_const(a, t->list.v[i]);
            if (val_undef(v)) {
                return VAL_UNDEF;
            }
            vlist_add(&l, v);
        }
        return t->type == T_ARRAY ? vlist_array(&l)
               : t->type == T_SET ? vlist_set(&l)
                                  : vlist_object(&l);
    default:
        return VAL_UNDEF;
    }
}

struct term *term_of_val(struct arena *a, struct val v, struct loc loc)
{
    static const enum term_type types[] = {
        [V_NULL] = T_NULL,   [V_BOOL] = T_BOOL,     [V_NUMBER] = T_NUMBER, [V_STRING] = T_STRING,
        [V_ARRAY] = T_ARRAY, [V_OBJECT] = T_OBJECT, [V_SET] = T_SET};
    struct term *t = term_new(a, types[val_type(v)], loc);
    switch (t->type) {
    case T_BOOL:
        t->boolean = val_is_true(v);
        break;
    case T_NUMBER:
        t->num = val_number(v);
        break;
    case T_STRING:
        t->str = val_text(v);
        break;
    case T_ARRAY:
    case T_OBJECT:
    case T_SET:
        for (uint32_t i = 0; i < val_len(v); i++) {
            if (t->type == T_OBJECT) {
                term_push(a, t, term_of_val(a, val_nth_key(a, v, i), loc));
            }
            term_push(a, t, term_of_val(a, val_nth(v, i), loc));
        }
        break;
    default:
        break;
    }
    return t;
}

size_t ground_prefix(const struct term *ref)
{
    size_t i = 1;
    while (i < ref->list.n && ref->list.v[i]->type <= T_STRING) {
        i++;
    }
    return i;
}

#define PUSH(c, n, list, count, cap, item)                                                         \
    do {                                                                                           \
        (n)->list = arena_grow((c)->a, (n)->list, (n)->count, (n)->count + 1, &(n)->cap,           \
                               sizeof *(n)->list);                                                 \
        (n)->list[(n)->count++] = (item);                                                          \
    } while (0)

static struct crule *new_crule(struct compiler *c, struct policy_unit *u, struct node *n,
                               struct rule *r, size_t prefix)
{
    struct crule *cr = arena_new(c->a, struct crule);
    cr->rule = r;
    cr->node = n;
    cr->unit = u;
    cr->id = c->n_crules++;
    cr->tail = r->head->ref->list.v + prefix;
    cr->n_tail = r->head->ref->list.n - prefix;
    if (r->otherwise != NULL) {
        cr->otherwise = new_crule(c, u, n, r->otherwise, prefix);
    }
    return cr;
}

static void add_rule(struct compiler *c, struct policy_unit *u, struct rule *r)
{
    struct term *ref = r->head->ref;
    size_t prefix = ground_prefix(ref);
    struct node *n = node_make(c, u->package, val_str(c->a, ref->list.v[0]->var.name));
    for (size_t i = 1; i < prefix; i++) {
        n = node_make(c, n, term_const(c->a, ref->list.v[i]));
    }
    struct crule *cr = new_crule(c, u, n, r, prefix);
    PUSH(c, c, rules, n_rules, cap_rules, cr);
    PUSH(c, n, all, n_all, cap_all, cr);
    n->first = n->first == NULL ? r : n->first;
    for (struct node *up = n->parent; up != NULL && !up->has_rules_below; up = up->parent) {
        up->has_rules_below = true;
    }
    if (r->head->n_args > 0) { /* f() of old is a rule like any other */
        n->func = true;
        n->arity = (int)r->head->n_args;
    }
    if (r->is_default) {
        n->fallback = cr;
    } else if (cr->n_tail > 0) {
        PUSH(c, n, dynamic, n_dynamic, cap_dynamic, cr);
    } else if (r->head->key != NULL) {
        PUSH(c, n, sets, n_sets, cap_sets, cr);
    } else {
        PUSH(c, n, complete, n_complete, cap_complete, cr);
    }
}

void tree_add_rules(struct compiler *c)
{
    for (size_t i = 0; i < c->p->n_units; i++) {
        struct policy_unit *u = &c->p->units[i];
        for (size_t k = 0; k < u->m->n_rules; k++) {
            add_rule(c, u, u->m->rules[k]);
        }
    }
}

struct str node_path(struct arena *a, const struct node *n)
{
    if (n->parent == NULL) {
        return S("data");
    }
    struct str up = node_path(a, n->parent);
    if (!val_is(n->key, V_STRING)) {
        return arena_printf(a, "%.*s[%.*s]", STR_FMT(up), STR_FMT(val_rego_text(a, n->key)));
    }
    struct str k = val_text(n->key);
    bool plain = k.n > 0;
    for (size_t i = 0; i < k.n; i++) {
        char ch = k.p[i];
        plain &= (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_' ||
                 (i > 0 && ch >= '0' && ch <= '9');
    }
    if (plain) {
        return arena_printf(a, "%.*s.%.*s", STR_FMT(up), STR_FMT(k));
    }
    return arena_printf(a, "%.*s[%.*s]", STR_FMT(up), STR_FMT(val_rego_text(a, n->key)));
}
