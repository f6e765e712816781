/* schema: what the checks of schemas and of queries share. */
#ifndef SEXTANT_REGO_GRAPHQL_SCHEMA_H
#define SEXTANT_REGO_GRAPHQL_SCHEMA_H

#include "authz/rego/builtin/graphql/ast.h"

extern const char gql_prelude[]; /* what every schema has, as a type system document */

/* parse_types.c: appends the definitions of `text`, marked as built in, to `out`. */
bool gql_parse_prelude(struct gql *g, struct str text, struct gql_types *out);

static inline struct gql_definition *gql_type_def(struct gql_schema *s, struct str name)
{
    return map_get(&s->types, name);
}

/* The types that can stand where `name` is wanted: itself, its members, its implementers. */
const struct gql_list *gql_possible(struct gql_schema *s, struct str name);

static inline bool gql_kind_is(const struct gql_definition *d, const char *kind)
{
    return str_is(d->kind, kind);
}
bool gql_is_leaf(const struct gql_definition *d);      /* enum or scalar */
bool gql_is_abstract(const struct gql_definition *d);  /* interface or union */
bool gql_is_composite(const struct gql_definition *d); /* those and objects */
bool gql_is_input(const struct gql_definition *d);     /* scalar, enum or input object */
/* Can a value of type `t` stand where `wanted` is declared? */
bool gql_type_fits(const struct gql_type *t, const struct gql_type *wanted);

/* schema_check.c: definitions by themselves, in the order of their names. */
bool gql_check_types(struct gql *g, struct gql_schema *s);
bool gql_check_directives(struct gql *g, struct gql_schema *s);
/* Directives where `location` is; `once` is false for a list joined from several places. */
bool gql_check_applied(struct gql *g, struct gql_schema *s, const struct gql_list *directives,
                       struct str location, const struct gql_directive_def *within, bool once);

#endif
