/* Go's fmt: flags, widths, verbs, and what it writes where they do not fit. */
#include "authz/rego/builtin/gofmt.h"

#include "authz/rego/value/utf8.h"
#include "authz/rego/value/value.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    FORMAT_MAX = 64 << 20,
    FORMAT_WIDTH_MAX = 1000000,
    GENERAL_LIMIT = 6, /* the power of ten from which %v and %g use an exponent */
};

struct spec {
    bool minus, plus, sharp, space, zero;
    bool literal; /* %#v */
    bool has_width, has_precision;
    int64_t width, precision;
    uint32_t verb;
};

struct printer {
    struct arena *a;
    struct buf *out;
    const struct gofmt_arg *args;
    size_t n_args, at;
    bool reordered, bad_index;
};

static void pad(struct buf *out, const struct spec *s, struct str text)
{
    int64_t fill = s->has_width ? s->width - (int64_t)utf8_count(text) : 0;
    if (s->minus) {
        buf_puts(out, text);
    }
    for (; fill > 0; fill--) {
        buf_putc(out, s->zero && !s->minus ? '0' : ' ');
    }
    if (!s->minus) {
        buf_puts(out, text);
    }
}

/* A sign and digits, with zeros between them when the width asks for it. */
static void pad_number(struct buf *out, struct spec s, const char *sign, struct str prefix,
                       struct str digits)
{
    struct buf b;
    buf_init(&b, FORMAT_MAX);
    int64_t zeros = s.has_precision ? s.precision - (int64_t)digits.n : 0;
    if (s.zero && !s.minus && s.has_width && !s.has_precision) {
        zeros = s.width - (int64_t)digits.n - (int64_t)strlen(sign);
    }
    buf_puts(&b, str_of(sign));
    buf_puts(&b, prefix);
    for (; zeros > 0; zeros--) {
        buf_putc(&b, '0');
    }
    buf_puts(&b, digits);
    s.zero = false;
    pad(out, &s, buf_str(&b));
    buf_release(&b);
}

static void write_int(struct printer *p, const struct gofmt_arg *a, const struct spec *s, int base,
                      bool upper)
{
    struct str text = num_in_base(p->a, a->num, base);
    bool neg = text.n > 0 && text.p[0] == '-';
    text = str_sub(text, neg, text.n);
    if (upper) {
        struct vstr *r = val_str_room(p->a, text.n);
        for (size_t i = 0; i < text.n; i++) {
            r->p[i] = text.p[i] >= 'a' && text.p[i] <= 'z' ? (char)(text.p[i] - 32) : text.p[i];
        }
        text = val_text(val_str_done(r));
    }
    struct str prefix = s->verb == 'O' ? S("0o")
                        : !s->sharp    ? STR_EMPTY
                        : base == 16   ? (upper ? S("0X") : S("0x"))
                        : base == 8    ? S("0")
                        : base == 2    ? S("0b")
                                       : STR_EMPTY;
    if (s->has_precision && s->precision == 0 && str_is(text, "0")) {
        text = STR_EMPTY;
    }
    pad_number(p->out, *s, neg ? "-" : s->plus ? "+" : s->space ? " " : "", prefix, text);
}

void gofmt_quoted(struct buf *out, struct str s)
{
    struct arena a;
    arena_init(&a, s.n + (1 << 16));
    val_to_rego(out, val_str(&a, s));
    arena_release(&a);
}

/* What is not ASCII, as escapes (%+q). The text is quoted already. */
static void put_ascii(struct buf *out, struct str s)
{
    for (size_t i = 0; i < s.n;) {
        uint32_t c = utf8_next(s, &i);
        if (c < 0x80) {
            buf_putc(out, (char)c);
        } else {
            buf_printf(out, c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        }
    }
}

/* Nothing that a raw string could not hold, or that nobody would see there. */
static bool can_backquote(struct str s)
{
    for (size_t i = 0; i < s.n;) {
        size_t from = i;
        uint32_t c = utf8_next(s, &i);
        if ((c < 0x20 && c != '\t') || c == 0x7f || c == '`' || c == 0xfeff ||
            (c == 0xfffd && i - from == 1)) {
            return false;
        }
    }
    return true;
}

static void quoted(struct buf *out, struct str s, bool backquote, bool ascii)
{
    if (ascii) {
        struct buf text;
        buf_init(&text, FORMAT_MAX);
        gofmt_quoted(&text, s);
        put_ascii(out, buf_str(&text));
        buf_release(&text);
        return;
    }
    if (backquote && can_backquote(s)) {
        buf_putc(out, '`');
        buf_puts(out, s);
        buf_putc(out, '`');
        return;
    }
    gofmt_quoted(out, s);
}

static void write_hex_text(struct printer *p, struct str s, const struct spec *spec, bool upper)
{
    struct buf b;
    buf_init(&b, FORMAT_MAX);
    size_t n = spec->has_precision ? MIN((size_t)spec->precision, s.n) : s.n;
    buf_puts(&b, spec->sharp && n > 0 && !spec->space ? (upper ? S("0X") : S("0x")) : S(""));
    for (size_t i = 0; i < n; i++) {
        buf_puts(&b, spec->space && i > 0 ? S(" ") : S(""));
        buf_printf(&b, upper ? "%02X" : "%02x", (unsigned char)s.p[i]);
    }
    struct spec plain = *spec;
    pad(p->out, &plain, buf_str(&b));
    buf_release(&b);
}

static void write_text(struct printer *p, struct str s, const struct spec *spec)
{
    if (spec->has_precision) {
        s = str_sub(s, 0, utf8_offset(s, (size_t)spec->precision));
    }
    pad(p->out, spec, s);
}

/* Digits of the shortest decimal that reads back as `f`, and the power of ten of the first. */
static int shortest(double f, char *digits, size_t size, int *exp)
{
    char text[40];
    int n = 0;
    for (int precision = 0; precision < 18; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, f);
        if (strtod(text, NULL) == f) {
            break;
        }
    }
    for (const char *c = text; *c != 'e' && (size_t)n + 1 < size; c++) {
        if (*c >= '0' && *c <= '9') {
            digits[n++] = *c;
        }
    }
    while (n > 1 && digits[n - 1] == '0') {
        n--;
    }
    *exp = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    return n;
}

static void general(struct buf *out, double f, char e)
{
    char d[32];
    int exp, n = shortest(f, d, sizeof d, &exp);
    if (f == 0) {
        buf_putc(out, '0');
    } else if (exp < -4 || exp >= GENERAL_LIMIT) {
        buf_printf(out, "%c%s%.*s%c%c%02d", d[0], n > 1 ? "." : "", n - 1, d + 1, e,
                   exp < 0 ? '-' : '+', exp < 0 ? -exp : exp);
    } else if (exp < 0) {
        buf_printf(out, "0.%.*s%.*s", -exp - 1, "0000", n, d);
    } else {
        for (int i = 0; i < n || i <= exp; i++) {
            buf_puts(out, i == exp + 1 ? S(".") : S(""));
            buf_putc(out, i < n ? d[i] : '0');
        }
    }
}

static void put_general(struct buf *out, double f, int precision, const struct spec *s)
{
    char digits[32];
    int exp;
    if (precision < 0 && s->sharp) {
        precision = MAX(shortest(f, digits, sizeof digits, &exp), 6);
    }
    if (precision < 0) {
        general(out, f, s->verb == 'G' ? 'E' : 'e');
    } else if (s->verb == 'G') {
        buf_printf(out, s->sharp ? "%#.*G" : "%.*G", precision, f);
    } else {
        buf_printf(out, s->sharp ? "%#.*g" : "%.*g", precision, f);
    }
}

/* The mantissa and the power of two, in full (%b) or in hexadecimal (%x). */
static void put_binary(struct buf *out, double f, const struct spec *s)
{
    char text[1100];
    int exp = 0;
    if (s->verb == 'b') {
        double m = frexp(f, &exp);
        exp = f == 0 || exp < -1021 ? -1021 : exp;
        m = f == 0 ? 0 : ldexp(f, 53 - exp);
        buf_printf(out, "%.0fp%+d", m, exp - 53);
        return;
    }
    if (s->has_precision) {
        snprintf(text, sizeof text, s->verb == 'X' ? "%.*A" : "%.*a", (int)MIN(s->precision, 1000),
                 f);
    } else {
        snprintf(text, sizeof text, s->verb == 'X' ? "%A" : "%a", f);
    }
    /* The exponent has two digits at least. */
    char *e = strpbrk(text, "pP");
    buf_printf(out, "%.*s%02d", (int)(e + 2 - text), text, (int)strtol(e + 2, NULL, 10));
}

static bool write_float(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    double f = fabs(a->f);
    struct buf b;
    if (!isfinite(f)) {
        pad(p->out, s, signbit(a->f) ? S("-Inf") : S("+Inf"));
        return true;
    }
    buf_init(&b, FORMAT_MAX);
    int precision = s->has_precision ? (int)MIN(s->precision, (int64_t)1000) : -1;
    switch (s->verb) {
    case 'v':
    case 'g':
    case 'G':
        put_general(&b, f, precision, s);
        break;
    case 'b':
    case 'x':
    case 'X':
        put_binary(&b, f, s);
        break;
    case 'e':
        buf_printf(&b, "%.*e", precision < 0 ? 6 : precision, f);
        break;
    case 'E':
        buf_printf(&b, "%.*E", precision < 0 ? 6 : precision, f);
        break;
    case 'f':
    case 'F':
        buf_printf(&b, "%.*f", precision < 0 ? 6 : precision, f);
        break;
    default:
        buf_release(&b);
        return false;
    }
    struct spec plain = *s;
    plain.has_precision = false;
    const char *sign = signbit(a->f) ? "-" : s->plus ? "+" : s->space ? " " : "";
    pad_number(p->out, plain, sign, STR_EMPTY, buf_str(&b));
    buf_release(&b);
    return true;
}

static bool write_string_arg(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    struct buf b;
    switch (s->verb) {
    case 'v':
        if (s->literal) {
            buf_init(&b, FORMAT_MAX);
            quoted(&b, a->text, false, false);
            pad(p->out, s, buf_str(&b));
            buf_release(&b);
            return true;
        }
        write_text(p, a->text, s);
        return true;
    case 's':
        write_text(p, a->text, s);
        return true;
    case 'x':
    case 'X':
        write_hex_text(p, a->text, s, s->verb == 'X');
        return true;
    case 'q':
        buf_init(&b, FORMAT_MAX);
        quoted(&b,
               s->has_precision ? str_sub(a->text, 0, utf8_offset(a->text, (size_t)s->precision))
                                : a->text,
               s->sharp, s->plus);
        pad(p->out, s, buf_str(&b));
        buf_release(&b);
        return true;
    default:
        return false;
    }
}

/* A code point between single quotes: as in double ones, but that the other quote is escaped. */
static void put_quoted_character(struct buf *out, uint32_t c, bool ascii)
{
    struct buf text, quoted_text;
    buf_init(&text, 16);
    buf_init(&quoted_text, 64);
    utf8_put(&text, c);
    gofmt_quoted(&quoted_text, buf_str(&text));
    buf_putc(out, '\'');
    struct str inner = c == '\''  ? S("\\'")
                       : c == '"' ? S("\"")
                                  : str_sub(buf_str(&quoted_text), 1, quoted_text.n - 1);
    if (ascii) {
        put_ascii(out, inner);
    } else {
        buf_puts(out, inner);
    }
    buf_putc(out, '\'');
    buf_release(&text);
    buf_release(&quoted_text);
}

static void write_character(struct printer *p, int64_t i, uint32_t c, const struct spec *s)
{
    struct buf b;
    buf_init(&b, 256);
    if (s->verb == 'U') {
        buf_printf(&b, "U+%04llX", (unsigned long long)i);
    }
    if (s->verb == 'q' || (s->verb == 'U' && s->sharp && i == (int64_t)c && utf8_is_printable(c))) {
        buf_puts(&b, s->verb == 'U' ? S(" ") : STR_EMPTY);
        put_quoted_character(&b, c, s->verb == 'q' && s->plus);
    } else if (s->verb == 'c') {
        utf8_put(&b, c);
    }
    pad(p->out, s, buf_str(&b));
    buf_release(&b);
}

static bool write_int_arg(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    uint32_t c = a->num.i >= 0 && a->num.i <= 0x10ffff ? (uint32_t)a->num.i : 0xfffd;
    switch (s->verb) {
    case 'v':
    case 'd':
        write_int(p, a, s, 10, false);
        return true;
    case 'b':
        write_int(p, a, s, 2, false);
        return true;
    case 'o':
        write_int(p, a, s, 8, false);
        return true;
    case 'O':
        write_int(p, a, s, 8, false);
        return true;
    case 'x':
    case 'X':
        write_int(p, a, s, 16, s->verb == 'X');
        return true;
    case 's':
        if (a->kind == GOFMT_BIG) {
            write_int(p, a, s, 10, false);
            return true;
        }
        return false;
    default:
        break;
    }
    if (a->kind == GOFMT_BIG || (s->verb != 'c' && s->verb != 'q' && s->verb != 'U')) {
        return false;
    }
    write_character(p, a->num.i, c, s);
    return true;
}

static const char *type_of(const struct gofmt_arg *a)
{
    static const char *const names[] = {
        "string", "int",   "*big.Int",       "float64",
        "bool",   "<nil>", "[]interface {}", "map[string]interface {}"};
    return a->type != NULL ? a->type : names[a->kind];
}

static void write_arg(struct printer *p, const struct gofmt_arg *a, const struct spec *s);

static void write_plain(struct printer *p, const struct gofmt_arg *a, struct spec s)
{
    s.verb = 'v';
    write_arg(p, a, &s);
}

/* The value follows under %v, with the flags that the verb had. */
static void bad_verb(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    buf_puts(p->out, S("%!"));
    utf8_put(p->out, s->verb);
    if (a->kind == GOFMT_NIL) {
        buf_puts(p->out, S("(<nil>)"));
        return;
    }
    buf_printf(p->out, "(%s=", a->kind == GOFMT_BIG ? "big.Int" : type_of(a));
    write_plain(p, a, a->kind == GOFMT_BIG ? (struct spec){0} : *s);
    buf_putc(p->out, ')');
}

/* Every item by itself under the same verb. Depth is bounded by that of values. */
static void write_items(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    bool map = a->kind == GOFMT_MAP;
    buf_puts(p->out, map ? S("map[") : S("["));
    for (size_t i = 0; i < a->n && buf_ok(p->out); i++) {
        if (i > 0) {
            buf_putc(p->out, map && i % 2 == 1 ? ':' : ' ');
        }
        if (a->items[i].kind == GOFMT_NIL) {
            buf_puts(p->out, S("<nil>"));
        } else {
            write_arg(p, &a->items[i], s);
        }
    }
    buf_putc(p->out, ']');
}

static bool write_bool(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    if (s->verb != 'v' && s->verb != 't') {
        return false;
    }
    pad(p->out, s, a->truth ? S("true") : S("false"));
    return true;
}

static void write_arg(struct printer *p, const struct gofmt_arg *a, const struct spec *s)
{
    bool ok = false;
    if (s->verb == 'T') {
        pad(p->out, s, str_of(type_of(a)));
        return;
    }
    switch (a->kind) {
    case GOFMT_STRING:
        ok = write_string_arg(p, a, s);
        break;
    case GOFMT_FLOAT:
        ok = write_float(p, a, s);
        break;
    case GOFMT_INT:
    case GOFMT_BIG:
        ok = write_int_arg(p, a, s);
        break;
    case GOFMT_BOOL:
        ok = write_bool(p, a, s);
        break;
    case GOFMT_NIL:
        ok = s->verb == 'v';
        if (ok) {
            pad(p->out, s, S("<nil>"));
        }
        break;
    case GOFMT_LIST:
    case GOFMT_MAP:
        write_items(p, a, s);
        return;
    }
    if (!ok) {
        bad_verb(p, a, s);
    }
}

static bool take_number(struct str f, size_t *at, int64_t *n)
{
    bool any = false;
    *n = 0;
    for (; *at < f.n && f.p[*at] >= '0' && f.p[*at] <= '9'; (*at)++) {
        *n = MIN(*n * 10 + (f.p[*at] - '0'), (int64_t)FORMAT_WIDTH_MAX + 1);
        any = true;
    }
    return any;
}

/* `[n]` chooses the next argument. */
static void take_index(struct printer *p, struct str f, size_t *at)
{
    if (*at >= f.n || f.p[*at] != '[') {
        return;
    }
    p->reordered = true;
    size_t from = *at + 1;
    int64_t n;
    bool ok = take_number(f, &from, &n) && from < f.n && f.p[from] == ']';
    if (ok && n >= 1 && (size_t)n <= p->n_args) {
        p->at = (size_t)n - 1;
        *at = from + 1;
        return;
    }
    p->bad_index = true;
    while (*at < f.n && f.p[*at] != ']') {
        (*at)++;
    }
    *at += *at < f.n;
}

static bool star(struct printer *p, int64_t *out)
{
    if (p->at >= p->n_args || p->args[p->at].kind != GOFMT_INT) {
        p->at += p->at < p->n_args;
        return false;
    }
    *out = p->args[p->at++].num.i;
    return *out >= -FORMAT_WIDTH_MAX && *out <= FORMAT_WIDTH_MAX;
}

static void take_width(struct printer *p, struct str f, size_t *at, struct spec *s)
{
    take_index(p, f, at);
    if (*at < f.n && f.p[*at] == '*') {
        (*at)++;
        s->has_width = star(p, &s->width);
        if (!s->has_width) {
            buf_puts(p->out, S("%!(BADWIDTH)"));
        } else if (s->width < 0) {
            s->width = -s->width;
            s->minus = true;
        }
        return;
    }
    s->has_width = take_number(f, at, &s->width);
    if (s->width > FORMAT_WIDTH_MAX) {
        s->has_width = false;
    }
}

static void take_precision(struct printer *p, struct str f, size_t *at, struct spec *s)
{
    if (*at >= f.n || f.p[*at] != '.') {
        return;
    }
    (*at)++;
    take_index(p, f, at);
    s->has_precision = true;
    if (*at < f.n && f.p[*at] == '*') {
        (*at)++;
        if (!star(p, &s->precision) || s->precision < 0) {
            s->has_precision = false;
            buf_puts(p->out, S("%!(BADPREC)"));
        }
        return;
    }
    (void)take_number(f, at, &s->precision);
}

static void one_verb(struct printer *p, struct str f, size_t *at)
{
    struct spec s = {0};
    for (; *at < f.n; (*at)++) {
        char c = f.p[*at];
        bool *flag = c == '-'   ? &s.minus
                     : c == '+' ? &s.plus
                     : c == '#' ? &s.sharp
                     : c == ' ' ? &s.space
                     : c == '0' ? &s.zero
                                : NULL;
        if (flag == NULL) {
            break;
        }
        *flag = true;
    }
    p->bad_index = false;
    take_width(p, f, at, &s);
    take_precision(p, f, at, &s);
    take_index(p, f, at);
    if (*at >= f.n) {
        buf_puts(p->out, S("%!(NOVERB)"));
        return;
    }
    s.verb = utf8_next(f, at);
    if (s.verb == 'v') {
        /* These ask for another notation of composite values there. */
        s.literal = s.sharp;
        s.sharp = false;
        s.plus = s.plus && p->at < p->n_args && p->args[p->at].kind == GOFMT_BIG;
    }
    if (s.verb == '%') {
        buf_putc(p->out, '%');
    } else if (p->bad_index) {
        buf_puts(p->out, S("%!"));
        utf8_put(p->out, s.verb);
        buf_puts(p->out, S("(BADINDEX)"));
    } else if (p->at >= p->n_args) {
        buf_puts(p->out, S("%!"));
        utf8_put(p->out, s.verb);
        buf_puts(p->out, S("(MISSING)"));
    } else {
        write_arg(p, &p->args[p->at++], &s);
    }
}

static void extra_args(struct printer *p)
{
    if (p->reordered || p->at >= p->n_args) {
        return;
    }
    buf_puts(p->out, S("%!(EXTRA "));
    for (size_t i = p->at; i < p->n_args; i++) {
        buf_printf(p->out, "%s%s=", i > p->at ? ", " : "", type_of(&p->args[i]));
        write_plain(p, &p->args[i], (struct spec){0});
    }
    buf_putc(p->out, ')');
}

void gofmt(struct arena *a, struct buf *out, struct str f, const struct gofmt_arg *args, size_t n)
{
    struct printer p = {.a = a, .out = out, .args = args, .n_args = n};
    for (size_t at = 0; at < f.n;) {
        size_t from = at;
        while (at < f.n && f.p[at] != '%') {
            at++;
        }
        buf_puts(out, str_sub(f, from, at));
        if (at < f.n) {
            at++;
            one_verb(&p, f, &at);
        }
    }
    extra_args(&p);
}

void gofmt_value(struct arena *a, struct buf *out, const struct gofmt_arg *arg)
{
    struct printer p = {.a = a, .out = out};
    write_plain(&p, arg, (struct spec){0});
}
