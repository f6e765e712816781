/* deps: regex base */
/* A pattern that is matched without RE2 gives RE2's answer. Input: pattern, a zero byte, text. */
#include "lib/regex/regex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = memchr(data, 0, size);
    if (zero == NULL || zero - data > 200) {
        return 0;
    }
    struct str pattern = str_n(data, (size_t)(zero - data)),
               text = str_n(zero + 1, size - pattern.n - 1), whole;
    struct regex *re;
    if (failed(regex_compile(pattern, 0, &re))) {
        return 0;
    }
    if (regex_is_quick(re)) {
        BUG_ON(regex_match(re, text, NULL, 0) != regex_match(re, text, &whole, 1));
    }
    regex_free(re);
    return 0;
}
