/*
 * regex: regular expressions of RE2's syntax and meaning (leftmost-first, linear time).
 *
 * The one C++ file of the product, shim.cc, stands behind this header. A compiled expression is
 * immutable; it has a memory budget, and a pattern that needs more is refused.
 *
 *     struct regex *re;
 *     TRY(regex_compile(S("^a(b*)$"), 0, &re));
 *     struct str groups[2];
 *     if (regex_match(re, text, groups, 2)) ...   groups[0] is the whole match
 *     regex_free(re);
 */
#ifndef SEXTANT_REGEX_H
#define SEXTANT_REGEX_H

#include "lib/base/err.h"

struct regex;

enum regex_flags {
    REGEX_NOCASE = 1,
    REGEX_LATIN1 = 2,  /* bytes, not UTF-8 */
    REGEX_LITERAL = 4, /* no character is special */
};

enum { REGEX_MEM_MAX = 8 << 20, REGEX_GROUPS_MAX = 100 };

/* ERR_SYNTAX in the words of Go's package of the same syntax, ERR_LIMIT when the budget is too small. */
struct err regex_compile(struct str pattern, unsigned flags, struct regex **out);
size_t
regex_weight(const struct regex *re); /* instructions: what compiling it cost goes with them */
void regex_free(struct regex *re);    /* NULL is fine */

/* Is it matched without RE2 (texts of ASCII, no groups wanted)? Such a one takes little memory. */
bool regex_is_quick(const struct regex *re);
int regex_groups(const struct regex *re); /* capture groups, the whole match not counted */

/*
 * Finds the leftmost match anywhere in `text`. Fills at most `n` groups (0 is the whole match); a
 * group that took no part has p == NULL. `groups` may be NULL when n is 0.
 */
bool regex_match(const struct regex *re, struct str text, struct str *groups, int n);
/* The same, looking from byte `from` on, with what is before still seen by ^ and \b. */
bool regex_match_from(const struct regex *re, struct str text, size_t from, struct str *groups,
                      int n);
/* Does the whole of `text` match? */
bool regex_match_full(const struct regex *re, struct str text);

/* The name of capture group `i` (from 1), or an empty string. */
struct str regex_group_name(const struct regex *re, int i);

#endif
