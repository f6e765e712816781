#include "name.h"

#include "der.h"
#include "lib/base/codec.h"

enum { RDNS_MAX = 64 };

static const char *short_name(struct str oid)
{
    static const struct {
        char last; /* of 2.5.4.x */
        const char *name;
    } types[] = {{3, "CN"},     {5, "SERIALNUMBER"}, {6, "C"},   {7, "L"},          {8, "ST"},
                 {9, "STREET"}, {10, "O"},           {11, "OU"}, {17, "POSTALCODE"}};
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (oid.n == 3 && memcmp(oid.p, "\x55\x04", 2) == 0 && oid.p[2] == types[i].last) {
            return types[i].name;
        }
    }
    return NULL;
}

static void put_oid(struct buf *b, struct str oid)
{
    uint64_t arc = 0;
    bool first = true;
    for (size_t i = 0; i < oid.n; i++) {
        arc = arc << 7 | ((unsigned char)oid.p[i] & 0x7f);
        if (((unsigned char)oid.p[i] & 0x80) != 0) {
            continue;
        }
        if (first) {
            uint64_t top = arc < 40 ? 0 : arc < 80 ? 1 : 2;
            buf_printf(b, "%llu.%llu", (unsigned long long)top,
                       (unsigned long long)(arc - 40 * top));
        } else {
            buf_printf(b, ".%llu", (unsigned long long)arc);
        }
        first = false;
        arc = 0;
    }
}

/* A value with what would end it escaped (RFC 2253 section 2.4). */
static void put_value(struct buf *b, struct str v)
{
    for (size_t i = 0; i < v.n; i++) {
        char c = v.p[i];
        bool edge = (i == 0 && (c == ' ' || c == '#')) || (i + 1 == v.n && c == ' ');
        if (edge || (c != '\0' && strchr(",+\"\\<>;", c) != NULL)) {
            buf_putc(b, '\\');
        }
        buf_putc(b, c);
    }
}

static struct err put_attribute(struct buf *b, struct str attribute)
{
    struct der d = {attribute};
    struct str oid, value, whole;
    unsigned tag;
    TRY(der_take(&d, DER_OID, &oid));
    TRY(der_any(&d, &tag, &value, &whole));
    TRY(der_end(&d, "an attribute of a name"));
    const char *name = short_name(oid);
    if (name != NULL) {
        buf_printf(b, "%s=", name);
        put_value(b, value);
    } else {
        put_oid(b, oid);
        buf_puts(b, S("=#"));
        hex_put(b, whole);
    }
    return OK;
}

static struct err put_rdn(struct buf *b, struct str rdn)
{
    struct der d = {rdn};
    for (bool first = true; d.rest.n > 0; first = false) {
        struct str attribute;
        TRY(der_take(&d, DER_SEQUENCE, &attribute));
        buf_puts(b, first ? S("") : S("+"));
        TRY(put_attribute(b, attribute));
    }
    return OK;
}

struct err x509_name_text(struct arena *a, struct str der, struct str *out)
{
    struct der d = {der}, list;
    struct str rdns[RDNS_MAX];
    size_t n = 0;
    TRY(der_take(&d, DER_SEQUENCE, &list.rest));
    TRY(der_end(&d, "a name"));
    for (; list.rest.n > 0; n++) {
        ENSURE(n < RDNS_MAX, ERR_LIMIT, "a name of more than %d parts", RDNS_MAX);
        TRY(der_take(&list, DER_SET, &rdns[n]));
    }
    struct buf b;
    struct err e = OK;
    buf_init(&b, 64 * 1024);
    for (size_t i = n; i > 0 && !failed(e); i--) {
        e = put_rdn(&b, rdns[i - 1]);
        buf_puts(&b, i > 1 ? S(",") : S(""));
    }
    e = failed(e) ? e : buf_check(&b);
    *out = failed(e) ? STR_EMPTY : arena_str(a, buf_str(&b));
    buf_release(&b);
    return e;
}
