/* filter_priv: targets and what they can say. */
#ifndef SEXTANT_REGO_FILTER_PRIV_H
#define SEXTANT_REGO_FILTER_PRIV_H

#include "authz/rego/filter/filter.h"

enum { CAN_NOT = 1, CAN_FIELDS = 2, CAN_EXIST = 4 };

struct capability {
    struct rego_target target;
    const char *name; /* in error texts */
    unsigned features;
    const char *builtins; /* beside = != < <= > >=, each between blanks */
};

struct filter_run {
    struct arena *a;
    const struct rego_filter_options *o;
    const struct capability *targets[16];
    size_t n_targets;
    struct rego_errors *errors;
    const struct rego_partial_result *partial;
};

const struct capability *find_capability(const struct rego_target *t);
/* Adds an error for each expression that some target cannot say. */
void filter_check(struct filter_run *r);
/* The condition as a UCAST tree of values; VAL_UNDEF: it cannot be said. */
struct val filter_ucast(struct filter_run *r, struct val mappings);
/* A UCAST tree as SQL; false: it cannot be said. */
bool filter_sql(struct buf *out, struct val ucast, struct str dialect);
/* The mappings for one target; false: they are not well-formed, and *why says how. */
bool filter_mappings(struct filter_run *r, const struct rego_target *t, struct val *out,
                     struct str *why);

static inline bool is_input_ref(const struct term *t)
{
    return t->type == T_REF && t->list.v[0]->type == T_VAR &&
           str_is(t->list.v[0]->var.name, "input");
}

#endif
