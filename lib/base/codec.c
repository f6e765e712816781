#include "codec.h"

#include <sys/random.h>

const char ALPHABET_BASE62[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static const char b64_std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char b64_url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static bool is_url(enum base64_form form)
{
    return form == BASE64_URL || form == BASE64_URL_PAD;
}

static bool is_padded(enum base64_form form)
{
    return form == BASE64_STD || form == BASE64_URL_PAD;
}

void base64_put(struct buf *out, struct str bytes, enum base64_form form)
{
    const char *abc = is_url(form) ? b64_url : b64_std;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = MIN(bytes.n - i, (size_t)3);
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++) {
            v = v << 8 | (k < left ? (unsigned char)bytes.p[i + k] : 0u);
        }
        char quad[4] = {abc[v >> 18], abc[v >> 12 & 63], abc[v >> 6 & 63], abc[v & 63]};
        buf_put(out, quad, left + 1);
        if (is_padded(form)) {
            buf_put(out, "==", 3 - left);
        }
    }
}

static struct str take_buf(struct arena *a, struct buf *b)
{
    BUG_ON(!buf_ok(b));
    struct str s = arena_str(a, buf_str(b));
    buf_release(b);
    return s;
}

struct str base64_encode(struct arena *a, struct str bytes, enum base64_form form)
{
    struct buf b;
    buf_init_secret(&b, bytes.n / 3 * 4 + 4);
    base64_put(&b, bytes, form);
    return take_buf(a, &b);
}

static int b64_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    if (c == (url ? '-' : '+')) {
        return 62;
    }
    return c == (url ? '_' : '/') ? 63 : -1;
}

static struct err strip_padding(struct str *text, enum base64_form form)
{
    if (!is_padded(form)) {
        return OK;
    }
    ENSURE(text->n % 4 == 0, ERR_SYNTAX, "base64 of %zu characters is not padded to four", text->n);
    for (int i = 0; i < 2 && text->n > 0 && text->p[text->n - 1] == '='; i++) {
        text->n--;
    }
    return OK;
}

struct err base64_decode_into(struct str text, enum base64_form form, void *dst, size_t cap,
                              size_t *n)
{
    TRY(strip_padding(&text, form));
    ENSURE(text.n % 4 != 1, ERR_SYNTAX, "base64 of an impossible length");
    size_t want = text.n / 4 * 3 + (text.n % 4 == 0 ? 0 : text.n % 4 - 1);
    ENSURE(want <= cap, ERR_LIMIT, "base64 of %zu bytes where at most %zu are accepted", want, cap);
    unsigned char *out = dst;
    size_t have = 0;
    uint32_t acc = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        int v = b64_value(text.p[i], is_url(form));
        ENSURE(v >= 0, ERR_SYNTAX, "character %zu is not %s", i + 1,
               is_url(form) ? "base64url" : "base64");
        acc = acc << 6 | (uint32_t)v;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[have++] = (unsigned char)(acc >> bits);
            acc &= (1u << bits) - 1;
        }
    }
    ENSURE(acc == 0, ERR_SYNTAX, "base64 whose last character carries spare bits");
    *n = have;
    return OK;
}

struct err base64_decode(struct arena *a, struct str text, enum base64_form form, struct str *out)
{
    size_t cap = text.n / 4 * 3 + 3, n;
    char *p = arena_alloc_raw(a, cap + 1, 1);
    TRY(base64_decode_into(text, form, p, cap, &n));
    p[n] = '\0';
    *out = (struct str){p, n};
    return OK;
}

void hex_put(struct buf *out, struct str bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        char pair[2] = {digits[c >> 4], digits[c & 15]};
        buf_put(out, pair, 2);
    }
}

struct str hex_encode(struct arena *a, struct str bytes)
{
    struct buf b;
    buf_init_secret(&b, bytes.n * 2 + 1);
    hex_put(&b, bytes);
    return take_buf(a, &b);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct err hex_decode(struct arena *a, struct str text, struct str *out)
{
    ENSURE(text.n % 2 == 0, ERR_SYNTAX, "an odd number of hexadecimal digits");
    char *p = arena_alloc_raw(a, text.n / 2 + 1, 1);
    for (size_t i = 0; i < text.n; i += 2) {
        int hi = hex_value(text.p[i]), lo = hex_value(text.p[i + 1]);
        ENSURE(hi >= 0 && lo >= 0, ERR_SYNTAX, "characters %zu and %zu are not hexadecimal", i + 1,
               i + 2);
        p[i / 2] = (char)(hi << 4 | lo);
    }
    p[text.n / 2] = '\0';
    *out = (struct str){p, text.n / 2};
    return OK;
}

struct err percent_decode(struct arena *a, struct str text, bool plus, struct str *out)
{
    char *p = arena_alloc_raw(a, text.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            ENSURE(text.n - i > 2, ERR_SYNTAX, "a percent sign without two digits at its end");
            int hi = hex_value(text.p[i + 1]), lo = hex_value(text.p[i + 2]);
            ENSURE(hi >= 0 && lo >= 0, ERR_SYNTAX, "a percent sign without two digits");
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        p[n++] = c;
    }
    p[n] = '\0';
    *out = (struct str){p, n};
    return OK;
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void percent_put(struct buf *out, struct str bytes)
{
    for (size_t i = 0; i < bytes.n; i++) {
        if (is_unreserved(bytes.p[i])) {
            buf_putc(out, bytes.p[i]);
        } else {
            buf_printf(out, "%%%02X", (unsigned char)bytes.p[i]);
        }
    }
}

void random_bytes(void *p, size_t n)
{
    char *at = p;
    while (n > 0) {
        ssize_t got = getrandom(at, n, 0);
        BUG_ON(got <= 0);
        at += got;
        n -= (size_t)got;
    }
}

struct str random_id(struct arena *a, size_t n, const char *alphabet)
{
    size_t letters = strlen(alphabet);
    BUG_ON(letters < 2 || letters > 256);
    unsigned limit = 256 - 256 % (unsigned)letters; /* above it the modulus would be uneven */
    char *p = arena_alloc_raw(a, n + 1, 1);
    for (size_t i = 0; i < n;) {
        unsigned char c;
        random_bytes(&c, 1);
        if (c < limit) {
            p[i++] = alphabet[c % letters];
        }
    }
    p[n] = '\0';
    return (struct str){p, n};
}

void uuid4(char out[UUID_TEXT])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char r[16];
    random_bytes(r, sizeof(r));
    r[6] = (unsigned char)(0x40 | (r[6] & 0x0f));
    r[8] = (unsigned char)(0x80 | (r[8] & 0x3f));
    size_t n = 0;
    for (size_t i = 0; i < sizeof(r); i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            out[n++] = '-';
        }
        out[n++] = digits[r[i] >> 4];
        out[n++] = digits[r[i] & 15];
    }
    out[n] = '\0';
}
