/* Reading certificates: RFC 5280 section 4.1. */
#include "cert_priv.h"

#include "der.h"
#include "lib/base/clock.h"
#include "ossl.h"
#include "spiffe_id.h"

#include <openssl/x509.h>

static struct err take_two(struct str s, size_t at, unsigned *out)
{
    uint64_t v;
    ENSURE(at + 2 <= s.n && s.p[at] >= '0' && s.p[at] <= '9' && s.p[at + 1] >= '0' &&
               s.p[at + 1] <= '9',
           ERR_SYNTAX, "a time that is not made of digits");
    v = (uint64_t)(s.p[at] - '0') * 10 + (uint64_t)(s.p[at + 1] - '0');
    *out = (unsigned)v;
    return OK;
}

/* Section 4.1.2.5: with seconds, in UTC, no fraction. */
static struct err take_time(struct der *d, int64_t *out)
{
    bool utc = der_peek(d, DER_UTC_TIME);
    struct str s;
    TRY(der_take(d, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, &s));
    size_t head = utc ? 2 : 4;
    ENSURE(s.n == head + 11 && s.p[s.n - 1] == 'Z', ERR_SYNTAX, "a time of the wrong length");
    unsigned f[5], century = 0, year = 0;
    for (size_t i = 0; i < 5; i++) {
        TRY(take_two(s, head + 2 * i, &f[i]));
    }
    if (!utc) {
        TRY(take_two(s, 0, &century));
    }
    TRY(take_two(s, head - 2, &year));
    year += utc ? (year < 50 ? 2000 : 1900) : century * 100;
    ENSURE(f[0] >= 1 && f[0] <= 12 && f[1] >= 1 && f[1] <= 31 && f[2] < 24 && f[3] < 60 &&
               f[4] < 60,
           ERR_RANGE, "a time that does not exist");
    *out = days_from_civil(year, f[0], f[1]) * 86400 + f[2] * 3600 + f[3] * 60 + f[4];
    return OK;
}

static struct err count_names(struct der names, size_t *n)
{
    struct str name, whole;
    unsigned tag;
    for (*n = 0; names.rest.n > 0; ++*n) {
        ENSURE(*n < X509_NAMES_MAX, ERR_LIMIT, "over %d alternative names", X509_NAMES_MAX);
        TRY(der_any(&names, &tag, &name, &whole));
    }
    return OK;
}

/* Section 4.2.1.6: GeneralNames; dNSName [2], uniformResourceIdentifier [6], iPAddress [7]. */
static struct err read_san(struct x509_cert *c, struct str value)
{
    struct arena *a = &c->priv->arena;
    struct der d = {value}, names;
    size_t n;
    TRY(der_take(&d, DER_SEQUENCE, &names.rest));
    TRY(der_end(&d, "subject alternative names"));
    TRY(count_names(names, &n));
    c->uris = arena_array(a, struct str, n);
    c->dns_names = arena_array(a, struct str, n);
    c->ip_addresses = arena_array(a, struct str, n);
    while (names.rest.n > 0) {
        struct str name, whole;
        unsigned tag;
        TRY(der_any(&names, &tag, &name, &whole));
        if (tag == DER_CONTEXT(6)) {
            c->uris[c->n_uris++] = name;
        } else if (tag == DER_CONTEXT(2)) {
            c->dns_names[c->n_dns_names++] = name;
        } else if (tag == DER_CONTEXT(7)) {
            c->ip_addresses[c->n_ip_addresses++] = name;
        }
    }
    return OK;
}

static struct err read_basic_constraints(struct x509_cert *c, struct str value)
{
    struct der d = {value}, in;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    TRY(der_end(&d, "basic constraints"));
    if (der_peek(&in, DER_BOOLEAN)) {
        struct str v;
        TRY(der_take(&in, DER_BOOLEAN, &v));
        c->is_ca = v.n == 1 && v.p[0] != 0;
    }
    return OK;
}

/* Section 4.2.1.3: bit 0 is the highest of the first byte. */
static struct err read_key_usage(struct x509_cert *c, struct str value, bool critical)
{
    struct der d = {value};
    struct str bits;
    TRY(der_take(&d, DER_BIT_STRING, &bits));
    ENSURE(bits.n >= 1 && bits.n <= 3, ERR_SYNTAX, "key usage of %zu bytes", bits.n);
    for (size_t i = 0; i < 8 && bits.n > 1; i++) {
        c->key_usage |= ((uint8_t)bits.p[1] & (0x80u >> i)) != 0 ? 1u << i : 0;
    }
    c->has_key_usage = true;
    c->key_usage_critical = critical;
    return OK;
}

static struct err read_eku(struct x509_cert *c, struct str value)
{
    static const struct str server = STR_INIT("\x2b\x06\x01\x05\x05\x07\x03\x01");
    static const struct str client = STR_INIT("\x2b\x06\x01\x05\x05\x07\x03\x02");
    struct der d = {value}, in;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    c->has_eku = true;
    while (in.rest.n > 0) {
        struct str oid;
        TRY(der_take(&in, DER_OID, &oid));
        c->eku_server |= str_eq(oid, server);
        c->eku_client |= str_eq(oid, client);
    }
    return OK;
}

static struct err read_authority_key_id(struct x509_cert *c, struct str value)
{
    struct der d = {value}, in;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    if (der_peek(&in, DER_CONTEXT(0))) {
        TRY(der_take(&in, DER_CONTEXT(0), &c->authority_key_id));
    }
    return OK;
}

/* The extensions we read are 2.5.29.N; a second one of the same kind is refused (section 4.2). */
static struct err read_known(struct x509_cert *c, unsigned n, bool critical, struct str value)
{
    struct der d = {value};
    switch (n) {
    case 14:
        return der_take(&d, DER_OCTET_STRING, &c->subject_key_id);
    case 15:
        return read_key_usage(c, value, critical);
    case 17:
        return read_san(c, value);
    case 19:
        return read_basic_constraints(c, value);
    case 35:
        return read_authority_key_id(c, value);
    case 37:
        return read_eku(c, value);
    default:
        return OK;
    }
}

static struct err read_extensions(struct x509_cert *c, struct str list)
{
    struct der d = {list}, seq;
    TRY(der_take(&d, DER_SEQUENCE, &seq.rest));
    TRY(der_end(&d, "extensions"));
    uint64_t seen = 0;
    while (seq.rest.n > 0) {
        struct der e;
        struct str oid, value, flag;
        bool critical = false;
        TRY(der_take(&seq, DER_SEQUENCE, &e.rest));
        TRY(der_take(&e, DER_OID, &oid));
        if (der_peek(&e, DER_BOOLEAN)) {
            TRY(der_take(&e, DER_BOOLEAN, &flag));
            critical = flag.n == 1 && flag.p[0] != 0;
        }
        TRY(der_take(&e, DER_OCTET_STRING, &value));
        TRY(der_end(&e, "an extension"));
        if (oid.n == 3 && str_starts(oid, S("\x55\x1d")) && (uint8_t)oid.p[2] < 64) {
            unsigned n = (uint8_t)oid.p[2];
            ENSURE((seen >> n & 1) == 0, ERR_SYNTAX, "extension 2.5.29.%u twice", n);
            seen |= UINT64_C(1) << n;
            TRY(read_known(c, n, critical, value));
        }
    }
    return OK;
}

/* The first attribute of type 2.5.4.3 in a Name; only for people to read. */
static struct str common_name(struct str name)
{
    struct der d = {name}, rdns;
    struct str found = STR_EMPTY;
    if (failed(der_take(&d, DER_SEQUENCE, &rdns.rest))) {
        return found;
    }
    while (rdns.rest.n > 0) {
        struct der set, attr;
        struct str oid, value, whole;
        unsigned tag;
        if (failed(der_take(&rdns, DER_SET, &set.rest)) ||
            failed(der_take(&set, DER_SEQUENCE, &attr.rest)) ||
            failed(der_take(&attr, DER_OID, &oid)) ||
            failed(der_any(&attr, &tag, &value, &whole))) {
            return found;
        }
        if (str_eq(oid, S("\x55\x04\x03"))) {
            found = value;
        }
    }
    return found;
}

static struct err read_tbs(struct x509_cert *c, struct str tbs)
{
    struct der d = {tbs}, validity;
    struct str v, alg;
    if (der_peek(&d, DER_CONTEXT_CONS(0))) {
        TRY(der_take(&d, DER_CONTEXT_CONS(0), &v));
        ENSURE(str_eq(v, S("\x02\x01\x02")), ERR_UNSUPPORTED, "not a version 3 certificate");
    }
    TRY(der_take(&d, DER_INTEGER, &c->serial));
    ENSURE(c->serial.n >= 1 && c->serial.n <= X509_SERIAL_MAX + 1, ERR_RANGE,
           "a serial number of %zu bytes; 1 to %d", c->serial.n, X509_SERIAL_MAX);
    TRY(der_take_whole(&d, DER_SEQUENCE, &alg));
    TRY(der_take_whole(&d, DER_SEQUENCE, &c->issuer));
    TRY(der_take(&d, DER_SEQUENCE, &validity.rest));
    TRY(take_time(&validity, &c->not_before_s));
    TRY(take_time(&validity, &c->not_after_s));
    TRY(der_take_whole(&d, DER_SEQUENCE, &c->subject));
    TRY(der_take_whole(&d, DER_SEQUENCE, &c->spki));
    c->common_name = common_name(c->subject);
    for (unsigned tag = 1; tag <= 2; tag++) { /* the unique ids of version 2 */
        if (der_peek(&d, DER_CONTEXT(tag))) {
            TRY(der_take(&d, DER_CONTEXT(tag), &v));
        }
    }
    if (der_peek(&d, DER_CONTEXT_CONS(3))) {
        TRY(der_take(&d, DER_CONTEXT_CONS(3), &v));
        TRY(read_extensions(c, v));
    }
    return der_end(&d, "the certificate's content");
}

static struct err read_cert(struct x509_cert *c)
{
    struct der d = {c->der}, in;
    struct str tbs, alg, sig;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    TRY(der_end(&d, "a certificate"));
    TRY(der_take(&in, DER_SEQUENCE, &tbs));
    TRY(der_take_whole(&in, DER_SEQUENCE, &alg));
    TRY(der_take_bits(&in, &sig));
    TRY(der_end(&in, "a certificate's signature"));
    TRY(read_tbs(c, tbs));
    struct spiffe_id id;
    if (c->n_uris == 1 && !failed(spiffe_id_parse(c->uris[0], &id))) {
        c->spiffe_id = id.text;
    }
    return OK;
}

struct err x509_cert_parse(struct str der, struct x509_cert **out)
{
    ENSURE(der.n > 0 && der.n <= X509_CERT_MAX, ERR_LIMIT, "a certificate of %zu bytes; 1 to %d",
           der.n, X509_CERT_MAX);
    struct x509_cert *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    c->priv = calloc(1, sizeof(*c->priv));
    BUG_ON(c->priv == NULL);
    c->priv->refs = 1;
    arena_init(&c->priv->arena, X509_CERT_MAX * 2);
    c->der = arena_str(&c->priv->arena, der);
    struct err e = read_cert(c);
    if (failed(e)) {
        x509_cert_unref(c);
        return err_wrap(e, "certificate");
    }
    *out = c;
    return OK;
}

struct x509_cert *x509_cert_ref(struct x509_cert *c)
{
    if (c != NULL) {
        c->priv->refs++;
    }
    return c;
}

void x509_cert_unref(struct x509_cert *c)
{
    if (c == NULL || --c->priv->refs > 0) {
        return;
    }
    key_unref(c->priv->key);
    X509_free(c->priv->x509);
    arena_release(&c->priv->arena);
    free(c->priv);
    free(c);
}

struct err x509_cert_key(const struct x509_cert *c, struct key **out)
{
    if (c->priv->key == NULL) {
        TRY(key_from_spki(c->spki, &c->priv->key));
    }
    *out = c->priv->key;
    return OK;
}

struct err x509_cert_openssl(const struct x509_cert *c, X509 **out)
{
    if (c->priv->x509 == NULL) {
        ossl_init();
        const unsigned char *p = (const unsigned char *)c->der.p;
        c->priv->x509 = d2i_X509(NULL, &p, (long)c->der.n);
        if (c->priv->x509 == NULL) {
            return ossl_err(ERR_SYNTAX, "certificate");
        }
    }
    *out = c->priv->x509;
    return OK;
}

struct err x509_cert_from_openssl(X509 *x, struct x509_cert **out)
{
    unsigned char *der = NULL;
    int n = i2d_X509(x, &der);
    if (n <= 0) {
        return ossl_err(ERR_OK, "encoding a certificate");
    }
    struct err e = x509_cert_parse(str_n(der, (size_t)n), out);
    OPENSSL_free(der);
    TRY(e);
    X509_up_ref(x);
    (*out)->priv->x509 = x;
    return OK;
}
