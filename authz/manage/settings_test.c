/*
 * The configuration and masks: tables lifted from upstream's own tests (read from SEXTANT_CONFORMANCE), and what only
 * we do.
 *
 * Rows left out: those whose input is a value of Go (a plugin, a key of crypto), credentials of clouds, and the texts
 * of Go's JSON decoder.
 */
#include "mask.h"
#include "settings.h"

#include "test/unit.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 256 << 20);
    return 0;
}

static int teardown(void **state)
{
    arena_release(&arena);
    return 0;
}

static struct err read_text(struct settings *s, const char *text)
{
    settings_init(s);
    return settings_read(s, str_of(text), NULL, 0);
}

static void accepted(const char *text)
{
    struct settings s;
    assert_ok(read_text(&s, text));
    settings_release(&s);
}

static void refused(const char *text, const char *why)
{
    struct settings s;
    struct err e = read_text(&s, text);
    if (!failed(e) || strstr(err_detail(), why) == NULL) {
        fail_msg("%s: want '%s', got '%s'", text, why, failed(e) ? err_detail() : "success");
    }
    settings_release(&s);
}

/* ---- tables ---- */

static struct val cases_of(const char *name, const char *func)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    struct str path = arena_printf(&arena, "%s/rego/gotables/%s.json",
                                   root != NULL ? root : "../shared/conformance", name);
    struct str text;
    struct val file;
    struct vlist all = {.a = &arena};
    if (failed(bundle_read_file(&arena, path, &text))) {
        print_message("skipped: rego/gotables/%s.json is not there\n", name);
        skip();
    }
    assert_ok(val_from_json(&arena, text, &file));
    for (uint32_t i = 0; i < val_len(file); i++) {
        struct val r = val_nth(file, i), f = val_get_str(r, "func"), c = val_get_str(r, "cases");
        for (uint32_t k = 0; val_is(f, V_STRING) && str_is(val_text(f), func) &&
                             val_is(c, V_ARRAY) && k < val_len(c);
             k++) {
            vlist_add(&all, val_nth(c, k));
        }
    }
    assert_true(all.n > 0);
    return vlist_array(&all);
}

static const char *text_of(struct val c, const char *name)
{
    struct val v = val_get_str(c, name);
    return val_is(v, V_STRING) ? arena_cstr(&arena, val_text(v)) : "";
}

/* "services: {a: {}, b: {}}" of a list of names. */
static const char *services_of(struct val names)
{
    struct str s = S("services: {");
    for (uint32_t i = 0; val_is(names, V_ARRAY) && i < val_len(names); i++) {
        s = arena_printf(&arena, "%.*s%s%.*s: {url: 'http://x'}", STR_FMT(s), i > 0 ? ", " : "",
                         STR_FMT(val_text(val_nth(names, i))));
    }
    return arena_printf(&arena, "%.*s}\n", STR_FMT(s)).p;
}

static void judge(struct val c, const char *config, bool wrong)
{
    struct settings s;
    struct err e = read_text(&s, config);
    if (failed(e) != wrong) {
        fail_msg("%s: %s", config, failed(e) ? err_detail() : "was accepted");
    }
    bool of_go = strncmp(text_of(c, "err"), "json: ", 6) == 0;
    if (wrong && !of_go && text_of(c, "err")[0] != 0 &&
        strstr(err_detail(), text_of(c, "err")) == NULL) {
        fail_msg("%s: want '%s', got '%s'", config, text_of(c, "err"), err_detail());
    }
    settings_release(&s);
}

static void test_polling_table(void **state)
{
    struct val cases = cases_of("download/config", "TestConfigValidation");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i);
        struct str config = arena_printf(
            &arena, "{\"services\": {\"s\": {}}, \"bundles\": {\"b\": %s}}", text_of(c, "input"));
        judge(c, config.p, val_is_true(val_get_str(c, "wantErr")));
    }
}

static const char test_keys[] = "keys: {foo: {algorithm: HS256, key: secret}}\n";

static void test_bundles_table(void **state)
{
    struct val cases = cases_of("plugins_bundle/config", "TestParseAndValidateBundlesConfig");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i);
        struct str config =
            arena_printf(&arena, "%s%sbundles: %s\n", services_of(val_get_str(c, "services")),
                         test_keys, text_of(c, "conf"));
        judge(c, config.p, val_is_true(val_get_str(c, "wantError")));
    }
}

static void test_discovery_table(void **state)
{
    struct val cases = cases_of("plugins_discovery/config", "TestConfigValidation");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i);
        if (strstr(text_of(c, "input"), "}}}") != NULL) {
            continue; /* a brace too many, which Go's decoder passes over */
        }
        struct str config =
            arena_printf(&arena, "%s%sdiscovery: %s\n", services_of(val_get_str(c, "services")),
                         test_keys, text_of(c, "input"));
        judge(c, config.p, val_is_true(val_get_str(c, "wantErr")));
    }
    cases = cases_of("plugins_discovery/config", "TestConfigDecision");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i);
        struct settings s;
        assert_ok(read_text(
            &s, arena_printf(&arena, "services: {s: {}}\ndiscovery: %s\n", text_of(c, "input")).p));
        struct str want = str_of(text_of(c, "decision")), got = S("data");
        struct str rest = s.discovery.decision;
        while (rest.p != NULL && rest.n > 0) {
            struct str part = str_split(&rest, '/');
            got = arena_printf(&arena, "%.*s.%.*s", STR_FMT(got), STR_FMT(part));
        }
        assert_true(str_eq(got, want));
        settings_release(&s);
    }
}

static void test_keys_table(void **state)
{
    struct val cases = cases_of("keys/keys", "TestParseKeysConfig");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i), input = val_get_str(c, "input");
        if (val_is(input, V_STRING)) {
            struct str config = arena_printf(&arena, "{\"keys\": %s}", text_of(c, "input"));
            judge(c, config.p, val_is_true(val_get_str(c, "wantErr")));
        }
    }
}

/* ---- what the sections say ---- */

static void test_sections(void **state)
{
    struct settings s;
    setenv("SEXTANT_TEST_TOKEN", "t0k", 1);
    assert_ok(read_text(&s, "services:\n"
                            "- name: one\n"
                            "  url: https://example.com/api/\n"
                            "  credentials: {bearer: {token: \"${SEXTANT_TEST_TOKEN}\"}}\n"
                            "labels: {unset: \"${SEXTANT_TEST_NOT_SET}\"}\n"
                            "bundles: {a/b: {polling: {min_delay_seconds: 5, max_delay_seconds: "
                            "7}}, f: {resource: 'file:///x/y'}}\n"
                            "decision_logs: {partition_name: p, mask_decision: data.a.b}\n"
                            "status: {nope: 1}\n"));
    assert_str(s.services[0].url, "https://example.com/api");
    assert_str(s.services[0].token, "t0k");
    assert_str(val_text(val_get_str(s.labels, "unset")), "${SEXTANT_TEST_NOT_SET}");
    assert_int_equal(s.n_bundles, 2);
    assert_str(s.bundles[0].resource, "bundles/a/b");
    assert_str(s.bundles[0].service, "one");
    assert_int_equal(s.bundles[0].polling.min_ns, INT64_C(5000000000));
    assert_true(s.bundles[1].is_file);
    assert_str(s.logs.resource, "/logs/p");
    assert_str(s.logs.mask, "a/b");
    assert_str(s.logs.drop, "system/log/drop");
    assert_int_equal(s.n_warnings, 1);
    assert_str(s.warnings[0], "unknown configuration option \"status.nope\" encountered");
    struct buf b;
    buf_init(&b, 10000);
    val_to_json(&b, settings_public(&arena, &s), true);
    assert_null(strstr(arena_cstr(&arena, buf_str(&b)), "t0k"));
    buf_release(&b);
    settings_release(&s);
}

static void test_refusals(void **state)
{
    refused("bundles: {b: {service: x}}", "invalid configuration for bundle \"b\": service name "
                                          "\"x\" not found");
    refused("services: {s: {}}\nbundles: {b: {signing: {}}}",
            "invalid configuration for bundle \"b\": no verification keys configured");
    refused("services: {s: {}}\nbundles: {b: {signing: {keyid: k}}}", "key id k not found");
    refused("services: {s: {}}\nbundles: {b: {trigger: foo}}",
            "invalid trigger mode \"foo\" (want \"periodic\", \"manual\" or \"immediate\")");
    refused("services: {s: {credentials: {bearer: {token: a}, client_tls: {}}}}",
            "a maximum one credential method must be specified");
    refused("decision_logs: {console: true, reporting: {buffer_type: x}}",
            "invalid buffer type \"x\", expected \"event\" or \"size\"");
    refused("decision_logs: {console: true, reporting: {buffer_size_limit_bytes: 1, "
            "max_decisions_per_second: 1}}",
            "specify either 'buffer_size_limit_bytes' or 'max_decisions_per_second'");
    refused("services: {s: {}}\ndecision_logs: {service: t}",
            "invalid service name \"t\" in decision_logs");
    refused("server: {encoding: {gzip: 1}}",
            "invalid value for server.encoding.gzip field, should be an object");
    refused("server: {encoding: {gzip: {min_length: -1}}}",
            "invalid value for server.encoding.gzip.min_length field, should be a positive number");
    refused("server: {encoding: {gzip: {compression_level: 5}}}", "accepted values are 0, 1 or 9");
    refused("[1]", "the configuration is no object");
    accepted("");
    accepted("decision_logs: {}\nstatus: {}");
}

static void test_sets(void **state)
{
    struct settings s;
    struct settings_set sets[] = {
        {"services.s.url=http://a,bundles.b.polling.min_delay_seconds=1", false},
        {"bundles.b.polling.max_delay_seconds=2", false},
        {"labels.x\\.y=a\\,b", false},
        {"decision_logs.request_context.http.headers={h1,h2}", false}};
    settings_init(&s);
    assert_ok(settings_read(&s, S("bundles: {b: {persist: true}}"), sets, ARRAY_LEN(sets)));
    assert_int_equal(s.bundles[0].polling.max_ns, INT64_C(2000000000));
    assert_true(s.bundles[0].persist);
    assert_str(val_text(val_get_str(s.labels, "x.y")), "a,b");
    assert_int_equal(s.logs.n_headers, 2);
    settings_release(&s);
}

static void test_overlay(void **state)
{
    struct val boot, found, out;
    struct buf b;
    assert_ok(val_from_json(&arena,
                            S("{\"services\":{\"d\":{\"url\":\"http://boot\"}},"
                              "\"discovery\":{\"resource\":\"x\"},\"labels\":{\"a\":\"boot\"}}"),
                            &boot));
    assert_ok(val_from_json(&arena,
                            S("{\"services\":{\"d\":{\"url\":\"http://evil\"},\"n\":{}},"
                              "\"discovery\":{\"resource\":\"y\"},"
                              "\"labels\":{\"a\":\"found\",\"b\":\"found\"}}"),
                            &found));
    out = settings_overlay(&arena, boot, found);
    buf_init(&b, 10000);
    val_to_json(&b, out, false);
    assert_str(buf_str(&b), "{\"discovery\":{\"resource\":\"x\"},"
                            "\"labels\":{\"a\":\"boot\",\"b\":\"found\"},"
                            "\"services\":{\"d\":{\"url\":\"http://boot\"},\"n\":{}}}");
    buf_release(&b);
}

/* ---- masks ---- */

static struct val rule_value(struct val ptr)
{
    struct val op = val_get_str(ptr, "OP"), value = val_get_str(ptr, "Value");
    struct vlist l = {.a = &arena};
    const char *name = text_of(op, "$ref");
    struct val args = val_get_str(op, "args");
    struct str text = strcmp(name, "maskOPRemove") == 0   ? S("remove")
                      : strcmp(name, "maskOPUpsert") == 0 ? S("upsert")
                                                          : val_text(val_nth(args, 0));
    vlist_put(&l, "op", val_str(&arena, text));
    vlist_put(&l, "path", val_str(&arena, str_of(text_of(ptr, "Path"))));
    if (!val_undef(value)) {
        vlist_put(&l, "value", value);
    }
    return vlist_object(&l);
}

static void test_mask_table(void **state)
{
    struct val cases = cases_of("plugins_logs/mask", "TestMaskRuleMask");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i), ptr = val_get_str(c, "ptr"), event, want, out;
        if (val_is_true(val_get_str(ptr, "failUndefinedPath"))) {
            continue; /* an option that no policy can set */
        }
        struct val rule = rule_value(ptr);
        assert_ok(val_from_json(&arena, str_of(text_of(c, "event")), &event));
        assert_ok(val_from_json(&arena, str_of(text_of(c, "exp")), &want));
        assert_ok(mask_event(&arena, event, val_array(&arena, &rule, 1), &out));
        if (!val_eq(out, want)) {
            fail_msg("%s: %.*s", text_of(c, "note"), STR_FMT(val_rego_text(&arena, out)));
        }
    }
}

static void test_mask_rules_table(void **state)
{
    struct val cases = cases_of("plugins_logs/mask", "TestNewMaskRule");
    for (uint32_t i = 0; i < val_len(cases); i++) {
        struct val c = val_nth(cases, i), rule = rule_value(val_get_str(c, "input")), out;
        const char *want = text_of(c, "expErr");
        if (strcmp(text_of(c, "note"), "empty") == 0) {
            continue; /* "invalid \"path\" value" comes before it when a policy says so */
        }
        struct err e = mask_event(&arena, val_empty_object(), val_array(&arena, &rule, 1), &out);
        if (failed(e) != (want[0] != 0) || (failed(e) && strstr(err_detail(), want) == NULL)) {
            fail_msg("%s: want '%s', got '%s'", text_of(c, "note"), want,
                     failed(e) ? err_detail() : "success");
        }
    }
}

static void test_mask_leaves_the_caller_alone(void **state)
{
    struct val event, out, rules, result;
    assert_ok(val_from_json(&arena, S("{\"result\":{\"a\":[1,2]}}"), &event));
    assert_ok(val_from_json(&arena, S("[\"/result/a/0\",\"/labels\"]"), &rules));
    assert_err(mask_event(&arena, event, rules, &out), ERR_INVALID);
    assert_string_equal(err_detail(), "mask prefix not allowed: labels");
    assert_ok(val_from_json(&arena, S("[\"/result/a/0\"]"), &rules));
    result = val_get_str(event, "result");
    assert_ok(mask_event(&arena, event, rules, &out));
    assert_int_equal(val_len(val_get_str(result, "a")), 2);
    assert_int_equal(val_len(val_get_str(val_get_str(out, "result"), "a")), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_polling_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bundles_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_discovery_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sections, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sets, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overlay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mask_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mask_rules_table, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mask_leaves_the_caller_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
