/*
 * format: policies in one layout, that of `opa fmt`.
 *
 * Formatting keeps comments, line breaks inside of collections, and the meaning. What is to come out may be
 * for another version of the language than what went in: `from` v0 `to` v1 gives text that both read, by
 * adding `if`, `contains` and `import rego.v1`; v0 or v1 to v2 adds `import rego.v2`. Text that the later
 * version would refuse for other reasons (names that are keywords there, rules that shadow input, builtins
 * that are no more) is refused with the errors that version gives.
 *
 * A comment in a place that the layout has no room for (inside a collection that is written on one line)
 * leaves the term around it as it was. Where opa loses text behind such a term, here it is kept.
 *
 *     struct format_options o = {.from = REGO_V1, .to = REGO_V1};
 *     if (!rego_format(&a, S("p.rego"), text, &o, &errors, &out)) ...
 */
#ifndef SEXTANT_REGO_FORMAT_H
#define SEXTANT_REGO_FORMAT_H

#include "authz/rego/syntax/ast.h"

struct format_options {
    enum rego_version from, to;
    bool read_v1;             /* the text itself is v1 already, though `from` is v0 */
    bool drop_v0_imports;     /* imports that the version makes superfluous are left out */
    bool no_keywords_in_refs; /* `p.not` is written as `p["not"]` */
};

/* False, with errors, when the text does not parse or cannot be moved to the version. */
bool rego_format(struct arena *a, struct str file, struct str source,
                 const struct format_options *o, struct rego_errors *errors, struct buf *out);

#endif
