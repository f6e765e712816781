/*
 * Events to others, in order, each from a cursor (an index of the log) that survives restarts: so a gap at a
 * receiver is found by comparing indexes. The file is exact: it is cut back to the cursor's length
 * when it is opened. Syslog has no acknowledgements, so nobody can tell what a receiver has taken when a
 * connection breaks: what was sent in its last seconds is sent again, and the index tells.
 *
 * Exporters live in the boot arena: their connections may close after them.
 */
#include "audit_daemon.h"

#include "audit/event/syslog.h"
#include "audit/tlog/files.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    EXPORT_STEP = 512,      /* events at a time */
    EXPORT_BYTES = 1 << 20, /* ... or bytes */
    RECONNECT_MS = 2000,
    SETTLED_MS = 5000, /* what was sent so long ago on a live connection counts as taken */
};

struct exporter {
    struct audit *a;
    const char *cursor_path;
    uint64_t next; /* event */
    uint64_t saved;
    uint64_t taken; /* what is surely with the receiver: the cursor */
    /* file */
    int fd;
    off_t length;
    const char *path;
    /* syslog */
    struct str address;
    char host[SYSLOG_HOST_MAX + 1];
    unsigned facility;
    struct conn *conn;
    bool connecting, complained;
    uint64_t older; /* sent at mark_ms */
    int64_t retry_ms, mark_ms;
};

static int64_t now_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

/* ---- the cursor: "INDEX LENGTH\n" ---- */

static struct err load_cursor(struct exporter *e)
{
    struct arena a;
    struct str text;
    uint64_t length = 0;
    arena_init(&a, 1 << 16);
    struct err err = file_read(&a, AT_FDCWD, e->cursor_path, 256, &text);
    if (err.code == ERR_NOT_FOUND) {
        err = OK;
    } else if (!failed(err)) {
        struct str rest = str_trim(text), index = str_split(&rest, ' ');
        err = str_to_u64(index, &e->next);
        err = failed(err) ? err : str_to_u64(rest, &length);
    }
    arena_release(&a);
    e->length = (off_t)length;
    e->saved = e->taken = e->next;
    return failed(err) ? err_wrap(err, "%s", e->cursor_path) : OK;
}

static void save_cursor(struct exporter *e)
{
    char text[64];
    if (e->saved == e->taken) {
        return;
    }
    int n = snprintf(text, sizeof(text), "%" PRIu64 " %lld\n", e->taken, (long long)e->length);
    struct err err = file_replace(AT_FDCWD, e->cursor_path, str_n(text, (size_t)n), true);
    if (failed(err)) {
        log_warn("an export's cursor was not saved", {"error", LOG_CSTR(err_detail())});
        return;
    }
    e->saved = e->taken;
}

/* Up to EXPORT_STEP events from the cursor, each through `put`; *next is the cursor behind them. */
static struct err gather(struct exporter *e, struct buf *out, uint64_t *next,
                         void (*put)(struct exporter *e, struct buf *out, uint64_t index,
                                     struct arena *a, struct str line))
{
    struct tlog *t = service_log(e->a->service);
    uint64_t at = e->next;
    for (; at < tlog_size(t) && at - e->next < EXPORT_STEP && out->n < EXPORT_BYTES; at++) {
        struct arena a;
        struct str line;
        arena_init(&a, EVENT_ARENA);
        struct err err = tlog_entry(t, &a, at, &line);
        if (!failed(err)) {
            put(e, out, at, &a, line);
        }
        arena_release(&a);
        TRY(err);
    }
    *next = at;
    return buf_check(out);
}

/* ---- JSON lines ---- */

static void put_line(struct exporter *e, struct buf *out, uint64_t index, struct arena *a,
                     struct str line)
{
    buf_puts(out, line);
    buf_putc(out, '\n');
}

static void step_file(struct exporter *e)
{
    struct buf out;
    uint64_t next;
    buf_init(&out, EXPORT_BYTES + (1 << 17));
    struct err err = gather(e, &out, &next, put_line);
    if (!failed(err) && out.n > 0) {
        err = file_write_all(e->fd, e->path, out.p, out.n, e->length);
        if (!failed(err) && fdatasync(e->fd) != 0) {
            err = file_error("sync", e->path, errno);
        }
    }
    if (failed(err)) {
        if (!e->complained) {
            log_warn("the export file waits", {"error", LOG_CSTR(err_detail())});
        }
        e->complained = true;
    } else if (out.n > 0) {
        e->complained = false;
        e->length += (off_t)out.n;
        e->next = e->taken = next;
        save_cursor(e);
    }
    buf_release(&out);
}

struct err exporter_file(struct audit *a, struct str path, struct exporter **out)
{
    struct exporter *e = arena_new(&a->d->boot, struct exporter);
    char *name = arena_cstr(&a->d->boot, path);
    *e = (struct exporter){.a = a,
                           .fd = -1,
                           .path = path.p[0] == '/' ? name : daemon_state_path(a->d, name),
                           .cursor_path = daemon_state_path(a->d, "export-file.cursor")};
    struct err err = load_cursor(e);
    if (!failed(err)) {
        e->fd = open(e->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
        if (e->fd < 0 || ftruncate(e->fd, e->length) != 0) {
            err = file_error("open", e->path, errno);
        }
    }
    if (failed(err)) {
        exporter_free(e);
        return err;
    }
    *out = e;
    return OK;
}

/* ---- syslog ---- */

static void put_syslog(struct exporter *e, struct buf *out, uint64_t index, struct arena *a,
                       struct str line)
{
    struct json *v;
    struct event ev;
    if (failed(json_parse(a, line, NULL, &v))) {
        return;
    }
    event_read(v, &ev);
    syslog_put(out, e->facility, str_of(e->host), index, &ev, line);
}

static void send_more(struct exporter *e)
{
    struct buf out;
    uint64_t next;
    if (e->conn == NULL || conn_pending(e->conn) > 0) {
        return;
    }
    if (now_ms() - e->mark_ms >= SETTLED_MS) {
        e->taken = e->older;
        e->older = e->next;
        e->mark_ms = now_ms();
        save_cursor(e);
    }
    buf_init(&out, EXPORT_BYTES * 2);
    struct err err = gather(e, &out, &next, put_syslog);
    if (failed(err)) {
        log_warn("the syslog export waits", {"error", LOG_CSTR(err_detail())});
    } else if (out.n > 0) {
        conn_write(e->conn, buf_str(&out));
        e->next = next;
    }
    buf_release(&out);
}

static void on_data(struct conn *c, struct str bytes, void *ctx)
{
    /* receivers of syslog say nothing; whatever comes is dropped */
}

static void on_drain(struct conn *c, void *ctx)
{
    send_more(ctx);
}

static void on_close(struct conn *c, struct err why, void *ctx)
{
    struct exporter *e = ctx;
    e->conn = NULL;
    e->next = e->older = e->taken;
    e->retry_ms = now_ms() + RECONNECT_MS;
    log_warn("the syslog receiver has closed the connection");
}

static const struct conn_handler handler = {
    .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static void on_connected(void *ctx, struct err err, struct conn *c)
{
    struct exporter *e = ctx;
    e->connecting = false;
    if (failed(err)) {
        if (!e->complained) {
            log_warn("the syslog receiver cannot be reached", {"error", LOG_CSTR(err_detail())});
        }
        e->complained = true;
        e->retry_ms = now_ms() + RECONNECT_MS;
        return;
    }
    e->complained = false;
    e->conn = c;
    e->older = e->next;
    e->mark_ms = now_ms();
    log_info("exporting to syslog", {"receiver", LOG_STR(e->address)}, {"from", LOG_INT(e->next)});
    conn_start(c, &handler, e);
    send_more(e);
}

static void step_syslog(struct exporter *e)
{
    if (e->conn != NULL) {
        send_more(e);
    } else if (!e->connecting && now_ms() >= e->retry_ms) {
        e->connecting = true;
        ignore_err(loop_connect(e->a->d->loop, e->address, NULL, NULL, on_connected, e));
    }
}

struct err exporter_syslog(struct audit *a, struct str address, struct exporter **out)
{
    uint64_t facility;
    TRY(str_to_u64(a->config->facility, &facility));
    ENSURE(facility <= SYSLOG_FACILITY_MAX, ERR_RANGE, "syslog_facility is 0 to %d",
           SYSLOG_FACILITY_MAX);
    struct exporter *e = arena_new(&a->d->boot, struct exporter);
    *e = (struct exporter){.a = a,
                           .fd = -1,
                           .address = address,
                           .facility = (unsigned)facility,
                           .cursor_path = daemon_state_path(a->d, "export-syslog.cursor")};
    if (gethostname(e->host, SYSLOG_HOST_MAX) != 0) {
        e->host[0] = '\0';
    }
    struct err err = load_cursor(e);
    if (failed(err)) {
        exporter_free(e);
        return err;
    }
    *out = e;
    return OK;
}

void exporter_step(struct exporter *e)
{
    if (e->fd >= 0) {
        step_file(e);
    } else {
        step_syslog(e);
    }
}

void exporter_free(struct exporter *e)
{
    if (e == NULL) {
        return;
    }
    if (e->fd >= 0) {
        close(e->fd);
    }
    if (e->conn != NULL) {
        conn_abort(e->conn);
    }
}
