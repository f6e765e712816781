/* Base64, hexadecimal, and query strings. */
#include "authz/rego/builtin/base64.h"

#include <stdlib.h>

enum { ENCODED_MAX = 256 << 20 };

static enum b_status encode(struct bcall *b, enum base64_form form)
{
    struct str s;
    return b_string(b, 1, &s) ? b_str(b, base64_encode(b->a, s, form)) : B_ERROR;
}

static enum b_status b_encode(struct bcall *b)
{
    return encode(b, BASE64_STD);
}
static enum b_status b_url_encode(struct bcall *b)
{
    return encode(b, BASE64_URL_PAD);
}
static enum b_status b_url_encode_no_pad(struct bcall *b)
{
    return encode(b, BASE64_URL);
}

/* Line breaks inside of base64 are skipped, as Go's decoder does. */
static struct str without_newlines(struct arena *a, struct str s)
{
    struct vstr *r = val_str_room(a, s.n);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '\n' && s.p[i] != '\r') {
            r->p[n++] = s.p[i];
        }
    }
    return str_n(r->p, n);
}

static bool decodes(struct arena *a, struct str s, enum base64_form form, struct str *out)
{
    return !failed(base64_decode(a, without_newlines(a, s), form, out));
}

/* Decoders of Go ignore bits of the last letter that mean nothing; so do these. */
bool base64_lenient(struct bcall *b, struct str s, enum base64_form form, struct str *out)
{
    static const char std[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    if (decodes(b->a, s, form, out)) {
        return true;
    }
    s = without_newlines(b->a, s);
    const char *alphabet = form == BASE64_STD || form == BASE64_STD_RAW ? std : url;
    size_t n = s.n;
    while (n > 0 && s.p[n - 1] == '=') {
        n--;
    }
    const char *at = n > 0 && s.p[n - 1] != '\0' ? strchr(alphabet, s.p[n - 1]) : NULL;
    if (at == NULL || n % 4 < 2) {
        return false;
    }
    char *copy = arena_cstr(b->a, s);
    copy[n - 1] = alphabet[(at - alphabet) & (n % 4 == 2 ? 0x30 : 0x3c)];
    return decodes(b->a, str_n(copy, s.n), form, out);
}

size_t base64_bad_byte(struct str s, bool url)
{
    size_t i = 0;
    for (; i < s.n; i++) {
        char c = s.p[i];
        bool fine = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                    (url ? c == '-' || c == '_' : c == '+' || c == '/');
        if (!fine) {
            return i;
        }
    }
    return i & ~(size_t)3;
}

static enum b_status b_decode(struct bcall *b)
{
    struct str s, out;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    if (!base64_lenient(b, s, BASE64_STD, &out)) {
        return b_fail(b, "illegal base64 data at input byte %zu", base64_bad_byte(s, false));
    }
    return b_str(b, out);
}

static enum b_status b_is_valid(struct bcall *b)
{
    struct str out;
    if (!val_is(b->args[0], V_STRING)) {
        return b_out(b, VAL_FALSE);
    }
    return b_out(b, val_bool(base64_lenient(b, val_text(b->args[0]), BASE64_STD, &out)));
}

static enum b_status b_url_decode(struct bcall *b)
{
    struct str s, out;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    /* Padding that was left out is put back by the length, which counts line breaks too. */
    if (!str_ends(s, S("=")) && s.n % 4 == 1) {
        return b_fail(b, "illegal base64url string: %.*s", STR_FMT(s));
    }
    if (!str_ends(s, S("=")) && str_find_char(s, '\0') == STR_NPOS) {
        s = arena_printf(b->a, "%.*s%s", STR_FMT(s), s.n % 4 == 2 ? "==" : s.n % 4 == 3 ? "=" : "");
    }
    if (!base64_lenient(b, s, BASE64_URL_PAD, &out)) {
        return b_fail(b, "illegal base64 data at input byte %zu", base64_bad_byte(s, true));
    }
    return b_str(b, out);
}

static enum b_status b_hex_encode(struct bcall *b)
{
    struct str s;
    return b_string(b, 1, &s) ? b_str(b, hex_encode(b->a, s)) : B_ERROR;
}

static enum b_status b_hex_decode(struct bcall *b)
{
    struct str s, out;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!digit) {
            return b_fail(b, "encoding/hex: invalid byte: U+%04X '%c'", (unsigned char)c, c);
        }
    }
    if (failed(hex_decode(b->a, s, &out))) {
        return b_fail(b, "encoding/hex: odd length hex string");
    }
    return b_str(b, out);
}

static void query_escape(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain) {
            buf_putc(out, (char)c);
        } else if (c == ' ') {
            buf_putc(out, '+');
        } else {
            buf_printf(out, "%%%02X", c);
        }
    }
}

static enum b_status b_query_encode(struct bcall *b)
{
    struct str s;
    struct buf out;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    buf_init(&out, b_text_max(b, ENCODED_MAX));
    query_escape(&out, s);
    return b_buf(b, &out);
}

static bool unescape(struct bcall *b, struct str s, struct str *out)
{
    if (!failed(percent_decode(b->a, s, true, out))) {
        return true;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') {
            struct str three = str_sub(s, i, i + 3), unused;
            if (three.n < 3 || failed(hex_decode(b->a, str_sub(three, 1, 3), &unused))) {
                (void)b_fail(b, "invalid URL escape \"%.*s\"", STR_FMT(three));
                return false;
            }
            i += 2;
        }
    }
    (void)b_fail(b, "invalid URL escape");
    return false;
}

static enum b_status b_query_decode(struct bcall *b)
{
    struct str s, out;
    return b_string(b, 1, &s) && unescape(b, s, &out) ? b_str(b, out) : B_ERROR;
}

static void put_pair(struct buf *out, struct str k, struct str v)
{
    buf_puts(out, out->n > 0 ? S("&") : S(""));
    query_escape(out, k);
    buf_putc(out, '=');
    query_escape(out, v);
}

static bool put_values(struct bcall *b, struct buf *out, struct str k, struct val v)
{
    bool list = val_is(v, V_ARRAY) || val_is(v, V_SET);
    if (val_is(v, V_STRING)) {
        put_pair(out, k, val_text(v));
        return true;
    }
    for (uint32_t i = 0; list && i < val_len(v); i++) {
        if (!val_is(val_nth(v, i), V_STRING)) {
            list = false;
            break;
        }
        put_pair(out, k, val_text(val_nth(v, i)));
    }
    if (!list) {
        (void)b_operand(b, 1, "values must be string, array[string], or set[string]");
    }
    return list;
}

static enum b_status b_query_encode_object(struct bcall *b)
{
    struct buf out;
    if (!b_is(b, 1, V_OBJECT)) {
        return B_ERROR;
    }
    buf_init(&out, b_text_max(b, ENCODED_MAX));
    for (uint32_t i = 0; i < val_len(b->args[0]); i++) {
        struct val k = val_nth_key(b->a, b->args[0], i);
        bool ok = val_is(k, V_STRING);
        if (!ok) {
            (void)b_type(b, 1, "string");
        }
        if (!ok || !put_values(b, &out, val_text(k), val_nth(b->args[0], i))) {
            buf_release(&out);
            return B_ERROR;
        }
    }
    return b_buf(b, &out);
}

struct field {
    struct val name, value;
    size_t at;
};

static int by_name(const void *x, const void *y)
{
    const struct field *p = x, *q = y;
    int c = val_cmp(p->name, q->name);
    return c != 0 ? c : p->at < q->at ? -1 : p->at > q->at;
}

/* Values of one name stand together, in the order in which they came. */
static struct val group_fields(struct bcall *b, struct field *v, size_t n)
{
    struct vlist all = {.a = b->a};
    if (n > 1) {
        qsort(v, n, sizeof *v, by_name);
    }
    for (size_t i = 0; i < n;) {
        struct vlist values = {.a = b->a};
        struct val name = v[i].name;
        for (; i < n && val_eq(v[i].name, name); i++) {
            vlist_add(&values, v[i].value);
        }
        vlist_add2(&all, name, vlist_array(&values));
    }
    return vlist_object(&all);
}

static enum b_status b_query_decode_object(struct bcall *b)
{
    struct str s;
    struct field *v = NULL;
    size_t n = 0, cap = 0;
    if (!b_string(b, 1, &s)) {
        return B_ERROR;
    }
    for (struct str rest = s; rest.p != NULL && s.n > 0;) {
        struct str value = str_split(&rest, '&'), name, text = STR_EMPTY;
        if (value.n == 0) {
            continue;
        }
        if (str_find_char(value, ';') != STR_NPOS) {
            return b_fail(b, "invalid semicolon separator in query");
        }
        struct str k = str_split(&value, '=');
        if (b_budget(b, 2) || !unescape(b, k, &name) ||
            (value.p != NULL && !unescape(b, value, &text))) {
            return B_ERROR;
        }
        v = arena_grow(b->a, v, n, n + 1, &cap, sizeof *v);
        v[n] = (struct field){val_str(b->a, name), val_str(b->a, text), n};
        n++;
    }
    return b_out(b, group_fields(b, v, n));
}

const struct builtin builtins_encoding[] = {
    {"base64.encode", 1, b_encode, 0},
    {"base64.decode", 1, b_decode, 0},
    {"base64.is_valid", 1, b_is_valid, 0},
    {"base64url.encode", 1, b_url_encode, 0},
    {"base64url.encode_no_pad", 1, b_url_encode_no_pad, 0},
    {"base64url.decode", 1, b_url_decode, 0},
    {"hex.encode", 1, b_hex_encode, 0},
    {"hex.decode", 1, b_hex_decode, 0},
    {"urlquery.encode", 1, b_query_encode, 0},
    {"urlquery.decode", 1, b_query_decode, 0},
    {"urlquery.encode_object", 1, b_query_encode_object, 0},
    {"urlquery.decode_object", 1, b_query_decode_object, 0},
    {0},
};
