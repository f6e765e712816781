/*
 * The core as a whole, over a real store and without HTTP: each check is a request on its full way, made durable,
 * and after `reopen` read back from disk.
 */
#include "test/unit.h"

#include "core.h"
#include "identity.h"
#include "lease.h"
#include "seal.h"
#include "token.h"

#include "lib/loop/loop.h"

#include <unistd.h>

static struct loop *loop;
static struct storage *st;
static struct core *core;
static struct secret root_key;
static char file[64], root_token[64];
static struct arena arena; /* of answers */

struct answer {
    int status;
    struct json *body; /* NULL: empty */
    bool done;
};

static struct answer last;

static void finished(struct request *r)
{
    last = (struct answer){.status = r->status, .done = true};
    if (r->body.n > 0) {
        assert_ok(json_parse(&arena, buf_str(&r->body), NULL, &last.body));
    }
    buf_release(&r->body);
    loop_stop(loop);
}

static void run(struct request *r)
{
    r->core = core;
    r->source = S("test");
    r->done = finished;
    last.done = false;
    request_start(r);
    while (!last.done) {
        loop_run(loop);
    }
}

/* Runs one request to its end; `body` NULL is none. */
static struct answer call(const char *token, enum acl_op op, const char *path, const char *body)
{
    struct arena a;
    struct json *data;
    arena_init(&a, 32 << 20);
    assert_ok(json_parse(&a, str_of(body != NULL ? body : "{}"), NULL, &data));
    struct request r = {
        .arena = &a, .op = op, .path = str_of(path), .data = data, .client_token = str_of(token)};
    run(&r);
    arena_release(&a);
    return last;
}

static void settle(void)
{
    timer_start(loop, 30, 0, (void (*)(void *))loop_stop, loop);
    loop_run(loop);
}

static struct str text(struct answer a, const char *path)
{
    return json_str(json_path(a.body, path));
}

static const char *cstr(struct str s)
{
    return arena_cstr(&arena, s);
}

static void open_core(void)
{
    assert_ok(storage_open(file, loop, &st));
    struct core_opts o = {
        .default_ttl_s = 3600, .max_ttl_s = 86400, .version = S("1.14.8"), .cluster_name = S("t")};
    assert_ok(core_new(loop, st, &o, &core));
}

static void close_core(void)
{
    settle();
    core_free(core);
    storage_close(st);
}

/* As after kill -9: only what was durable is there again. */
static void reopen(void)
{
    close_core();
    open_core();
    assert_ok(core_unseal(core, &root_key));
}

static int setup(void **state)
{
    arena_init(&arena, 64 << 20);
    snprintf(file, sizeof file, "/tmp/sextant-core-test-%d.db", (int)getpid());
    assert_ok(loop_new(&loop));
    assert_ok(secret_random(&root_key, 32));
    open_core();
    assert_ok(core_init(core, &root_key));
    assert_ok(core_unseal(core, &root_key));
    struct json *policies = json_new_array(&arena);
    struct token *t;
    struct str id;
    json_push(&arena, policies, json_new_string(&arena, S("root")));
    assert_ok(token_create(core, NULL, &arena,
                           &(struct token_spec){.policies = policies, .path = S("auth/token/root")},
                           &t, &id));
    assert_ok(str_to_cstr(id, root_token, sizeof root_token));
    settle();
    return 0;
}

static int teardown(void **state)
{
    close_core();
    loop_free(loop);
    secret_release(&root_key);
    arena_release(&arena);
    const char *suffix[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(suffix); i++) {
        char path[80];
        snprintf(path, sizeof path, "%s%s", file, suffix[i]);
        unlink(path);
    }
    return 0;
}

static void mount(const char *path, const char *type)
{
    char p[128], body[128];
    snprintf(p, sizeof p, "sys/%s", path);
    snprintf(body, sizeof body, "{\"type\":\"%s\"}", type);
    assert_int_equal(call(root_token, ACL_UPDATE, p, body).status, 204);
}

static const char *new_token(const char *by, const char *body)
{
    struct answer a = call(by, ACL_UPDATE, "auth/token/create", body);
    assert_int_equal(a.status, 200);
    return cstr(text(a, "auth.client_token"));
}

static void denies_without_right(void **state)
{
    assert_int_equal(call("", ACL_READ, "sys/mounts", NULL).status, 403);
    assert_int_equal(call("hvs.wrong", ACL_READ, "sys/mounts", NULL).status, 403);
    const char *plain = new_token(root_token, "{\"policies\":[\"default\"]}");
    assert_int_equal(call(plain, ACL_READ, "sys/mounts", NULL).status, 403);
    assert_int_equal(call(plain, ACL_READ, "auth/token/lookup-self", NULL).status, 200);
    assert_int_equal(call(root_token, ACL_READ, "nothing/here", NULL).status, 404);
    assert_int_equal(call(root_token, ACL_READ, "sys/seal", NULL).status, 405);
}

static void kv2_versions(void **state)
{
    mount("mounts/kv", "kv-v2");
    assert_int_equal(call(root_token, ACL_UPDATE, "kv/data/a",
                          "{\"data\":{\"x\":\"1\"},\"options\":{\"cas\":0}}")
                         .status,
                     200);
    assert_int_equal(call(root_token, ACL_UPDATE, "kv/data/a",
                          "{\"data\":{\"x\":\"2\"},\"options\":{\"cas\":0}}")
                         .status,
                     400);
    assert_int_equal(call(root_token, ACL_UPDATE, "kv/data/a", "{\"data\":{\"x\":\"2\"}}").status,
                     200);
    assert_int_equal(
        call(root_token, ACL_UPDATE, "kv/data/a/1", "{\"data\":{\"deep\":true}}").status, 200);
    assert_str(text(call(root_token, ACL_READ, "kv/data/a", NULL), "data.data.x"), "2");
    assert_str(text(call(root_token, ACL_READ, "kv/data/a", "{\"version\":\"1\"}"), "data.data.x"),
               "1");
    assert_int_equal(call(root_token, ACL_DELETE, "kv/data/a", NULL).status, 204);
    assert_int_equal(call(root_token, ACL_READ, "kv/data/a", NULL).status, 404);
    assert_int_equal(call(root_token, ACL_UPDATE, "kv/undelete/a", "{\"versions\":[2]}").status,
                     204);
    reopen();
    assert_str(text(call(root_token, ACL_READ, "kv/data/a", NULL), "data.data.x"), "2");
    assert_int_equal(call(root_token, ACL_UPDATE, "kv/destroy/a", "{\"versions\":[2]}").status,
                     204);
    assert_int_equal(call(root_token, ACL_READ, "kv/data/a", NULL).status, 404);
    assert_int_equal(call(root_token, ACL_DELETE, "kv/metadata/a", NULL).status, 204);
    struct answer left = call(root_token, ACL_READ, "kv/data/a/1", NULL);
    assert_int_equal(left.status, 200);
}

static void kv2_keeps_ten(void **state)
{
    for (int i = 0; i < 12; i++) {
        assert_int_equal(
            call(root_token, ACL_UPDATE, "kv/data/many", "{\"data\":{\"n\":1}}").status, 200);
    }
    struct answer m = call(root_token, ACL_READ, "kv/metadata/many", NULL);
    assert_int_equal(json_path(m.body, "data.versions")->n, 10);
    assert_int_equal(call(root_token, ACL_READ, "kv/data/many", "{\"version\":\"2\"}").status, 404);
    assert_int_equal(call(root_token, ACL_READ, "kv/data/many", "{\"version\":\"3\"}").status, 200);
}

static void create_is_not_update(void **state)
{
    assert_int_equal(
        call(root_token, ACL_UPDATE, "sys/policies/acl/maker",
             "{\"policy\":\"path \\\"kv/data/new/*\\\" { capabilities = [\\\"create\\\"] }\"}")
            .status,
        204);
    const char *t = new_token(root_token, "{\"policies\":[\"maker\"]}");
    assert_int_equal(call(t, ACL_UPDATE, "kv/data/new/x", "{\"data\":{}}").status, 200);
    assert_int_equal(call(t, ACL_UPDATE, "kv/data/new/x", "{\"data\":{}}").status, 403);
}

static void children_end_with_parents(void **state)
{
    const char *parent = new_token(root_token, "{\"policies\":[\"default\"]}");
    struct token *p = token_find(core, str_of(parent));
    struct json *names = json_new_array(&arena);
    struct str child_id, grand_id;
    struct token *child, *grand;
    json_push(&arena, names, json_new_string(&arena, S("default")));
    assert_ok(token_create(core, NULL, &arena, &(struct token_spec){.policies = names, .parent = p},
                           &child, &child_id));
    assert_ok(token_create(core, NULL, &arena,
                           &(struct token_spec){.policies = names, .parent = child}, &grand,
                           &grand_id));
    settle();
    reopen();
    assert_non_null(token_find(core, grand_id));
    assert_int_equal(call(root_token, ACL_UPDATE, "auth/token/revoke",
                          cstr(arena_printf(&arena, "{\"token\":\"%s\"}", parent)))
                         .status,
                     204);
    assert_null(token_find(core, child_id));
    assert_null(token_find(core, grand_id));
    reopen();
    assert_null(token_find(core, grand_id));
}

static void child_policies_are_a_subset(void **state)
{
    assert_int_equal(
        call(root_token, ACL_UPDATE, "sys/policies/acl/giver",
             "{\"policy\":\"path \\\"auth/token/create\\\" { capabilities = [\\\"update\\\"] }\"}")
            .status,
        204);
    const char *giver = new_token(root_token, "{\"policies\":[\"giver\"]}");
    assert_int_equal(
        call(giver, ACL_UPDATE, "auth/token/create", "{\"policies\":[\"root\"]}").status, 400);
    assert_int_equal(
        call(giver, ACL_UPDATE, "auth/token/create", "{\"policies\":[\" ROOT \"]}").status, 400);
    assert_int_equal(
        call(giver, ACL_UPDATE, "auth/token/create", "{\"policies\":[\"maker\"]}").status, 400);
    assert_int_equal(
        call(giver, ACL_UPDATE, "auth/token/create", "{\"policies\":[\"giver\"]}").status, 200);
    assert_int_equal(call(giver, ACL_UPDATE, "auth/token/create", "{\"id\":\"chosen\"}").status,
                     400);
    assert_int_equal(call(giver, ACL_UPDATE, "auth/token/create", "{\"no_parent\":true}").status,
                     400);
}

static void uses_run_out(void **state)
{
    const char *t = new_token(root_token, "{\"policies\":[\"default\"],\"num_uses\":2}");
    assert_int_equal(call(t, ACL_READ, "auth/token/lookup-self", NULL).status, 200);
    assert_int_equal(call(t, ACL_READ, "sys/mounts", NULL).status,
                     403); /* a denied use counts too */
    assert_int_equal(call(t, ACL_READ, "auth/token/lookup-self", NULL).status, 403);
    assert_null(token_find(core, str_of(t)));
}

static void expiry_takes_tokens(void **state)
{
    const char *t = new_token(root_token, "{\"policies\":[\"default\"],\"ttl\":\"10m\"}");
    assert_non_null(token_find(core, str_of(t)));
    clock_freeze(clock_wall_ns() + 1200 * NS_PER_S);
    assert_null(token_find(core, str_of(t)));
    expiry_run(core->expiry, clock_wall_ns());
    clock_freeze(0);
    settle();
    assert_null(token_find(core, str_of(t)));
}

static void wrapping_once(void **state)
{
    struct arena a;
    struct json *data;
    arena_init(&a, 8 << 20);
    assert_ok(json_parse(&a, S("{\"secret\":\"s3\"}"), NULL, &data));
    struct request r = {.arena = &a,
                        .op = ACL_UPDATE,
                        .path = S("sys/wrapping/wrap"),
                        .data = data,
                        .client_token = str_of(root_token),
                        .wrap = true,
                        .wrap_ttl_s = 60};
    run(&r);
    arena_release(&a);
    const char *w = cstr(text(last, "wrap_info.token"));
    assert_int_equal(call(w, ACL_READ, "auth/token/lookup-self", NULL).status, 403);
    w = NULL;
    struct answer again =
        call(root_token, ACL_UPDATE, "sys/wrapping/unwrap", "{\"token\":\"hvs.x\"}");
    assert_int_equal(again.status, 400);
}

static void unwrap_gives_it_once(void **state)
{
    struct str id;
    assert_ok(wrap_operator_token(core, &arena, 60, &id));
    settle();
    const char *body = cstr(arena_printf(&arena, "{\"token\":\"%.*s\"}", STR_FMT(id)));
    struct answer a = call("", ACL_UPDATE, "sys/wrapping/unwrap", body);
    assert_int_equal(a.status, 200);
    const char *operator= cstr(text(a, "auth.client_token"));
    assert_int_equal(call("", ACL_UPDATE, "sys/wrapping/unwrap", body).status, 400);
    assert_int_equal(call(operator, ACL_READ, "sys/mounts", NULL).status, 200);
}

static void approle_login(void **state)
{
    mount("auth/approle", "approle");
    assert_int_equal(call(root_token, ACL_UPDATE, "auth/approle/role/web",
                          "{\"token_policies\":\"default\",\"secret_id_num_uses\":1}")
                         .status,
                     204);
    struct answer id = call(root_token, ACL_READ, "auth/approle/role/web/role-id", NULL);
    struct answer secret = call(root_token, ACL_UPDATE, "auth/approle/role/web/secret-id", NULL);
    const char *body = cstr(arena_printf(&arena, "{\"role_id\":\"%.*s\",\"secret_id\":\"%.*s\"}",
                                         STR_FMT(text(id, "data.role_id")),
                                         STR_FMT(text(secret, "data.secret_id"))));
    assert_int_equal(
        call("", ACL_UPDATE, "auth/approle/login", "{\"role_id\":\"x\",\"secret_id\":\"y\"}")
            .status,
        400);
    struct answer in = call("", ACL_UPDATE, "auth/approle/login", body);
    assert_int_equal(in.status, 200);
    assert_true(text(in, "auth.entity_id").n > 0);
    assert_int_equal(call("", ACL_UPDATE, "auth/approle/login", body).status, 400);
}

static void disabled_entity_is_refused(void **state)
{
    struct answer secret = call(root_token, ACL_UPDATE, "auth/approle/role/web/secret-id", NULL);
    struct answer id = call(root_token, ACL_READ, "auth/approle/role/web/role-id", NULL);
    const char *body = cstr(arena_printf(&arena, "{\"role_id\":\"%.*s\",\"secret_id\":\"%.*s\"}",
                                         STR_FMT(text(id, "data.role_id")),
                                         STR_FMT(text(secret, "data.secret_id"))));
    struct answer in = call("", ACL_UPDATE, "auth/approle/login", body);
    const char *t = cstr(text(in, "auth.client_token")), *entity = cstr(text(in, "auth.entity_id"));
    assert_int_equal(call(t, ACL_READ, "auth/token/lookup-self", NULL).status, 200);
    const char *path = cstr(arena_printf(&arena, "identity/entity/id/%s", entity));
    assert_int_equal(call(root_token, ACL_UPDATE, path, "{\"disabled\":true}").status, 204);
    assert_int_equal(call(t, ACL_READ, "auth/token/lookup-self", NULL).status, 403);
    assert_int_equal(call(root_token, ACL_UPDATE, path, "{\"disabled\":false}").status, 204);
    assert_int_equal(call(t, ACL_READ, "auth/token/lookup-self", NULL).status, 200);
    struct answer cut =
        call(root_token, ACL_UPDATE, "sys/internal/entity/revoke",
             cstr(arena_printf(&arena, "{\"entity_id\":\"%s\",\"disable\":true}", entity)));
    assert_int_equal(cut.status, 200);
    assert_int_equal(call(t, ACL_READ, "auth/token/lookup-self", NULL).status, 403);
    struct answer held = call(root_token, ACL_UPDATE, "sys/internal/entity/holdings",
                              cstr(arena_printf(&arena, "{\"entity_id\":\"%s\"}", entity)));
    assert_int_equal(json_path(held.body, "data.tokens")->n, 0);
}

static void cert_login_by_spiffe_id(void **state)
{
    mount("auth/cert", "cert");
    assert_int_equal(
        call(root_token, ACL_UPDATE, "auth/cert/certs/shop",
             "{\"allowed_uri_sans\":\"spiffe://t/ns/shop/*\",\"token_policies\":\"default\"}")
            .status,
        204);
    assert_int_equal(call("", ACL_UPDATE, "auth/cert/login", NULL).status, 400);
    assert_int_equal(
        call(root_token, ACL_UPDATE, "auth/cert/certs/bad", "{\"allowed_uri_sans\":\"*\"}").status,
        400);
    struct arena a;
    arena_init(&a, 8 << 20);
    struct request r = {.arena = &a,
                        .op = ACL_UPDATE,
                        .path = S("auth/cert/login"),
                        .data = json_new_object(&a),
                        .peer_spiffe_id = S("spiffe://t/ns/shop/sa/web")};
    run(&r);
    arena_release(&a);
    assert_int_equal(last.status, 200);
    assert_non_null(entity_by_spiffe(core, S("spiffe://t/ns/shop/sa/web")));
    reopen();
    assert_non_null(entity_by_spiffe(core, S("spiffe://t/ns/shop/sa/web")));
}

static void sealed_serves_nothing(void **state)
{
    core_seal(core);
    assert_true(core->sealed);
    assert_int_equal(call(root_token, ACL_READ, "kv/data/many", NULL).status, 503);
    struct secret wrong;
    assert_ok(secret_random(&wrong, 32));
    assert_err(core_unseal(core, &wrong), ERR_SIGNATURE);
    secret_release(&wrong);
    assert_ok(core_unseal(core, &root_key));
    assert_int_equal(call(root_token, ACL_READ, "kv/data/many", NULL).status, 200);
}

/* A commit that the disk did not take: what was in memory alone is gone, and the rest is served on. */
static void failed_commit_rereads(void **state)
{
    const char *kept = new_token(root_token, "{\"policies\":[\"default\"]}");
    settle();
    map_set(&core->entity_names, S("ghost"),
            core); /* stands for a change that never became durable */
    core->reload = true;
    core_seal(core);
    assert_false(core->sealed);
    assert_null(map_get(&core->entity_names, S("ghost")));
    assert_int_equal(call(kept, ACL_READ, "auth/token/lookup-self", NULL).status, 200);
    assert_int_equal(call(root_token, ACL_READ, "kv/data/many", NULL).status, 200);
}

static void unmounting_clears(void **state)
{
    mount("mounts/gone", "kv");
    assert_int_equal(call(root_token, ACL_UPDATE, "gone/a", "{\"x\":1}").status, 204);
    assert_int_equal(call(root_token, ACL_DELETE, "sys/mounts/gone", NULL).status, 204);
    assert_int_equal(call(root_token, ACL_READ, "gone/a", NULL).status, 404);
    mount("mounts/gone", "kv");
    assert_int_equal(call(root_token, ACL_READ, "gone/a", NULL).status, 404);
    assert_int_equal(call(root_token, ACL_UPDATE, "sys/mounts/gone", "{\"type\":\"kv\"}").status,
                     400);
    assert_int_equal(call(root_token, ACL_DELETE, "sys/mounts/sys", NULL).status, 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(denies_without_right),
        cmocka_unit_test(kv2_versions),
        cmocka_unit_test(kv2_keeps_ten),
        cmocka_unit_test(create_is_not_update),
        cmocka_unit_test(children_end_with_parents),
        cmocka_unit_test(child_policies_are_a_subset),
        cmocka_unit_test(uses_run_out),
        cmocka_unit_test(expiry_takes_tokens),
        cmocka_unit_test(wrapping_once),
        cmocka_unit_test(unwrap_gives_it_once),
        cmocka_unit_test(approle_login),
        cmocka_unit_test(disabled_entity_is_refused),
        cmocka_unit_test(cert_login_by_spiffe_id),
        cmocka_unit_test(sealed_serves_nothing),
        cmocka_unit_test(failed_commit_rereads),
        cmocka_unit_test(unmounting_clears),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
