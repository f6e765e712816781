/*
 * federation: bundles of other trust domains, given by an operator, kept in our database.
 *
 * A workload sees one only if an entry of its own federates with that trust domain.
 */
#ifndef SEXTANT_IDENTITY_FEDERATION_H
#define SEXTANT_IDENTITY_FEDERATION_H

#include "lib/base/map.h"
#include "lib/spiffe/spiffe.h"
#include "lib/store/store.h"

enum { FEDERATION_MAX = 1000 };

struct federated {
    struct spiffe_bundle bundle;
    struct str document; /* owned: the JSON as given */
};

struct federation {
    struct store *store;
    struct str own_domain;
    struct map by_domain; /* struct federated */
    uint64_t revision;
};

struct err federation_open(struct store *s, struct str own_domain, struct federation *out);
void federation_close(struct federation *f);
/* ERR_INVALID for our own trust domain; the document is checked before anything is stored. */
struct err federation_set(struct federation *f, struct str trust_domain, struct str document);
struct err federation_delete(struct federation *f, struct str trust_domain);
const struct federated *federation_get(const struct federation *f, struct str trust_domain);

#endif
