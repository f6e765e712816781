/*
 * params: the parameters of one OAuth request, from its query and its form body together.
 *
 * A parameter given twice is refused (RFC 6749 section 3.1), also once in the query and once in the
 * body; only `resource` may repeat (RFC 8707). An empty value counts as absent. Everything lives in
 * the arena given.
 */
#ifndef SEXTANT_AUTHN_PARAMS_H
#define SEXTANT_AUTHN_PARAMS_H

#include "lib/base/arena.h"

#include "limits.h"

struct param {
    struct str name, value;
};

struct params {
    struct param items[PARAMS_MAX];
    size_t n;
};

/* Adds the pairs of one form-encoded text. ERR_SYNTAX, ERR_LIMIT, ERR_INVALID (given twice). */
struct err params_add(struct params *p, struct arena *a, struct str encoded);
struct str params_get(const struct params *p, const char *name); /* empty when absent */
/* The n-th value of a parameter that may repeat; empty after the last. */
struct str params_nth(const struct params *p, const char *name, size_t n);
/* Takes a value out and wipes it from the table: for passwords and client secrets. */
struct str params_take(struct params *p, const char *name);

#endif
