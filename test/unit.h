/* unit: what every unit test includes. Thin words over cmocka for our own types. */
#ifndef SEXTANT_TEST_UNIT_H
#define SEXTANT_TEST_UNIT_H

#include "lib/base/err.h"
#include "lib/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The call must succeed; its detail is shown when it does not. */
#define assert_ok(call)                                                                            \
    do {                                                                                           \
        struct err test_err_ = (call);                                                             \
        if (test_err_.code != 0) {                                                                 \
            fail_msg("%s failed: %s: %s", #call, err_text(test_err_), err_detail());               \
        }                                                                                          \
    } while (0)

/* The call must fail with exactly this code. */
#define assert_err(call, want)                                                                     \
    do {                                                                                           \
        struct err test_err_ = (call);                                                             \
        if (test_err_.code != (want)) {                                                            \
            fail_msg("%s gave '%s', not %s", #call, err_text(test_err_), #want);                   \
        }                                                                                          \
    } while (0)

/* The slice must hold exactly the bytes of the C string. */
#define assert_str(slice, want)                                                                    \
    do {                                                                                           \
        struct str test_str_ = (slice);                                                            \
        if (!str_is(test_str_, (want))) {                                                          \
            fail_msg("%s is \"%.*s\", not \"%s\"", #slice, STR_FMT(test_str_), (want));            \
        }                                                                                          \
    } while (0)

#endif
