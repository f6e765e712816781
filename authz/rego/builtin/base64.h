/* base64: decoding as forgiving as Go's decoders, for builtins that must accept what those do. */
#ifndef SEXTANT_REGO_BASE64_H
#define SEXTANT_REGO_BASE64_H

#include "authz/rego/builtin/builtin.h"

#include "lib/base/codec.h"

bool base64_lenient(struct bcall *b, struct str s, enum base64_form form, struct str *out);
/* Where the text stops being base64. */
size_t base64_bad_byte(struct str s, bool url);

#endif
