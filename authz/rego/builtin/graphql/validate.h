/*
 * validate: the walk over a query document and the rules it calls.
 *
 * The walk (validate.c) resolves every name as it meets it and calls, on the way back from each part,
 * the rules that care, in the order of the rules' names: that is the order of findings in OPA.
 */
#ifndef SEXTANT_REGO_GRAPHQL_VALIDATE_H
#define SEXTANT_REGO_GRAPHQL_VALIDATE_H

#include "authz/rego/builtin/graphql/schema.h"

struct gql_walk {
    struct gql *g;
    struct gql_schema *s;
    struct gql_query *q;
    struct buf findings;
    struct gql_operation *op; /* the operation around, NULL inside of fragment definitions */
    struct gql_list entered;  /* fragments that this definition's walk went into */
    bool in_fragments;        /* the operations are done */
    /* What rules remember. */
    struct gql_list spread_used; /* gql_selection */
    struct gql_list misplaced;   /* gql_directive that was reported */
    struct gql_list operations;  /* gql_operation that were seen */
    struct gql_list fragments;   /* gql_fragment that were seen */
    struct gql_list cycles_seen; /* gql_fragment whose spreads were followed */
    struct gql_overlap *overlap;
    struct gql_field *typename; /* __typename, which every type has */
    unsigned depth;
};

/* One level more, to be followed by a `w->depth--`; false: too deep, which ends the walk. */
bool gql_walk_enter(struct gql_walk *w);
struct gql_fragment *gql_fragment_named(struct gql_walk *w, struct str name);

/* One finding: a line "input:LINE:COLUMN: text". */
void gql_report(struct gql_walk *w, const struct gql_pos *pos, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* ' Did you mean "a" or "b"?' out of what resembles `typed`; empty when nothing does. */
struct str gql_suggest(struct gql_walk *w, const char *prefix, bool quoted, struct str typed,
                       const struct gql_strs *options);
/* "a", "b", or "c" */
struct str gql_or_list(struct gql_walk *w, bool quoted, const struct gql_strs *items);

/* The rules, by what they look at; each calls several. */
void gql_on_operation(struct gql_walk *w, struct gql_operation *o);
void gql_on_field(struct gql_walk *w, struct gql_selection *f);
void gql_on_fragment(struct gql_walk *w, struct gql_fragment *f);
void gql_on_inline(struct gql_walk *w, struct gql_selection *s);
void gql_on_spread(struct gql_walk *w, struct gql_selection *s);
void gql_on_directive(struct gql_walk *w, struct gql_directive *d);
void gql_on_directives(struct gql_walk *w, const struct gql_list *directives);
void gql_on_variable(struct gql_walk *w, struct gql_variable *v);
void gql_on_value(struct gql_walk *w, struct gql_value *v);

/* rules_value.c, rules_fragment.c */
void gql_check_value(struct gql_walk *w, const struct gql_value *v);
void gql_check_cycles(struct gql_walk *w, struct gql_fragment *f);
void gql_check_introspection(struct gql_walk *w, const struct gql_selection *f);
void gql_check_subscription(struct gql_walk *w, const struct gql_operation *o);
void gql_check_spread(struct gql_walk *w, const struct gql_selection *s, struct str condition);

/* rules_overlap.c */
void gql_overlap_init(struct gql_walk *w);
void gql_overlap_release(struct gql_walk *w);
void gql_check_overlap(struct gql_walk *w, const struct gql_list *selections);

#endif
