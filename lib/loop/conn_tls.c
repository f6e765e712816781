/* TLS on a connection: moves bytes between the socket and a session of lib/tls. */
#include "loop_priv.h"

#include "lib/tls/tls.h"

#include <stdlib.h>

enum { SEND_STEP = 1 << 20 };

/* What the session has to say goes behind what is already waiting. */
static void take_output(struct conn *c)
{
    if (c->out.p == NULL) {
        loop_buf_take(c->loop, &c->out);
    }
    if (tls_pending_out(c->tls, &c->out)) {
        conn_mark_dirty(c);
    } else if (c->out.n == 0) {
        loop_buf_return(c->loop, &c->out);
    }
}

/* The alert leaves before the connection goes. */
static void fail_tls(struct conn *c, struct err e)
{
    char *why = strdup(err_detail());
    take_output(c);
    conn_flush_now(c);
    conn_fail(c, err_make(e.code, "TLS: %s", why != NULL ? why : ""));
    free(why);
}

struct err conn_tls_accept(struct conn *c, struct tls_server *tls)
{
    return tls_session_server(tls, &c->tls);
}

struct err conn_tls_connect(struct conn *c, struct tls_client *tls, struct str server_name,
                            struct str expect_spiffe)
{
    TRY(tls_session_client(tls, server_name, &c->tls));
    TRY(tls_start(c->tls));
    take_output(c);
    return OK;
}

/* The one server we meant, not just any that its issuer vouches for. */
static struct err check_expected(struct conn *c)
{
    const char *want = c->setup != NULL ? c->setup->expect_spiffe : NULL;
    struct str got = tls_peer_spiffe_id(c->tls);
    ENSURE(want == NULL || str_is(got, want), ERR_DENIED, "the peer is '%.*s', not '%s'",
           STR_FMT(got), want);
    return OK;
}

static void became_ready(struct conn *c)
{
    struct err e = check_expected(c);
    if (failed(e)) {
        fail_tls(c, e);
        return;
    }
    c->tls_ready = true;
    c->peer.tls = true;
    c->peer.spiffe_id = tls_peer_spiffe_id(c->tls);
    c->peer.alpn = tls_alpn(c->tls);
    c->peer.sni = tls_sni(c->tls);
    conn_setup_done(c);
}

static void deliver(struct conn *c)
{
    struct buf *plain = &c->loop->plain;
    while (c->state == CONN_OPEN && !c->paused && c->handler != NULL) {
        buf_clear(plain);
        struct err e = tls_read(c->tls, plain);
        if (failed(e)) {
            fail_tls(c, e);
            return;
        }
        if (plain->n == 0) {
            break;
        }
        c->handler->on_data(c, buf_str(plain), c->ctx);
    }
    if (tls_peer_closed(c->tls) && !c->saw_eof && !c->paused) {
        conn_peer_eof(c);
    }
}

void conn_tls_input(struct conn *c, struct str ciphertext)
{
    struct err e = ciphertext.n > 0 ? tls_feed(c->tls, ciphertext) : OK;
    if (failed(e)) {
        fail_tls(c, e);
        return;
    }
    take_output(c);
    if (!c->tls_ready && tls_ready(c->tls)) {
        became_ready(c);
    }
    if (c->tls_ready && c->state == CONN_OPEN) {
        deliver(c);
    }
}

void conn_tls_write(struct conn *c, struct str plain)
{
    for (size_t at = 0; at < plain.n; at += SEND_STEP) {
        struct err e = tls_send(c->tls, str_sub(plain, at, at + SEND_STEP));
        if (failed(e)) {
            fail_tls(c, e);
            return;
        }
        take_output(c);
    }
}

void conn_tls_shutdown(struct conn *c)
{
    if (c->tls_ready) {
        tls_close(c->tls);
        take_output(c);
    }
}

void conn_tls_free(struct conn *c)
{
    tls_session_free(c->tls);
    c->tls = NULL;
}

static void start_tls_timed_out(void *ctx)
{
    struct conn *c = ctx;
    c->setup->timeout = NULL;
    conn_fail(c, err_make(ERR_TIMEOUT, "the TLS handshake took too long"));
}

struct err conn_start_tls(struct conn *c, struct tls_server *tls, struct str first,
                          void (*on_ready)(void *, struct err, struct conn *), void *ctx)
{
    enum { HANDSHAKE_MS = 10000 };
    BUG_ON(c->state != CONN_OPEN || c->tls != NULL);
    struct conn_setup *s = calloc(1, sizeof(*s));
    ENSURE(s != NULL, ERR_LIMIT, "out of memory for a handshake");
    struct err e = conn_tls_accept(c, tls);
    if (failed(e)) {
        free(s);
        return e;
    }
    s->on_conn = on_ready;
    s->ctx = ctx;
    s->timeout = timer_start(c->loop, HANDSHAKE_MS, 0, start_tls_timed_out, c);
    c->setup = s;
    c->state = CONN_SETUP;
    c->handler = NULL;
    c->paused = false;
    conn_read_on(c);
    conn_tls_input(c, first);
    return OK;
}
