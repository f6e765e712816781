#include "trace.h"

#include "codec.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case only, as the recommendation asks. */
static bool take_hex(const char *p, uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int hi = hex_digit(p[2 * i]), lo = hex_digit(p[2 * i + 1]);
        if (hi < 0 || lo < 0) {
            return false;
        }
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    return true;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    uint8_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        seen |= p[i];
    }
    return seen == 0;
}

/* Later versions may append fields after another dash; version 00 may not (section 4.3). */
static bool length_fits(struct str s, uint8_t version)
{
    return s.n == TRACE_TEXT || (version > 0 && s.n > TRACE_TEXT && s.p[TRACE_TEXT] == '-');
}

struct err trace_parse(struct str s, struct trace *out)
{
    struct trace t = {.flags = 0};
    uint8_t version = 0;
    bool fits = s.n >= TRACE_TEXT && s.p[2] == '-' && s.p[35] == '-' && s.p[52] == '-' &&
                take_hex(s.p, &version, 1) && take_hex(s.p + 3, t.trace_id, 16) &&
                take_hex(s.p + 36, t.span_id, 8) && take_hex(s.p + 53, &t.flags, 1) &&
                version != 0xff && length_fits(s, version) && !all_zero(t.trace_id, 16) &&
                !all_zero(t.span_id, 8);
    ENSURE(fits, ERR_SYNTAX, "not a traceparent (00-32 hex digits-16 hex digits-2 hex digits)");
    t.flags &= 1;
    *out = t;
    return OK;
}

/*
 * Ids must be unlike each other, not secret: xoshiro256++ (Blackman, Vigna 2019), seeded by the kernel, anew
 * from time to time. Nothing here forks without becoming another program.
 */
static uint64_t draw_word(void)
{
    enum { SEED_LASTS = 1 << 20 };
    static uint64_t s[4];
    static unsigned left;
    if (unlikely(left == 0)) {
        random_bytes(s, sizeof(s));
        s[0] |= 1; /* never all zero */
        left = SEED_LASTS;
    }
    left--;
    uint64_t sum = s[0] + s[3], result = (sum << 23 | sum >> 41) + s[0], t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return result;
}

static void draw(uint8_t *out, size_t n)
{
    for (size_t i = 0; i < n; i += sizeof(uint64_t)) {
        uint64_t w = draw_word();
        memcpy(out + i, &w, MIN(n - i, sizeof(w)));
    }
}

struct trace trace_new(void)
{
    struct trace t = {.flags = 1};
    draw(t.trace_id, sizeof(t.trace_id));
    draw(t.span_id, sizeof(t.span_id));
    return t;
}

struct trace trace_child(const struct trace *parent)
{
    struct trace t = *parent;
    draw(t.span_id, sizeof(t.span_id));
    return t;
}

void trace_id_put(struct buf *out, const struct trace *t)
{
    hex_put(out, str_n(t->trace_id, sizeof(t->trace_id)));
}

void trace_put(struct buf *out, const struct trace *t)
{
    buf_puts(out, S("00-"));
    trace_id_put(out, t);
    buf_putc(out, '-');
    hex_put(out, str_n(t->span_id, sizeof(t->span_id)));
    buf_putc(out, '-');
    hex_put(out, str_n(&t->flags, 1));
}

bool trace_is_set(const struct trace *t)
{
    return !all_zero(t->trace_id, sizeof(t->trace_id));
}
