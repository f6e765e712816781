/* graphql.*: documents of the GraphQL language, as texts or as the objects that parsing them gives. */
#include "authz/rego/builtin/graphql/graphql.h"
#include "authz/rego/builtin/builtin.h"

/* "input:LINE:COL: text" becomes "text in GraphQL string at location LINE:COL". */
static bool located(struct str error, struct str *line, struct str *col, struct str *text)
{
    uint64_t n;
    struct str rest = error;
    (void)str_split(&rest, ':');
    *line = str_split(&rest, ':');
    *col = str_split(&rest, ':');
    if (rest.p == NULL || failed(str_to_u64(*line, &n)) || failed(str_to_u64(*col, &n))) {
        return false;
    }
    while (rest.n > 0 && rest.p[0] == ' ') {
        rest = str_sub(rest, 1, rest.n);
    }
    *text = str_ends(rest, S(".\n")) ? str_sub(rest, 0, rest.n - 2) : rest;
    return true;
}

static enum b_status document_error(struct bcall *b, const struct gql *g)
{
    struct str line, col, text;
    if (!located(g->error, &line, &col, &text)) {
        return b_fail(b, "GraphQL parse error: %.*s", STR_FMT(g->error));
    }
    return b_fail(b, "%.*s in GraphQL string at location %.*s:%.*s", STR_FMT(text), STR_FMT(line),
                  STR_FMT(col));
}

/* One call's operands. Each step is false with `error_of` telling how to word what is in g.error. */
struct request {
    struct bcall *b;
    struct gql g;
    struct gql_query *query;
    struct gql_types *types;
    struct gql_schema schema;
    enum { FROM_TEXT, FROM_VALUE, FROM_SCHEMA } stage;
};

static void begin(struct request *r, struct bcall *b)
{
    *r = (struct request){.b = b};
    gql_init(&r->g, b->a);
}

/* Charges the query for the work and lets go of the tables. */
static enum b_status finish(struct request *r, enum b_status status)
{
    gql_schema_release(&r->schema);
    return b_budget(r->b, r->g.work) ? B_ERROR : status;
}

static enum b_status failure(struct request *r)
{
    if (r->stage == FROM_VALUE) {
        return b_fail(r->b, "%.*s", STR_FMT(r->g.error));
    }
    if (r->stage == FROM_SCHEMA) {
        return b_fail(r->b, "Error in gqlparser SchemaDocument to Schema conversion: %.*s",
                      STR_FMT(r->g.error));
    }
    return document_error(r->b, &r->g);
}

static bool read_query(struct request *r, struct val v)
{
    r->stage = val_is(v, V_STRING) ? FROM_TEXT : FROM_VALUE;
    return val_is(v, V_STRING) ? gql_parse_query(&r->g, val_text(v), &r->query)
                               : gql_query_of_value(&r->g, v, &r->query);
}

static bool read_types(struct request *r, struct val v)
{
    r->stage = val_is(v, V_STRING) ? FROM_TEXT : FROM_VALUE;
    return val_is(v, V_STRING) ? gql_parse_types(&r->g, val_text(v), &r->types)
                               : gql_types_of_value(&r->g, v, &r->types);
}

static bool build(struct request *r)
{
    r->stage = FROM_SCHEMA;
    return gql_schema_build(&r->g, r->types, &r->schema);
}

static bool is_document(struct val v)
{
    return val_is(v, V_STRING) || val_is(v, V_OBJECT);
}

static enum b_status b_parse_query(struct bcall *b)
{
    struct request r;
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    begin(&r, b);
    if (!read_query(&r, b->args[0])) {
        return finish(&r, failure(&r));
    }
    return finish(&r, b_out(b, gql_query_value(&r.g, r.query)));
}

static enum b_status b_parse_schema(struct bcall *b)
{
    struct request r;
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    begin(&r, b);
    if (!read_types(&r, b->args[0])) {
        return finish(&r, failure(&r));
    }
    return finish(&r, b_out(b, gql_types_value(&r.g, r.types)));
}

/* Both documents read, seen as values before checks fill them in, and checked. */
static bool check_both(struct request *r, struct val *query, struct val *types)
{
    if (!read_query(r, r->b->args[0]) || !read_types(r, r->b->args[1])) {
        return false;
    }
    if (query != NULL) {
        *query = gql_query_value(&r->g, r->query);
        *types = gql_types_value(&r->g, r->types);
    }
    if (!build(r)) {
        return false;
    }
    r->stage = FROM_TEXT;
    return gql_validate(&r->g, &r->schema, r->query);
}

static enum b_status b_parse(struct bcall *b)
{
    struct request r;
    struct val query, types;
    for (int i = 0; i < 2; i++) {
        if (!is_document(b->args[i])) {
            return b_operand(b, i, "must be one of {string, object} but got %s",
                             val_type_name(b->args[i]));
        }
    }
    begin(&r, b);
    if (!check_both(&r, &query, &types)) {
        return finish(&r, failure(&r));
    }
    return finish(&r, b_out(b, val_array(b->a, (struct val[]){query, types}, 2)));
}

static enum b_status b_parse_and_verify(struct bcall *b)
{
    struct request r;
    struct val out[3] = {VAL_FALSE, val_empty_object(), val_empty_object()}, query, types;
    if (is_document(b->args[0]) && is_document(b->args[1])) {
        begin(&r, b);
        if (check_both(&r, &query, &types)) {
            out[0] = VAL_TRUE;
            out[1] = query;
            out[2] = types;
        }
        if (finish(&r, B_OK) != B_OK) {
            return B_ERROR;
        }
    }
    return b_out(b, val_array(b->a, out, 3));
}

static enum b_status b_is_valid(struct bcall *b)
{
    struct request r;
    if (!is_document(b->args[0]) || !is_document(b->args[1])) {
        return b_out(b, VAL_FALSE);
    }
    begin(&r, b);
    return finish(&r, b_out(b, val_bool(check_both(&r, NULL, NULL))));
}

static enum b_status b_schema_is_valid(struct bcall *b)
{
    struct request r;
    if (!is_document(b->args[0])) {
        return b_out(b, VAL_FALSE);
    }
    begin(&r, b);
    bool valid = read_types(&r, b->args[0]) && build(&r);
    return finish(&r, b_out(b, val_bool(valid)));
}

const struct builtin builtins_graphql[] = {
    {"graphql.is_valid", 2, b_is_valid, 0},
    {"graphql.parse", 2, b_parse, 0},
    {"graphql.parse_and_verify", 2, b_parse_and_verify, 0},
    {"graphql.parse_query", 1, b_parse_query, 0},
    {"graphql.parse_schema", 1, b_parse_schema, 0},
    {"graphql.schema_is_valid", 1, b_schema_is_valid, 0},
    {0},
};
