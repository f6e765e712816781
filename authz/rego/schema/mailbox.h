/* mailbox: addresses of electronic mail (RFC 5322 section 3.4). */
#ifndef SEXTANT_REGO_SCHEMA_MAILBOX_H
#define SEXTANT_REGO_SCHEMA_MAILBOX_H

#include "lib/base/str.h"

/* One address: "a@b.c", "Name <a@b.c>", or a group of one; comments where the grammar has them. */
bool mailbox_is_address(struct str text);

#endif
