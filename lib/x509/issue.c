#include "issue.h"

#include "der.h"
#include "digest.h"
#include "lib/base/codec.h"

/* ---- names ---- */

static void put_attribute(struct buf *out, char type, unsigned string_tag, struct str value)
{
    if (value.n == 0) {
        return;
    }
    size_t set = der_open(out, DER_SET), seq = der_open(out, DER_SEQUENCE);
    char oid[] = {0x55, 0x04, type};
    der_put(out, DER_OID, str_n(oid, sizeof(oid)));
    der_put(out, string_tag, value);
    der_close(out, seq);
    der_close(out, set);
}

void x509_name_put(struct buf *out, const struct x509_name *name)
{
    size_t seq = der_open(out, DER_SEQUENCE);
    put_attribute(out, 6, DER_PRINTABLE, name->country);
    put_attribute(out, 10, DER_UTF8, name->organization);
    put_attribute(out, 11, DER_UTF8, name->unit);
    put_attribute(out, 3, DER_UTF8, name->common_name);
    put_attribute(out, 5, DER_PRINTABLE, name->serial_number);
    der_close(out, seq);
}

/* ---- extensions, RFC 5280 section 4.2 ---- */

static const struct str ku_leaf =
    STR_INIT("\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x03\xa8");
static const struct str ku_ca =
    STR_INIT("\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x01\x06");
static const struct str eku_both =
    STR_INIT("\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
             "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02");
static const struct str bc_leaf =
    STR_INIT("\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00");
static const struct str bc_ca =
    STR_INIT("\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff");

static void put_basic_constraints(struct buf *out, const struct x509_spec *s)
{
    if (!s->is_ca || s->path_len < 0) {
        buf_puts(out, s->is_ca ? bc_ca : bc_leaf);
        return;
    }
    BUG_ON(s->path_len > 100);
    buf_puts(out,
             S("\x30\x12\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x08\x30\x06\x01\x01\xff\x02\x01"));
    buf_putc(out, (char)s->path_len);
}

static void put_key_id(struct buf *out, struct str spki)
{
    uint8_t id[20];
    x509_key_id(spki, id);
    buf_puts(out, S("\x30\x1d\x06\x03\x55\x1d\x0e\x04\x16\x04\x14"));
    buf_put(out, id, sizeof(id));
}

static void put_authority_key_id(struct buf *out, struct str id)
{
    size_t ext = der_open(out, DER_SEQUENCE);
    buf_puts(out, S("\x06\x03\x55\x1d\x23"));
    size_t octets = der_open(out, DER_OCTET_STRING), seq = der_open(out, DER_SEQUENCE);
    der_put(out, DER_CONTEXT(0), id);
    der_close(out, seq);
    der_close(out, octets);
    der_close(out, ext);
}

static void put_names(struct buf *out, const struct x509_spec *s)
{
    for (size_t i = 0; i < s->n_dns_names; i++) {
        der_put(out, DER_CONTEXT(2), s->dns_names[i]);
    }
    for (size_t i = 0; i < s->n_uris; i++) {
        der_put(out, DER_CONTEXT(6), s->uris[i]);
    }
    for (size_t i = 0; i < s->n_ip_addresses; i++) {
        der_put(out, DER_CONTEXT(7), s->ip_addresses[i]);
    }
}

/* Critical when the subject is empty (section 4.2.1.6). */
static void put_san(struct buf *out, const struct x509_spec *s)
{
    if (s->n_uris + s->n_dns_names + s->n_ip_addresses == 0) {
        return;
    }
    size_t ext = der_open(out, DER_SEQUENCE);
    buf_puts(out, S("\x06\x03\x55\x1d\x11"));
    if (s->subject.n <= 2) {
        buf_puts(out, S("\x01\x01\xff"));
    }
    size_t octets = der_open(out, DER_OCTET_STRING), seq = der_open(out, DER_SEQUENCE);
    put_names(out, s);
    der_close(out, seq);
    der_close(out, octets);
    der_close(out, ext);
}

static void put_extensions(struct buf *out, const struct x509_spec *s)
{
    size_t tagged = der_open(out, DER_CONTEXT_CONS(3)), seq = der_open(out, DER_SEQUENCE);
    buf_puts(out, s->is_ca ? ku_ca : ku_leaf);
    if (!s->is_ca) {
        buf_puts(out, eku_both);
    }
    put_basic_constraints(out, s);
    put_key_id(out, s->spki);
    if (s->issuer_key_id.n > 0) {
        put_authority_key_id(out, s->issuer_key_id);
    }
    put_san(out, s);
    der_close(out, seq);
    der_close(out, tagged);
}

/* ---- certificates ---- */

void x509_key_id(struct str spki, uint8_t out[20])
{
    struct der d = {spki}, in;
    struct str bits = spki, alg, got;
    if (!failed(der_take(&d, DER_SEQUENCE, &in.rest)) &&
        !failed(der_take(&in, DER_SEQUENCE, &alg)) && !failed(der_take_bits(&in, &got))) {
        bits = got;
    }
    uint8_t sum[DIGEST_MAX];
    digest(DIGEST_SHA1, bits, sum);
    memcpy(out, sum, 20);
}

/* Letters, digits, '-', '_', '.', and one leading "*." (RFC 5280 section 4.2.1.6, RFC 6125). */
static struct err dns_name_check(struct str name)
{
    struct str s = str_starts(name, S("*.")) ? str_sub(name, 2, name.n) : name;
    bool good = s.n > 0 && s.n <= 253 && s.p[0] != '.' && s.p[0] != '-';
    for (size_t i = 0; i < s.n && good; i++) {
        char c = s.p[i];
        good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || (c == '.' && i + 1 < s.n && s.p[i + 1] != '.');
    }
    ENSURE(good, ERR_RANGE, "'%.*s' is not a DNS name", STR_FMT(str_sub(name, 0, 100)));
    return OK;
}

static struct err spec_check(const struct x509_spec *s)
{
    ENSURE(s->serial.n <= X509_SERIAL_MAX, ERR_RANGE, "a serial number of %zu bytes; at most %d",
           s->serial.n, X509_SERIAL_MAX);
    ENSURE(s->not_before_s <= s->not_after_s, ERR_RANGE,
           "a certificate that ends before it begins");
    ENSURE(s->n_uris + s->n_dns_names + s->n_ip_addresses <= X509_NAMES_MAX, ERR_RANGE,
           "over %d alternative names", X509_NAMES_MAX);
    for (size_t i = 0; i < s->n_dns_names; i++) {
        TRY(dns_name_check(s->dns_names[i]));
    }
    for (size_t i = 0; i < s->n_ip_addresses; i++) {
        ENSURE(s->ip_addresses[i].n == 4 || s->ip_addresses[i].n == 16, ERR_RANGE,
               "an IP address of %zu bytes", s->ip_addresses[i].n);
    }
    return OK;
}

struct err x509_tbs_put(const struct x509_spec *spec, struct buf *tbs)
{
    TRY(spec_check(spec));
    uint8_t random[16];
    struct str serial = spec->serial;
    if (serial.n == 0) {
        random_bytes(random, sizeof(random));
        random[0] = (random[0] & 0x7f) | 0x01; /* positive, never shorter */
        serial = str_n(random, sizeof(random));
    }
    static const struct str empty_name = STR_INIT("\x30\x00");
    size_t seq = der_open(tbs, DER_SEQUENCE);
    buf_puts(tbs, S("\xa0\x03\x02\x01\x02"));
    der_put_uint(tbs, serial);
    buf_puts(tbs, sig_alg_der(spec->alg));
    buf_puts(tbs, spec->issuer);
    size_t validity = der_open(tbs, DER_SEQUENCE);
    der_put_time(tbs, spec->not_before_s);
    der_put_time(tbs, spec->not_after_s);
    der_close(tbs, validity);
    buf_puts(tbs, spec->subject.n > 0 ? spec->subject : empty_name);
    buf_puts(tbs, spec->spki);
    put_extensions(tbs, spec);
    der_close(tbs, seq);
    return buf_check(tbs);
}

void x509_assemble(struct str tbs, enum sig_alg alg, struct str signature, struct buf *out)
{
    size_t seq = der_open(out, DER_SEQUENCE);
    buf_puts(out, tbs);
    buf_puts(out, sig_alg_der(alg));
    der_put_bits(out, signature);
    der_close(out, seq);
}

/* Signs `tbs` and wraps it. */
static struct err sign_and_assemble(struct str tbs, enum sig_alg alg, struct key *key,
                                    struct buf *der)
{
    struct buf sig;
    buf_init(&sig, SIGNATURE_MAX);
    struct err e = key_sign(key, alg, tbs, &sig);
    if (!failed(e)) {
        x509_assemble(tbs, alg, buf_str(&sig), der);
        e = buf_check(der);
    }
    buf_release(&sig);
    return e;
}

struct err x509_issue(const struct x509_spec *spec, struct key *issuer, struct buf *der)
{
    struct buf tbs;
    buf_init(&tbs, X509_CERT_MAX);
    struct err e = x509_tbs_put(spec, &tbs);
    if (!failed(e)) {
        e = sign_and_assemble(buf_str(&tbs), spec->alg, issuer, der);
    }
    buf_release(&tbs);
    return e;
}

/* ---- revocation lists ---- */

static void put_crl_extensions(struct buf *out, struct str issuer_key_id, uint64_t number)
{
    size_t tagged = der_open(out, DER_CONTEXT_CONS(0)), seq = der_open(out, DER_SEQUENCE);
    put_authority_key_id(out, issuer_key_id);
    uint8_t be[8];
    for (size_t i = 0; i < sizeof(be); i++) {
        be[i] = (uint8_t)(number >> (56 - 8 * i));
    }
    size_t ext = der_open(out, DER_SEQUENCE);
    buf_puts(out, S("\x06\x03\x55\x1d\x14"));
    size_t octets = der_open(out, DER_OCTET_STRING);
    der_put_uint(out, str_n(be, sizeof(be)));
    der_close(out, octets);
    der_close(out, ext);
    der_close(out, seq);
    der_close(out, tagged);
}

struct err x509_crl_issue(struct str issuer_name, struct str issuer_key_id, struct key *issuer,
                          uint64_t number, int64_t this_update_s, int64_t next_update_s,
                          const struct x509_revoked *revoked, size_t n, struct buf *der)
{
    enum sig_alg alg = key_default_alg(issuer);
    struct buf tbs;
    buf_init(&tbs, der->max);
    size_t seq = der_open(&tbs, DER_SEQUENCE);
    buf_puts(&tbs, S("\x02\x01\x01"));
    buf_puts(&tbs, sig_alg_der(alg));
    buf_puts(&tbs, issuer_name);
    der_put_time(&tbs, this_update_s);
    der_put_time(&tbs, next_update_s);
    size_t list = n > 0 ? der_open(&tbs, DER_SEQUENCE) : 0;
    for (size_t i = 0; i < n; i++) {
        size_t entry = der_open(&tbs, DER_SEQUENCE);
        der_put_uint(&tbs, revoked[i].serial);
        der_put_time(&tbs, revoked[i].at_s);
        der_close(&tbs, entry);
    }
    if (n > 0) {
        der_close(&tbs, list);
    }
    put_crl_extensions(&tbs, issuer_key_id, number);
    der_close(&tbs, seq);
    struct err e = buf_check(&tbs);
    if (!failed(e)) {
        e = sign_and_assemble(buf_str(&tbs), alg, issuer, der);
    }
    buf_release(&tbs);
    return e;
}
