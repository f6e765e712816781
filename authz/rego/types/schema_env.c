/* What JSON Schemas tell about input and data: for all rules, or where an annotation says so. */
#include "authz/rego/compile/metadata.h"
#include "authz/rego/types/check_priv.h"
#include "authz/rego/types/schema_type.h"

static bool has_schemas(const struct compiler *c)
{
    return !c->query && c->o->schemas.w != 0 && val_is(c->o->schemas, V_OBJECT);
}

static void wrong_schema(struct checker *k, struct str message)
{
    const struct rule *r = k->c->rule;
    struct rego_error e = {.code = "rego_type_error", .message = message};
    if (r != NULL) {
        e.file = r->module->file;
        e.loc = r->loc;
    }
    compile_detailed(k->c, r == NULL, &e);
}

void schema_input(struct checker *k, struct type_env *outer)
{
    struct val document = has_schemas(k->c) ? val_get_str(k->c->o->schemas, "schema") : VAL_UNDEF,
               input;
    struct str why = STR_EMPTY;
    if (val_undef(document)) {
        return;
    }
    const struct type *t = type_of_schema(k->a, document, &why);
    if (t == NULL) {
        wrong_schema(k, why);
        return;
    }
    input = val_str(k->a, S("input"));
    type_tree_put(k->a, outer->tree, &input, 1, t);
}

static struct str ref_text(struct checker *k, const struct term *t)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    term_write(&b, t);
    struct str s = arena_str(k->a, buf_str(&b));
    buf_release(&b);
    return s;
}

static struct str dotted(struct checker *k, const struct term *ref)
{
    struct str s = ref->list.v[0]->var.name;
    for (size_t i = 1; i < ref->list.n; i++) {
        const struct term *t = ref->list.v[i];
        s = arena_printf(k->a, "%.*s.%.*s", STR_FMT(s),
                         STR_FMT(t->type == T_STRING ? t->str : STR_EMPTY));
    }
    return s;
}

/* The type an annotation names; NULL: it says nothing, or an error was told. */
static const struct type *noted_type(struct checker *k, const struct schema_note *n)
{
    struct val document = n->definition;
    struct str name = n->schema != NULL ? ref_text(k, n->schema) : STR_EMPTY, why = STR_EMPTY;
    if (n->schema != NULL) {
        if (!has_schemas(k->c)) {
            return NULL;
        }
        const struct type *known = map_get(k->schemas, name);
        if (known != NULL) {
            return known;
        }
        document = val_get(k->c->o->schemas, val_str(k->a, name));
        if (val_undef(document)) { /* files are known by their path, whatever is in it */
            document = val_get(k->c->o->schemas, val_str(k->a, dotted(k, n->schema)));
        }
        if (val_undef(document)) {
            wrong_schema(k, arena_printf(k->a, "undefined schema: %.*s", STR_FMT(name)));
            return NULL;
        }
    }
    const struct type *t = type_of_schema(k->a, document, &why);
    if (t == NULL) {
        wrong_schema(k, why);
    } else if (n->schema != NULL) {
        map_set(k->schemas, name, (void *)(uintptr_t)t);
    }
    return t;
}

/* Objects around `t`, one for each key. */
static const struct type *around(struct checker *k, const struct val *keys, size_t n,
                                 const struct type *t, const struct type *like)
{
    for (; n > 0; n--) {
        struct type_prop *p = arena_new(k->a, struct type_prop);
        *p = (struct type_prop){keys[n - 1], t};
        bool open = like == NULL || like->object.open;
        t = !open          ? type_object(k->a, p, 1)
            : like == NULL ? type_open_object(k->a, p, 1, type_any(), type_any())
                           : type_open_object(k->a, p, 1, like->object.key, like->object.value);
    }
    return t;
}

/* `t` with `o` at the place of the keys. */
static const struct type *overridden(struct checker *k, const struct val *keys, size_t n,
                                     const struct type *t, const struct type *o)
{
    t = type_plain(t);
    if (!type_is(t, TY_OBJECT)) {
        return around(k, keys, n, o, NULL);
    }
    struct type_prop *props = arena_array(k->a, struct type_prop, t->object.n + 2);
    size_t count = t->object.n;
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        props[i] = t->object.props[i];
        if (val_eq(props[i].key, keys[0])) {
            found = true;
            props[i].value = n == 1 ? o : overridden(k, keys + 1, n - 1, props[i].value, o);
        }
    }
    if (!found) {
        const struct type *added = around(k, keys, n, o, t);
        props[count++] = added->object.props[0];
    }
    return t->object.open ? type_open_object(k->a, props, count, t->object.key, t->object.value)
                          : type_object(k->a, props, count);
}

static void apply(struct checker *k, const struct schema_note *n, struct type_env *layer)
{
    const struct type *t = noted_type(k, n);
    size_t len = n->path->list.n;
    if (t == NULL || n->path->list.v[0]->type != T_VAR) {
        return;
    }
    struct val *path = arena_array(k->a, struct val, len + 1);
    path[0] = val_str(k->a, n->path->list.v[0]->var.name);
    for (size_t i = 1; i < len; i++) {
        path[i] = term_const(k->a, n->path->list.v[i]);
        if (val_undef(path[i])) {
            return;
        }
    }
    if (len > 1) {
        t = overridden(k, path + 1, len - 1, infer(k, n->path->list.v[0]), t);
    }
    type_tree_put(k->a, layer->tree, path, 1, t);
}

/* Outer annotations first, so that inner ones win. */
struct type_env *schema_env(struct checker *k, const struct crule *cr, struct type_env *env)
{
    size_t n;
    struct annotation **chain = metadata_chain(k->a, cr, &n);
    struct type_env *outer = k->env, *layer = NULL;
    for (size_t i = n; i > 0; i--) {
        for (size_t s = 0; s < chain[i - 1]->n_schemas; s++) {
            if (layer == NULL) {
                layer = arena_new(k->a, struct type_env);
                *layer = (struct type_env){env, type_tree_new(k->a)};
                k->env = layer;
            }
            apply(k, &chain[i - 1]->schemas[s], layer);
        }
    }
    k->env = outer;
    return layer != NULL ? layer : env;
}
