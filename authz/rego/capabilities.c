/* Capabilities as JSON: written from the table of signatures, read as limits. */
#include "authz/rego/capabilities.h"

#include "authz/rego/builtin/builtin.h"
#include "authz/rego/types/signature.h"

static struct val text(struct arena *a, const char *s)
{
    return val_str(a, str_of(s));
}

/* Members of an object stand in their written order in a list of pairs; the JSON writer sorts keys. */
static struct val type_json(struct arena *a, const struct type *t);

static struct val list_json(struct arena *a, struct type_list l)
{
    struct vlist out = {.a = a};
    for (size_t i = 0; i < l.n; i++) {
        vlist_add(&out, type_json(a, l.v[i]));
    }
    return vlist_array(&out);
}

static struct val prop_json(struct arena *a, struct val key, const struct type *value)
{
    struct vlist p = {.a = a};
    vlist_put(&p, "key", key);
    vlist_put(&p, "value", type_json(a, value));
    return vlist_object(&p);
}

static void object_json(struct vlist *o, const struct type *t)
{
    struct vlist props = {.a = o->a};
    for (size_t i = 0; i < t->object.n; i++) {
        vlist_add(&props, prop_json(o->a, t->object.props[i].key, t->object.props[i].value));
    }
    if (props.n > 0) {
        vlist_put(o, "static", vlist_array(&props));
    }
    if (t->object.open) {
        vlist_put(o, "dynamic", prop_json(o->a, type_json(o->a, t->object.key), t->object.value));
    }
}

static void func_json(struct vlist *o, const struct type *t)
{
    if (t->func.args.n > 0) {
        vlist_put(o, "args", list_json(o->a, t->func.args));
    }
    if (t->func.result != NULL) {
        vlist_put(o, "result", type_json(o->a, t->func.result));
    }
    if (t->func.variadic != NULL) {
        vlist_put(o, "variadic", type_json(o->a, t->func.variadic));
    }
}

static struct val type_json(struct arena *a, const struct type *t)
{
    static const char *const names[] = {
        [TY_NULL] = "null",     [TY_BOOL] = "boolean", [TY_NUMBER] = "number",
        [TY_STRING] = "string", [TY_ARRAY] = "array",  [TY_OBJECT] = "object",
        [TY_SET] = "set",       [TY_ANY] = "any",      [TY_FUNC] = "function",
        [TY_RECURSIVE] = "any"};
    struct vlist o = {.a = a};
    vlist_put(&o, "type", text(a, names[t->kind]));
    if (t->kind == TY_ARRAY && t->array.items.n > 0) {
        vlist_put(&o, "static", list_json(a, t->array.items));
    }
    if (t->kind == TY_ARRAY && t->array.rest != NULL) {
        vlist_put(&o, "dynamic", type_json(a, t->array.rest));
    }
    if (t->kind == TY_OBJECT) {
        object_json(&o, t);
    }
    if (t->kind == TY_SET && t->of != NULL) {
        vlist_put(&o, "of", type_json(a, t->of));
    }
    if (t->kind == TY_ANY && t->any.n > 0) {
        vlist_put(&o, "of", list_json(a, t->any));
    }
    if (t->kind == TY_FUNC) {
        func_json(&o, t);
    }
    return vlist_object(&o);
}

static void write_indented(struct buf *out, struct val v, const char *indent)
{
    struct buf b;
    buf_init(&b, CAPABILITIES_JSON_MAX);
    val_to_json_pretty(&b, v, "  ", true);
    struct str rest = buf_str(&b);
    for (bool first = true; rest.p != NULL; first = false) {
        struct str line = str_split(&rest, '\n');
        if (!first && line.n > 0) {
            buf_printf(out, "\n%s", indent);
        }
        buf_puts(out, line);
    }
    buf_release(&b);
}

static void write_member(struct buf *out, const char *name, struct val v)
{
    buf_printf(out, ",\n      \"%s\": ", name);
    write_indented(out, v, "      ");
}

static void write_builtin(struct buf *out, struct arena *a, const struct signature *s)
{
    buf_printf(out, "    {\n      \"name\": \"%s\"", s->name);
    write_member(out, "decl", type_json(a, signature_type(a, s)));
    if (s->infix != NULL) {
        write_member(out, "infix", text(a, s->infix));
    }
    static const struct {
        unsigned flag;
        const char *name;
    } flags[] = {
        {BF_RELATION, "relation"}, {BF_DEPRECATED, "deprecated"}, {BF_NONDET, "nondeterministic"}};
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if ((s->flags & flags[i].flag) != 0) {
            write_member(out, flags[i].name, VAL_TRUE);
        }
    }
    buf_puts(out, S("\n    }"));
}

static void write_words(struct buf *out, const char *name, const char *const *words)
{
    buf_printf(out, "  \"%s\": [", name);
    for (size_t i = 0; words[i] != NULL; i++) {
        buf_printf(out, "%s\n    \"%s\"", i > 0 ? "," : "", words[i]);
    }
    buf_puts(out, S("\n  ]"));
}

void rego_capabilities_write(struct buf *out, bool v0_compatible)
{
    static const char *const keywords[] = {"and", "not", "or", NULL};
    static const char *const keywords_v0[] = {"and", "contains", "every", "if",
                                              "in",  "not",      "or",    NULL};
    static const char *const features[] = {"keywords_in_refs", "rego_v1",          "rego_v2",
                                           "rego_v2_import",   "template_strings", NULL};
    static const char *const features_v0[] = {"keywords_in_refs", "rego_v1",
                                              "rego_v1_import",   "rego_v2",
                                              "rego_v2_import",   "rule_head_ref_string_prefixes",
                                              "rule_head_refs",   NULL};
    struct arena a;
    arena_init(&a, 16 << 20);
    buf_puts(out, S("{\n  \"builtins\": [\n"));
    for (size_t i = 0; i < n_signatures; i++) {
        buf_puts(out, i > 0 ? S(",\n") : S(""));
        write_builtin(out, &a, &signatures[i]);
    }
    buf_puts(out, S("\n  ],\n"));
    write_words(out, "future_keywords", v0_compatible ? keywords_v0 : keywords);
    buf_puts(out, S(",\n  \"wasm_abi_versions\": [\n    {\n      \"version\": 1,\n"
                    "      \"minor_version\": 1\n    },\n    {\n      \"version\": 1,\n"
                    "      \"minor_version\": 2\n    }\n  ],\n"));
    write_words(out, "features", v0_compatible ? features_v0 : features);
    buf_puts(out, S("\n}\n"));
    arena_release(&a);
}

static bool has_word(struct val list, const char *word)
{
    for (uint32_t i = 0; val_is(list, V_ARRAY) && i < val_len(list); i++) {
        struct val v = val_nth(list, i);
        if (val_is(v, V_STRING) && str_is(val_text(v), word)) {
            return true;
        }
    }
    return false;
}

static void read_features(struct val v, struct capabilities *out)
{
    struct val list = val_get_str(v, "features");
    out->rego_v1 = has_word(list, "rego_v1");
    out->rego_v1_import = has_word(list, "rego_v1_import");
    out->rego_v2 = has_word(list, "rego_v2");
    out->rego_v2_import = has_word(list, "rego_v2_import");
    out->rule_head_refs = has_word(list, "rule_head_refs");
    out->rule_head_ref_string_prefixes = has_word(list, "rule_head_ref_string_prefixes");
    out->template_strings = has_word(list, "template_strings");
    out->keywords_in_refs = has_word(list, "keywords_in_refs");
}

struct err capabilities_read(struct val v, struct capabilities *out)
{
    *out = (struct capabilities){0};
    map_init(&out->builtins);
    if (v.w == 0 || val_undef(v)) {
        return OK;
    }
    ENSURE(val_is(v, V_OBJECT), ERR_INVALID, "capabilities are an object, not %s",
           val_type_name(v));
    struct val list = val_get_str(v, "builtins");
    ENSURE(val_undef(list) || val_is(list, V_NULL) || val_is(list, V_ARRAY), ERR_INVALID,
           "capabilities.builtins is a list");
    out->limited = true;
    read_features(v, out);
    for (uint32_t i = 0; val_is(list, V_ARRAY) && i < val_len(list); i++) {
        struct val b = val_nth(list, i);
        struct val name = val_is(b, V_OBJECT) ? val_get_str(b, "name") : VAL_UNDEF;
        if (val_is(name, V_STRING)) {
            map_set(&out->builtins, val_text(name), out);
        }
    }
    return OK;
}

void capabilities_release(struct capabilities *c)
{
    map_release(&c->builtins);
}

/* The compiler itself makes equations and calls of internal functions. */
bool capabilities_allow(const struct capabilities *c, struct str builtin)
{
    return !c->limited || map_get(&c->builtins, builtin) != NULL || str_is(builtin, "eq") ||
           str_starts(builtin, S("internal."));
}
