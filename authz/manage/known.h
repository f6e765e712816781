/* known: which options there are: a configuration with others is taken, with a warning for each. */
#ifndef SEXTANT_AUTHZ_KNOWN_H
#define SEXTANT_AUTHZ_KNOWN_H

#include "settings.h"

void settings_find_unknown(struct settings *s);

#endif
