/* deps: rego base */
/*
 * GraphQL: any text as either document, the two halves around a NUL as schema and query. What was
 * parsed is seen as a value and read back from it as the same; what is valid by its text stays
 * valid as a value.
 */
#include "authz/rego/builtin/graphql/graphql.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void value_keeps_query(struct arena *a, const struct gql_query *q)
{
    struct gql g;
    struct gql_query *again;
    gql_init(&g, a);
    struct val v = gql_query_value(&g, q);
    BUG_ON(!g.failed && !gql_query_of_value(&g, v, &again) && !arena_exhausted(a));
}

static void value_keeps_types(struct arena *a, const struct gql_types *t)
{
    struct gql g;
    struct gql_types *again;
    gql_init(&g, a);
    struct val v = gql_types_value(&g, t);
    if (g.failed || !gql_types_of_value(&g, v, &again)) {
        BUG_ON(!arena_exhausted(a));
        return;
    }
    BUG_ON(!val_eq(gql_types_value(&g, again), v));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct gql g;
    struct gql_query *q = NULL;
    struct gql_types *t = NULL;
    struct gql_schema s;
    struct str rest = str_n(data, size), first = str_split(&rest, '\0');
    arena_init(&a, 64 << 20);
    gql_init(&g, &a);
    if (gql_parse_types(&g, first, &t)) {
        value_keeps_types(&a, t);
    }
    gql_init(&g, &a);
    if (gql_parse_query(&g, rest, &q)) {
        value_keeps_query(&a, q);
    }
    gql_init(&g, &a);
    if (t != NULL) {
        bool built = gql_schema_build(&g, t, &s);
        bool valid = built && q != NULL && gql_validate(&g, &s, q);
        BUG_ON(!valid && g.failed && g.error.n == 0);
        gql_schema_release(&s);
    }
    arena_release(&a);
    return 0;
}
