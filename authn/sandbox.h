/* sandbox: what sextant-authn keeps for itself once it runs. */
#ifndef SEXTANT_AUTHN_SANDBOX_H
#define SEXTANT_AUTHN_SANDBOX_H

#include "lib/config/config.h"
#include "lib/sandbox/sandbox.h"

const struct sandbox_profile *authn_sandbox(struct arena *a, const struct config *c,
                                            const void *section);

#endif
