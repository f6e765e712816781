/*
 * ca: the authorities of the trust domain.
 *
 * The root's key, `trust-root`, is in crypto; its self-signed certificate is the trust bundle and is
 * kept in our database. The intermediate's key is made here, lives in this memory only, and is
 * certified by the root through crypto; it is replaced when a third of its life is left, and its
 * predecessor is kept until nothing it signed is valid any more, for revocation lists alone. Tokens are signed
 * by `identity-jwt`, in crypto too.
 *
 *     TRY(ca_issue(&ca, &request, &svid));      a leaf, its chain, its key
 */
#ifndef SEXTANT_IDENTITY_CA_H
#define SEXTANT_IDENTITY_CA_H

#include "entry.h"
#include "lib/jose/jose.h"
#include "lib/store/store.h"
#include "lib/x509/issue.h"
#include "lib/x509/verify.h"
#include "transit.h"

enum { CA_ROOT_LIFE_S = 10 * 365 * 86400, CA_BACKDATE_S = 10, CA_KEPT = 2, CA_SERIAL = 16 };

struct authority {
    struct key *key;
    struct x509_cert *cert;
};

struct ca {
    struct transit *transit;
    struct store *store;
    struct str domain;
    int64_t life_s; /* of the intermediate */
    struct x509_cert *root;
    uint64_t root_version; /* of trust-root */
    struct authority now, before;
    struct jwks *jwt; /* public keys of identity-jwt, kid = thumbprint */
    uint64_t jwt_version;
    struct str jwt_kid; /* of the latest; owned */
    uint64_t
        sequence;   /* of the bundle: grows with every change of its keys, also across restarts */
    bool working;   /* a chain of questions to crypto is under way */
    bool released;  /* an answer may still come; it changes nothing */
    struct str tbs; /* owned: of the certificate being signed */
    struct key *next_key;
    void (*on_change)(void *ctx, struct err e); /* authorities are new, or could not be had */
    void *ctx;
};

/* Goes through all steps: root, intermediate, token keys; on_change tells how it ended. */
void ca_refresh(struct ca *ca);
bool ca_ready(const struct ca *ca);
bool ca_due(const struct ca *ca, int64_t now_s); /* is it time for a new intermediate? */
void ca_release(struct ca *ca);

/* ---- leaves ---- */

struct svid {
    unsigned refs;
    struct buf chain; /* DER, leaf first, without the root */
    struct key *key;  /* NULL when made from a request */
    uint8_t serial[CA_SERIAL];
    int64_t not_before_s, not_after_s, renew_s;
};

struct svid_request {
    struct str spiffe_id;
    const struct strs *names; /* DNS names and addresses; may be NULL */
    int64_t ttl_s, now_s;
    struct key *key; /* of a request; NULL: make one */
};

/* The life is cut at that of the intermediate. ERR_UNAVAILABLE before the first authority is there. */
struct err ca_issue(struct ca *ca, const struct svid_request *r, struct svid **out);
struct svid *svid_ref(struct svid *s);
void svid_unref(struct svid *s); /* NULL ok */

/* A revocation list by authority `a`, DER. */
struct err ca_crl(const struct ca *ca, const struct authority *a, uint64_t number, int64_t now_s,
                  const struct x509_revoked *revoked, size_t n, struct buf *out);

#endif
