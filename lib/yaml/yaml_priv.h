/* yaml_priv: the core schema, shared by reader and writer. */
#ifndef SEXTANT_YAML_PRIV_H
#define SEXTANT_YAML_PRIV_H

#include "yaml.h"

/*
 * What a plain scalar means under the core schema (YAML 1.2.2 section 10.3.2). For JSON_NUMBER,
 * `*number` is its text in JSON's grammar, made in the arena when the YAML form differs. ERR_RANGE
 * for infinities, NaN, and hexadecimal or octal over 64 bits.
 */
struct err yaml_resolve_plain(struct arena *a, struct str text, enum json_type *type,
                              struct str *number);

#endif
