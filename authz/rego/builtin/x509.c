/* crypto.x509.* and crypto.parse_private_keys. */
#include "authz/rego/builtin/base64.h"
#include "authz/rego/builtin/x509/go.h"

#include "lib/base/clock.h"
#include "lib/x509/verify.h"

/* Text that is PEM, or else base64 of something. False after an error. */
static bool decoded(struct bcall *b, struct str s, const char *pem_prefix, struct str *out)
{
    if (str_starts(s, str_of(pem_prefix))) {
        *out = s;
        return true;
    }
    if (!base64_lenient(b, s, BASE64_STD, out)) {
        (void)b_fail(b, "illegal base64 data at input byte %zu", base64_bad_byte(s, false));
        return false;
    }
    return true;
}

/* All blocks of PEM text laid end to end; every one must be a certificate. */
static struct err certificates_der(struct arena *a, struct str text, struct str *out)
{
    struct buf all, der;
    struct str label = STR_EMPTY;
    struct err e;
    buf_init(&all, GO_X509_DER_MAX);
    buf_init(&der, GO_X509_DER_MAX);
    while (!failed(e = pem_next_any(&text, &label, &der))) {
        if (!str_is(label, "CERTIFICATE")) {
            e = err_make(ERR_INVALID, "PEM block type is '%.*s', expected CERTIFICATE",
                         STR_FMT(str_sub(label, 0, 100)));
            break;
        }
        buf_puts(&all, buf_str(&der));
    }
    e = e.code == ERR_NOT_FOUND ? buf_check(&all) : e;
    if (!failed(e)) {
        *out = arena_str(a, buf_str(&all));
    }
    buf_release(&der);
    buf_release(&all);
    return e;
}

/* The DER certificates of an operand. False after an error. */
static bool certificates_of(struct bcall *b, struct str text, struct str *der)
{
    struct str s;
    if (!decoded(b, text, "-----BEGIN", &s)) {
        return false;
    }
    if (!str_starts(s, S("-----BEGIN"))) {
        *der = s;
    } else if (failed(certificates_der(b->a, s, der))) {
        (void)b_fail(b, "%s", err_detail());
        return false;
    }
    if (der->n > GO_X509_DER_MAX) {
        (void)b_fail(b, "certificates of %zu bytes; at most %d", der->n, GO_X509_DER_MAX);
        return false;
    }
    return !b_budget(b, der->n / 16);
}

static struct err all_certificates(struct arena *a, struct str der, bool uri_texts, struct val *out)
{
    struct vlist l = {.a = a};
    while (der.n > 0) {
        struct val v;
        ENSURE(l.n < GO_X509_CERTS_MAX && !arena_exhausted(a), ERR_LIMIT, "over %d certificates",
               GO_X509_CERTS_MAX);
        TRY(go_certificate(a, &der, uri_texts, &v));
        vlist_add(&l, v);
    }
    *out = vlist_array(&l);
    return OK;
}

static enum b_status b_parse_certificates(struct bcall *b)
{
    struct str text, der;
    struct val v;
    if (!b_string(b, 1, &text) || !certificates_of(b, text, &der)) {
        return B_ERROR;
    }
    struct err e = all_certificates(b->a, der, true, &v);
    return failed(e) ? b_fail_err(b, e) : b_out(b, v);
}

/* ---- verification ---- */

struct verify_options {
    struct str name;
    int64_t now_ns;
    struct str usages[X509_USAGES_MAX];
    size_t n_usages;
};

/* The first certificate is the anchor, the last the leaf, those between may help. */
static struct err verify(struct arena *a, const struct x509_chain *c,
                         const struct verify_options *o, bool uri_texts, struct val *out)
{
    struct x509_anchors *anchors;
    struct x509_chain turned = {.n = c->n - 1}, path = {.n = 0};
    static const struct str server = STR_INIT("\x2b\x06\x01\x05\x05\x07\x03\x01");
    struct x509_path_opts po = {.now_s = o->now_ns / NS_PER_S, .usages = &server, .n_usages = 1};
    if (o->n_usages > 0) {
        po.usages = o->usages;
        po.n_usages = o->n_usages;
    }
    for (size_t i = 0; i + 1 < c->n; i++) {
        turned.certs[i] = c->certs[c->n - 1 - i];
    }
    TRY(x509_anchors_new(&anchors));
    struct err e = x509_anchors_add(anchors, c->certs[0]);
    if (!failed(e) && o->name.n > 0) {
        e = x509_verify_name(turned.certs[0], o->name);
    }
    if (!failed(e)) {
        e = x509_verify_path(&turned, anchors, &po, &path);
    }
    x509_anchors_unref(anchors);
    if (!failed(e)) {
        struct buf der;
        buf_init(&der, GO_X509_DER_MAX);
        x509_chain_der(&path, &der);
        struct str copy = arena_str(a, buf_str(&der));
        buf_release(&der);
        e = all_certificates(a, copy, uri_texts, out);
        x509_chain_release(&path);
    }
    return e;
}

static enum b_status verified(struct bcall *b, struct str der, const struct verify_options *o,
                              bool uri_texts)
{
    struct x509_chain chain;
    struct val result[2] = {VAL_FALSE, val_empty_array()}, v;
    if (!failed(x509_chain_from_der(der, &chain))) {
        if (chain.n >= 2 && !b_budget(b, 20000 * chain.n) &&
            !failed(verify(b->a, &chain, o, uri_texts, &v))) {
            result[0] = VAL_TRUE;
            result[1] = v;
        }
        x509_chain_release(&chain);
    }
    return b_out(b, val_array(b->a, result, 2));
}

/* What cannot be read does not verify, whatever is wrong with it. */
static bool readable(struct bcall *b, struct str text, struct str *der)
{
    struct str s = text;
    struct val shown;
    if (!str_starts(s, S("-----BEGIN")) && !base64_lenient(b, text, BASE64_STD, &s)) {
        return false;
    }
    if (!str_starts(s, S("-----BEGIN"))) {
        *der = s;
    } else if (failed(certificates_der(b->a, s, der))) {
        return false;
    }
    return der->n <= GO_X509_DER_MAX && !b_budget(b, der->n / 16) &&
           !failed(all_certificates(b->a, *der, false, &shown));
}

static enum b_status b_verify(struct bcall *b)
{
    struct str text, der = STR_EMPTY;
    struct verify_options o = {.now_ns = clock_wall_ns()};
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    return verified(b, readable(b, text, &der) ? der : STR_EMPTY, &o, true);
}

static struct str unquote(struct str s)
{
    while (s.n > 0 && s.p[0] == '"') {
        s = str_sub(s, 1, s.n);
    }
    while (s.n > 0 && s.p[s.n - 1] == '"') {
        s = str_sub(s, 0, s.n - 1);
    }
    return s;
}

static bool read_usages(struct bcall *b, struct val list, struct verify_options *o)
{
    static const char *const names[] = {"KeyUsageAny",
                                        "KeyUsageServerAuth",
                                        "KeyUsageClientAuth",
                                        "KeyUsageCodeSigning",
                                        "KeyUsageEmailProtection",
                                        "KeyUsageIPSECEndSystem",
                                        "KeyUsageIPSECTunnel",
                                        "KeyUsageIPSECUser",
                                        "KeyUsageTimeStamping",
                                        "KeyUsageOCSPSigning",
                                        "KeyUsageMicrosoftServerGatedCrypto",
                                        "KeyUsageNetscapeServerGatedCrypto",
                                        "KeyUsageMicrosoftCommercialCodeSigning",
                                        "KeyUsageMicrosoftKernelCodeSigning"};
    struct buf bad;
    if (!val_is(list, V_ARRAY) && !val_is(list, V_SET)) {
        (void)b_fail(b, "'KeyUsages' should be an Array or Set");
        return false;
    }
    buf_init(&bad, 2000);
    for (uint32_t i = 0; i < val_len(list); i++) {
        struct val v = val_nth(list, i);
        struct str s = val_is(v, V_STRING) ? unquote(val_text(v)) : STR_EMPTY;
        size_t k = 0;
        while (k < ARRAY_LEN(names) && !str_is(s, names[k])) {
            k++;
        }
        if (k < ARRAY_LEN(names) && o->n_usages < X509_USAGES_MAX) {
            o->usages[o->n_usages++] = go_usage_oid(k);
        } else if (val_is(v, V_STRING)) {
            buf_printf(&bad, "%s%.*s", bad.n > 0 ? " " : "", STR_FMT(str_sub(s, 0, 200)));
        }
    }
    bool ok = bad.n == 0;
    if (!ok) {
        (void)b_fail(b, "invalid entries for 'KeyUsages' found: [%.*s]", STR_FMT(buf_str(&bad)));
    }
    buf_release(&bad);
    return ok;
}

static bool read_option(struct bcall *b, struct str key, struct val v, struct verify_options *o)
{
    int64_t n;
    const char *wrong = NULL;
    if (str_is(key, "DNSName")) {
        wrong = val_is(v, V_STRING) ? NULL : "'DNSName' should be a string";
        o->name = wrong == NULL ? unquote(val_text(v)) : o->name;
    } else if (str_is(key, "CurrentTime")) {
        bool whole = val_is(v, V_NUMBER) && num_written_as_int(val_number(v));
        wrong = !val_is(v, V_NUMBER) ? "'CurrentTime' should be a number"
                : !whole || !val_to_i64(v, &o->now_ns)
                    ? "'CurrentTime' should be a valid int64 number"
                    : NULL;
    } else if (str_is(key, "MaxConstraintComparisons")) {
        wrong = !val_is(v, V_NUMBER) ? "'MaxConstraintComparisons' should be a number"
                : !val_to_i64(v, &n) ? "'MaxConstraintComparisons' should be a valid number"
                                     : NULL;
    } else if (str_is(key, "KeyUsages")) {
        return read_usages(b, v, o);
    } else {
        wrong = "invalid key option";
    }
    if (wrong != NULL) {
        (void)b_fail(b, "%s", wrong);
    }
    return wrong == NULL;
}

static enum b_status b_verify_with_options(struct bcall *b)
{
    struct str text, der = STR_EMPTY;
    struct verify_options o = {.now_ns = clock_wall_ns()};
    if (!b_string(b, 1, &text) || !b_is(b, 2, V_OBJECT)) {
        return B_ERROR;
    }
    if (!readable(b, text, &der)) {
        return verified(b, STR_EMPTY, &o, false);
    }
    for (uint32_t i = 0; i < val_len(b->args[1]); i++) {
        struct val k = val_nth_key(b->a, b->args[1], i);
        if (val_is(k, V_STRING) && !read_option(b, val_text(k), val_nth(b->args[1], i), &o)) {
            return B_ERROR;
        }
    }
    return verified(b, der, &o, false);
}

/* ---- requests ---- */

static enum b_status b_parse_request(struct bcall *b)
{
    struct str text, s, label, rest;
    struct buf der;
    struct val v;
    if (!b_string(b, 1, &text) || !decoded(b, text, "-----BEGIN CERTIFICATE REQUEST-----", &s)) {
        return B_ERROR;
    }
    buf_init(&der, GO_X509_DER_MAX);
    rest = s;
    if (!failed(pem_next_any(&rest, &label, &der))) {
        if (!str_is(label, "CERTIFICATE REQUEST")) {
            buf_release(&der);
            return b_fail(b, "invalid PEM-encoded certificate signing request");
        }
        s = arena_str(b->a, buf_str(&der));
    }
    buf_release(&der);
    if (s.n > GO_X509_DER_MAX || b_budget(b, s.n / 16)) {
        return b_fail(b, "a request of %zu bytes; at most %d", s.n, GO_X509_DER_MAX);
    }
    struct err e = go_certificate_request(b->a, s, &v);
    return failed(e) ? b_fail_err(b, e) : b_out(b, v);
}

/* ---- keys ---- */

static bool form_of_label(struct str label, enum go_key_form *out)
{
    *out = str_is(label, "RSA PRIVATE KEY") ? GO_KEY_PKCS1
           : str_is(label, "PRIVATE KEY")   ? GO_KEY_PKCS8
                                            : GO_KEY_SEC1;
    return *out != GO_KEY_SEC1 || str_is(label, "EC PRIVATE KEY");
}

/* All private keys of PEM text; other blocks are passed over. */
static struct err private_keys(struct bcall *b, struct str text, bool jwk, struct vlist *out)
{
    struct buf der;
    struct str label, spki;
    struct err e;
    buf_init_secret(&der, GO_X509_DER_MAX);
    while (!failed(e = pem_next_any(&text, &label, &der))) {
        enum go_key_form form;
        struct val v;
        if (!form_of_label(label, &form)) {
            continue;
        }
        if (out->n == GO_X509_KEYS_MAX || b_budget(b, 20000)) {
            e = err_make(ERR_LIMIT, "over %d private keys", GO_X509_KEYS_MAX);
            break;
        }
        struct str bytes = arena_str(b->a, buf_str(&der));
        e = go_private_key(b->a, bytes, form, jwk ? NULL : &v, jwk ? &v : NULL, &spki);
        if (failed(e)) {
            break;
        }
        vlist_add(out, v);
    }
    buf_release(&der);
    return e.code == ERR_NOT_FOUND ? OK : e;
}

static struct str perhaps_base64(struct bcall *b, struct str s)
{
    struct str out;
    return base64_lenient(b, s, BASE64_STD, &out) ? out : s;
}

static enum b_status b_parse_private_keys(struct bcall *b)
{
    struct str text;
    struct vlist l = {.a = b->a};
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (text.n == 0) {
        return b_out(b, VAL_NULL);
    }
    struct err e = private_keys(b, perhaps_base64(b, text), false, &l);
    return failed(e) ? b_fail_err(b, e) : b_out(b, vlist_array(&l));
}

static enum b_status b_parse_rsa(struct bcall *b)
{
    struct str text, s;
    struct vlist l = {.a = b->a};
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (text.n == 0) {
        return b_fail(b, "input PEM data was empty");
    }
    if (!decoded(b, text, "-----BEGIN", &s)) {
        return B_ERROR;
    }
    struct err e = private_keys(b, perhaps_base64(b, s), true, &l);
    return failed(e) ? b_fail_err(b, e) : b_out(b, l.n > 0 ? l.v[0] : VAL_NULL);
}

/* ---- pairs ---- */

/* The certificates of a pair, one value each, and the DER of the first. */
static struct err pair_certificates(struct arena *a, struct str s, struct vlist *out,
                                    struct str *leaf)
{
    struct buf der;
    struct str label, rest = s;
    if (!str_starts(s, S("-----BEGIN "))) {
        *leaf = s;
        vlist_add(out, go_bytes(a, s));
        return OK;
    }
    buf_init(&der, GO_X509_DER_MAX);
    while (!failed(pem_next_any(&rest, &label, &der)) && out->n < GO_X509_CERTS_MAX) {
        if (str_is(label, "CERTIFICATE")) {
            if (out->n == 0) {
                *leaf = arena_str(a, buf_str(&der));
            }
            vlist_add(out, go_bytes(a, buf_str(&der)));
        }
    }
    buf_release(&der);
    ENSURE(out->n > 0, ERR_INVALID, "tls: failed to find any PEM data in certificate input");
    return OK;
}

/* The first private key of any label, read as whatever it turns out to be. */
static struct err pair_key(struct arena *a, struct str s, struct val *out, struct str *spki)
{
    struct buf der;
    struct str label = STR_EMPTY, rest = s, bytes = s;
    bool found = !str_starts(s, S("-----BEGIN")), certificate = false;
    buf_init_secret(&der, GO_X509_DER_MAX);
    while (!found && !failed(pem_next_any(&rest, &label, &der))) {
        found = str_is(label, "PRIVATE KEY") || str_ends(label, S(" PRIVATE KEY"));
        certificate |= str_is(label, "CERTIFICATE");
        bytes = found ? arena_str(a, buf_str(&der)) : bytes;
    }
    buf_release(&der);
    ENSURE(found || !certificate, ERR_INVALID,
           "tls: found a certificate rather than a key in the PEM for the private key");
    ENSURE(found, ERR_INVALID, "tls: failed to find any PEM data in key input");
    for (int form = GO_KEY_PKCS1; form <= GO_KEY_SEC1; form++) {
        if (!failed(go_private_key(a, bytes, (enum go_key_form)form, out, NULL, spki))) {
            return OK;
        }
    }
    FAIL(ERR_SYNTAX, "tls: failed to parse private key");
}

/* 1 to 4 as go_public_key tells them; 0 for others. */
static int kind_of(struct arena *a, struct str spki)
{
    struct val v;
    int kind = 0;
    return failed(go_public_key(a, spki, &kind, &v)) ? 0 : kind;
}

static struct err key_pair(struct arena *a, struct str certs, struct str key, struct val *out)
{
    static const char *const nulls[] = {"SupportedSignatureAlgorithms", "OCSPStaple",
                                        "SignedCertificateTimestamps"};
    struct vlist chain = {.a = a}, l = {.a = a};
    struct str leaf, spki;
    struct val shown, private;
    int64_t kind;
    TRY(pair_certificates(a, certs, &chain, &leaf));
    TRY(pair_key(a, key, &private, &spki));
    TRY(go_certificate(a, &leaf, false, &shown));
    ENSURE(leaf.n == 0, ERR_SYNTAX, "x509: trailing data");
    ENSURE(val_to_i64(val_get_str(shown, "PublicKeyAlgorithm"), &kind) && kind == kind_of(a, spki),
           ERR_INVALID, "tls: private key type does not match public key type");
    ENSURE(val_eq(val_get_str(shown, "RawSubjectPublicKeyInfo"), go_bytes(a, spki)), ERR_INVALID,
           "tls: private key does not match public key");
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++) {
        vlist_put(&l, nulls[i], VAL_NULL);
    }
    vlist_put(&l, "Certificate", vlist_array(&chain));
    vlist_put(&l, "PrivateKey", private);
    vlist_put(&l, "Leaf", shown);
    *out = vlist_object(&l);
    return OK;
}

static enum b_status b_parse_keypair(struct bcall *b)
{
    struct str certs, key;
    struct val v;
    if (!b_string(b, 1, &certs)) {
        return B_ERROR;
    }
    if (!val_is(b->args[1], V_STRING)) { /* told of operand 1, as it always was */
        return b_operand(b, 1, "must be string but got %s", val_type_name(b->args[1]));
    }
    if (!decoded(b, certs, "-----BEGIN ", &certs) ||
        !decoded(b, val_text(b->args[1]), "-----BEGIN ", &key)) {
        return B_ERROR;
    }
    if (b_budget(b, certs.n / 16 + 60000)) {
        return B_ERROR;
    }
    struct err e = key_pair(b->a, certs, key, &v);
    return failed(e) ? b_fail_err(b, e) : b_out(b, v);
}

const struct builtin builtins_x509[] = {
    {"crypto.x509.parse_certificates", 1, b_parse_certificates, 0},
    {"crypto.x509.parse_and_verify_certificates", 1, b_verify, 0},
    {"crypto.x509.parse_and_verify_certificates_with_options", 2, b_verify_with_options, 0},
    {"crypto.x509.parse_certificate_request", 1, b_parse_request, 0},
    {"crypto.x509.parse_keypair", 2, b_parse_keypair, 0},
    {"crypto.x509.parse_rsa_private_key", 1, b_parse_rsa, 0},
    {"crypto.parse_private_keys", 1, b_parse_private_keys, 0},
    {0},
};
