/*
 * The trees of GraphQL documents. Structs that are looked up by name begin with it. Shapes (shape.c)
 * describe these structs to the code that turns them into values and back.
 */
#ifndef SEXTANT_REGO_GRAPHQL_AST_H
#define SEXTANT_REGO_GRAPHQL_AST_H

#include "authz/rego/builtin/graphql/graphql.h"

struct gql_list {
    void **v; /* pointers to one kind of struct */
    size_t n, cap;
};

struct gql_strs {
    struct str *v;
    size_t n, cap;
};

/* Columns count code points, and may be negative behind a block string, as upstream has them. */
struct gql_pos {
    long line, col;
    bool known, builtin;
};

struct gql_comment {
    struct str value;
};

struct gql_comments {
    struct gql_list list;
};

struct gql_type {
    struct str named; /* empty: a list of `elem` */
    struct gql_type *elem;
    bool non_null;
    struct gql_pos pos;
};

enum gql_kind {
    GQL_VARIABLE,
    GQL_INT,
    GQL_FLOAT,
    GQL_STRING,
    GQL_BLOCK,
    GQL_BOOLEAN,
    GQL_NULL,
    GQL_ENUM,
    GQL_LIST,
    GQL_OBJECT,
};

struct gql_value {
    struct str raw;
    struct gql_list children; /* gql_child */
    int64_t kind;             /* enum gql_kind */
    struct gql_pos pos;
    struct gql_comments *comment;
    /* Filled in by the walk. */
    struct gql_definition *def;
    struct gql_variable *variable;
    struct gql_type *expected;
    bool expected_default;
};

struct gql_child {
    struct str name;
    struct gql_value *value;
    struct gql_pos pos;
    struct gql_comments *comment;
};

struct gql_argument {
    struct str name;
    struct gql_value *value;
    struct gql_pos pos;
    struct gql_comments *comment;
};

struct gql_directive {
    struct str name;
    struct gql_list arguments; /* gql_argument */
    struct gql_pos pos;
    struct gql_definition *parent;
    struct gql_directive_def *def;
    struct str location;
};

enum gql_selection_kind { GQL_FIELD, GQL_SPREAD, GQL_INLINE };

struct gql_selection {
    struct str name;
    enum gql_selection_kind kind;
    struct str alias, condition; /* of a field; of an inline fragment */
    struct gql_list arguments, directives, selections;
    struct gql_pos pos;
    struct gql_comments *comment;
    struct gql_definition *object;
    struct gql_field *def;         /* of a field */
    struct gql_fragment *fragment; /* of a spread */
};

struct gql_variable {
    struct str name;
    struct gql_type *type;
    struct gql_value *fallback;
    struct gql_list directives;
    struct gql_pos pos;
    struct gql_comments *comment;
    struct gql_definition *def;
    bool used;
};

struct gql_operation {
    struct str name, operation;
    struct gql_list variables, directives, selections;
    struct gql_pos pos;
    struct gql_comments *comment;
};

struct gql_fragment {
    struct str name, condition;
    struct gql_list variables, directives, selections;
    struct gql_definition *def;
    struct gql_pos pos;
    struct gql_comments *comment;
};

struct gql_query {
    struct gql_list operations, fragments;
    struct gql_comments *comment;
};

/* A field of a type, or an argument of one. */
struct gql_field {
    struct str name, description;
    struct gql_list arguments; /* gql_field */
    struct gql_value *fallback;
    struct gql_type *type;
    struct gql_list directives;
    struct gql_pos pos;
    struct gql_comments *before, *after;
};

struct gql_enum_value {
    struct str name, description;
    struct gql_list directives;
    struct gql_pos pos;
    struct gql_comments *before, *after;
};

struct gql_definition {
    struct str name, kind, description;
    struct gql_list directives;
    struct gql_strs interfaces;
    struct gql_list fields;
    struct gql_strs types;
    struct gql_list type_positions; /* gql_pos; as many as types, or none */
    struct gql_list values;
    struct gql_pos pos;
    bool builtin;
    struct gql_comments *before, *after, *end;
};

struct gql_directive_def {
    struct str name, description;
    struct gql_list arguments; /* gql_field */
    struct gql_strs locations;
    bool repeatable;
    struct gql_pos pos;
    struct gql_comments *before, *after;
};

struct gql_operation_type {
    struct str operation, type;
    struct gql_pos pos;
    struct gql_comments *comment;
};

struct gql_schema_def {
    struct str description;
    struct gql_list directives, operations;
    struct gql_pos pos;
    struct gql_comments *before, *after, *end;
};

struct gql_types {
    struct gql_list schema, schema_extensions, directives, definitions, extensions;
    struct gql_comments *comment;
};

void gql_push(struct gql *g, struct gql_list *l, void *item);
void gql_push_str(struct gql *g, struct gql_strs *l, struct str s);
/* The first item of that name, or NULL. */
void *gql_named(struct gql *g, const struct gql_list *l, struct str name);
bool gql_has_str(struct gql *g, const struct gql_strs *l, struct str s);

/* Counts work; true: stop, g->error says why. */
bool gql_spend(struct gql *g, uint64_t work);
/* Records the one error of a parser or a schema; false, for `return`. */
bool gql_fail_at(struct gql *g, const struct gql_pos *pos, const char *fmt, ...) PRINTF_LIKE(3, 4);

struct str gql_type_name(const struct gql_type *t);                /* inside all lists */
struct str gql_type_text(struct gql *g, const struct gql_type *t); /* "[Int!]!" */
struct str gql_value_text(struct gql *g, const struct gql_value *v);
struct str gql_quoted(struct gql *g, struct str s); /* in double quotes, with Go's escapes */

#endif
