/* Paths for those who have their own idea of acceptable: any key of 80 bits of security, chosen usages. */
#include "verify.h"

#include "ossl.h"
#include "verify_priv.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

static bool names_usage(const EXTENDED_KEY_USAGE *list, struct str oid)
{
    for (int i = 0; i < sk_ASN1_OBJECT_num(list); i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(list, i);
        if (str_eq(str_n(OBJ_get0_data(o), OBJ_length(o)), oid)) {
            return true;
        }
    }
    return false;
}

/* One of the usages must be allowed by every certificate that restricts them at all. */
static bool usages_fit(STACK_OF(X509) * path, const struct str *usages, size_t n)
{
    static const struct str any = STR_INIT("\x55\x1d\x25\x00");
    bool left[X509_USAGES_MAX], some = n == 0;
    for (size_t k = 0; k < n; k++) {
        left[k] = true;
        some |= str_eq(usages[k], any);
    }
    for (int i = sk_X509_num(path) - 1; i >= 0 && !some; i--) {
        EXTENDED_KEY_USAGE *list =
            X509_get_ext_d2i(sk_X509_value(path, i), NID_ext_key_usage, NULL, NULL);
        bool fits = list == NULL || names_usage(list, any), kept = false;
        for (size_t k = 0; k < n && !fits; k++) {
            left[k] = left[k] && names_usage(list, usages[k]);
            kept |= left[k];
        }
        EXTENDED_KEY_USAGE_free(list);
        if (!fits && !kept) {
            return false;
        }
    }
    return true;
}

static struct err copy_path(STACK_OF(X509) * path, struct x509_chain *out)
{
    struct x509_chain c = {.n = 0};
    struct err e = OK;
    for (int i = 0; i < sk_X509_num(path) && !failed(e); i++) {
        if (c.n == X509_CHAIN_MAX) {
            e = err_make(ERR_LIMIT, "a path of over %d certificates", X509_CHAIN_MAX);
            break;
        }
        e = x509_cert_from_openssl(sk_X509_value(path, i), &c.certs[c.n]);
        c.n += !failed(e);
    }
    if (failed(e)) {
        x509_chain_release(&c);
        return e;
    }
    *out = c;
    return OK;
}

static struct err find(X509_STORE_CTX *ctx, const struct x509_chain *chain, STACK_OF(X509) * others,
                       const struct x509_anchors *anchors, const struct x509_path_opts *o,
                       struct x509_chain *out)
{
    TRY(x509_verify_begin(ctx, chain, others, anchors, o->now_s));
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);
    X509_VERIFY_PARAM_set_auth_level(param, 1);
    X509_VERIFY_PARAM_set_purpose(param, X509_PURPOSE_ANY);
    TRY(x509_verify_run(ctx));
    STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(ctx);
    ENSURE(usages_fit(path, o->usages, o->n_usages), ERR_DENIED,
           "no extended key usage that all certificates of the path allow");
    return copy_path(path, out);
}

struct err x509_verify_path(const struct x509_chain *chain, const struct x509_anchors *anchors,
                            const struct x509_path_opts *o, struct x509_chain *out)
{
    ENSURE(chain->n > 0, ERR_DENIED, "no certificate was shown");
    ENSURE(o->n_usages <= X509_USAGES_MAX, ERR_LIMIT, "over %d key usages", X509_USAGES_MAX);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *others = sk_X509_new_null();
    BUG_ON(ctx == NULL || others == NULL);
    struct err e = find(ctx, chain, others, anchors, o, out);
    X509_STORE_CTX_free(ctx);
    sk_X509_free(others);
    return e;
}
