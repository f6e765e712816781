/* rules: the detectors of secrets, as a table. The patterns are RE2's; formats are those that the issuers document. */
#ifndef SEXTANT_ASSESS_RULES_H
#define SEXTANT_ASSESS_RULES_H

#include "lib/base/str.h"

enum rule_flag {
    RULE_CLOUD_KEY = 1,
    RULE_ADMIN = 2,
    RULE_GENERIC = 4,
    RULE_JWT = 8,
    RULE_DATABASE = 16,
    RULE_LOOSE = 32 /* its value may be another rule's: that one counts */
};

struct rule {
    const char *id, *what;
    const char *keywords; /* lower case, split at blanks; one must be in the text */
    const char *pattern;  /* the value is the first group that took part, or all */
    int entropy; /* least Shannon entropy of the value, thousandths of a bit a character; 0: none */
    unsigned flags;
    const char *not_value; /* pattern of values that are none; NULL */
};

extern const struct rule assess_rules[];
extern const size_t assess_n_rules;

#endif
