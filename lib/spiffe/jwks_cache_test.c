/* The key cache against a server that counts how often it is asked. */
#include "lib/base/clock.h"
#include "test/unit.h"

#include "jwks_cache.h"
#include "lib/http/http.h"
#include "lib/loop/loop.h"

static struct loop *loop;
static struct http_server *server;
static struct http_client *client;
static char issuer[128];
static unsigned fetches, changes, answers;
static enum err_code last;
static int status = 200;
static const char *discovery_issuer, *keys_url;

static const char key_set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\",\"x\":"
                              "\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";

static void handle(struct http_req *req, void *ctx)
{
    if (str_is(req->path, "/.well-known/openid-configuration")) {
        http_reply_json(req, 200,
                        arena_printf(req->arena, "{\"issuer\":\"%s\",\"jwks_uri\":\"%s\"}",
                                     discovery_issuer, keys_url));
        return;
    }
    fetches++;
    http_reply_json(req, status, str_of(key_set));
}

static void changed(void *ctx, const struct jwks *set)
{
    changes++;
    assert_int_equal(set->n, 1);
}

static void refreshed(void *ctx, struct err e)
{
    answers++;
    last = (enum err_code)e.code;
    loop_stop(loop);
}

static struct jwks_cache *make(const char *url, bool discover)
{
    struct jwks_cache *c;
    struct jwks_cache_opts o = {
        .client = client, .url = str_of(url), .discover = discover, .on_change = changed};
    fetches = changes = answers = 0;
    assert_ok(jwks_cache_new(loop, &o, &c));
    return c;
}

static int setup(void **state)
{
    struct http_server_opts o = {.handle = handle};
    assert_ok(loop_new(&loop));
    assert_ok(http_server_new(loop, &o, &server));
    assert_ok(http_server_listen(server, S("127.0.0.1:0"), NULL, NULL));
    assert_ok(http_client_new(loop, &(struct http_client_opts){.timeout_ms = 2000}, &client));
    snprintf(issuer, sizeof(issuer), "http://%s", http_server_address(server, 0));
    discovery_issuer = issuer;
    status = 200;
    return 0;
}

static int teardown(void **state)
{
    http_client_free(client);
    http_server_free(server);
    loop_free(loop);
    return 0;
}

static void test_fetches_and_refuses_floods(void **state)
{
    char url[160];
    snprintf(url, sizeof(url), "%s/keys", issuer);
    struct jwks_cache *c = make(url, false);
    assert_null(jwks_cache_get(c));
    jwks_cache_refresh(c, refreshed, NULL); /* joins the fetch that is under way */
    loop_run(loop);
    assert_int_equal(last, ERR_OK);
    assert_int_equal(fetches, 1);
    assert_int_equal(changes, 1);
    assert_non_null(jwks_find(jwks_cache_get(c), S("a")));
    jwks_cache_refresh(c, refreshed, NULL); /* an unknown kid: fetched once more */
    loop_run(loop);
    assert_int_equal(last, ERR_OK);
    assert_int_equal(fetches, 2);
    jwks_cache_refresh(c, refreshed, NULL); /* within the minute: refused, and nobody is asked */
    loop_run(loop);
    assert_int_equal(last, ERR_BUSY);
    assert_int_equal(fetches, 2);
    assert_int_equal(answers, 3);
    jwks_cache_free(c);
}

static void test_keeps_the_last_good_set(void **state)
{
    char url[160];
    snprintf(url, sizeof(url), "%s/keys", issuer);
    struct jwks_cache *c = make(url, false);
    jwks_cache_refresh(c, refreshed, NULL);
    loop_run(loop);
    status = 500;
    jwks_cache_refresh(c, refreshed, NULL);
    loop_run(loop);
    assert_int_equal(last, ERR_UNAVAILABLE);
    assert_non_null(jwks_cache_get(c));
    jwks_cache_free(c);
}

static void test_discovery(void **state)
{
    char good[160], other[] = "http://127.0.0.2:1/keys", wrong[160];
    snprintf(good, sizeof(good), "%s/keys", issuer);
    snprintf(wrong, sizeof(wrong), "%s/", issuer);
    keys_url = good;
    struct jwks_cache *c = make(issuer, true);
    jwks_cache_refresh(c, refreshed, NULL);
    loop_run(loop);
    assert_int_equal(last, ERR_OK);
    assert_non_null(jwks_cache_get(c));
    jwks_cache_free(c);
    keys_url = other; /* the document sends us to another host */
    c = make(issuer, true);
    jwks_cache_refresh(c, refreshed, NULL);
    loop_run(loop);
    assert_int_equal(last, ERR_DENIED);
    assert_null(jwks_cache_get(c));
    jwks_cache_free(c);
    keys_url = good;
    discovery_issuer = wrong; /* byte for byte: a slash more is another issuer */
    c = make(issuer, true);
    jwks_cache_refresh(c, refreshed, NULL);
    loop_run(loop);
    assert_int_equal(last, ERR_DENIED);
    jwks_cache_free(c);
}

static void test_freed_while_waiting(void **state)
{
    char url[160];
    snprintf(url, sizeof(url), "%s/keys", issuer);
    struct jwks_cache *c = make(url, false);
    jwks_cache_refresh(c, refreshed, NULL);
    jwks_cache_free(c);
    assert_int_equal(answers, 1);
    assert_int_equal(last, ERR_CLOSED);
    struct jwks_cache_opts o = {.client = client, .url = S("not a url")};
    assert_err(jwks_cache_new(loop, &o, &c), ERR_SYNTAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fetches_and_refuses_floods, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keeps_the_last_good_set, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discovery, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_while_waiting, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
