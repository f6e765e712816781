/*
 * Trees as values, and values as trees. Each struct has a shape: a table of its members with the
 * names that policies see. Going out, what is empty (no list, no comment, nothing known) is left
 * away, but texts, numbers and booleans always stay. Coming in, names are compared the way Go's JSON
 * reader does it: exactly by the shapes that upstream reads by hand, without regard to case elsewhere;
 * and a selection always reads as a field.
 */
#include "authz/rego/builtin/graphql/ast.h"

enum member_kind { M_STR, M_BOOL, M_INT, M_STRS, M_ONE, M_LIST, M_SELECTIONS };

enum {
    NEEDED = 1, /* the rest of the code follows the pointer */
    OUT = 2,    /* never read */
};

struct member {
    const char *name;
    uint16_t offset;
    uint8_t kind, flags;
    const struct shape *shape;
    const char *go; /* upstream's name of the type, for error texts */
};

struct shape {
    const char *name;
    size_t size;
    bool exact;
    const struct member *members;
};

#define MEMBERS(s, ...) static const struct member members_##s[] = {__VA_ARGS__ __VA_OPT__(, ){0}}
#define AT(type, field) offsetof(struct gql_##type, field)
#define STRING(name, type, field)                                                                  \
    {                                                                                              \
        name, AT(type, field), M_STR, 0, NULL, "string"                                            \
    }
#define BOOLEAN(name, type, field)                                                                 \
    {                                                                                              \
        name, AT(type, field), M_BOOL, 0, NULL, "bool"                                             \
    }
#define COMMENT(name, type, field)                                                                 \
    {                                                                                              \
        name, AT(type, field), M_ONE, 0, &comments, "ast.CommentGroup"                             \
    }
#define COMMENT_OUT(type)                                                                          \
    {                                                                                              \
        "Comment", AT(type, comment), M_ONE, OUT, &comments, ""                                    \
    }
#define ONE(name, type, field, shape)                                                              \
    {                                                                                              \
        name, AT(type, field), M_ONE, 0, &shape, "ast." #shape                                     \
    }
#define LIST(name, type, field, shape, go)                                                         \
    {                                                                                              \
        name, AT(type, field), M_LIST, 0, &shape, go                                               \
    }
#define DIRECTIVES(type) LIST("Directives", type, directives, directive, "ast.DirectiveList")
#define SELECTIONS(type)                                                                           \
    {                                                                                              \
        "SelectionSet", AT(type, selections), M_SELECTIONS, 0, &field_sel, "[]json.RawMessage"     \
    }
#define SHAPE(s, c, go, exact)                                                                     \
    static const struct shape s = {go, sizeof(struct gql_##c), exact, members_##s}

static const struct shape type, value, definition, directive_def, field_def, argument_def, variable,
    fragment, field_sel;

MEMBERS(comment, STRING("Value", comment, value));
SHAPE(comment, comment, "Comment", false);
MEMBERS(comments, LIST("List", comments, list, comment, "[]*ast.Comment"));
SHAPE(comments, comments, "CommentGroup", false);

MEMBERS(type, STRING("NamedType", type, named), ONE("Elem", type, elem, type),
        BOOLEAN("NonNull", type, non_null));
static const struct shape type = {"Type", sizeof(struct gql_type), false, members_type};

MEMBERS(child, STRING("Name", child, name),
        {"Value", AT(child, value), M_ONE, NEEDED, &value, "ast.Value"},
        COMMENT("Comment", child, comment));
SHAPE(child, child, "ChildValue", false);

MEMBERS(value, STRING("Raw", value, raw),
        LIST("Children", value, children, child, "ast.ChildValueList"),
        {"Kind", AT(value, kind), M_INT, 0, NULL, "ast.ValueKind"},
        COMMENT("Comment", value, comment), ONE("Definition", value, def, definition),
        ONE("VariableDefinition", value, variable, variable),
        ONE("ExpectedType", value, expected, type),
        BOOLEAN("ExpectedTypeHasDefault", value, expected_default));
static const struct shape value = {"Value", sizeof(struct gql_value), false, members_value};

MEMBERS(argument, STRING("Name", argument, name),
        {"Value", AT(argument, value), M_ONE, NEEDED, &value, "ast.Value"},
        COMMENT("Comment", argument, comment));
SHAPE(argument, argument, "Argument", false);

MEMBERS(directive, STRING("Name", directive, name),
        LIST("Arguments", directive, arguments, argument, "ast.ArgumentList"),
        ONE("ParentDefinition", directive, parent, definition),
        ONE("Definition", directive, def, directive_def), STRING("Location", directive, location));
SHAPE(directive, directive, "Directive", false);

MEMBERS(field_sel, STRING("Alias", selection, alias), STRING("Name", selection, name),
        LIST("Arguments", selection, arguments, argument, "ast.ArgumentList"),
        DIRECTIVES(selection), SELECTIONS(selection), COMMENT_OUT(selection),
        ONE("Definition", selection, def, field_def),
        ONE("ObjectDefinition", selection, object, definition));
static const struct shape field_sel = {"Field", sizeof(struct gql_selection), true,
                                       members_field_sel};
MEMBERS(spread_sel, STRING("Name", selection, name), DIRECTIVES(selection), COMMENT_OUT(selection));
SHAPE(spread_sel, selection, "FragmentSpread", true);
MEMBERS(inline_sel, STRING("TypeCondition", selection, condition), DIRECTIVES(selection),
        SELECTIONS(selection), COMMENT_OUT(selection));
SHAPE(inline_sel, selection, "InlineFragment", true);

MEMBERS(variable, STRING("Variable", variable, name),
        {"Type", AT(variable, type), M_ONE, NEEDED, &type, "ast.Type"},
        ONE("DefaultValue", variable, fallback, value), DIRECTIVES(variable),
        COMMENT("Comment", variable, comment), ONE("Definition", variable, def, definition),
        BOOLEAN("Used", variable, used));
static const struct shape variable = {"VariableDefinition", sizeof(struct gql_variable), false,
                                      members_variable};

MEMBERS(operation, STRING("Operation", operation, operation), STRING("Name", operation, name),
        LIST("VariableDefinitions", operation, variables, variable, "ast.VariableDefinitionList"),
        DIRECTIVES(operation), SELECTIONS(operation), COMMENT_OUT(operation));
SHAPE(operation, operation, "OperationDefinition", true);

MEMBERS(fragment, STRING("Name", fragment, name),
        LIST("VariableDefinition", fragment, variables, variable, "ast.VariableDefinitionList"),
        STRING("TypeCondition", fragment, condition), DIRECTIVES(fragment), SELECTIONS(fragment),
        ONE("Definition", fragment, def, definition), COMMENT_OUT(fragment));
static const struct shape fragment = {"FragmentDefinition", sizeof(struct gql_fragment), true,
                                      members_fragment};

MEMBERS(query, LIST("Operations", query, operations, operation, "ast.OperationList"),
        LIST("Fragments", query, fragments, fragment, "ast.FragmentDefinitionList"),
        COMMENT("Comment", query, comment));
SHAPE(query, query, "QueryDocument", false);

#define DESCRIBED(t)                                                                               \
    STRING("Description", t, description), COMMENT("BeforeDescriptionComment", t, before),         \
        COMMENT("AfterDescriptionComment", t, after)
#define FIELD_MEMBERS                                                                              \
    STRING("Name", field, name), ONE("DefaultValue", field, fallback, value),                      \
        {"Type", AT(field, type), M_ONE, NEEDED, &type, "ast.Type"}, DIRECTIVES(field),            \
        DESCRIBED(field)

MEMBERS(argument_def, FIELD_MEMBERS);
static const struct shape argument_def = {"ArgumentDefinition", sizeof(struct gql_field), false,
                                          members_argument_def};
MEMBERS(field_def, FIELD_MEMBERS,
        LIST("Arguments", field, arguments, argument_def, "ast.ArgumentDefinitionList"));
static const struct shape field_def = {"FieldDefinition", sizeof(struct gql_field), false,
                                       members_field_def};
MEMBERS(enum_value, STRING("Name", enum_value, name), DIRECTIVES(enum_value),
        DESCRIBED(enum_value));
SHAPE(enum_value, enum_value, "EnumValueDefinition", false);

MEMBERS(definition, STRING("Kind", definition, kind), STRING("Name", definition, name),
        DIRECTIVES(definition),
        {"Interfaces", AT(definition, interfaces), M_STRS, 0, NULL, "[]string"},
        LIST("Fields", definition, fields, field_def, "ast.FieldList"),
        {"Types", AT(definition, types), M_STRS, 0, NULL, "[]string"},
        LIST("EnumValues", definition, values, enum_value, "ast.EnumValueList"),
        BOOLEAN("BuiltIn", definition, builtin), COMMENT("EndOfDefinitionComment", definition, end),
        DESCRIBED(definition));
static const struct shape definition = {"Definition", sizeof(struct gql_definition), false,
                                        members_definition};

MEMBERS(directive_def, STRING("Name", directive_def, name),
        LIST("Arguments", directive_def, arguments, argument_def, "ast.ArgumentDefinitionList"),
        {"Locations", AT(directive_def, locations), M_STRS, 0, NULL, "[]ast.DirectiveLocation"},
        BOOLEAN("IsRepeatable", directive_def, repeatable), DESCRIBED(directive_def));
static const struct shape directive_def = {"DirectiveDefinition", sizeof(struct gql_directive_def),
                                           false, members_directive_def};

MEMBERS(operation_type, STRING("Operation", operation_type, operation),
        STRING("Type", operation_type, type), COMMENT("Comment", operation_type, comment));
SHAPE(operation_type, operation_type, "OperationTypeDefinition", false);
MEMBERS(schema_def, DIRECTIVES(schema_def),
        LIST("OperationTypes", schema_def, operations, operation_type,
             "ast.OperationTypeDefinitionList"),
        COMMENT("EndOfDefinitionComment", schema_def, end), DESCRIBED(schema_def));
SHAPE(schema_def, schema_def, "SchemaDefinition", false);

MEMBERS(types, LIST("Schema", types, schema, schema_def, "ast.SchemaDefinitionList"),
        LIST("SchemaExtension", types, schema_extensions, schema_def, "ast.SchemaDefinitionList"),
        LIST("Directives", types, directives, directive_def, "ast.DirectiveDefinitionList"),
        LIST("Definitions", types, definitions, definition, "ast.DefinitionList"),
        LIST("Extensions", types, extensions, definition, "ast.DefinitionList"),
        COMMENT("Comment", types, comment));
SHAPE(types, types, "SchemaDocument", false);

/* Out. Depth is bounded by the parser, or by the value that the tree was read from. */

static struct val out_struct(struct gql *g, const struct shape *s, const void *p);

static const struct shape *selection_shape(const struct gql_selection *sel)
{
    return sel->kind == GQL_FIELD    ? &field_sel
           : sel->kind == GQL_SPREAD ? &spread_sel
                                     : &inline_sel;
}

static struct val out_list(struct gql *g, const struct member *m, const struct gql_list *l)
{
    struct vlist items = {.a = g->a};
    for (size_t i = 0; i < l->n; i++) {
        const struct shape *s = m->kind == M_SELECTIONS ? selection_shape(l->v[i]) : m->shape;
        struct val v = out_struct(g, s, l->v[i]);
        if (!val_undef(v)) {
            vlist_add(&items, v);
        }
    }
    return items.n > 0 ? vlist_array(&items) : VAL_UNDEF;
}

static struct val out_strs(struct gql *g, const struct gql_strs *l)
{
    struct vlist items = {.a = g->a};
    for (size_t i = 0; i < l->n; i++) {
        vlist_add(&items, val_str(g->a, l->v[i]));
    }
    return items.n > 0 ? vlist_array(&items) : VAL_UNDEF;
}

static struct val out_member(struct gql *g, const struct member *m, const void *at)
{
    const void *one;
    switch ((enum member_kind)m->kind) {
    case M_STR:
        return val_str(g->a, *(const struct str *)at);
    case M_BOOL:
        return val_bool(*(const bool *)at);
    case M_INT:
        return val_int(g->a, *(const int64_t *)at);
    case M_STRS:
        return out_strs(g, at);
    case M_ONE:
        one = *(void *const *)at;
        return one != NULL ? out_struct(g, m->shape, one) : VAL_UNDEF;
    case M_LIST:
    case M_SELECTIONS:
        return out_list(g, m, at);
    }
    return VAL_UNDEF;
}

static struct val out_struct(struct gql *g, const struct shape *s, const void *p)
{
    struct vlist l = {.a = g->a};
    if (gql_spend(g, 1)) {
        return VAL_UNDEF;
    }
    for (const struct member *m = s->members; m->name != NULL; m++) {
        struct val v = out_member(g, m, (const char *)p + m->offset);
        if (!val_undef(v)) {
            vlist_put(&l, m->name, v);
        }
    }
    return l.n > 0 ? vlist_object(&l) : VAL_UNDEF;
}

static struct val out_document(struct gql *g, const struct shape *s, const void *p)
{
    struct val v = out_struct(g, s, p);
    return val_undef(v) ? val_empty_object() : v;
}

struct val gql_query_value(struct gql *g, const struct gql_query *q)
{
    return out_document(g, &query, q);
}

struct val gql_types_value(struct gql *g, const struct gql_types *t)
{
    return out_document(g, &types, t);
}

/* In. Depth is bounded by VAL_DEPTH_MAX. */

static bool in_struct(struct gql *g, const struct shape *s, struct val v, void *p);

static bool wrong_type(struct gql *g, const struct shape *s, const struct member *m, struct val v)
{
    const char *got = val_is(v, V_BOOL) ? "bool" : val_is(v, V_SET) ? "array" : val_type_name(v);
    if (!g->failed) {
        g->failed = true;
        g->error =
            arena_printf(g->a, "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                         got, s->name, m->name, m->go);
    }
    return false;
}

static const struct member *member_of(const struct shape *s, struct str key)
{
    const struct member *folded = NULL;
    for (const struct member *m = s->members; m->name != NULL; m++) {
        if (str_is(key, m->name)) {
            return m;
        }
        if (!s->exact && folded == NULL && str_eq_nocase(key, str_of(m->name))) {
            folded = m;
        }
    }
    return folded;
}

static bool in_list(struct gql *g, const struct shape *s, const struct member *m, struct val v,
                    struct gql_list *out)
{
    struct gql_list l = {0};
    if (!val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        return wrong_type(g, s, m, v);
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val item = val_nth(v, i);
        if (m->kind == M_SELECTIONS && !val_is(item, V_OBJECT)) {
            continue; /* upstream reads none of its kinds out of it, and goes on */
        }
        void *p = arena_alloc(g->a, m->shape->size);
        if (!val_is(item, V_OBJECT)) {
            return wrong_type(g, s, m, item);
        }
        if (!in_struct(g, m->shape, item, p)) {
            return false;
        }
        gql_push(g, &l, p);
    }
    *out = l;
    return true;
}

static bool in_strs(struct gql *g, const struct shape *s, const struct member *m, struct val v,
                    struct gql_strs *out)
{
    struct gql_strs l = {0};
    if (!val_is(v, V_ARRAY) && !val_is(v, V_SET)) {
        return wrong_type(g, s, m, v);
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val item = val_nth(v, i);
        if (!val_is(item, V_STRING)) {
            return wrong_type(g, s, m, item);
        }
        gql_push_str(g, &l, val_text(item));
    }
    *out = l;
    return true;
}

static bool in_member(struct gql *g, const struct shape *s, const struct member *m, struct val v,
                      void *at)
{
    switch ((enum member_kind)m->kind) {
    case M_STR:
        if (!val_is(v, V_STRING)) {
            return wrong_type(g, s, m, v);
        }
        *(struct str *)at = val_text(v);
        return true;
    case M_BOOL:
        if (!val_is(v, V_BOOL)) {
            return wrong_type(g, s, m, v);
        }
        *(bool *)at = val_is_true(v);
        return true;
    case M_INT:
        return val_is(v, V_NUMBER) && val_to_i64(v, at) ? true : wrong_type(g, s, m, v);
    case M_STRS:
        return in_strs(g, s, m, v, at);
    case M_ONE:
        if (!val_is(v, V_OBJECT)) {
            return wrong_type(g, s, m, v);
        }
        *(void **)at = arena_alloc(g->a, m->shape->size);
        return in_struct(g, m->shape, v, *(void **)at);
    case M_LIST:
    case M_SELECTIONS:
        return in_list(g, s, m, v, at);
    }
    return false;
}

static bool incomplete(struct gql *g, const struct shape *s, const char *what)
{
    if (!g->failed) {
        g->failed = true;
        g->error = arena_printf(g->a, "%s without %s", s->name, what);
    }
    return false;
}

/* What the parser would never leave out, and upstream fails hard without. */
static bool complete(struct gql *g, const struct shape *s, const void *p)
{
    for (const struct member *m = s->members; m->name != NULL; m++) {
        if ((m->flags & NEEDED) &&
            *(void *const *)(const void *)((const char *)p + m->offset) == NULL) {
            return incomplete(g, s, m->name);
        }
    }
    if (s == &type) {
        const struct gql_type *t = p;
        return t->named.n > 0 || t->elem != NULL || incomplete(g, s, "NamedType and Elem");
    }
    if (s == &value) {
        const struct gql_value *v = p;
        return (v->kind >= GQL_VARIABLE && v->kind <= GQL_OBJECT) ||
               incomplete(g, s, "a known Kind");
    }
    if (s == &operation) {
        const struct gql_operation *o = p;
        return o->operation.n == 0 || str_is(o->operation, "query") ||
               str_is(o->operation, "mutation") || str_is(o->operation, "subscription") ||
               incomplete(g, s, "a known Operation");
    }
    return true;
}

static bool in_struct(struct gql *g, const struct shape *s, struct val v, void *p)
{
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val key = val_nth_key(g->a, v, i), item = val_nth(v, i);
        const struct member *m = val_is(key, V_STRING) ? member_of(s, val_text(key)) : NULL;
        if (gql_spend(g, 1)) {
            return false;
        }
        if (m == NULL || (m->flags & OUT) || val_is(item, V_NULL)) {
            continue;
        }
        if (!in_member(g, s, m, item, (char *)p + m->offset)) {
            return false;
        }
    }
    return complete(g, s, p);
}

bool gql_query_of_value(struct gql *g, struct val v, struct gql_query **out)
{
    struct gql_query *q = arena_new(g->a, struct gql_query);
    if (!in_struct(g, &query, v, q)) {
        return false;
    }
    *out = q;
    return true;
}

bool gql_types_of_value(struct gql *g, struct val v, struct gql_types **out)
{
    struct gql_types *t = arena_new(g->a, struct gql_types);
    if (!in_struct(g, &types, v, t)) {
        return false;
    }
    *out = t;
    return true;
}
