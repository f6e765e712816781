/* Entries, registry, attestation and deny-list: what needs no daemon beside it. */
#include "test/unit.h"

#include "attest.h"
#include "bootstrap.h"
#include "denylist.h"
#include "federation.h"
#include "registry.h"
#include "schema.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[] = "/tmp/sextant-identity-XXXXXX";
static const struct str domain = STR_INIT("one.test");

static struct store *open_store(void)
{
    char path[64];
    struct store *s;
    snprintf(path, sizeof(path), "%s/identity.db", dir);
    assert_ok(store_open(path, identity_schema, &s));
    return s;
}

static struct err parse_entry(const char *text, struct entry **out)
{
    struct arena a;
    struct json *v;
    arena_init(&a, 1 << 20);
    struct err e = json_parse(&a, str_of(text), NULL, &v);
    if (!failed(e)) {
        e = entry_from_json(v, domain, out);
    }
    arena_release(&a);
    return e;
}

static void drop(struct entry *e)
{
    (void)e; /* no SVID was made */
}

#define ENTRY(id, more)                                                                            \
    "{\"spiffe_id\":\"spiffe://one.test/" id "\",\"parent_id\":\"spiffe://one.test/p\"," more "}"

/* ---- entries ---- */

static void test_entry_forms(void **state)
{
    struct entry *e;
    assert_ok(parse_entry(
        ENTRY(
            "a",
            "\"selectors\":[\"unix:uid:2\",{\"type\":\"unix\",\"value\":\"uid:1\"},\"unix:uid:2\"],"
            "\"x509_svid_ttl\":60,\"jwt_svid_ttl\":\"30\",\"federates_with\":[\"spiffe://"
            "two.test\",\"three.test\"],"
            "\"dns_names\":[\"a.svc\"],\"hint\":\"main\",\"admin\":true"),
        &e));
    assert_int_equal(e->selectors.n, 2); /* sorted, once each */
    assert_str(e->selectors.items[0], "unix:uid:1");
    assert_int_equal(e->x509_ttl_s, 60);
    assert_int_equal(e->jwt_ttl_s, 30);
    assert_true(strs_has(&e->federates_with, S("two.test")) && e->admin && !e->downstream);
    struct arena a;
    arena_init(&a, 1 << 20);
    struct buf b;
    buf_init(&b, 1 << 20);
    json_write(&b, entry_to_json(&a, e));
    buf_putc(&b, '\0');
    struct entry *again;
    assert_ok(parse_entry(b.p, &again));
    assert_true(strs_equal(&e->selectors, &again->selectors) &&
                str_eq(e->spiffe_id, again->spiffe_id));
    assert_true(str_eq(e->hint, again->hint) && again->x509_ttl_s == 60);
    entry_free(again);
    entry_free(e);
    buf_release(&b);
    arena_release(&a);
}

static void test_entries_refused(void **state)
{
    static const char *const bad[] = {
        "[]",
        "{}",
        ENTRY("a", "\"selectors\":[]"),
        ENTRY("a", "\"selectors\":\"unix:uid:1\""),
        ENTRY("a", "\"selectors\":[{\"type\":\"unix\",\"value\":\"uid:0\\u0000x\"}]"),
        ENTRY("a", "\"selectors\":[\"unix\"]"),
        ENTRY("a", "\"selectors\":[\":x\"]"),
        ENTRY("a", "\"selectors\":[\"unix:\"]"),
        ENTRY("a", "\"selectors\":[\"unix:uid:1\"],\"ttl\":1"),
        ENTRY("a/", "\"selectors\":[\"unix:uid:1\"]"),
        ENTRY("spire/agent/x", "\"selectors\":[\"unix:uid:1\"]"),
        ENTRY("a", "\"selectors\":[\"unix:uid:1\"],\"x509_svid_ttl\":-1"),
        ENTRY("a", "\"selectors\":[\"unix:uid:1\"],\"x509_svid_ttl\":99999999"),
        ENTRY("a", "\"selectors\":[\"unix:uid:1\"],\"federates_with\":[\"Two.test\"]"),
        ENTRY("a", "\"selectors\":[\"unix:uid:1\"],\"dns_names\":[1]"),
        "{\"spiffe_id\":\"spiffe://two.test/a\",\"parent_id\":\"spiffe://one.test/"
        "p\",\"selectors\":[\"unix:uid:1\"]}",
        "{\"spiffe_id\":\"spiffe://one.test\",\"parent_id\":\"spiffe://one.test/"
        "p\",\"selectors\":[\"unix:uid:1\"]}",
        "{\"spiffe_id\":\"spiffe://one.test/a\",\"selectors\":[\"unix:uid:1\"]}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct entry *e;
        if (!failed(parse_entry(bad[i], &e))) {
            fail_msg("%s was accepted", bad[i]);
        }
    }
}

/* ---- registry ---- */

static struct entry *make(const char *text)
{
    struct entry *e;
    assert_ok(parse_entry(text, &e));
    return e;
}

static size_t match(struct registry *r, const char *const *have, struct entry **out)
{
    struct strs s = {NULL, 0};
    for (size_t i = 0; have[i] != NULL; i++) {
        assert_ok(strs_add(&s, str_of(have[i]), 100));
    }
    strs_sort(&s);
    size_t n = registry_match(r, &s, 1000, out);
    strs_release(&s);
    return n;
}

static void test_registry(void **state)
{
    struct store *s = open_store();
    struct registry r;
    struct entry *out[REGISTRY_MATCH_MAX];
    assert_ok(registry_open(s, domain, drop, &r));
    assert_ok(registry_create(&r, make(ENTRY("a", "\"id\":\"1\",\"selectors\":[\"unix:uid:1\"]"))));
    assert_ok(registry_create(
        &r, make(ENTRY("b", "\"id\":\"2\",\"selectors\":[\"unix:uid:1\",\"unix:path:/x\"]"))));
    assert_ok(registry_create(
        &r, make(ENTRY("c", "\"id\":\"3\",\"selectors\":[\"unix:gid:1\"],\"expires_at\":999"))));
    struct entry *twin = make(ENTRY("a", "\"id\":\"9\",\"selectors\":[\"unix:uid:1\"]"));
    assert_err(registry_create(&r, twin), ERR_EXISTS);
    entry_free(twin);
    static const char *const one[] = {"unix:uid:1", "unix:gid:1", NULL}, *const both[] = {
                                                                             "unix:path:/x",
                                                                             "unix:uid:1", NULL};
    static const char *const none[] = {"unix:path:/x", "unix:uid:2", NULL};
    assert_int_equal(match(&r, one, out),
                     1); /* all selectors must be there; the third has expired */
    assert_str(out[0]->spiffe_id, "spiffe://one.test/a");
    assert_int_equal(match(&r, both, out), 2);
    assert_int_equal(match(&r, both, out), 2); /* the counters went back */
    assert_int_equal(match(&r, none, out), 0);
    registry_close(&r);
    store_close(s);

    s = open_store(); /* it is all still there */
    assert_ok(registry_open(s, domain, drop, &r));
    assert_int_equal(match(&r, both, out), 2);
    assert_ok(registry_update(&r, make(ENTRY("b", "\"id\":\"2\",\"selectors\":[\"unix:uid:7\"]"))));
    assert_int_equal(registry_find(&r, S("2"))->revision, 1);
    assert_int_equal(match(&r, both, out), 1);
    assert_ok(registry_delete(&r, S("1")));
    assert_int_equal(match(&r, both, out), 0);
    assert_err(registry_delete(&r, S("1")), ERR_NOT_FOUND);
    struct entry *fixed = make(ENTRY("d", "\"id\":\"builtin\",\"selectors\":[\"unix:uid:1\"]"));
    assert_ok(registry_add_builtin(&r, fixed));
    assert_err(registry_delete(&r, S("builtin")), ERR_DENIED);
    registry_close(&r);
    store_close(s);
}

/* ---- attestation ---- */

static bool has(const struct strs *s, const char *kind, unsigned id)
{
    char text[64];
    snprintf(text, sizeof(text), "unix:%s:%u", kind, id);
    return strs_has(s, str_of(text));
}

static void test_attest_self(void **state)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    struct attest_peer p = {.pid = getpid(), .uid = geteuid(), .gid = getegid(), .pidfd = pidfd};
    struct strs s;
    char exe[4096], want[4200];
    assert_ok(attest_process(&p, true, &s));
    assert_true(has(&s, "uid", geteuid()) && has(&s, "gid", getegid()));
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    exe[n] = '\0';
    snprintf(want, sizeof(want), "unix:path:%s", exe);
    assert_true(strs_has(&s, str_of(want)));
    bool hashed = false;
    for (size_t i = 0; i < s.n; i++) {
        hashed |= str_starts(s.items[i], S("unix:sha256:")) && s.items[i].n == 12 + 64;
    }
    assert_true(hashed);
    strs_release(&s);
    p.uid++; /* SO_PEERCRED said something else: the process changed its ids */
    assert_err(attest_process(&p, false, &s), ERR_DENIED);
    close(pidfd);
}

static pid_t clone_with_pid(pid_t want)
{
    struct {
        uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls, set_tid,
            set_tid_size, cgroup;
    } args = {.exit_signal = SIGCHLD, .set_tid = (uint64_t)(uintptr_t)&want, .set_tid_size = 1};
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

/* A client that connects and then ends, leaving its open connection to nobody. */
static void connect_and_end(const struct sockaddr_un *to)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    _exit(fd >= 0 && connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0 ? 0 : 1);
}

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/*
 * The attack: a process connects and ends, and another one, whose name is worth having, is given its number.
 * Whoever goes by the number alone would name the connection after the second.
 */
static void test_pid_reuse_attack(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/reuse.sock", dir);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);
    pid_t first = fork();
    if (first == 0) {
        connect_and_end(&address);
    }
    int conn = accept(listener, NULL, NULL), pidfd = -1;
    socklen_t len = sizeof(pidfd);
    struct ucred cred;
    bool have_pidfd = getsockopt(conn, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) == 0;
    len = sizeof(cred);
    assert_int_equal(getsockopt(conn, SOL_SOCKET, SO_PEERCRED, &cred, &len), 0);
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    int64_t connected = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    int status;
    assert_int_equal(waitpid(first, &status, 0), first);
    usleep(30000); /* start times count in hundredths of a second */
    pid_t second = clone_with_pid(first);
    if (second == 0) {
        pause();
        _exit(0);
    }
    if (second != first || !have_pidfd) {
        print_message("skipped: pid reuse (needs CAP_CHECKPOINT_RESTORE and SO_PEERPIDFD)\n");
    } else {
        char path[64];
        struct strs s;
        snprintf(path, sizeof(path), "/proc/%d/exe", (int)cred.pid);
        assert_int_equal(access(path, F_OK),
                         0); /* the number is alive again, with our own program */
        struct attest_peer p = {.pid = cred.pid, .uid = cred.uid, .gid = cred.gid, .pidfd = pidfd};
        assert_err(attest_process(&p, false, &s), ERR_DENIED);
        p.pidfd = -1; /* an older kernel: the start time gives it away */
        p.connected_ns = connected;
        assert_err(attest_process(&p, false, &s), ERR_DENIED);
        p.connected_ns = connected + 3600 * INT64_C(1000000000);
        assert_ok(attest_process(&p, false, &s)); /* and this is what was prevented */
        strs_release(&s);
    }
    if (second > 0) {
        kill(second, SIGKILL);
        waitpid(second, &status, 0);
    }
    close(pidfd);
    close(conn);
    close(listener);
}

static void test_process_ends(void **state)
{
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    int pidfd = (int)syscall(SYS_pidfd_open, child, 0);
    assert_true(attest_alive(pidfd));
    struct attest_peer p = {.pid = child, .uid = geteuid(), .gid = getegid(), .pidfd = pidfd};
    struct strs s;
    assert_ok(attest_process(&p, false, &s));
    strs_release(&s);
    kill(child, SIGKILL);
    struct pollfd wait_end = {.fd = pidfd, .events = POLLIN};
    assert_int_equal(poll(&wait_end, 1, 5000), 1);
    assert_false(attest_alive(pidfd)); /* ended, and not yet waited for: its /proc is still there */
    assert_err(attest_process(&p, false, &s), ERR_DENIED);
    int status;
    waitpid(child, &status, 0);
    assert_err(attest_process(&p, false, &s), ERR_DENIED);
    close(pidfd);
    p.pid = 0;
    assert_err(attest_process(&p, false, &s), ERR_UNAVAILABLE);
}

/* ---- deny-list ---- */

static void test_denylist(void **state)
{
    struct store *s = open_store();
    struct denylist d;
    assert_ok(denylist_open(s, NULL, &d));
    uint64_t first = d.sequence;
    denylist_issued(&d, S("spiffe://one.test/a"), S("\x01\xab"), 5000);
    denylist_issued(&d, S("spiffe://one.test/b"), S("\x02"), 5000);
    assert_ok(denylist_add(&d, S("spiffe_id"), S("spiffe://one.test/a"), S("stolen"), 1000));
    assert_true(denylist_has(&d, "spiffe_id", S("spiffe://one.test/a")));
    assert_false(denylist_has(&d, "spiffe_id", S("spiffe://one.test/ab")));
    assert_int_equal(d.sequence, first + 1);
    assert_int_equal(d.n_revoked, 1); /* only the certificates of who is banned */
    assert_int_equal(d.revoked[0].serial.n, 2);
    assert_ok(denylist_add(&d, S("serial"), S("02"), S(""), 1000));
    assert_ok(denylist_add(&d, S("jti"), S("t-1"), S(""), 1000));
    assert_int_equal(d.n_revoked, 2);
    denylist_close(&d);
    store_close(s);
    s = open_store();
    assert_ok(denylist_open(s, NULL, &d));
    assert_int_equal(d.sequence, first + 3);
    assert_int_equal(d.n, 3);
    struct arena a;
    struct buf b;
    arena_init(&a, 1 << 20);
    buf_init(&b, 1 << 16);
    json_write(&b, denylist_to_json(&a, &d));
    assert_true(
        str_find(buf_str(&b),
                 S("\"spiffe_id\":\"spiffe://one.test/a\",\"since\":1000,\"reason\":\"stolen\"")) !=
        STR_NPOS);
    buf_release(&b);
    arena_release(&a);
    denylist_prune(&d, 6000);
    assert_int_equal(d.n_revoked, 0); /* expired: nothing to revoke */
    assert_ok(denylist_remove(&d, S("spiffe_id"), S("spiffe://one.test/a")));
    assert_err(denylist_remove(&d, S("spiffe_id"), S("spiffe://one.test/a")), ERR_NOT_FOUND);
    assert_err(denylist_add(&d, S("name"), S("x"), S(""), 1), ERR_INVALID);
    assert_err(denylist_add(&d, S("spiffe_id"), S("alice"), S(""), 1), ERR_SYNTAX);
    assert_err(denylist_add(&d, S("serial"), S("XY"), S(""), 1), ERR_INVALID);
    assert_err(denylist_add(&d, S("jti"), S(""), S(""), 1), ERR_INVALID);
    denylist_close(&d);
    store_close(s);
}

static void test_federation(void **state)
{
    struct store *s = open_store();
    struct federation f;
    assert_ok(federation_open(s, domain, &f));
    assert_err(federation_set(&f, domain, S("{\"keys\":[]}")), ERR_INVALID);
    assert_err(federation_set(&f, S("two.test"), S("{}")), ERR_SYNTAX);
    assert_ok(federation_set(&f, S("two.test"), S("{\"keys\":[]}")));
    federation_close(&f);
    assert_ok(federation_open(s, domain, &f));
    assert_non_null(federation_get(&f, S("two.test")));
    assert_ok(federation_delete(&f, S("two.test")));
    assert_err(federation_delete(&f, S("two.test")), ERR_NOT_FOUND);
    federation_close(&f);
    store_close(s);
}

static void test_bootstrap(void **state)
{
    struct config *c;
    struct registry r;
    struct strs names = {NULL, 0};
    struct store *s = open_store();
    assert_ok(config_parse(S("trust_domain: one.test\nuids: {alone: 5001, x: 5002, y: 5002, "
                             "\"spiffe://one.test/z\": 5003}\n"),
                           S("t"), &c));
    assert_ok(bootstrap_machine_names(&names));
    assert_true(strs_has(&names, S("localhost")) && strs_has(&names, S("127.0.0.1")));
    assert_ok(registry_open(s, domain, drop, &r));
    struct bootstrap b = {.config = c, .domain = domain, .names = &names};
    assert_ok(bootstrap_entries(&b, &r));
    struct entry *out[REGISTRY_MATCH_MAX];
    static const char *const alone[] = {"unix:uid:5001", NULL},
                             *const shared[] = {"unix:uid:5002", NULL},
                             *const z[] = {"unix:uid:5003", NULL};
    assert_int_equal(match(&r, alone, out), 1);
    assert_str(out[0]->spiffe_id, "spiffe://one.test/sextant/alone");
    assert_int_equal(match(&r, shared, out), 0); /* two names, nothing to tell them apart */
    assert_int_equal(match(&r, z, out), 1);
    registry_drop_builtin(&r);
    assert_int_equal(match(&r, alone, out) + match(&r, z, out), 0);
    assert_ok(bootstrap_entries(&b, &r)); /* a reload makes them anew */
    assert_int_equal(match(&r, alone, out), 1);
    registry_close(&r);
    strs_release(&names);
    store_close(s);
    config_free(c);
}

static int setup(void **state)
{
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static int teardown(void **state)
{
    char command[64];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_forms),      cmocka_unit_test(test_entries_refused),
        cmocka_unit_test(test_registry),         cmocka_unit_test(test_attest_self),
        cmocka_unit_test(test_pid_reuse_attack), cmocka_unit_test(test_process_ends),
        cmocka_unit_test(test_denylist),         cmocka_unit_test(test_federation),
        cmocka_unit_test(test_bootstrap),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
