/* What the files of this folder share. */
#ifndef SEXTANT_SECRETS_POLICY_PRIV_H
#define SEXTANT_SECRETS_POLICY_PRIV_H

#include "policy.h"

/* Fills path, prefix and segments of `rule` from a pattern as it is written. */
void policy_rule_pattern(struct policy_rule *rule, struct str path);

struct str str_lower(struct arena *a, struct str s); /* ASCII letters */
bool str_has_upper(struct str s);

/* Does data satisfy allowed, denied and required parameters of `rule`? */
bool params_allow(const struct acl_rule *rule, const struct json *data);

#endif
