/*
 * rego_server: rows of OPA's own tests of its server (gotables/server), sent to ours. Usage: rego_server DIR
 *
 * Rows of requests go to a server that has just started; rows about health to one whose plugins are in the states they
 * name. Each row that is left out is named with its reason.
 */
#include "authz/listen.h"
#include "lib/json/json.h"
#include "lib/loop/loop.h"
#include "test/authz_server.h"

static struct arena memory;
static int passed, wrong, left_out;

static void skip(const char *func, const char *note, const char *why)
{
    printf("left out: %s/%s: %s\n", func, note, why);
    left_out++;
}

static struct val member(struct val v, const char *name)
{
    return val_is(v, V_OBJECT) ? val_get_str(v, name) : VAL_UNDEF;
}

static const char *text(struct val v, const char *name)
{
    struct val t = member(v, name);
    return val_is(t, V_STRING) ? arena_cstr(&memory, val_text(t)) : "";
}

static const char *note_of(struct val c)
{
    return text(c, "note");
}

/* ---- a server in a process of its own ---- */

static const struct authz_config plain_config = {
    .default_decision = STR_INIT("/system/main"),
    .authorization_decision = STR_INIT("/system/authz/allow"),
    .authentication = STR_INIT("off"),
    .api_writes = true,
    .eval_memory = 256 << 20,
    .body_max = 256 << 20,
    .gzip_body_max = 512 << 20,
    .gzip_min = 1024,
    .gzip_level = 9,
};

static void serve(const struct server *s, enum rego_version version, struct authz_plugin *plugins,
                  size_t n)
{
    static struct authz z;
    struct authz_listener *l;
    struct loop *loop;
    char address[120];
    snprintf(address, sizeof address, "unix:%s", s->socket);
    struct str name = str_of(address);
    char diagnostic[130];
    snprintf(diagnostic, sizeof diagnostic, "%sd", address);
    struct str diag = str_of(diagnostic);
    struct authz_listen_opts o = {
        .addresses = &name, .n_addresses = 1, .diagnostic = &diag, .n_diagnostic = 1};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    authz_init(&z, &plain_config);
    z.store.version = version;
    for (size_t i = 0; i < n; i++) {
        authz_add_plugin(&z, &plugins[i]);
    }
    authz_routes(&z);
    if (failed(loop_new(&loop)) || failed(authz_listen(&z, loop, &o, &l))) {
        fprintf(stderr, "%s\n", err_detail());
        _exit(1);
    }
    loop_run(loop);
    _exit(0);
}

static void await_socket(const struct server *s)
{
    for (int i = 0; i < 4000; i++) {
        int fd = server_connect(s);
        if (fd >= 0) {
            close(fd);
            return;
        }
        usleep(5000);
    }
    server_fail("the server does not listen");
}

static void start(struct server *s, enum rego_version version, struct authz_plugin *plugins,
                  size_t n)
{
    strcpy(s->dir, "/tmp/authz-suite-XXXXXX");
    if (mkdtemp(s->dir) == NULL) {
        server_fail(s->dir);
    }
    snprintf(s->socket, sizeof s->socket, "%s/s", s->dir);
    s->pid = fork();
    if (s->pid == 0) {
        serve(s, version, plugins, n);
    }
    await_socket(s);
}

static void stop(struct server *s)
{
    char path[130];
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    unlink(s->socket);
    snprintf(path, sizeof path, "%sd", s->socket);
    unlink(path);
    rmdir(s->dir);
}

static struct answer ask(const struct server *s, const char *method, const char *target,
                         struct str body)
{
    return server_ask(s, &memory, &(struct ask){.method = method, .target = target, .body = body});
}

/* ---- judging ---- */

static void judge(bool ok, const char *func, const char *note, const struct answer *got,
                  const char *want)
{
    if (ok) {
        passed++;
        return;
    }
    wrong++;
    printf("%s/%s:\n  got  %d %.*s\n  want %s\n", func, note, got->status, STR_FMT(got->body),
           want);
}

static bool same_json(struct str a, struct str b)
{
    struct val x, y;
    return !failed(val_from_json(&memory, a, &x)) && !failed(val_from_json(&memory, b, &y)) &&
           val_eq(x, y);
}

static enum rego_version version_of(struct val c)
{
    return strcmp(text(member(c, "regoVersion"), "$ref"), "ast.RegoV0") == 0 ? REGO_V0 : REGO_V1;
}

/* "http.MethodGet" is GET. */
static const char *method_of(struct val v)
{
    const char *name = text(v, "$ref");
    size_t skipped = strlen("http.Method");
    struct str m = str_of(strlen(name) > skipped ? name + skipped : "Get");
    char *upper = arena_cstr(&memory, m);
    for (char *p = upper; *p != '\0'; p++) {
        *p &= (char)~0x20;
    }
    return upper;
}

/* ---- tables ---- */

/* Rows of [method, path, body, code, reply], in turn, to one server. */
static void requests(const char *func, struct val c, const char *prefix)
{
    struct server s;
    struct val reqs = member(c, "reqs");
    const char *note = note_of(c);
    bool ok = true;
    struct answer a = {0};
    char want[256] = "";
    start(&s, REGO_V1, NULL, 0);
    for (uint32_t i = 0; i < val_len(reqs) && ok; i++) {
        struct val r = val_nth(reqs, i);
        const char *method = method_of(val_nth(r, 0));
        int64_t code = 0;
        struct str body = val_text(val_nth(r, 4));
        if (strcmp(method, "CONNECT") == 0) {
            continue; /* refused with 501 below HTTP's routes: nothing here is a proxy */
        }
        char *target = arena_cstr(
            &memory, arena_printf(&memory, "%s%.*s", prefix, STR_FMT(val_text(val_nth(r, 1)))));
        (void)val_to_i64(val_nth(r, 3), &code);
        a = ask(&s, method, target, val_text(val_nth(r, 2)));
        ok = a.status == code && (body.n == 0 || same_json(a.body, body));
        snprintf(want, sizeof want, "%s %s %lld %.*s", method, target, (long long)code,
                 (int)MIN(body.n, (size_t)120), body.p);
    }
    stop(&s);
    judge(ok, func, note, &a, want);
}

static void policy_put(const char *func, struct val c)
{
    struct server s;
    struct val errs = member(c, "expErrs");
    start(&s, version_of(c), NULL, 0);
    struct answer a = ask(&s, "PUT", "/v1/policies/1", val_text(member(c, "module")));
    bool ok = a.status == (val_is(errs, V_ARRAY) ? 400 : 200);
    for (uint32_t i = 0; val_is(errs, V_ARRAY) && i < val_len(errs); i++) {
        ok &= str_find(a.body, val_text(val_nth(errs, i))) != STR_NPOS;
    }
    stop(&s);
    judge(ok, func, note_of(c), &a, "the module taken, or the errors that are named");
}

static void query(const char *func, struct val c)
{
    struct server s;
    bool error = val_is_true(member(c, "expErr"));
    start(&s, version_of(c), NULL, 0);
    struct answer a = ask(
        &s, "GET", arena_cstr(&memory, arena_printf(&memory, "/v1/query?q=%s", text(c, "query"))),
        STR_EMPTY);
    const char *want =
        "{\"result\":[{\"a\":[1,2,3],\"i\":0,\"x\":1},{\"a\":[1,2,3],\"i\":1,\"x\":2},"
        "{\"a\":[1,2,3],\"i\":2,\"x\":3}]}";
    bool ok = error ? a.status == 400 : a.status == 200 && same_json(a.body, str_of(want));
    stop(&s);
    judge(ok, func, note_of(c), &a, error ? "400" : want);
}

static void diagnostic(const char *func, struct val c)
{
    struct server s;
    const char *path = text(c, "path");
    start(&s, REGO_V1, NULL, 0);
    struct server d = s;
    snprintf(d.socket, sizeof d.socket, "%s/sd", s.dir);
    await_socket(&d); /* it comes a moment after the first */
    struct answer a = ask(&d, "GET", path, STR_EMPTY);
    bool is404 = a.status == 404;
    stop(&s);
    judge(is404 == val_is_true(member(c, "should404")) && a.status != 0, func, path, &a,
          "404 or not, as the row says");
}

static size_t plugins_of(struct val statuses, struct authz_plugin *out)
{
    size_t n = 0;
    for (uint32_t i = 0; val_is(statuses, V_OBJECT) && i < val_len(statuses); i++) {
        struct val status = val_nth(statuses, i);
        const char *state = text(member(status, "State"), "$ref");
        if (val_is(status, V_NULL)) {
            continue;
        }
        out[n++] = (struct authz_plugin){
            .name = arena_cstr(&memory, val_text(val_nth_key(&memory, statuses, i))),
            .state = strcmp(state, "plugins.StateOK") == 0         ? PLUGIN_OK
                     : strcmp(state, "plugins.StateNotReady") == 0 ? PLUGIN_NOT_READY
                                                                   : PLUGIN_ERROR};
    }
    return n;
}

static void health(const char *func, struct val c, const char *statuses, const char *target)
{
    struct server s;
    struct authz_plugin plugins[16];
    size_t n = plugins_of(member(c, statuses), plugins);
    int64_t code = val_is_true(member(c, "ready")) || val_undef(member(c, "ready")) ? 200 : 500;
    const char *body = text(c, "expBody");
    (void)val_to_i64(member(c, "exp"), &code);
    start(&s, REGO_V1, plugins, n);
    struct answer a = ask(&s, "GET", target, STR_EMPTY);
    stop(&s);
    judge(a.status == code && (body[0] == '\0' || same_json(a.body, str_of(body))), func,
          note_of(c), &a, body);
}

/* Paths with a quotation mark are refused, and no path is ever read as Rego. */
static void path_ref(const char *func, struct val c)
{
    struct server s;
    const char *path = text(c, "path"), *error = text(c, "expErr");
    if (error[0] == '\0') {
        skip(func, path, "the reference itself is not on the wire");
        return;
    }
    start(&s, REGO_V1, NULL, 0);
    struct answer a =
        ask(&s, "GET", arena_cstr(&memory, arena_printf(&memory, "/v1/data/%s", path)), STR_EMPTY);
    struct val v;
    bool ok = a.status == 500 && !failed(val_from_json(&memory, a.body, &v)) &&
              str_find(val_text(member(v, "message")), str_of(error)) != STR_NPOS;
    stop(&s);
    judge(ok, func, path, &a, error);
}

struct table {
    const char *func;
    const char *why; /* left out, because … */
};

static const struct table others[] = {
    {"TestDataGetV1CompressedRequestWithAuthorizer", "its policies are not in the rows"},
    {"TestDataPostV1CompressedDecodingLimits", "bodies are made by helpers; see server_test.c"},
    {"TestDataUpdate", "the rows name a mode of Go's store"},
    {"TestDecisionLogging", "rows of one sequence with Go's logger in it"},
    {"TestMixedAddrTypes", "rows are keys of a map in Go"},
    {"TestCertReloading", "rows are servers in Go"},
    {"TestParseRefQuery", "a function that does not exist here: no path becomes Rego text"},
    {"TestCompileV1", "expectations are Go values of parsed queries"},
};

static void run_case(const char *func, struct val c)
{
    if (strcmp(func, "TestDataV1") == 0) {
        if (strcmp(note_of(c), "evaluation conflict") == 0) {
            skip(func, note_of(c), "1.22 has another text; see golden.json");
            return;
        }
        requests(func, c, "/v1");
    } else if (strncmp(func, "Test405StatusCodev", 18) == 0) {
        requests(func, c, func[18] == '0' ? "/v0" : "/v1");
    } else if (strcmp(func, "TestPoliciesPutV1") == 0) {
        policy_put(func, c);
    } else if (strcmp(func, "TestQueryV1") == 0) {
        query(func, c);
    } else if (strcmp(func, "TestDiagnosticRoutes") == 0) {
        diagnostic(func, c);
    } else if (strcmp(func, "TestBundlesReady") == 0) {
        health(func, c, "status", "/health?bundles");
    } else if (strcmp(func, "TestUnversionedGetHealthCheckDiscoveryWithPlugins") == 0) {
        health(func, c, "statusUpdates", "/health?plugins");
    } else if (strcmp(func, "TestUnversionedGetHealthCheckDiscoveryWithPluginsAndExclude") == 0) {
        health(func, c, "statusUpdates", "/health?plugins&exclude-plugin=p2&exclude-plugin=p3");
    } else if (strcmp(func, "TestUnversionedGetHealthCheckBundleAndPlugins") == 0) {
        health(func, c, "statuses", "/health?plugins&bundles");
    } else if (strcmp(func, "TestStringPathToDataRef") == 0) {
        path_ref(func, c);
    } else {
        const char *why = "not known";
        for (size_t i = 0; i < ARRAY_LEN(others); i++) {
            why = strcmp(func, others[i].func) == 0 ? others[i].why : why;
        }
        skip(func, note_of(c), why);
    }
}

int main(int argc, char **argv)
{
    struct str all;
    struct val tables;
    arena_init(&memory, (size_t)1 << 30);
    if (argc != 2) {
        fprintf(stderr, "usage: rego_server DIR\n");
        return 2;
    }
    struct str file = arena_printf(&memory, "%s/server.json", argv[1]);
    if (failed(read_whole_file(&memory, file, &all)) ||
        failed(val_from_json(&memory, all, &tables))) {
        printf("skipped: %s\n", err_detail());
        return 77;
    }
    for (uint32_t i = 0; i < val_len(tables); i++) {
        struct val t = val_nth(tables, i), cases = member(t, "cases");
        for (uint32_t k = 0; val_is(cases, V_ARRAY) && k < val_len(cases); k++) {
            run_case(text(t, "func"), val_nth(cases, k));
        }
    }
    printf("%d rows as they should be, %d not, %d left out\n", passed, wrong, left_out);
    return wrong > 0 || passed < 90;
}
