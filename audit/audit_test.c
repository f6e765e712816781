/* Intake, index, questions and detections on a real log in a temporary folder. */
#include "audit/daemon/service.h"
#include "audit/detect/detect_priv.h"
#include "lib/base/clock.h"
#include "lib/telemetry/audit.h"
#include "test/unit.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];
static struct service *service;
static struct expectations expected;
static unsigned told_ok, told_bad;
static const struct sender from_secrets = {STR_INIT("secrets"),
                                           STR_INIT("spiffe://td/sextant/secrets")};

static void wake(void *ctx)
{
}

static void told(void *ctx, struct err e)
{
    if (failed(e)) {
        told_bad++;
    } else {
        told_ok++;
    }
}

static void open_service(void)
{
    struct service_opts o = {
        .dir = dir, .origin = S("example.com/audit"), .expected = &expected, .wake = wake};
    assert_ok(service_open(&o, &service));
}

static int setup(void **state)
{
    strcpy(dir, "/tmp/sextant-audit-XXXXXX");
    assert_non_null(mkdtemp(dir));
    expected = (struct expectations){NULL, 0};
    told_ok = told_bad = 0;
    clock_freeze(INT64_C(1790000000) * NS_PER_S); /* a Monday */
    open_service();
    return 0;
}

static int teardown(void **state)
{
    char cmd[128];
    service_close(service);
    clock_freeze(0);
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    return system(cmd);
}

static void tick_s(int64_t s)
{
    clock_freeze(clock_wall_ns() + s * NS_PER_S);
}

static void emit(const struct audit_event *e)
{
    struct buf b;
    unsigned n;
    buf_init(&b, 1 << 20);
    audit_event_write(&b, e, "secrets");
    assert_ok(service_take(service, buf_str(&b), &from_secrets, told, NULL, &n));
    service_commit(service);
    service_commit(service); /* findings of the first */
    buf_release(&b);
}

static struct audit_event base_event(void)
{
    return (struct audit_event){.class_uid = OCSF_API_ACTIVITY,
                                .activity_id = 2,
                                .activity = "read",
                                .outcome = "allowed",
                                .actor_spiffe_id = S("spiffe://td/ns/a/sa/pay"),
                                .token_accessor = S("acc-1"),
                                .source_addr = S("10.0.0.1:4242"),
                                .trace = trace_new()};
}

static void read_secret(const char *path)
{
    struct audit_event e = base_event();
    e.secret_path = str_of(path);
    emit(&e);
}

static size_t findings(void)
{
    uint64_t at[64];
    size_t n;
    assert_ok(service_findings(service, 0, at, 64, &n));
    return n;
}

/* Rule and severity of the newest finding. */
static void check_last(const char *rule, int severity)
{
    uint64_t at[64];
    size_t n;
    struct arena a;
    struct str line;
    struct json *v;
    struct event e;
    arena_init(&a, 1 << 20);
    assert_ok(service_findings(service, 0, at, 64, &n));
    assert_true(n > 0);
    assert_ok(tlog_entry(service_log(service), &a, at[n - 1], &line));
    assert_ok(json_parse(&a, line, NULL, &v));
    event_read(v, &e);
    assert_str(e.field[EVENT_REASON], rule);
    assert_int_equal(e.severity, severity);
    arena_release(&a);
}

/* ---- intake ---- */

static void takes_and_completes_events(void **state)
{
    read_secret("kv/data/a");
    assert_int_equal(told_ok, 1);
    struct arena a;
    struct str line;
    struct json *v;
    uint64_t seq;
    arena_init(&a, 1 << 20);
    assert_ok(tlog_entry(service_log(service), &a, 0, &line));
    assert_ok(json_parse(&a, line, NULL, &v));
    assert_ok(json_u64(json_path(v, "metadata.sequence"), &seq));
    assert_int_equal(seq, 0);
    assert_str(json_str(json_path(v, "metadata.log_name")), "example.com/audit");
    assert_str(json_str(json_path(v, "unmapped.sextant.sender")), "spiffe://td/sextant/secrets");
    assert_ok(event_check_fingerprint(&a, line));
    struct buf canonical;
    buf_init(&canonical, 1 << 16);
    json_write_canonical(&canonical, v);
    assert_true(str_eq(buf_str(&canonical), line));
    char *bad = arena_cstr(&a, line);
    *strstr(bad, "kv/data/a") = 'K';
    assert_err(event_check_fingerprint(&a, str_of(bad)), ERR_SIGNATURE);
    buf_release(&canonical);
    arena_release(&a);
}

static struct err take(const char *text)
{
    unsigned n;
    return service_take(service, str_of(text), &from_secrets, told, NULL, &n);
}

#define HEAD                                                                                       \
    "{\"class_uid\":6003,\"category_uid\":6,\"activity_id\":2,\"type_uid\":600302,"                \
    "\"time\":1790000000000,\"severity_id\":1,"
#define META(uid, name)                                                                            \
    "\"metadata\":{\"version\":\"1.8.0\",\"uid\":\"" uid "\",\"product\":{\"name\":\"" name "\"}}"
#define PARTS                                                                                      \
    ",\"actor\":{\"user\":{\"uid\":\"x\"}},\"api\":{\"operation\":\"read\"},"                      \
    "\"src_endpoint\":{\"ip\":\"10.0.0.1\"}"
#define GOOD(uid) HEAD META(uid, "sextant-secrets") PARTS "}"

static void refuses_what_is_not_an_event(void **state)
{
    static const struct {
        const char *text;
        enum err_code want;
    } bad[] = {
        {"", ERR_INVALID},
        {"\n\n", ERR_INVALID},
        {"{", ERR_SYNTAX},
        {"[]", ERR_INVALID},
        {"{}", ERR_INVALID},
        {HEAD "\"metadata\":{}}", ERR_INVALID},
        {HEAD META("u", "sextant-secrets") "}", ERR_INVALID},      /* no actor */
        {HEAD META("", "sextant-secrets") PARTS "}", ERR_INVALID}, /* no uid */
        {HEAD META("u", "sextant-authn") PARTS "}", ERR_DENIED},   /* another's name */
        {HEAD META("u", "sextant-secrets") PARTS
         ",\"unmapped\":{\"sextant\":{\"daemon\":\"authn\"}}}",
         ERR_DENIED},
        {HEAD META("u", "sextant-secrets") PARTS ",\"unmapped\":{\"attestation_list\":[{}]}}",
         ERR_INVALID},
        {"{\"class_uid\":1,\"activity_id\":1,\"type_uid\":101}", ERR_INVALID},
        {GOOD("u1") "\n{\"class_uid\":6003}", ERR_INVALID}, /* all or none */
        {"{\"a\":1,\"a\":2}", ERR_INVALID},
        {"{\"a\":\"\xff\"}", ERR_SYNTAX},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err e = take(bad[i].text);
        if (e.code != bad[i].want) {
            fail_msg("case %zu gave %s: %s", i, err_text(e), err_detail());
        }
    }
    service_commit(service);
    assert_int_equal(tlog_size(service_log(service)), 0);
    assert_ok(take(GOOD("u1"))); /* its uid was not kept from the refused request */
    service_commit(service);
    assert_int_equal(tlog_size(service_log(service)), 1);
}

static void repeated_deliveries_are_dropped(void **state)
{
    assert_ok(take(GOOD("u1") "\n" GOOD("u2") "\n" GOOD("u1")));
    service_commit(service);
    assert_ok(take(GOOD("u2") "\n" GOOD("u3")));
    service_commit(service);
    assert_int_equal(tlog_size(service_log(service)), 3);
    assert_int_equal(told_ok, 2);
    service_close(service);
    open_service();
    assert_ok(take(GOOD("u1") "\n" GOOD("u4")));
    service_commit(service);
    assert_int_equal(tlog_size(service_log(service)), 4);
}

static void sensitive_values_are_digests(void **state)
{
    assert_ok(
        take(HEAD META("u", "sextant-secrets") PARTS
             ",\"unmapped\":{\"sextant\":{\"sensitive\":{\"ttl\":300,\"password\":\"hunter2\","
             "\"same\":\"hunter2\"}}}}"));
    service_commit(service);
    struct arena a;
    struct str line;
    struct json *v;
    arena_init(&a, 1 << 20);
    assert_ok(tlog_entry(service_log(service), &a, 0, &line));
    assert_ok(json_parse(&a, line, NULL, &v));
    assert_int_equal(str_find(line, S("hunter2")), STR_NPOS);
    const struct json *s = json_path(v, "unmapped.sextant.sensitive");
    assert_true(str_starts(json_str(json_get(s, "ttl")), S("hmac-sha256:")));
    assert_true(str_eq(json_str(json_get(s, "password")), json_str(json_get(s, "same"))));
    arena_release(&a);
}

/* ---- questions ---- */

static const struct json *ask(struct arena *a, enum ask_question question, const char *of,
                              bool with_index)
{
    struct ask q = {.question = question, .of = str_of(of)};
    struct ask_source s = service_source(service);
    struct buf b;
    struct json *v;
    if (!with_index) {
        s.index = NULL;
    }
    buf_init(&b, 16 << 20);
    assert_ok(ask_answer(&s, &q, &b));
    assert_ok(json_parse(a, buf_str(&b), NULL, &v));
    buf_release(&b);
    return v;
}

static bool answers(const struct json *v, const char *kind, const char *value)
{
    const struct json *list = json_get(v, "answers");
    for (uint32_t i = 0; i < list->n; i++) {
        if (str_is(json_str(json_get(list->items[i], "kind")), kind) &&
            str_is(json_str(json_get(list->items[i], "value")), value)) {
            return true;
        }
    }
    return false;
}

/* One request through three daemons that each know a part. */
static void one_request(const char *person, const char *lease, const char *row)
{
    struct trace t = trace_new();
    struct audit_event login = {.class_uid = OCSF_AUTHENTICATION,
                                .activity_id = 1,
                                .activity = "login",
                                .outcome = "allowed",
                                .actor_user = str_of(person),
                                .trace = t};
    struct audit_event decide = {.class_uid = OCSF_API_ACTIVITY,
                                 .activity = "decide",
                                 .outcome = "allowed",
                                 .policy_path = S("data.shop.allow"),
                                 .policy_rule = S("shop.rego:12"),
                                 .decision_id = S("d-1"),
                                 .trace = t};
    struct audit_event creds = {.class_uid = OCSF_API_ACTIVITY,
                                .activity_id = 2,
                                .activity = "read",
                                .outcome = "allowed",
                                .secret_path = S("database/creds/shop"),
                                .lease_id = str_of(lease),
                                .actor_spiffe_id = S("spiffe://td/ns/shop/sa/b"),
                                .trace = t};
    struct audit_event data = {.class_uid = OCSF_DATASTORE_ACTIVITY,
                               .activity_id = 1,
                               .activity = "query",
                               .outcome = "allowed",
                               .resource_type = S("table"),
                               .resource_uid = str_of(row),
                               .trace = t};
    emit(&login);
    emit(&decide);
    emit(&creds);
    emit(&data);
}

static void the_five_questions(void **state)
{
    one_request("ana", "lease-1", "orders/17");
    one_request("ben", "lease-2", "orders/18");
    struct arena a;
    arena_init(&a, 16 << 20);
    for (int with_index = 0; with_index < 2; with_index++) {
        const struct json *v = ask(&a, ASK_WHO, "orders/17", with_index);
        assert_true(answers(v, "person", "ana"));
        assert_true(answers(v, "identity", "spiffe://td/ns/shop/sa/b"));
        assert_false(answers(v, "person", "ben"));
        v = ask(&a, ASK_POLICY, "orders/17", with_index);
        assert_true(answers(v, "policy", "data.shop.allow"));
        assert_true(answers(v, "rule", "shop.rego:12"));
        v = ask(&a, ASK_SECRET, "orders/17", with_index);
        assert_true(answers(v, "lease", "lease-1"));
        assert_false(answers(v, "lease", "lease-2"));
        v = ask(&a, ASK_IDENTITY, "lease-2", with_index);
        assert_true(answers(v, "identity", "spiffe://td/ns/shop/sa/b"));
        v = ask(&a, ASK_WHEN, "orders/18", with_index);
        assert_int_equal(json_get(v, "requests")->n, 1);
        assert_int_equal(json_get(json_get(v, "requests")->items[0], "events")->n, 4);
        v = ask(&a, ASK_WHO, "orders/*", with_index);
        assert_true(answers(v, "person", "ana") && answers(v, "person", "ben"));
        v = ask(&a, ASK_WHO, "orders/99", with_index);
        assert_int_equal(json_get(v, "requests")->n, 0);
    }
    arena_release(&a);
}

static void the_index_survives_and_is_made_again(void **state)
{
    char cmd[128];
    struct arena a;
    arena_init(&a, 64 << 20);
    for (int round = 0; round < 20; round++) { /* more than one index segment */
        struct buf b;
        unsigned n;
        buf_init(&b, 4 << 20);
        for (int i = 0; i < 1000; i++) {
            struct audit_event e = base_event();
            char path[64];
            snprintf(path, sizeof(path), "kv/data/%d", i % 7);
            e.secret_path = str_of(path);
            e.outcome = "denied";
            audit_event_write(&b, &e, "secrets");
        }
        assert_ok(service_take(service, buf_str(&b), &from_secrets, told, NULL, &n));
        service_commit(service);
        buf_release(&b);
    }
    assert_int_equal(tlog_size(service_log(service)), 20000);
    uint64_t found[4000];
    size_t n1, n2, n3;
    uint64_t key = index_key(S("kv/data/3"));
    assert_ok(index_find(service_index(service), key, 0, INT64_MIN, INT64_MAX, found, 4000, &n1));
    service_close(service);
    open_service();
    assert_ok(index_find(service_index(service), key, 0, INT64_MIN, INT64_MAX, found, 4000, &n2));
    service_close(service);
    snprintf(cmd, sizeof(cmd), "rm -rf %s/index %s/detect.state", dir, dir);
    assert_int_equal(system(cmd), 0);
    open_service();
    assert_ok(index_find(service_index(service), key, 0, INT64_MIN, INT64_MAX, found, 4000, &n3));
    assert_true(n1 == 2860 && n2 == n1 && n3 == n1);
    arena_release(&a);
}

/* ---- detections: each with what must fire and what must not ---- */

static void read_many(const char *prefix, int n, int64_t gap_s)
{
    for (int i = 0; i < n; i++) {
        char path[64];
        snprintf(path, sizeof(path), "kv/data/%s/%d", prefix, i);
        read_secret(path);
        tick_s(gap_s);
    }
}

static void spike_many_different_secrets(void **state)
{
    read_many("x", 19, 2);
    assert_int_equal(findings(), 0);
    read_secret("kv/data/x/19");
    check_last("secret-read-spike", SEVERITY_HIGH);
    read_many("y", 15, 2);
    assert_int_equal(findings(), 1); /* told once */
}

static void no_spike_when_slow_or_repeated(void **state)
{
    read_many("x", 40, 20); /* 15 within five minutes, by a new identity */
    for (int i = 0; i < 60; i++) {
        read_secret("kv/data/same");
    }
    assert_int_equal(findings(), 0);
}

static void settle(void)
{
    for (int i = 0; i < DETECT_SETTLED_EVENTS; i++) {
        read_secret(i % 2 != 0 ? "kv/data/own/a" : "kv/data/own/b");
        if (i % 20 == 19) {
            tick_s(3600);
        }
    }
    tick_s(7200);
}

static void spike_secrets_new_to_a_settled_identity(void **state)
{
    settle();
    size_t before = findings();
    read_many("own", 4, 1);
    assert_int_equal(findings(), before);
    read_secret("kv/data/own/4");
    assert_int_equal(findings(), before + 1);
    check_last("secret-read-spike", SEVERITY_MEDIUM);
}

static void spike_by_the_hours_own_history(void **state)
{
    for (int day = 0; day < 12; day++) { /* two reads in this hour of each day */
        read_secret("kv/data/own/a");
        read_secret("kv/data/own/a");
        tick_s(86400);
    }
    while ((clock_wall_s() / 86400 + 4) % 7 == 0 || (clock_wall_s() / 86400 + 4) % 7 == 6) {
        tick_s(86400); /* to a workday */
    }
    size_t before = findings();
    for (int i = 0; i < 18; i++) {
        read_secret("kv/data/own/a");
    }
    assert_int_equal(findings(), before);
    for (int i = 0; i < 4; i++) {
        read_secret("kv/data/own/a");
    }
    assert_int_equal(findings(), before + 1);
    check_last("secret-read-spike", SEVERITY_MEDIUM);
}

static void outside_what_is_declared(void **state)
{
    static struct str secrets[] = {STR_INIT("kv/data/pay/"), STR_INIT("database/creds/pay")},
                      namespaces[] = {STR_INIT("a")}, regions[] = {STR_INIT("eu-west")};
    static const struct expectation x[] = {{.identity = STR_INIT("spiffe://td/ns/a/*"),
                                            .secrets = secrets,
                                            .n_secrets = 2,
                                            .namespaces = namespaces,
                                            .n_namespaces = 1,
                                            .regions = regions,
                                            .n_regions = 1}};
    expected = (struct expectations){x, 1};
    struct audit_event e = base_event();
    read_secret("kv/data/pay/db");
    e.secret_path = S("kv/data/hr/salaries");
    e.outcome = "denied"; /* policy did its work: no finding */
    emit(&e);
    e = base_event();
    e.namespace = S("a");
    e.region = S("eu-west");
    emit(&e);
    assert_int_equal(findings(), 0);
    read_secret("kv/data/hr/salaries");
    assert_int_equal(findings(), 1);
    check_last("outside-expectation", SEVERITY_HIGH);
    tick_s(3600);
    e.namespace = S("b");
    emit(&e);
    assert_int_equal(findings(), 2);
    e.namespace = S("a");
    e.region = S("us-east");
    emit(&e);
    assert_int_equal(findings(), 3);
    check_last("other-region", SEVERITY_HIGH);
}

static void a_place_new_to_a_settled_identity(void **state)
{
    read_secret("kv/data/first/x"); /* not settled: nothing is known, nothing is told */
    read_secret("kv/data/second/x");
    assert_int_equal(findings(), 0);
    settle();
    size_t before = findings();
    read_secret("kv/data/own/c"); /* same place, other secret */
    assert_int_equal(findings(), before);
    read_secret("kv/data/hr/salaries");
    assert_int_equal(findings(), before + 1);
    check_last("outside-expectation", SEVERITY_LOW);
}

static void revoke_accessor(const char *accessor)
{
    struct audit_event e = base_event();
    e.activity_id = 4;
    e.activity = "revoke-accessor";
    e.actor_spiffe_id = S("spiffe://td/sextant/respond");
    e.token_accessor = S("acc-of-respond");
    e.source_addr = S("10.9.9.9:1");
    e.resource_type = S("token");
    e.resource_uid = str_of(accessor);
    emit(&e);
}

static void use(const char *outcome, const char *source)
{
    struct audit_event e = base_event();
    e.secret_path = S("kv/data/pay/db");
    e.outcome = outcome;
    e.source_addr = str_of(source);
    emit(&e);
}

static void repeated_use_after_revocation(void **state)
{
    use("allowed", "10.0.0.1:1");
    use("denied", "10.0.0.1:2"); /* a denial of a token that is not revoked */
    use("denied", "10.0.0.1:2");
    use("denied", "10.0.0.1:2");
    assert_int_equal(findings(), 0);
    revoke_accessor("acc-1");
    tick_s(5);
    use("denied", "10.0.0.1:3");
    use("denied", "10.0.0.1:4");
    assert_int_equal(findings(), 0); /* a stale client stops here */
    use("denied", "10.0.0.1:5");
    assert_int_equal(findings(), 1);
    check_last("use-after-revocation", SEVERITY_MEDIUM);
    use("denied", "10.0.0.1:6");
    assert_int_equal(findings(), 1);
    use("denied", "10.7.7.7:6"); /* from elsewhere: worse, at once */
    assert_int_equal(findings(), 2);
    check_last("use-after-revocation", SEVERITY_CRITICAL);
}

static void revoked_and_let_through(void **state)
{
    use("allowed", "10.0.0.1:1");
    revoke_accessor("acc-1");
    use("allowed", "10.0.0.1:1"); /* within a second: it was under way */
    assert_int_equal(findings(), 0);
    tick_s(5);
    use("allowed", "10.0.0.1:1");
    check_last("use-after-revocation", SEVERITY_CRITICAL);
    struct audit_event e = base_event(); /* the one who revokes is not touched by it */
    e.actor_spiffe_id = S("spiffe://td/sextant/respond");
    e.token_accessor = S("acc-of-respond");
    emit(&e);
    assert_int_equal(findings(), 1);
}

static void nameless(const char *source)
{
    struct audit_event e = base_event();
    e.actor_spiffe_id = e.token_accessor = STR_EMPTY;
    e.outcome = "denied";
    e.source_addr = str_of(source);
    emit(&e);
}

static void refusals_without_a_name_where_one_was_revoked(void **state)
{
    use("allowed", "10.0.0.1:1");
    for (int i = 0; i < 5; i++) {
        nameless("10.0.0.1:2"); /* before: noise */
    }
    revoke_accessor("acc-1");
    for (int i = 0; i < 5; i++) {
        nameless("10.0.0.2:2"); /* another host: noise */
    }
    nameless("10.0.0.1:3");
    nameless("10.0.0.1:4");
    assert_int_equal(findings(), 0);
    nameless("10.0.0.1:5");
    assert_int_equal(findings(), 1);
    check_last("use-after-revocation", SEVERITY_MEDIUM);
}

static void a_banned_identity_that_keeps_trying(void **state)
{
    struct audit_event e = base_event();
    e.token_accessor = STR_EMPTY;
    emit(&e);
    struct audit_event ban = base_event();
    ban.activity = "ban";
    ban.actor_spiffe_id = S("spiffe://td/sextant/respond");
    ban.token_accessor = STR_EMPTY;
    ban.resource_uid = e.actor_spiffe_id;
    emit(&ban);
    tick_s(2);
    e.outcome = "denied";
    emit(&e);
    emit(&e);
    assert_int_equal(findings(), 0);
    emit(&e);
    assert_int_equal(findings(), 1);
    ban.activity = "read"; /* who banned it goes on unharmed */
    ban.resource_uid = S("other");
    emit(&ban);
    assert_int_equal(findings(), 1);
}

static void from(const char *region, const char *accessor)
{
    struct audit_event e = base_event();
    e.region = str_of(region);
    e.token_accessor = str_of(accessor);
    emit(&e);
}

static void a_credential_in_two_regions(void **state)
{
    from("eu-west", "acc-1");
    from("eu-west", "acc-1");
    from("us-east", "acc-2"); /* another replica with a token of its own, not settled */
    assert_int_equal(findings(), 0);
    from("us-east", "acc-1");
    assert_int_equal(findings(), 1);
    check_last("other-region", SEVERITY_HIGH);
}

static void detections_survive_a_restart(void **state)
{
    use("allowed", "10.0.0.1:1");
    revoke_accessor("acc-1");
    tick_s(5);
    use("denied", "10.0.0.1:3");
    use("denied", "10.0.0.1:4");
    service_close(service);
    open_service();
    assert_int_equal(findings(), 0);
    use("denied", "10.0.0.1:5");
    assert_int_equal(findings(), 1);
    /* Without the saved state everything is fed again, and the finding is not told twice. */
    char cmd[128];
    service_close(service);
    snprintf(cmd, sizeof(cmd), "rm %s/detect.state", dir);
    assert_int_equal(system(cmd), 0);
    uint64_t size;
    open_service();
    assert_int_equal(findings(), 1);
    size = tlog_size(service_log(service));
    service_close(service);
    open_service();
    assert_int_equal(tlog_size(service_log(service)), size);
}

/* ---- a full disk ---- */

static bool fill_disk(const char *path)
{
    static char block[1 << 16];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    while (write(fd, block, sizeof(block)) > 0) {
    }
    while (write(fd, block, 512) > 0) {
    }
    close(fd);
    return true;
}

static struct err one_more(unsigned i, unsigned *ok)
{
    char line[1024];
    unsigned n, before = told_ok;
    snprintf(line, sizeof(line),
             HEAD "\"metadata\":{\"version\":\"1.8.0\",\"uid\":\"full-%u\",\"product\":"
                  "{\"name\":\"sextant-secrets\"}}" PARTS "}",
             i);
    struct err e = service_take(service, str_of(line), &from_secrets, told, NULL, &n);
    service_commit(service);
    ignore_err(tlog_integrate(service_log(service), UINT64_MAX));
    *ok += told_ok > before;
    return e;
}

/* In a mount namespace of its own, so that the tmpfs is gone with the process. */
static void full_disk_child(void)
{
    char filler[128];
    unsigned ok = 0, refused = 0;
    service_close(service);
    if (unshare(CLONE_NEWNS) != 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", dir, "tmpfs", 0, "size=80m") != 0) {
        _exit(77);
    }
    open_service();
    for (unsigned i = 0; i < 100; i++) {
        assert_ok(one_more(i, &ok));
    }
    assert_int_equal(ok, 100);
    snprintf(filler, sizeof(filler), "%s/filler", dir);
    fill_disk(filler);
    for (unsigned i = 100; refused == 0 && i < 80000; i++) { /* the segment has room for many yet */
        unsigned before = told_bad;
        assert_ok(one_more(i, &ok));
        refused += told_bad - before;
    }
    assert_true(refused > 0);
    assert_true(service_counts(service)->disk_full);
    assert_int_equal(tlog_size(service_log(service)), ok);
    unlink(filler); /* room again */
    assert_ok(one_more(100001, &ok));
    assert_int_equal(tlog_size(service_log(service)), ok);
    assert_false(service_counts(service)->disk_full);
    service_close(service);
    open_service();
    assert_int_equal(tlog_size(service_log(service)), ok); /* nothing acknowledged is lost */
    service_close(service);
    _exit(0);
}

static void a_full_disk_refuses_and_recovers(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        full_disk_child();
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) {
        print_message("skipped: a tmpfs needs CAP_SYS_ADMIN\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* The table of thresholds, computed again: the negative binomial's tail falls below 1e-6 there. */
static void thresholds_are_those_of_the_distribution(void **state)
{
    for (double mean = 0.25; mean <= 64; mean *= 2) {
        uint64_t k = spike_threshold((uint64_t)(mean * 256));
        double q = 4 / (4 + mean), p = q * q * q * q, cdf = 0;
        for (uint64_t i = 0; i < k; i++) {
            cdf += p;
            p = p * (double)(i + 4) / (double)(i + 1) * (1 - q);
        }
        assert_true(1 - cdf < 1.05e-6);
        assert_true(1 - cdf > 1e-8);
    }
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(takes_and_completes_events),
        T(refuses_what_is_not_an_event),
        T(repeated_deliveries_are_dropped),
        T(sensitive_values_are_digests),
        T(the_five_questions),
        T(the_index_survives_and_is_made_again),
        T(spike_many_different_secrets),
        T(no_spike_when_slow_or_repeated),
        T(spike_secrets_new_to_a_settled_identity),
        T(spike_by_the_hours_own_history),
        T(outside_what_is_declared),
        T(a_place_new_to_a_settled_identity),
        T(repeated_use_after_revocation),
        T(revoked_and_let_through),
        T(refusals_without_a_name_where_one_was_revoked),
        T(a_banned_identity_that_keeps_trying),
        T(a_credential_in_two_regions),
        T(detections_survive_a_restart),
        T(a_full_disk_refuses_and_recovers),
        cmocka_unit_test(thresholds_are_those_of_the_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
