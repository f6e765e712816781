/* The shapes of ASN.1 (X.690) that certificates are made of, as values. */
#include "authz/rego/builtin/x509/go.h"

#include "authz/rego/value/utf8.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"

struct val go_bytes(struct arena *a, struct str bytes)
{
    return val_str(a, base64_encode(a, bytes, BASE64_STD));
}

struct val go_text(struct arena *a, struct str s)
{
    if (str_is_utf8(s)) {
        return val_str(a, s);
    }
    struct buf b;
    buf_init(&b, 4 * s.n + 4);
    for (size_t at = 0; at < s.n;) {
        utf8_put(&b, utf8_next(s, &at));
    }
    struct val v = val_str(a, buf_str(&b));
    buf_release(&b);
    return v;
}

struct val go_uint(struct arena *a, struct str be)
{
    struct num n = num_int(0);
    ignore_err(num_from_base(a, be.n > 0 ? hex_encode(a, be) : S("0"), 16, &n));
    return val_num(a, n);
}

struct val go_list(const struct vlist *l)
{
    return l->n == 0 ? VAL_NULL : vlist_array(l);
}

/* ---- object identifiers ---- */

/* Base 128, no leading zeros; false at the end or when a part is over 31 bits. */
static bool next_part(struct str *s, uint32_t *out)
{
    uint32_t v = 0;
    for (size_t i = 0; i < s->n; i++) {
        uint8_t c = (uint8_t)s->p[i];
        if ((i == 0 && c == 0x80) || v >= 1u << 24) {
            return false;
        }
        v = v << 7 | (c & 0x7f);
        if ((c & 0x80) == 0) {
            *s = str_sub(*s, i + 1, s->n);
            *out = v;
            return true;
        }
    }
    return false;
}

struct err go_take_oid(struct der *d, struct str *content)
{
    struct str s, rest;
    uint32_t part;
    TRY(der_take(d, DER_OID, &s));
    ENSURE(s.n > 0, ERR_SYNTAX, "an empty object identifier");
    for (rest = s; rest.n > 0;) {
        ENSURE(next_part(&rest, &part), ERR_SYNTAX, "a malformed object identifier");
    }
    *content = s;
    return OK;
}

static void put_parts(struct str s, struct vlist *l)
{
    uint32_t part;
    while (s.n > 0 && next_part(&s, &part)) {
        if (l->n == 0) {
            uint32_t first = MIN(part / 40, 2u);
            vlist_add(l, val_int(l->a, first));
            part -= first * 40;
        }
        vlist_add(l, val_int(l->a, part));
    }
}

struct val go_oid(struct arena *a, struct str content)
{
    struct vlist l = {.a = a};
    put_parts(content, &l);
    return vlist_array(&l);
}

struct val go_oid_text(struct arena *a, struct str content)
{
    struct vlist l = {.a = a};
    struct buf b;
    put_parts(content, &l);
    buf_init(&b, 16 * content.n + 16);
    for (size_t i = 0; i < l.n; i++) {
        buf_printf(&b, "%s%lld", i > 0 ? "." : "", (long long)val_small(l.v[i]));
    }
    struct val v = val_str(a, buf_str(&b));
    buf_release(&b);
    return v;
}

/* ---- bits and numbers ---- */

struct err go_take_bits(struct der *d, struct str *bytes, unsigned *unused)
{
    struct str c;
    TRY(der_take(d, DER_BIT_STRING, &c));
    ENSURE(c.n >= 1, ERR_SYNTAX, "an empty BIT STRING");
    unsigned pad = (uint8_t)c.p[0];
    bool fine = pad <= 7 && (c.n > 1 || pad == 0) &&
                (c.n == 1 || ((uint8_t)c.p[c.n - 1] & ((1u << pad) - 1)) == 0);
    ENSURE(fine, ERR_SYNTAX, "a BIT STRING with wrong padding");
    *bytes = str_sub(c, 1, c.n);
    *unused = pad;
    return OK;
}

struct val go_bits(struct arena *a, struct str bytes, unsigned unused)
{
    if (unused == 0 || bytes.n == 0) {
        return go_bytes(a, bytes);
    }
    char *p = arena_alloc_raw(a, bytes.n, 1);
    uint8_t before = 0;
    for (size_t i = 0; i < bytes.n; i++) {
        uint8_t c = (uint8_t)bytes.p[i];
        p[i] = (char)(before << (8 - unused) | c >> unused);
        before = c;
    }
    return go_bytes(a, str_n(p, bytes.n));
}

struct err go_take_small(struct der *d, unsigned tag, int64_t max, int64_t *out)
{
    struct str c;
    TRY(der_take(d, tag, &c));
    bool minimal = c.n > 0 && (c.n == 1 || c.p[0] != 0 || ((uint8_t)c.p[1] & 0x80) != 0);
    ENSURE(minimal && c.n <= 8 && ((uint8_t)c.p[0] & 0x80) == 0, ERR_SYNTAX,
           "not a small positive number");
    uint64_t v = 0;
    for (size_t i = 0; i < c.n; i++) {
        v = v << 8 | (uint8_t)c.p[i];
    }
    ENSURE(v <= (uint64_t)max, ERR_RANGE, "a number over %lld", (long long)max);
    *out = (int64_t)v;
    return OK;
}

/* ---- times ---- */

static bool two_digits(struct str *s, unsigned *out)
{
    if (s->n < 2 || s->p[0] < '0' || s->p[0] > '9' || s->p[1] < '0' || s->p[1] > '9') {
        return false;
    }
    *out = (unsigned)(s->p[0] - '0') * 10 + (unsigned)(s->p[1] - '0');
    *s = str_sub(*s, 2, s->n);
    return true;
}

static unsigned days_of_month(unsigned year, unsigned month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Z, or +hhmm and -hhmm but for +0000, which is written Z. */
static bool zone_of(struct str s, char out[8])
{
    unsigned h, m;
    if (str_is(s, "Z")) {
        memcpy(out, "Z", 2);
        return true;
    }
    if (s.n != 5 || (s.p[0] != '+' && s.p[0] != '-')) {
        return false;
    }
    char sign = s.p[0];
    s = str_sub(s, 1, s.n);
    if (!two_digits(&s, &h) || !two_digits(&s, &m) || h > 23 || m > 59 || (h == 0 && m == 0)) {
        return false;
    }
    snprintf(out, 8, "%c%02u:%02u", sign, h % 24, m % 60);
    return true;
}

struct err go_take_time(struct arena *a, struct der *d, struct val *out)
{
    bool utc = der_peek(d, DER_UTC_TIME);
    ENSURE(utc || der_peek(d, DER_GENERALIZED_TIME), ERR_SYNTAX, "x509: unsupported time format");
    const char *what = utc ? "x509: malformed UTCTime" : "x509: malformed GeneralizedTime";
    struct str s = STR_EMPTY;
    unsigned century = 0, year = 0, f[5] = {0};
    char zone[8] = "";
    bool ok = !failed(der_take(d, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME, &s));
    ok = ok && (utc || two_digits(&s, &century)) && two_digits(&s, &year);
    for (size_t i = 0; i < 4 && ok; i++) {
        ok = two_digits(&s, &f[i]);
    }
    if (ok && !two_digits(&s, &f[4])) {
        ok = utc; /* UTCTime may go without seconds */
    }
    ok = ok && zone_of(s, zone);
    year += utc ? (year < 50 ? 2000 : 1900) : century * 100;
    ok = ok && f[0] >= 1 && f[0] <= 12 && f[1] >= 1 && f[1] <= days_of_month(year, f[0]) &&
         f[2] < 24 && f[3] < 60 && f[4] < 60;
    ENSURE(ok, ERR_SYNTAX, "%s", what);
    *out = val_str(a, arena_printf(a, "%04u-%02u-%02uT%02u:%02u:%02u%s", year, f[0], f[1], f[2],
                                   f[3], f[4], zone));
    return OK;
}
