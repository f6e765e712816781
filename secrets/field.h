/*
 * field: reads request data as leniently as Vault's clients expect: numbers may be strings, durations
 * seconds or "1h30m", lists arrays or comma-separated text, booleans text. A field of the wrong kind is
 * ERR_INVALID "Field validation failed: ...". Absent fields leave *out as it is.
 */
#ifndef SEXTANT_SECRETS_FIELD_H
#define SEXTANT_SECRETS_FIELD_H

#include "lib/json/json.h"

struct err field_str(const struct json *data, const char *name, struct str *out);
struct err field_int(const struct json *data, const char *name, int64_t *out);
struct err field_bool(const struct json *data, const char *name, bool *out);
struct err field_seconds(const struct json *data, const char *name,
                         int64_t *out); /* may be negative */
/* Array of strings, trimmed, empty ones dropped; NULL untouched when absent. */
struct err field_list(struct arena *a, const struct json *data, const char *name,
                      struct json **out);
/* Object of strings: an object, or a list of "k=v". */
struct err field_map(struct arena *a, const struct json *data, const char *name, struct json **out);
bool field_given(const struct json *data, const char *name);

struct err seconds_parse(struct str text, int64_t *out); /* "90", "1h30m", "-1s" */
bool list_has(const struct json *list, struct str item); /* NULL list: false */
/* Go's way to write a duration: "1h0m0s", "30s". */
struct str duration_text(struct arena *a, int64_t seconds);

#endif
