/* regex_cache: compiled expressions, kept for the life of the process, the least used given up. */
#ifndef SEXTANT_REGO_REGEX_CACHE_H
#define SEXTANT_REGO_REGEX_CACHE_H

#include "lib/regex/regex.h"

enum { REGEX_CACHE_MAX = 512, REGEX_QUICK_MAX = 4096 };

/* The expression belongs to the cache: it is good until the next call. */
struct err regex_cached(struct str pattern, struct regex **out);

unsigned long regex_cache_misses(void); /* patterns compiled, ever */

#endif
