/* Servers and clients: one SSL_CTX for each epoch of identity and trust. */
#include "tls_priv.h"

/* ---- building a context ---- */

static struct err ctx_use_identity(SSL_CTX *ctx, const struct tls_identity *i)
{
    X509 *x;
    TRY(x509_cert_openssl(i->chain.certs[0], &x));
    if (SSL_CTX_use_certificate(ctx, x) != 1 || SSL_CTX_use_PrivateKey(ctx, key_evp(i->key)) != 1) {
        return ossl_err(ERR_INVALID, "using an identity");
    }
    for (size_t n = 1; n < i->chain.n; n++) {
        TRY(x509_cert_openssl(i->chain.certs[n], &x));
        if (SSL_CTX_add1_chain_cert(ctx, x) != 1) {
            return ossl_err(ERR_INVALID, "using an identity's chain");
        }
    }
    return OK;
}

/* The server's order decides; a client that offers only foreign protocols is refused (RFC 7301). */
static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    const struct endpoint *e = arg;
    unsigned char *chosen = NULL;
    if (SSL_select_next_proto(&chosen, out_len, (const unsigned char *)e->alpn.p,
                              (unsigned)e->alpn.n, in, in_len) != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static void ctx_limits(SSL_CTX *ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_security_level(ctx, 2);
    BUG_ON(SSL_CTX_set_cipher_list(ctx, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1);
    BUG_ON(SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") != 1);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_max_cert_list(ctx, X509_CERT_MAX);
    SSL_CTX_set_timeout(ctx, TLS_SESSION_S);
}

/* Sessions stay in the server's memory: a ticket would carry the client's certificate to decode again. */
static void ctx_server(SSL_CTX *ctx, struct endpoint *e)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
    SSL_CTX_sess_set_cache_size(ctx, TLS_SESSION_CACHE);
    BUG_ON(SSL_CTX_set_session_id_context(ctx, (const unsigned char *)"sextant", 7) != 1);
    if (e->alpn.n > 0) {
        SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, e);
    }
    int mode = e->trust == NULL
                   ? SSL_VERIFY_NONE
                   : SSL_VERIFY_PEER | (e->cert_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0);
    SSL_CTX_set_verify(ctx, mode, NULL);
}

static void ctx_client(SSL_CTX *ctx, struct endpoint *e)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, session_remember_callback);
    if (e->alpn.n > 0) { /* zero is success here, unlike its sisters */
        BUG_ON(SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)e->alpn.p,
                                       (unsigned)e->alpn.n) != 0);
    }
}

static void forget_sessions(struct endpoint *e)
{
    for (size_t i = 0; i < CLIENT_SLOTS; i++) {
        SSL_SESSION_free(e->slots[i].session);
        e->slots[i] = (struct client_slot){0, NULL};
    }
}

struct err endpoint_rebuild(struct endpoint *e)
{
    ossl_init();
    SSL_CTX *ctx = SSL_CTX_new(e->is_server ? TLS_server_method() : TLS_client_method());
    if (ctx == NULL) {
        return ossl_err(ERR_OK, "making a TLS context");
    }
    ctx_limits(ctx);
    SSL_CTX_set_cert_verify_callback(ctx, session_verify_callback, NULL);
    if (e->is_server) {
        ctx_server(ctx, e);
    } else {
        ctx_client(ctx, e);
    }
    struct err err = e->identity != NULL ? ctx_use_identity(ctx, e->identity) : OK;
    if (failed(err)) {
        SSL_CTX_free(ctx);
        return err;
    }
    forget_sessions(e);
    SSL_CTX_free(e->ctx); /* sessions under way hold it */
    e->ctx = ctx;
    return OK;
}

/* ---- life ---- */

static struct err alpn_wire(const char *const *names, struct str *out)
{
    struct buf b;
    buf_init(&b, TLS_NAMES_MAX * 256);
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        size_t n = strlen(names[i]);
        BUG_ON(i >= TLS_NAMES_MAX || n == 0 || n > 255);
        buf_putc(&b, (char)n);
        buf_put(&b, names[i], n);
    }
    *out = b.n > 0 ? str_own(buf_str(&b)) : STR_EMPTY;
    buf_release(&b);
    return OK;
}

static struct err rule_check(const struct tls_peer_rule *r)
{
    for (size_t i = 0; i < r->n; i++) {
        struct spiffe_id id;
        struct str text = r->ids[i];
        text = str_ends(text, S("/*")) ? str_sub(text, 0, text.n - 2) : text;
        struct err e = spiffe_id_parse(text, &id);
        if (failed(e)) {
            return err_wrap(e, "expected peer '%.*s'", STR_FMT(str_sub(r->ids[i], 0, 200)));
        }
    }
    return OK;
}

static void rule_copy(const struct tls_peer_rule *from, struct peer_rule *to)
{
    *to = (struct peer_rule){.n = from->n, .check = from->check, .ctx = from->ctx};
    to->ids = calloc(from->n > 0 ? from->n : 1, sizeof(*to->ids));
    BUG_ON(to->ids == NULL);
    for (size_t i = 0; i < from->n; i++) {
        to->ids[i] = str_own(from->ids[i]);
    }
}

static struct err endpoint_init(struct endpoint *e, struct tls_identity *identity,
                                struct tls_trust *trust, const struct tls_peer_rule *rule,
                                const char *const *alpn)
{
    TRY(rule_check(rule));
    e->refs = 1;
    e->identity = tls_identity_ref(identity);
    e->trust = tls_trust_ref(trust);
    rule_copy(rule, &e->rule);
    TRY(alpn_wire(alpn, &e->alpn));
    return endpoint_rebuild(e);
}

void endpoint_unref(struct endpoint *e)
{
    if (e == NULL || --e->refs > 0) {
        return;
    }
    forget_sessions(e);
    SSL_CTX_free(e->ctx);
    tls_identity_unref(e->identity);
    tls_trust_unref(e->trust);
    for (size_t i = 0; i < e->rule.n; i++) {
        str_disown(&e->rule.ids[i]);
    }
    free(e->rule.ids);
    str_disown(&e->alpn);
    str_disown(&e->server_name);
    free(e); /* the first member of both kinds */
}

static struct err endpoint_set_identity(struct endpoint *e, struct tls_identity *i)
{
    struct tls_identity *old = e->identity;
    e->identity = tls_identity_ref(i);
    struct err err = endpoint_rebuild(e);
    if (failed(err)) {
        e->identity = old;
        tls_identity_unref(i);
        return err;
    }
    tls_identity_unref(old);
    return OK;
}

static struct err endpoint_set_trust(struct endpoint *e, struct tls_trust *t)
{
    struct tls_trust *old = e->trust;
    e->trust = tls_trust_ref(t);
    struct err err = endpoint_rebuild(e);
    if (failed(err)) {
        e->trust = old;
        tls_trust_unref(t);
        return err;
    }
    tls_trust_unref(old);
    return OK;
}

struct err tls_server_new(const struct tls_server_opts *o, struct tls_server **out)
{
    ENSURE(!o->client_cert_required || o->trust != NULL, ERR_INVALID,
           "client certificates are required, but no trust to check them is given");
    struct tls_server *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->e.is_server = true;
    s->e.cert_required = o->client_cert_required;
    struct err e = endpoint_init(&s->e, o->identity, o->trust, &o->peers, o->alpn);
    if (failed(e)) {
        s->e.refs = 1;
        endpoint_unref(&s->e);
        return e;
    }
    *out = s;
    return OK;
}

struct tls_server *tls_server_ref(struct tls_server *s)
{
    if (s != NULL) {
        s->e.refs++;
    }
    return s;
}

void tls_server_unref(struct tls_server *s)
{
    endpoint_unref(s != NULL ? &s->e : NULL);
}

struct err tls_server_set_identity(struct tls_server *s, struct tls_identity *i)
{
    return endpoint_set_identity(&s->e, i);
}

struct err tls_server_set_trust(struct tls_server *s, struct tls_trust *t)
{
    ENSURE(t != NULL || !s->e.cert_required, ERR_INVALID, "client certificates are required");
    return endpoint_set_trust(&s->e, t);
}

struct err tls_client_new(const struct tls_client_opts *o, struct tls_client **out)
{
    struct tls_client *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    c->e.server_name = str_own(o->server_name);
    struct err e = endpoint_init(&c->e, o->identity, o->trust, &o->peers, o->alpn);
    if (failed(e)) {
        c->e.refs = 1;
        endpoint_unref(&c->e);
        return e;
    }
    *out = c;
    return OK;
}

struct tls_client *tls_client_ref(struct tls_client *c)
{
    if (c != NULL) {
        c->e.refs++;
    }
    return c;
}

void tls_client_unref(struct tls_client *c)
{
    endpoint_unref(c != NULL ? &c->e : NULL);
}

struct err tls_client_set_identity(struct tls_client *c, struct tls_identity *i)
{
    return endpoint_set_identity(&c->e, i);
}

struct err tls_client_set_trust(struct tls_client *c, struct tls_trust *t)
{
    return endpoint_set_trust(&c->e, t);
}
