/* bootstrap: entries for Sextant's own daemons, made from the configuration at each start. */
#ifndef SEXTANT_IDENTITY_BOOTSTRAP_H
#define SEXTANT_IDENTITY_BOOTSTRAP_H

#include "lib/config/config.h"
#include "registry.h"

struct bootstrap {
    const struct config *config;
    struct str domain;
    const struct strs *names; /* what the daemons' certificates say besides the SPIFFE id */
};

struct err bootstrap_entries(const struct bootstrap *b, struct registry *r);
struct err bootstrap_machine_names(struct strs *out);

#endif
