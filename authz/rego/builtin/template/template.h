/*
 * template: the language of Go's text/template, for strings.render_template.
 *
 * A text is parsed into named trees of nodes, and executed over a value. Data is what Go makes of JSON:
 * maps, lists, strings, booleans, nil, and numbers that are their text (json.Number) and so no
 * integers to the template's functions. Errors read as Go's. Complex numbers are not there.
 *
 *     struct template t;
 *     struct str why;
 *     if (!template_parse(arena, text, &t, &why) || !template_execute(&t, data, &out, &steps, &why)) …
 */
#ifndef SEXTANT_REGO_TEMPLATE_H
#define SEXTANT_REGO_TEMPLATE_H

#include "authz/rego/value/value.h"

enum {
    TEMPLATE_DEPTH_MAX = 200,              /* controls and parentheses inside of each other */
    TEMPLATE_CALLS_MAX = 100,              /* templates that call templates */
    TEMPLATE_STEPS_MAX = 10 * 1000 * 1000, /* nodes executed */
    TEMPLATE_OUTPUT_MAX = 64 << 20,
};

struct tnode;

/* A named tree. */
struct tdef {
    struct str name;
    struct tnode *root; /* T_LIST */
};

struct template
{
    struct arena *a;
    struct str text;
    struct tdef *defs; /* that of the text itself is called "template" */
    size_t n_defs, cap_defs;
};

bool template_parse(struct arena *a, struct str text, struct template *out, struct str *why);
bool template_execute(const struct template *t, struct val data, struct buf *out, uint64_t *steps,
                      struct str *why);

#endif
