#include "binary.h"

#include <inttypes.h>
#include <stdlib.h>

/* A number taken apart: (neg ? -1 : 1) * digits * 10^exp10. */
struct parts {
    mpz_t digits;
    long exp10;
    bool neg;
};

struct shape {
    size_t int_from, int_to, frac_from, frac_to;
    long exp;
    bool neg, dec, bad;
};

static size_t skip_digits(struct str s, size_t at)
{
    while (at < s.n && s.p[at] >= '0' && s.p[at] <= '9') {
        at++;
    }
    return at;
}

static size_t shape_exponent(struct str s, size_t at, struct shape *f)
{
    if (at >= s.n || (s.p[at] != 'e' && s.p[at] != 'E')) {
        return at;
    }
    f->dec = true;
    at++;
    bool minus = at < s.n && s.p[at] == '-';
    at += at < s.n && (s.p[at] == '-' || s.p[at] == '+');
    size_t end = skip_digits(s, at);
    f->bad |= end == at;
    for (; at < end; at++) {
        f->exp = MIN(f->exp * 10 + (s.p[at] - '0'), 100000000L);
    }
    f->exp = minus ? -f->exp : f->exp;
    return at;
}

static struct shape shape_of(struct str s)
{
    struct shape f = {0};
    f.neg = s.n > 0 && s.p[0] == '-';
    f.int_from = f.neg;
    size_t at = f.int_to = skip_digits(s, f.int_from);
    f.bad = f.int_to == f.int_from || (f.int_to - f.int_from > 1 && s.p[f.int_from] == '0');
    f.frac_from = f.frac_to = at;
    if (at < s.n && s.p[at] == '.') {
        f.dec = true;
        f.frac_from = at + 1;
        at = f.frac_to = skip_digits(s, at + 1);
        f.bad |= f.frac_to == f.frac_from;
    }
    at = shape_exponent(s, at, &f);
    f.bad |= at != s.n;
    return f;
}

struct err num_parse(struct str text, struct num *out)
{
    struct shape f = shape_of(text);
    ENSURE(!f.bad, ERR_SYNTAX, "'%.*s' is not a number", STR_FMT(str_sub(text, 0, 40)));
    ENSURE(text.n <= NUM_TEXT_MAX, ERR_RANGE, "number too big");
    long digits = (long)(f.int_to - f.int_from);
    ENSURE(f.exp + digits < 30103 && f.exp > -30103, ERR_RANGE, "number too big");
    struct num r = {.kind = NUM_DEC, .text = text};
    if (!f.dec && digits <= 18) {
        int64_t v = 0;
        for (size_t i = f.int_from; i < f.int_to; i++) {
            v = v * 10 + (text.p[i] - '0');
        }
        r = f.neg && v == 0 ? r : num_int(f.neg ? -v : v);
    } else if (!f.dec) {
        int64_t v = 0;
        bool big = false;
        for (size_t i = f.int_from; i < f.int_to; i++) {
            int d = text.p[i] - '0';
            big |=
                __builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, f.neg ? -d : d, &v);
        }
        r.kind = big ? NUM_BIG : NUM_I64;
        r.i = big ? 0 : v;
        r.text = big ? text : STR_EMPTY;
    }
    *out = r;
    return OK;
}

static void parts_init(struct parts *p, struct num n)
{
    mpz_init(p->digits);
    p->exp10 = 0;
    if (n.kind == NUM_I64) {
        mpz_set_si(p->digits, (long)n.i);
        p->neg = n.i < 0;
        mpz_abs(p->digits, p->digits);
        return;
    }
    struct shape f = shape_of(n.text);
    struct buf b;
    buf_init(&b, NUM_TEXT_MAX + 1);
    buf_put(&b, n.text.p + f.int_from, f.int_to - f.int_from);
    buf_put(&b, n.text.p + f.frac_from, f.frac_to - f.frac_from);
    buf_putc(&b, '\0');
    BUG_ON(!buf_ok(&b));
    mpz_set_str(p->digits, b.p, 10);
    buf_release(&b);
    p->exp10 = f.exp - (long)(f.frac_to - f.frac_from);
    p->neg = f.neg;
}

static void parts_release(struct parts *p)
{
    mpz_clear(p->digits);
}

/* Brings both to one exponent, so that the digits alone can be compared. */
static void parts_align(struct parts *x, struct parts *y)
{
    long gap = x->exp10 - y->exp10;
    mpz_t p;
    mpz_init(p);
    mpz_ui_pow_ui(p, 10, (unsigned long)(gap < 0 ? -gap : gap));
    struct parts *up = gap > 0 ? x : y;
    mpz_mul(up->digits, up->digits, p);
    up->exp10 -= gap > 0 ? gap : -gap;
    mpz_clear(p);
}

static int parts_sign(const struct parts *p)
{
    return mpz_sgn(p->digits) == 0 ? 0 : p->neg ? -1 : 1;
}

int num_cmp(struct num a, struct num b)
{
    if (a.kind == NUM_I64 && b.kind == NUM_I64) {
        return a.i < b.i ? -1 : a.i > b.i;
    }
    struct parts x, y;
    parts_init(&x, a);
    parts_init(&y, b);
    int sx = parts_sign(&x), sy = parts_sign(&y), r;
    if (sx != sy || sx == 0) {
        r = sx < sy ? -1 : sx > sy;
    } else {
        parts_align(&x, &y);
        r = mpz_cmp(x.digits, y.digits);
        r = (r < 0 ? -1 : r > 0) * sx;
    }
    parts_release(&x);
    parts_release(&y);
    return r;
}

int num_sign(struct num n)
{
    if (n.kind == NUM_I64) {
        return n.i < 0 ? -1 : n.i > 0;
    }
    struct parts p;
    parts_init(&p, n);
    int r = parts_sign(&p);
    parts_release(&p);
    return r;
}

/* Divides trailing zeros out of the digits; zero becomes 0 * 10^0. */
static void parts_reduce(struct parts *p)
{
    if (mpz_sgn(p->digits) == 0) {
        p->exp10 = 0;
        p->neg = false;
        return;
    }
    mpz_t ten;
    mpz_init_set_ui(ten, 10);
    p->exp10 += (long)mpz_remove(p->digits, p->digits, ten);
    mpz_clear(ten);
}

/* The value as an integer, exactly, if it is whole. */
static bool to_mpz(struct num n, mpz_t out)
{
    struct parts p;
    parts_init(&p, n);
    parts_reduce(&p);
    bool whole = p.exp10 >= 0;
    if (whole) {
        mpz_ui_pow_ui(out, 10, (unsigned long)p.exp10);
        mpz_mul(out, out, p.digits);
        if (p.neg) {
            mpz_neg(out, out);
        }
    }
    parts_release(&p);
    return whole;
}

bool num_to_i64(struct num n, int64_t *out)
{
    if (n.kind == NUM_I64) {
        *out = n.i;
        return true;
    }
    if (n.kind == NUM_BIG) {
        return false;
    }
    mpz_t z;
    mpz_init(z);
    bool ok = to_mpz(n, z) && mpz_fits_slong_p(z);
    if (ok) {
        *out = mpz_get_si(z);
    }
    mpz_clear(z);
    return ok;
}

bool num_is_integral(struct num n)
{
    if (n.kind != NUM_DEC) {
        return true;
    }
    mpz_t z;
    mpz_init(z);
    bool ok = to_mpz(n, z);
    mpz_clear(z);
    return ok;
}

bool num_written_as_int(struct num n)
{
    return n.kind != NUM_DEC || str_is(n.text, "-0");
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ (h >> 29);
}

uint64_t num_hash(struct num n)
{
    int64_t i;
    if (num_to_i64(n, &i)) {
        return mix(0x51, (uint64_t)i);
    }
    struct parts p;
    parts_init(&p, n);
    parts_reduce(&p);
    uint64_t h = mix(0x52, (uint64_t)p.exp10 * 2 + p.neg);
    for (size_t k = 0; k < mpz_size(p.digits); k++) {
        h = mix(h, mpz_getlimbn(p.digits, (mp_size_t)k));
    }
    parts_release(&p);
    return h;
}

double num_to_double(struct num n)
{
    if (n.kind == NUM_I64) {
        return (double)n.i;
    }
    struct buf b;
    buf_init(&b, NUM_TEXT_MAX + 1);
    buf_puts(&b, n.text);
    buf_putc(&b, '\0');
    double d = buf_ok(&b) ? strtod(b.p, NULL) : 0;
    buf_release(&b);
    return d;
}

void num_write(struct buf *out, struct num n)
{
    if (n.kind != NUM_I64) {
        buf_puts(out, n.text);
        return;
    }
    char digits[24];
    size_t at = sizeof digits;
    uint64_t u = n.i < 0 ? 0 - (uint64_t)n.i : (uint64_t)n.i;
    do {
        digits[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u != 0);
    if (n.i < 0) {
        digits[--at] = '-';
    }
    buf_put(out, digits + at, sizeof digits - at);
}

struct str num_text(struct arena *a, struct num n)
{
    return n.kind != NUM_I64 ? n.text : arena_printf(a, "%" PRId64, n.i);
}

/* Results are no longer than what can be read: ERR_RANGE. */
static struct err from_mpz(struct arena *a, const mpz_t z, struct num *out)
{
    if (mpz_fits_slong_p(z)) {
        *out = num_int(mpz_get_si(z));
        return OK;
    }
    size_t room = mpz_sizeinbase(z, 10) + 2;
    ENSURE(room <= NUM_TEXT_MAX, ERR_RANGE, "number too big");
    char *p = arena_alloc_raw(a, room, 1);
    mpz_get_str(p, 10, z);
    *out = (struct num){.kind = NUM_BIG, .text = str_of(p)};
    return OK;
}

static struct binary to_binary(struct num n)
{
    struct parts p;
    parts_init(&p, n);
    struct binary r = binary_from_decimal(p.digits, p.exp10, p.neg);
    parts_release(&p);
    return r;
}

static struct err from_binary(struct arena *a, struct binary x, int bits, struct num *out)
{
    ENSURE(x.e > -NUM_MAX_EXP2 && x.e < NUM_MAX_EXP2, ERR_RANGE, "number too big");
    struct str text = binary_text(a, x, bits);
    if (str_is(text, "-0")) {
        *out = (struct num){.kind = NUM_DEC, .text = text};
        return OK;
    }
    return num_parse(text, out);
}

enum arith { ADD, SUB, MUL };

static bool small_arith(enum arith op, int64_t x, int64_t y, int64_t *r)
{
    switch (op) {
    case ADD:
        return !__builtin_add_overflow(x, y, r);
    case SUB:
        return !__builtin_sub_overflow(x, y, r);
    case MUL:
        return !__builtin_mul_overflow(x, y, r);
    }
    return false;
}

static struct err big_arith(struct arena *a, enum arith op, struct num x, struct num y,
                            struct num *out)
{
    mpz_t p, q;
    mpz_inits(p, q, NULL);
    bool whole = to_mpz(x, p) && to_mpz(y, q);
    BUG_ON(!whole);
    if (op == ADD) {
        mpz_add(p, p, q);
    } else if (op == SUB) {
        mpz_sub(p, p, q);
    } else {
        mpz_mul(p, p, q);
    }
    struct err e = from_mpz(a, p, out);
    mpz_clears(p, q, NULL);
    return e;
}

static bool is_negative_zero(struct num n)
{
    return n.kind == NUM_DEC && n.text.p[0] == '-' && num_sign(n) == 0;
}

static struct err arith(struct arena *a, enum arith op, struct num x, struct num y, struct num *out)
{
    int64_t r;
    if (x.kind == NUM_I64 && y.kind == NUM_I64 && small_arith(op, x.i, y.i, &r)) {
        *out = num_int(r);
        return OK;
    }
    if (num_is_integral(x) && num_is_integral(y) && !is_negative_zero(x) && !is_negative_zero(y)) {
        return big_arith(a, op, x, y, out);
    }
    struct binary p = to_binary(x), q = to_binary(y);
    if (op == MUL) {
        return from_binary(a, binary_mul(p, q), 64, out);
    }
    q.neg ^= op == SUB;
    return from_binary(a, binary_add(p, q), 64, out);
}

struct err num_add(struct arena *a, struct num x, struct num y, struct num *out)
{
    return arith(a, ADD, x, y, out);
}

struct err num_sub(struct arena *a, struct num x, struct num y, struct num *out)
{
    return arith(a, SUB, x, y, out);
}

struct err num_mul(struct arena *a, struct num x, struct num y, struct num *out)
{
    return arith(a, MUL, x, y, out);
}

/* digits * 10^exp10 without an exponent. */
static struct str plain_text(struct arena *a, struct parts *p)
{
    char *digits = arena_alloc_raw(a, mpz_sizeinbase(p->digits, 10) + 2, 1);
    mpz_get_str(digits, 10, p->digits);
    long n = (long)strlen(digits), point = n + p->exp10;
    struct buf b;
    buf_init(&b, NUM_TEXT_MAX);
    buf_puts(&b, p->neg ? S("-") : S(""));
    if (point <= 0) {
        buf_puts(&b, S("0."));
        for (long i = point; i < 0; i++) {
            buf_putc(&b, '0');
        }
        buf_puts(&b, str_of(digits));
    } else {
        for (long i = 0; i < MAX(n, point); i++) {
            buf_puts(&b, i == point ? S(".") : S(""));
            buf_putc(&b, i < n ? digits[i] : '0');
        }
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

struct err num_mul_exact(struct arena *a, struct num x, struct num y, struct num *out)
{
    struct parts p, q;
    parts_init(&p, x);
    parts_init(&q, y);
    mpz_mul(p.digits, p.digits, q.digits);
    p.exp10 += q.exp10;
    p.neg = p.neg != q.neg;
    parts_reduce(&p);
    long digits = (long)mpz_sizeinbase(p.digits, 10) + (p.exp10 < 0 ? -p.exp10 : p.exp10);
    bool fits = digits + 4 < NUM_TEXT_MAX;
    struct str text = fits ? plain_text(a, &p) : STR_EMPTY;
    parts_release(&p);
    parts_release(&q);
    ENSURE(fits, ERR_RANGE, "number too big");
    return num_parse(text, out);
}

struct err num_div(struct arena *a, struct num x, struct num y, struct num *out)
{
    ENSURE(num_sign(y) != 0, ERR_RANGE, "divide by zero");
    if (x.kind == NUM_I64 && y.kind == NUM_I64 && x.i != 0 && y.i != -1 && x.i % y.i == 0) {
        *out = num_int(x.i / y.i);
        return OK;
    }
    return from_binary(a, binary_div(to_binary(x), to_binary(y)), 64, out);
}

struct err num_rem(struct arena *a, struct num x, struct num y, struct num *out)
{
    if (x.kind == NUM_I64 && y.kind == NUM_I64 && y.i != 0) {
        *out = num_int(y.i == -1 ? 0 : x.i % y.i);
        return OK;
    }
    mpz_t p, q;
    mpz_inits(p, q, NULL);
    bool whole = to_mpz(x, p) && to_mpz(y, q), zero = whole && mpz_sgn(q) == 0;
    struct num r = num_int(0);
    struct err e = OK;
    if (whole && !zero) {
        mpz_tdiv_r(p, p, q);
        e = from_mpz(a, p, &r);
    }
    mpz_clears(p, q, NULL);
    TRY(e);
    ENSURE(whole, ERR_RANGE, "modulo on floating-point number");
    ENSURE(!zero, ERR_RANGE, "modulo by zero");
    *out = r;
    return OK;
}

struct num num_abs(struct arena *a, struct num x)
{
    if (x.kind == NUM_I64 && x.i != INT64_MIN) {
        return num_int(x.i < 0 ? -x.i : x.i);
    }
    if (x.kind == NUM_I64) {
        return (struct num){.kind = NUM_BIG, .text = S("9223372036854775808")};
    }
    struct num r = x;
    if (x.text.p[0] == '-') {
        struct err e = num_parse(str_sub(x.text, 1, x.text.n), &r);
        BUG_ON(failed(e));
    }
    return r;
}

enum whole { TO_NEAREST, TO_CEIL, TO_FLOOR };

static struct num to_whole(struct arena *a, struct num x, enum whole how)
{
    if (x.kind != NUM_DEC) {
        return x;
    }
    struct binary b = to_binary(x);
    mpz_t z;
    mpz_init(z);
    bool fraction;
    if (how == TO_NEAREST) {
        struct binary half = {.neg = b.neg, .m = UINT64_C(1) << 63, .e = -64};
        b = b.m == 0 ? b : binary_add(b, half);
    }
    binary_to_mpz(z, b, &fraction);
    if (fraction && how == TO_CEIL && !b.neg) {
        mpz_add_ui(z, z, 1);
    } else if (fraction && how == TO_FLOOR && b.neg) {
        mpz_sub_ui(z, z, 1);
    }
    struct num r = x; /* what is too long to be written is whole as it stands */
    ignore_err(from_mpz(a, z, &r));
    mpz_clear(z);
    return r;
}

struct num num_round(struct arena *a, struct num x)
{
    return to_whole(a, x, TO_NEAREST);
}

struct num num_ceil(struct arena *a, struct num x)
{
    return to_whole(a, x, TO_CEIL);
}

struct num num_floor(struct arena *a, struct num x)
{
    return to_whole(a, x, TO_FLOOR);
}

struct err num_mul53(struct arena *a, struct num x, struct num y, struct num *out)
{
    struct binary p = binary_round_bits(to_binary(x), 53);
    return from_binary(a, binary_round_bits(binary_mul(p, to_binary(y)), 53), 53, out);
}

struct err num_bits(struct arena *a, enum num_bit_op op, struct num x, struct num y,
                    struct num *out)
{
    int64_t shift = 0;
    if (op == NUM_SHL || op == NUM_SHR) {
        ENSURE(num_to_i64(y, &shift) && shift >= 0 && shift <= NUM_MAX_EXP2, ERR_RANGE,
               "a shift of %.*s bits is not in 0..%d", STR_FMT(num_text(a, y)), NUM_MAX_EXP2);
    }
    mpz_t p, q;
    mpz_inits(p, q, NULL);
    bool whole = to_mpz(x, p) && (op == NUM_NOT || to_mpz(y, q));
    switch (op) {
    case NUM_AND:
        mpz_and(p, p, q);
        break;
    case NUM_OR:
        mpz_ior(p, p, q);
        break;
    case NUM_XOR:
        mpz_xor(p, p, q);
        break;
    case NUM_NOT:
        mpz_com(p, p);
        break;
    case NUM_SHL:
        mpz_mul_2exp(p, p, (mp_bitcnt_t)shift);
        break;
    case NUM_SHR:
        mpz_fdiv_q_2exp(p, p, (mp_bitcnt_t)shift);
        break;
    }
    struct err e = from_mpz(a, p, out);
    mpz_clears(p, q, NULL);
    ENSURE(whole, ERR_RANGE, "a fraction has no bits");
    return e;
}

struct str num_in_base(struct arena *a, struct num x, int base)
{
    BUG_ON(base < 2 || base > 36);
    mpz_t z;
    mpz_init(z);
    bool fraction;
    if (!to_mpz(x, z)) {
        binary_to_mpz(z, to_binary(x), &fraction);
    }
    char *p = arena_alloc_raw(a, mpz_sizeinbase(z, base) + 2, 1);
    mpz_get_str(p, base, z);
    mpz_clear(z);
    return str_of(p);
}

struct err num_from_base(struct arena *a, struct str digits, int base, struct num *out)
{
    ENSURE(digits.n <= 4 * NUM_TEXT_MAX, ERR_RANGE, "number too big");
    char *text = arena_cstr(a, digits);
    mpz_t z;
    bool blank = digits.n == 0 || memchr(digits.p, ' ', digits.n) != NULL;
    int bad = mpz_init_set_str(z, text, base);
    struct num r = num_int(0);
    struct err e = bad == 0 ? from_mpz(a, z, &r) : OK;
    mpz_clear(z);
    TRY(e);
    ENSURE(bad == 0 && !blank, ERR_SYNTAX, "'%.*s' is not an integer", STR_FMT(digits));
    *out = r;
    return OK;
}
