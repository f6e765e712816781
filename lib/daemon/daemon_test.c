/* A small daemon is started through daemon_main in a child and looked at from outside. */
#include "daemon.h"

#include "test/unit.h"

#include "lib/http/client.h"
#include "lib/http/http.h"
#include "lib/http/router.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { UID = 70198 };

static char dir[64], config_path[96], notify_path[96], url[160];

struct small_config {
    struct str greeting;
};

static const struct config_key small_keys[] = {
    {"greeting", CONFIG_STR, offsetof(struct small_config, greeting), .fallback = "hello"},
    {0},
};

static struct router routes;
static struct http_server *server;

static void who(struct http_req *req, void *ctx)
{
    struct caller c;
    if (failed(daemon_caller(ctx, req, &c))) {
        http_reply_text(req, 401, S("nobody"));
        return;
    }
    http_reply_text(req, 200, c.spiffe_id);
}

static void greet(struct http_req *req, void *ctx)
{
    struct daemon *d = ctx;
    http_reply_text(req, 200, ((struct small_config *)d->section)->greeting);
}

static struct err small_start(struct daemon *d)
{
    struct http_server_opts o = {.handle = router_dispatch, .ctx = &routes};
    router_init(&routes);
    daemon_add_common_routes(d, &routes);
    router_add(&routes, "GET", "/who", who, d);
    router_add(&routes, "GET", "/greet", greet, d);
    TRY(http_server_new(d->loop, &o, &server));
    return http_server_listen(server, daemon_socket(d, "crypto", "crypto.sock"), NULL,
                              &(struct listen_opts){.mode = 0666});
}

static void small_stop(struct daemon *d)
{
    http_server_free(server);
    router_release(&routes);
}

static const struct sandbox_profile *small_sandbox(struct arena *a, const struct config *c,
                                                   const void *section)
{
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    *p = (struct sandbox_profile){.daemon = "crypto",
                                  .flags = SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT};
    return p;
}

static int say(struct daemon *d, int argc, char **argv)
{
    return argc == 2 ? 7 : 2;
}

static const struct daemon_command commands[] = {
    {"say", "WORD", "says it", say, false},
    {0},
};

static const struct daemon_spec with_audit = {.name = "crypto",
                                              .summary = "a test",
                                              .keys = small_keys,
                                              .section_size = sizeof(struct small_config),
                                              .needs = DAEMON_NEEDS_AUDIT,
                                              .sandbox = small_sandbox,
                                              .start = small_start,
                                              .stop = small_stop,
                                              .commands = commands};

static const struct daemon_spec alone = {.name = "crypto",
                                         .summary = "a test",
                                         .keys = small_keys,
                                         .section_size = sizeof(struct small_config),
                                         .sandbox = small_sandbox,
                                         .start = small_start,
                                         .stop = small_stop};

static void write_config(const char *section)
{
    FILE *f = fopen(config_path, "w");
    assert_non_null(f);
    fprintf(f, "state_dir: %s/state\nrun_dir: %s/run\nuids: {crypto: %d, other: %d}\n%s", dir, dir,
            UID, (int)geteuid(), section);
    fclose(f);
    chmod(config_path, 0644);
}

static pid_t start(const struct daemon_spec *spec, const char *arg)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {(char[]){"sextant-crypto"}, (char[]){"--config"}, config_path,
                        arg != NULL ? strdup(arg) : NULL, NULL};
        alarm(60); /* should the test fail before it ends this one */
        setenv("NOTIFY_SOCKET", notify_path, 1);
        _exit(daemon_main(arg != NULL ? 4 : 3, argv, spec));
    }
    return pid;
}

static int exit_code(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static int notify_socket(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 10};
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", notify_path);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(chmod(notify_path, 0666), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
}

static int get(struct arena *a, const char *path, const char *caller, struct str *body)
{
    struct http_result res;
    struct http_header as[] = {{S("x-sextant-caller"), str_of(caller)}};
    struct http_call call = {
        .url = arena_printf(a, "%s:%s", url, path), .headers = as, .n_headers = caller != NULL};
    for (int i = 0; i < 100; i++) {
        if (!failed(http_call_blocking(a, &(struct http_client_opts){0}, &call, &res))) {
            *body = res.body;
            return res.status;
        }
        usleep(50000);
    }
    return -1;
}

static void test_serves(void **state)
{
    struct arena a;
    struct str body;
    char text[64] = "";
    arena_init(&a, 16 << 20);
    write_config("crypto: {greeting: first}\n");
    int fd = notify_socket();
    pid_t pid = start(&alone, NULL);
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_non_null(strstr(text, "READY=1"));
    assert_int_equal(get(&a, "/healthz", NULL, &body), 200);
    assert_true(str_find(body, S("\"seccomp\":true")) != STR_NPOS);
    assert_int_equal(get(&a, "/metrics", NULL, &body), 200);
    assert_int_equal(get(&a, "/who", NULL, &body), 200);
    assert_str(body, "spiffe://cluster.local/sextant/other");
    assert_int_equal(get(&a, "/who", "crypto", &body), geteuid() == 0 ? 401 : 200);
    assert_int_equal(get(&a, "/greet", NULL, &body), 200);
    assert_str(body, "first");
    write_config("crypto: {greeting: second}\n");
    kill(pid, SIGHUP);
    usleep(300000);
    assert_int_equal(get(&a, "/greet", NULL, &body), 200);
    assert_str(body, "second");
    write_config("crypto: {greting: third}\n");
    kill(pid, SIGHUP);
    usleep(300000);
    assert_int_equal(get(&a, "/greet", NULL, &body), 200);
    assert_str(body, "second");
    kill(pid, SIGTERM);
    assert_int_equal(exit_code(pid), 0);
    close(fd);
    arena_release(&a);
}

static void test_is_not_ready_without_audit(void **state)
{
    struct arena a;
    struct str body;
    arena_init(&a, 16 << 20);
    write_config("");
    pid_t pid = start(&with_audit, NULL);
    assert_int_equal(get(&a, "/healthz", NULL, &body), 503);
    assert_true(str_find(body, S("\"audit\":\"")) != STR_NPOS);
    kill(pid, SIGTERM);
    assert_int_equal(exit_code(pid), 0);
    arena_release(&a);
}

static void test_command_line(void **state)
{
    write_config("crypto: {greting: x}\n");
    assert_int_equal(exit_code(start(&alone, "--check")), 78);
    assert_int_equal(exit_code(start(&alone, NULL)), 78);
    write_config("crypto: {audit_mode: maybe}\n");
    assert_int_equal(exit_code(start(&alone, "--check")), 78);
    write_config("");
    assert_int_equal(exit_code(start(&alone, "--check")), 0);
    assert_int_equal(exit_code(start(&alone, "--wrong")), 2);
    assert_int_equal(exit_code(start(&with_audit, "say")), 2);
    assert_int_equal(exit_code(start(&with_audit, "nothing")), 2);
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/daemon-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(config_path, sizeof(config_path), "%s/sextant.yaml", dir);
    snprintf(notify_path, sizeof(notify_path), "%s/notify", dir);
    snprintf(url, sizeof(url), "unix:%s/run/crypto/crypto.sock", dir);
    return chmod(dir, 0755);
}

static int teardown(void **state)
{
    static const char *const names[] = {"run/crypto/crypto.sock", "state/crypto/audit.spool",
                                        "sextant.yaml", "notify"};
    static const char *const folders[] = {"run/crypto", "run", "state/crypto", "state", ""};
    char path[160];
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        unlink(path);
    }
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        snprintf(path, sizeof(path), "%s/%s", dir, folders[i]);
        rmdir(path);
    }
    return 0;
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_serves),
        CASE(test_is_not_ready_without_audit),
        CASE(test_command_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
