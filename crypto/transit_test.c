/*
 * The Transit API from outside: sextant-crypto is initialised and started in a folder of its own, and
 * spoken to over its unix socket. Audit is not there; the spool takes its events.
 */
#include "test/unit.h"

#include "lib/http/client.h"
#include "lib/json/json.h"

#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CRYPTO_UID = 70197 };

static char dir[64], config_path[96], socket_url[160];
static const char *program;
static pid_t daemon_pid;
static struct arena arena;

static void write_config(void)
{
    FILE *f = fopen(config_path, "w");
    bool root = geteuid() == 0;
    assert_non_null(f);
    fprintf(f,
            "trust_domain: t\nstate_dir: %s/state\nrun_dir: %s/run\n"
            "uids: {crypto: %d, identity: %d, secrets: %d, \"spiffe://t/ns/a/sa/a\": %d}\n"
            "crypto: {listen: \"\", audit_mode: spool}\n",
            dir, dir, root ? CRYPTO_UID : (int)geteuid(), (int)geteuid(), (int)geteuid(),
            (int)geteuid());
    fclose(f);
    chmod(config_path, 0644);
}

static pid_t start(const char *verb)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(120);
        execl(program, program, "--config", config_path, verb, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static int run(const char *verb)
{
    int status = -1;
    pid_t pid = start(verb);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* "identity" and such are names of `uids` that this process may claim. */
static int call(const char *as, const char *method, const char *path, const char *body,
                const struct json **out)
{
    struct http_header claim[] = {{S("x-sextant-caller"), str_of(as)}};
    struct http_result res;
    struct json *v = NULL;
    struct http_call c = {.method = str_of(method),
                          .headers = claim,
                          .n_headers = 1,
                          .url = arena_printf(&arena, "%s:/v1/%s", socket_url, path),
                          .body = str_of(body),
                          .timeout_ms = 20000};
    assert_ok(http_call_blocking(&arena, &(struct http_client_opts){0}, &c, &res));
    if (res.body.n > 0) {
        assert_ok(json_parse(&arena, res.body, NULL, &v));
    }
    if (out != NULL) {
        *out = v;
    }
    return res.status;
}

static struct str error_of(const struct json *v)
{
    const struct json *errors = json_get(v, "errors");
    return errors != NULL && errors->n > 0 ? json_str(errors->items[0]) : STR_EMPTY;
}

static void expect_error(const char *as, const char *path, const char *body, int status,
                         const char *text)
{
    const struct json *v;
    assert_int_equal(call(as, "POST", path, body, &v), status);
    assert_str(error_of(v), text);
}

static void wait_until_serving(void)
{
    struct http_result res;
    struct http_call c = {.url = arena_printf(&arena, "%s:/v1/transit/keys/x", socket_url)};
    for (int i = 0; i < 200; i++) {
        if (!failed(http_call_blocking(&arena, &(struct http_client_opts){0}, &c, &res))) {
            return;
        }
        usleep(50000);
    }
    fail_msg("sextant-crypto does not serve");
}

static void test_operations(void **state)
{
    const struct json *v;
    assert_int_equal(
        call("identity", "POST", "transit/sign/trust-root", "{\"input\":\"aGk=\"}", &v), 200);
    struct str sig = json_str(json_path(v, "data.signature"));
    assert_true(str_starts(sig, S("vault:v1:")));
    struct str body =
        arena_printf(&arena, "{\"input\":\"aGk=\",\"signature\":\"%.*s\"}", STR_FMT(sig));
    assert_int_equal(call("identity", "POST", "transit/verify/trust-root", body.p, &v), 200);
    assert_true(json_true(json_path(v, "data.valid")));
    assert_int_equal(call("secrets", "POST", "transit/encrypt/secrets-unseal",
                          "{\"plaintext\":\"aGk=\",\"associated_data\":\"eA==\"}", &v),
                     200);
    struct str ct = json_str(json_path(v, "data.ciphertext"));
    body =
        arena_printf(&arena, "{\"ciphertext\":\"%.*s\",\"associated_data\":\"eA==\"}", STR_FMT(ct));
    assert_int_equal(call("secrets", "PUT", "transit/decrypt/secrets-unseal", body.p, &v), 200);
    assert_str(json_str(json_path(v, "data.plaintext")), "aGk=");
    body = arena_printf(&arena, "{\"ciphertext\":\"%.*s\"}", STR_FMT(ct));
    expect_error("secrets", "transit/decrypt/secrets-unseal", body.p, 400,
                 "invalid ciphertext: unable to decrypt");
    assert_int_equal(call("secrets", "POST", "transit/hash/sha2-256", "{\"input\":\"\"}", &v), 200);
    assert_str(json_str(json_path(v, "data.sum")),
               "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void test_denials(void **state)
{
    const char *text = "permission denied";
    expect_error("secrets", "transit/sign/trust-root", "{\"input\":\"aGk=\"}", 403, text);
    expect_error("spiffe://t/ns/a/sa/a", "transit/encrypt/secrets-unseal",
                 "{\"plaintext\":\"aGk=\"}", 403, text);
    expect_error("operator", "transit/encrypt/secrets-unseal", "{\"plaintext\":\"aGk=\"}", 403,
                 text);
    expect_error("nobody", "transit/sign/trust-root", "{\"input\":\"aGk=\"}", 403, text);
    expect_error("identity", "transit/keys/mine", "{}", 403, text);
    expect_error("identity", "transit/keys/trust-root/rotate", "{}", 403, text);
    expect_error("identity", "transit/keys/trust-root/grants",
                 "{\"id\":\"spiffe://t/x\",\"operations\":\"sign\"}", 403, text);
}

static void test_errors(void **state)
{
    const char *enc = "transit/encrypt/secrets-unseal", *dec = "transit/decrypt/secrets-unseal";
    expect_error("secrets", enc, "{}", 400, "missing plaintext to encrypt");
    expect_error("secrets", enc, "{\"plaintext\":\"!\"}", 400, "failed to base64-decode plaintext");
    expect_error("secrets", enc, "{\"batch_input\":[]}", 400, "missing batch input to process");
    expect_error("secrets", dec, "{}", 400, "missing ciphertext to decrypt");
    expect_error("secrets", dec, "{\"ciphertext\":\"x\"}", 400, "invalid ciphertext: no prefix");
    expect_error("secrets", dec, "{\"ciphertext\":\"vault:v1\"}", 400,
                 "invalid ciphertext: wrong number of fields");
    expect_error("secrets", dec, "{\"ciphertext\":\"vault:v7:AAAA\"}", 400,
                 "invalid ciphertext: version is too new");
    expect_error("secrets", "transit/datakey/plaintext/secrets-unseal", "{\"bits\":7}", 400,
                 "invalid bit length");
    expect_error(
        "secrets", "transit/encrypt/secrets-unseal",
        "{\"batch_input\":[{\"plaintext\":\"\",\"context\":\"eA==\"},{\"plaintext\":\"\"}]}", 400,
        "context should be set either in all the request blocks or in none");
    expect_error("operator", "transit/keys/e", "{\"exportable\":true}", 400,
                 "private keys never leave this service: exportable and allow_plaintext_backup are "
                 "not supported");
    expect_error("operator", "transit/keys/e", "{\"type\":\"rsa-1024\"}", 400,
                 "unknown key type rsa-1024");
}

static void test_batch(void **state)
{
    const struct json *v, *results;
    assert_int_equal(call("secrets", "POST", "transit/encrypt/secrets-unseal",
                          "{\"batch_input\":[{\"plaintext\":\"aGk=\",\"reference\":\"r\"},"
                          "{\"plaintext\":\"?\"}]}",
                          &v),
                     400);
    results = json_path(v, "data.batch_results");
    assert_int_equal(results->n, 2);
    assert_str(json_str(json_get(results->items[0], "reference")), "r");
    assert_str(json_str(json_get(results->items[1], "error")), "failed to base64-decode plaintext");
    assert_int_equal(call("secrets", "POST", "transit/encrypt/secrets-unseal",
                          "{\"partial_failure_response_code\":207,\"batch_input\":"
                          "[{\"plaintext\":\"aGk=\"},{\"plaintext\":\"?\"}]}",
                          &v),
                     207);
}

static void test_life_of_a_key(void **state)
{
    const struct json *v;
    const char *enc = "transit/encrypt/k", *id = "spiffe://t/ns/a/sa/a";
    assert_int_equal(call("operator", "POST", "transit/keys/k",
                          "{\"grants\":{\"spiffe://t/ns/a/*\":\"encrypt,decrypt,read\"}}", &v),
                     200);
    assert_str(json_str(json_path(v, "data.type")), "aes256-gcm96");
    assert_int_equal(call(id, "POST", enc, "{\"plaintext\":\"aGk=\"}", &v), 200);
    struct str body = arena_printf(&arena, "{\"ciphertext\":\"%.*s\"}",
                                   STR_FMT(json_str(json_path(v, "data.ciphertext"))));
    assert_int_equal(call("operator", "POST", "transit/keys/k/rotate", "", &v), 200);
    assert_int_equal(call(id, "POST", enc, "{\"plaintext\":\"aGk=\"}", &v), 200);
    assert_true(str_starts(json_str(json_path(v, "data.ciphertext")), S("vault:v2:")));
    /* what was acknowledged is there after a kill */
    kill(daemon_pid, SIGKILL);
    waitpid(daemon_pid, NULL, 0);
    daemon_pid = start("run");
    wait_until_serving();
    assert_int_equal(call(id, "POST", "transit/decrypt/k", body.p, &v), 200);
    assert_int_equal(call("operator", "POST", "transit/keys/k/config",
                          "{\"min_decryption_version\":2,\"deletion_allowed\":true}", &v),
                     200);
    expect_error(id, "transit/decrypt/k", body.p, 400,
                 "ciphertext or signature version is disallowed by policy (too old)");
    assert_int_equal(call("operator", "POST", "transit/keys/k/grants",
                          "{\"id\":\"spiffe://t/ns/a/*\",\"operations\":\"\"}", &v),
                     204);
    assert_int_equal(call(id, "POST", enc, "{\"plaintext\":\"aGk=\"}", &v), 403);
    assert_int_equal(call("operator", "DELETE", "transit/keys/k", "", &v), 204);
    assert_int_equal(call("operator", "GET", "transit/keys/k", "", &v), 404);
    expect_error("operator", "transit/keys/trust-root/config", "{\"min_decryption_version\":9}",
                 400, "cannot set min decryption version of 9, latest key version is 1");
}

static void test_every_operation_is_audited(void **state)
{
    char path[160];
    static char text[4 << 20];
    sleep(1);
    snprintf(path, sizeof(path), "%s/state/crypto/audit.spool", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    struct str all = str_n(text, fread(text, 1, sizeof(text), f));
    fclose(f);
    assert_true(str_find(all, S("\"activity\":\"sign\",\"outcome\":\"allowed\"")) != STR_NPOS);
    assert_true(str_find(all, S("\"activity\":\"sign\",\"outcome\":\"denied\"")) != STR_NPOS);
    assert_true(str_find(all, S("\"activity\":\"key.rotate\",\"outcome\":\"allowed\"")) !=
                STR_NPOS);
    assert_true(str_find(all, S("aGk=")) == STR_NPOS);
}

static int setup(void **state)
{
    arena_init(&arena, 64 << 20);
    snprintf(dir, sizeof(dir), "/tmp/crypto-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    chmod(dir, 0755);
    snprintf(config_path, sizeof(config_path), "%s/sextant.yaml", dir);
    snprintf(socket_url, sizeof(socket_url), "unix:%s/run/crypto/crypto.sock", dir);
    write_config();
    assert_int_equal(run("init"), 0);
    assert_int_equal(run("init"), 0);
    daemon_pid = start("run");
    wait_until_serving();
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    return remove(path);
}

static int teardown(void **state)
{
    int status;
    kill(daemon_pid, SIGTERM);
    assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    arena_release(&arena);
    return nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int main(int argc, char **argv)
{
    program = argc > 1 ? argv[1] : "sextant-crypto";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operations),    cmocka_unit_test(test_denials),
        cmocka_unit_test(test_errors),        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_life_of_a_key), cmocka_unit_test(test_every_operation_is_audited),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
