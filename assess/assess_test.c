/*
 * Each anti-pattern in a repository made for it, with file and line; what must not be found; the level that
 * follows; the object reader; and the detectors scored against an outside set of samples.
 */
#include "git.h"
#include "report.h"

#include "test/unit.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

/* Joined when run, so that no scanner takes this file for a leak. */
#define AWS_KEY                                                                                    \
    "AKIA"                                                                                         \
    "Z3MSJV4LXQ7NB5TD"
#define GITHUB_TOKEN                                                                               \
    "gh"                                                                                           \
    "p_A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"

static char dir[] = "/tmp/assess-test-XXXXXX";

static void put_file(const char *path, const char *text)
{
    char full[512];
    snprintf(full, sizeof(full), "%s/%s", dir, path);
    for (char *p = full + strlen(dir) + 1; (p = strchr(p, '/')) != NULL; p++) {
        *p = '\0';
        mkdir(full, 0700);
        *p = '/';
    }
    FILE *f = fopen(full, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void shell(const char *command)
{
    char full[1024];
    snprintf(full, sizeof(full), "cd %s && %s", dir, command);
    assert_int_equal(system(full), 0);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/assess-test-XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static void run_assess(struct assess *a)
{
    assess_init(a, dir);
    assert_ok(scanner_new(&a->scanner));
    assert_ok(assess_tree(a));
    assert_ok(assess_history(a));
    assess_conclude(a);
}

static const struct finding *finding_of(const struct assess *a, enum antipattern kind,
                                        const char *path)
{
    for (size_t i = 0; i < a->n_findings; i++) {
        if (a->findings[i].kind == kind && (path == NULL || str_is(a->findings[i].path, path))) {
            return &a->findings[i];
        }
    }
    return NULL;
}

static void assert_found(const struct assess *a, enum antipattern kind, const char *path,
                         unsigned line)
{
    const struct finding *f = finding_of(a, kind, path);
    if (f == NULL) {
        fail_msg("%s was not found in %s", antipattern_id(kind), path);
    }
    assert_int_equal(f->line, line);
}

static void test_secrets_in_tree_and_history(void **state)
{
    (void)state;
    struct assess a;
    put_file("app/config.py", "# settings\nKEY = '" AWS_KEY "'\n");
    put_file("app/ok.py", "KEY = '"
                          "AKIA"
                          "IOSFODNN7EXAMPLE'\nTOKEN = '${TOKEN}'\n");
    shell("git init -q . && git add -A && git -c user.name=t -c user.email=t@t commit -qm one");
    put_file("app/old.sh", "export T=" GITHUB_TOKEN "\n");
    shell("git add -A && git -c user.name=t -c user.email=t@t commit -qm two");
    shell("git rm -q app/old.sh && git -c user.name=t -c user.email=t@t commit -qm three");
    shell("printf 'x=gl"
          "pat-Zk3mQ9xT7wLr2VbN5cJd' | git hash-object -w --stdin >/dev/null");
    run_assess(&a);
    assert_found(&a, ANTI_LONG_LIVED_CLOUD_KEY, "app/config.py", 2);
    assert_null(finding_of(&a, ANTI_LONG_LIVED_CLOUD_KEY, "app/ok.py"));
    assert_found(&a, ANTI_SECRET_IN_GIT, "app/old.sh", 1);
    const struct finding *old = finding_of(&a, ANTI_SECRET_IN_GIT, "app/old.sh");
    assert_false(old->in_tree);
    assert_int_equal(old->commit.n, 12);
    bool unreachable = false;
    for (size_t i = 0; i < a.n_findings; i++) {
        unreachable = unreachable || str_is(a.findings[i].commit, "unreachable");
    }
    assert_true(unreachable);
    assert_int_equal(a.level, 0);
    assess_release(&a);
}

/* Whatever is written, the value is never in it. */
static void test_reports_hold_no_values(void **state)
{
    (void)state;
    struct assess a;
    struct buf text;
    struct json *v;
    struct answers answers = {.given = true, .teams = 2};
    put_file("a.env", "DB_PASSWORD=k9Qz7Lm2Xv4Rt8Wp\nAWS=" AWS_KEY "\n");
    put_file("b/.env", "DB_PASSWORD=k9Qz7Lm2Xv4Rt8Wp\n");
    run_assess(&a);
    struct report_opts o = {.answers = &answers, .framework = 2};
    buf_init(&text, 1 << 22);
    report_text(&text, &a, &o);
    report_json(&text, &a, &o);
    report_sarif(&text, &a);
    assert_true(str_find(buf_str(&text), S(AWS_KEY)) == STR_NPOS);
    assert_true(str_find(buf_str(&text), S("k9Qz7Lm2")) == STR_NPOS);
    buf_clear(&text);
    report_json(&text, &a, &o);
    assert_ok(json_parse(&a.arena, buf_str(&text), NULL, &v));
    assert_true(json_is(json_get(v, "gates"), JSON_ARRAY));
    assert_str(json_str(json_path(v, "pattern.name")), "startup");
    buf_clear(&text);
    report_sarif(&text, &a);
    assert_ok(json_parse(&a.arena, buf_str(&text), NULL, &v));
    buf_release(&text);
    assess_release(&a);
}

static void test_shared_database_password(void **state)
{
    (void)state;
    struct assess a;
    put_file("compose.yaml",
             "services:\n  db:\n    environment: {POSTGRES_PASSWORD: Tq8vXw2Lm9Rz}\n"
             "  orders:\n    environment:\n      DB_PASSWORD: Tq8vXw2Lm9Rz\n"
             "  billing:\n    environment: ['DATABASE_URL=postgres:/"
             "/app:Tq8vXw2Lm9Rz@db/billing']\n"
             "  mail:\n    environment: {DB_PASSWORD: '${DB_PASSWORD}'}\n");
    run_assess(&a);
    assert_found(&a, ANTI_SHARED_DB_PASSWORD, "compose.yaml", 6);
    const struct finding *f = finding_of(&a, ANTI_SHARED_DB_PASSWORD, NULL);
    assert_true(str_find(f->text, S("2 services: orders, billing")) != STR_NPOS);
    assess_release(&a);
}

static void test_shared_secret_object(void **state)
{
    (void)state;
    struct assess a;
    put_file(
        "k8s.yaml",
        "kind: Deployment\nmetadata: {name: a, namespace: p}\nspec: {template: {spec: "
        "{serviceAccountName: a, containers: "
        "[{env: [{name: DB_PASSWORD, valueFrom: {secretKeyRef: {name: db, key: "
        "password}}}]}]}}}\n---\n"
        "kind: Deployment\nmetadata: {name: b, namespace: p}\nspec: {template: {spec: "
        "{serviceAccountName: b, containers: "
        "[{env: [{name: PGPASSWORD, valueFrom: {secretKeyRef: {name: db, key: password}}}]}]}}}\n");
    run_assess(&a);
    assert_found(&a, ANTI_SHARED_DB_PASSWORD, "k8s.yaml", 3);
    assert_int_equal(a.gates[GATE_NO_LITERALS].result, GATE_PASSED);
    assert_int_equal(a.gates[GATE_SECRET_MANAGER].result, GATE_FAILED);
    assess_release(&a);
}

static void test_permissions_in_tokens(void **state)
{
    (void)state;
    struct assess a;
    /* {"alg":"none"} . {"sub":"a","iat":1,"exp":100000,"permissions":["read","write"],"scope":"openid"} */
    put_file("sample.txt", "first line\n"
                           "ey"
                           "JhbGciOiJub25lIn0."
                           "eyJzdWIiOiJhIiwiaWF0IjoxLCJleHAiOjEwMDAwMCwicGVybWlzc2lvbnMiOlsicmVhZCI"
                           "sIndyaXRlIl0sInNjb3BlIjoib3BlbmlkIn0."
                           "c2lnbmF0dXJl\n");
    /* the same without permissions */
    put_file("clean.txt", "ey"
                          "JhbGciOiJub25lIn0."
                          "eyJzdWIiOiJhIiwiaWF0IjoxLCJleHAiOjEwMDAwMCwic2NvcGUiOiJvcGVuaWQgcHJvZmls"
                          "ZSJ9.c2lnbmF0dXJl\n");
    put_file("auth.js",
             "const t = jwt.sign({ sub: user.id, permissions: user.permissions }, key)\n");
    put_file("docs.md", "never call jwt.sign({permissions})\n");
    run_assess(&a);
    assert_found(&a, ANTI_JWT_PERMISSIONS, "sample.txt", 2);
    assert_found(&a, ANTI_JWT_PERMISSIONS, "auth.js", 1);
    assert_null(finding_of(&a, ANTI_JWT_PERMISSIONS, "clean.txt"));
    assert_null(finding_of(&a, ANTI_JWT_PERMISSIONS, "docs.md"));
    const struct finding *f = finding_of(&a, ANTI_JWT_PERMISSIONS, "sample.txt");
    assert_true(str_find(f->text, S("2 permissions")) != STR_NPOS);
    assert_true(str_find(f->text, S("longer than an hour")) != STR_NPOS);
    assert_null(finding_of(&a, ANTI_SECRET_IN_GIT, "sample.txt")); /* its time is over */
    assess_release(&a);
}

static void test_shared_admin_token(void **state)
{
    (void)state;
    struct assess a;
    put_file("payments/.env", "VAULT_TOKEN=s"
                              ".Zk3mQ9xT7wLr2VbN5cJd8FgH\n");
    put_file("search/.env", "VAULT_TOKEN=s"
                            ".Zk3mQ9xT7wLr2VbN5cJd8FgH\n");
    put_file("mail/.env", "VAULT_TOKEN=s"
                          ".Ab3mQ9xT7wLr2VbN5cJd8FgH\n");
    run_assess(&a);
    const struct finding *f = finding_of(&a, ANTI_SHARED_ADMIN_TOKEN, NULL);
    assert_non_null(f);
    assert_true(str_find(f->text, S("2 teams: payments, search")) != STR_NPOS);
    assess_release(&a);
}

/* Everything the levels ask for, and nothing against it; then one gate after the other broken. */
static void put_good_tree(void)
{
    put_file("k8s/app.yaml",
             "kind: Deployment\nmetadata: {name: a, namespace: p, annotations: "
             "{vault.hashicorp.com/agent-inject: 'true'}}\n"
             "spec: {template: {spec: {serviceAccountName: a, containers: [{name: a}]}}}\n---\n"
             "kind: NetworkPolicy\nmetadata: {name: deny, namespace: p}\nspec: {podSelector: {}, "
             "policyTypes: [Ingress, Egress]}\n---\n"
             "kind: PeerAuthentication\nmetadata: {name: d, namespace: p}\nspec: {mtls: {mode: "
             "STRICT}}\n");
    put_file("vault/roles.tf",
             "path = \"database/creds/app\"\ncreation_statements = []\ndefault_lease_ttl = 3600\n");
    put_file("policy/p_test.rego", "test_allow if { data.p.allow }\n");
    put_file("ci/verify.yml", "run: sextant audit verify /var/log\n");
    put_file("detections/test_rules.yml", "detection: {}\n");
}

static void test_levels(void **state)
{
    (void)state;
    static const struct {
        const char *path, *text;
        int level;
    } breaks[] = {
        {"ci/verify.yml", "run: true\n", 4},    {"vault/static.tf", "database/static-roles/x\n", 3},
        {"vault/roles.tf", "x\n", 2},           {"web/.env", "SESSION_SECRET=Qm4Vt7Xz2Lp9\n", 1},
        {"web/key.py", "K='" AWS_KEY "'\n", 0},
    };
    struct assess a;
    put_good_tree();
    run_assess(&a);
    for (int g = 0; g < GATE_MAX; g++) {
        if (a.gates[g].result != GATE_PASSED) {
            fail_msg("gate %s: %.*s", a.gates[g].id, STR_FMT(a.gates[g].con.items[0].text));
        }
    }
    assert_int_equal(a.level, 5);
    assert_int_equal(a.n_findings, 0);
    assess_release(&a);
    for (size_t i = 0; i < ARRAY_LEN(breaks); i++) {
        put_file(breaks[i].path, breaks[i].text);
        run_assess(&a);
        assert_int_equal(a.level, breaks[i].level);
        assess_release(&a);
    }
}

static void test_pattern(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    struct answers small = {.given = true, .teams = 2, .clouds = 1, .services = 6};
    struct answers big = {.given = true, .teams = 14, .clouds = 2, .services = 60};
    assert_ok(answers_add_compliance(&big, S("pci, soc2")));
    assert_err(answers_add_compliance(&big, S("gdprx")), ERR_INVALID);
    assert_false(pattern_for(&arena, &small).enterprise);
    struct pattern p = pattern_for(&arena, &big);
    assert_true(p.enterprise);
    assert_int_equal(p.n_reasons, 5);
    char file[600];
    struct answers read = {0};
    put_file("answers.yaml", "teams: [a, b]\nclouds: 1\nservices: 4\ncompliance: hipaa\n");
    snprintf(file, sizeof(file), "%s/answers.yaml", dir);
    assert_ok(answers_read(&arena, file, &read));
    assert_true(read.teams == 2 && read.n_compliance == 1);
    put_file("answers.yaml", "teams: 1\nclowds: 2\n");
    assert_err(answers_read(&arena, file, &read), ERR_INVALID);
    assert_non_null(strstr(err_detail(), "line 2"));
    arena_release(&arena);
}

struct got {
    char text[256];
    size_t n;
};

static void on_blob(void *ctx, struct str oid, struct str content)
{
    struct got *g = ctx;
    g->n += (size_t)snprintf(g->text + g->n, sizeof(g->text) - g->n, "%.*s=%.*s;", STR_FMT(oid),
                             STR_FMT(content));
}

/* However the stream is cut into pieces, the objects are the same. */
static void test_object_reader(void **state)
{
    (void)state;
    const struct str stream =
        S("aa blob 3\nx\ny\nbb tree 4\nzzzz\ncc blob 0\n\ndd blob 50\n"
          "12345678901234567890123456789012345678901234567890\nee blob 1\n!\n");
    for (size_t piece = 1; piece <= stream.n; piece++) {
        struct git_objects g;
        struct got got = {.n = 0};
        git_objects_init(&g, 16, on_blob, &got);
        for (size_t at = 0; at < stream.n; at += piece) {
            assert_ok(git_objects_feed(&g, str_sub(stream, at, at + piece)));
        }
        assert_string_equal(got.text, "aa=x\ny;cc=;ee=!;");
        assert_int_equal(g.passed_over, 1);
        git_objects_release(&g);
    }
    static const char *const bad[] = {"aa blob\n", "aa blob x\n", " blob 1\n",
                                      "aa blob 18446744073709551615\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct git_objects g;
        struct got got = {.n = 0};
        git_objects_init(&g, 16, on_blob, &got);
        assert_err(git_objects_feed(&g, str_of(bad[i])), ERR_SYNTAX);
        git_objects_release(&g);
    }
}

/* --- samples ------------------------------------------------------------------------------------ */

static struct json *samples(struct arena *a)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    struct str path = arena_printf(a, "%s/gitleaks/samples.json.gz",
                                   root != NULL ? root : "../shared/conformance");
    gzFile f = gzopen(path.p, "r");
    struct json *v;
    if (f == NULL) {
        print_message("skipped: gitleaks/samples.json.gz is not there\n");
        return NULL;
    }
    char *text = arena_alloc_raw(a, 4 << 20, 1);
    int n = gzread(f, text, 4 << 20);
    gzclose(f);
    assert_true(n > 0);
    assert_ok(json_parse(a, str_n(text, (size_t)n), NULL, &v));
    return v;
}

static size_t count_found(struct scanner *s, const struct json *list, const char *what,
                          struct str rule)
{
    size_t n = 0;
    for (uint32_t i = 0; json_is(list, JSON_ARRAY) && i < list->n; i++) {
        bool found = scanner_finds(s, json_str(list->items[i]), STR_EMPTY);
        n += found;
        if (getenv("ASSESS_SHOW") != NULL && found == (what[0] == 'f')) {
            print_message("%s %.*s: %.*s\n", what, STR_FMT(rule),
                          (int)MIN(json_str(list->items[i]).n, (size_t)160),
                          json_str(list->items[i]).p);
        }
    }
    return n;
}

/*
 * Lines of other people's rules: at least 85 of 100 true ones found, at most 7 of 100 false ones. Most of those
 * are Google API keys that are public by their owner's will, which no pattern can know.
 */
static void test_samples(void **state)
{
    (void)state;
    struct arena arena;
    struct scanner *s;
    arena_init(&arena, 64 << 20);
    const struct json *rules = samples(&arena);
    if (rules == NULL) {
        arena_release(&arena);
        skip();
    }
    size_t tp = 0, all_tp = 0, fp = 0, all_fp = 0;
    assert_ok(scanner_new(&s));
    for (uint32_t i = 0; i < rules->n; i++) {
        const struct json *yes = json_get(rules->items[i], "tp"),
                          *no = json_get(rules->items[i], "fp");
        struct str rule = json_str(json_get(rules->items[i], "rule"));
        all_tp += yes->n;
        all_fp += no->n;
        tp += count_found(s, yes, "missed", rule);
        fp += count_found(s, no, "false", rule);
    }
    print_message(
        "%zu detectors: %zu of %zu true samples found, %zu of %zu false ones taken for true\n",
        scanner_rules(), tp, all_tp, fp, all_fp);
    assert_true(tp * 100 >= all_tp * 85);
    assert_true(fp * 100 <= all_fp * 7);
    scanner_free(s);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_secrets_in_tree_and_history, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reports_hold_no_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_database_password, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_secret_object, setup, teardown),
        cmocka_unit_test_setup_teardown(test_permissions_in_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_admin_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pattern, setup, teardown),
        cmocka_unit_test(test_object_reader),
        cmocka_unit_test(test_samples),
    };
    return cmocka_run_group_tests_name("assess", tests, NULL, NULL);
}
