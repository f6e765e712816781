/*
 * A running server against a control plane of our own: bundles with ETags, several at once, broken ones, deltas,
 * persistence; decision logs that fail and are sent again; a spool; discovery; status.
 */
#include "manage_priv.h"

#include "authz/bundle/bundle_priv.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/http/gzip.h"
#include "lib/http/http.h"
#include "test/unit.h"

#include <unistd.h>

enum { FILES_MAX = 128, LOGS_SEEN_MAX = 100000 };

static struct {
    struct loop *loop;
    struct http_server *server;
    struct arena arena;
    char base[100], directory[100];
    struct {
        char path[64];
        struct str bytes;
        char etag[32];
        unsigned asked, unchanged;
    } files[FILES_MAX];
    size_t n_files;
    int fail_logs; /* so many uploads are answered with 503 */
    unsigned uploads, events, statuses;
    char last_match[1000], last_prefer[100];
    struct val last_status;
    char ids[LOGS_SEEN_MAX / 100][40];
    const char *content_type;
    /* the server that is tested */
    struct authz z;
    struct authz_config config;
    struct manage *manage;
    bool (*until)(void);
    bool met;
} t;

/* ---- the control plane ---- */

static void serve_file(struct http_req *req, size_t i)
{
    struct str match = http_header_get(req, "if-none-match");
    struct http_header etag = {S("etag"), str_of(t.files[i].etag)};
    snprintf(t.last_match, sizeof t.last_match, "%.*s", STR_FMT(match));
    snprintf(t.last_prefer, sizeof t.last_prefer, "%.*s", STR_FMT(http_header_get(req, "prefer")));
    t.files[i].asked++;
    bool same = match.n > 0 && str_find(match, etag.value) != STR_NPOS;
    t.files[i].unchanged += same;
    struct http_reply r = {.status = same ? 304 : 200,
                           .body = same ? STR_EMPTY : t.files[i].bytes,
                           .content_type =
                               same || t.content_type == NULL ? STR_EMPTY : str_of(t.content_type),
                           .headers = &etag,
                           .n_headers = 1};
    http_reply(req, &r);
}

static void take_logs(struct http_req *req)
{
    struct buf plain;
    struct arena a;
    struct val v;
    if (t.fail_logs > 0) {
        t.fail_logs--;
        http_reply_status(req, 503);
        return;
    }
    arena_init(&a, 64 << 20);
    buf_init(&plain, 64 << 20);
    assert_str(http_header_get(req, "content-encoding"), "gzip");
    assert_ok(gzip_unpack(req->body, &plain));
    assert_ok(val_from_json(&a, buf_str(&plain), &v));
    assert_true(val_is(v, V_ARRAY) && val_len(v) > 0);
    for (uint32_t i = 0; i < val_len(v); i++) {
        struct str id = val_text(val_get_str(val_nth(v, i), "decision_id"));
        if (t.events < ARRAY_LEN(t.ids)) {
            snprintf(t.ids[t.events], sizeof t.ids[0], "%.*s", STR_FMT(id));
        }
        t.events++;
    }
    t.uploads++;
    buf_release(&plain);
    arena_release(&a);
    http_reply_status(req, 200);
}

static void control(struct http_req *req, void *ctx)
{
    if (str_is(req->path, "/logs")) {
        take_logs(req);
        return;
    }
    if (str_is(req->path, "/status")) {
        t.statuses++;
        assert_ok(val_from_json(&t.arena, req->body, &t.last_status));
        http_reply_status(req, 200);
        return;
    }
    for (size_t i = 0; i < t.n_files; i++) {
        if (str_is(req->path, t.files[i].path)) {
            serve_file(req, i);
            return;
        }
    }
    http_reply_status(req, 404);
}

static size_t publish(const char *path, const char *const (*files)[2], size_t n)
{
    struct buf tar, gz;
    size_t at = 0;
    static unsigned version;
    buf_init(&tar, 1 << 26);
    buf_init(&gz, 1 << 26);
    for (size_t i = 0; i < n; i++) {
        tar_put_file(&t.arena, &tar, str_of(files[i][0]), str_of(files[i][1]));
    }
    tar_put_end(&tar);
    assert_ok(gzip_pack(buf_str(&tar), 1, &gz));
    while (at < t.n_files && strcmp(t.files[at].path, path) != 0) {
        at++;
    }
    t.n_files = MAX(t.n_files, at + 1);
    snprintf(t.files[at].path, sizeof t.files[at].path, "%s", path);
    snprintf(t.files[at].etag, sizeof t.files[at].etag, "\"v%u\"", ++version);
    t.files[at].bytes = arena_str(&t.arena, buf_str(&gz));
    buf_release(&tar);
    buf_release(&gz);
    return at;
}

/* ---- the server ---- */

static struct err start_with(const char *config)
{
    struct settings *s = calloc(1, sizeof *s);
    char text[20000];
    struct manage_opts o = {.directory = t.directory};
    size_t n = 0;
    for (const char *p = config; *p != 0 && n < sizeof text - 120; p++) {
        n += *p == '@' ? (size_t)snprintf(text + n, sizeof text - n, "%s", t.base)
                       : (size_t)snprintf(text + n, sizeof text - n, "%c", *p);
    }
    settings_init(s);
    assert_ok(settings_read(s, str_n(text, n), NULL, 0));
    return manage_new(t.loop, &t.z, s, &o, &t.manage);
}

static int setup(void **state)
{
    memset(&t, 0, sizeof t);
    log_setup("test", LOG_ERROR + 1, LOG_TEXT);
    arena_init(&t.arena, (size_t)2 << 30);
    assert_ok(loop_new(&t.loop));
    struct http_server_opts so = {.handle = control, .body_max = 64 << 20, .arena_max = 64 << 20};
    assert_ok(http_server_new(t.loop, &so, &t.server));
    assert_ok(http_server_listen(t.server, S("127.0.0.1:0"), NULL, NULL));
    snprintf(t.base, sizeof t.base, "http://%s", http_server_address(t.server, 0));
    snprintf(t.directory, sizeof t.directory, "/tmp/sextant-manage-XXXXXX");
    assert_non_null(mkdtemp(t.directory));
    t.config = (struct authz_config){.eval_memory = 64 << 20};
    authz_init(&t.z, &t.config);
    snprintf(t.z.id, sizeof t.z.id, "test");
    return 0;
}

static void remove_all(const char *path)
{
    static const char *const names[] = {"bundles/b/bundle.tar.gz", "bundles/b", "bundles",
                                        "decision_logs.ndjson"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char full[400];
        snprintf(full, sizeof full, "%s/%s", path, names[i]);
        (void)remove(full);
    }
    (void)remove(path);
}

static int teardown(void **state)
{
    manage_free(t.manage);
    authz_release(&t.z);
    http_server_free(t.server);
    loop_free(t.loop);
    arena_release(&t.arena);
    remove_all(t.directory);
    return 0;
}

static void look(void *ctx)
{
    if (t.until()) {
        t.met = true;
        loop_stop(t.loop);
    }
}

static void too_late(void *ctx)
{
    loop_stop(t.loop);
}

/* Runs the loop until it holds, ten seconds at most. */
static void wait_for(bool (*until)(void), const char *what)
{
    t.until = until;
    t.met = until();
    struct timer *tick = timer_start(t.loop, 5, 5, look, NULL);
    struct timer *end = timer_start(t.loop, 10000, 0, too_late, NULL);
    if (!t.met) {
        loop_run(t.loop);
    }
    timer_stop(tick);
    if (!t.met) {
        fail_msg("never: %s", what);
    }
    timer_stop(end);
}

#define wait_until(cond) wait_for(cond, #cond)

static bool value_is(const char *path, const char *json)
{
    struct arena a;
    struct val parts[16], want = VAL_UNDEF;
    size_t n = 0;
    struct str rest = str_of(path);
    struct decision d = {.input = VAL_UNDEF};
    arena_init(&a, 16 << 20);
    while (rest.p != NULL && rest.n > 0) {
        parts[n++] = val_str(&a, str_split(&rest, '/'));
    }
    decide(&t.z, parts, n, VAL_UNDEF, false, &a, &d);
    if (json != NULL) {
        assert_ok(val_from_json(&a, str_of(json), &want));
    }
    bool same = val_undef(d.result) || val_undef(want) ? val_undef(d.result) && val_undef(want)
                                                       : val_eq(d.result, want);
    arena_release(&a);
    return same;
}

/* ---- bundles ---- */

static const char *polled(const char *more)
{
    return arena_printf(&t.arena,
                        "services: {s: {url: '@'}}\nbundles: {b: {service: s, resource: /b, "
                        "polling: {min_delay_seconds: 0, max_delay_seconds: 0}%s}}\n",
                        more)
        .p;
}

static void publish_rev(const char *rev, const char *data, const char *rego)
{
    const char *manifest =
        arena_printf(&t.arena, "{\"revision\":\"%s\",\"roots\":[\"a\",\"x\"]}", rev).p;
    const char *files[][2] = {{"/data.json", data}, {"/p.rego", rego}, {"/.manifest", manifest}};
    publish("/b", files, 3);
}

static bool revision_1(void)
{
    return value_is("x/p/v", "1") && value_is("system/bundles/b/manifest/revision", "\"1\"");
}

static bool revision_2(void)
{
    return value_is("x/p/v", "2") && value_is("system/bundles/b/manifest/revision", "\"2\"");
}

static bool was_unchanged(void)
{
    return t.files[0].unchanged >= 2;
}

static void test_follows_a_bundle(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with(polled("")));
    assert_int_equal(t.manage->bundle_plugin.state, PLUGIN_NOT_READY);
    assert_string_equal(t.manage->bundle_plugin.not_activated, "b");
    wait_until(revision_1);
    wait_until(was_unchanged);
    assert_string_equal(t.last_prefer, "modes=snapshot,delta");
    assert_string_equal(t.last_match, t.files[0].etag);
    assert_int_equal(t.manage->bundle_plugin.state, PLUGIN_OK);
    publish_rev("2", "{\"a\":{\"n\":2}}", "package x.p\n\nv := data.a.n");
    wait_until(revision_2);
    assert_true(value_is("a", "{\"n\":2}"));
    struct str path[] = {STR_INIT("a"), STR_INIT("n")}, why;
    assert_int_equal(store_check_owner(&t.z.store, path, 2, &t.arena, &why), STORE_OWNED);
    assert_str(why, "path a/n is owned by bundle \"b\"");
}

static bool has_failed(void)
{
    return t.manage->sources->status.failed;
}

static bool is_outside(void)
{
    return strstr(t.manage->sources->status.message, "do not permit data") != NULL;
}

static bool has_recovered(void)
{
    return !t.manage->sources->status.failed && value_is("x/p/v", "3");
}

static void test_a_broken_one_changes_nothing(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with(polled("")));
    wait_until(revision_1);
    const char *first = arena_printf(&t.arena, "%s", t.files[0].etag).p;
    publish_rev("bad", "{}", "package x.p\n\nv := nobody_knows_this");
    wait_until(has_failed);
    assert_true(revision_1());
    assert_string_equal(t.manage->sources->status.message,
                        "error(s) occurred while compiling module(s)");
    assert_string_equal(t.last_match, first); /* asks for what follows the one in force */
    publish_rev("outside", "{\"c\":1}", "package x.p");
    wait_until(is_outside);
    assert_true(revision_1());
    publish_rev("3", "{\"a\":{\"n\":3}}", "package x.p\n\nv := data.a.n");
    wait_until(has_recovered);
}

static bool all_in_force(void)
{
    return t.manage->bundle_plugin.state == PLUGIN_OK;
}

/* Eighty bundles of fifty rules are there within a second, and none of them is compiled eighty times. */
static void test_eighty_at_once(void **state)
{
    struct buf config, rules;
    buf_init(&config, 1 << 16);
    buf_init(&rules, 1 << 16);
    buf_puts(&config, S("services: {s: {url: '@'}}\nbundles:\n"));
    for (int k = 0; k < 80; k++) {
        buf_clear(&rules);
        buf_printf(&rules, "package r%d.p\n\n", k);
        for (int i = 0; i < 50; i++) {
            buf_printf(&rules, "a%d if {\n\tinput.u == \"u%d\"\n\tdata.r%d.n == %d\n}\n\n", i, i, k,
                       i);
        }
        buf_printf(&rules, "n := %d\n", k);
        buf_putc(&rules, 0);
        const char *files[][2] = {
            {"/p.rego", rules.p},
            {"/.manifest", arena_printf(&t.arena, "{\"roots\":[\"r%d\"]}", k).p}};
        publish(arena_printf(&t.arena, "/m/b%d", k).p, files, 2);
        buf_printf(&config, "  b%d: {resource: m/b%d}\n", k, k);
    }
    buf_putc(&config, 0);
    int64_t begin = clock_mono_ns();
    assert_ok(start_with(config.p));
    wait_until(all_in_force);
    int64_t took = clock_mono_ns() - begin;
    print_message("80 bundles of 50 rules in force after %lld ms; requests were held for %lld us\n",
                  (long long)(took / 1000000), (long long)(manage_longest_ns(t.manage) / 1000));
    assert_true(took < INT64_C(5000000000)); /* a second on a machine that does nothing else */
    assert_true(value_is("r79/p/n", "79") && value_is("r0/p/n", "0"));
    buf_release(&config);
    buf_release(&rules);
}

static bool one_up_one_down(void)
{
    struct source *s = t.manage->sources;
    bool up = false, down = false;
    for (; s != NULL; s = s->next) {
        up |= s->status.activated_ns != 0;
        down |= s->status.failed;
    }
    return up && down;
}

static void test_roots_may_not_overlap(void **state)
{
    const char *x[][2] = {{"/.manifest", "{\"roots\":[\"a\"]}"}};
    const char *y[][2] = {{"/.manifest", "{\"roots\":[\"a/b\"]}"}};
    publish("/x", x, 1);
    publish("/y", y, 1);
    assert_ok(start_with("services: {s: {url: '@'}}\nbundles: {x: {resource: x}, y: {resource: "
                         "y}}\n"));
    wait_until(one_up_one_down);
    for (struct source *s = t.manage->sources; s != NULL; s = s->next) {
        if (s->status.failed) {
            assert_string_equal(s->status.message,
                                "detected overlapping roots in manifests for these bundles: [x, "
                                "y] (a overlaps a/b)");
        }
    }
}

static bool patched(void)
{
    return value_is("a", "{\"n\":1,\"more\":true}") &&
           value_is("system/bundles/b/manifest/revision", "\"d\"");
}

static void test_delta(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with(polled("")));
    wait_until(revision_1);
    const char *files[][2] = {
        {"/patch.json", "{\"data\":[{\"op\":\"upsert\",\"path\":\"/a/more\",\"value\":true}]}"},
        {"/.manifest", "{\"revision\":\"d\",\"roots\":[\"a\",\"x\"]}"}};
    publish("/b", files, 2);
    wait_until(patched);
    assert_true(value_is("x/p/v", "1"));
    assert_string_equal(t.manage->sources->status.type, "delta");
}

static bool on_disk(void)
{
    char path[200];
    snprintf(path, sizeof path, "%s/bundles/b/bundle.tar.gz", t.directory);
    return access(path, F_OK) == 0;
}

/* The control plane is gone: what was kept is in force all the same. */
static void test_starts_from_disk(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with(polled(", persist: true")));
    wait_until(revision_1);
    wait_until(on_disk);
    manage_free(t.manage);
    t.manage = NULL;
    assert_true(value_is("x/p/v", NULL) || value_is("x/p/v", "1"));
    authz_release(&t.z);
    authz_init(&t.z, &t.config);
    t.n_files = 0;
    assert_ok(start_with(polled(", persist: true")));
    wait_until(revision_1);
    wait_until(has_failed);
    assert_string_equal(t.manage->sources->status.message, "server replied with Not Found");
    assert_int_equal(t.manage->sources->status.http_code, 404);
    assert_int_equal(t.manage->bundle_plugin.state, PLUGIN_OK);
}

static bool old_is_named(void)
{
    return strcmp(t.last_match, "\"v2\", \"v1\"") == 0 || strstr(t.last_match, ", ") != NULL;
}

static void test_superseded_etags(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with("services: {s: {url: '@'}}\nbundles: {b: {resource: b, polling: "
                         "{min_delay_seconds: 0, max_delay_seconds: 0, "
                         "superseded_etag_ttl_seconds: 60}}}\n"));
    wait_until(revision_1);
    const char *old = arena_printf(&t.arena, "%s", t.files[0].etag).p;
    publish_rev("2", "{\"a\":{\"n\":2}}", "package x.p\n\nv := data.a.n");
    wait_until(revision_2);
    wait_until(old_is_named);
    assert_string_equal(t.last_match, arena_printf(&t.arena, "%s, %s", t.files[0].etag, old).p);
}

static bool asked_twice(void)
{
    return t.files[0].asked >= 2;
}

static void test_long_polls(void **state)
{
    t.content_type = "application/vnd.openpolicyagent.bundles";
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with("services: {s: {url: '@'}}\nbundles: {b: {resource: b, polling: "
                         "{long_polling_timeout_seconds: 7}}}\n"));
    wait_until(asked_twice); /* at once, though the next poll would be due after a minute */
    assert_string_equal(t.last_prefer, "modes=snapshot,delta;wait=7");
}

static bool file_is_followed(void)
{
    return value_is("a/n", "8");
}

static bool file_is_in_force(void)
{
    return value_is("a/n", "7");
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    fclose(f);
}

static void test_file_is_watched(void **state)
{
    char path[200];
    snprintf(path, sizeof path, "%s/data.json", t.directory);
    write_file(path, "{\"a\":{\"n\":7}}");
    const char *config =
        arena_printf(&t.arena, "bundles: {f: {resource: 'file://%s'}}\n", t.directory).p;
    assert_ok(start_with(config));
    wait_until(file_is_in_force);
    write_file(path, "{\"a\":{\"n\":8}, \"b\":1}");
    wait_until(file_is_followed);
    (void)remove(path);
}

/* ---- decision logs ---- */

static void decide_some(unsigned n)
{
    struct http_req req = {.peer = NULL};
    for (unsigned i = 0; i < n; i++) {
        struct decision d = {
            .path = S("x/p/v"), .input = VAL_TRUE, .request = VAL_UNDEF, .result = VAL_TRUE};
        decision_new_id(d.id);
        assert_ok(t.z.log.log(t.z.log.ctx, &d, &req));
    }
}

static bool thousand_came(void)
{
    return t.events >= 1000;
}

static bool five_came(void)
{
    return t.events >= 5;
}

static void all_different(unsigned n)
{
    struct map seen;
    map_init(&seen);
    for (unsigned i = 0; i < n; i++) {
        assert_null(map_set(&seen, str_of(t.ids[i]), t.ids[i]));
    }
    map_release(&seen);
}

static void test_logs_arrive(void **state)
{
    t.fail_logs = 3;
    assert_ok(start_with("services: {s: {url: '@'}}\ndecision_logs: {reporting: "
                         "{min_delay_seconds: 0, max_delay_seconds: 0, upload_size_limit_bytes: "
                         "4096}}\n"));
    decide_some(1000);
    wait_until(thousand_came);
    assert_int_equal(t.events, 1000);
    all_different(MIN(t.events, (unsigned)ARRAY_LEN(t.ids)));
    assert_int_equal(logs_counters(t.manage->logs)->upload_failed, 3);
    assert_true(t.uploads > 2);
}

static void test_event_buffer_forgets_the_oldest(void **state)
{
    assert_ok(start_with("services: {s: {url: '@'}}\ndecision_logs: {reporting: {buffer_type: "
                         "event, buffer_size_limit_events: 5, trigger: manual}}\n"));
    decide_some(12);
    logs_trigger(t.manage->logs);
    wait_until(five_came);
    assert_int_equal(t.events, 5);
    assert_int_equal(logs_counters(t.manage->logs)->dropped_size, 7);
}

static void test_rate(void **state)
{
    assert_ok(start_with("services: {s: {url: '@'}}\ndecision_logs: {reporting: "
                         "{max_decisions_per_second: 5, trigger: manual}}\n"));
    decide_some(20);
    logs_trigger(t.manage->logs);
    wait_until(five_came);
    assert_in_range(t.events, 5, 6);
    assert_in_range(logs_counters(t.manage->logs)->dropped_rate, 14, 15);
}

static const char spooled[] =
    "services: {s: {url: '@'}}\ndecision_logs: {reporting: {persist: true, min_delay_seconds: 0, "
    "max_delay_seconds: 0}}\n";

/* Nobody takes them, the process ends; the next one sends them. */
static void test_spool_survives(void **state)
{
    t.fail_logs = 1000000;
    assert_ok(start_with(spooled));
    decide_some(700);
    manage_free(t.manage);
    t.manage = NULL;
    t.fail_logs = 0;
    assert_ok(start_with(spooled));
    decide_some(300);
    wait_until(thousand_came);
    assert_int_equal(t.events, 1000);
    all_different(MIN(t.events, (unsigned)ARRAY_LEN(t.ids)));
}

static bool three_failed(void)
{
    return logs_counters(t.manage->logs)->encoding_failed >= 3;
}

static void test_too_big_for_a_chunk(void **state)
{
    assert_ok(start_with("services: {s: {url: '@'}}\ndecision_logs: {reporting: {trigger: manual, "
                         "upload_size_limit_bytes: 90}}\n"));
    decide_some(3);
    logs_trigger(t.manage->logs);
    wait_until(three_failed);
    assert_int_equal(t.events, 0);
}

/* ---- discovery, status ---- */

static bool discovered(void)
{
    return revision_1() && t.manage->discovery_plugin.state == PLUGIN_OK;
}

static bool gone(void)
{
    return value_is("x/p/v", NULL) && value_is("a", NULL) && value_is("system/bundles", NULL);
}

static void publish_discovery(const char *bundles)
{
    const char *rego =
        arena_printf(&t.arena,
                     "package d\n\nservices := {\"s\": {\"url\": \"http://wrong\"}}\n\n"
                     "labels := {\"found\": \"yes\"}\n\nbundles := %s\n",
                     bundles)
            .p;
    const char *files[][2] = {{"/d.rego", rego}};
    publish("/d", files, 1);
}

static void test_discovery(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    publish_discovery("{\"b\": {\"service\": \"s\", \"resource\": \"b\"}}");
    assert_ok(start_with("services: {s: {url: '@'}}\nlabels: {boot: '1'}\ndiscovery: {resource: d, "
                         "decision: d, polling: {min_delay_seconds: 0, max_delay_seconds: 0}}\n"));
    wait_until(discovered);
    assert_str(val_text(val_get_str(t.manage->labels, "found")), "yes");
    assert_str(val_text(val_get_str(t.manage->labels, "boot")), "1");
    publish_discovery("{}");
    wait_until(gone);
}

static bool status_came(void)
{
    struct val v = t.statuses > 0 ? val_get_str(t.last_status, "bundles") : VAL_UNDEF;
    v = val_undef(v) ? v : val_get_str(v, "b");
    return !val_undef(v) && !val_undef(val_get_str(v, "active_revision"));
}

static void test_status(void **state)
{
    publish_rev("1", "{\"a\":{\"n\":1}}", "package x.p\n\nv := data.a.n");
    assert_ok(start_with(
        arena_printf(&t.arena, "%sstatus: {service: s, prometheus: true}\n", polled("")).p));
    wait_until(status_came);
    struct val b = val_get_str(val_get_str(t.last_status, "bundles"), "b");
    assert_str(val_text(val_get_str(b, "active_revision")), "1");
    assert_str(val_text(val_get_str(b, "type")), "snapshot");
    struct val plugins = val_get_str(t.last_status, "plugins");
    assert_str(val_text(val_get_str(val_get_str(plugins, "bundle"), "state")), "OK");
    struct buf m;
    buf_init(&m, 1 << 20);
    t.z.write_metrics(t.z.write_metrics_ctx, &m);
    assert_non_null(
        strstr(arena_cstr(&t.arena, buf_str(&m)), "\nbundle_loaded_counter{name=\"b\"} 1\n"));
    buf_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_follows_a_bundle, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_one_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_eighty_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roots_may_not_overlap, setup, teardown),
        cmocka_unit_test_setup_teardown(test_delta, setup, teardown),
        cmocka_unit_test_setup_teardown(test_starts_from_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_superseded_etags, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_polls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_file_is_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_logs_arrive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_event_buffer_forgets_the_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spool_survives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_big_for_a_chunk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discovery, setup, teardown),
        cmocka_unit_test_setup_teardown(test_status, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
