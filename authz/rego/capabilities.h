/*
 * capabilities: what of the language may be used, in the form of `opa capabilities`.
 *
 *     {"builtins": [{"name": "abs", "decl": {…}}, …], "future_keywords": [...], "features": [...]}
 *
 * Given to the compiler they are the most that modules may use; written they say what is there.
 */
#ifndef SEXTANT_REGO_CAPABILITIES_H
#define SEXTANT_REGO_CAPABILITIES_H

#include "authz/rego/value/value.h"
#include "lib/base/map.h"

/* Everything that there is, as pretty JSON with a newline. v0: with what modules of v0 import. */
void rego_capabilities_write(struct buf *out, bool v0_compatible);
enum { CAPABILITIES_JSON_MAX = 1 << 20 };

struct capabilities {
    bool limited;        /* false: everything */
    struct map builtins; /* names; values mean nothing */
    bool rego_v1, rego_v1_import, rego_v2, rego_v2_import;
    bool rule_head_refs, rule_head_ref_string_prefixes, template_strings, keywords_in_refs;
};

/* Of the JSON above; VAL_UNDEF and zero are no limit. ERR_INVALID for another shape. */
struct err capabilities_read(struct val v, struct capabilities *out);
void capabilities_release(struct capabilities *c);
bool capabilities_allow(const struct capabilities *c, struct str builtin);

#endif
