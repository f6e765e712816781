#include "tls_priv.h"

#include "lib/base/clock.h"

#include <openssl/err.h>

/* ---- is the peer one of ours? ---- */

static bool rule_matches(struct str entry, struct str id)
{
    if (str_ends(entry, S("/*"))) {
        struct str below = str_sub(entry, 0, entry.n - 1);
        return id.n > below.n && str_starts(id, below);
    }
    return str_eq(entry, id);
}

static struct err check_rule(const struct tls_session *s, const struct spiffe_id *id)
{
    if (s->expect.n > 0) {
        ENSURE(str_eq(s->expect, id->text), ERR_DENIED, "peer is '%.*s', expected '%.*s'",
               STR_FMT(id->text), STR_FMT(s->expect));
        return OK;
    }
    const struct peer_rule *r = &s->endpoint->rule;
    bool found = r->n == 0;
    for (size_t i = 0; i < r->n && !found; i++) {
        found = rule_matches(r->ids[i], id->text);
    }
    ENSURE(found, ERR_DENIED, "peer '%.*s' is not among those expected", STR_FMT(id->text));
    return OK;
}

static struct err check_spiffe_rules(const struct tls_session *s, const struct spiffe_id *id)
{
    TRY(check_rule(s, id));
    const struct peer_rule *r = &s->endpoint->rule;
    return r->check != NULL ? r->check(r->ctx, id, s->peer.certs[0]) : OK;
}

static struct str wanted_name(const struct tls_session *s)
{
    return s->server_name.n > 0 ? s->server_name : s->endpoint->server_name;
}

static struct err check_peer(const struct tls_session *s, const struct tls_trust *trust,
                             int64_t now_s)
{
    ENSURE(trust != NULL, ERR_DENIED, "no trust to check the peer against");
    if (trust->bundles != NULL) {
        struct spiffe_id id;
        TRY(x509_svid_verify(&s->peer, trust->bundles, now_s, &id));
        return check_spiffe_rules(s, &id);
    }
    if (trust->unchecked) {
        return OK;
    }
    bool server = s->endpoint->is_server;
    TRY(x509_verify(&s->peer, trust->anchors, server ? X509_FOR_CLIENT : X509_FOR_SERVER, now_s));
    return server ? OK : x509_verify_name(s->peer.certs[0], wanted_name(s));
}

/*
 * A resumed session was verified under the same context, hence the same trust; what may have changed
 * since are the time and the rules.
 */
static struct err check_resumed(const struct tls_session *s, int64_t now_s)
{
    for (size_t i = 0; i < s->peer.n; i++) {
        ENSURE(now_s <= s->peer.certs[i]->not_after_s, ERR_EXPIRED,
               "certificate %zu of the chain has expired", i);
    }
    if (s->trust == NULL || s->trust->bundles == NULL || s->peer.n == 0) {
        return OK;
    }
    struct spiffe_id id;
    TRY(spiffe_id_parse(s->peer.certs[0]->spiffe_id, &id));
    return check_spiffe_rules(s, &id);
}

static struct err keep_peer(struct tls_session *s, X509 *leaf, STACK_OF(X509) * others)
{
    x509_chain_release(&s->peer);
    if (leaf != NULL) {
        TRY(x509_cert_from_openssl(leaf, &s->peer.certs[0]));
        s->peer.n = 1;
    }
    for (int i = 0; i < sk_X509_num(others); i++) {
        X509 *x = sk_X509_value(others, i);
        if (x == leaf || (leaf != NULL && X509_cmp(x, leaf) == 0)) {
            continue;
        }
        ENSURE(s->peer.n < X509_CHAIN_MAX, ERR_LIMIT, "a chain of over %d certificates",
               X509_CHAIN_MAX);
        TRY(x509_cert_from_openssl(x, &s->peer.certs[s->peer.n]));
        s->peer.n++;
    }
    return OK;
}

static void note_refusal(struct tls_session *s, struct err e)
{
    s->refusal = e;
    snprintf(s->refusal_detail, sizeof(s->refusal_detail), "%s", err_detail());
}

/* Chooses the alert that the peer will see. */
static int alert_reason(struct err e)
{
    switch (e.code) {
    case ERR_EXPIRED:
        return X509_V_ERR_CERT_HAS_EXPIRED;
    case ERR_SIGNATURE:
        return X509_V_ERR_CERT_SIGNATURE_FAILURE;
    case ERR_DENIED:
        return X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY;
    case ERR_REVOKED:
        return X509_V_ERR_CERT_REVOKED;
    default:
        return X509_V_ERR_CERT_REJECTED;
    }
}

int session_verify_callback(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_session *s = SSL_get_app_data(ssl);
    struct err e =
        keep_peer(s, X509_STORE_CTX_get0_cert(store), X509_STORE_CTX_get0_untrusted(store));
    if (!failed(e)) {
        e = check_peer(s, s->trust, clock_wall_s());
    }
    if (failed(e)) {
        note_refusal(s, e);
        X509_STORE_CTX_set_error(store, alert_reason(e));
        return 0;
    }
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* ---- sessions to resume ---- */

static uint64_t whom(const struct tls_session *s)
{
    return str_hash(wanted_name(s)) ^ (str_hash(s->expect) << 1);
}

/* Returning 1 keeps the reference. */
int session_remember_callback(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    struct endpoint *e = s->endpoint;
    if (SSL_get_SSL_CTX(ssl) != e->ctx) {
        return 0; /* of an identity or a trust that is gone */
    }
    uint64_t key = whom(s);
    size_t at = CLIENT_SLOTS;
    for (size_t i = 0; i < CLIENT_SLOTS && at == CLIENT_SLOTS; i++) {
        at = e->slots[i].session != NULL && e->slots[i].whom == key ? i : at;
    }
    if (at == CLIENT_SLOTS) {
        at = e->next_slot++ % CLIENT_SLOTS;
    }
    SSL_SESSION_free(e->slots[at].session);
    e->slots[at] = (struct client_slot){key, session};
    return 1;
}

static void try_resumption(struct tls_session *s)
{
    uint64_t key = whom(s);
    for (size_t i = 0; i < CLIENT_SLOTS; i++) {
        const struct client_slot *slot = &s->endpoint->slots[i];
        if (slot->session != NULL && slot->whom == key) {
            SSL_set_session(s->ssl, slot->session);
        }
    }
}

/* ---- life ---- */

static struct err session_new(struct endpoint *e, struct tls_session **out)
{
    struct tls_session *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    s->ssl = SSL_new(e->ctx);
    if (s->ssl == NULL) {
        free(s);
        return ossl_err(ERR_OK, "making a TLS session");
    }
    e->refs++;
    s->endpoint = e;
    s->trust = tls_trust_ref(e->trust);
    buf_init(&s->in, TLS_IN_MAX);
    buf_init(&s->out, TLS_OUT_MAX);
    BIO *bio = tls_bio_new(s);
    SSL_set_bio(s->ssl, bio, bio);
    SSL_set_app_data(s->ssl, s);
    *out = s;
    return OK;
}

struct err tls_session_server(struct tls_server *server, struct tls_session **out)
{
    ENSURE(server->e.identity != NULL, ERR_UNAVAILABLE, "this server has no certificate yet");
    struct tls_session *s;
    TRY(session_new(&server->e, &s));
    SSL_set_accept_state(s->ssl);
    *out = s;
    return OK;
}

struct err tls_session_client(struct tls_client *client, struct str server_name,
                              struct tls_session **out)
{
    const struct endpoint *e = &client->e;
    ENSURE(e->trust != NULL, ERR_UNAVAILABLE, "this client has no trust yet");
    struct str name = server_name.n > 0 ? server_name : e->server_name;
    ENSURE(e->trust->bundles != NULL || name.n > 0, ERR_INVALID, "no server name to check");
    char text[256];
    TRY(str_to_cstr(name, text, sizeof(text)));
    struct tls_session *s;
    TRY(session_new(&client->e, &s));
    s->server_name = str_own(server_name);
    SSL_set_connect_state(s->ssl);
    bool is_name =
        name.n > 0 && str_find_char(name, ':') == STR_NPOS &&
        !(text[name.n - 1] >= '0' && text[name.n - 1] <= '9'); /* addresses are not sent */
    if (is_name && SSL_set_tlsext_host_name(s->ssl, text) != 1) {
        tls_session_free(s);
        return ossl_err(ERR_INVALID, "setting the server name");
    }
    *out = s;
    return OK;
}

struct err tls_session_expect(struct tls_session *s, struct str spiffe_id)
{
    struct spiffe_id id;
    TRY(spiffe_id_parse(spiffe_id, &id));
    str_disown(&s->expect);
    s->expect = str_own(spiffe_id);
    return OK;
}

void tls_session_free(struct tls_session *s)
{
    if (s == NULL) {
        return;
    }
    if (s->ready && !s->broken) {
        /* A peer that leaves without close_notify is no reason to forget its session. */
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(s->ssl);
    x509_chain_release(&s->peer);
    buf_release(&s->in);
    buf_release(&s->out);
    str_disown(&s->server_name);
    str_disown(&s->expect);
    tls_trust_unref(s->trust);
    endpoint_unref(s->endpoint);
    free(s);
}

/* ---- moving bytes ---- */

static struct err broken(struct tls_session *s, const char *doing)
{
    s->broken = true;
    if (failed(s->refusal)) {
        ERR_clear_error();
        return err_make(s->refusal.code, "TLS peer refused: %s", s->refusal_detail);
    }
    return ossl_err(ERR_CLOSED, doing);
}

/* The handshake has just ended: who is it? */
static struct err on_handshake_done(struct tls_session *s)
{
    if (SSL_session_reused(s->ssl)) {
        struct err e =
            keep_peer(s, SSL_get0_peer_certificate(s->ssl), SSL_get_peer_cert_chain(s->ssl));
        if (!failed(e)) {
            e = check_resumed(s, clock_wall_s());
        }
        if (failed(e)) {
            note_refusal(s, e);
            SSL_CTX_remove_session(s->endpoint->ctx, SSL_get0_session(s->ssl));
            return broken(s, "TLS resumption");
        }
    }
    s->ready = true;
    return OK;
}

static struct err advance(struct tls_session *s)
{
    if (s->ready) {
        return OK;
    }
    ERR_clear_error();
    int n = SSL_do_handshake(s->ssl);
    if (n == 1) {
        return on_handshake_done(s);
    }
    int why = SSL_get_error(s->ssl, n);
    if (why == SSL_ERROR_WANT_READ) {
        return OK;
    }
    return broken(s, "TLS handshake");
}

struct err tls_start(struct tls_session *s)
{
    ENSURE(!s->broken, ERR_CLOSED, "the TLS session has ended");
    if (!s->endpoint->is_server && !s->ready && s->handshake_bytes == 0) {
        try_resumption(s);
    }
    return s->endpoint->is_server ? OK : advance(s);
}

struct err tls_feed(struct tls_session *s, struct str ciphertext)
{
    ENSURE(!s->broken, ERR_CLOSED, "the TLS session has ended");
    if (s->taken > 0) {
        buf_consume(&s->in, s->taken);
        s->taken = 0;
    }
    buf_puts(&s->in, ciphertext);
    if (!buf_ok(&s->in)) {
        s->broken = true;
        FAIL(ERR_LIMIT, "over %d bytes of TLS records wait to be read", TLS_IN_MAX);
    }
    if (s->ready) {
        return OK;
    }
    s->handshake_bytes += ciphertext.n;
    TRY(advance(s));
    if (!s->ready && s->handshake_bytes > TLS_HANDSHAKE_MAX) {
        s->broken = true;
        FAIL(ERR_LIMIT, "a TLS handshake of over %d bytes", TLS_HANDSHAKE_MAX);
    }
    return OK;
}

/* Memory goes back once everything has been taken: idle sessions hold no buffer. */
static void release_input(struct tls_session *s)
{
    if (s->taken == s->in.n && s->in.cap > 0) {
        buf_release(&s->in);
        buf_init(&s->in, TLS_IN_MAX);
        s->taken = 0;
    }
}

struct err tls_read(struct tls_session *s, struct buf *out)
{
    ENSURE(!s->broken, ERR_CLOSED, "the TLS session has ended");
    while (s->ready && out->n < out->max) {
        size_t room = MIN(out->max - out->n, (size_t)SSL3_RT_MAX_PLAIN_LENGTH), n = 0;
        if (SSL_pending(s->ssl) == 0 && s->taken == s->in.n) {
            break;
        }
        char *at = buf_reserve(out, room);
        ENSURE(at != NULL, ERR_LIMIT, "no room for what was received");
        ERR_clear_error();
        if (SSL_read_ex(s->ssl, at, room, &n) == 1) {
            buf_commit(out, n);
            continue;
        }
        int why = SSL_get_error(s->ssl, 0);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_ZERO_RETURN) {
            break;
        }
        return broken(s, "TLS record");
    }
    release_input(s);
    return OK;
}

struct err tls_send(struct tls_session *s, struct str plaintext)
{
    ENSURE(!s->broken, ERR_CLOSED, "the TLS session has ended");
    ENSURE(s->ready, ERR_BUSY, "the TLS handshake is not over");
    ENSURE(plaintext.n < TLS_OUT_MAX - s->out.n, ERR_LIMIT, "over %d bytes wait to be sent",
           TLS_OUT_MAX);
    while (plaintext.n > 0) {
        size_t n = 0;
        ERR_clear_error();
        if (SSL_write_ex(s->ssl, plaintext.p, MIN(plaintext.n, (size_t)SSL3_RT_MAX_PLAIN_LENGTH),
                         &n) != 1) {
            return broken(s, "TLS write");
        }
        plaintext = str_sub(plaintext, n, plaintext.n);
    }
    return OK;
}

bool tls_pending_out(struct tls_session *s, struct buf *out)
{
    if (s->out.n == 0) {
        return false;
    }
    buf_puts(out, buf_str(&s->out));
    buf_release(&s->out);
    buf_init(&s->out, TLS_OUT_MAX);
    return true;
}

void tls_close(struct tls_session *s)
{
    if (!s->broken && s->ready) {
        SSL_shutdown(s->ssl);
        ERR_clear_error();
    }
}

/* ---- what is known ---- */

bool tls_ready(const struct tls_session *s)
{
    return s->ready && !s->broken;
}

bool tls_peer_closed(const struct tls_session *s)
{
    return (SSL_get_shutdown(s->ssl) & SSL_RECEIVED_SHUTDOWN) != 0;
}

struct str tls_peer_spiffe_id(const struct tls_session *s)
{
    bool spiffe = s->ready && s->trust != NULL && s->trust->bundles != NULL && s->peer.n > 0;
    return spiffe ? s->peer.certs[0]->spiffe_id : STR_EMPTY;
}

const struct x509_chain *tls_peer_chain(const struct tls_session *s)
{
    return &s->peer;
}

struct err tls_peer_chain_der(const struct tls_session *s, struct buf *out)
{
    x509_chain_der(&s->peer, out);
    return buf_check(out);
}

struct str tls_alpn(const struct tls_session *s)
{
    const unsigned char *p = NULL;
    unsigned n = 0;
    SSL_get0_alpn_selected(s->ssl, &p, &n);
    return str_n(p, n);
}

struct str tls_sni(const struct tls_session *s)
{
    return str_of(SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name));
}

const char *tls_version(const struct tls_session *s)
{
    return SSL_get_version(s->ssl);
}

bool tls_resumed(const struct tls_session *s)
{
    return SSL_session_reused(s->ssl) == 1;
}

struct err tls_recheck(const struct tls_session *s, int64_t now_s)
{
    if (s->peer.n == 0) {
        ENSURE(!s->endpoint->cert_required, ERR_DENIED, "the peer showed no certificate");
        return OK;
    }
    return check_peer(s, s->endpoint->trust, now_s);
}
