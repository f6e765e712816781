/* Extensions (RFC 5280 section 4.2) as the fields that Go spreads them over. */
#include "authz/rego/builtin/x509/go.h"

#include "lib/base/codec.h"
#include "lib/base/ip.h"

static struct val ip_text(struct arena *a, struct str bytes)
{
    struct ip ip = {.family = bytes.n == 4 ? 4 : 6};
    struct buf b;
    memcpy(ip.b, bytes.p, bytes.n);
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (bytes.n == 16 && memcmp(ip.b, mapped, 12) == 0) { /* Go prints these as version 4 */
        ip = (struct ip){.family = 4};
        memcpy(ip.b, bytes.p + 12, 4);
    }
    buf_init(&b, IP_TEXT_MAX + 1);
    ip_put(&b, &ip);
    struct val v = val_str(a, buf_str(&b));
    buf_release(&b);
    return v;
}

static bool is_ascii(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((uint8_t)s.p[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* No blank, no control, no empty label but in front of a constraint; empty is fine. */
static bool domain_fine(struct str s, bool constraint)
{
    if (s.n > 0 && s.p[s.n - 1] == '.') {
        return false;
    }
    if (constraint && s.n > 0 && s.p[0] == '.') {
        s = str_sub(s, 1, s.n);
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 33 || s.p[i] > 126 || (s.p[i] == '.' && (i == 0 || s.p[i - 1] == '.'))) {
            return false;
        }
    }
    return true;
}

/* ---- alternative names ---- */

static struct err take_uri(struct arena *a, struct str text, struct go_names *out)
{
    struct val v, printed;
    ENSURE(is_ascii(text), ERR_SYNTAX, "x509: SAN uniformResourceIdentifier is malformed");
    if (failed(go_url(a, text, &v, &printed))) {
        FAIL(ERR_SYNTAX, "x509: cannot parse URI \"%.*s\": %.400s", STR_FMT(str_sub(text, 0, 400)),
             arena_str(a, str_of(err_detail())).p);
    }
    struct str host = val_text(val_get_str(v, "Host"));
    ENSURE(domain_fine(host, false), ERR_SYNTAX, "x509: cannot parse URI \"%.*s\": invalid domain",
           STR_FMT(str_sub(text, 0, 400)));
    vlist_add(&out->uris, v);
    vlist_add(&out->uri_texts, printed);
    return OK;
}

struct err go_alternative_names(struct arena *a, struct str value, struct go_names *out)
{
    struct der d = {value}, names;
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &names.rest)), ERR_SYNTAX,
           "x509: invalid subject alternative names");
    *out = (struct go_names){{.a = a}, {.a = a}, {.a = a}, {.a = a}, {.a = a}};
    while (names.rest.n > 0) {
        struct str s, whole;
        unsigned tag;
        ENSURE(!failed(der_any(&names, &tag, &s, &whole)), ERR_SYNTAX,
               "x509: invalid subject alternative name");
        if (tag == DER_CONTEXT(1)) {
            ENSURE(is_ascii(s), ERR_SYNTAX, "x509: SAN rfc822Name is malformed");
            vlist_add(&out->emails, val_str(a, s));
        } else if (tag == DER_CONTEXT(2)) {
            ENSURE(is_ascii(s), ERR_SYNTAX, "x509: SAN dNSName is malformed");
            vlist_add(&out->dns, val_str(a, s));
        } else if (tag == DER_CONTEXT(6)) {
            TRY(take_uri(a, s, out));
        } else if (tag == DER_CONTEXT(7)) {
            ENSURE(s.n == 4 || s.n == 16, ERR_SYNTAX, "x509: cannot parse IP address of length %zu",
                   s.n);
            vlist_add(&out->ips, ip_text(a, s));
        }
    }
    return OK;
}

void go_put_names(struct vlist *fields, const struct go_names *n, bool texts)
{
    vlist_put(fields, "DNSNames", go_list(&n->dns));
    vlist_put(fields, "EmailAddresses", go_list(&n->emails));
    vlist_put(fields, "IPAddresses", go_list(&n->ips));
    vlist_put(fields, "URIs", go_list(&n->uris));
    if (texts) {
        vlist_put(fields, "URIStrings", go_list(&n->uri_texts));
    }
}

/* ---- the extension itself ---- */

struct err go_take_extension(struct der *d, struct go_extension *out)
{
    struct der in;
    struct str flag;
    struct go_extension e = {.critical = false};
    ENSURE(!failed(der_take(d, DER_SEQUENCE, &in.rest)), ERR_SYNTAX, "x509: malformed extension");
    ENSURE(!failed(go_take_oid(&in, &e.id)), ERR_SYNTAX, "x509: malformed extension OID field");
    if (der_peek(&in, DER_BOOLEAN)) {
        bool ok = !failed(der_take(&in, DER_BOOLEAN, &flag)) && flag.n == 1 &&
                  (flag.p[0] == 0 || (uint8_t)flag.p[0] == 0xff);
        ENSURE(ok, ERR_SYNTAX, "x509: malformed extension critical field");
        e.critical = flag.p[0] != 0;
    }
    ENSURE(!failed(der_take(&in, DER_OCTET_STRING, &e.value)), ERR_SYNTAX,
           "x509: malformed extension value field");
    *out = e;
    return OK;
}

struct val go_extension(struct arena *a, const struct go_extension *e)
{
    struct vlist l = {.a = a};
    vlist_put(&l, "Id", go_oid(a, e->id));
    vlist_put(&l, "Critical", val_bool(e->critical));
    vlist_put(&l, "Value", go_bytes(a, e->value));
    return vlist_object(&l);
}

/* ---- one by one ---- */

struct ext_ctx {
    struct vlist *fields;
    struct arena *a;
    bool uri_texts, unhandled;
};

static struct err ext_key_usage(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value};
    struct str bits;
    unsigned unused;
    int usage = 0;
    ENSURE(!failed(go_take_bits(&d, &bits, &unused)), ERR_SYNTAX, "x509: invalid key usage");
    for (size_t i = 0; i < 9 && i / 8 < bits.n; i++) {
        usage |= ((uint8_t)bits.p[i / 8] >> (7 - i % 8) & 1) << i;
    }
    vlist_put(c->fields, "KeyUsage", val_int(c->a, usage));
    return OK;
}

static struct err ext_basic_constraints(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct str flag = STR_EMPTY;
    int64_t path = -1;
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest));
    if (ok && der_peek(&in, DER_BOOLEAN)) {
        ok = !failed(der_take(&in, DER_BOOLEAN, &flag)) && flag.n == 1 &&
             (flag.p[0] == 0 || (uint8_t)flag.p[0] == 0xff);
    }
    if (ok && der_peek(&in, DER_INTEGER)) {
        ok = !failed(go_take_small(&in, DER_INTEGER, INT64_MAX, &path));
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid basic constraints");
    vlist_put(c->fields, "IsCA", val_bool(flag.n == 1 && flag.p[0] != 0));
    vlist_put(c->fields, "MaxPathLen", val_int(c->a, path));
    vlist_put(c->fields, "MaxPathLenZero", val_bool(path == 0));
    vlist_put(c->fields, "BasicConstraintsValid", VAL_TRUE);
    return OK;
}

static struct err ext_names(struct ext_ctx *c, const struct go_extension *e)
{
    struct go_names n;
    TRY(go_alternative_names(c->a, e->value, &n));
    go_put_names(c->fields, &n, c->uri_texts);
    c->unhandled = n.dns.n + n.emails.n + n.ips.n + n.uris.n == 0;
    return OK;
}

static struct err ext_key_id(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value};
    struct str id;
    ENSURE(!e->critical, ERR_SYNTAX, "x509: subject key identifier incorrectly marked critical");
    ENSURE(!failed(der_take(&d, DER_OCTET_STRING, &id)), ERR_SYNTAX,
           "x509: invalid subject key identifier");
    vlist_put(c->fields, "SubjectKeyId", go_bytes(c->a, id));
    return OK;
}

static struct err ext_authority_key_id(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct str id;
    ENSURE(!e->critical, ERR_SYNTAX, "x509: authority key identifier incorrectly marked critical");
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest));
    if (ok && der_peek(&in, DER_CONTEXT(0))) {
        ok = !failed(der_take(&in, DER_CONTEXT(0), &id));
        if (ok) {
            vlist_put(c->fields, "AuthorityKeyId", go_bytes(c->a, id));
        }
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid authority key identifier");
    return OK;
}

#define OID_EKU "\x2b\x06\x01\x05\x05\x07\x03"

/* In the order of Go's constants. */
static const struct str usages[] = {
    STR_INIT("\x55\x1d\x25\x00"), /* any */
    STR_INIT(OID_EKU "\x01"),
    STR_INIT(OID_EKU "\x02"),
    STR_INIT(OID_EKU "\x03"),
    STR_INIT(OID_EKU "\x04"),
    STR_INIT(OID_EKU "\x05"),
    STR_INIT(OID_EKU "\x06"),
    STR_INIT(OID_EKU "\x07"),
    STR_INIT(OID_EKU "\x08"),
    STR_INIT(OID_EKU "\x09"),
    STR_INIT("\x2b\x06\x01\x04\x01\x82\x37\x0a\x03\x03"),
    STR_INIT("\x60\x86\x48\x01\x86\xf8\x42\x04\x01"),
    STR_INIT("\x2b\x06\x01\x04\x01\x82\x37\x02\x01\x16"),
    STR_INIT("\x2b\x06\x01\x04\x01\x82\x37\x3d\x01\x01"),
};

struct str go_usage_oid(size_t i)
{
    return i < ARRAY_LEN(usages) ? usages[i] : STR_EMPTY;
}

static struct err ext_extended_usage(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct vlist known = {.a = c->a}, unknown = {.a = c->a};
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &in.rest)), ERR_SYNTAX,
           "x509: invalid extended key usages");
    while (in.rest.n > 0) {
        struct str oid;
        size_t i = 0;
        ENSURE(!failed(go_take_oid(&in, &oid)), ERR_SYNTAX, "x509: invalid extended key usages");
        while (i < ARRAY_LEN(usages) && !str_eq(usages[i], oid)) {
            i++;
        }
        if (i < ARRAY_LEN(usages)) {
            vlist_add(&known, val_int(c->a, (int64_t)i));
        } else {
            vlist_add(&unknown, go_oid(c->a, oid));
        }
    }
    vlist_put(c->fields, "ExtKeyUsage", go_list(&known));
    vlist_put(c->fields, "UnknownExtKeyUsage", go_list(&unknown));
    return OK;
}

static struct err ext_policies(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct vlist lists = {.a = c->a}, texts = {.a = c->a};
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest));
    while (ok && in.rest.n > 0) {
        struct der p;
        struct str oid;
        ok = !failed(der_take(&in, DER_SEQUENCE, &p.rest)) && !failed(go_take_oid(&p, &oid));
        struct val text = ok ? go_oid_text(c->a, oid) : VAL_NULL;
        for (size_t i = 0; ok && i < texts.n; i++) {
            ok = !val_eq(texts.v[i], text);
        }
        if (ok) {
            vlist_add(&lists, go_oid(c->a, oid));
            vlist_add(&texts, text);
        }
        ok = ok && texts.n <= GO_X509_ITEMS_MAX;
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid certificate policies");
    vlist_put(c->fields, "PolicyIdentifiers", vlist_array(&lists));
    vlist_put(c->fields, "Policies", go_list(&texts));
    return OK;
}

static struct err ext_policy_mappings(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct vlist list = {.a = c->a};
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest));
    while (ok && in.rest.n > 0) {
        struct der p;
        struct str issuer, subject;
        struct vlist l = {.a = c->a};
        ok = !failed(der_take(&in, DER_SEQUENCE, &p.rest)) && !failed(go_take_oid(&p, &issuer)) &&
             !failed(go_take_oid(&p, &subject));
        if (ok) {
            vlist_put(&l, "IssuerDomainPolicy", go_oid_text(c->a, issuer));
            vlist_put(&l, "SubjectDomainPolicy", go_oid_text(c->a, subject));
            vlist_add(&list, vlist_object(&l));
        }
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid policy mappings extension");
    vlist_put(c->fields, "PolicyMappings", go_list(&list));
    return OK;
}

static struct err ext_policy_constraints(struct ext_ctx *c, const struct go_extension *e)
{
    static const char *const names[][2] = {{"RequireExplicitPolicy", "RequireExplicitPolicyZero"},
                                           {"InhibitPolicyMapping", "InhibitPolicyMappingZero"}};
    struct der d = {e->value}, in;
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest));
    for (unsigned i = 0; ok && i < 2; i++) {
        int64_t v = 0;
        if (der_peek(&in, DER_CONTEXT(i))) {
            ok = !failed(go_take_small(&in, DER_CONTEXT(i), INT64_MAX, &v));
            vlist_put(c->fields, names[i][0], val_int(c->a, v));
            vlist_put(c->fields, names[i][1], val_bool(v == 0));
        }
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid policy constraints extension");
    return OK;
}

static struct err ext_inhibit_any(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value};
    int64_t v = 0;
    ENSURE(!failed(go_take_small(&d, DER_INTEGER, INT64_MAX, &v)), ERR_SYNTAX,
           "x509: invalid inhibit any policy extension");
    vlist_put(c->fields, "InhibitAnyPolicy", val_int(c->a, v));
    vlist_put(c->fields, "InhibitAnyPolicyZero", val_bool(v == 0));
    return OK;
}

/* DistributionPoint ::= SEQUENCE { [0] { [0] GeneralNames … } … }: the leading URIs of each. */
static struct err ext_crl_points(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct vlist list = {.a = c->a};
    ENSURE(!failed(der_take(&d, DER_SEQUENCE, &in.rest)), ERR_SYNTAX,
           "x509: invalid CRL distribution points");
    while (in.rest.n > 0) {
        struct der point, name, names = {STR_EMPTY};
        struct str uri;
        bool ok = !failed(der_take(&in, DER_SEQUENCE, &point.rest));
        if (ok && der_peek(&point, DER_CONTEXT_CONS(0))) {
            ok = !failed(der_take(&point, DER_CONTEXT_CONS(0), &name.rest)) &&
                 !failed(der_take(&name, DER_CONTEXT_CONS(0), &names.rest));
        }
        while (ok && der_peek(&names, DER_CONTEXT(6))) {
            ok = !failed(der_take(&names, DER_CONTEXT(6), &uri));
            if (ok) {
                vlist_add(&list, go_text(c->a, uri));
            }
        }
        ENSURE(ok, ERR_SYNTAX, "x509: invalid CRL distribution point");
    }
    vlist_put(c->fields, "CRLDistributionPoints", go_list(&list));
    return OK;
}

/* 1.3.6.1.5.5.7.1.1: where to ask (…48.1) and where the issuer's certificate is (…48.2). */
static struct err ext_authority_info(struct ext_ctx *c, const struct go_extension *e)
{
    struct der d = {e->value}, in;
    struct vlist lists[2] = {{.a = c->a}, {.a = c->a}};
    ENSURE(!e->critical, ERR_SYNTAX, "x509: authority info access incorrectly marked critical");
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest));
    while (ok && in.rest.n > 0) {
        struct der one;
        struct str method, uri = STR_EMPTY;
        ok = !failed(der_take(&in, DER_SEQUENCE, &one.rest)) && !failed(go_take_oid(&one, &method));
        if (!ok || !der_peek(&one, DER_CONTEXT(6))) {
            continue;
        }
        ok = !failed(der_take(&one, DER_CONTEXT(6), &uri));
        for (int i = 0; ok && i < 2; i++) {
            if (str_eq(method, i == 0 ? S("\x2b\x06\x01\x05\x05\x07\x30\x01")
                                      : S("\x2b\x06\x01\x05\x05\x07\x30\x02"))) {
                vlist_add(&lists[i], go_text(c->a, uri));
            }
        }
    }
    ENSURE(ok, ERR_SYNTAX, "x509: invalid authority info access");
    vlist_put(c->fields, "OCSPServer", go_list(&lists[0]));
    vlist_put(c->fields, "IssuingCertificateURL", go_list(&lists[1]));
    return OK;
}

/* ---- name constraints (section 4.2.1.10) ---- */

static bool mask_fine(struct str mask)
{
    bool ended = false;
    for (size_t i = 0; i < mask.n; i++) {
        uint8_t c = (uint8_t)mask.p[i];
        bool ones = ((uint8_t)(~c) & ((uint8_t)(~c) + 1)) == 0; /* leading ones, then zeros */
        if (!ones || (ended && c != 0)) {
            return false;
        }
        ended = ended || c != 0xff;
    }
    return true;
}

static struct err ip_constraint(struct arena *a, struct str s, struct vlist *ips)
{
    struct vlist l = {.a = a};
    ENSURE(s.n == 8 || s.n == 32, ERR_SYNTAX, "x509: IP constraint contained value of length %zu",
           s.n);
    struct str mask = str_sub(s, s.n / 2, s.n);
    ENSURE(mask_fine(mask), ERR_SYNTAX, "x509: IP constraint contained invalid mask %.*s",
           STR_FMT(hex_encode(a, mask)));
    vlist_put(&l, "IP", ip_text(a, str_sub(s, 0, s.n / 2)));
    vlist_put(&l, "Mask", go_bytes(a, mask));
    vlist_add(ips, vlist_object(&l));
    return OK;
}

enum { NC_DNS, NC_EMAIL, NC_IP, NC_URI, NC_KINDS };

/* A whole mailbox needs a local part and a domain; its finer grammar is left to who made it. */
static struct err text_constraint(struct arena *a, int kind, struct str s, struct vlist *out)
{
    static const char *const names[] = {"dnsName", "rfc822Name", "", "URI"};
    struct ip ip;
    struct str domain = s;
    ENSURE(is_ascii(s), ERR_SYNTAX,
           "x509: invalid constraint value: x509: \"%.*s\" cannot be "
           "encoded as an IA5String",
           STR_FMT(str_sub(s, 0, 200)));
    size_t at = kind == NC_EMAIL ? str_rfind_char(s, '@') : STR_NPOS;
    bool ok = at != 0;
    if (at != STR_NPOS) {
        domain = str_sub(s, at + 1, s.n);
    }
    ENSURE(kind != NC_URI || failed(ip_parse(s, &ip)), ERR_SYNTAX,
           "x509: failed to parse URI constraint \"%.*s\": cannot be IP address", STR_FMT(s));
    ENSURE(ok && domain_fine(domain, at == STR_NPOS), ERR_SYNTAX,
           "x509: failed to parse %s constraint \"%.*s\"", names[kind],
           STR_FMT(str_sub(s, 0, 200)));
    vlist_add(out, val_str(a, s));
    return OK;
}

static struct err subtrees(struct ext_ctx *c, struct str list, struct vlist out[NC_KINDS])
{
    struct der d = {list};
    for (size_t i = 0; i < NC_KINDS; i++) {
        out[i] = (struct vlist){.a = c->a};
    }
    while (d.rest.n > 0) {
        struct der one;
        struct str s, whole;
        unsigned tag = 0;
        ENSURE(!failed(der_take(&d, DER_SEQUENCE, &one.rest)) &&
                   !failed(der_any(&one, &tag, &s, &whole)),
               ERR_SYNTAX, "x509: invalid NameConstraints extension");
        int kind = tag == DER_CONTEXT(2)   ? NC_DNS
                   : tag == DER_CONTEXT(1) ? NC_EMAIL
                   : tag == DER_CONTEXT(7) ? NC_IP
                   : tag == DER_CONTEXT(6) ? NC_URI
                                           : NC_KINDS;
        if (kind == NC_KINDS) {
            c->unhandled = true;
        } else if (kind == NC_IP) {
            TRY(ip_constraint(c->a, s, &out[kind]));
        } else {
            TRY(text_constraint(c->a, kind, s, &out[kind]));
        }
    }
    return OK;
}

static struct err ext_name_constraints(struct ext_ctx *c, const struct go_extension *e)
{
    static const char *const fields[2][NC_KINDS] = {
        {"PermittedDNSDomains", "PermittedEmailAddresses", "PermittedIPRanges",
         "PermittedURIDomains"},
        {"ExcludedDNSDomains", "ExcludedEmailAddresses", "ExcludedIPRanges", "ExcludedURIDomains"}};
    struct der d = {e->value}, in;
    struct str sides[2] = {STR_EMPTY, STR_EMPTY};
    bool ok = !failed(der_take(&d, DER_SEQUENCE, &in.rest)) && d.rest.n == 0;
    for (unsigned i = 0; ok && i < 2; i++) {
        if (der_peek(&in, DER_CONTEXT_CONS(i))) {
            ok = !failed(der_take(&in, DER_CONTEXT_CONS(i), &sides[i]));
        }
    }
    ENSURE(ok && in.rest.n == 0, ERR_SYNTAX, "x509: invalid NameConstraints extension");
    ENSURE(sides[0].n + sides[1].n > 0, ERR_SYNTAX, "x509: empty name constraints extension");
    for (size_t i = 0; i < 2; i++) {
        struct vlist lists[NC_KINDS];
        TRY(subtrees(c, sides[i], lists));
        for (size_t k = 0; k < NC_KINDS; k++) {
            vlist_put(c->fields, fields[i][k], go_list(&lists[k]));
        }
    }
    vlist_put(c->fields, "PermittedDNSDomainsCritical", val_bool(e->critical));
    return OK;
}

/* ---- all of them ---- */

static struct err read_extension(struct ext_ctx *c, const struct go_extension *e)
{
    static const struct {
        struct str id;
        struct err (*read)(struct ext_ctx *c, const struct go_extension *e);
    } known[] = {
        {STR_INIT("\x55\x1d\x0e"), ext_key_id},
        {STR_INIT("\x55\x1d\x0f"), ext_key_usage},
        {STR_INIT("\x55\x1d\x11"), ext_names},
        {STR_INIT("\x55\x1d\x13"), ext_basic_constraints},
        {STR_INIT("\x55\x1d\x1e"), ext_name_constraints},
        {STR_INIT("\x55\x1d\x1f"), ext_crl_points},
        {STR_INIT("\x55\x1d\x20"), ext_policies},
        {STR_INIT("\x55\x1d\x21"), ext_policy_mappings},
        {STR_INIT("\x55\x1d\x23"), ext_authority_key_id},
        {STR_INIT("\x55\x1d\x24"), ext_policy_constraints},
        {STR_INIT("\x55\x1d\x25"), ext_extended_usage},
        {STR_INIT("\x55\x1d\x36"), ext_inhibit_any},
        {STR_INIT("\x2b\x06\x01\x05\x05\x07\x01\x01"), ext_authority_info},
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (str_eq(known[i].id, e->id)) {
            return known[i].read(c, e);
        }
    }
    c->unhandled = true;
    return OK;
}

struct err go_put_extensions(struct vlist *fields, struct str list, bool uri_texts)
{
    struct arena *a = fields->a;
    struct der d = {list}, seq = {STR_EMPTY};
    struct vlist all = {.a = a}, unhandled = {.a = a};
    if (list.n > 0) {
        ENSURE(!failed(der_take(&d, DER_SEQUENCE, &seq.rest)), ERR_SYNTAX,
               "x509: malformed extensions");
    }
    struct str copy = seq.rest;
    while (seq.rest.n > 0) {
        struct go_extension e;
        TRY(go_take_extension(&seq, &e));
        struct val v = go_extension(a, &e), id = val_get_str(v, "Id");
        ENSURE(all.n < GO_X509_ITEMS_MAX, ERR_LIMIT, "x509: over %d extensions", GO_X509_ITEMS_MAX);
        for (size_t i = 0; i < all.n; i++) {
            ENSURE(!val_eq(val_get_str(all.v[i], "Id"), id), ERR_SYNTAX,
                   "x509: certificate contains duplicate extension with OID \"%.*s\"",
                   STR_FMT(val_text(go_oid_text(a, e.id))));
        }
        vlist_add(&all, v);
    }
    for (seq.rest = copy; seq.rest.n > 0;) {
        struct go_extension e;
        struct ext_ctx c = {.fields = fields, .a = a, .uri_texts = uri_texts};
        TRY(go_take_extension(&seq, &e));
        TRY(read_extension(&c, &e));
        if (e.critical && c.unhandled) {
            vlist_add(&unhandled, go_oid(a, e.id));
        }
    }
    vlist_put(fields, "Extensions", go_list(&all));
    vlist_put(fields, "UnhandledCriticalExtensions", go_list(&unhandled));
    return OK;
}
