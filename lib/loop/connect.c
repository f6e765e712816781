/* Making connections: resolve, connect, TLS; one timer over all three. */
#include "loop_priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/tls/tls.h"

enum { CONNECT_MS = 10000 };

void conn_setup_free(struct conn *c)
{
    struct conn_setup *s = c->setup;
    timer_stop(s->timeout);
    if (s->found != NULL) {
        uv_freeaddrinfo(s->found);
    }
    tls_client_unref(s->tls);
    free(s->path);
    free(s->server_name);
    free(s->expect_spiffe);
    free(s);
    c->setup = NULL;
}

void conn_setup_done(struct conn *c)
{
    struct conn_setup *s = c->setup;
    void (*on_conn)(void *, struct err, struct conn *) = s->on_conn;
    void (*on_accept)(void *, struct conn *) = s->on_accept;
    void *ctx = s->ctx;
    conn_setup_free(c);
    c->state = CONN_OPEN;
    if (c->reading) { /* nothing is read until the new owner starts */
        uv_read_stop(&c->h.stream);
        c->reading = false;
    }
    if (on_accept != NULL) {
        on_accept(ctx, c);
    } else {
        on_conn(ctx, OK, c);
    }
}

/* An accepted connection that fails its handshake is nobody's business; a made one has a caller. */
void conn_setup_failed(struct conn *c, struct err e)
{
    struct conn_setup *s = c->setup;
    void (*on_conn)(void *, struct err, struct conn *) = s->on_conn;
    void *ctx = s->ctx;
    conn_setup_free(c);
    if (on_conn != NULL) {
        on_conn(ctx, e, NULL);
    }
}

static void setup_timed_out(void *ctx)
{
    struct conn *c = ctx;
    c->setup->timeout = NULL;
    if (c->setup->resolving) {
        uv_cancel((uv_req_t *)&c->setup->resolve);
    }
    conn_fail(c, err_make(ERR_TIMEOUT, "no connection to %s in time",
                          c->setup->path != NULL ? c->setup->path : c->setup->to.host));
}

static void begin_tls_client(struct conn *c)
{
    struct conn_setup *s = c->setup;
    struct err e = conn_tls_connect(c, s->tls, str_of(s->server_name), str_of(s->expect_spiffe));
    if (failed(e)) {
        conn_fail(c, e);
        return;
    }
    conn_read_on(c);
}

static void on_connected(uv_connect_t *req, int status)
{
    struct conn *c = container_of((struct owned *)req->data, struct conn, owned);
    struct conn_setup *s = c->setup;
    if (c->state != CONN_SETUP) {
        return;
    }
    if (status != 0) {
        char what[320];
        snprintf(what, sizeof(what), "connect to %s", s->path != NULL ? s->path : s->to.host);
        conn_fail(c, uv_err(status, what));
        return;
    }
    if (s->tls != NULL) {
        begin_tls_client(c);
    } else {
        conn_setup_done(c);
    }
}

static struct err prepare_socket(struct conn *c)
{
    struct conn_setup *s = c->setup;
    int fd = conn_fd(c), one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ENSURE(s->mark == 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &s->mark, sizeof(s->mark)) == 0,
           ERR_DENIED, "SO_MARK: %s (it needs CAP_NET_ADMIN)", strerror(errno));
    if (s->has_bind) {
        int rc = uv_tcp_bind(&c->h.tcp, (struct sockaddr *)&s->bind_to, 0);
        if (rc != 0) {
            return uv_err(rc, "source address");
        }
    }
    return OK;
}

static struct err connect_to(struct conn *c, const struct sockaddr_storage *sa)
{
    TRY(conn_handle_init(c, sa->ss_family));
    TRY(prepare_socket(c));
    int rc =
        uv_tcp_connect(&c->setup->connect, &c->h.tcp, (const struct sockaddr *)sa, on_connected);
    if (rc != 0) {
        return uv_err(rc, c->setup->to.host);
    }
    return OK;
}

static void try_next(struct conn *c)
{
    struct conn_setup *s = c->setup;
    struct sockaddr_storage sa = {0};
    if (s->next == NULL) {
        conn_fail(c, err_make(ERR_UNAVAILABLE, "%s has no address", s->to.host));
        return;
    }
    memcpy(&sa, s->next->ai_addr, s->next->ai_addrlen);
    struct err e = connect_to(c, &sa);
    if (failed(e)) {
        conn_fail(c, e);
    }
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct conn *c = container_of((struct owned *)req->data, struct conn, owned);
    struct conn_setup *s = c->setup;
    s->resolving = false;
    s->found = s->next = found;
    if (c->state != CONN_SETUP) {
        conn_gone(c); /* timed out meanwhile: it waited for this */
        return;
    }
    if (status != 0) {
        conn_fail(c, uv_err(status, s->to.host));
        return;
    }
    try_next(c);
}

static struct err start_unix(struct conn *c)
{
    struct conn_setup *s = c->setup;
    TRY(conn_handle_init(c, AF_UNIX));
    s->path = strndup(s->to.path.p, s->to.path.n);
    ENSURE(s->path != NULL, ERR_LIMIT, "out of memory");
    uv_pipe_connect(&s->connect, &c->h.pipe, s->path, on_connected);
    return OK;
}

static struct err start_connect(struct conn *c)
{
    struct conn_setup *s = c->setup;
    struct sockaddr_storage sa;
    s->connect.data = &c->owned;
    s->resolve.data = &c->owned;
    if (s->to.is_unix) {
        return start_unix(c);
    }
    if (address_literal(&s->to, &sa)) {
        return connect_to(c, &sa);
    }
    char port[8];
    snprintf(port, sizeof(port), "%u", s->to.port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    int rc = uv_getaddrinfo(&c->loop->uv, &s->resolve, on_resolved, s->to.host, port, &hints);
    if (rc != 0) {
        return uv_err(rc, s->to.host);
    }
    s->resolving = true;
    return OK;
}

static char *copy_or_null(struct str s)
{
    return s.n > 0 ? strndup(s.p, s.n) : NULL;
}

static void fail_later(void *ctx)
{
    struct conn *c = ctx;
    conn_fail(c, err_make(c->why.code, "%s", c->why_text != NULL ? c->why_text : ""));
}

static struct err fill_setup(struct conn_setup *s, struct str address, struct tls_client *tls,
                             const struct connect_opts *o)
{
    TRY(address_parse(address, &s->to));
    if (o->bind_to.n > 0) {
        char text[300];
        struct address from;
        TRY(str_to_cstr(o->bind_to, text, sizeof(text) - 8));
        snprintf(text + o->bind_to.n, 4, "%s",
                 str_find_char(o->bind_to, ':') == STR_NPOS ? ":0" : "");
        TRY(address_parse(str_of(text), &from));
        ENSURE(address_literal(&from, &s->bind_to), ERR_SYNTAX, "'%s' is not a source address",
               text);
        s->has_bind = true;
    }
    s->mark = o->mark;
    s->tls = tls != NULL ? tls_client_ref(tls) : NULL;
    s->server_name = copy_or_null(o->server_name);
    s->expect_spiffe = copy_or_null(o->expect_spiffe);
    return OK;
}

struct err loop_connect(struct loop *l, struct str address, struct tls_client *tls,
                        const struct connect_opts *opts,
                        void (*on_conn)(void *, struct err, struct conn *), void *ctx)
{
    struct connect_opts none = {.timeout_ms = 0};
    const struct connect_opts *o = opts != NULL ? opts : &none;
    struct address probe;
    TRY(address_parse(address, &probe));
    struct conn *c = conn_new(l, probe.is_unix);
    ENSURE(c != NULL, ERR_LIMIT, "out of memory for a connection");
    c->setup = calloc(1, sizeof(*c->setup));
    if (c->setup == NULL) {
        free(c);
        return err_make(ERR_LIMIT, "out of memory for a connection");
    }
    struct err e = fill_setup(c->setup, address, tls, o);
    if (failed(e)) {
        conn_setup_free(c);
        free(c);
        return e;
    }
    c->setup->on_conn = on_conn;
    c->setup->ctx = ctx;
    c->setup->timeout =
        timer_start(l, o->timeout_ms > 0 ? o->timeout_ms : CONNECT_MS, 0, setup_timed_out, c);
    e = start_connect(c);
    if (failed(e)) {
        c->why = e;
        c->why_text = strdup(err_detail());
        loop_defer(l, fail_later, c);
    }
    return OK;
}
