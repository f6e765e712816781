/* Distinguished names (RFC 5280 section 4.1.2.4), algorithms and public keys. */
#include "authz/rego/builtin/x509/go.h"

#include "authz/rego/value/utf8.h"

#include "lib/x509/key.h"

enum {
    TAG_NUMERIC = 0x12,
    TAG_T61 = 0x14,
    TAG_BMP = 0x1e,
};

static bool all_printable(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c >= '\'' && c <= ')') || (c >= '+' && c <= '/') ||
                  (c != '\0' && strchr(" :=?*&", c) != NULL);
        if (!ok) {
            return false;
        }
    }
    return true;
}

static bool all_below(struct str s, unsigned limit)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] >= limit) {
            return false;
        }
    }
    return true;
}

static bool all_numeric(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] < '0' || s.p[i] > '9') && s.p[i] != ' ') {
            return false;
        }
    }
    return true;
}

/* One code point for every `width` bytes; false for those that stand for nothing. */
static bool widen(struct arena *a, struct str s, unsigned width, struct val *out)
{
    struct buf b;
    bool ok = s.n % width == 0;
    buf_init(&b, 3 * s.n + 1);
    if (width == 2 && s.n >= 2 && s.p[s.n - 1] == 0 && s.p[s.n - 2] == 0) {
        s.n -= 2;
    }
    for (size_t i = 0; ok && i < s.n; i += width) {
        uint32_t c = (uint8_t)s.p[i];
        if (width == 2) {
            c = c << 8 | (uint8_t)s.p[i + 1];
            ok = c < 0xfffe && (c < 0xfdd0 || c > 0xfdef) && (c < 0xd800 || c > 0xdfff);
        }
        utf8_put(&b, c);
    }
    if (ok) {
        *out = val_str(a, buf_str(&b));
    }
    buf_release(&b);
    return ok;
}

#define BAD_VALUE "x509: invalid RDNSequence: invalid attribute value: "

static struct err name_text(struct arena *a, unsigned tag, struct str s, struct val *out)
{
    bool ok = true;
    const char *kind = "";
    switch (tag) {
    case TAG_T61:
        (void)widen(a, s, 1, out);
        return OK;
    case TAG_BMP:
        ENSURE(widen(a, s, 2, out), ERR_SYNTAX, BAD_VALUE "invalid BMPString");
        return OK;
    case DER_PRINTABLE:
        ok = all_printable(s), kind = "PrintableString";
        break;
    case DER_UTF8:
        ok = str_is_utf8(s), kind = "UTF-8 string";
        break;
    case DER_IA5:
        ok = all_below(s, 0x80), kind = "IA5String";
        break;
    case TAG_NUMERIC:
        ok = all_numeric(s), kind = "NumericString";
        break;
    default:
        FAIL(ERR_UNSUPPORTED, BAD_VALUE "unsupported string type: %u", tag);
    }
    ENSURE(ok, ERR_SYNTAX, BAD_VALUE "invalid %s", kind);
    *out = val_str(a, s);
    return OK;
}

/* Attributes of type 2.5.4.N with a field of their own; the first two hold one value, the last. */
static const struct {
    uint8_t n;
    const char *field;
} name_fields[] = {
    {3, "CommonName"},  {5, "SerialNumber"},  {6, "Country"},       {7, "Locality"},
    {8, "Province"},    {9, "StreetAddress"}, {10, "Organization"}, {11, "OrganizationalUnit"},
    {17, "PostalCode"},
};

struct name_parts {
    struct vlist fields[ARRAY_LEN(name_fields)], all;
};

static struct err take_attribute(struct arena *a, struct der *set, struct name_parts *n)
{
    struct der in;
    struct str oid, text, whole;
    unsigned tag;
    struct val value = VAL_NULL;
    struct vlist pair = {.a = a};
    ENSURE(!failed(der_take(set, DER_SEQUENCE, &in.rest)), ERR_SYNTAX,
           "x509: invalid RDNSequence: invalid attribute");
    ENSURE(!failed(go_take_oid(&in, &oid)), ERR_SYNTAX,
           "x509: invalid RDNSequence: invalid attribute type");
    ENSURE(!failed(der_any(&in, &tag, &text, &whole)), ERR_SYNTAX,
           "x509: invalid RDNSequence: invalid attribute value");
    TRY(name_text(a, tag, text, &value));
    vlist_put(&pair, "Type", go_oid(a, oid));
    vlist_put(&pair, "Value", value);
    vlist_add(&n->all, vlist_object(&pair));
    for (size_t i = 0; i < ARRAY_LEN(name_fields); i++) {
        if (oid.n == 3 && str_starts(oid, S("\x55\x04")) && (uint8_t)oid.p[2] == name_fields[i].n) {
            n->fields[i].n = i < 2 ? 0 : n->fields[i].n;
            vlist_add(&n->fields[i], value);
        }
    }
    return OK;
}

struct err go_name(struct arena *a, struct str der, struct val *out)
{
    struct der d = {der}, rdns;
    struct name_parts n = {.all = {.a = a}};
    struct vlist fields = {.a = a};
    for (size_t i = 0; i < ARRAY_LEN(name_fields); i++) {
        n.fields[i].a = a;
    }
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &rdns.rest)), ERR_SYNTAX,
           "x509: invalid RDNSequence");
    while (rdns.rest.n > 0) {
        struct der set;
        ENSURE(!failed(der_take(&rdns, DER_SET, &set.rest)), ERR_SYNTAX,
               "x509: invalid RDNSequence");
        while (set.rest.n > 0) {
            TRY(take_attribute(a, &set, &n));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(name_fields); i++) {
        struct val one = n.fields[i].n > 0 ? n.fields[i].v[0] : val_str(a, S(""));
        vlist_put(&fields, name_fields[i].field, i < 2 ? one : go_list(&n.fields[i]));
    }
    vlist_put(&fields, "Names", go_list(&n.all));
    vlist_put(&fields, "ExtraNames", VAL_NULL);
    *out = vlist_object(&fields);
    return OK;
}

/* ---- algorithms ---- */

struct err go_take_algorithm(struct der *d, struct go_algorithm *out)
{
    struct der in;
    struct str content;
    unsigned tag;
    struct go_algorithm g = {STR_EMPTY, STR_EMPTY};
    ENSURE(!failed(der_take(d, DER_SEQUENCE, &in.rest)), ERR_SYNTAX,
           "x509: malformed algorithm identifier");
    ENSURE(!failed(go_take_oid(&in, &g.oid)), ERR_SYNTAX, "x509: malformed OID");
    if (in.rest.n > 0) {
        ENSURE(!failed(der_any(&in, &tag, &content, &g.params)), ERR_SYNTAX,
               "x509: malformed parameters");
    }
    *out = g;
    return OK;
}

#define OID_PKCS1 "\x2a\x86\x48\x86\xf7\x0d\x01\x01"
#define OID_SHA2 "\x60\x86\x48\x01\x65\x03\x04\x02"

/* RSASSA-PSS-params (RFC 4055): hash, MGF1 with the same hash, a salt as long as it; default trailer. */
static int pss_algorithm(struct str params)
{
    static const uint8_t salt[] = {32, 48, 64};
    for (int i = 0; i < 3; i++) {
        for (int null = 0; null < 2; null++) {
            struct buf b;
            buf_init(&b, 256);
            size_t seq = der_open(&b, DER_SEQUENCE), at, in, mgf;
            char oid[10] = OID_SHA2;
            oid[8] = (char)(1 + i);
            at = der_open(&b, DER_CONTEXT_CONS(0)), in = der_open(&b, DER_SEQUENCE);
            der_put(&b, DER_OID, str_n(oid, 9));
            buf_puts(&b, null ? S("\x05\x00") : S(""));
            der_close(&b, in), der_close(&b, at);
            at = der_open(&b, DER_CONTEXT_CONS(1)), mgf = der_open(&b, DER_SEQUENCE);
            der_put(&b, DER_OID, S(OID_PKCS1 "\x08"));
            in = der_open(&b, DER_SEQUENCE);
            der_put(&b, DER_OID, str_n(oid, 9));
            buf_puts(&b, null ? S("\x05\x00") : S(""));
            der_close(&b, in), der_close(&b, mgf), der_close(&b, at);
            at = der_open(&b, DER_CONTEXT_CONS(2));
            der_put_uint(&b, str_n(&salt[i], 1));
            der_close(&b, at);
            der_close(&b, seq);
            bool same = str_eq(buf_str(&b), params);
            buf_release(&b);
            if (same) {
                return 13 + i;
            }
        }
    }
    return 0;
}

/* The numbers of Go's constants, from UnknownSignatureAlgorithm = 0 to PureEd25519 = 16. */
int go_signature_algorithm(const struct go_algorithm *g)
{
    static const struct {
        struct str oid;
        int n;
    } table[] = {
        {STR_INIT(OID_PKCS1 "\x04"), 2},
        {STR_INIT(OID_PKCS1 "\x05"), 3},
        {STR_INIT("\x2b\x0e\x03\x02\x1d"), 3},
        {STR_INIT(OID_PKCS1 "\x0b"), 4},
        {STR_INIT(OID_PKCS1 "\x0c"), 5},
        {STR_INIT(OID_PKCS1 "\x0d"), 6},
        {STR_INIT("\x2a\x86\x48\xce\x38\x04\x03"), 7},
        {STR_INIT("\x60\x86\x48\x01\x65\x03\x04\x03\x02"), 8},
        {STR_INIT("\x2a\x86\x48\xce\x3d\x04\x01"), 9},
        {STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x02"), 10},
        {STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x03"), 11},
        {STR_INIT("\x2a\x86\x48\xce\x3d\x04\x03\x04"), 12},
        {STR_INIT("\x2b\x65\x70"), 16},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (str_eq(g->oid, table[i].oid)) {
            return table[i].n == 16 && g->params.n > 0 ? 0 : table[i].n;
        }
    }
    return str_eq(g->oid, S(OID_PKCS1 "\x0a")) ? pss_algorithm(g->params) : 0;
}

/* ---- public keys ---- */

static struct err rsa_key(struct arena *a, const struct go_algorithm *g, struct str bits,
                          struct val *out)
{
    struct der d = {bits}, in;
    struct str n;
    int64_t e = 0;
    struct vlist l = {.a = a};
    ENSURE(str_eq(g->params, S("\x05\x00")), ERR_SYNTAX, "x509: RSA key missing NULL parameters");
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &in.rest)), ERR_SYNTAX,
           "x509: invalid RSA public key");
    struct err bad = der_take_uint(&in, &n);
    ENSURE(bad.code != ERR_RANGE, ERR_RANGE, "x509: RSA modulus is not a positive number");
    ENSURE(!failed(bad), ERR_SYNTAX, "x509: invalid RSA modulus");
    ENSURE(!failed(go_take_small(&in, DER_INTEGER, INT64_MAX, &e)), ERR_SYNTAX,
           "x509: invalid RSA public exponent");
    ENSURE(e > 0, ERR_RANGE, "x509: RSA public exponent is not a positive number");
    vlist_put(&l, "N", go_uint(a, n));
    vlist_put(&l, "E", val_int(a, e));
    *out = vlist_object(&l);
    return OK;
}

/* Curve is an object without public fields. */
static struct err ec_key(struct arena *a, const struct go_algorithm *g, struct str bits,
                         struct str spki, struct val *out)
{
    static const struct {
        struct str oid;
        size_t width;
    } curves[] = {
        {STR_INIT("\x2b\x81\x04\x00\x21"), 28},
        {STR_INIT("\x2a\x86\x48\xce\x3d\x03\x01\x07"), 32},
        {STR_INIT("\x2b\x81\x04\x00\x22"), 48},
        {STR_INIT("\x2b\x81\x04\x00\x23"), 66},
    };
    struct der d = {g->params};
    struct str oid;
    struct vlist l = {.a = a};
    size_t w = 0;
    ENSURE(!failed(go_take_oid(&d, &oid)), ERR_SYNTAX, "x509: invalid ECDSA parameters");
    for (size_t i = 0; i < ARRAY_LEN(curves); i++) {
        w = str_eq(oid, curves[i].oid) ? curves[i].width : w;
    }
    ENSURE(w > 0, ERR_UNSUPPORTED, "x509: unsupported elliptic curve");
    ENSURE(bits.n == 1 + 2 * w && bits.p[0] == 4 && key_spki_is_sound(spki), ERR_RANGE,
           "ecdsa: invalid uncompressed public key");
    vlist_put(&l, "Curve", val_empty_object());
    vlist_put(&l, "X", go_uint(a, str_sub(bits, 1, 1 + w)));
    vlist_put(&l, "Y", go_uint(a, str_sub(bits, 1 + w, bits.n)));
    *out = vlist_object(&l);
    return OK;
}

static struct err dsa_key(struct arena *a, const struct go_algorithm *g, struct str bits,
                          struct val *out)
{
    static const char *const names[] = {"P", "Q", "G"};
    struct der d = {bits}, p = {g->params}, in = {STR_EMPTY};
    struct str n;
    struct vlist l = {.a = a};
    ENSURE(!failed(der_take_uint(&d, &n)), ERR_SYNTAX, "x509: invalid DSA public key");
    vlist_put(&l, "Y", go_uint(a, n));
    bool ok = !failed(der_take(&p, DER_SEQUENCE, &in.rest)), zero = str_eq(n, str_n("", 1));
    for (size_t i = 0; i < ARRAY_LEN(names) && ok; i++) {
        ok = !failed(der_take_uint(&in, &n));
        if (ok) {
            zero = zero || str_eq(n, str_n("", 1));
            vlist_put(&l, names[i], go_uint(a, n));
        }
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid DSA parameters");
    ENSURE(!zero, ERR_RANGE, "x509: zero or negative DSA parameter");
    *out = vlist_object(&l);
    return OK;
}

static struct err ed25519_key(struct arena *a, const struct go_algorithm *g, struct str bits,
                              struct val *out)
{
    ENSURE(g->params.n == 0, ERR_SYNTAX, "x509: Ed25519 key encoded with illegal parameters");
    ENSURE(bits.n == 32, ERR_RANGE, "x509: wrong Ed25519 public key size");
    *out = go_bytes(a, bits);
    return OK;
}

struct err go_public_key(struct arena *a, struct str spki, int *kind, struct val *out)
{
    struct der d = {spki}, in;
    struct go_algorithm g;
    struct str bits;
    unsigned unused;
    *kind = 0;
    *out = VAL_NULL;
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &in.rest)), ERR_SYNTAX, "x509: malformed spki");
    TRY(go_take_algorithm(&in, &g));
    ENSURE(!failed(go_take_bits(&in, &bits, &unused)), ERR_SYNTAX,
           "x509: malformed subjectPublicKey");
    if (str_eq(g.oid, S(OID_PKCS1 "\x01"))) {
        *kind = 1;
        return rsa_key(a, &g, bits, out);
    }
    if (str_eq(g.oid, S("\x2a\x86\x48\xce\x38\x04\x01"))) {
        *kind = 2;
        return dsa_key(a, &g, bits, out);
    }
    if (str_eq(g.oid, S("\x2a\x86\x48\xce\x3d\x02\x01"))) {
        *kind = 3;
        return ec_key(a, &g, bits, spki, out);
    }
    if (str_eq(g.oid, S("\x2b\x65\x70"))) {
        *kind = 4;
        return ed25519_key(a, &g, bits, out);
    }
    return OK;
}
