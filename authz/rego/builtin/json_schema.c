/* json.match_schema and json.verify_schema. */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/schema/schema.h"

/* A document, or JSON text of one. False: *why. */
static bool document_of(struct bcall *b, struct val v, struct val *out, const char **why)
{
    if (val_is(v, V_STRING)) {
        *why = "invalid JSON string";
        return !failed(val_from_json(b->a, val_text(v), out));
    }
    *out = v;
    *why = "wrong type, expected string or object";
    return val_is(v, V_OBJECT) || val_is(v, V_ARRAY);
}

static enum b_status b_verify_schema(struct bcall *b)
{
    struct val document;
    struct schema *s;
    struct str text = STR_EMPTY;
    const char *why;
    bool ok = document_of(b, b->args[0], &document, &why);
    if (!ok) {
        text = str_of(why);
    } else {
        ok = schema_compile(b->a, document, SCHEMA_PATTERNS, &s, &text);
    }
    struct val said = VAL_NULL;
    if (!ok) {
        said = val_str(b->a, arena_printf(b->a, "jsonschema: %.*s", STR_FMT(text)));
    }
    return b_out(b, val_array(b->a, (struct val[]){val_bool(ok), said}, 2));
}

static struct val finding(struct bcall *b, const struct schema_error *e)
{
    struct vlist l = {.a = b->a};
    vlist_put(&l, "error",
              val_str(b->a, arena_printf(b->a, "%.*s: %.*s", STR_FMT(e->field), STR_FMT(e->text))));
    vlist_put(&l, "type", val_str(b->a, str_of(e->type)));
    vlist_put(&l, "field", val_str(b->a, e->field));
    vlist_put(&l, "desc", val_str(b->a, e->text));
    return vlist_object(&l);
}

static enum b_status b_match_schema(struct bcall *b)
{
    struct val document, description;
    struct schema *s;
    struct schema_result r;
    struct str text;
    const char *why;
    if (!document_of(b, b->args[0], &document, &why) ||
        !document_of(b, b->args[1], &description, &why)) {
        return b_fail(b, "%s", why);
    }
    if (!schema_compile(b->a, description, SCHEMA_PATTERNS, &s, &text)) {
        return b_fail(b, "%.*s", STR_FMT(text));
    }
    bool done = schema_match(b->a, s, document, &r);
    if (b_budget(b, r.work)) {
        return B_ERROR;
    }
    if (!done) {
        return b_fail(b, "%.*s", STR_FMT(r.why));
    }
    struct vlist l = {.a = b->a};
    for (size_t i = 0; i < r.n; i++) {
        vlist_add(&l, finding(b, &r.v[i]));
    }
    return b_out(b, val_array(b->a, (struct val[]){val_bool(r.n == 0), vlist_array(&l)}, 2));
}

const struct builtin builtins_json_schema[] = {
    {"json.match_schema", 2, b_match_schema, BF_NONDET},
    {"json.verify_schema", 1, b_verify_schema, BF_NONDET},
    {0},
};
