/*
 * filter: a policy as a filter for a database. The rows are unknown; what remains of the policy once all
 * else is known becomes a WHERE clause or a UCAST condition.
 *
 *     struct rego_target to[] = {{S("sql"), S("postgresql")}};
 *     struct rego_filter_options o = {.partial = {.eval = {.input = input, .data = data}, …unknowns},
 *                                     .targets = to, .n_targets = 1};
 *     rego_filter(t, S("data.filters.include"), &o, arena, &r);
 *
 * A filter never lets through more than the policy does: what a target cannot say is an error
 * (pe_fragment_error) that names the expression, never left out.
 */
#ifndef SEXTANT_REGO_FILTER_H
#define SEXTANT_REGO_FILTER_H

#include "authz/rego/partial.h"

struct rego_target {
    struct str target,
        dialect; /* "sql": sqlserver, mysql, postgresql, sqlite; "ucast": all, minimal, linq, prisma */
};

/* What a media type of the Compile API asks for, e.g. application/vnd.opa.sql.mysql+json. False: none of
 * them. application/vnd.opa.multitarget+json gives the target "multi". */
bool rego_target_of_media(struct str media, struct rego_target *out);
/* "sql+mysql", as in options.targetDialects. */
bool rego_target_parse(struct str s, struct rego_target *out);

struct rego_filter_options {
    struct rego_partial_options partial; /* unknowns like input.fruits */
    const struct rego_target *targets;
    size_t n_targets;
    struct val mappings; /* options.targetSQLTableMappings, an object; VAL_UNDEF or zero: none */
};

enum rego_filter_kind { FILTER_NONE, FILTER_SQL, FILTER_UCAST };

struct rego_filter {
    struct rego_target target;
    enum rego_filter_kind kind; /* FILTER_NONE: no row passes, and there is no query */
    struct str sql;             /* empty: every row passes */
    struct val ucast;           /* {}: every row passes */
};

struct rego_filter_result {
    bool failed; /* the evaluation itself: `error` */
    struct rego_error error;
    struct rego_errors errors;   /* what the targets cannot say, or the query's own errors */
    struct str bad_mappings;     /* "mappings: invalid mappings: …", or empty */
    struct rego_filter *filters; /* one a target, in their order; when there is none of the above */
};

/* `path`: a reference to a rule. Everything in `out` lives in `a`. */
void rego_filter(const struct rego_topdown *t, struct str path, const struct rego_filter_options *o,
                 struct arena *a, struct rego_filter_result *out);

#endif
