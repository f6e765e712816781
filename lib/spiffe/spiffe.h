/*
 * spiffe: trust bundles as documents, and JWT-SVIDs (Trust Domain & Bundle, JWT-SVID).
 *
 * Ids are in lib/x509/spiffe_id.h and X.509-SVIDs in lib/x509/verify.h; the client of the Workload
 * API is svid_source.h.
 */
#ifndef SEXTANT_SPIFFE_H
#define SEXTANT_SPIFFE_H

#include "lib/jose/jose.h"
#include "lib/x509/spiffe_id.h"
#include "lib/x509/verify.h"

enum { SPIFFE_BUNDLE_TEXT_MAX = 4 * 1024 * 1024, SPIFFE_REFRESH_DEFAULT_S = 300 };

/* One trust domain's bundle. An empty document (no keys) is valid and revokes everything. */
struct spiffe_bundle {
    struct str trust_domain;   /* owned copy */
    struct x509_anchors *x509; /* owned */
    struct jwks *jwt;          /* owned: keys of use jwt-svid */
    struct jwks *wit;          /* owned: keys of use wit-svid */
    uint64_t sequence;
    bool has_sequence;
    int64_t refresh_hint_s; /* 0 when absent */
    size_t skipped;         /* entries of unknown kty or use */
};
struct err spiffe_bundle_parse(struct str trust_domain, struct str text, struct spiffe_bundle *out);
/* A bare JWKS as the Workload API's FetchJWTBundles sends it: `use` may be absent. */
struct err spiffe_jwt_bundle_parse(struct str text, struct jwks **out);
void spiffe_bundle_release(struct spiffe_bundle *b);
struct json *spiffe_bundle_to_json(struct arena *a, const struct spiffe_bundle *b);
/* The view an OIDC consumer needs: JWT keys only, use "sig", alg set. */
struct json *spiffe_bundle_to_oidc_jwks(struct arena *a, const struct jwks *jwt);

/*
 * JWT-SVID section 3 to 5: the algorithms, kid, typ, sub, aud and exp, with the keys of the
 * subject's own trust domain, which `find` returns (NULL: unknown domain).
 */
struct jwt_svid {
    struct spiffe_id id;
    struct jwt claims;
};
struct err jwt_svid_verify(struct arena *a, struct str token, const struct str *audiences, size_t n,
                           int64_t now_s,
                           const struct jwks *(*find)(void *ctx, struct str trust_domain),
                           void *ctx, struct jwt_svid *out);

#endif
