/* policies: the stored ACL policies, by name, and the two that every installation has. */
#ifndef SEXTANT_SECRETS_POLICIES_H
#define SEXTANT_SECRETS_POLICIES_H

#include "core.h"

struct err policies_defaults(struct core *c); /* at init */
struct err policies_load(struct core *c);
void policies_unload(struct core *c);
/* Parses and stores; `name` is normal already. */
struct err policies_set(struct core *c, struct str name, struct str text);
struct err policies_del(struct core *c, struct str name);
struct policy *policies_get(struct core *c, struct str name); /* NULL when absent */

#endif
