/*
 * labels: Kubernetes labels and the selectors over them (metav1.LabelSelector).
 *
 * Everything lives in the arena of the model it is read into. Reading checks the same syntax as the
 * API server does on admission, and says line, column and what would be right.
 */
#ifndef SEXTANT_NETPOL_LABELS_H
#define SEXTANT_NETPOL_LABELS_H

#include "lib/base/arena.h"
#include "lib/json/json.h"

struct label {
    struct str key, value;
};

struct labels {
    struct label *items;
    size_t n;
};

enum selector_op { SELECTOR_IN, SELECTOR_NOT_IN, SELECTOR_EXISTS, SELECTOR_NOT_EXISTS };

struct selector_term {
    struct str key;
    enum selector_op op;
    struct str *values;
    size_t n_values;
};

/* All terms must hold; none means everything. */
struct selector {
    struct selector_term *terms;
    size_t n;
};

enum { LABELS_MAX = 1024, SELECTOR_TERMS_MAX = 256, SELECTOR_VALUES_MAX = 1024 };

/* An absent object is no labels. ERR_INVALID. */
struct err labels_read(struct arena *a, const struct json *obj, struct labels *out);
struct str labels_get(const struct labels *l, struct str key, bool *found);
/* Adds or keeps a label; for the name label every namespace carries. */
void labels_default(struct arena *a, struct labels *l, struct str key, struct str value);

/* `where` names the field for errors, e.g. "spec.podSelector". ERR_INVALID. */
struct err selector_read(struct arena *a, const struct json *obj, const char *where,
                         struct selector *out);
bool selector_matches(const struct selector *s, const struct labels *l);
void selector_put(struct buf *out, const struct selector *s); /* as text: app=web,tier in (a,b) */

#endif
