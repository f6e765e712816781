/*
 * go: certificates, requests and keys as the JSON that Go's encoding of its own structures
 * gives, field for field: that is what policies were written against.
 *
 * Everything is read from DER here, not through lib/x509's certificates, because values show what a
 * decision must never rest on: old algorithms, odd versions, small keys. Verification is lib/x509's.
 * Errors are struct err whose detail is the text that Go's decoders give.
 *
 * Private keys become ordinary values of the query: a policy that asks for them has them as text
 * already.
 */
#ifndef SEXTANT_REGO_X509_GO_H
#define SEXTANT_REGO_X509_GO_H

#include "authz/rego/value/value.h"

#include "lib/x509/der.h"

enum {
    GO_X509_DER_MAX = 1 << 20,
    GO_X509_ITEMS_MAX = 100,
    GO_X509_CERTS_MAX = 1000,
    GO_X509_KEYS_MAX = 100
};

/* ---- shapes (der.c) ---- */
struct val go_bytes(struct arena *a, struct str bytes); /* base64 */
struct val go_text(struct arena *a, struct str s);      /* what is not UTF-8 becomes U+FFFD */
struct val go_uint(struct arena *a, struct str be);     /* a whole number of any size */
struct val go_list(const struct vlist *l);              /* null when empty, as a nil slice is */
/* An OBJECT IDENTIFIER whose parts fit 31 bits, as its content; as a list of its parts; as text. */
struct err go_take_oid(struct der *d, struct str *content);
struct val go_oid(struct arena *a, struct str content);
struct val go_oid_text(struct arena *a, struct str content);
/* A BIT STRING: its bytes, the number of unused bits at their end (which are zero). */
struct err go_take_bits(struct der *d, struct str *bytes, unsigned *unused);
struct val go_bits(struct arena *a, struct str bytes, unsigned unused); /* aligned to the right */
/* A non-negative INTEGER up to `max`. */
struct err go_take_small(struct der *d, unsigned tag, int64_t max, int64_t *out);
/* UTCTime or GeneralizedTime, as RFC 3339. */
struct err go_take_time(struct arena *a, struct der *d, struct val *out);

/* ---- parts of certificates ---- */
struct err go_name(struct arena *a, struct str der, struct val *out); /* name.c */
struct go_algorithm {
    struct str oid, params; /* params: the whole element, or empty */
};
struct err go_take_algorithm(struct der *d, struct go_algorithm *out);
int go_signature_algorithm(const struct go_algorithm *g);
/* The key of a SubjectPublicKeyInfo; *kind is 0 and the key null when it is of no known kind. */
struct err go_public_key(struct arena *a, struct str spki, int *kind, struct val *out);
/* Fields that extensions set, onto `fields`, which has the values of an absent extension already. */
struct go_names {
    struct vlist dns, emails, ips, uris, uri_texts;
};
struct err go_alternative_names(struct arena *a, struct str value, struct go_names *out);
void go_put_names(struct vlist *fields, const struct go_names *n, bool texts);
struct str go_usage_oid(size_t i); /* of the ith ExtKeyUsage; empty behind the last */
struct err go_put_extensions(struct vlist *fields, struct str list, bool uri_texts);
/* One Extension: its parts. */
struct go_extension {
    struct str id, value;
    bool critical;
};
struct err go_take_extension(struct der *d, struct go_extension *out);
struct val go_extension(struct arena *a, const struct go_extension *e);
/* url.URL as Go shows it, and as it prints it. ERR_SYNTAX. */
struct err go_url(struct arena *a, struct str text, struct val *out, struct val *printed);

/* ---- whole things ---- */
/* The first certificate of *der, which moves behind it. */
struct err go_certificate(struct arena *a, struct str *der, bool uri_texts, struct val *out);
struct err go_certificate_request(struct arena *a, struct str der, struct val *out);

enum go_key_form { GO_KEY_PKCS1, GO_KEY_PKCS8, GO_KEY_SEC1 };
/* A private key as Go shows it, and as a JSON Web Key; either may be NULL. */
struct err go_private_key(struct arena *a, struct str der, enum go_key_form form, struct val *shown,
                          struct val *jwk, struct str *spki);

#endif
