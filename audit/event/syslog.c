#include "syslog.h"

#include "lib/base/clock.h"

#include <inttypes.h>

/* OCSF severity (0..6) to syslog's: unknown and informational 6, low 5, medium 4, high 3, critical 2, fatal 1. */
static unsigned severity_of(int64_t ocsf)
{
    static const unsigned table[] = {6, 6, 5, 4, 3, 2, 1};
    return ocsf >= 0 && ocsf < (int64_t)ARRAY_LEN(table) ? table[ocsf] : 6;
}

/* Header fields are printable ASCII without blanks (section 6.2). */
static void put_word(struct buf *out, struct str word, size_t max)
{
    size_t before = out->n;
    for (size_t i = 0; i < MIN(word.n, max); i++) {
        buf_putc(out, word.p[i] > ' ' && word.p[i] < 0x7f ? word.p[i] : '_');
    }
    if (out->n == before) {
        buf_putc(out, '-');
    }
}

/* Section 6.3.3: quote, backslash and closing bracket are escaped. */
static void put_param(struct buf *out, const char *name, struct str value)
{
    if (value.n == 0) {
        return;
    }
    buf_printf(out, " %s=\"", name);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '"' || value.p[i] == '\\' || value.p[i] == ']') {
            buf_putc(out, '\\');
        }
        buf_putc(out, value.p[i]);
    }
    buf_putc(out, '"');
}

static void put_message(struct buf *m, unsigned facility, struct str host, uint64_t index,
                        const struct event *e, struct str json)
{
    buf_printf(m, "<%u>1 ", facility * 8 + severity_of(e->severity));
    clock_put_rfc3339(m, e->time_ms * NS_PER_MS, 3);
    buf_putc(m, ' ');
    put_word(m, host, SYSLOG_HOST_MAX);
    buf_printf(m, " sextant-audit - %" PRId64 " [sextant@32473 index=\"%" PRIu64 "\"", e->class_uid,
               index);
    put_param(m, "daemon", e->field[EVENT_DAEMON]);
    put_param(m, "activity", e->field[EVENT_ACTIVITY]);
    put_param(m, "outcome", e->field[EVENT_OUTCOME]);
    put_param(m, "trace", e->field[EVENT_TRACE]);
    buf_puts(m, S("] "));
    buf_puts(m, json);
}

void syslog_put(struct buf *out, unsigned facility, struct str host, uint64_t index,
                const struct event *e, struct str json)
{
    struct buf m;
    buf_init(&m, 256 * 1024);
    put_message(&m, facility, host, index, e, json);
    if (buf_ok(&m)) {
        buf_printf(out, "%zu ", m.n);
        buf_puts(out, buf_str(&m));
    }
    buf_release(&m);
}
