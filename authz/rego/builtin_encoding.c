#include "builtin.h"

#include "lib/base/codec.h"

/* base64*, hex.* and urlquery.*: bytes as text. JSON and YAML are in files of their own. */

enum { GROWTH = 4, SLACK = 64 };

static enum b_status encode(struct bcall *b, enum base64_form form)
{
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    return b_str(b, base64_encode(b->a, text, form));
}

static enum b_status base64_encode_std(struct bcall *b)
{
    return encode(b, BASE64_STD);
}

static enum b_status base64url_encode_pad(struct bcall *b)
{
    return encode(b, BASE64_URL_PAD);
}

static enum b_status base64url_encode_no_pad(struct bcall *b)
{
    return encode(b, BASE64_URL);
}

/* Line breaks inside the text are skipped, as every MIME reader does. */
static struct str without_newlines(struct bcall *b, struct str text)
{
    if (str_find_char(text, '\n') == STR_NPOS && str_find_char(text, '\r') == STR_NPOS) {
        return text;
    }
    char *p = arena_alloc_raw(b->a, text.n, 1);
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] != '\n' && text.p[i] != '\r') {
            p[n++] = text.p[i];
        }
    }
    return str_n(p, n);
}

static enum b_status base64_decode_std(struct bcall *b)
{
    struct str text, out;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (failed(base64_decode(b->a, without_newlines(b, text), BASE64_STD, &out))) {
        return b_fail(b, "illegal base64 data");
    }
    return b_str(b, out);
}

static enum b_status base64url_decode_any(struct bcall *b)
{
    struct str text, out;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    text = without_newlines(b, text);
    while (text.n > 0 && text.p[text.n - 1] == '=') {
        text.n--;
    }
    if (failed(base64_decode(b->a, text, BASE64_URL, &out))) {
        return b_fail(b, "illegal base64 data");
    }
    return b_str(b, out);
}

static enum b_status base64_is_valid(struct bcall *b)
{
    struct str out;
    bool ok = val_is(b->args[0], V_STRING) &&
              !failed(base64_decode(b->a, without_newlines(b, val_text(b->args[0])), BASE64_STD, &out));
    return b_out(b, val_bool(ok));
}

static enum b_status hex_encode_text(struct bcall *b)
{
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    return b_str(b, hex_encode(b->a, text));
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static enum b_status hex_decode_text(struct bcall *b)
{
    struct str text, out;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (!is_hex((char)c)) {
            return c >= 0x20 && c < 0x7f
                       ? b_fail(b, "encoding/hex: invalid byte: U+%04X '%c'", c, c)
                       : b_fail(b, "encoding/hex: invalid byte: U+%04X", c);
        }
    }
    if (failed(hex_decode(b->a, text, &out))) {
        return b_fail(b, "encoding/hex: odd length hex string");
    }
    return b_str(b, out);
}

/* ---- urlquery: application/x-www-form-urlencoded ---- */

static void put_query(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ') {
            buf_putc(out, '+');
        } else {
            percent_put(out, str_sub(s, i, i + 1));
        }
    }
}

static enum b_status urlquery_encode(struct bcall *b)
{
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    struct buf out;
    buf_init(&out, text.n * GROWTH + SLACK);
    put_query(&out, text);
    return b_buf(b, &out);
}

static enum b_status urlquery_decode(struct bcall *b)
{
    struct str text, out;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    if (failed(percent_decode(b->a, text, true, &out))) {
        return b_fail(b, "invalid URL escape");
    }
    return b_str(b, out);
}

static bool put_pair(struct bcall *b, struct buf *out, struct val key, struct val value)
{
    if (!val_is(value, V_STRING)) {
        b_operand(b, 1, "values must be string, array[string], or set[string]");
        return false;
    }
    if (out->n > 0) {
        buf_putc(out, '&');
    }
    put_query(out, val_text(key));
    buf_putc(out, '=');
    put_query(out, val_text(value));
    return true;
}

static bool put_member(struct bcall *b, struct buf *out, struct val key, struct val value)
{
    if (!val_is(key, V_STRING)) {
        b_operand(b, 1, "keys must be strings");
        return false;
    }
    if (!val_is(value, V_ARRAY) && !val_is(value, V_SET)) {
        return put_pair(b, out, key, value);
    }
    for (uint32_t i = 0; i < val_len(value); i++) {
        if (!put_pair(b, out, key, val_nth(value, i))) {
            return false;
        }
    }
    return true;
}

static enum b_status urlquery_encode_object(struct bcall *b)
{
    struct val obj = b->args[0];
    if (!b_is(b, 1, V_OBJECT)) {
        return B_ERROR;
    }
    struct buf out;
    buf_init(&out, 4 << 20);
    for (uint32_t i = 0; i < val_len(obj); i++) {
        if (!put_member(b, &out, val_nth_key(b->a, obj, i), val_nth(obj, i))) {
            buf_release(&out);
            return B_ERROR;
        }
    }
    return b_buf(b, &out);
}

/* Name -> array of its values, in order. */
static enum b_status urlquery_decode_object(struct bcall *b)
{
    struct str text;
    if (!b_string(b, 1, &text)) {
        return B_ERROR;
    }
    struct val out = val_empty_object();
    struct str rest = text.n > 0 ? text : STR_EMPTY;
    while (rest.p != NULL) {
        struct str value = str_split(&rest, '&'), name = str_split(&value, '=');
        if (name.n == 0 && value.n == 0) {
            continue;
        }
        if (b_budget(b, 16) || failed(percent_decode(b->a, name, true, &name)) ||
            failed(percent_decode(b->a, value, true, &value))) {
            return b_fail(b, "invalid URL escape");
        }
        struct vlist values = {.a = b->a};
        struct val key = val_str(b->a, name), have = val_get(out, key);
        for (uint32_t i = 0; !val_undef(have) && i < val_len(have); i++) {
            vlist_add(&values, val_nth(have, i));
        }
        vlist_add(&values, val_str(b->a, value));
        out = val_with(b->a, out, key, vlist_array(&values));
    }
    return b_out(b, out);
}

const struct builtin builtins_encoding[] = {
    {"base64.decode", 1, base64_decode_std, 0},
    {"base64.encode", 1, base64_encode_std, 0},
    {"base64.is_valid", 1, base64_is_valid, 0},
    {"base64url.decode", 1, base64url_decode_any, 0},
    {"base64url.encode", 1, base64url_encode_pad, 0},
    {"base64url.encode_no_pad", 1, base64url_encode_no_pad, 0},
    {"hex.decode", 1, hex_decode_text, 0},
    {"hex.encode", 1, hex_encode_text, 0},
    {"urlquery.decode", 1, urlquery_decode, 0},
    {"urlquery.decode_object", 1, urlquery_decode_object, 0},
    {"urlquery.encode", 1, urlquery_encode, 0},
    {"urlquery.encode_object", 1, urlquery_encode_object, 0},
    {0},
};
