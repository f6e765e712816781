#include "cli.h"

#include "identity.h"

#include "lib/base/codec.h"

#include <stdio.h>
#include <unistd.h>

enum { ANSWER_MAX = 256 << 20 };

int cli_fail(const char *what)
{
    fprintf(stderr, "sextant-identity: %s\n", what);
    return 1;
}

static bool in_list(const char *const *list, const char *name, size_t n)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        if (strlen(list[i]) == n && strncmp(list[i], name, n) == 0) {
            return true;
        }
    }
    return false;
}

static bool add_flag(struct cli *c, const char *name, size_t n, const char *value)
{
    if (c->n == CLI_VALUES_MAX) {
        fprintf(stderr, "too many flags\n");
        return false;
    }
    c->flags[c->n].name = arena_cstr(&c->arena, str_n(name, n));
    c->flags[c->n++].value = value;
    return true;
}

static bool parse_flags(struct cli *c, int argc, char **argv, const char *const *known,
                        const char *const *booleans)
{
    static const char *const always[] = {"config", "socketPath", "output", NULL};
    for (int i = 0; i < argc; i++) {
        const char *a = argv[i];
        if (a[0] != '-') {
            fprintf(stderr, "unexpected argument '%s'\n", a);
            return false;
        }
        a += a[1] == '-' ? 2 : 1;
        const char *equals = strchr(a, '=');
        size_t n = equals != NULL ? (size_t)(equals - a) : strlen(a);
        bool flag = in_list(booleans, a, n);
        if (!flag && !in_list(known, a, n) && !in_list(always, a, n)) {
            fprintf(stderr, "unknown flag '-%.*s'\n", (int)n, a);
            return false;
        }
        const char *value = equals != NULL ? equals + 1
                            : flag         ? "true"
                            : i + 1 < argc ? argv[++i]
                                           : NULL;
        if (value == NULL) {
            fprintf(stderr, "flag '-%.*s' needs a value\n", (int)n, a);
            return false;
        }
        if (!add_flag(c, a, n, value)) {
            return false;
        }
    }
    return true;
}

const char *cli_flag(const struct cli *c, const char *name)
{
    const char *value = NULL;
    for (size_t i = 0; i < c->n; i++) {
        value = strcmp(c->flags[i].name, name) == 0 ? c->flags[i].value : value;
    }
    return value;
}

bool cli_is(const struct cli *c, const char *name)
{
    const char *v = cli_flag(c, name);
    return v != NULL && strcmp(v, "true") == 0;
}

struct json *cli_list(struct cli *c, const char *name)
{
    struct json *list = json_new_array(&c->arena);
    for (size_t i = 0; i < c->n; i++) {
        struct str rest = str_of(strcmp(c->flags[i].name, name) == 0 ? c->flags[i].value : NULL);
        while (rest.p != NULL) {
            json_push(&c->arena, list, json_new_string(&c->arena, str_split(&rest, ',')));
        }
    }
    return list;
}

/*
 * The admin socket: -socketPath, else run_dir of the configuration (-config, SEXTANT_CONFIG), else the usual place.
 * Where many daemons share our uid, we say that it is the operator who asks.
 */
static bool find_server(struct cli *c)
{
    const char *socket = cli_flag(c, "socketPath"), *file = cli_flag(c, "config");
    struct str run_dir = S("/run/sextant");
    file = file != NULL ? file : getenv("SEXTANT_CONFIG");
    if (file != NULL) {
        struct config *config;
        if (failed(config_load(file, &config))) {
            cli_fail(err_detail());
            return false;
        }
        uint32_t uid;
        run_dir = arena_str(&c->arena, config->run_dir);
        c->caller = config_uid(config, S("operator"), &uid) && uid == getuid() ? "operator" : NULL;
        config_free(config);
    }
    c->address = arena_cstr(
        &c->arena, socket != NULL ? arena_printf(&c->arena, "unix:%s", socket)
                                  : arena_printf(&c->arena, "unix:%.*s/identity/admin.sock",
                                                 STR_FMT(run_dir)));
    return true;
}

bool cli_parse(struct cli *c, int argc, char **argv, const char *const *known,
               const char *const *booleans)
{
    *c = (struct cli){.n = 0};
    arena_init(&c->arena, CLI_ARENA_MAX);
    if (!parse_flags(c, argc, argv, known, booleans) || !find_server(c)) {
        cli_release(c);
        return false;
    }
    const char *output = cli_flag(c, "output");
    c->json = output != NULL && strcmp(output, "json") == 0;
    return true;
}

void cli_release(struct cli *c)
{
    arena_release(&c->arena);
}

bool cli_call(struct cli *c, const char *method, struct str path, const struct json *body,
              struct json **out)
{
    struct buf text;
    buf_init(&text, 16 << 20);
    if (body != NULL) {
        json_write(&text, body);
    }
    struct http_header caller = {S("x-sextant-caller"), str_of(c->caller)};
    struct http_call call = {.method = str_of(method),
                             .url = arena_printf(&c->arena, "%s:%.*s", c->address, STR_FMT(path)),
                             .headers = &caller,
                             .n_headers = c->caller != NULL,
                             .body = buf_str(&text),
                             .content_type = body != NULL ? S("application/json") : STR_EMPTY,
                             .body_max = ANSWER_MAX};
    struct http_client_opts o = {.body_max = ANSWER_MAX};
    struct http_result res;
    struct json *v = NULL;
    struct err e = http_call_blocking(&c->arena, &o, &call, &res);
    buf_release(&text);
    if (!failed(e)) {
        e = json_parse(&c->arena, res.body, NULL, &v);
    }
    if (failed(e)) {
        cli_fail(err_detail());
        return false;
    }
    if (res.status >= 300) {
        fprintf(stderr, "sextant-identity: %.*s\n", STR_FMT(json_str(json_get(v, "error"))));
        return false;
    }
    *out = v;
    return true;
}

void cli_print_json(const struct json *v)
{
    struct buf b;
    buf_init(&b, ANSWER_MAX);
    json_write_pretty(&b, v, 2);
    buf_putc(&b, '\n');
    fwrite(b.p, 1, b.n, stdout);
    buf_release(&b);
}

/* ---- bundle ---- */

static void print_bundle_pem(struct arena *a, const struct json *bundle)
{
    struct spiffe_bundle b;
    struct buf text, pem;
    buf_init(&text, SPIFFE_BUNDLE_TEXT_MAX);
    buf_init(&pem, SPIFFE_BUNDLE_TEXT_MAX);
    json_write(&text, bundle);
    if (!failed(spiffe_bundle_parse(S("any"), buf_str(&text), &b))) {
        for (size_t i = 0; i < x509_anchors_count(b.x509); i++) {
            pem_put(&pem, "CERTIFICATE", x509_anchors_at(b.x509, i)->der);
        }
        fwrite(pem.p, 1, pem.n, stdout);
        spiffe_bundle_release(&b);
    }
    buf_release(&text);
    buf_release(&pem);
}

static int bundle_show(struct cli *c)
{
    struct json *v;
    if (!cli_call(c, "GET", S("/bundle"), NULL, &v)) {
        return 1;
    }
    const char *format = cli_flag(c, "format");
    if (c->json || (format != NULL && strcmp(format, "spiffe") == 0)) {
        cli_print_json(v);
    } else {
        print_bundle_pem(&c->arena, v);
    }
    return 0;
}

static int bundle_list(struct cli *c)
{
    struct json *v;
    if (!cli_call(c, "GET", S("/v1/federated"), NULL, &v)) {
        return 1;
    }
    cli_print_json(v);
    return 0;
}

/* "spiffe://td" or "td" */
static struct str federated_path(struct cli *c)
{
    struct str id = str_of(cli_flag(c, "id"));
    id = str_starts(id, S("spiffe://")) ? str_sub(id, 9, id.n) : id;
    struct buf b;
    buf_init(&b, 1024);
    percent_put(&b, id);
    struct str path = arena_printf(&c->arena, "/v1/federated/%.*s", STR_FMT(buf_str(&b)));
    buf_release(&b);
    return path;
}

static int bundle_set(struct cli *c)
{
    struct buf text;
    struct json *doc, *v;
    const char *path = cli_flag(c, "path");
    FILE *from = path != NULL ? fopen(path, "rb") : stdin;
    if (from == NULL) {
        return cli_fail("cannot open the file of -path");
    }
    buf_init(&text, SPIFFE_BUNDLE_TEXT_MAX);
    for (size_t n = 1; n > 0 && buf_ok(&text);) {
        char block[4096];
        n = fread(block, 1, sizeof(block), from);
        buf_put(&text, block, n);
    }
    if (path != NULL) {
        fclose(from);
    }
    struct err e = buf_check(&text);
    e = failed(e) ? e : json_parse(&c->arena, buf_str(&text), NULL, &doc);
    buf_release(&text);
    if (failed(e)) {
        return cli_fail(err_detail());
    }
    if (!cli_call(c, "PUT", federated_path(c), doc, &v)) {
        return 1;
    }
    printf("bundle set.\n");
    return 0;
}

static int bundle_delete(struct cli *c)
{
    struct json *v;
    if (!cli_call(c, "DELETE", federated_path(c), NULL, &v)) {
        return 1;
    }
    printf("bundle deleted.\n");
    return 0;
}

static int cli_bundle(struct daemon *d, int argc, char **argv)
{
    static const char *const known[] = {"format", "id", "path", NULL};
    static const struct {
        const char *verb;
        int (*run)(struct cli *c);
        bool needs_id;
    } verbs[] = {{"show", bundle_show, false},
                 {"list", bundle_list, false},
                 {"set", bundle_set, true},
                 {"delete", bundle_delete, true}};
    for (size_t i = 0; argc > 1 && i < ARRAY_LEN(verbs); i++) {
        struct cli c;
        if (strcmp(argv[1], verbs[i].verb) != 0) {
            continue;
        }
        if (!cli_parse(&c, argc - 2, argv + 2, known, NULL)) {
            return CLI_USAGE;
        }
        int code = verbs[i].needs_id && cli_flag(&c, "id") == NULL
                       ? cli_fail("-id spiffe://TRUST_DOMAIN is needed")
                       : verbs[i].run(&c);
        cli_release(&c);
        return code;
    }
    fprintf(
        stderr,
        "usage: bundle show|list|set|delete [-id spiffe://TD] [-path FILE] [-format pem|spiffe]\n");
    return CLI_USAGE;
}

/* ---- bans ---- */

static int change_ban(int argc, char **argv, const char *path)
{
    static const char *const known[] = {"spiffeID", "serial", "jti", "reason", NULL};
    static const char *const members[] = {"spiffe_id", "serial", "jti", "reason"};
    struct cli c;
    struct json *v;
    if (!cli_parse(&c, argc - 1, argv + 1, known, NULL)) {
        return CLI_USAGE;
    }
    struct json *body = json_new_object(&c.arena);
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        if (cli_flag(&c, known[i]) != NULL) {
            json_set(&c.arena, body, str_of(members[i]),
                     json_new_string(&c.arena, str_of(cli_flag(&c, known[i]))));
        }
    }
    bool good = cli_call(&c, "POST", str_of(path), body, &v);
    if (good) {
        cli_print_json(v);
    }
    cli_release(&c);
    return good ? 0 : 1;
}

static int cli_ban(struct daemon *d, int argc, char **argv)
{
    return change_ban(argc, argv, "/v1/bans");
}

static int cli_unban(struct daemon *d, int argc, char **argv)
{
    return change_ban(argc, argv, "/v1/unban");
}

static int cli_bans(struct daemon *d, int argc, char **argv)
{
    struct cli c;
    struct json *v;
    if (!cli_parse(&c, argc - 1, argv + 1, NULL, NULL)) {
        return CLI_USAGE;
    }
    bool good = cli_call(&c, "GET", S("/v1/bans"), NULL, &v);
    if (good) {
        cli_print_json(v);
    }
    cli_release(&c);
    return good ? 0 : 1;
}

static int cli_healthcheck(struct daemon *d, int argc, char **argv)
{
    struct cli c;
    struct json *v;
    if (!cli_parse(&c, argc - 1, argv + 1, NULL, NULL)) {
        return CLI_USAGE;
    }
    bool good = cli_call(&c, "GET", S("/healthz"), NULL, &v) && json_true(json_get(v, "ready"));
    puts(good ? "Server is healthy." : "Server is unhealthy.");
    cli_release(&c);
    return good ? 0 : 1;
}

const struct daemon_command identity_commands[] = {
    {"entry", "create|update|delete|show|list|count [-flag value ...]", "registration entries",
     cli_entry, false},
    {"bundle", "show|list|set|delete [-id spiffe://TD] [-path FILE]",
     "trust bundles, ours and of others", cli_bundle, false},
    {"ban", "-spiffeID ID | -serial HEX | -jti ID [-reason TEXT]",
     "stop an identity, a certificate or a token", cli_ban, false},
    {"unban", "-spiffeID ID | -serial HEX | -jti ID", "let it be believed again", cli_unban, false},
    {"bans", "", "what is banned", cli_bans, false},
    {"api", "fetch x509|jwt, validate jwt, watch", "the Workload API, as a workload sees it",
     cli_api, false},
    {"healthcheck", "", "is the daemon ready?", cli_healthcheck, false},
    {NULL, NULL, NULL, NULL, false},
};
