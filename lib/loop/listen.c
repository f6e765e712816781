#include "loop_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/tls/tls.h"

enum { BACKLOG = 1024, MAX_CONNS = 10000, HANDSHAKE_MS = 10000 };

struct listener {
    struct owned owned;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } h;
    struct loop *loop;
    struct tls_server *tls; /* a reference */
    void (*on_conn)(void *ctx, struct conn *c);
    void *ctx;
    unsigned conns, max_conns;
    int handshake_ms;
    bool is_unix, waiting, closed, handle_closed;
    char *unlink_path; /* owned; a unix socket's path */
    char address[280];
};

/* A listener's memory goes when its handle is closed and its last connection is gone. */
static void listener_maybe_free(struct listener *ls)
{
    if (ls->handle_closed && ls->conns == 0) {
        tls_server_unref(ls->tls);
        free(ls->unlink_path);
        free(ls);
    }
}

static void listener_closed(uv_handle_t *h)
{
    struct listener *ls = container_of((struct owned *)h->data, struct listener, owned);
    ls->handle_closed = true;
    listener_maybe_free(ls);
}

static void listener_close_owned(struct owned *o)
{
    struct listener *ls = container_of(o, struct listener, owned);
    if (ls->closed) {
        return;
    }
    ls->closed = true;
    if (ls->unlink_path != NULL) {
        unlink(ls->unlink_path);
    }
    uv_close(&ls->h.handle, listener_closed);
}

void listener_close(struct listener *ls)
{
    if (ls != NULL) {
        listener_close_owned(&ls->owned);
    }
}

const char *listener_address(const struct listener *ls)
{
    return ls->address;
}

/* ---- accepting ---- */

static void handshake_timed_out(void *ctx)
{
    struct conn *c = ctx;
    c->setup->timeout = NULL;
    conn_fail(c, err_make(ERR_TIMEOUT, "the TLS handshake took too long"));
}

static struct err begin_tls(struct listener *ls, struct conn *c)
{
    struct conn_setup *s = calloc(1, sizeof(*s));
    ENSURE(s != NULL, ERR_LIMIT, "out of memory for a handshake");
    s->on_accept = ls->on_conn;
    s->ctx = ls->ctx;
    c->setup = s;
    s->timeout = timer_start(ls->loop, ls->handshake_ms, 0, handshake_timed_out, c);
    TRY(conn_tls_accept(c, ls->tls));
    conn_read_on(c);
    return OK;
}

static void accept_one(struct listener *ls)
{
    struct conn *c = conn_new(ls->loop, ls->is_unix);
    if (c == NULL) {
        ls->waiting = true;
        return;
    }
    c->listener = ls;
    ls->conns++;
    struct err e = conn_handle_init(c, AF_UNSPEC);
    int rc = failed(e) ? 0 : uv_accept(&ls->h.stream, &c->h.stream);
    if (!failed(e) && rc != 0) {
        e = uv_err(rc, "accept");
    }
    if (!failed(e) && ls->tls != NULL) {
        e = begin_tls(ls, c);
    }
    if (failed(e)) {
        conn_fail(c, e);
        return;
    }
    if (ls->tls == NULL) {
        c->state = CONN_OPEN;
        ls->on_conn(ls->ctx, c);
    }
}

static void on_incoming(uv_stream_t *h, int status)
{
    struct listener *ls = container_of((struct owned *)h->data, struct listener, owned);
    if (status != 0) {
        return;
    }
    if (ls->conns >= ls->max_conns) {
        ls->waiting = true; /* libuv stops listening until it is accepted */
        return;
    }
    accept_one(ls);
}

void listener_conn_gone(struct listener *ls)
{
    ls->conns--;
    if (ls->closed) {
        listener_maybe_free(ls);
    } else if (ls->waiting) {
        ls->waiting = false;
        accept_one(ls);
    }
}

/* ---- binding ---- */

/* A socket file that nobody serves is left over from a process that died. */
static bool unix_is_stale(const struct sockaddr_un *sun)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return false;
    }
    bool stale =
        connect(fd, (const struct sockaddr *)sun, sizeof(*sun)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static struct err bind_unix_fd(int fd, const struct address *a, unsigned mode)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    TRY(str_to_cstr(a->path, sun.sun_path, sizeof(sun.sun_path)));
    if (bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0) {
        bool stale = errno == EADDRINUSE && unix_is_stale(&sun);
        ENSURE(errno != EADDRINUSE || stale, ERR_EXISTS, "unix:%s: another process listens there",
               sun.sun_path);
        ENSURE(stale, ERR_IO, "unix:%s: %s", sun.sun_path, strerror(errno));
        unlink(sun.sun_path);
        ENSURE(bind(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0, ERR_IO, "unix:%s: %s",
               sun.sun_path, strerror(errno));
    }
    /* Before listen(2): nobody can connect under the default mode. */
    ENSURE(chmod(sun.sun_path, mode) == 0, ERR_IO, "unix:%s: %s", sun.sun_path, strerror(errno));
    return OK;
}

static struct err open_unix(struct listener *ls, const struct address *a, unsigned mode)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ENSURE(fd >= 0, ERR_IO, "socket: %s", strerror(errno));
    uv_pipe_init(&ls->loop->uv, &ls->h.pipe, 0);
    ls->h.handle.data = &ls->owned;
    struct err e = bind_unix_fd(fd, a, mode);
    int rc = failed(e) ? 0 : uv_pipe_open(&ls->h.pipe, fd);
    if (failed(e) || rc != 0) {
        close(fd);
        return failed(e) ? e : uv_err(rc, "socket");
    }
    ls->unlink_path = strndup(a->path.p, a->path.n);
    snprintf(ls->address, sizeof(ls->address), "unix:%.*s", STR_FMT(a->path));
    return OK;
}

static struct err resolve_now(const struct address *a, struct sockaddr_storage *sa)
{
    if (address_literal(a, sa)) {
        return OK;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    int rc = getaddrinfo(a->host, NULL, &hints, &found);
    ENSURE(rc == 0, ERR_NOT_FOUND, "%s: %s", a->host, gai_strerror(rc));
    memcpy(sa, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    if (sa->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)sa)->sin6_port = htons(a->port);
    } else {
        ((struct sockaddr_in *)sa)->sin_port = htons(a->port);
    }
    return OK;
}

static struct err set_flag(int fd, int level, int name, const char *what)
{
    int one = 1;
    ENSURE(setsockopt(fd, level, name, &one, sizeof(one)) == 0, ERR_IO, "%s: %s", what,
           strerror(errno));
    return OK;
}

static struct err open_tcp(struct listener *ls, const struct address *a,
                           const struct listen_opts *o)
{
    struct sockaddr_storage sa;
    TRY(resolve_now(a, &sa));
    int rc = uv_tcp_init_ex(&ls->loop->uv, &ls->h.tcp, sa.ss_family);
    ls->h.handle.data = &ls->owned;
    if (rc != 0) {
        return uv_err(rc, "socket");
    }
    uv_os_fd_t fd = -1;
    uv_fileno(&ls->h.handle, &fd);
    /* Accepted sockets inherit it: no system call for each connection. */
    TRY(set_flag(fd, IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY"));
    if (o->reuse_port) {
        TRY(set_flag(fd, SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT"));
    }
    if (o->free_bind) {
        TRY(set_flag(fd, SOL_IP, IP_FREEBIND, "IP_FREEBIND"));
    }
    rc = uv_tcp_bind(&ls->h.tcp, (struct sockaddr *)&sa, 0);
    if (rc != 0) {
        return uv_err(rc, a->host);
    }
    return OK;
}

static void note_tcp_address(struct listener *ls)
{
    struct sockaddr_storage sa;
    int n = sizeof(sa);
    if (uv_tcp_getsockname(&ls->h.tcp, (struct sockaddr *)&sa, &n) == 0) {
        ls->address[address_format(&sa, ls->address, sizeof(ls->address))] = '\0';
    }
}

static struct err open_and_listen(struct listener *ls, const struct address *a,
                                  const struct listen_opts *o)
{
    if (a->is_unix) {
        TRY(open_unix(ls, a, o->mode != 0 ? o->mode : 0600));
    } else {
        TRY(open_tcp(ls, a, o));
    }
    int rc = uv_listen(&ls->h.stream, o->backlog > 0 ? o->backlog : BACKLOG, on_incoming);
    if (rc != 0) {
        return uv_err(rc, "listen");
    }
    if (!a->is_unix) {
        note_tcp_address(ls);
    }
    return OK;
}

struct err loop_listen(struct loop *l, struct str address, struct tls_server *tls,
                       const struct listen_opts *opts, void (*on_conn)(void *, struct conn *),
                       void *ctx, struct listener **out)
{
    struct address a;
    TRY(address_parse(address, &a));
    struct listen_opts none = {.mode = 0};
    const struct listen_opts *o = opts != NULL ? opts : &none;
    struct listener *ls = calloc(1, sizeof(*ls));
    ENSURE(ls != NULL, ERR_LIMIT, "out of memory for a listener");
    ls->owned.close = listener_close_owned;
    ls->loop = l;
    ls->is_unix = a.is_unix;
    ls->on_conn = on_conn;
    ls->ctx = ctx;
    ls->max_conns = o->max_conns > 0 ? o->max_conns : MAX_CONNS;
    ls->handshake_ms = o->handshake_ms > 0 ? o->handshake_ms : HANDSHAKE_MS;
    struct err e = open_and_listen(ls, &a, o);
    if (failed(e)) {
        if (ls->h.handle.data != NULL) {
            listener_close(ls);
        } else {
            free(ls);
        }
        return err_wrap(e, "cannot listen on %.*s", STR_FMT(address));
    }
    ls->tls = tls != NULL ? tls_server_ref(tls) : NULL;
    *out = ls;
    return OK;
}
