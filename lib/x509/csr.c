/* PKCS#10 certification requests (RFC 2986 section 4). */
#include "der.h"
#include "issue.h"

static const struct str oid_extension_request = STR_INIT("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e");

static void put_requested_names(struct buf *out, const struct str *uris, size_t n_uris,
                                const struct str *dns_names, size_t n_dns_names)
{
    size_t attr = der_open(out, DER_SEQUENCE);
    der_put(out, DER_OID, oid_extension_request);
    size_t set = der_open(out, DER_SET), exts = der_open(out, DER_SEQUENCE);
    size_t ext = der_open(out, DER_SEQUENCE);
    buf_puts(out, S("\x06\x03\x55\x1d\x11"));
    size_t octets = der_open(out, DER_OCTET_STRING), seq = der_open(out, DER_SEQUENCE);
    for (size_t i = 0; i < n_dns_names; i++) {
        der_put(out, DER_CONTEXT(2), dns_names[i]);
    }
    for (size_t i = 0; i < n_uris; i++) {
        der_put(out, DER_CONTEXT(6), uris[i]);
    }
    der_close(out, seq);
    der_close(out, octets);
    der_close(out, ext);
    der_close(out, exts);
    der_close(out, set);
    der_close(out, attr);
}

struct err x509_csr_make(struct key *key, struct str subject, const struct str *uris, size_t n_uris,
                         const struct str *dns_names, size_t n_dns_names, struct buf *der)
{
    enum sig_alg alg = key_default_alg(key);
    struct buf tbs, sig;
    buf_init(&tbs, X509_CSR_MAX);
    buf_init(&sig, SIGNATURE_MAX);
    size_t seq = der_open(&tbs, DER_SEQUENCE);
    buf_puts(&tbs, S("\x02\x01\x00"));
    buf_puts(&tbs, subject.n > 0 ? subject : S("\x30\x00"));
    buf_puts(&tbs, key_spki(key));
    size_t attrs = der_open(&tbs, DER_CONTEXT_CONS(0));
    if (n_uris + n_dns_names > 0) {
        put_requested_names(&tbs, uris, n_uris, dns_names, n_dns_names);
    }
    der_close(&tbs, attrs);
    der_close(&tbs, seq);
    struct err e = buf_check(&tbs);
    if (!failed(e)) {
        e = key_sign(key, alg, buf_str(&tbs), &sig);
    }
    if (!failed(e)) {
        x509_assemble(buf_str(&tbs), alg, buf_str(&sig), der);
        e = buf_check(der);
    }
    buf_release(&sig);
    buf_release(&tbs);
    return e;
}

static struct err read_names(struct x509_csr *c, struct str value)
{
    struct der d = {value}, names;
    TRY(der_take(&d, DER_SEQUENCE, &names.rest));
    TRY(der_end(&d, "alternative names"));
    while (names.rest.n > 0) {
        unsigned tag;
        struct str name, whole;
        TRY(der_any(&names, &tag, &name, &whole));
        if (tag == DER_CONTEXT(6)) {
            ENSURE(c->n_uris < ARRAY_LEN(c->uris), ERR_LIMIT, "over %zu URIs in a request",
                   ARRAY_LEN(c->uris));
            c->uris[c->n_uris++] = name;
        } else if (tag == DER_CONTEXT(2)) {
            ENSURE(c->n_dns_names < ARRAY_LEN(c->dns_names), ERR_LIMIT,
                   "over %zu DNS names in a request", ARRAY_LEN(c->dns_names));
            c->dns_names[c->n_dns_names++] = name;
        }
    }
    return OK;
}

/* Extensions ::= SEQUENCE OF { oid, [critical], value }: only the names are taken from a request. */
static struct err read_extensions(struct x509_csr *c, struct str list)
{
    struct der d = {list}, seq;
    TRY(der_take(&d, DER_SEQUENCE, &seq.rest));
    bool seen = false;
    while (seq.rest.n > 0) {
        struct der e;
        struct str oid, value, flag;
        TRY(der_take(&seq, DER_SEQUENCE, &e.rest));
        TRY(der_take(&e, DER_OID, &oid));
        if (der_peek(&e, DER_BOOLEAN)) {
            TRY(der_take(&e, DER_BOOLEAN, &flag));
        }
        TRY(der_take(&e, DER_OCTET_STRING, &value));
        if (str_eq(oid, S("\x55\x1d\x11"))) {
            ENSURE(!seen, ERR_SYNTAX, "alternative names twice in a request");
            seen = true;
            TRY(read_names(c, value));
        }
    }
    return OK;
}

static struct err read_attributes(struct x509_csr *c, struct str attrs)
{
    struct der d = {attrs};
    bool seen = false;
    while (d.rest.n > 0) {
        struct der a;
        struct str oid, set;
        TRY(der_take(&d, DER_SEQUENCE, &a.rest));
        TRY(der_take(&a, DER_OID, &oid));
        TRY(der_take(&a, DER_SET, &set));
        TRY(der_end(&a, "an attribute"));
        if (str_eq(oid, oid_extension_request)) {
            ENSURE(!seen, ERR_SYNTAX, "requested extensions twice in a request");
            seen = true;
            TRY(read_extensions(c, set));
        }
    }
    return OK;
}

static struct err read_and_check(struct str der, struct x509_csr *c)
{
    struct der d = {der}, outer, in;
    struct str tbs, alg_der, sig, version, spki, attrs;
    enum sig_alg alg;
    TRY(der_take(&d, DER_SEQUENCE, &outer.rest));
    TRY(der_end(&d, "a request"));
    TRY(der_take_whole(&outer, DER_SEQUENCE, &tbs));
    TRY(der_take_whole(&outer, DER_SEQUENCE, &alg_der));
    TRY(der_take_bits(&outer, &sig));
    TRY(der_end(&outer, "a request's signature"));
    TRY(sig_alg_from_der(alg_der, &alg));
    d.rest = tbs;
    TRY(der_take(&d, DER_SEQUENCE, &in.rest));
    TRY(der_take(&in, DER_INTEGER, &version));
    ENSURE(str_eq(version, S("\x00")), ERR_UNSUPPORTED, "not a version 1 request");
    TRY(der_take_whole(&in, DER_SEQUENCE, &c->subject));
    TRY(der_take_whole(&in, DER_SEQUENCE, &spki));
    if (der_peek(&in, DER_CONTEXT_CONS(0))) {
        TRY(der_take(&in, DER_CONTEXT_CONS(0), &attrs));
        TRY(read_attributes(c, attrs));
    }
    TRY(der_end(&in, "a request's content"));
    TRY(key_from_spki(spki, &c->key));
    return key_verify(c->key, alg, tbs, sig);
}

struct err x509_csr_parse(struct str der, struct x509_csr *out)
{
    ENSURE(der.n <= X509_CSR_MAX, ERR_LIMIT, "a request of %zu bytes; at most %d", der.n,
           X509_CSR_MAX);
    struct x509_csr c = {.key = NULL};
    struct err e = read_and_check(der, &c);
    if (failed(e)) {
        x509_csr_release(&c);
        return err_wrap(e, "certificate request");
    }
    *out = c;
    return OK;
}

void x509_csr_release(struct x509_csr *c)
{
    key_unref(c->key);
    c->key = NULL;
}
