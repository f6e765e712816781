/*
 * yaml: YAML 1.2 with the core schema (section 10.3), read into the tree of lib/json.
 *
 * libyaml gives events; this gives them meaning: plain scalars that look like null, booleans or
 * numbers are those, everything else is a string ("no" and "on" are strings). Numbers become JSON
 * number text (0x1f and 0o17 as decimal); .inf and .nan are refused, since JSON has no such number.
 * Keys must be scalars and unique. Aliases are bounded and share their anchor's value. Tags other
 * than the core schema's (!!str, !!int, …) are refused. Every value carries its line and column,
 * and every member those of its key.
 *
 *     struct json *docs;
 *     TRY(yaml_parse(arena, text, S("policy.yaml"), NULL, &docs));    array, one item a document
 *
 * Error details begin with "FILE:LINE:COL: "; err_line() and err_col() hold the same position.
 */
#ifndef SEXTANT_YAML_H
#define SEXTANT_YAML_H

#include "lib/json/json.h"

/* Zero fields mean the defaults below. */
struct yaml_limits {
    size_t max_bytes;
    unsigned max_depth;
    size_t max_values;  /* values of the tree, each use of an alias counted with all it contains */
    size_t max_aliases; /* uses of an alias */
    bool lenient; /* a key may stand twice (both members are there), foreign tags mean nothing */
};

enum {
    YAML_MAX_BYTES = 16 << 20,
    YAML_MAX_DEPTH = 64,
    YAML_MAX_VALUES = 2 << 20,
    YAML_MAX_ALIASES = 1024,
};

/* ERR_SYNTAX, ERR_INVALID (duplicate key, foreign tag), ERR_LIMIT. `docs` is a JSON array. */
struct err yaml_parse(struct arena *a, struct str text, struct str file_name,
                      const struct yaml_limits *limits, struct json **docs);

/* One document in block style; strings are quoted where plain would read back as something else. */
void yaml_write(struct buf *out, const struct json *v);

#endif
