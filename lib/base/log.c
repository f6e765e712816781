#include "log.h"

#include "buf.h"
#include "clock.h"

#include <inttypes.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 16 * 1024 };

static const char *program_name = "sextant";
static enum log_level least_level = LOG_INFO;
static enum log_format line_format = LOG_TEXT;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void log_setup(const char *program, enum log_level least, enum log_format format)
{
    program_name = program;
    least_level = least;
    line_format = format;
}

/* Control characters never reach a terminal or break a line. */
static void put_quoted(struct buf *b, struct str s)
{
    buf_putc(b, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c == '"' || c == '\\') {
            buf_printf(b, "\\%c", c);
        } else if (c < 0x20 || c == 0x7f) {
            buf_printf(b, "\\u%04x", c);
        } else {
            buf_putc(b, (char)c);
        }
    }
    buf_putc(b, '"');
}

static void put_pair(struct buf *b, const char *key, const struct log_value *v)
{
    buf_printf(b, line_format == LOG_JSON ? ",\"%s\":" : " %s=", key);
    if (v->kind == LOG_VALUE_INT) {
        buf_printf(b, "%" PRId64, v->i);
    } else {
        put_quoted(b, v->s);
    }
}

static void put_head(struct buf *b, enum log_level level, const char *message)
{
    if (line_format == LOG_JSON) {
        buf_puts(b, S("{\"time\":\""));
        clock_put_rfc3339(b, clock_wall_ns(), 3);
        buf_printf(b, "\",\"level\":\"%s\",\"program\":\"%s\",\"msg\":", level_names[level],
                   program_name);
        put_quoted(b, str_of(message));
    } else {
        clock_put_rfc3339(b, clock_wall_ns(), 3);
        buf_printf(b, " %-5s %s: %s", level_names[level], program_name, message);
    }
}

void log_write(enum log_level level, const char *message, const struct log_pair *pairs, size_t n)
{
    if (level < least_level) {
        return;
    }
    struct buf b;
    buf_init(&b, LOG_LINE_MAX);
    put_head(&b, level, message);
    for (size_t i = 0; i < n; i++) {
        put_pair(&b, pairs[i].key, &pairs[i].value);
    }
    buf_puts(&b, line_format == LOG_JSON ? S("}\n") : S("\n"));
    ssize_t wrote = write(STDERR_FILENO, b.p, b.n);
    (void)wrote; /* nowhere left to complain */
    buf_release(&b);
}
