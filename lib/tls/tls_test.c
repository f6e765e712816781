#include "test/unit.h"

#include "lib/base/clock.h"
#include "lib/x509/issue.h"
#include "tls.h"

#include <unistd.h>

/* ---- a small trust domain ---- */

struct domain {
    struct key *key;
    struct buf name, der;
    struct x509_cert *cert;
    struct x509_anchors *anchors;
};

static void domain_make(struct domain *d, const char *td)
{
    char uri[256];
    snprintf(uri, sizeof(uri), "spiffe://%s", td);
    struct str uris[] = {str_of(uri)};
    assert_ok(key_generate(KEY_P256, &d->key));
    buf_init(&d->name, 1024);
    buf_init(&d->der, X509_CERT_MAX);
    x509_name_put(&d->name,
                  &(struct x509_name){.organization = S("SPIFFE"), .common_name = str_of(td)});
    int64_t now = clock_wall_s();
    struct x509_spec spec = {.subject = buf_str(&d->name),
                             .issuer = buf_str(&d->name),
                             .not_before_s = now - 10,
                             .not_after_s = now + 86400,
                             .spki = key_spki(d->key),
                             .uris = uris,
                             .n_uris = 1,
                             .is_ca = true,
                             .path_len = -1,
                             .alg = SIG_ES256};
    assert_ok(x509_issue(&spec, d->key, &d->der));
    assert_ok(x509_cert_parse(buf_str(&d->der), &d->cert));
    assert_ok(x509_anchors_new(&d->anchors));
    assert_ok(x509_anchors_add(d->anchors, d->cert));
}

static void domain_release(struct domain *d)
{
    x509_anchors_unref(d->anchors);
    x509_cert_unref(d->cert);
    buf_release(&d->der);
    buf_release(&d->name);
    key_unref(d->key);
}

static struct tls_identity *identity(struct domain *d, const char *id, int64_t from, int64_t to)
{
    struct key *k;
    struct tls_identity *i;
    assert_ok(key_generate(KEY_P256, &k));
    struct str uri = str_of(id);
    struct str dns = S("server.test");
    struct x509_spec spec = {.issuer = buf_str(&d->name),
                             .not_before_s = clock_wall_s() + from,
                             .not_after_s = clock_wall_s() + to,
                             .spki = key_spki(k),
                             .uris = &uri,
                             .n_uris = 1,
                             .dns_names = &dns,
                             .n_dns_names = 1,
                             .issuer_key_id = d->cert->subject_key_id,
                             .alg = SIG_ES256};
    struct buf der;
    buf_init(&der, X509_CERT_MAX);
    assert_ok(x509_issue(&spec, d->key, &der));
    struct x509_chain chain;
    assert_ok(x509_chain_from_der(buf_str(&der), &chain));
    assert_ok(tls_identity_new(&chain, k, &i));
    x509_chain_release(&chain);
    buf_release(&der);
    key_unref(k);
    return i;
}

static struct tls_trust *trust(struct domain *d, const char *td)
{
    struct x509_bundles *b;
    struct tls_trust *t;
    assert_ok(x509_bundles_new(&b));
    assert_ok(x509_bundles_set(b, str_of(td), d->anchors));
    assert_ok(tls_trust_spiffe(b, &t));
    x509_bundles_unref(b);
    return t;
}

/* ---- two ends in memory ---- */

struct pair {
    struct tls_session *client, *server;
    struct err client_err, server_err;
    char client_detail[512], server_detail[512];
};

static void move(struct tls_session *from, struct tls_session *to, struct err *e, char detail[512],
                 bool *moved)
{
    struct buf b;
    buf_init(&b, TLS_OUT_MAX * 2);
    if (tls_pending_out(from, &b)) {
        *moved = true;
        if (!failed(*e)) {
            *e = tls_feed(to, buf_str(&b));
            struct buf none;
            buf_init(&none, 1 << 20);
            if (!failed(*e)) {
                *e = tls_read(to, &none); /* alerts are seen when reading */
            }
            buf_release(&none);
            if (failed(*e)) {
                snprintf(detail, 512, "%s", err_detail());
            }
        }
    }
    buf_release(&b);
}

static void pump(struct pair *p)
{
    for (bool moved = true; moved;) {
        moved = false;
        move(p->client, p->server, &p->server_err, p->server_detail, &moved);
        move(p->server, p->client, &p->client_err, p->client_detail, &moved);
    }
}

static void connect_pair(struct pair *p, struct tls_server *s, struct tls_client *c,
                         const char *name)
{
    *p = (struct pair){.client = NULL};
    assert_ok(tls_session_server(s, &p->server));
    assert_ok(tls_session_client(c, str_of(name), &p->client));
    assert_ok(tls_start(p->server));
    assert_ok(tls_start(p->client));
    pump(p);
}

static void pair_release(struct pair *p)
{
    tls_session_free(p->client);
    tls_session_free(p->server);
}

/* ---- tests ---- */

struct world {
    struct domain one, two;
    struct tls_identity *a, *b;
    struct tls_trust *t;
    struct tls_server *server;
    struct tls_client *client;
};

static const char *const alpn[] = {"h2", "http/1.1", NULL};
static struct str only_a[] = {STR_INIT("spiffe://one.test/ns/x/*")};
static struct str only_b[] = {STR_INIT("spiffe://one.test/b")};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof(*w));
    domain_make(&w->one, "one.test");
    domain_make(&w->two, "two.test");
    w->a = identity(&w->one, "spiffe://one.test/ns/x/a", -10, 3600);
    w->b = identity(&w->one, "spiffe://one.test/b", -10, 3600);
    w->t = trust(&w->one, "one.test");
    assert_ok(tls_server_new(&(struct tls_server_opts){.identity = w->b,
                                                       .trust = w->t,
                                                       .client_cert_required = true,
                                                       .peers = {.ids = only_a, .n = 1},
                                                       .alpn = alpn},
                             &w->server));
    assert_ok(tls_client_new(
        &(struct tls_client_opts){
            .identity = w->a, .trust = w->t, .peers = {.ids = only_b, .n = 1}, .alpn = alpn},
        &w->client));
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    tls_server_unref(w->server);
    tls_client_unref(w->client);
    tls_trust_unref(w->t);
    tls_identity_unref(w->a);
    tls_identity_unref(w->b);
    domain_release(&w->one);
    domain_release(&w->two);
    free(w);
    return 0;
}

static void test_mutual(void **state)
{
    struct world *w = *state;
    struct pair p;
    connect_pair(&p, w->server, w->client, "");
    assert_ok(p.server_err);
    assert_ok(p.client_err);
    assert_true(tls_ready(p.client) && tls_ready(p.server));
    assert_str(tls_peer_spiffe_id(p.client), "spiffe://one.test/b");
    assert_str(tls_peer_spiffe_id(p.server), "spiffe://one.test/ns/x/a");
    assert_str(tls_alpn(p.server), "h2");
    assert_string_equal(tls_version(p.client), "TLSv1.3");
    assert_ok(tls_recheck(p.server, clock_wall_s()));
    assert_err(tls_recheck(p.server, clock_wall_s() + 4000), ERR_EXPIRED);
    pair_release(&p);
}

static void test_bytes(void **state)
{
    struct world *w = *state;
    struct pair p;
    connect_pair(&p, w->server, w->client, "");
    size_t n = 300000;
    char *text = malloc(n);
    memset(text, 'x', n);
    text[n - 1] = '!';
    assert_ok(tls_send(p.client, str_n(text, n)));
    struct buf wire, plain;
    buf_init(&wire, TLS_OUT_MAX);
    buf_init(&plain, 1 << 20);
    assert_true(tls_pending_out(p.client, &wire));
    assert_false(tls_pending_out(p.client, &wire));
    for (size_t at = 0; at < wire.n; at += 1000) { /* in odd pieces */
        assert_ok(tls_feed(p.server, str_sub(buf_str(&wire), at, at + 1000)));
        assert_ok(tls_read(p.server, &plain));
    }
    assert_int_equal(plain.n, n);
    assert_memory_equal(plain.p, text, n);
    tls_close(p.client);
    pump(&p);
    assert_true(tls_peer_closed(p.server));
    /* A flipped bit ends the session. */
    assert_ok(tls_send(p.server, S("secret")));
    buf_clear(&wire);
    assert_true(tls_pending_out(p.server, &wire));
    wire.p[wire.n - 1] ^= 1;
    assert_ok(tls_feed(p.client, buf_str(&wire)));
    assert_err(tls_read(p.client, &plain), ERR_CLOSED);
    assert_err(tls_send(p.client, S("x")), ERR_CLOSED);
    buf_release(&wire);
    buf_release(&plain);
    free(text);
    pair_release(&p);
}

static void refused_by_server(struct world *w, struct tls_identity *who, enum err_code code,
                              const char *says)
{
    struct tls_client *c;
    struct pair p;
    assert_ok(tls_client_new(
        &(struct tls_client_opts){.identity = who, .trust = w->t, .alpn = alpn}, &c));
    connect_pair(&p, w->server, c, "");
    if (p.server_err.code != code || strstr(p.server_detail, says) == NULL) {
        fail_msg("server said '%s' (%s)", p.server_detail, err_text(p.server_err));
    }
    assert_false(tls_ready(p.server));
    assert_true(failed(p.client_err)); /* the alert arrived */
    pair_release(&p);
    tls_client_unref(c);
}

static void test_refusals(void **state)
{
    struct world *w = *state;
    struct tls_identity *other = identity(&w->one, "spiffe://one.test/ns/y/a", -10, 3600);
    struct tls_identity *foreign = identity(&w->two, "spiffe://two.test/ns/x/a", -10, 3600);
    struct tls_identity *forged = identity(&w->two, "spiffe://one.test/ns/x/a", -10, 3600);
    struct tls_identity *expired = identity(&w->one, "spiffe://one.test/ns/x/a", -100, -50);
    refused_by_server(w, NULL, ERR_CLOSED, "peer did not return a certificate");
    refused_by_server(w, other, ERR_DENIED, "not among those expected");
    refused_by_server(w, foreign, ERR_DENIED, "no trust bundle for trust domain 'two.test'");
    refused_by_server(w, forged, ERR_DENIED, "unable to get local issuer");
    refused_by_server(w, expired, ERR_EXPIRED, "expired");
    tls_identity_unref(other);
    tls_identity_unref(foreign);
    tls_identity_unref(forged);
    tls_identity_unref(expired);
}

static void test_wrong_server(void **state)
{
    struct world *w = *state;
    struct pair p = {.client = NULL};
    assert_ok(tls_session_server(w->server, &p.server));
    assert_ok(tls_session_client(w->client, STR_EMPTY, &p.client));
    assert_ok(tls_session_expect(p.client, S("spiffe://one.test/c")));
    assert_err(tls_session_expect(p.client, S("one.test/c")), ERR_SYNTAX);
    assert_ok(tls_start(p.client));
    pump(&p);
    assert_err(p.client_err, ERR_DENIED);
    assert_non_null(strstr(p.client_detail, "expected 'spiffe://one.test/c'"));
    pair_release(&p);
}

static void test_resumption(void **state)
{
    struct world *w = *state;
    struct pair p;
    connect_pair(&p, w->server, w->client, "");
    assert_false(tls_resumed(p.server));
    pair_release(&p);
    connect_pair(&p, w->server, w->client, "");
    assert_ok(p.server_err);
    assert_true(tls_resumed(p.server) && tls_resumed(p.client));
    assert_str(tls_peer_spiffe_id(p.server), "spiffe://one.test/ns/x/a");
    assert_str(tls_peer_spiffe_id(p.client), "spiffe://one.test/b");
    pair_release(&p);
    /* A new trust forgets them all. */
    assert_ok(tls_server_set_trust(w->server, w->t));
    connect_pair(&p, w->server, w->client, "");
    assert_ok(p.server_err);
    assert_false(tls_resumed(p.server));
    pair_release(&p);
}

static struct err no_more(void *ctx, const struct spiffe_id *id, const struct x509_cert *leaf)
{
    bool *banned = ctx;
    ENSURE(!*banned, ERR_REVOKED, "%.*s is banned", STR_FMT(id->text));
    return OK;
}

static void test_ban_reaches_resumption(void **state)
{
    struct world *w = *state;
    bool banned = false;
    struct tls_server *s;
    assert_ok(tls_server_new(&(struct tls_server_opts){.identity = w->b,
                                                       .trust = w->t,
                                                       .client_cert_required = true,
                                                       .peers = {.check = no_more, .ctx = &banned}},
                             &s));
    struct pair p;
    connect_pair(&p, s, w->client, "");
    assert_ok(p.server_err);
    banned = true;
    assert_err(tls_recheck(p.server, clock_wall_s()), ERR_REVOKED);
    pair_release(&p);
    connect_pair(&p, s, w->client, "");
    assert_err(p.server_err, ERR_REVOKED);
    assert_false(tls_ready(p.server));
    pair_release(&p);
    tls_server_unref(s);
}

static void test_live_swap(void **state)
{
    struct world *w = *state;
    struct pair old, now;
    connect_pair(&old, w->server, w->client, "");
    struct tls_identity *fresh = identity(&w->two, "spiffe://two.test/b", -10, 3600);
    struct tls_trust *both = trust(&w->two, "two.test");
    assert_ok(tls_server_set_identity(w->server, fresh));
    connect_pair(&now, w->server, w->client, "");
    assert_err(now.client_err, ERR_DENIED);
    pair_release(&now);
    /* The trust of one.test is withdrawn: the open session is found wanting, and keeps its bytes until cut. */
    assert_ok(tls_server_set_trust(w->server, both));
    assert_err(tls_recheck(old.server, clock_wall_s()), ERR_DENIED);
    assert_ok(tls_send(old.server, S("still here")));
    pair_release(&old);
    tls_identity_unref(fresh);
    tls_trust_unref(both);
}

static void test_alpn(void **state)
{
    struct world *w = *state;
    static const char *const other[] = {"smtp", NULL}, *const h1[] = {"http/1.1", NULL};
    struct tls_client *c;
    struct pair p;
    assert_ok(tls_client_new(
        &(struct tls_client_opts){.identity = w->a, .trust = w->t, .alpn = other}, &c));
    connect_pair(&p, w->server, c, "");
    assert_err(p.server_err, ERR_CLOSED);
    pair_release(&p);
    tls_client_unref(c);
    assert_ok(
        tls_client_new(&(struct tls_client_opts){.identity = w->a, .trust = w->t, .alpn = h1}, &c));
    connect_pair(&p, w->server, c, "");
    assert_str(tls_alpn(p.client), "http/1.1");
    pair_release(&p);
    tls_client_unref(c);
}

static void test_garbage(void **state)
{
    struct world *w = *state;
    static const struct str junk[] = {
        STR_INIT("GET / HTTP/1.1\r\n\r\n"), STR_INIT("\x16\x03\x01\xff\xff"),
        STR_INIT("\x15\x03\x03\x00\x02\x02\x28"), STR_INIT("\0\0\0\0\0\0\0\0")};
    for (size_t i = 0; i < ARRAY_LEN(junk); i++) {
        struct tls_session *s;
        assert_ok(tls_session_server(w->server, &s));
        struct err e = tls_feed(s, junk[i]);
        assert_false(tls_ready(s));
        if (!failed(e)) {
            assert_err(tls_send(s, S("x")), ERR_BUSY);
        }
        tls_session_free(s);
    }
    /* A handshake that never ends is cut by its limit. */
    struct tls_session *s;
    assert_ok(tls_session_server(w->server, &s));
    char record[5 + 16384] = {0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0x01, 0x00, 0x00};
    struct err e = OK;
    for (int i = 0; i < 40 && !failed(e); i++) {
        e = tls_feed(s, str_n(record, sizeof(record)));
    }
    assert_true(failed(e));
    tls_session_free(s);
}

static void test_browser_server(void **state)
{
    char dir[] = "/tmp/sextant-tls-XXXXXX", path[64];
    assert_non_null(mkdtemp(dir));
    struct str names[] = {STR_INIT("localhost"), STR_INIT("127.0.0.1"), STR_INIT("::1")};
    int64_t now = clock_wall_s();
    struct tls_identity *i, *again;
    assert_ok(tls_identity_local(dir, names, 3, now, &i));
    assert_ok(tls_identity_local(dir, names, 3, now, &again));
    assert_true(key_same_public(tls_identity_key(i), tls_identity_key(again)));
    tls_identity_unref(again);
    struct x509_anchors *anchors;
    struct tls_trust *t;
    struct tls_server *s;
    struct tls_client *c;
    snprintf(path, sizeof(path), "%s/ca.crt", dir);
    assert_ok(x509_anchors_new(&anchors));
    assert_ok(x509_anchors_add_file(anchors, path));
    assert_ok(tls_trust_names(anchors, &t));
    assert_ok(tls_server_new(&(struct tls_server_opts){.identity = i}, &s));
    assert_ok(tls_client_new(&(struct tls_client_opts){.trust = t}, &c));
    static const char *const good[] = {"localhost", "127.0.0.1", "::1"};
    struct pair p;
    for (size_t n = 0; n < ARRAY_LEN(good); n++) {
        connect_pair(&p, s, c, good[n]);
        assert_ok(p.client_err);
        assert_true(tls_ready(p.client));
        assert_int_equal(tls_peer_spiffe_id(p.client).n, 0);
        pair_release(&p);
    }
    connect_pair(&p, s, c, "example.com");
    assert_err(p.client_err, ERR_DENIED);
    assert_non_null(strstr(p.client_detail, "not for 'example.com'"));
    pair_release(&p);
    struct tls_session *unnamed;
    assert_err(tls_session_client(c, STR_EMPTY, &unnamed), ERR_INVALID);
    /* Other names, or little life left: made anew. */
    assert_ok(tls_identity_local(dir, names, 1, now, &again));
    assert_false(key_same_public(tls_identity_key(i), tls_identity_key(again)));
    tls_identity_unref(again);
    assert_ok(tls_identity_local(dir, names, 1, now + 300 * 86400, &again));
    assert_true(tls_identity_chain(again)->certs[0]->not_after_s > now + 400 * 86400);
    tls_identity_unref(again);
    tls_server_unref(s);
    tls_client_unref(c);
    tls_trust_unref(t);
    x509_anchors_unref(anchors);
    tls_identity_unref(i);
    static const char *const files[] = {"ca.crt", "server.crt", "server.key"};
    for (size_t n = 0; n < ARRAY_LEN(files); n++) {
        snprintf(path, sizeof(path), "%s/%s", dir, files[n]);
        assert_int_equal(unlink(path), 0);
    }
    rmdir(dir);
}

static void test_options(void **state)
{
    struct world *w = *state;
    struct tls_server *s;
    struct tls_session *session;
    struct str bad[] = {STR_INIT("not-an-id")};
    assert_err(tls_server_new(&(struct tls_server_opts){.client_cert_required = true}, &s),
               ERR_INVALID);
    assert_err(
        tls_server_new(&(struct tls_server_opts){.trust = w->t, .peers = {.ids = bad, .n = 1}}, &s),
        ERR_SYNTAX);
    assert_ok(tls_server_new(&(struct tls_server_opts){.trust = w->t}, &s));
    assert_err(tls_session_server(s, &session), ERR_UNAVAILABLE);
    tls_server_unref(s);
    struct tls_identity *i;
    assert_err(tls_identity_new(tls_identity_chain(w->a), tls_identity_key(w->b), &i), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mutual, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ban_reaches_resumption, setup, teardown),
        cmocka_unit_test_setup_teardown(test_live_swap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_alpn, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage, setup, teardown),
        cmocka_unit_test(test_browser_server),
        cmocka_unit_test_setup_teardown(test_options, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
