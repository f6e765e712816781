#include "binary.h"

static struct binary normal(bool neg, unsigned __int128 m, int32_t e, bool sticky)
{
    struct binary r = {.neg = neg};
    if (m == 0) {
        return r;
    }
    uint64_t high = (uint64_t)(m >> 64);
    int zeros = high != 0 ? __builtin_clzll(high) : 64 + __builtin_clzll((uint64_t)m);
    m <<= zeros;
    e -= zeros;
    uint64_t top = (uint64_t)(m >> 64), low = (uint64_t)m;
    bool half = low >> 63, rest = (low << 1) != 0 || sticky;
    if (half && (rest || (top & 1))) {
        top++;
        if (top == 0) {
            top = UINT64_C(1) << 63;
            e++;
        }
    }
    r.m = top;
    r.e = e + 64;
    return r;
}

struct binary binary_from_mpz(const mpz_t z)
{
    bool neg = mpz_sgn(z) < 0;
    if (mpz_sgn(z) == 0) {
        return (struct binary){0};
    }
    mpz_t t;
    mpz_init(t);
    mpz_abs(t, z);
    long bits = (long)mpz_sizeinbase(t, 2), drop = bits > 128 ? bits - 128 : 0;
    bool sticky = drop > 0 && mpz_scan1(t, 0) < (mp_bitcnt_t)drop;
    mpz_fdiv_q_2exp(t, t, (mp_bitcnt_t)drop);
    uint64_t words[2] = {0, 0};
    mpz_export(words, NULL, -1, sizeof words[0], 0, 0, t);
    mpz_clear(t);
    return normal(neg, (unsigned __int128)words[1] << 64 | words[0], (int32_t)drop, sticky);
}

struct binary binary_from_decimal(const mpz_t digits, long exp10, bool neg)
{
    if (mpz_sgn(digits) == 0) {
        return (struct binary){.neg = neg};
    }
    mpz_t p, q, rem;
    mpz_inits(p, q, rem, NULL);
    mpz_ui_pow_ui(p, 10, (unsigned long)(exp10 < 0 ? -exp10 : exp10));
    struct binary r;
    if (exp10 >= 0) {
        mpz_mul(q, digits, p);
        r = binary_from_mpz(q);
    } else {
        long shift = 130 + (long)mpz_sizeinbase(p, 2) - (long)mpz_sizeinbase(digits, 2);
        shift = shift < 0 ? 0 : shift;
        mpz_mul_2exp(q, digits, (mp_bitcnt_t)shift);
        mpz_tdiv_qr(q, rem, q, p);
        mpz_mul_2exp(q, q, 1);
        if (mpz_sgn(rem) != 0) {
            mpz_add_ui(q, q, 1); /* keeps the result off a tie that it isn't on */
        }
        r = binary_from_mpz(q);
        r.e -= (int32_t)shift + 1;
    }
    r.neg = neg;
    mpz_clears(p, q, rem, NULL);
    return r;
}

struct binary binary_add(struct binary x, struct binary y)
{
    if (x.m == 0 || y.m == 0) {
        if (x.m == 0 && y.m == 0) {
            return (struct binary){.neg = x.neg && y.neg};
        }
        return x.m == 0 ? y : x;
    }
    if (x.e < y.e) {
        struct binary t = x;
        x = y, y = t;
    }
    int64_t gap = (int64_t)x.e - y.e;
    unsigned __int128 a = (unsigned __int128)x.m << 62, b = (unsigned __int128)y.m << 62;
    bool sticky = false;
    if (gap >= 126) {
        b = 0, sticky = true;
    } else {
        sticky = gap > 0 && (b & (((unsigned __int128)1 << gap) - 1)) != 0;
        b >>= gap;
    }
    if (x.neg == y.neg) {
        return normal(x.neg, a + b, x.e - 62, sticky);
    }
    if (a == b && !sticky) {
        return (struct binary){0};
    }
    if (a >= b) {
        return normal(x.neg, a - b - (sticky ? 1 : 0), x.e - 62, sticky);
    }
    return normal(y.neg, b - a, x.e - 62, sticky);
}

struct binary binary_mul(struct binary x, struct binary y)
{
    if (x.m == 0 || y.m == 0) {
        return (struct binary){.neg = x.neg != y.neg};
    }
    return normal(x.neg != y.neg, (unsigned __int128)x.m * y.m, x.e + y.e, false);
}

struct binary binary_div(struct binary x, struct binary y)
{
    if (x.m == 0) {
        return (struct binary){.neg = x.neg != y.neg};
    }
    unsigned __int128 n = (unsigned __int128)x.m << 63;
    unsigned __int128 q = n / y.m, rem = n % y.m;
    /* 63 or 64 bits so far; a second step brings plenty for rounding. */
    unsigned __int128 n2 = rem << 62;
    unsigned __int128 q2 = n2 / y.m, rem2 = n2 % y.m;
    return normal(x.neg != y.neg, (q << 62) + q2, x.e - y.e - 125, rem2 != 0);
}

struct binary binary_round_bits(struct binary x, int bits)
{
    if (x.m == 0 || bits >= 64) {
        return x;
    }
    int drop = 64 - bits;
    uint64_t half = UINT64_C(1) << (drop - 1), rest = x.m & ((half << 1) - 1);
    uint64_t kept = x.m >> drop;
    if (rest > half || (rest == half && (kept & 1))) {
        kept++;
    }
    if (kept >> bits) {
        x.m = UINT64_C(1) << 63;
        x.e++;
    } else {
        x.m = kept << drop;
    }
    return x;
}

bool binary_is_int(struct binary x)
{
    return x.m == 0 || x.e >= 0 || (x.e > -64 && (x.m & ((UINT64_C(1) << -x.e) - 1)) == 0);
}

void binary_to_mpz(mpz_t out, struct binary x, bool *fraction)
{
    *fraction = !binary_is_int(x);
    mpz_import(out, 1, -1, sizeof x.m, 0, 0, &x.m);
    if (x.e >= 0) {
        mpz_mul_2exp(out, out, (mp_bitcnt_t)x.e);
    } else {
        mpz_tdiv_q_2exp(out, out, (mp_bitcnt_t)-x.e);
    }
    if (x.neg) {
        mpz_neg(out, out);
    }
}

/* Digits of the shortest decimal within half a unit of the last place, by exact long division. */
struct digits {
    char d[80];
    int n;
    long point; /* 0.DIGITS * 10^point */
};

struct long_division {
    mpz_t r, s, up, down;
    bool even;
};

static void scale(struct long_division *v, struct binary x, int bits, struct digits *out)
{
    uint64_t m = x.m >> (64 - bits);
    long e = (long)x.e + 64 - bits;
    bool edge = m == UINT64_C(1) << (bits - 1); /* the gap below is half the gap above */
    v->even = (m & 1) == 0;
    mpz_inits(v->r, v->s, v->up, v->down, NULL);
    mpz_import(v->r, 1, -1, sizeof m, 0, 0, &m);
    mpz_mul_2exp(v->r, v->r, (mp_bitcnt_t)(2 + (e > 0 ? e : 0)));
    mpz_set_ui(v->s, 1);
    mpz_mul_2exp(v->s, v->s, (mp_bitcnt_t)(2 + (e < 0 ? -e : 0)));
    mpz_set_ui(v->up, 2);
    mpz_mul_2exp(v->up, v->up, (mp_bitcnt_t)(e > 0 ? e : 0));
    mpz_set_ui(v->down, edge ? 1 : 2);
    mpz_mul_2exp(v->down, v->down, (mp_bitcnt_t)(e > 0 ? e : 0));
    long guess = ((e + bits) * 30103L) / 100000L;
    mpz_t p;
    mpz_init(p);
    mpz_ui_pow_ui(p, 10, (unsigned long)(guess < 0 ? -guess : guess));
    if (guess >= 0) {
        mpz_mul(v->s, v->s, p);
    } else {
        mpz_mul(v->r, v->r, p);
        mpz_mul(v->up, v->up, p);
        mpz_mul(v->down, v->down, p);
    }
    out->point = guess;
    for (;;) {
        mpz_add(p, v->r, v->up);
        int c = mpz_cmp(p, v->s);
        if (c < 0 || (c == 0 && !v->even)) {
            break;
        }
        mpz_mul_ui(v->s, v->s, 10);
        out->point++;
    }
    for (;;) {
        mpz_add(p, v->r, v->up);
        mpz_mul_ui(p, p, 10);
        if (mpz_cmp(p, v->s) >= 0) {
            break;
        }
        mpz_mul_ui(v->r, v->r, 10);
        mpz_mul_ui(v->up, v->up, 10);
        mpz_mul_ui(v->down, v->down, 10);
        out->point--;
    }
    mpz_clear(p);
}

static void round_up(struct digits *out)
{
    while (out->n > 0 && out->d[out->n - 1] == '9') {
        out->n--;
    }
    if (out->n == 0) {
        out->d[out->n++] = '1';
        out->point++;
        return;
    }
    out->d[out->n - 1]++;
}

static void shortest(struct binary x, int bits, struct digits *out)
{
    struct long_division v;
    mpz_t digit, sum;
    out->n = 0;
    scale(&v, x, bits, out);
    mpz_inits(digit, sum, NULL);
    for (bool done = false; !done && out->n < (int)sizeof out->d - 1;) {
        mpz_mul_ui(v.r, v.r, 10);
        mpz_mul_ui(v.up, v.up, 10);
        mpz_mul_ui(v.down, v.down, 10);
        mpz_tdiv_qr(digit, v.r, v.r, v.s);
        out->d[out->n++] = (char)('0' + mpz_get_ui(digit));
        int low = mpz_cmp(v.r, v.down);
        mpz_add(sum, v.r, v.up);
        int high = mpz_cmp(sum, v.s);
        bool down = low < 0 || (low == 0 && v.even), up = high > 0 || (high == 0 && v.even);
        mpz_mul_2exp(sum, v.r, 1);
        int half = mpz_cmp(sum, v.s);
        if (down && up) {
            up = half > 0 || (half == 0 && ((out->d[out->n - 1] - '0') & 1));
        }
        if (up) {
            round_up(out);
        }
        done = down || up;
    }
    while (out->n > 1 && out->d[out->n - 1] == '0') {
        out->n--;
    }
    mpz_clears(digit, sum, v.r, v.s, v.up, v.down, NULL);
}

static struct str put_plain(struct arena *a, struct binary x, const struct digits *d)
{
    struct buf b;
    buf_init(&b, NUM_TEXT_MAX);
    buf_puts(&b, x.neg ? S("-") : S(""));
    if (d->point <= 0) {
        buf_puts(&b, S("0."));
        for (long i = d->point; i < 0; i++) {
            buf_putc(&b, '0');
        }
        buf_put(&b, d->d, (size_t)d->n);
    } else {
        for (long i = 0; i < MAX(d->point, d->n); i++) {
            if (i == d->point) {
                buf_putc(&b, '.');
            }
            buf_putc(&b, i < d->n ? d->d[i] : '0');
        }
    }
    struct str r = arena_str(a, buf_str(&b));
    buf_release(&b);
    return r;
}

struct str binary_text(struct arena *a, struct binary x, int bits)
{
    if (x.m == 0) {
        return x.neg ? S("-0") : S("0");
    }
    struct digits d;
    shortest(x, bits, &d);
    long exp = d.point - 1;
    if (binary_is_int(x) || (exp >= -4 && exp < 21 && (bits == 53 || exp < 6))) {
        return put_plain(a, x, &d);
    }
    return arena_printf(a, "%s%c%s%.*se%c%02ld", x.neg ? "-" : "", d.d[0], d.n > 1 ? "." : "",
                        d.n - 1, d.d + 1, exp < 0 ? '-' : '+', exp < 0 ? -exp : exp);
}
