#include "der.h"

#include "lib/base/clock.h"

/* X.690 section 10.1: definite lengths in the fewest bytes; four bytes of length are plenty here. */
static struct err take_length(struct str s, size_t *header, size_t *len)
{
    ENSURE(s.n >= 2, ERR_SYNTAX, "DER ends inside an element");
    uint8_t first = (uint8_t)s.p[1];
    if (first < 0x80) {
        *header = 2, *len = first;
        return OK;
    }
    size_t count = first & 0x7f, n = 0;
    ENSURE(count >= 1 && count <= 4, ERR_SYNTAX, "DER with an indefinite or huge length");
    ENSURE(s.n >= 2 + count, ERR_SYNTAX, "DER ends inside a length");
    for (size_t i = 0; i < count; i++) {
        n = n << 8 | (uint8_t)s.p[2 + i];
    }
    ENSURE(n >= 0x80 && n >> (8 * (count - 1)) != 0, ERR_SYNTAX, "DER length is not minimal");
    *header = 2 + count, *len = n;
    return OK;
}

struct err der_any(struct der *d, unsigned *tag, struct str *content, struct str *whole)
{
    size_t header = 0, len = 0;
    TRY(take_length(d->rest, &header, &len));
    ENSURE(((uint8_t)d->rest.p[0] & 0x1f) != 0x1f, ERR_SYNTAX, "DER with a tag of several bytes");
    ENSURE(len <= d->rest.n - header, ERR_SYNTAX, "DER element of %zu bytes, %zu are left", len,
           d->rest.n - header);
    *tag = (uint8_t)d->rest.p[0];
    *content = str_sub(d->rest, header, header + len);
    *whole = str_sub(d->rest, 0, header + len);
    d->rest = str_sub(d->rest, header + len, d->rest.n);
    return OK;
}

bool der_peek(const struct der *d, unsigned tag)
{
    return d->rest.n > 0 && (uint8_t)d->rest.p[0] == tag;
}

static struct err take(struct der *d, unsigned tag, struct str *content, struct str *whole)
{
    ENSURE(d->rest.n > 0, ERR_SYNTAX, "DER ends where tag 0x%02x should be", tag);
    ENSURE(der_peek(d, tag), ERR_SYNTAX, "DER tag 0x%02x where 0x%02x should be",
           (uint8_t)d->rest.p[0], tag);
    unsigned got;
    return der_any(d, &got, content, whole);
}

struct err der_take(struct der *d, unsigned tag, struct str *content)
{
    struct str whole;
    return take(d, tag, content, &whole);
}

struct err der_take_whole(struct der *d, unsigned tag, struct str *whole)
{
    struct str content;
    return take(d, tag, &content, whole);
}

struct err der_end(const struct der *d, const char *what)
{
    ENSURE(d->rest.n == 0, ERR_SYNTAX, "%zu bytes left over after %s", d->rest.n, what);
    return OK;
}

struct err der_take_bits(struct der *d, struct str *bits)
{
    struct str content;
    TRY(der_take(d, DER_BIT_STRING, &content));
    ENSURE(content.n >= 1 && content.p[0] == 0, ERR_SYNTAX, "a BIT STRING that is not whole bytes");
    *bits = str_sub(content, 1, content.n);
    return OK;
}

struct err der_take_uint(struct der *d, struct str *bytes)
{
    struct str c;
    TRY(der_take(d, DER_INTEGER, &c));
    ENSURE(c.n >= 1, ERR_SYNTAX, "an empty INTEGER");
    ENSURE(((uint8_t)c.p[0] & 0x80) == 0, ERR_RANGE, "a negative INTEGER");
    bool padded = c.n > 1 && c.p[0] == 0;
    ENSURE(!padded || ((uint8_t)c.p[1] & 0x80) != 0, ERR_SYNTAX, "an INTEGER that is not minimal");
    *bytes = padded ? str_sub(c, 1, c.n) : c;
    return OK;
}

/* The content is written first and moved when its length needs more than one byte: most do not. */
size_t der_open(struct buf *b, unsigned tag)
{
    buf_putc(b, (char)tag);
    buf_putc(b, 0);
    return b->n;
}

void der_close(struct buf *b, size_t at)
{
    if (!buf_ok(b)) {
        return;
    }
    size_t len = b->n - at, extra = len < 0x80 ? 0 : len < 0x100 ? 1 : len < 0x10000 ? 2 : 3;
    BUG_ON(len >= 1 << 24);
    if (extra == 0) {
        b->p[at - 1] = (char)len;
        return;
    }
    if (buf_reserve(b, extra) == NULL) {
        return;
    }
    buf_commit(b, extra);
    memmove(b->p + at + extra, b->p + at, len);
    b->p[at - 1] = (char)(0x80 | extra);
    for (size_t i = 0; i < extra; i++) {
        b->p[at + i] = (char)(len >> (8 * (extra - 1 - i)));
    }
}

void der_put(struct buf *b, unsigned tag, struct str content)
{
    size_t at = der_open(b, tag);
    buf_puts(b, content);
    der_close(b, at);
}

void der_put_uint(struct buf *b, struct str bytes)
{
    while (bytes.n > 1 && bytes.p[0] == 0) {
        bytes = str_sub(bytes, 1, bytes.n);
    }
    size_t at = der_open(b, DER_INTEGER);
    if (bytes.n == 0 || ((uint8_t)bytes.p[0] & 0x80) != 0) {
        buf_putc(b, 0);
    }
    buf_puts(b, bytes);
    der_close(b, at);
}

void der_put_bits(struct buf *b, struct str bits)
{
    size_t at = der_open(b, DER_BIT_STRING);
    buf_putc(b, 0);
    buf_puts(b, bits);
    der_close(b, at);
}

void der_put_time(struct buf *b, int64_t seconds)
{
    int64_t days = seconds / 86400, rest = seconds % 86400, year;
    if (rest < 0) {
        rest += 86400, days--;
    }
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    bool utc = year >= 1950 && year < 2050;
    size_t at = der_open(b, utc ? DER_UTC_TIME : DER_GENERALIZED_TIME);
    buf_printf(b, utc ? "%02u" : "%04u", (unsigned)(utc ? year % 100 : year));
    buf_printf(b, "%02u%02u%02u%02u%02uZ", month, day, (unsigned)(rest / 3600),
               (unsigned)(rest / 60 % 60), (unsigned)(rest % 60));
    der_close(b, at);
}
