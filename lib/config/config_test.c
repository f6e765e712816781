/* Tests of lib/config: filling structs, defaults, and errors that name the place and the remedy. */
#include "config.h"

#include "lib/base/clock.h"
#include "test/unit.h"

#include <unistd.h>

struct tls_section {
    struct str cert;
    bool required;
};

struct backend {
    struct str name;
    int64_t port;
};

struct demo_config {
    struct str listen, mode;
    int64_t workers, cache_ns, body_max;
    bool verbose;
    struct config_list roots;
    struct config_map labels;
    struct tls_section tls;
    struct config_items backends;
    const struct json *extra;
};

static const char *const modes[] = {"enforce", "observe", NULL};

static const struct config_key tls_keys[] = {
    {"cert", CONFIG_STR, offsetof(struct tls_section, cert), .fallback = "none.pem",
     .help = "certificate file"},
    {"required", CONFIG_BOOL, offsetof(struct tls_section, required), .fallback = "true"},
    {0},
};

static const struct config_key backend_keys[] = {
    {"name", CONFIG_STR, offsetof(struct backend, name), .required = true, .help = "its name"},
    {"port", CONFIG_INT, offsetof(struct backend, port), .fallback = "80", .min = 1, .max = 65535},
    {0},
};

static const struct config_key keys[] = {
    {"listen", CONFIG_STR, offsetof(struct demo_config, listen), .fallback = "127.0.0.1:8181",
     .help = "address"},
    {"mode", CONFIG_STR, offsetof(struct demo_config, mode), .fallback = "enforce",
     .choices = modes},
    {"workers", CONFIG_INT, offsetof(struct demo_config, workers), .fallback = "2", .min = 1,
     .max = 64},
    {"cache", CONFIG_DURATION, offsetof(struct demo_config, cache_ns), .fallback = "5s", .min = 0,
     .max = 3600 * NS_PER_S},
    {"body_max", CONFIG_SIZE, offsetof(struct demo_config, body_max), .fallback = "64KiB"},
    {"verbose", CONFIG_BOOL, offsetof(struct demo_config, verbose)},
    {"roots", CONFIG_LIST, offsetof(struct demo_config, roots), .fallback = "[\"a\", \"b\"]"},
    {"labels", CONFIG_MAP, offsetof(struct demo_config, labels)},
    {"tls", CONFIG_SECTION, offsetof(struct demo_config, tls), .keys = tls_keys},
    {"backends", CONFIG_SECTIONS, offsetof(struct demo_config, backends), .keys = backend_keys,
     .size = sizeof(struct backend)},
    {"extra", CONFIG_TREE, offsetof(struct demo_config, extra)},
    {0},
};

static void test_defaults(void **state)
{
    struct config *c;
    struct demo_config d = {0};
    assert_ok(config_parse(S(""), S("c.yaml"), &c));
    assert_str(c->trust_domain, "cluster.local");
    assert_str(c->state_dir, "/var/lib/sextant");
    assert_ok(config_section(c, "authz", keys, &d));
    assert_str(d.listen, "127.0.0.1:8181");
    assert_int_equal(d.workers, 2);
    assert_int_equal(d.cache_ns, 5 * NS_PER_S);
    assert_int_equal(d.body_max, 65536);
    assert_int_equal(d.roots.n, 2);
    assert_str(d.tls.cert, "none.pem");
    assert_true(d.tls.required);
    assert_null(d.extra);
    config_free(c);
}

static void test_values(void **state)
{
    const char *text =
        "trust_domain: example.org\nuids: {crypto: 70101, authn: 70102}\nx-note: hello\n"
        "authz:\n  listen: 0.0.0.0:1\n  mode: observe\n  cache: 1m30s\n  body_max: 2MiB\n  "
        "verbose: true\n"
        "  roots: [x, 7]\n  labels: {a: b, n: 1, t: true}\n  tls: {required: false}\n"
        "  backends:\n    - name: one\n    - {name: two, port: 8080}\n  extra: {any: [thing]}\n";
    struct config *c;
    struct demo_config d = {0};
    assert_ok(config_parse(str_of(text), S("c.yaml"), &c));
    assert_ok(config_section(c, "authz", keys, &d));
    assert_str(c->trust_domain, "example.org");
    assert_str(d.mode, "observe");
    assert_int_equal(d.cache_ns, 90 * NS_PER_S);
    assert_int_equal(d.body_max, 2 << 20);
    assert_true(d.verbose);
    assert_str(d.roots.items[1], "7");
    assert_str(d.labels.items[2].value, "true");
    assert_false(d.tls.required);
    assert_str(d.tls.cert, "none.pem");
    const struct backend *b = d.backends.items;
    assert_int_equal(d.backends.n, 2);
    assert_int_equal(b[0].port, 80);
    assert_str(b[1].name, "two");
    assert_int_equal(b[1].port, 8080);
    assert_non_null(json_get(d.extra, "any"));
    uint32_t uid;
    assert_true(config_uid(c, S("authn"), &uid));
    assert_int_equal(uid, 70102);
    assert_false(config_uid(c, S("mesh"), &uid));
    assert_str(config_uid_name(c, 70101), "crypto");
    assert_true(config_has_section(c, "authz"));
    config_free(c);
}

static void check_error(const char *text, const char *want)
{
    struct config *c = NULL;
    struct demo_config d = {0};
    struct err e = config_parse(str_of(text), S("c.yaml"), &c);
    if (!failed(e)) {
        e = config_section(c, "authz", keys, &d);
    }
    if (!failed(e) || strcmp(err_detail(), want) != 0) {
        fail_msg("%s\ngave '%s'\nnot  '%s'", text, failed(e) ? err_detail() : "success", want);
    }
    config_free(c);
}

static void test_errors(void **state)
{
    check_error("authz:\n  lisen: x\n",
                "c.yaml:2:3: authz.lisen: unknown key; did you mean 'listen'?");
    check_error("authz:\n  lsiten: x\n",
                "c.yaml:2:3: authz.lsiten: unknown key; did you mean 'listen'?");
    check_error("authz:\n  zzzzzz: x\n", "c.yaml:2:3: authz.zzzzzz: unknown key");
    check_error("auhtz: {}\n", "c.yaml:1:1: auhtz: unknown section; did you mean 'authz'?");
    check_error("authz:\n  tls:\n    crt: x\n",
                "c.yaml:3:5: authz.tls.crt: unknown key; did you mean 'cert'?");
    check_error("authz:\n  workers: 65\n", "c.yaml:2:12: authz.workers: 65 is not in 1..64");
    check_error("authz:\n  workers: two\n",
                "c.yaml:2:12: authz.workers: expected a whole number, found a string");
    check_error("authz:\n  workers: 1.5\n",
                "c.yaml:2:12: authz.workers: '1.5' is not a whole number");
    check_error("authz:\n  cache: 2h\n",
                "c.yaml:2:10: authz.cache: 7200.000s is not in 0.000s..3600.000s");
    check_error("authz:\n  cache: soon\n",
                "c.yaml:2:10: authz.cache: 'soon' is not a duration such as 90s or 1h30m");
    check_error(
        "authz:\n  body_max: 5 apples\n",
        "c.yaml:2:13: authz.body_max: '5 apples' is not a size such as 4096, 64KiB or 16MiB");
    check_error("authz:\n  verbose: yes\n",
                "c.yaml:2:12: authz.verbose: expected true or false, found a string");
    check_error("authz:\n  mode: off\n",
                "c.yaml:2:9: authz.mode: 'off' is not one of enforce, observe");
    check_error("authz:\n  roots: [a, [b]]\n",
                "c.yaml:2:14: authz.roots[1]: expected a string, found an array");
    check_error("authz:\n  labels: [a]\n",
                "c.yaml:2:11: authz.labels: expected a mapping, found an array");
    check_error("authz:\n  backends:\n    - port: 1\n",
                "c.yaml:3:7: authz.backends[0].name: missing: its name");
    check_error("authz:\n  backends: [{name: a, port: 0}]\n",
                "c.yaml:2:30: authz.backends[0].port: 0 is not in 1..65535");
    check_error("authz: [1]\n", "c.yaml:1:8: authz: expected a mapping, found an array");
    check_error("authz: {listen: 1}\nauthz: {}\n",
                "c.yaml:2:1: the key 'authz' stands twice in one mapping");
    check_error("a: 1\n---\nb: 2\n",
                "c.yaml:3:1: one document is expected; a second one begins here");
    check_error("[1]\n", "c.yaml:1:1: a mapping of sections is expected");
    check_error("uids: {authn: root}\n", "c.yaml:1:15: uids.authn: 'root' is not a uid");
    check_error("trust_domain: Example\n", "c.yaml:1:15: trust_domain: 'E' is not allowed; use "
                                           "lower case letters, digits, '.', '-' and '_'");
}

static void test_load(void **state)
{
    struct config *c;
    char path[] = "/tmp/sextant-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "run_dir: /r\n", 12), 12);
    close(fd);
    assert_ok(config_load(path, &c));
    assert_str(c->run_dir, "/r");
    assert_str(c->file, path);
    config_free(c);
    unlink(path);
    assert_err(config_load(path, &c), ERR_NOT_FOUND);
    assert_err(config_load("/tmp", &c), ERR_IO);
}

static void test_describe(void **state)
{
    struct buf out;
    struct config *c;
    struct tls_section t = {0};
    buf_init(&out, 8192);
    config_describe(&out, "authz", tls_keys);
    assert_str(buf_str(&out), "authz:\n  # certificate file (text)\n  cert: none.pem\n  #  (true "
                              "or false)\n  required: true\n");
    assert_ok(config_parse(buf_str(&out), S("d"), &c));
    assert_ok(config_section(c, "authz", tls_keys, &t));
    config_free(c);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults), cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),   cmocka_unit_test(test_load),
        cmocka_unit_test(test_describe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
