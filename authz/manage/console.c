/*
 * console: decisions on stderr, one line of JSON each, members in the order of their names. Nothing is built that is
 * only to be written: a line is made of pieces. Lines of one turn of the loop leave together, before the replies do.
 */
#include "manage_priv.h"

#include "lib/base/clock.h"
#include "lib/loop/loop.h"

#include <unistd.h>

enum { CONSOLE_FLUSH_AT = 256 * 1024, CONSOLE_MAX = 64 << 20 };

static struct {
    struct buf lines;
    bool due;
    int64_t second;
    char date[24]; /* of `second`: 2026-01-31T09:05:00 */
    size_t n_date;
} out = {.lines = {.max = CONSOLE_MAX}, .second = -1};

static void flush(void *ctx)
{
    (void)ctx;
    struct str rest = buf_str(&out.lines);
    out.due = false;
    while (rest.n > 0) {
        ssize_t n = write(STDERR_FILENO, rest.p, rest.n);
        if (n <= 0) {
            break; /* nobody reads: a log that cannot be written must not stop decisions */
        }
        rest = str_sub(rest, (size_t)n, rest.n);
    }
    buf_clear(&out.lines);
}

static void put_number(struct buf *b, int64_t v)
{
    char text[24];
    size_t at = sizeof text;
    uint64_t u = v < 0 ? (uint64_t)0 - (uint64_t)v : (uint64_t)v;
    do {
        text[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0) {
        text[--at] = '-';
    }
    buf_put(b, text + at, sizeof text - at);
}

/* As Go writes times: no zeros at the end of the fraction. */
static void put_time(struct buf *b, int64_t wall_ns, bool fraction)
{
    int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
    if (s != out.second) {
        struct buf t;
        buf_init(&t, 64);
        clock_put_rfc3339(&t, s * NS_PER_S, 0);
        out.n_date = MIN(t.n - 1, sizeof out.date);
        memcpy(out.date, t.p, out.n_date);
        out.second = s;
        buf_release(&t);
    }
    buf_put(b, out.date, out.n_date);
    if (fraction && ns > 0) {
        char digits[10] = ".";
        size_t n = 9;
        for (size_t i = n; i > 0; i--, ns /= 10) {
            digits[i] = (char)('0' + ns % 10);
        }
        while (digits[n] == '0') {
            n--;
        }
        buf_put(b, digits, n + 1);
    }
    buf_putc(b, 'Z');
}

static void put_text(struct buf *b, struct str key, struct str v)
{
    if (v.n > 0) {
        buf_puts(b, key);
        val_json_string(b, v, true);
    }
}

static void put_value(struct buf *b, struct str key, struct val v)
{
    if (!val_undef(v)) {
        buf_puts(b, key);
        val_to_json(b, v, true);
    }
}

static void put_timer(struct buf *b, struct str key, int64_t ns)
{
    if (ns > 0) {
        buf_puts(b, key);
        put_number(b, ns);
    }
}

static void put_metrics(struct buf *b, const struct decision *d)
{
    buf_puts(b, S(",\"metrics\":{"));
    if (d->path.n > 0) {
        buf_puts(b, S("\"counter_server_query_cache_hit\":"));
        put_number(b, d->prepare_ns == 0);
        buf_puts(b, S(",\"timer_rego_external_resolve_ns\":0"));
    } else {
        buf_puts(b, S("\"timer_rego_external_resolve_ns\":0"));
    }
    put_timer(b, S(",\"timer_rego_input_parse_ns\":"), d->parse_ns);
    put_timer(b, S(",\"timer_rego_query_compile_ns\":"), d->prepare_ns);
    put_timer(b, S(",\"timer_rego_query_eval_ns\":"), d->eval_ns);
    put_timer(b, S(",\"timer_server_handler_ns\":"), d->handler_ns);
    buf_putc(b, '}');
}

void console_decision(struct manage *m, const struct decision *d, const struct http_req *req,
                      const struct console_parts *p)
{
    struct buf *b = &out.lines;
    size_t from = b->n;
    int64_t wall = d->wall_ns > 0 ? d->wall_ns : clock_wall_ns();
    put_text(b, S(",\"batch_decision_id\":"), str_of(d->batch_id));
    put_value(b, S(",\"bundles\":"), p->bundles);
    put_value(b, S(",\"custom\":"), p->custom);
    put_text(b, S(",\"decision_id\":"), str_of(d->id));
    put_value(b, S(",\"error\":"), p->error);
    put_value(b, S(",\"input\":"), d->input);
    put_value(b, S(",\"labels\":"), m->labels);
    buf_puts(b, S(",\"level\":\"info\""));
    put_metrics(b, d);
    buf_puts(b, S(",\"msg\":\"Decision Log\""));
    put_text(b, S(",\"path\":"), d->path);
    put_text(b, S(",\"query\":"), d->query);
    buf_puts(b, S(",\"req_id\":"));
    put_number(b, (int64_t)++m->requests);
    put_value(b, S(",\"request_context\":"), p->context);
    put_text(b, S(",\"requested_by\":"), req->peer != NULL ? req->peer->addr : STR_EMPTY);
    put_value(b, S(",\"result\":"), d->result);
    buf_puts(b, S(",\"time\":\""));
    put_time(b, wall, false);
    buf_puts(b, S("\",\"timestamp\":\""));
    put_time(b, wall, true);
    buf_puts(b, S("\",\"type\":\"openpolicyagent.org/decision_logs\"}\n"));
    if (!buf_ok(b)) { /* one that is larger than all that may wait */
        b->n = from;
        b->overflow = false;
        return;
    }
    b->p[from] = '{'; /* in place of the first comma */
    if (b->n >= CONSOLE_FLUSH_AT) {
        flush(NULL);
    } else if (!out.due) {
        out.due = true;
        loop_defer(http_req_loop(req), flush, NULL);
    }
}
