/*
 * graphql: documents of the GraphQL language (October 2021), read, checked, and seen as values.
 *
 *     struct gql g;
 *     gql_init(&g, arena);
 *     struct gql_query *q;
 *     struct gql_types *t;
 *     struct gql_schema s;
 *     if (!gql_parse_query(&g, text, &q) || !gql_parse_types(&g, sdl, &t)) … g.error
 *     struct val ast = gql_query_value(&g, q);
 *     if (gql_schema_build(&g, t, &s) && gql_validate(&g, &s, q)) …
 *     gql_schema_release(&s);
 *
 * Everything is made in the arena and lives as long as it, but for the tables of a schema. Failure
 * is false with `error` set: "input:LINE:COLUMN: text", one line a finding. Texts, the order of
 * findings and the shape of the tree are those of the parser that OPA builds upon, so that policies
 * see the same there and here. Nesting is bounded by GQL_DEPTH_MAX and work by GQL_WORK_MAX.
 */
#ifndef SEXTANT_REGO_GRAPHQL_H
#define SEXTANT_REGO_GRAPHQL_H

#include "authz/rego/value/value.h"
#include "lib/base/map.h"

enum {
    GQL_DEPTH_MAX = 300,             /* selections, list and object literals, list types */
    GQL_WORK_MAX = 50 * 1000 * 1000, /* comparisons and visits of one call */
    GQL_WALK_MAX = 1000,             /* the same with fragments followed */
    GQL_ERRORS_MAX = 64 * 1024,      /* bytes of findings */
};

struct gql {
    struct arena *a;
    uint64_t work;
    bool failed;
    struct str error;
};

void gql_init(struct gql *g, struct arena *a);

struct gql_query; /* an executable document: operations and fragments */
struct gql_types; /* a type system document */
struct gql_definition;

bool gql_parse_query(struct gql *g, struct str text, struct gql_query **out);
bool gql_parse_types(struct gql *g, struct str text, struct gql_types **out);

/* The tree as an object, without positions and without what is empty. */
struct val gql_query_value(struct gql *g, const struct gql_query *q);
struct val gql_types_value(struct gql *g, const struct gql_types *t);
/* The way back, from objects that a policy made or passed on. */
bool gql_query_of_value(struct gql *g, struct val v, struct gql_query **out);
bool gql_types_of_value(struct gql *g, struct val v, struct gql_types **out);

struct gql_schema {
    struct gql_definition *query, *mutation, *subscription; /* NULL: no such operations */
    struct map types;                                       /* name -> struct gql_definition */
    struct map directives;                                  /* name -> struct gql_directive_def */
    struct map possible; /* name -> struct gql_list of the types that can stand for it */
};

/* Joins `t` with what every schema has and checks it. Release `out` whatever is returned. */
bool gql_schema_build(struct gql *g, struct gql_types *t, struct gql_schema *out);
void gql_schema_release(struct gql_schema *s);

/* All findings about a query document, in the order of OPA. Writes to the tree of `q`. */
bool gql_validate(struct gql *g, struct gql_schema *s, struct gql_query *q);

#endif
