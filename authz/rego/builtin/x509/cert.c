/* Certificates (RFC 5280 section 4.1) and certification requests (RFC 2986) as Go shows them. */
#include "authz/rego/builtin/x509/go.h"

#define WANT(call, text) ENSURE(!failed(call), ERR_SYNTAX, "x509: malformed " text)

/* What Go's structure holds when nothing sets it. */
static void put_defaults(struct vlist *l, bool uri_texts)
{
    static const char *const nulls[] = {"Extensions",
                                        "ExtraExtensions",
                                        "UnhandledCriticalExtensions",
                                        "ExtKeyUsage",
                                        "UnknownExtKeyUsage",
                                        "SubjectKeyId",
                                        "AuthorityKeyId",
                                        "OCSPServer",
                                        "IssuingCertificateURL",
                                        "DNSNames",
                                        "EmailAddresses",
                                        "IPAddresses",
                                        "URIs",
                                        "PermittedDNSDomains",
                                        "ExcludedDNSDomains",
                                        "PermittedIPRanges",
                                        "ExcludedIPRanges",
                                        "PermittedEmailAddresses",
                                        "ExcludedEmailAddresses",
                                        "PermittedURIDomains",
                                        "ExcludedURIDomains",
                                        "CRLDistributionPoints",
                                        "PolicyIdentifiers",
                                        "Policies",
                                        "PolicyMappings"};
    static const char *const zeros[] = {"KeyUsage", "MaxPathLen", "InhibitAnyPolicy",
                                        "InhibitPolicyMapping", "RequireExplicitPolicy"};
    static const char *const falses[] = {"BasicConstraintsValid",    "IsCA",
                                         "MaxPathLenZero",           "PermittedDNSDomainsCritical",
                                         "InhibitAnyPolicyZero",     "InhibitPolicyMappingZero",
                                         "RequireExplicitPolicyZero"};
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++) {
        vlist_put(l, nulls[i], VAL_NULL);
    }
    for (size_t i = 0; i < ARRAY_LEN(zeros); i++) {
        vlist_put(l, zeros[i], val_int(l->a, 0));
    }
    for (size_t i = 0; i < ARRAY_LEN(falses); i++) {
        vlist_put(l, falses[i], VAL_FALSE);
    }
    if (uri_texts) {
        vlist_put(l, "URIStrings", VAL_NULL);
    }
}

static struct err put_name(struct vlist *l, const char *raw, const char *field, struct str der)
{
    struct val name;
    TRY(go_name(l->a, der, &name));
    vlist_put(l, raw, go_bytes(l->a, der));
    vlist_put(l, field, name);
    return OK;
}

static struct err put_public_key(struct vlist *l, struct str spki)
{
    struct val key;
    int kind = 0;
    TRY(go_public_key(l->a, spki, &kind, &key));
    vlist_put(l, "RawSubjectPublicKeyInfo", go_bytes(l->a, spki));
    vlist_put(l, "PublicKeyAlgorithm", val_int(l->a, kind));
    vlist_put(l, "PublicKey", key);
    return OK;
}

/* version [0] DEFAULT v1; told from one on. */
static struct err take_version(struct der *tbs, int64_t *version)
{
    struct der in;
    *version = 0;
    if (der_peek(tbs, DER_CONTEXT_CONS(0))) {
        WANT(der_take(tbs, DER_CONTEXT_CONS(0), &in.rest), "version");
        WANT(go_take_small(&in, DER_INTEGER, INT64_MAX - 1, version), "version");
        WANT(der_end(&in, "version"), "version");
    }
    ENSURE(++*version <= 3, ERR_UNSUPPORTED, "x509: invalid version");
    return OK;
}

static struct err read_optional(struct vlist *l, struct der *tbs, int64_t version, bool uri_texts)
{
    struct str skipped, list;
    if (version > 1 && der_peek(tbs, DER_CONTEXT(1))) {
        WANT(der_take(tbs, DER_CONTEXT(1), &skipped), "issuerUniqueID");
    }
    if (version > 1 && der_peek(tbs, DER_CONTEXT(2))) {
        WANT(der_take(tbs, DER_CONTEXT(2), &skipped), "subjectUniqueID");
    }
    if (version == 3 && der_peek(tbs, DER_CONTEXT_CONS(3))) {
        WANT(der_take(tbs, DER_CONTEXT_CONS(3), &list), "extensions");
        TRY(go_put_extensions(l, list, uri_texts));
    }
    return OK;
}

static struct err read_tbs(struct vlist *l, struct der *tbs, struct str outer, bool uri_texts)
{
    struct arena *a = l->a;
    struct der validity;
    struct str serial, alg, name, spki;
    struct go_algorithm g;
    struct val from, until;
    int64_t version = 0;
    TRY(take_version(tbs, &version));
    struct err e = der_take_uint(tbs, &serial);
    ENSURE(e.code != ERR_RANGE, ERR_RANGE, "x509: negative serial number");
    WANT(e, "serial number");
    WANT(der_take_whole(tbs, DER_SEQUENCE, &alg), "signature algorithm identifier");
    ENSURE(str_eq(alg, outer), ERR_SYNTAX,
           "x509: inner and outer signature algorithm identifiers don't match");
    struct der d = {alg};
    TRY(go_take_algorithm(&d, &g));
    WANT(der_take_whole(tbs, DER_SEQUENCE, &name), "issuer");
    TRY(put_name(l, "RawIssuer", "Issuer", name));
    WANT(der_take(tbs, DER_SEQUENCE, &validity.rest), "validity");
    TRY(go_take_time(a, &validity, &from));
    TRY(go_take_time(a, &validity, &until));
    WANT(der_take_whole(tbs, DER_SEQUENCE, &name), "issuer");
    TRY(put_name(l, "RawSubject", "Subject", name));
    WANT(der_take_whole(tbs, DER_SEQUENCE, &spki), "spki");
    TRY(put_public_key(l, spki));
    vlist_put(l, "Version", val_int(a, version));
    vlist_put(l, "SerialNumber", go_uint(a, serial));
    vlist_put(l, "SignatureAlgorithm", val_int(a, go_signature_algorithm(&g)));
    vlist_put(l, "NotBefore", from);
    vlist_put(l, "NotAfter", until);
    return read_optional(l, tbs, version, uri_texts);
}

struct err go_certificate(struct arena *a, struct str *der, bool uri_texts, struct val *out)
{
    struct der d = {*der}, in, tbs;
    struct str whole, raw_tbs, outer, signature;
    unsigned unused = 0;
    struct vlist l = {.a = a};
    put_defaults(&l, uri_texts);
    WANT(der_take_whole(&d, DER_SEQUENCE, &whole), "certificate");
    struct der again = {whole};
    WANT(der_take(&again, DER_SEQUENCE, &in.rest), "certificate");
    WANT(der_take_whole(&in, DER_SEQUENCE, &raw_tbs), "tbs certificate");
    again.rest = raw_tbs;
    WANT(der_take(&again, DER_SEQUENCE, &tbs.rest), "tbs certificate");
    WANT(der_take_whole(&in, DER_SEQUENCE, &outer), "algorithm identifier");
    TRY(read_tbs(&l, &tbs, outer, uri_texts));
    WANT(go_take_bits(&in, &signature, &unused), "signature");
    vlist_put(&l, "Raw", go_bytes(a, whole));
    vlist_put(&l, "RawTBSCertificate", go_bytes(a, raw_tbs));
    vlist_put(&l, "Signature", go_bits(a, signature, unused));
    *out = vlist_object(&l);
    *der = d.rest;
    return OK;
}

/* ---- requests ---- */

#define OID_EXTENSION_REQUEST "\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"

/* What Go makes of an element whose type it is not told: the kinds that requests carry. */
static struct val any_value(struct arena *a, unsigned tag, struct str content)
{
    switch (tag) {
    case DER_OCTET_STRING:
        return go_bytes(a, content);
    case DER_UTF8:
    case DER_PRINTABLE:
    case DER_IA5:
        return go_text(a, content);
    case DER_BOOLEAN:
        return val_bool(content.n == 1 && content.p[0] != 0);
    case DER_OID:
        return go_oid(a, content);
    default:
        return VAL_NULL;
    }
}

/*
 * An attribute whose values are lists of { type, value } is shown; others are left out.
 */
static bool attribute_shown(struct arena *a, struct str oid, struct str values, struct val *out)
{
    struct der d = {values};
    struct vlist sets = {.a = a}, attr = {.a = a};
    while (d.rest.n > 0) {
        struct der list;
        struct vlist pairs = {.a = a};
        if (failed(der_take(&d, DER_SEQUENCE, &list.rest))) {
            return false;
        }
        while (list.rest.n > 0) {
            struct der one;
            struct str type, content, whole;
            unsigned tag;
            struct vlist pair = {.a = a};
            if (failed(der_take(&list, DER_SEQUENCE, &one.rest)) ||
                failed(go_take_oid(&one, &type)) || failed(der_any(&one, &tag, &content, &whole))) {
                return false;
            }
            vlist_put(&pair, "Type", go_oid(a, type));
            vlist_put(&pair, "Value", any_value(a, tag, content));
            vlist_add(&pairs, vlist_object(&pair));
        }
        vlist_add(&sets, vlist_array(&pairs));
    }
    vlist_put(&attr, "Type", go_oid(a, oid));
    vlist_put(&attr, "Value", vlist_array(&sets));
    *out = vlist_object(&attr);
    return true;
}

static struct err requested(struct vlist *l, struct vlist *exts, struct str values)
{
    struct der d = {values}, seq;
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &seq.rest)), ERR_SYNTAX,
           "asn1: structure error: tags don't match");
    while (seq.rest.n > 0) {
        struct go_extension e;
        struct go_names names;
        TRY(go_take_extension(&seq, &e));
        struct val v = go_extension(l->a, &e);
        ENSURE(exts->n < GO_X509_ITEMS_MAX, ERR_LIMIT, "x509: over %d extensions",
               GO_X509_ITEMS_MAX);
        for (size_t i = 0; i < exts->n; i++) {
            ENSURE(!val_eq(val_get_str(exts->v[i], "Id"), val_get_str(v, "Id")), ERR_SYNTAX,
                   "x509: certificate request contains duplicate requested extensions");
        }
        vlist_add(exts, v);
        if (str_eq(e.id, S("\x55\x1d\x11"))) {
            TRY(go_alternative_names(l->a, e.value, &names));
            go_put_names(l, &names, false);
        }
    }
    return OK;
}

static struct err read_attributes(struct vlist *l, struct str list)
{
    struct der d = {list};
    struct vlist attrs = {.a = l->a}, exts = {.a = l->a};
    while (d.rest.n > 0) {
        struct der in;
        struct str oid, values, whole, content;
        struct val shown;
        unsigned tag;
        TRY(der_any(&d, &tag, &content, &whole));
        in.rest = content;
        if (tag != DER_SEQUENCE || failed(go_take_oid(&in, &oid)) ||
            failed(der_take(&in, DER_SET, &values))) {
            continue;
        }
        if (attribute_shown(l->a, oid, values, &shown)) {
            vlist_add(&attrs, shown);
        }
        if (str_eq(oid, S(OID_EXTENSION_REQUEST)) && values.n > 0) {
            TRY(requested(l, &exts, values));
        }
    }
    vlist_put(l, "Attributes", go_list(&attrs));
    vlist_put(l, "Extensions", go_list(&exts));
    return OK;
}

static struct err read_request(struct vlist *l, struct str der)
{
    struct der d = {der}, outer, in, again;
    struct str tbs, name, spki, attrs = STR_EMPTY, signature;
    struct go_algorithm g;
    unsigned unused;
    int64_t version;
    TRY(der_take(&d, DER_SEQUENCE, &outer.rest));
    TRY(der_take_whole(&outer, DER_SEQUENCE, &tbs));
    TRY(go_take_algorithm(&outer, &g));
    TRY(go_take_bits(&outer, &signature, &unused));
    again.rest = tbs;
    TRY(der_take(&again, DER_SEQUENCE, &in.rest));
    TRY(go_take_small(&in, DER_INTEGER, INT64_MAX, &version));
    TRY(der_take_whole(&in, DER_SEQUENCE, &name));
    TRY(der_take_whole(&in, DER_SEQUENCE, &spki));
    if (der_peek(&in, DER_CONTEXT_CONS(0))) {
        TRY(der_take(&in, DER_CONTEXT_CONS(0), &attrs));
    }
    ENSURE(d.rest.n == 0, ERR_SYNTAX, "trailing data");
    vlist_put(l, "Raw", go_bytes(l->a, der));
    vlist_put(l, "RawTBSCertificateRequest", go_bytes(l->a, tbs));
    vlist_put(l, "Version", val_int(l->a, version));
    vlist_put(l, "Signature", go_bits(l->a, signature, unused));
    vlist_put(l, "SignatureAlgorithm", val_int(l->a, go_signature_algorithm(&g)));
    TRY(put_public_key(l, spki));
    TRY(put_name(l, "RawSubject", "Subject", name));
    return read_attributes(l, attrs);
}

struct err go_certificate_request(struct arena *a, struct str der, struct val *out)
{
    static const char *const nulls[] = {"ExtraExtensions", "DNSNames", "EmailAddresses",
                                        "IPAddresses", "URIs"};
    struct vlist l = {.a = a};
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++) {
        vlist_put(&l, nulls[i], VAL_NULL);
    }
    struct err e = read_request(&l, der);
    if (failed(e)) {
        bool told = str_starts(str_of(err_detail()), S("x509: "));
        return told ? e : err_wrap(e, "asn1: structure error");
    }
    *out = vlist_object(&l);
    return OK;
}
