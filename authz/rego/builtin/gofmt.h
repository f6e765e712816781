/*
 * gofmt: text as Go's fmt package formats it, for sprintf and templates.
 *
 * Arguments stand for Go values: `type` names one whose type is not the usual of its kind, as
 * json.Number is for strings. Lists and maps hold arguments themselves, maps keys and values by turns.
 */
#ifndef SEXTANT_REGO_GOFMT_H
#define SEXTANT_REGO_GOFMT_H

#include "lib/base/buf.h"
#include "lib/num/num.h"

enum gofmt_kind {
    GOFMT_STRING,
    GOFMT_INT,
    GOFMT_BIG,
    GOFMT_FLOAT,
    GOFMT_BOOL,
    GOFMT_NIL,
    GOFMT_LIST,
    GOFMT_MAP,
};

struct gofmt_arg {
    enum gofmt_kind kind;
    const char *type; /* NULL: that of the kind */
    struct str text;
    struct num num;
    double f;
    bool truth;
    const struct gofmt_arg *items;
    size_t n; /* items */
};

/* Appends; `out` overflows when the result is larger than it may be. */
void gofmt(struct arena *a, struct buf *out, struct str format, const struct gofmt_arg *args,
           size_t n);
/* As %v. */
void gofmt_value(struct arena *a, struct buf *out, const struct gofmt_arg *arg);
/* In double quotes, with Go's escapes. */
void gofmt_quoted(struct buf *out, struct str s);

#endif
