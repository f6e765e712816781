/*
 * sprintf and format_int. The verbs are those of Go's fmt package: whole numbers are its int (or
 * big.Int), numbers with a point or an exponent its float64, strings its string, and everything else
 * arrives as the string of its Rego notation.
 */
#include "authz/rego/builtin/builtin.h"
#include "authz/rego/value/utf8.h"

#include <math.h>
#include <stdlib.h>

enum { FORMAT_MAX = 64 << 20, FORMAT_WIDTH_MAX = 1000000 };

enum arg_kind { ARG_STRING, ARG_INT, ARG_BIG, ARG_FLOAT };

struct arg {
    enum arg_kind kind;
    struct str text;
    struct num num;
    double f;
};

struct spec {
    bool minus, plus, sharp, space, zero;
    bool has_width, has_precision;
    int64_t width, precision;
    uint32_t verb;
};

struct printer {
    struct bcall *b;
    struct buf out;
    struct arg *args;
    size_t n_args, at;
    bool reordered, bad_index;
};

static struct arg arg_of(struct bcall *b, struct val v)
{
    struct arg a = {.kind = ARG_STRING};
    if (val_is(v, V_STRING)) {
        a.text = val_text(v);
    } else if (val_is(v, V_NUMBER)) {
        a.num = val_number(v);
        a.kind = a.num.kind == NUM_I64 ? ARG_INT : a.num.kind == NUM_BIG ? ARG_BIG : ARG_FLOAT;
        a.f = a.kind == ARG_FLOAT ? num_to_double(a.num) : 0;
        if (!isfinite(a.f)) {
            a.kind = ARG_STRING; /* too large for a float64: its text stands for it */
            a.text = num_text(b->a, a.num);
        }
    } else {
        a.text = val_rego_text(b->a, v);
    }
    return a;
}

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

static void write_int(struct printer *p, const struct arg *a, const struct spec *s, int base,
                      bool upper)
{
    struct str text = num_in_base(p->b->a, a->num, base);
    bool neg = text.n > 0 && text.p[0] == '-';
    text = str_sub(text, neg, text.n);
    if (upper) {
        struct vstr *r = val_str_room(p->b->a, text.n);
        for (size_t i = 0; i < text.n; i++) {
            r->p[i] = text.p[i] >= 'a' && text.p[i] <= 'z' ? (char)(text.p[i] - 32) : text.p[i];
        }
        text = val_text(val_str_done(r));
    }
    struct str prefix = !s->sharp    ? STR_EMPTY
                        : base == 16 ? (upper ? S("0X") : S("0x"))
                        : base == 8  ? S("0")
                        : base == 2  ? S("0b")
                                     : STR_EMPTY;
    if (s->has_precision && s->precision == 0 && str_is(text, "0")) {
        text = STR_EMPTY;
    }
    pad_number(&p->out, *s, neg ? "-" : s->plus ? "+" : s->space ? " " : "", prefix, text);
}

static void quoted(struct buf *out, struct str s, bool backquote)
{
    if (backquote && str_find_char(s, '`') == STR_NPOS && str_find_char(s, '\n') == STR_NPOS) {
        buf_putc(out, '`');
        buf_puts(out, s);
        buf_putc(out, '`');
        return;
    }
    struct arena a;
    arena_init(&a, s.n + (1 << 16));
    val_to_rego(out, val_str(&a, s));
    arena_release(&a);
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
    pad(&p->out, &plain, buf_str(&b));
    buf_release(&b);
}

static void write_text(struct printer *p, struct str s, const struct spec *spec)
{
    if (spec->has_precision) {
        s = str_sub(s, 0, utf8_offset(s, (size_t)spec->precision));
    }
    pad(&p->out, spec, s);
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

static void general(struct buf *out, double f, int limit)
{
    char d[32];
    int exp, n = shortest(f, d, sizeof d, &exp);
    if (f == 0) {
        buf_putc(out, '0');
    } else if (exp < -4 || exp >= limit) {
        buf_printf(out, "%c%s%.*se%c%02d", d[0], n > 1 ? "." : "", n - 1, d + 1,
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

static bool write_float(struct printer *p, const struct arg *a, const struct spec *s)
{
    double f = fabs(a->f);
    struct buf b;
    if (!isfinite(f)) {
        pad(&p->out, s, signbit(a->f) ? S("-Inf") : S("+Inf"));
        return true;
    }
    buf_init(&b, FORMAT_MAX);
    int precision = s->has_precision ? (int)MIN(s->precision, (int64_t)1000) : -1;
    switch (s->verb) {
    case 'v':
    case 'g':
    case 'G':
        if (precision < 0) {
            general(&b, f, 21);
        } else {
            buf_printf(&b, "%.*g", precision, f);
        }
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
    pad_number(&p->out, plain, sign, STR_EMPTY, buf_str(&b));
    buf_release(&b);
    return true;
}

static bool write_string_arg(struct printer *p, const struct arg *a, const struct spec *s)
{
    struct buf b;
    switch (s->verb) {
    case 'v':
        if (s->sharp) {
            buf_init(&b, FORMAT_MAX);
            quoted(&b, a->text, false);
            pad(&p->out, s, buf_str(&b));
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
               s->sharp);
        pad(&p->out, s, buf_str(&b));
        buf_release(&b);
        return true;
    default:
        return false;
    }
}

static bool write_int_arg(struct printer *p, const struct arg *a, const struct spec *s)
{
    struct buf b;
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
        buf_puts(&p->out, S("0o"));
        write_int(p, a, s, 8, false);
        return true;
    case 'x':
    case 'X':
        write_int(p, a, s, 16, s->verb == 'X');
        return true;
    case 's':
        if (a->kind == ARG_BIG) {
            write_int(p, a, s, 10, false);
            return true;
        }
        return false;
    default:
        break;
    }
    if (a->kind == ARG_BIG || (s->verb != 'c' && s->verb != 'q' && s->verb != 'U')) {
        return false;
    }
    buf_init(&b, 64);
    if (s->verb == 'U') {
        buf_printf(&b, "U+%04X", c);
    } else {
        buf_puts(&b, s->verb == 'q' ? S("'") : S(""));
        utf8_put(&b, c);
        buf_puts(&b, s->verb == 'q' ? S("'") : S(""));
    }
    pad(&p->out, s, buf_str(&b));
    buf_release(&b);
    return true;
}

static const char *type_of(const struct arg *a)
{
    static const char *const names[] = {"string", "int", "*big.Int", "float64"};
    return names[a->kind];
}

static void write_plain(struct printer *p, const struct arg *a)
{
    struct spec s = {.verb = 'v'};
    if (a->kind == ARG_STRING) {
        write_text(p, a->text, &s);
    } else if (a->kind == ARG_FLOAT) {
        (void)write_float(p, a, &s);
    } else {
        write_int(p, a, &s, 10, false);
    }
}

static void bad_verb(struct printer *p, const struct arg *a, uint32_t verb)
{
    buf_puts(&p->out, S("%!"));
    utf8_put(&p->out, verb);
    buf_printf(&p->out, "(%s=", a->kind == ARG_BIG ? "big.Int" : type_of(a));
    write_plain(p, a);
    buf_putc(&p->out, ')');
}

static void write_arg(struct printer *p, const struct arg *a, const struct spec *s)
{
    bool ok;
    if (s->verb == 'T') {
        pad(&p->out, s, str_of(type_of(a)));
        return;
    }
    if (a->kind == ARG_STRING) {
        ok = write_string_arg(p, a, s);
    } else if (a->kind == ARG_FLOAT) {
        ok = write_float(p, a, s);
    } else {
        ok = write_int_arg(p, a, s);
    }
    if (!ok) {
        bad_verb(p, a, s->verb);
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
    if (p->at >= p->n_args || p->args[p->at].kind != ARG_INT) {
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
            buf_puts(&p->out, S("%!(BADWIDTH)"));
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
            buf_puts(&p->out, S("%!(BADPREC)"));
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
        buf_puts(&p->out, S("%!(NOVERB)"));
        return;
    }
    s.verb = utf8_next(f, at);
    if (s.verb == '%') {
        buf_putc(&p->out, '%');
    } else if (p->bad_index) {
        buf_puts(&p->out, S("%!"));
        utf8_put(&p->out, s.verb);
        buf_puts(&p->out, S("(BADINDEX)"));
    } else if (p->at >= p->n_args) {
        buf_puts(&p->out, S("%!"));
        utf8_put(&p->out, s.verb);
        buf_puts(&p->out, S("(MISSING)"));
    } else {
        write_arg(p, &p->args[p->at++], &s);
    }
}

static void extra_args(struct printer *p)
{
    if (p->reordered || p->at >= p->n_args) {
        return;
    }
    buf_puts(&p->out, S("%!(EXTRA "));
    for (size_t i = p->at; i < p->n_args; i++) {
        buf_printf(&p->out, "%s%s=", i > p->at ? ", " : "", type_of(&p->args[i]));
        write_plain(p, &p->args[i]);
    }
    buf_putc(&p->out, ')');
}

static enum b_status b_sprintf(struct bcall *b)
{
    struct str f;
    if (!b_string(b, 1, &f) || !b_is(b, 2, V_ARRAY)) {
        return B_ERROR;
    }
    struct printer p = {.b = b, .n_args = val_len(b->args[1])};
    p.args = arena_array(b->a, struct arg, p.n_args + 1);
    for (size_t i = 0; i < p.n_args; i++) {
        p.args[i] = arg_of(b, val_nth(b->args[1], (uint32_t)i));
    }
    buf_init(&p.out, FORMAT_MAX);
    for (size_t at = 0; at < f.n;) {
        size_t from = at;
        while (at < f.n && f.p[at] != '%') {
            at++;
        }
        buf_puts(&p.out, str_sub(f, from, at));
        if (at < f.n) {
            at++;
            one_verb(&p, f, &at);
        }
    }
    extra_args(&p);
    return b_buf(b, &p.out);
}

static enum b_status b_format_int(struct bcall *b)
{
    struct num n;
    int64_t base;
    if (!b_number(b, 1, &n) || !b_is(b, 2, V_NUMBER)) {
        return B_ERROR;
    }
    if (!val_to_i64(b->args[1], &base) || (base != 2 && base != 8 && base != 10 && base != 16)) {
        return b_operand(b, 2, "must be one of {2, 8, 10, 16}");
    }
    return b_str(b, num_in_base(b->a,
                                num_is_integral(n) ? n
                                : num_sign(n) < 0  ? num_ceil(b->a, n)
                                                   : num_floor(b->a, n),
                                (int)base));
}

const struct builtin builtins_format[] = {
    {"sprintf", 2, b_sprintf, 0},
    {"format_int", 2, b_format_int, 0},
    {0},
};
