/*
 * format: policies in one layout, that of `opa fmt`.
 *
 * Formatting keeps comments, line breaks inside of collections, and the meaning. What is to come out may be
 * another version of the language than what went in: v0 becomes v1 by adding `if`, `contains` and the import.
 */
#ifndef SEXTANT_REGO_FORMAT_H
#define SEXTANT_REGO_FORMAT_H

#include "authz/rego/syntax/ast.h"

struct format_options {
    enum rego_version from, to;
    bool add_v1_import;   /* v0 to v1: `import rego.v1` is added, so that both versions read it */
    bool drop_v0_imports; /* imports that v1 does not need are left out */
};

/* False, with errors, when the text does not parse. */
bool rego_format(struct arena *a, struct str file, struct str source,
                 const struct format_options *o, struct rego_errors *errors, struct buf *out);

#endif
