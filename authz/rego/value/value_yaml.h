/*
 * value_yaml: values from YAML, and its errors in the words of the reader that policies know.
 *
 * Only the first document counts, but all must be well formed; none at all is null.
 */
#ifndef SEXTANT_REGO_VALUE_YAML_H
#define SEXTANT_REGO_VALUE_YAML_H

#include "authz/rego/value/value.h"
#include "lib/json/json.h"

struct val val_of_json(struct arena *a, const struct json *j);
struct err val_from_yaml(struct arena *a, struct str text, struct val *out);
/* "yaml: line 3: did not find expected key", of the latest failure on this thread. */
struct str val_yaml_error(struct arena *a);

#endif
