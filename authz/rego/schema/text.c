/* Values as the texts that schemas compare and show. */
#include "authz/rego/schema/schema.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TEXT_MAX = 64 << 20 };

/* Depth is bounded by VAL_DEPTH_MAX, here and below. */
struct val schema_plain(struct arena *a, struct val v)
{
    struct vlist l = {.a = a};
    bool same = !val_is(v, V_SET);
    if (!val_is_collection(v)) {
        return v;
    }
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct val item = val_nth(v, i), plain = schema_plain(a, item);
        same = same && val_same(item, plain);
        if (val_is(v, V_OBJECT)) {
            struct val k = val_nth_key(a, v, i);
            same = same && val_is(k, V_STRING);
            if (!val_is(k, V_STRING)) {
                struct buf b;
                buf_init(&b, TEXT_MAX);
                val_to_json(&b, k, false);
                k = val_str(a, buf_str(&b));
                buf_release(&b);
            }
            vlist_add(&l, k);
        }
        vlist_add(&l, plain);
    }
    return same ? v : val_is(v, V_OBJECT) ? vlist_object(&l) : vlist_array(&l);
}

/* Digits of a decimal: value = 0.DIGITS * 10^point. No leading or trailing zeros; "" is zero. */
struct decimal {
    bool minus;
    struct str digits;
    int64_t point;
};

static struct decimal decimal_of(struct arena *a, struct str text)
{
    struct decimal d = {0};
    char *p = arena_alloc_raw(a, text.n + 1, 1);
    size_t n = 0, i = 0;
    bool behind = false;
    if (text.n > 0 && text.p[0] == '-') {
        d.minus = true;
        i++;
    }
    for (; i < text.n && (text.p[i] | 32) != 'e'; i++) {
        if (text.p[i] == '.') {
            behind = true;
        } else if (n > 0 || text.p[i] != '0') {
            p[n++] = text.p[i];
            d.point += !behind;
        } else {
            d.point -= behind;
        }
    }
    if (i < text.n) {
        d.point += strtoll(arena_cstr(a, str_sub(text, i + 1, text.n)), NULL, 10);
    }
    while (n > 0 && p[n - 1] == '0') {
        n--;
    }
    d.digits = str_n(p, n);
    return d;
}

static void put_zeros(struct buf *out, int64_t n)
{
    for (; n > 0; n--) {
        buf_putc(out, '0');
    }
}

/* The digits as d.ddde+XX, or in full; `width` is the least number of the exponent's digits. */
static void put_decimal(struct buf *out, const struct decimal *d, bool exponent, int width)
{
    int64_t n = (int64_t)d->digits.n;
    buf_puts(out, d->minus ? S("-") : STR_EMPTY);
    if (n == 0) {
        buf_putc(out, '0');
    } else if (exponent) {
        int64_t e = d->point - 1;
        buf_puts(out, str_sub(d->digits, 0, 1));
        buf_puts(out, n > 1 ? S(".") : STR_EMPTY);
        buf_puts(out, str_sub(d->digits, 1, (size_t)n));
        buf_printf(out, "e%c%0*lld", e < 0 ? '-' : '+', width, (long long)(e < 0 ? -e : e));
    } else if (d->point <= 0) {
        buf_puts(out, S("0."));
        put_zeros(out, -d->point);
        buf_puts(out, d->digits);
    } else {
        size_t whole = (size_t)MIN(d->point, n);
        buf_puts(out, str_sub(d->digits, 0, whole));
        put_zeros(out, d->point - n);
        buf_puts(out, d->point < n ? S(".") : STR_EMPTY);
        buf_puts(out, str_sub(d->digits, whole, (size_t)n));
    }
}

struct str schema_bound_text(struct arena *a, struct val number)
{
    struct buf out;
    struct decimal d = decimal_of(a, num_text(a, val_number(number)));
    buf_init(&out, TEXT_MAX);
    d.minus = d.minus && d.digits.n > 0;
    put_decimal(&out, &d, d.digits.n > 0 && (d.point - 1 < -4 || d.point - 1 >= 6), 2);
    struct str s = arena_str(a, buf_str(&out));
    buf_release(&out);
    return s;
}

/* The digits as an integer, `zeros` more behind them. */
static bool whole(struct arena *a, const struct decimal *d, int64_t zeros, struct num *out)
{
    struct buf b;
    if (zeros + (int64_t)d->digits.n > NUM_TEXT_MAX - 2) {
        return false;
    }
    buf_init(&b, NUM_TEXT_MAX);
    buf_puts(&b, d->digits);
    put_zeros(&b, zeros);
    bool ok = !failed(num_parse(arena_str(a, buf_str(&b)), out));
    buf_release(&b);
    return ok;
}

bool schema_is_multiple(struct arena *a, struct val v, struct val unit)
{
    struct decimal x = decimal_of(a, num_text(a, val_number(v)));
    struct decimal y = decimal_of(a, num_text(a, val_number(unit)));
    struct num n, m, rest;
    if (x.digits.n == 0) {
        return true;
    }
    int64_t ex = x.point - (int64_t)x.digits.n, ey = y.point - (int64_t)y.digits.n;
    int64_t least = MIN(ex, ey);
    return whole(a, &x, ex - least, &n) && whole(a, &y, ey - least, &m) &&
           !failed(num_rem(a, n, m, &rest)) && num_sign(rest) == 0;
}

/* The shortest text that reads back as the float64, as Go's JSON writes it. */
static bool put_float(struct arena *a, struct buf *out, struct str text, struct str *why)
{
    char shortest[40];
    double f = strtod(arena_cstr(a, text), NULL);
    if (!isfinite(f)) {
        *why = arena_printf(a, "json: cannot unmarshal number %.*s into Go value of type float64",
                            STR_FMT(text));
        return false;
    }
    for (int digits = 0; digits < 17; digits++) {
        snprintf(shortest, sizeof shortest, "%.*e", digits, f);
        if (strtod(shortest, NULL) == f) {
            break;
        }
    }
    struct decimal d = decimal_of(a, str_of(shortest));
    double size = fabs(f);
    put_decimal(out, &d, size != 0 && (size < 1e-6 || size >= 1e21), size < 1 ? 1 : 2);
    return true;
}

static bool put_plain(struct arena *a, struct buf *out, struct val v, struct str *why)
{
    if (val_is(v, V_NUMBER)) {
        return put_float(a, out, num_text(a, val_number(v)), why);
    }
    if (!val_is_collection(v)) {
        val_to_json(out, v, true);
        return true;
    }
    bool object = val_is(v, V_OBJECT);
    buf_putc(out, object ? '{' : '[');
    for (uint32_t i = 0; i < val_len(v); i++) {
        buf_puts(out, i > 0 ? S(",") : STR_EMPTY);
        if (object) {
            val_json_string(out, val_text(val_nth_key(a, v, i)), true);
            buf_putc(out, ':');
        }
        if (!put_plain(a, out, val_nth(v, i), why)) {
            return false;
        }
    }
    buf_putc(out, object ? '}' : ']');
    return true;
}

bool schema_plain_text(struct arena *a, struct val v, struct str *out, struct str *why)
{
    struct buf b;
    buf_init(&b, TEXT_MAX);
    bool ok = put_plain(a, &b, v, why);
    if (ok) {
        *out = arena_str(a, buf_str(&b));
    }
    buf_release(&b);
    return ok;
}
