/* The life of an open connection: reading, writing, closing. Making one: listen.c and connect.c. */
#include "loop_priv.h"

#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef IP6T_SO_ORIGINAL_DST
#define IP6T_SO_ORIGINAL_DST 80
#endif

enum {
    CLOSE_TIMEOUT_MS = 5000,
    LINGER_MS = 1000,
    WRITE_THROUGH = 16 * 1024, /* bigger writes go to the kernel without being copied first */
};

static void conn_close_owned(struct owned *o)
{
    conn_fail(container_of(o, struct conn, owned), OK);
}

struct conn *conn_new(struct loop *l, bool is_unix)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->owned.close = conn_close_owned;
    c->loop = l;
    c->is_unix = is_unix;
    c->peer = (struct peer){
        .kind = is_unix ? PEER_UNIX : PEER_TCP, .uid = (uid_t)-1, .gid = (gid_t)-1, .pidfd = -1};
    return c;
}

struct err conn_handle_init(struct conn *c, unsigned family)
{
    int rc = c->is_unix ? uv_pipe_init(&c->loop->uv, &c->h.pipe, 0)
                        : uv_tcp_init_ex(&c->loop->uv, &c->h.tcp, family);
    if (rc != 0) {
        return uv_err(rc, "socket");
    }
    c->h.handle.data = &c->owned;
    c->handle_open = true;
    return OK;
}

/* ---- who is there ---- */

static void learn_unix_peer(struct conn *c, int fd)
{
    struct ucred cred;
    socklen_t n = sizeof(cred);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == 0) {
        c->peer.pid = cred.pid;
        c->peer.uid = cred.uid;
        c->peer.gid = cred.gid;
    }
    int pidfd = -1;
    n = sizeof(pidfd);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &n) == 0) {
        c->peer.pidfd = pidfd;
    }
    c->peer.addr = S("unix:");
}

static void learn_tcp_peer(struct conn *c, int fd)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    char text[80];
    if (getpeername(fd, (struct sockaddr *)&sa, &n) == 0) {
        size_t len = address_format(&sa, text, sizeof(text));
        c->addr = strndup(text, len);
        c->peer.addr = str_of(c->addr);
    }
}

const struct peer *conn_peer(const struct conn *conn)
{
    struct conn *c = (struct conn *)(uintptr_t)conn; /* a cache, filled when first asked for */
    if (!c->peer_known && c->handle_open) {
        c->peer_known = true;
        if (c->is_unix) {
            learn_unix_peer(c, conn_fd(c));
        } else {
            learn_tcp_peer(c, conn_fd(c));
        }
    }
    return &c->peer;
}

struct loop *conn_loop(const struct conn *c)
{
    return c->loop;
}

struct tls_session *conn_tls(const struct conn *c)
{
    return c->tls;
}

int conn_fd(const struct conn *c)
{
    uv_os_fd_t fd = -1;
    return c->handle_open && uv_fileno(&c->h.handle, &fd) == 0 ? fd : -1;
}

struct err conn_local_addr(const struct conn *c, char *out, size_t cap)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    ENSURE(!c->is_unix && getsockname(conn_fd(c), (struct sockaddr *)&sa, &n) == 0, ERR_UNAVAILABLE,
           "the connection has no local TCP address");
    out[address_format(&sa, out, cap)] = '\0';
    return OK;
}

struct err conn_original_dst(const struct conn *c, char *out, size_t cap)
{
    struct sockaddr_storage sa;
    socklen_t n = sizeof(sa);
    int fd = conn_fd(c);
    bool got = !c->is_unix &&
               (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &sa, &n) == 0 ||
                (n = sizeof(sa), getsockopt(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &sa, &n) == 0));
    ENSURE(got, ERR_NOT_FOUND, "the connection was not redirected here");
    out[address_format(&sa, out, cap)] = '\0';
    return OK;
}

/* ---- reading ---- */

static void give_buffer(uv_handle_t *h, size_t hint, uv_buf_t *out)
{
    struct conn *c = container_of((struct owned *)h->data, struct conn, owned);
    *out = uv_buf_init(c->loop->read_buf, READ_BUFFER);
}

void conn_peer_eof(struct conn *c)
{
    c->saw_eof = true;
    if (c->lingering) {
        conn_fail(c, OK);
        return;
    }
    if (c->state == CONN_OPEN && c->handler != NULL && c->handler->on_eof != NULL) {
        uv_read_stop(&c->h.stream);
        c->reading = false;
        c->handler->on_eof(c, c->ctx);
        return;
    }
    if (c->state == CONN_SETUP) {
        conn_fail(c, err_make(ERR_CLOSED, "the peer closed the connection"));
    } else {
        conn_close(c);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = container_of((struct owned *)stream->data, struct conn, owned);
    if (n == UV_EOF) {
        conn_peer_eof(c);
        return;
    }
    if (n < 0) {
        conn_fail(c, uv_err((int)n, "read"));
        return;
    }
    if (n == 0 || c->lingering) {
        return;
    }
    struct str bytes = str_n(buf->base, (size_t)n);
    if (c->tls != NULL) {
        conn_tls_input(c, bytes);
    } else if (c->state == CONN_OPEN && c->handler != NULL) {
        c->handler->on_data(c, bytes, c->ctx);
    }
}

void conn_read_on(struct conn *c)
{
    if (!c->reading && c->handle_open && c->state != CONN_CLOSED) {
        c->reading = true;
        int rc = uv_read_start(&c->h.stream, give_buffer, on_read);
        if (rc != 0) {
            conn_fail(c, uv_err(rc, "read"));
        }
    }
}

static void resume_tls(void *ctx)
{
    struct conn *c = ctx;
    if (c->state == CONN_OPEN && !c->paused) {
        conn_tls_input(c, STR_EMPTY);
    }
}

/* TLS may hold decrypted bytes that no further read would announce. */
static void read_tls_later(struct conn *c)
{
    if (c->tls != NULL) {
        loop_defer(c->loop, resume_tls, c);
    }
}

void conn_start(struct conn *c, const struct conn_handler *h, void *ctx)
{
    c->handler = h;
    c->ctx = ctx;
    if (!c->paused && c->state == CONN_OPEN && !c->saw_eof) {
        conn_read_on(c);
        read_tls_later(c);
    }
}

void conn_pause(struct conn *c)
{
    c->paused = true;
    if (c->reading && c->state == CONN_OPEN) {
        uv_read_stop(&c->h.stream);
        c->reading = false;
    }
}

void conn_resume(struct conn *c)
{
    if (!c->paused) {
        return;
    }
    c->paused = false;
    if (c->state == CONN_OPEN && c->handler != NULL && !c->saw_eof) {
        conn_read_on(c);
        read_tls_later(c);
    }
}

/* ---- writing ---- */

void conn_mark_dirty(struct conn *c)
{
    if (!c->dirty) {
        c->dirty = true;
        c->next_dirty = c->loop->dirty;
        c->loop->dirty = c;
    }
}

static void out_append(struct conn *c, struct str bytes)
{
    if (c->out.p == NULL) {
        loop_buf_take(c->loop, &c->out);
        c->out.wipe = c->secret;
    }
    buf_puts(&c->out, bytes);
}

void conn_set_secret(struct conn *c)
{
    c->secret = true;
    c->out.wipe = true;
}

/* The kernel's answer to an attempt to write, without waiting: bytes taken, or -1 after an error. */
static ssize_t try_write(struct conn *c, struct str a, struct str b)
{
    uv_buf_t bufs[2] = {uv_buf_init((char *)(uintptr_t)a.p, (unsigned)a.n),
                        uv_buf_init((char *)(uintptr_t)b.p, (unsigned)b.n)};
    int first = a.n == 0 ? 1 : 0, count = b.n == 0 ? 1 : 2;
    if (count - first == 1 && c->state == CONN_OPEN) { /* nothing of libuv's is under way */
        struct str one = first == 0 ? a : b;
        ssize_t n = send(conn_fd(c), one.p, one.n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            c->taken += (uint64_t)n;
            return n;
        }
    }
    int rc = uv_try_write(&c->h.stream, bufs + first, (unsigned)(count - first));
    if (rc == UV_EAGAIN) {
        return 0;
    }
    if (rc < 0) {
        conn_fail(c, uv_err(rc, "write"));
        return -1;
    }
    c->taken += (uint64_t)rc;
    return rc;
}

static void after_drain(struct conn *c)
{
    if (c->want_shutdown && !c->sent_shutdown) {
        c->sent_shutdown = true;
        shutdown(conn_fd(c), SHUT_WR);
    }
    if (c->state == CONN_CLOSING && !c->lingering) {
        conn_fail(c, OK);
        return;
    }
    if (c->wrote && c->state == CONN_OPEN && c->handler != NULL && c->handler->on_drain != NULL) {
        c->wrote = false;
        c->handler->on_drain(c, c->ctx);
    }
}

static void on_written(uv_write_t *req, int status)
{
    struct conn_write *w = container_of(req, struct conn_write, req);
    struct conn *c = w->conn;
    loop_buf_return(c->loop, &w->data);
    free(w);
    c->writing = NULL;
    c->taken += c->writing_total;
    if (status != 0) {
        conn_fail(c, uv_err(status, "write"));
    } else if (c->out.n > 0) {
        conn_mark_dirty(c);
    } else {
        after_drain(c);
    }
}

/* Leaves the rest of c->out to libuv, which writes it when the socket has room. */
static void write_later(struct conn *c, size_t from)
{
    struct conn_write *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        conn_fail(c, err_make(ERR_LIMIT, "out of memory for a write"));
        return;
    }
    w->conn = c;
    w->data = c->out;
    c->out = (struct buf){.p = NULL};
    c->writing = w;
    c->writing_total = w->data.n - from;
    uv_buf_t b = uv_buf_init(w->data.p + from, (unsigned)c->writing_total);
    int rc = uv_write(&w->req, &c->h.stream, &b, 1, on_written);
    if (rc != 0) {
        c->writing = NULL;
        buf_release(&w->data);
        free(w);
        conn_fail(c, uv_err(rc, "write"));
    }
}

void conn_flush_now(struct conn *c)
{
    if (c->state == CONN_CLOSED || c->writing != NULL) {
        return;
    }
    if (c->out.n == 0) {
        after_drain(c);
        return;
    }
    if (!buf_ok(&c->out)) {
        conn_fail(c,
                  err_make(ERR_LIMIT, "more is waiting to be written than a connection may hold"));
        return;
    }
    ssize_t n = try_write(c, buf_str(&c->out), STR_EMPTY);
    if (n < 0) {
        return;
    }
    if ((size_t)n == c->out.n) {
        loop_buf_return(c->loop, &c->out);
        after_drain(c);
    } else {
        write_later(c, (size_t)n);
    }
}

void conn_flush(struct conn *c)
{
    conn_flush_now(c);
}

/* A big piece leaves at once behind what is waiting; only what the kernel refuses is copied. */
static void write_through(struct conn *c, struct str bytes)
{
    ssize_t n = try_write(c, buf_str(&c->out), bytes);
    if (n < 0) {
        return;
    }
    if ((size_t)n >= c->out.n) {
        size_t of_bytes = (size_t)n - c->out.n;
        if (c->out.p != NULL) {
            buf_clear(&c->out);
        }
        out_append(c, str_sub(bytes, of_bytes, bytes.n));
    } else {
        buf_consume(&c->out, (size_t)n);
        out_append(c, bytes);
    }
}

void conn_write(struct conn *c, struct str bytes)
{
    if ((c->state != CONN_OPEN && c->state != CONN_SETUP) || bytes.n == 0) {
        return;
    }
    c->wrote = true;
    if (c->tls != NULL) {
        conn_tls_write(c, bytes);
    } else if (bytes.n >= WRITE_THROUGH && c->writing == NULL) {
        write_through(c, bytes);
    } else {
        out_append(c, bytes);
    }
    if (c->state != CONN_CLOSED) {
        conn_mark_dirty(c);
    }
}

size_t conn_pending(const struct conn *c)
{
    size_t queued = c->writing != NULL ? uv_stream_get_write_queue_size(&c->h.stream) : 0;
    return c->out.n + queued;
}

uint64_t conn_sent(const struct conn *c)
{
    if (c->writing == NULL) {
        return c->taken;
    }
    size_t queued = uv_stream_get_write_queue_size(&c->h.stream);
    return c->taken + (c->writing_total - MIN(queued, c->writing_total));
}

/* ---- closing ---- */

void conn_shutdown(struct conn *c)
{
    if (c->state != CONN_OPEN || c->want_shutdown) {
        return;
    }
    c->want_shutdown = true;
    if (c->tls != NULL) {
        conn_tls_shutdown(c);
    }
    conn_mark_dirty(c);
}

static void close_timed_out(void *ctx)
{
    struct conn *c = ctx;
    c->linger = NULL;
    conn_fail(c, OK);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSING || c->state == CONN_CLOSED) {
        return;
    }
    if (c->tls != NULL) {
        conn_tls_shutdown(c);
    }
    c->state = CONN_CLOSING;
    if (c->reading) {
        uv_read_stop(&c->h.stream);
        c->reading = false;
    }
    if (c->out.n == 0 && c->writing == NULL) {
        conn_fail(c, OK);
        return;
    }
    c->linger = timer_start(c->loop, CLOSE_TIMEOUT_MS, 0, close_timed_out, c);
    conn_mark_dirty(c);
}

void conn_close_lingering(struct conn *c)
{
    if (c->state == CONN_CLOSING || c->state == CONN_CLOSED) {
        return;
    }
    conn_shutdown(c);
    c->state = CONN_CLOSING;
    c->lingering = true;
    c->linger = timer_start(c->loop, LINGER_MS, 0, close_timed_out, c);
    conn_mark_dirty(c);
    if (c->saw_eof) {
        c->lingering = false;
    } else {
        c->reading = false;
        uv_read_start(&c->h.stream, give_buffer, on_read);
    }
}

static void drop_from_dirty(struct conn *c)
{
    for (struct conn **at = &c->loop->dirty; c->dirty && *at != NULL; at = &(*at)->next_dirty) {
        if (*at == c) {
            *at = c->next_dirty;
            c->dirty = false;
            return;
        }
    }
}

static void on_closed(uv_handle_t *h)
{
    struct conn *c = container_of((struct owned *)h->data, struct conn, owned);
    c->handle_open = false;
    conn_gone(c);
}

void conn_gone(struct conn *c)
{
    struct err why = c->why;
    if (failed(why)) {
        why = err_make(why.code, "%s", c->why_text != NULL ? c->why_text : "");
    }
    if (c->setup != NULL) {
        conn_setup_failed(c, failed(why) ? why : err_make(ERR_CLOSED, "closed while being set up"));
    } else if (c->handler != NULL && c->handler->on_close != NULL) {
        c->handler->on_close(c, why, c->ctx);
    }
    drop_from_dirty(c);
    if (c->listener != NULL) {
        listener_conn_gone(c->listener);
    }
    conn_tls_free(c);
    if (c->peer.pidfd >= 0) {
        close(c->peer.pidfd);
    }
    if (c->out.p != NULL) {
        loop_buf_return(c->loop, &c->out);
    }
    free(c->addr);
    free(c->why_text);
    free(c);
}

static void gone_later(void *ctx)
{
    conn_gone(ctx);
}

static void close_handle(struct conn *c, bool reset)
{
    if (!c->handle_open) {
        if (c->setup == NULL || !c->setup->resolving) { /* else the resolver's answer ends it */
            loop_defer(c->loop, gone_later, c);
        }
        return;
    }
    if (reset && !c->is_unix && uv_tcp_close_reset(&c->h.tcp, on_closed) == 0) {
        return;
    }
    uv_close(&c->h.handle, on_closed);
}

static void end(struct conn *c, struct err e, bool reset)
{
    if (c->state == CONN_CLOSED) {
        return;
    }
    c->why = e;
    if (failed(e)) {
        free(c->why_text);
        c->why_text = strdup(err_detail());
    }
    c->state = CONN_CLOSED;
    timer_stop(c->linger);
    c->linger = NULL;
    drop_from_dirty(c);
    if (c->handle_open) {
        (void)conn_peer(c); /* still wanted by on_close */
    }
    close_handle(c, reset);
}

void conn_fail(struct conn *c, struct err e)
{
    end(c, e, false);
}

void conn_abort(struct conn *c)
{
    end(c, OK, true);
}
