/*
 * hcl: reads the part of HashiCorp Configuration Language 1 that Vault's policies and configuration
 * use, and gives the same values that the JSON form of the same file would.
 *
 *     path "secret/data/+" {            {"path": [{"secret/data/+":
 *       capabilities = ["read"]    =>       {"capabilities": ["read"]}}]}
 *     }
 *
 * - An attribute `key = value` is a member of its body. The same attribute twice is an error.
 * - A block `key "label" "label" { ... }` is appended to the array member `key`, each label one object
 *   deeper, so that repeated blocks keep their order.
 * - Values: strings with escapes, heredocs (<<EOT and <<-EOT), exact number text, true and false, lists,
 *   objects. Comments: #, // and C's. No expressions and no interpolation: `${...}` stays as it stands.
 * - Text whose first character is '{' is JSON and goes to lib/json.
 *
 * Everything lives in the arena given; each value knows its line and column.
 */
#ifndef SEXTANT_HCL_H
#define SEXTANT_HCL_H

#include "lib/json/json.h"

enum {
    HCL_BYTES_MAX = 1 << 20, /* longest text */
    HCL_DEPTH_MAX = 32,      /* bodies and lists inside each other */
    HCL_MEMBERS_MAX = 4096,  /* different names in one body */
    HCL_LABELS_MAX = 4,      /* labels of one block */
};

/* ERR_SYNTAX with err_line() and err_col(), ERR_LIMIT. The result is always an object. */
struct err hcl_parse(struct arena *a, struct str text, struct json **out);

#endif
