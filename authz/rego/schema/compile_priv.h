/* compile: what the two halves of the compiler share. */
#ifndef SEXTANT_REGO_SCHEMA_COMPILE_PRIV_H
#define SEXTANT_REGO_SCHEMA_COMPILE_PRIV_H

#include "authz/rego/schema/schema.h"
#include "lib/base/map.h"

struct schemac {
    struct arena *a;
    bool patterns;
    struct map places; /* absolute reference -> struct place */
    struct map refs;   /* absolute reference -> struct schema */
    struct str why;
    unsigned depth;
};

bool schemac_fail(struct schemac *c, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* One nesting more, to be followed by a `c->depth--`; false: too deep. */
bool schemac_enter(struct schemac *c);
void schemac_push(struct schemac *c, struct schema_list *l, struct schema *s);
void schemac_push_str(struct schemac *c, struct schema_strs *l, struct str s);
bool schemac_has(const struct schema_strs *l, struct str s);

/* words.c: fills in a schema made by schemac_new from its document. */
struct schema *schemac_new(struct schemac *c, struct str name, const struct schema *parent);
bool schemac_schema(struct schemac *c, struct val document, struct schema *s);
/* A member that must be a string when it is there. */
bool schemac_string(struct schemac *c, struct val m, const char *key, bool *there, struct str *out);

/* published.c: a document of json-schema.org, or NULL. */
const char *schemac_published(struct str url);

bool schemac_reference(struct schemac *c, struct val m, struct schema *s, bool *done);

#endif
