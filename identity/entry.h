/*
 * entry: a registration entry, which says what name a workload with certain marks is given.
 *
 * The fields are SPIRE's, and so is the JSON. All selectors of an entry must be among those of the workload.
 *
 *     {"spiffe_id": "spiffe://cluster.local/ns/shop/sa/cart", "parent_id": "spiffe://cluster.local/sextant/identity",
 *      "selectors": [{"type": "unix", "value": "uid:60530"}], "x509_svid_ttl": 600}
 *
 * On input ids may be strings or {"trust_domain", "path"}, and selectors strings "unix:uid:60530".
 */
#ifndef SEXTANT_IDENTITY_ENTRY_H
#define SEXTANT_IDENTITY_ENTRY_H

#include "lib/json/json.h"
#include "lib/x509/spiffe_id.h"

enum {
    ENTRY_ID_MAX = 255,
    ENTRY_SELECTORS_MAX = 64,
    ENTRY_NAMES_MAX = 64,
    ENTRY_FEDERATES_MAX = 64,
    ENTRY_HINT_MAX = 1024,
    ENTRY_SELECTOR_MAX = 1024,
    ENTRY_TTL_MAX_S = 90 * 86400
};

struct svid;

struct strs {
    struct str *items; /* owned, and their bytes */
    size_t n;
};

struct entry {
    struct str id, spiffe_id, parent_id; /* owned */
    struct strs selectors;               /* "unix:uid:60530", sorted, no two equal */
    struct strs dns_names;               /* names and addresses for the X.509-SVID */
    struct strs federates_with;          /* bare trust domain names */
    struct str hint;
    int64_t x509_ttl_s, jwt_ttl_s;  /* 0: the daemon's default */
    int64_t expires_at, created_at; /* seconds since 1970; expires_at 0: never */
    int64_t revision;
    bool admin, downstream, store_svid;
    bool builtin;      /* made from `uids` at each start: not stored, not changed */
    struct svid *svid; /* the one in use; svid.h */
    unsigned matched;  /* scratch of registry_match */
};

/* ERR_INVALID, ERR_SYNTAX, ERR_LIMIT, with what would be right. The trust domain must be `domain`. */
struct err entry_from_json(const struct json *v, struct str domain, struct entry **out);
struct json *entry_to_json(struct arena *a, const struct entry *e);
void entry_free(struct entry *e);

struct err strs_add(struct strs *s, struct str text, size_t max);
void strs_sort(struct strs *s); /* and drops what is there twice */
bool strs_has(const struct strs *s, struct str text);
bool strs_equal(const struct strs *a, const struct strs *b);
void strs_release(struct strs *s);
struct err strs_from_json(const struct json *array, size_t max, struct strs *out);
struct json *strs_to_json(struct arena *a, const struct strs *s);

#endif
