/* Chains of certificates, and what SPIFFE asks of their members. */
#include "cert.h"

#include "der.h"
#include "spiffe_id.h"

void x509_chain_release(struct x509_chain *c)
{
    for (size_t i = 0; i < c->n; i++) {
        x509_cert_unref(c->certs[i]);
    }
    c->n = 0;
}

static struct err chain_add(struct x509_chain *c, struct str der)
{
    ENSURE(c->n < X509_CHAIN_MAX, ERR_LIMIT, "a chain of over %d certificates", X509_CHAIN_MAX);
    struct x509_cert *cert;
    TRY(x509_cert_parse(der, &cert));
    c->certs[c->n++] = cert;
    return OK;
}

static struct err read_der(struct str text, struct x509_chain *c)
{
    struct der d = {text};
    while (d.rest.n > 0) {
        struct str whole;
        TRY(der_take_whole(&d, DER_SEQUENCE, &whole));
        TRY(chain_add(c, whole));
    }
    ENSURE(c->n > 0, ERR_SYNTAX, "no certificate in the chain");
    return OK;
}

struct err x509_chain_from_der(struct str concatenated, struct x509_chain *out)
{
    struct x509_chain c = {.n = 0};
    struct err e = read_der(concatenated, &c);
    if (failed(e)) {
        x509_chain_release(&c);
        return e;
    }
    *out = c;
    return OK;
}

static struct err read_pem(struct str pem, struct x509_chain *c)
{
    struct buf der;
    buf_init(&der, X509_CERT_MAX);
    struct err e;
    while (!failed(e = pem_next_buf(&pem, "CERTIFICATE", &der))) {
        e = chain_add(c, buf_str(&der));
        if (failed(e)) {
            break;
        }
    }
    buf_release(&der);
    return e.code == ERR_NOT_FOUND && c->n > 0 ? OK : e;
}

struct err x509_chain_from_pem(struct str pem, struct x509_chain *out)
{
    struct x509_chain c = {.n = 0};
    struct err e = read_pem(pem, &c);
    if (failed(e)) {
        x509_chain_release(&c);
        return e;
    }
    *out = c;
    return OK;
}

void x509_chain_der(const struct x509_chain *c, struct buf *out)
{
    for (size_t i = 0; i < c->n; i++) {
        buf_puts(out, c->certs[i]->der);
    }
}

void x509_chain_pem(const struct x509_chain *c, struct buf *out)
{
    for (size_t i = 0; i < c->n; i++) {
        pem_put(out, "CERTIFICATE", c->certs[i]->der);
    }
}

/* X509-SVID sections 2, 4.3 and 5.2. */
struct err x509_spiffe_leaf_check(const struct x509_cert *c)
{
    struct spiffe_id id;
    ENSURE(c->n_uris > 0, ERR_INVALID, "certificate contains no URI SAN");
    ENSURE(c->n_uris == 1, ERR_INVALID, "certificate contains more than one URI SAN");
    struct err e = spiffe_id_parse(c->uris[0], &id);
    if (failed(e)) {
        return err_wrap(e, "URI SAN '%.*s'", STR_FMT(str_sub(c->uris[0], 0, 200)));
    }
    ENSURE(id.path.n > 0, ERR_INVALID, "leaf certificate's SPIFFE ID has no path");
    ENSURE(!c->is_ca, ERR_INVALID, "leaf certificate has the CA flag");
    ENSURE(c->has_key_usage && c->key_usage_critical, ERR_INVALID,
           "leaf certificate must have a critical key usage");
    ENSURE((c->key_usage & USAGE_DIGITAL_SIGNATURE) != 0, ERR_INVALID,
           "leaf certificate's key usage lacks digitalSignature");
    ENSURE((c->key_usage & (USAGE_CERT_SIGN | USAGE_CRL_SIGN)) == 0, ERR_INVALID,
           "leaf certificate's key usage must not have keyCertSign or cRLSign");
    ENSURE(!c->has_eku || (c->eku_server && c->eku_client), ERR_INVALID,
           "leaf certificate's extended key usage must have serverAuth and clientAuth");
    return OK;
}

struct err x509_spiffe_ca_check(const struct x509_cert *c)
{
    ENSURE(c->is_ca, ERR_INVALID, "signing certificate lacks the CA flag");
    ENSURE(c->has_key_usage && (c->key_usage & USAGE_CERT_SIGN) != 0, ERR_INVALID,
           "signing certificate's key usage lacks keyCertSign");
    ENSURE(c->n_uris <= 1, ERR_INVALID, "signing certificate contains more than one URI SAN");
    if (c->n_uris == 1) {
        struct spiffe_id id;
        TRY(spiffe_id_parse(c->uris[0], &id));
        ENSURE(id.path.n == 0, ERR_INVALID, "signing certificate's SPIFFE ID has a path");
    }
    return OK;
}
