/* own: slices that own their bytes, for things that outlive a request. A NUL stands behind the bytes. */
#ifndef SEXTANT_X509_OWN_H
#define SEXTANT_X509_OWN_H

#include "lib/base/str.h"

#include <stdlib.h>

static inline struct str str_own(struct str s)
{
    char *p = malloc(s.n + 1);
    BUG_ON(p == NULL);
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

static inline void str_disown(struct str *s)
{
    free((void *)(uintptr_t)s->p);
    *s = STR_EMPTY;
}

#endif
