/* uri: references as Go's net/url reads them. */
#ifndef SEXTANT_REGO_URI_H
#define SEXTANT_REGO_URI_H

#include "lib/base/arena.h"

/* Parts as they are written, but for the scheme, which is in lower case. */
struct uri {
    struct str scheme, user, host, port, path, query, fragment;
    struct str host_port;   /* with brackets and colon, decoded */
    struct str opaque_text; /* of "scheme:text" */
    bool has_authority, has_user, has_query, opaque;
};

/* False: *why is what is wrong, in Go's words. */
bool uri_parse(struct arena *a, struct str text, struct uri *u, struct str *why);

#endif
