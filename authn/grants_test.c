/* Tests of grants, sessions, revocations, clients, users, throttle, hasher and interactions on a real store. */
#include "grants.h"

#include "lib/base/clock.h"
#include "test/unit.h"

#include "clients.h"
#include "hasher.h"
#include "interactions.h"
#include "schema.h"
#include "throttle.h"
#include "users.h"

#include <unistd.h>

static struct arena arena;
static struct store *store;
static char path[64];

static const struct str verifier = STR_INIT("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
static const struct str challenge = STR_INIT("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
static const int64_t t0 = 1800000000;

static int setup(void **state)
{
    arena_init(&arena, 8 << 20);
    strcpy(path, "/tmp/sextant-authn-XXXXXX");
    close(mkstemp(path));
    assert_ok(store_open(path, authn_schema, &store));
    return 0;
}

static int teardown(void **state)
{
    char other[80];
    store_close(store);
    unlink(path);
    snprintf(other, sizeof(other), "%s-wal", path);
    unlink(other);
    snprintf(other, sizeof(other), "%s-shm", path);
    unlink(other);
    arena_release(&arena);
    return 0;
}

static void make_code(const char *family, struct str code, bool offline)
{
    struct family f = {.id = str_of(family),
                       .client = S("portal"),
                       .sub = S("u1"),
                       .session = S("s1"),
                       .scopes = SCOPE_OPENID | SCOPE_EMAIL,
                       .audience = S("api"),
                       .auth_time = t0,
                       .offline = offline,
                       .created = t0,
                       .expires = t0 + 1000000};
    struct code_details d = {S("https://app.example/cb"), challenge, S("n"), t0 + 60};
    assert_ok(family_insert(store, &f));
    assert_ok(code_insert(store, code, f.id, &d));
}

static struct code_redeem redeem(struct str code, struct str client, struct str uri, struct str v,
                                 int64_t now)
{
    struct code_redeem r = {.code = code,
                            .client = client,
                            .redirect_uri = uri,
                            .verifier = v,
                            .now_s = now,
                            .mark_s = 300};
    assert_ok(store_begin(store));
    assert_ok(code_redeem(store, &arena, &r));
    assert_ok(store_commit(store));
    return r;
}

static void test_code(void **state)
{
    struct str uri = S("https://app.example/cb");
    make_code("f1", S("code1"), true);
    struct code_redeem r = redeem(S("code1"), S("portal"), uri, verifier, t0 + 5);
    assert_int_equal(r.outcome, REDEEM_OK);
    assert_str(r.family.sub, "u1");
    assert_str(r.nonce, "n");
    struct family f;
    assert_ok(family_by_id(store, &arena, S("f1"), &f));
    assert_false(f.revoked);
    r = redeem(S("code1"), S("portal"), uri, verifier, t0 + 35);
    assert_int_equal(r.outcome, REDEEM_REUSED);
    assert_ok(family_by_id(store, &arena, S("f1"), &f));
    assert_true(f.revoked);
    struct revocations marks;
    assert_ok(revocations_load(&marks, store, 300, t0));
    struct token_facts facts = {.jti = S("f1.xyz"), .sub = S("u1"), .iat = t0 + 6};
    assert_true(revocations_hit(&marks, &facts));
    facts.jti = S("f11.xyz");
    assert_false(revocations_hit(&marks, &facts));
    revocations_release(&marks);
}

static void test_code_refusals(void **state)
{
    struct str uri = S("https://app.example/cb");
    assert_int_equal(redeem(S("nope"), S("portal"), uri, verifier, t0).outcome, REDEEM_UNKNOWN);
    make_code("f2", S("code2"), true);
    assert_int_equal(redeem(S("code2"), S("portal"), uri, verifier, t0 + 60).outcome,
                     REDEEM_UNKNOWN);
    make_code("f3", S("code3"), true);
    assert_int_equal(redeem(S("code3"), S("other"), uri, verifier, t0).outcome,
                     REDEEM_WRONG_CLIENT);
    assert_int_equal(redeem(S("code3"), S("portal"), uri, verifier, t0).outcome, REDEEM_REUSED);
    make_code("f4", S("code4"), true);
    assert_int_equal(redeem(S("code4"), S("portal"), uri, STR_EMPTY, t0).outcome, REDEEM_MISMATCH);
    assert_int_equal(redeem(S("code4"), S("portal"), uri, verifier, t0).outcome, REDEEM_REUSED);
    make_code("f5", S("code5"), true);
    assert_int_equal(
        redeem(S("code5"), S("portal"), S("https://app.example/cb2"), verifier, t0).outcome,
        REDEEM_MISMATCH);
    make_code("f6", S("code6"), true);
    assert_int_equal(redeem(S("code6"), S("portal"), STR_EMPTY, verifier, t0).outcome, REDEEM_OK);
}

static struct refresh_rotate rotate(struct str token, int64_t now, unsigned scopes)
{
    struct refresh_rotate r = {.token = token,
                               .client = S("portal"),
                               .scopes = scopes,
                               .now_s = now,
                               .mark_s = 300,
                               .limits = {1000, 10}};
    assert_ok(store_begin(store));
    assert_ok(refresh_rotate(store, &arena, &r));
    assert_ok(store_commit(store));
    return r;
}

static void test_refresh(void **state)
{
    struct str first = one_time_value(&arena);
    make_code("f1", S("c"), true);
    assert_ok(refresh_insert(store, first, S("f1"), 1, t0 + 1000));
    struct refresh_rotate a = rotate(first, t0, 0), b = rotate(first, t0 + 10, 0);
    assert_int_equal(a.outcome, REDEEM_OK);
    assert_int_equal(b.outcome, REDEEM_OK);
    assert_true(str_eq(a.successor, b.successor));
    struct refresh_rotate wider = rotate(a.successor, t0 + 20, SCOPE_OPENID | SCOPE_PHONE);
    assert_int_equal(wider.outcome, REDEEM_SCOPE);
    struct refresh_rotate second = rotate(a.successor, t0 + 20, SCOPE_OPENID);
    assert_int_equal(second.outcome, REDEEM_OK);
    assert_false(str_eq(second.successor, a.successor));
    /* After the grace time a spent token is theft: all of the family goes. */
    assert_int_equal(rotate(first, t0 + 11, 0).outcome, REDEEM_REUSED);
    assert_int_equal(rotate(second.successor, t0 + 21, 0).outcome, REDEEM_REVOKED);
    struct family f;
    assert_err(refresh_lookup(store, &arena, second.successor, t0 + 21, &f), ERR_NOT_FOUND);
    assert_int_equal(rotate(S("unknown"), t0, 0).outcome, REDEEM_UNKNOWN);
}

static void test_refresh_ends(void **state)
{
    struct str token = one_time_value(&arena), cookie = one_time_value(&arena);
    struct session s = {S("s1"), S("u1"), t0, t0, t0 + 500};
    assert_ok(session_insert(store, &s, cookie, S("10.0.0.1:1")));
    make_code("f1", S("c"), false);
    assert_ok(refresh_insert(store, token, S("f1"), 1, t0 + 400));
    struct refresh_rotate r = rotate(token, t0, 0);
    assert_int_equal(r.outcome, REDEEM_OK);
    assert_int_equal(rotate(r.successor, t0 + 501, 0).outcome,
                     REDEEM_REVOKED); /* the session is over */
    struct session_limits lim = {100, 500};
    struct session found;
    assert_ok(session_by_cookie(store, &arena, cookie, &lim, t0 + 50, &found));
    assert_str(found.id, "s1");
    assert_err(session_by_cookie(store, &arena, cookie, &lim, t0 + 101, &found), ERR_NOT_FOUND);
    assert_err(session_by_cookie(store, &arena, S("other"), &lim, t0, &found), ERR_NOT_FOUND);
    assert_ok(session_end(store, S("s1"), t0 + 60, 300));
    assert_err(session_by_cookie(store, &arena, cookie, &lim, t0 + 60, &found), ERR_NOT_FOUND);
    assert_int_equal(rotate(r.successor, t0 + 60, 0).outcome, REDEEM_REVOKED);
}

static void test_subject_and_client_end(void **state)
{
    struct str token = one_time_value(&arena), other = one_time_value(&arena);
    struct revocations marks;
    bool any;
    make_code("f1", S("c1"), true);
    make_code("f2", S("c2"), true);
    assert_ok(refresh_insert(store, token, S("f1"), 1, t0 + 1000));
    assert_ok(refresh_insert(store, other, S("f2"), 1, t0 + 1000));
    assert_ok(revocations_load(&marks, store, 300, t0));
    assert_ok(subject_end(store, S("u1"), t0 + 5, 300));
    assert_ok(revocations_refresh(&marks, &any));
    assert_true(any);
    assert_int_equal(rotate(token, t0 + 6, 0).outcome, REDEEM_REVOKED);
    struct token_facts before = {.sub = S("u1"), .iat = t0 + 5},
                       after = {.sub = S("u1"), .iat = t0 + 6};
    assert_true(revocations_hit(&marks, &before));
    assert_false(revocations_hit(&marks, &after));
    assert_int_equal(revocations_earliest_iat(&marks, S("u1"), S("x"), t0 + 5), t0 + 6);
    assert_int_equal(revocations_earliest_iat(&marks, S("u1"), S("x"), t0 + 9), t0 + 9);
    assert_ok(client_end(store, S("portal"), t0 + 7, 300));
    assert_ok(revocations_refresh(&marks, &any));
    struct token_facts by_client = {.client_id = S("portal"), .iat = t0 + 7};
    assert_true(revocations_hit(&marks, &by_client));
    struct buf out;
    buf_init(&out, 1 << 16);
    assert_ok(revocations_write_json(&marks, 0, &out, &any));
    assert_str(
        buf_str(&out),
        "{\"revocations\":[{\"seq\":1,\"kind\":\"sub\",\"value\":\"u1\",\"before\":1800000005},"
        "{\"seq\":2,\"kind\":\"client\",\"value\":\"portal\",\"before\":1800000007}],\"next\":2}");
    buf_release(&out);
    assert_ok(revocations_prune(&marks, t0 + 1000));
    assert_false(revocations_hit(&marks, &before));
    revocations_release(&marks);
}

/* What was spent stays spent across a crash: the file is opened anew, as after kill -9. */
static void test_reopen(void **state)
{
    make_code("f1", S("code"), true);
    assert_int_equal(redeem(S("code"), S("portal"), STR_EMPTY, verifier, t0).outcome, REDEEM_OK);
    store_close(store);
    assert_ok(store_open(path, authn_schema, &store));
    assert_int_equal(redeem(S("code"), S("portal"), STR_EMPTY, verifier, t0).outcome,
                     REDEEM_REUSED);
}

static void test_assertion_and_consent(void **state)
{
    unsigned scopes;
    assert_ok(assertion_spend(store, S("c"), S("j1"), t0));
    assert_err(assertion_spend(store, S("c"), S("j1"), t0), ERR_EXISTS);
    assert_ok(assertion_spend(store, S("d"), S("j1"), t0));
    assert_ok(consent_insert(store, S("u"), S("c"), SCOPE_OPENID, t0));
    assert_ok(consent_insert(store, S("u"), S("c"), SCOPE_EMAIL, t0));
    assert_ok(consent_scopes(store, S("u"), S("c"), &scopes));
    assert_int_equal(scopes, SCOPE_OPENID | SCOPE_EMAIL);
    assert_ok(consent_scopes(store, S("u"), S("d"), &scopes));
    assert_int_equal(scopes, 0);
    assert_ok(grants_prune(store, t0 + 1));
    assert_ok(assertion_spend(store, S("c"), S("j1"), t0));
}

static int64_t count_rows(const char *sql)
{
    struct stmt *q;
    bool row;
    assert_ok(store_stmt(store, sql, &q));
    assert_ok(stmt_step(q, &row));
    int64_t n = stmt_col_int(q, 0);
    stmt_reset(q);
    return n;
}

static void test_prune(void **state)
{
    struct str offline = one_time_value(&arena), online = one_time_value(&arena),
               theft = one_time_value(&arena);
    struct session s = {S("s1"), S("u1"), t0, t0, t0 + 90000};
    assert_ok(session_insert(store, &s, S("cookie"), S("10.0.0.1:1")));
    make_code("f1", S("c1"), true);
    make_code("f2", S("c2"), false);
    make_code("f3", S("c3"), true);
    assert_ok(refresh_insert(store, offline, S("f1"), 1, t0 + 1000));
    assert_ok(refresh_insert(store, online, S("f2"), 1, t0 + 1000));
    assert_ok(refresh_insert(store, theft, S("f3"), 1, t0 + 1000));
    assert_int_equal(rotate(offline, t0, 0).outcome, REDEEM_OK);
    assert_ok(family_revoke(store, S("f3"), t0, 300));
    assert_ok(grants_prune(store, t0 + 100));
    assert_int_equal(count_rows("SELECT count(*) FROM family"), 3);
    assert_int_equal(count_rows("SELECT count(*) FROM code"), 3);
    assert_ok(grants_prune(store, t0 + 4000));
    assert_int_equal(count_rows("SELECT count(*) FROM family"), 2); /* the revoked one is gone */
    assert_int_equal(count_rows("SELECT count(*) FROM code "), 0);
    assert_int_equal(count_rows("SELECT count(*) FROM refresh"), 3);
    assert_ok(grants_prune(store, t0 + 90001)); /* the session ends, its row goes with this pass */
    assert_ok(grants_prune(store, t0 + 90002));
    assert_int_equal(count_rows("SELECT count(*) FROM family  "), 1);
    assert_int_equal(count_rows("SELECT count(*) FROM refresh "),
                     1); /* the successor; the spent one is old */
}

static void check_client(const char *text, enum err_code code)
{
    struct client *c = NULL;
    struct err e = client_parse(str_of(text), &c);
    if (e.code != code) {
        fail_msg("%s gave '%s' (%s)", text, err_text(e), failed(e) ? err_detail() : "");
    }
    client_unref(c);
}

static void test_clients(void **state)
{
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/cb\"]}", ERR_OK);
    check_client("{\"client_id\":\"a\"}", ERR_INVALID);
    check_client("{\"redirect_uris\":[\"https://a.example/cb\"]}", ERR_INVALID);
    check_client("{\"client_id\":\"a b\",\"redirect_uris\":[\"https://a.example/cb\"]}",
                 ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"http://a.example/cb\"]}", ERR_INVALID);
    check_client(
        "{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/cb\"],\"roles\":[\"x\"]}",
        ERR_DENIED);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"access_token_claims\":{\"x\":1}}",
                 ERR_DENIED);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"id_token_claims\":[\"permissions\"]}",
                 ERR_DENIED);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"id_token_claims\":[\"team\"]}",
                 ERR_OK);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"id_token_claims\":[\"sub\"]}",
                 ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"scope\":\"orders:write\"}",
                 ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/cb\"],\"typo\":1}",
                 ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"grant_types\":[\"password\"]}", ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"grant_types\":[\"client_credentials\"],\"token_endpoint_"
                 "auth_method\":\"none\"}",
                 ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"grant_types\":[\"client_credentials\"],\"token_endpoint_"
                 "auth_method\":\"spiffe_x509\"}",
                 ERR_INVALID);
    check_client("{\"client_id\":\"a\",\"grant_types\":[\"client_credentials\"],\"token_endpoint_"
                 "auth_method\":\"spiffe_x509\","
                 "\"spiffe_id\":\"spiffe://cluster.local/ns/shop/sa/cart\"}",
                 ERR_OK);
    check_client("{\"client_id\":\"a\",\"grant_types\":[\"client_credentials\"],\"token_endpoint_"
                 "auth_method\":\"private_key_jwt\"}",
                 ERR_INVALID);
    check_client("[]", ERR_INVALID);
    check_client("{", ERR_SYNTAX);
}

static void test_client_life(void **state)
{
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"access_token_life\":5}",
                 ERR_OK);
    check_client("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/"
                 "cb\"],\"access_token_life\":0}",
                 ERR_INVALID);
}

static void test_client_table(void **state)
{
    struct clients t = {0}, again = {0};
    struct client *c;
    uint8_t digest[SHA256_BYTES];
    sha256(S("hunter2hunter2"), digest);
    assert_ok(clients_load(&t, store));
    assert_ok(
        client_parse(S("{\"client_id\":\"svc\",\"grant_types\":[\"client_credentials\"],\"client_"
                       "secret_hashes\":"
                       "[\"0000000000000000000000000000000000000000000000000000000000000000\"]}"),
                     &c));
    assert_false(client_secret_ok(c, S("hunter2hunter2")));
    memcpy(c->secrets[0], digest, sizeof(digest));
    assert_true(client_secret_ok(c, S("hunter2hunter2")));
    assert_false(client_secret_ok(c, S("")));
    assert_ok(clients_write(&t, c, t0));
    clients_publish(&t, c);
    assert_ok(clients_load(&again, store));
    assert_non_null(clients_find(&again, S("svc")));
    assert_null(clients_find(&again, S("SVC")));
    assert_ok(clients_erase(&t, S("svc")));
    clients_forget(&t, S("svc"));
    assert_null(clients_find(&t, S("svc")));
    clients_release(&t);
    clients_release(&again);
}

static void test_users(void **state)
{
    struct user u = {.sub = S("sub1"),
                     .hash = S("h"),
                     .attributes = json_new_object(&arena),
                     .created = t0,
                     .changed = t0},
                found;
    assert_ok(user_name_normalize(&arena, S("Ana.Lima@Example.ORG"), &u.name));
    assert_str(u.name, "ana.lima@example.org");
    struct str bad;
    assert_err(user_name_normalize(&arena, S("ana lima"), &bad), ERR_INVALID);
    assert_err(user_name_normalize(&arena, S("<script>"), &bad), ERR_INVALID);
    assert_err(user_name_normalize(&arena, S(""), &bad), ERR_INVALID);
    assert_ok(user_insert(store, &u));
    assert_err(user_insert(store, &u), ERR_EXISTS);
    assert_ok(user_find(store, &arena, S("ANA.lima@example.org"), &found));
    assert_ok(user_find(store, &arena, S("sub1"), &found));
    assert_ok(user_set_disabled(store, S("sub1"), true, t0 + 1));
    assert_ok(user_by_sub(store, &arena, S("sub1"), &found));
    assert_true(found.disabled);
    assert_ok(user_delete(store, S("sub1")));
    assert_err(user_by_sub(store, &arena, S("sub1"), &found), ERR_NOT_FOUND);
}

static void test_throttle(void **state)
{
    struct throttle t;
    char storage[64];
    int64_t now = 1000 * NS_PER_S;
    throttle_init(&t);
    for (int i = 0; i < 4; i++) {
        throttle_failed(&t, S("ana"), S("10.0.0.1"), now);
    }
    assert_int_equal(throttle_wait_s(&t, S("ana"), S("10.0.0.1"), now), 0);
    throttle_failed(&t, S("ana"), S("10.0.0.1"), now);
    assert_int_equal(throttle_wait_s(&t, S("ana"), S("10.0.0.1"), now), 1);
    assert_int_equal(throttle_wait_s(&t, S("ana"), S("10.0.0.2"), now),
                     0); /* the owner, elsewhere */
    throttle_failed(&t, S("ana"), S("10.0.0.1"), now);
    assert_int_equal(throttle_wait_s(&t, S("ana"), S("10.0.0.1"), now), 2);
    for (int i = 0; i < 100; i++) {
        throttle_failed(&t, S("ana"), S("10.0.0.1"), now);
    }
    assert_int_equal(throttle_wait_s(&t, S("ana"), S("10.0.0.1"), now), 900);
    assert_true(throttle_wait_s(&t, S("bob"), S("10.0.0.1"), now) > 0); /* the source as a whole */
    assert_int_equal(throttle_wait_s(&t, S("ana"), S("10.0.0.1"), now + 901 * NS_PER_S), 0);
    throttle_succeeded(&t, S("ana"), S("10.0.0.9"));
    assert_str(throttle_source(S("10.1.2.3:4242"), storage, sizeof(storage)), "10.1.2.3");
    assert_str(throttle_source(S("[2001:db8:1:2:3:4:5:6]:1"), storage, sizeof(storage)),
               "2001:0db8:0001:0002::/64");
    throttle_release(&t);
}

static struct str last_hash;
static bool last_match;

static void made(void *ctx, struct err e, struct str hash)
{
    assert_ok(e);
    last_hash = arena_str(&arena, hash);
}

static void checked(void *ctx, struct err e, bool match, struct str renewed)
{
    assert_ok(e);
    last_match = match;
    last_hash = arena_str(&arena, renewed);
}

static bool password_fits(struct hasher *h, struct str hash, const char *password)
{
    struct secret s;
    assert_ok(secret_copy(&s, str_of(password)));
    assert_ok(hasher_check(h, hash, &s, checked, NULL));
    assert_null(s.guarded);
    return last_match;
}

static void test_hasher(void **state)
{
    struct hasher *weak, *strong;
    struct secret s;
    assert_ok(hasher_new(NULL, &(struct hasher_opts){8192, 1, 1}, &weak));
    assert_ok(hasher_new(NULL, &(struct hasher_opts){19456, 2, 1}, &strong));
    assert_ok(secret_copy(&s, S("correct horse")));
    assert_ok(hasher_make(weak, &s, made, NULL));
    struct str hash = last_hash;
    assert_true(str_starts(hash, S("$argon2id$v=19$m=8192,t=1,p=1$")));
    assert_true(password_fits(weak, hash, "correct horse"));
    assert_int_equal(last_hash.n, 0);
    assert_false(password_fits(weak, hash, "wrong horse"));
    assert_false(password_fits(weak, STR_EMPTY, "correct horse"));
    assert_true(password_fits(strong, hash, "correct horse"));
    assert_true(str_starts(last_hash, S("$argon2id$v=19$m=19456,t=2,p=1$"))); /* made anew */
    assert_err(password_check(S("short"), S("ana")), ERR_INVALID);
    assert_err(password_check(S("analima1"), S("AnaLima1")), ERR_INVALID);
    assert_err(password_check(S("bad\xff bytes here"), S("ana")), ERR_INVALID);
    assert_ok(password_check(S("long enough"), S("ana")));
    hasher_free(weak);
    hasher_free(strong);
}

static void test_interactions(void **state)
{
    struct interactions t;
    struct client *c;
    assert_ok(
        client_parse(S("{\"client_id\":\"a\",\"redirect_uris\":[\"https://a.example/cb\"]}"), &c));
    struct auth_request r = {
        .client = c, .redirect_uri = S("https://a.example/cb"), .state = S("x")};
    interactions_init(&t);
    struct interaction *i = interaction_new(&t, &r, S("browser"), 0);
    struct str id = arena_str(&arena, i->id), csrf = arena_str(&arena, i->csrf);
    assert_ptr_equal(interaction_find(&t, id, S("browser"), 1), i);
    assert_null(interaction_find(&t, id, S("other"), 1));
    assert_null(interaction_find(&t, id, STR_EMPTY, 1));
    assert_false(interaction_spend_csrf(i, S("wrong")));
    assert_false(interaction_spend_csrf(i, csrf)); /* spent by the wrong try */
    csrf = arena_str(&arena, i->csrf);
    assert_true(interaction_spend_csrf(i, csrf));
    assert_false(interaction_spend_csrf(i, csrf));
    assert_null(interaction_find(&t, id, S("browser"), 601 * NS_PER_S));
    for (int n = 0; n < 5; n++) {
        interaction_new(&t, &r, S("browser"), 0);
    }
    interactions_release(&t);
    client_unref(c);
}

int main(void)
{
#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_code),
        T(test_code_refusals),
        T(test_refresh),
        T(test_refresh_ends),
        T(test_subject_and_client_end),
        T(test_reopen),
        T(test_assertion_and_consent),
        T(test_clients),
        T(test_prune),
        T(test_client_life),
        T(test_client_table),
        T(test_users),
        T(test_throttle),
        T(test_hasher),
        T(test_interactions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
