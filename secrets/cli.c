#include "cli.h"

#include "lib/base/secret.h"
#include "lib/tls/tls.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

/* ---- input ---- */

static struct err read_fd(struct cli *c, int fd, struct str *out)
{
    char *p = arena_alloc(&c->arena, CLI_INPUT_MAX);
    size_t n = 0;
    ssize_t got;
    while (n < CLI_INPUT_MAX && (got = read(fd, p + n, CLI_INPUT_MAX - n)) > 0) {
        n += (size_t)got;
    }
    ENSURE(n < CLI_INPUT_MAX, ERR_LIMIT, "input is longer than %d bytes", CLI_INPUT_MAX);
    *out = str_n(p, n);
    return OK;
}

static struct err read_named(struct cli *c, const char *file, struct str *out)
{
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_NOT_FOUND, "cannot read %s", file);
    struct err e = read_fd(c, fd, out);
    close(fd);
    return e;
}

static struct err merge_input(struct cli *c, struct json *into)
{
    struct str text;
    struct json *v;
    TRY(read_fd(c, STDIN_FILENO, &text));
    TRY(json_parse(&c->arena, text, NULL, &v));
    ENSURE(v->type == JSON_OBJECT, ERR_SYNTAX, "standard input must be a JSON object");
    for (uint32_t i = 0; i < v->n; i++) {
        json_set(&c->arena, into, v->members[i].key, v->members[i].value);
    }
    return OK;
}

static struct err one_field(struct cli *c, const char *arg, struct json *into)
{
    struct str text = str_of(arg);
    size_t eq = str_find_char(text, '=');
    ENSURE(eq != STR_NPOS && eq > 0, ERR_SYNTAX,
           "'%s' is not of the form name=value, name=@file or -", arg);
    struct str name = str_sub(text, 0, eq), value = str_sub(text, eq + 1, text.n);
    if (str_starts(value, S("@"))) {
        TRY(read_named(c, value.p + 1, &value));
    } else if (str_is(value, "-")) {
        TRY(read_fd(c, STDIN_FILENO, &value));
        value = str_ends(value, S("\n")) ? str_sub(value, 0, value.n - 1) : value;
    }
    json_set(&c->arena, into, name, json_new_string(&c->arena, value));
    return OK;
}

struct err cli_fields(struct cli *c, int from, struct json **out)
{
    struct json *o = json_new_object(&c->arena);
    for (int i = from; i < c->n_args; i++) {
        if (strcmp(c->args[i], "-") == 0) {
            TRY(merge_input(c, o));
        } else {
            TRY(one_field(c, c->args[i], o));
        }
    }
    *out = o;
    return OK;
}

/* ---- environment and flags ---- */

static struct str env_or(const char *name, const char *fallback)
{
    const char *v = getenv(name);
    return str_of(v != NULL && *v != '\0' ? v : fallback);
}

static struct err find_token(struct cli *c)
{
    c->token = env_or("VAULT_TOKEN", "");
    const char *home = getenv("HOME");
    if (c->token.n == 0 && home != NULL) {
        struct str path = arena_printf(&c->arena, "%s/.vault-token", home);
        if (access(path.p, R_OK) == 0) {
            TRY(read_named(c, path.p, &c->token));
            c->token = str_trim(c->token);
        }
    }
    return OK;
}

static void take_flag(struct cli *c, struct str text)
{
    while (str_starts(text, S("-"))) {
        text = str_sub(text, 1, text.n);
    }
    size_t eq = str_find_char(text, '=');
    struct str name = str_sub(text, 0, eq),
               value = eq == STR_NPOS ? S("true") : str_sub(text, eq + 1, text.n);
    if (str_is(name, "format")) {
        c->json = str_is(value, "json");
    } else if (str_is(name, "field")) {
        c->field = value;
    } else if (str_is(name, "address")) {
        c->addr = value;
    } else if (str_is(name, "ca-cert")) {
        c->cacert = value;
    } else if (str_is(name, "wrap-ttl")) {
        c->wrap_ttl = value;
    } else {
        json_set(&c->arena, c->flags, name, json_new_string(&c->arena, value));
    }
}

struct err cli_open(struct cli *c, int argc, char **argv)
{
    *c = (struct cli){0};
    arena_init(&c->arena, CLI_ARENA_MAX);
    c->addr = env_or("VAULT_ADDR", "https://127.0.0.1:8200");
    c->cacert = env_or("VAULT_CACERT", "");
    c->wrap_ttl = env_or("VAULT_WRAP_TTL", "");
    c->json = str_is(env_or("VAULT_FORMAT", ""), "json");
    c->flags = json_new_object(&c->arena);
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            take_flag(c, str_of(argv[i]));
        } else {
            ENSURE(c->n_args < CLI_ARGS_MAX, ERR_LIMIT, "more than %d arguments", CLI_ARGS_MAX);
            c->args[c->n_args++] = argv[i];
        }
    }
    return find_token(c);
}

void cli_close(struct cli *c)
{
    arena_release(&c->arena);
}

struct str cli_flag(const struct cli *c, const char *name)
{
    return json_str(json_get(c->flags, name));
}

/* ---- the call ---- */

static struct err make_trust(struct cli *c, struct tls_trust **out)
{
    if (c->cacert.n == 0) {
        return tls_trust_system(out);
    }
    struct x509_anchors *anchors;
    TRY(x509_anchors_new(&anchors));
    struct err e = x509_anchors_add_file(anchors, arena_cstr(&c->arena, c->cacert));
    if (!failed(e)) {
        e = tls_trust_names(anchors, out);
    }
    x509_anchors_unref(anchors);
    return e;
}

static struct err transport(struct cli *c, const struct http_call *call, struct http_result *res)
{
    struct http_client_opts o = {.timeout_ms = 60000};
    struct tls_trust *trust = NULL;
    struct err e = OK;
    if (str_starts(c->addr, S("https://"))) {
        TRY(make_trust(c, &trust));
        e = tls_client_new(&(struct tls_client_opts){.trust = trust}, &o.tls);
        tls_trust_unref(trust);
    }
    if (!failed(e)) {
        e = http_call_blocking(&c->arena, &o, call, res);
    }
    tls_client_unref(o.tls);
    return e;
}

static struct str url_of(struct cli *c, struct str path)
{
    struct str addr = c->addr;
    while (str_ends(addr, S("/"))) {
        addr.n--;
    }
    struct str rest = str_starts(addr, S("unix://")) ? str_sub(addr, 7, addr.n) : addr;
    bool sock = str_starts(addr, S("unix:"));
    return arena_printf(&c->arena, "%s%.*s%s/v1/%.*s", rest.p != addr.p ? "unix:" : "",
                        STR_FMT(rest), sock ? ":" : "", STR_FMT(path));
}

struct err cli_call(struct cli *c, const char *method, struct str path, const struct json *body,
                    int *status, struct json **out)
{
    struct http_header headers[3];
    struct http_result res;
    size_t n = 0;
    headers[n++] = (struct http_header){S("X-Vault-Request"), S("true")};
    if (c->token.n > 0) {
        headers[n++] = (struct http_header){S("X-Vault-Token"), c->token};
    }
    if (c->wrap_ttl.n > 0) {
        headers[n++] = (struct http_header){S("X-Vault-Wrap-TTL"), c->wrap_ttl};
    }
    struct buf text;
    buf_init_secret(&text, CLI_INPUT_MAX * 2);
    if (body != NULL) {
        json_write(&text, body);
    }
    bool patch = strcmp(method, "PATCH") == 0;
    struct http_call call = {.method = str_of(method),
                             .url = url_of(c, path),
                             .headers = headers,
                             .n_headers = n,
                             .body = buf_str(&text),
                             .content_type =
                                 patch ? S("application/merge-patch+json") : S("application/json")};
    struct err e = transport(c, &call, &res);
    buf_release(&text);
    TRY(e);
    *status = res.status;
    *out = NULL;
    return str_trim(res.body).n > 0 ? json_parse(&c->arena, res.body, NULL, out) : OK;
}

/* ---- output ---- */

int cli_fail(struct err e)
{
    fprintf(stderr, "%s: %s\n", err_text(e), err_detail());
    return 1;
}

int cli_usage(const char *text)
{
    fprintf(stderr, "usage: sextant-secrets %s\n", text);
    return 1;
}

int cli_refused(int status, const struct json *answer)
{
    fprintf(stderr, "the server answered %d\n", status);
    const struct json *errors = json_get(answer, "errors");
    for (uint32_t i = 0; errors != NULL && i < errors->n; i++) {
        fprintf(stderr, "* %.*s\n", STR_FMT(json_str(errors->items[i])));
    }
    return 2;
}

static struct str as_text(struct cli *c, const struct json *v)
{
    if (v->type == JSON_STRING || v->type == JSON_NUMBER) {
        return v->text;
    }
    struct buf b;
    buf_init(&b, CLI_INPUT_MAX);
    json_write(&b, v);
    struct str s = arena_str(&c->arena, buf_str(&b));
    buf_release(&b);
    return s;
}

static void print_table(struct cli *c, const struct json *o)
{
    printf("%-24s %s\n%-24s %s\n", "Key", "Value", "---", "-----");
    for (uint32_t i = 0; i < o->n; i++) {
        printf("%-24.*s %.*s\n", STR_FMT(o->members[i].key),
               STR_FMT(as_text(c, o->members[i].value)));
    }
}

static void print_json(const struct json *v)
{
    struct buf b;
    buf_init(&b, CLI_ARENA_MAX);
    json_write_pretty(&b, v, 2);
    printf("%.*s\n", STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static const struct json *main_part(const struct json *answer)
{
    static const char *const parts[] = {"data", "auth", "wrap_info"};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        if (json_is(json_get(answer, parts[i]), JSON_OBJECT)) {
            return json_get(answer, parts[i]);
        }
    }
    return answer;
}

void cli_print(struct cli *c, const struct json *answer)
{
    const struct json *part = main_part(answer);
    if (c->field.n > 0) {
        const struct json *v = json_get_str(part, c->field);
        v = v != NULL ? v : json_get_str(json_get(part, "data"), c->field);
        v = v != NULL ? v : json_get_str(answer, c->field);
        if (v != NULL) {
            printf("%.*s%s", STR_FMT(as_text(c, v)), isatty(STDOUT_FILENO) ? "\n" : "");
        }
        return;
    }
    if (c->json) {
        print_json(answer);
        return;
    }
    const struct json *keys = json_get(part, "keys");
    if (json_is(keys, JSON_ARRAY) && part->n <= 2) {
        printf("Keys\n----\n");
        for (uint32_t i = 0; i < keys->n; i++) {
            printf("%.*s\n", STR_FMT(as_text(c, keys->items[i])));
        }
        return;
    }
    if (json_str(json_get(answer, "lease_id")).n > 0) {
        printf("%-24s %.*s\n", "lease_id", STR_FMT(json_str(json_get(answer, "lease_id"))));
    }
    print_table(c, part);
}

int cli_run(struct cli *c, const char *method, struct str path, const struct json *body,
            const char *done)
{
    int status;
    struct json *answer;
    struct err e = cli_call(c, method, path, body, &status, &answer);
    if (failed(e)) {
        return cli_fail(e);
    }
    if (status >= 400) {
        return cli_refused(status, answer);
    }
    if (answer != NULL) {
        cli_print(c, answer);
    } else if (done != NULL) {
        printf("%s\n", done);
    }
    return 0;
}

struct str cli_path(struct cli *c, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    struct str raw = str_n(text, n < 0 ? 0 : MIN((size_t)n, sizeof text - 1));
    while (raw.n > 0 && raw.p[0] == '/') {
        raw = str_sub(raw, 1, raw.n);
    }
    return arena_str(&c->arena, raw);
}
