#include "listen.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/loop/loop.h"
#include "lib/tls/tls.h"

#include <stdlib.h>

enum { TLS_FILE_MAX = 4 << 20, UNIX_MODE = 0755 };

enum { CERT, KEY, CA, TLS_FILES };

struct authz_listener {
    struct authz *z;
    struct http_server *rest, *diagnostic;
    struct tls_server *tls;
    struct timer *refresh;
    struct buf files[TLS_FILES]; /* as they were last read; the key's is wiped */
    unsigned draining;
    void (*done)(void *ctx);
    void *done_ctx;
};

/* ---- TLS and its files ---- */

static struct err read_into(struct str path, struct buf *out)
{
    struct arena a;
    struct str text;
    arena_init(&a, TLS_FILE_MAX);
    struct err e = read_whole_file(&a, path, &text);
    if (!failed(e)) {
        buf_puts(out, text);
        e = buf_check(out);
        explicit_bzero((char *)(uintptr_t)text.p, text.n);
    }
    arena_release(&a);
    return e;
}

static struct err make_trust(struct str pem, struct tls_trust **out)
{
    struct x509_anchors *anchors;
    TRY(x509_anchors_new(&anchors));
    struct err e = x509_anchors_add_pem(anchors, pem);
    e = failed(e) ? e : tls_trust_names(anchors, out);
    x509_anchors_unref(anchors);
    return e;
}

/* Takes over what the files hold now, when it differs from before. */
static struct err load_files(struct authz_listener *l)
{
    const struct authz_config *c = l->z->config;
    const struct str paths[TLS_FILES] = {c->tls_cert, c->tls_key, c->tls_ca};
    struct buf now[TLS_FILES];
    bool differs[TLS_FILES] = {false};
    struct err e = OK;
    for (size_t i = 0; i < TLS_FILES; i++) {
        buf_init_secret(&now[i], TLS_FILE_MAX);
        if (paths[i].n > 0 && !failed(e)) {
            e = read_into(paths[i], &now[i]);
            differs[i] = !str_eq(buf_str(&now[i]), buf_str(&l->files[i]));
        }
    }
    struct tls_identity *identity = NULL;
    struct tls_trust *trust = NULL;
    if (!failed(e) && (differs[CERT] || differs[KEY])) {
        e = tls_identity_from_pem(buf_str(&now[CERT]), buf_str(&now[KEY]), &identity);
        e = failed(e) ? e : tls_server_set_identity(l->tls, identity);
    }
    if (!failed(e) && differs[CA]) {
        e = make_trust(buf_str(&now[CA]), &trust);
        e = failed(e) ? e : tls_server_set_trust(l->tls, trust);
    }
    tls_identity_unref(identity);
    tls_trust_unref(trust);
    for (size_t i = 0; i < TLS_FILES; i++) {
        struct buf *drop = failed(e) ? &now[i] : &l->files[i];
        buf_release(drop);
        if (!failed(e)) {
            l->files[i] = now[i];
        }
    }
    return e;
}

static void refresh(void *ctx)
{
    if (failed(load_files(ctx))) {
        log_error("the certificate files were not taken over; those before stay in use",
                  {"reason", LOG_CSTR(err_detail())});
    }
}

static struct err start_tls(struct authz_listener *l, struct loop *loop)
{
    static const char *const alpn[] = {"h2", "http/1.1", NULL};
    const struct authz_config *c = l->z->config;
    struct tls_trust *trust = NULL;
    struct tls_server_opts o = {.alpn = alpn};
    if (c->tls_cert.n == 0 && c->tls_key.n == 0) {
        return OK;
    }
    ENSURE(c->tls_cert.n > 0 && c->tls_key.n > 0, ERR_INVALID,
           "TLS needs both a certificate file and a private key file");
    if (c->tls_ca.n > 0) {
        struct buf pem;
        buf_init(&pem, TLS_FILE_MAX);
        struct err e = read_into(c->tls_ca, &pem);
        e = failed(e) ? e : make_trust(buf_str(&pem), &trust);
        buf_release(&pem);
        TRY(e);
        o.trust = trust;
        o.client_cert_required = str_is(c->authentication, "tls");
    }
    struct err e = tls_server_new(&o, &l->tls);
    tls_trust_unref(trust);
    TRY(e);
    TRY(load_files(l));
    if (c->tls_refresh_ns > 0) {
        int64_t ms = MAX(c->tls_refresh_ns / NS_PER_MS, INT64_C(100));
        l->refresh = timer_start(loop, ms, ms, refresh, l);
        timer_background(l->refresh);
    }
    return OK;
}

/* ---- listening ---- */

static struct err listen_all(struct http_server *s, struct authz_listener *l,
                             const struct str *addresses, size_t n, unsigned mode)
{
    struct listen_opts lo = {.mode = mode != 0 ? mode : UNIX_MODE};
    for (size_t i = 0; i < n; i++) {
        bool is_unix = str_starts(addresses[i], S("unix:"));
        TRY(http_server_listen(s, addresses[i], is_unix ? NULL : l->tls, &lo));
    }
    return OK;
}

static struct err start(struct authz_listener *l, struct loop *loop,
                        const struct authz_listen_opts *o)
{
    struct http_server_opts h = {.handle = authz_serve,
                                 .ctx = l->z,
                                 .body_max = (size_t)l->z->config->body_max,
                                 .arena_max = (size_t)l->z->config->eval_memory,
                                 .no_h2 = o->no_h2c && l->z->config->tls_cert.n == 0,
                                 .on_reply = authz_on_reply,
                                 .on_too_large = authz_too_large};
    TRY(start_tls(l, loop));
    TRY(http_server_new(loop, &h, &l->rest));
    TRY(listen_all(l->rest, l, o->addresses, o->n_addresses, o->unix_mode));
    if (o->n_diagnostic > 0) {
        h.handle = authz_serve_diagnostic;
        TRY(http_server_new(loop, &h, &l->diagnostic));
        TRY(listen_all(l->diagnostic, l, o->diagnostic, o->n_diagnostic, o->unix_mode));
    }
    return OK;
}

struct err authz_listen(struct authz *z, struct loop *loop, const struct authz_listen_opts *o,
                        struct authz_listener **out)
{
    struct authz_listener *l = calloc(1, sizeof *l);
    BUG_ON(l == NULL);
    l->z = z;
    for (size_t i = 0; i < TLS_FILES; i++) {
        buf_init_secret(&l->files[i], TLS_FILE_MAX);
    }
    *out = l;
    return start(l, loop, o);
}

const char *authz_listener_address(const struct authz_listener *l)
{
    return http_server_address(l->rest, 0);
}

static void drained(void *ctx)
{
    struct authz_listener *l = ctx;
    if (--l->draining == 0) {
        l->done(l->done_ctx);
    }
}

void authz_listener_drain(struct authz_listener *l, void (*done)(void *ctx), void *ctx)
{
    l->done = done;
    l->done_ctx = ctx;
    l->draining = 1 + (l->diagnostic != NULL);
    http_server_drain(l->rest, drained, l);
    if (l->diagnostic != NULL) {
        http_server_drain(l->diagnostic, drained, l);
    }
}

void authz_listener_free(struct authz_listener *l)
{
    if (l == NULL) {
        return;
    }
    timer_stop(l->refresh);
    http_server_free(l->rest);
    http_server_free(l->diagnostic);
    tls_server_unref(l->tls);
    for (size_t i = 0; i < TLS_FILES; i++) {
        buf_release(&l->files[i]);
    }
    free(l);
}
