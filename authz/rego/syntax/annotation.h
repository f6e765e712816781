/*
 * annotation: `# METADATA` blocks, the YAML in comments that describes rules and packages.
 *
 *     # METADATA
 *     # title: Who may read
 *     # schemas:
 *     # - input: schema.request
 *     allow if …
 *
 * A block belongs to the statement below it. Its scope says how far it reaches: `rule`, `document` (all
 * rules of one path), `package`, or `subpackages` (that package and all below it).
 * https://www.openpolicyagent.org/docs/policy-language section "Annotations".
 */
#ifndef SEXTANT_REGO_ANNOTATION_H
#define SEXTANT_REGO_ANNOTATION_H

#include "authz/rego/syntax/ast.h"

enum annotation_scope { SCOPE_RULE, SCOPE_DOCUMENT, SCOPE_PACKAGE, SCOPE_SUBPACKAGES };

/* What is known of a document: a schema by its name, or written out. */
struct schema_note {
    struct term *path, *schema; /* references; schema NULL: see definition */
    struct val definition;
};

struct annotation {
    struct loc loc;  /* from "# METADATA" to the end of the block */
    struct str text; /* the block as it was written, "# " before each line */
    enum annotation_scope scope;
    const struct module *module;
    struct rule *rule; /* it belongs to; NULL: to the package */
    bool entrypoint;
    struct val value;                              /* an object as rego.metadata gives it */
    struct val title, description, custom, labels; /* VAL_UNDEF where absent */
    struct schema_note *schemas;
    size_t n_schemas;
    bool has_compile;
    struct term **unknowns; /* references */
    size_t n_unknowns;
    struct term *mask_rule;  /* NULL: none */
    struct annotation *next; /* of the same rule, further down in the file */
};

/*
 * Reads all blocks of a module into m->annotations and gives each its statement. False with errors
 * added ("rego_parse_error"). What is read lives in `a`.
 */
bool annotations_read(struct arena *a, struct module *m, struct rego_errors *errors);
const char *annotation_scope_name(enum annotation_scope s);

#endif
