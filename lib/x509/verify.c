/* Path building and validation (RFC 5280 section 6) on OpenSSL, with our own names for what failed. */
#include "verify_priv.h"

#include "cert_priv.h"
#include "der.h"
#include "lib/base/map.h"
#include "ossl.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ANCHORS_FILE_MAX = 4 * 1024 * 1024 };

/* ---- anchors ---- */

struct x509_anchors {
    unsigned refs;
    struct x509_cert **certs;
    size_t n, cap;
    X509_STORE *store;
};

struct err x509_anchors_new(struct x509_anchors **out)
{
    ossl_init();
    struct x509_anchors *t = calloc(1, sizeof(*t));
    BUG_ON(t == NULL);
    t->refs = 1;
    t->store = X509_STORE_new();
    BUG_ON(t->store == NULL);
    *out = t;
    return OK;
}

struct err x509_anchors_add(struct x509_anchors *t, struct x509_cert *cert)
{
    for (size_t i = 0; i < t->n; i++) {
        if (str_eq(t->certs[i]->der, cert->der)) {
            return OK;
        }
    }
    ENSURE(t->n < X509_ANCHORS_MAX, ERR_LIMIT, "over %d trust anchors", X509_ANCHORS_MAX);
    X509 *x;
    TRY(x509_cert_openssl(cert, &x));
    if (t->n == t->cap) {
        t->cap = t->cap > 0 ? 2 * t->cap : 4;
        t->certs = realloc(t->certs, t->cap * sizeof(struct x509_cert *));
        BUG_ON(t->certs == NULL);
    }
    if (X509_STORE_add_cert(t->store, x) != 1) {
        return ossl_err(ERR_OK, "adding a trust anchor");
    }
    t->certs[t->n++] = x509_cert_ref(cert);
    return OK;
}

struct err x509_anchors_add_der(struct x509_anchors *t, struct str concatenated)
{
    while (concatenated.n > 0) {
        struct der d = {concatenated};
        struct str whole;
        TRY(der_take_whole(&d, DER_SEQUENCE, &whole));
        concatenated = d.rest;
        struct x509_cert *c;
        TRY(x509_cert_parse(whole, &c));
        struct err e = x509_anchors_add(t, c);
        x509_cert_unref(c);
        TRY(e);
    }
    return OK;
}

struct err x509_anchors_add_pem(struct x509_anchors *t, struct str pem)
{
    struct buf der;
    buf_init(&der, X509_CERT_MAX);
    struct err e;
    while (!failed(e = pem_next_buf(&pem, "CERTIFICATE", &der))) {
        e = x509_anchors_add_der(t, buf_str(&der));
        if (failed(e)) {
            break;
        }
    }
    buf_release(&der);
    return e.code == ERR_NOT_FOUND && t->n > 0 ? OK : e;
}

struct err x509_anchors_add_file(struct x509_anchors *t, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_NOT_FOUND, "cannot open the CA file %s", path);
    struct buf b;
    buf_init(&b, ANCHORS_FILE_MAX);
    ssize_t n = 1;
    while (n > 0 && buf_ok(&b)) {
        char *room = buf_reserve(&b, 4096);
        n = room != NULL ? read(fd, room, 4096) : 0;
        buf_commit(&b, n > 0 ? (size_t)n : 0);
    }
    close(fd);
    struct err e = n < 0 ? err_make(ERR_IO, "cannot read the CA file %s", path) : buf_check(&b);
    if (!failed(e)) {
        e = x509_anchors_add_pem(t, buf_str(&b));
    }
    buf_release(&b);
    return failed(e) ? err_wrap(e, "%s", path) : OK;
}

size_t x509_anchors_count(const struct x509_anchors *t)
{
    return t->n;
}

const struct x509_cert *x509_anchors_at(const struct x509_anchors *t, size_t i)
{
    BUG_ON(i >= t->n);
    return t->certs[i];
}

struct x509_anchors *x509_anchors_ref(struct x509_anchors *t)
{
    if (t != NULL) {
        t->refs++;
    }
    return t;
}

void x509_anchors_unref(struct x509_anchors *t)
{
    if (t == NULL || --t->refs > 0) {
        return;
    }
    for (size_t i = 0; i < t->n; i++) {
        x509_cert_unref(t->certs[i]);
    }
    free(t->certs);
    X509_STORE_free(t->store);
    free(t);
}

/* ---- chains ---- */

static struct err verdict(int why, int depth)
{
    static const struct {
        int x509;
        enum err_code code;
    } table[] = {
        {X509_V_ERR_CERT_HAS_EXPIRED, ERR_EXPIRED},
        {X509_V_ERR_CERT_NOT_YET_VALID, ERR_EXPIRED},
        {X509_V_ERR_CERT_SIGNATURE_FAILURE, ERR_SIGNATURE},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, ERR_DENIED},
        {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, ERR_DENIED},
        {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, ERR_DENIED},
        {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, ERR_DENIED},
        {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, ERR_DENIED},
    };
    enum err_code code = ERR_INVALID;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        code = table[i].x509 == why ? table[i].code : code;
    }
    FAIL(code, "certificate %d of the chain: %s", depth, X509_verify_cert_error_string(why));
}

static int openssl_purpose(enum x509_purpose p)
{
    return p == X509_FOR_SERVER   ? X509_PURPOSE_SSL_SERVER
           : p == X509_FOR_CLIENT ? X509_PURPOSE_SSL_CLIENT
                                  : X509_PURPOSE_ANY;
}

struct err x509_verify_begin(X509_STORE_CTX *ctx, const struct x509_chain *chain,
                             STACK_OF(X509) * others, const struct x509_anchors *anchors,
                             int64_t now_s)
{
    X509 *leaf, *x;
    TRY(x509_cert_openssl(chain->certs[0], &leaf));
    for (size_t i = 1; i < chain->n; i++) {
        TRY(x509_cert_openssl(chain->certs[i], &x));
        BUG_ON(sk_X509_push(others, x) <= 0);
    }
    BUG_ON(X509_STORE_CTX_init(ctx, anchors->store, leaf, others) != 1);
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_time(param, (time_t)now_s);
    /* An intermediate may be an anchor (SPIFFE bundles). */
    X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
    X509_VERIFY_PARAM_set_depth(param, X509_CHAIN_MAX);
    return OK;
}

struct err x509_verify_run(X509_STORE_CTX *ctx)
{
    if (X509_verify_cert(ctx) != 1) {
        return verdict(X509_STORE_CTX_get_error(ctx), X509_STORE_CTX_get_error_depth(ctx));
    }
    return OK;
}

static struct err verify_with(X509_STORE_CTX *ctx, const struct x509_chain *chain,
                              STACK_OF(X509) * others, const struct x509_anchors *anchors,
                              enum x509_purpose purpose, int64_t now_s)
{
    TRY(x509_verify_begin(ctx, chain, others, anchors, now_s));
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_auth_level(param, 2); /* 112 bits of security at least */
    X509_VERIFY_PARAM_set_purpose(param, openssl_purpose(purpose));
    return x509_verify_run(ctx);
}

struct err x509_verify(const struct x509_chain *chain, const struct x509_anchors *anchors,
                       enum x509_purpose purpose, int64_t now_s)
{
    ENSURE(chain->n > 0, ERR_DENIED, "no certificate was shown");
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    BUG_ON(ctx == NULL || others == NULL);
    struct err e = verify_with(ctx, chain, others, anchors, purpose, now_s);
    X509_STORE_CTX_free(ctx);
    sk_X509_free(others);
    return e;
}

struct err x509_verify_name(const struct x509_cert *leaf, struct str name)
{
    X509 *x;
    TRY(x509_cert_openssl(leaf, &x));
    char text[256];
    TRY(str_to_cstr(name, text, sizeof(text)));
    uint8_t ip[16];
    bool is_ip = inet_pton(AF_INET, text, ip) == 1 || inet_pton(AF_INET6, text, ip) == 1;
    int found = is_ip ? X509_check_ip_asc(x, text, 0)
                      : X509_check_host(x, text, 0,
                                        X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                            X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                                        NULL);
    ENSURE(found == 1, ERR_DENIED, "the certificate is not for '%s'", text);
    return OK;
}

/* ---- bundles of trust domains ---- */

struct x509_bundles {
    unsigned refs;
    struct map by_domain;
};

struct err x509_bundles_new(struct x509_bundles **out)
{
    struct x509_bundles *b = calloc(1, sizeof(*b));
    BUG_ON(b == NULL);
    b->refs = 1;
    map_init(&b->by_domain);
    *out = b;
    return OK;
}

struct err x509_bundles_set(struct x509_bundles *b, struct str trust_domain,
                            struct x509_anchors *anchors)
{
    TRY(spiffe_trust_domain_check(trust_domain));
    ENSURE(map_len(&b->by_domain) < X509_BUNDLES_MAX, ERR_LIMIT, "over %d trust domains",
           X509_BUNDLES_MAX);
    x509_anchors_unref(map_set(&b->by_domain, trust_domain, x509_anchors_ref(anchors)));
    return OK;
}

const struct x509_anchors *x509_bundles_get(const struct x509_bundles *b, struct str trust_domain)
{
    return map_get(&b->by_domain, trust_domain);
}

struct x509_bundles *x509_bundles_ref(struct x509_bundles *b)
{
    if (b != NULL) {
        b->refs++;
    }
    return b;
}

void x509_bundles_unref(struct x509_bundles *b)
{
    if (b == NULL || --b->refs > 0) {
        return;
    }
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&b->by_domain, &i)) != NULL;) {
        x509_anchors_unref(e->value);
    }
    map_release(&b->by_domain);
    free(b);
}

struct err x509_svid_verify(const struct x509_chain *chain, const struct x509_bundles *bundles,
                            int64_t now_s, struct spiffe_id *id)
{
    ENSURE(chain->n > 0, ERR_DENIED, "no certificate was shown");
    TRY(x509_spiffe_leaf_check(chain->certs[0]));
    struct spiffe_id who;
    TRY(spiffe_id_parse(chain->certs[0]->uris[0], &who));
    const struct x509_anchors *anchors = x509_bundles_get(bundles, who.trust_domain);
    ENSURE(anchors != NULL && anchors->n > 0, ERR_DENIED, "no trust bundle for trust domain '%.*s'",
           STR_FMT(who.trust_domain));
    for (size_t i = 1; i < chain->n; i++) {
        TRY(x509_spiffe_ca_check(chain->certs[i]));
    }
    TRY(x509_verify(chain, anchors, X509_FOR_ANY, now_s));
    *id = who;
    return OK;
}
