/*
 * The subcommands. Each is one request to the running daemon. Passwords come from the terminal, without
 * echo, or from standard input; never from the command line, which everybody on the machine can read.
 */
#include "commands.h"

#include "lib/base/codec.h"
#include "lib/base/secret.h"
#include "lib/http/client.h"
#include "lib/json/json.h"

#include "limits.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

enum { FAILED = 1, USAGE = 2, COMMAND_ARENA = 64 << 20 };

struct command {
    struct daemon *d;
    struct arena *a;
    bool json;
    const char *attributes, *file;
    const char *words[8];
    int n;
};

static int usage(const char *text)
{
    fprintf(stderr, "usage: sextant-authn %s\n", text);
    return USAGE;
}

static bool parse(struct command *c, struct daemon *d, int argc, char **argv)
{
    *c = (struct command){.d = d, .a = &d->boot};
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            c->json = true;
        } else if (strcmp(argv[i], "--attributes") == 0 && i + 1 < argc) {
            c->attributes = argv[++i];
        } else if (strcmp(argv[i], "--file") == 0 && i + 1 < argc) {
            c->file = argv[++i];
        } else if (argv[i][0] == '-' || c->n == (int)ARRAY_LEN(c->words)) {
            return false;
        } else {
            c->words[c->n++] = argv[i];
        }
    }
    return true;
}

/* One request to the daemon; the answer's text is in the arena. Prints what went wrong. */
static int ask(struct command *c, const char *method, struct str path, struct str body,
               struct str *answer)
{
    struct http_result res;
    struct http_call call = {
        .method = str_of(method),
        .url = arena_printf(c->a, "unix:%s/admin.sock:%.*s", c->d->run_dir, STR_FMT(path)),
        .body = body,
        .content_type = body.n > 0 ? S("application/json") : STR_EMPTY,
    };
    struct err e =
        http_call_blocking(c->a, &(struct http_client_opts){.timeout_ms = 15000}, &call, &res);
    if (failed(e)) {
        fprintf(stderr,
                "sextant-authn: %s/admin.sock: %s. Is the daemon running, and may you use it "
                "(root, or its own user)?\n",
                c->d->run_dir, err_detail());
        return FAILED;
    }
    *answer = res.body;
    if (res.status >= 200 && res.status < 300) {
        return 0;
    }
    struct json *v;
    struct str why = STR_EMPTY;
    if (!failed(json_parse(c->a, res.body, NULL, &v))) {
        why = json_str(json_get(v, "error"));
    }
    fprintf(stderr, "sextant-authn: %.*s (status %d)\n", STR_FMT(why), res.status);
    return FAILED;
}

static int report(const struct command *c, int code, struct str answer, const char *done,
                  const char *what)
{
    if (code != 0) {
        return code;
    }
    if (c->json) {
        printf("%.*s\n", STR_FMT(answer));
    } else {
        printf("%s %s\n", what, done);
    }
    return 0;
}

static struct str segment(struct arena *a, const char *text)
{
    struct buf b;
    buf_init(&b, 4096);
    percent_put(&b, str_of(text));
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

/* ---- passwords ---- */

static bool read_line(char *line, size_t size, size_t *n)
{
    *n = 0;
    for (char ch; read(STDIN_FILENO, &ch, 1) == 1 && ch != '\n';) {
        if (*n + 1 >= size) {
            return false;
        }
        line[(*n)++] = ch;
    }
    if (*n > 0 && line[*n - 1] == '\r') {
        (*n)--;
    }
    return true;
}

static struct err read_password(struct secret *out)
{
    char line[PASSWORD_MAX + 2];
    size_t n;
    struct termios old, quiet;
    bool terminal = isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &old) == 0;
    if (terminal) {
        fputs("Password: ", stderr);
        quiet = old;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    }
    bool fits = read_line(line, sizeof(line), &n);
    if (terminal) {
        tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
        fputc('\n', stderr);
    }
    struct err e = fits ? secret_copy(out, str_n(line, n))
                        : err_make(ERR_LIMIT, "a password has at most %d bytes", PASSWORD_MAX);
    wipe(line, sizeof(line));
    return e;
}

/* {"name":…,"password":…,"attributes":…} in memory that is wiped. */
static struct err user_body(const struct command *c, const char *name, struct buf *body)
{
    struct secret password = SECRET_EMPTY;
    struct json *attributes = NULL;
    struct jw w;
    if (c->attributes != NULL) {
        TRY(json_parse(c->a, str_of(c->attributes), NULL, &attributes));
        ENSURE(attributes->type == JSON_OBJECT, ERR_INVALID,
               "--attributes: expected a JSON object");
    }
    TRY(read_password(&password));
    jw_init(&w, body);
    jw_obj(&w);
    if (name != NULL) {
        jw_key_str(&w, S("name"), str_of(name));
    }
    jw_key_str(&w, S("password"), secret_bytes(&password));
    if (attributes != NULL) {
        jw_key(&w, S("attributes"));
        jw_json(&w, attributes);
    }
    jw_end(&w);
    secret_release(&password);
    return buf_check(body);
}

static int send_password(struct command *c, const char *method, struct str path, const char *name,
                         const char *what, const char *done)
{
    struct buf body;
    struct str answer = STR_EMPTY;
    buf_init_secret(&body, 64 * 1024);
    int code = FAILED;
    struct err e = user_body(c, name, &body);
    if (failed(e)) {
        fprintf(stderr, "sextant-authn: %s\n", err_detail());
    } else {
        code = ask(c, method, path, buf_str(&body), &answer);
    }
    buf_release(&body);
    return report(c, code, answer, done, what);
}

/* ---- user ---- */

static int list_users(struct command *c)
{
    struct str answer;
    struct json *v;
    int code = ask(c, "GET", S("/v1/users"), STR_EMPTY, &answer);
    if (code != 0 || c->json) {
        return code != 0 ? code : report(c, 0, answer, "", "");
    }
    if (failed(json_parse(c->a, answer, NULL, &v))) {
        return FAILED;
    }
    printf("%-24s %-24s %-9s %s\n", "NAME", "SUBJECT", "STATE", "CREATED");
    for (uint32_t i = 0; v->type == JSON_ARRAY && i < v->n; i++) {
        const struct json *u = v->items[i];
        printf("%-24.*s %-24.*s %-9s %.*s\n", STR_FMT(json_str(json_get(u, "name"))),
               STR_FMT(json_str(json_get(u, "sub"))),
               json_true(json_get(u, "disabled")) ? "disabled" : "enabled",
               STR_FMT(json_str(json_get(u, "created"))));
    }
    return 0;
}

static int run_user(struct daemon *d, int argc, char **argv)
{
    static const char text[] = "user add NAME [--attributes JSON] | passwd NAME | disable NAME | "
                               "enable NAME | remove NAME | list   [--json]";
    struct command c;
    struct str answer = STR_EMPTY;
    if (!parse(&c, d, argc, argv) || c.n == 0) {
        return usage(text);
    }
    const char *verb = c.words[0], *name = c.n == 2 ? c.words[1] : NULL;
    if (strcmp(verb, "list") == 0 && c.n == 1) {
        return list_users(&c);
    }
    if (name == NULL) {
        return usage(text);
    }
    struct str path = arena_printf(c.a, "/v1/users/%.*s", STR_FMT(segment(c.a, name)));
    if (strcmp(verb, "add") == 0) {
        return send_password(&c, "POST", S("/v1/users"), name, name, "added");
    }
    if (strcmp(verb, "passwd") == 0) {
        return send_password(&c, "PUT", arena_printf(c.a, "%.*s/password", STR_FMT(path)), NULL,
                             name, "has a new password; sessions and tokens have ended");
    }
    if (strcmp(verb, "disable") == 0) {
        int code =
            ask(&c, "POST", arena_printf(c.a, "%.*s/disable", STR_FMT(path)), STR_EMPTY, &answer);
        return report(&c, code, answer, "disabled; sessions and tokens have ended", name);
    }
    if (strcmp(verb, "enable") == 0) {
        int code =
            ask(&c, "POST", arena_printf(c.a, "%.*s/enable", STR_FMT(path)), STR_EMPTY, &answer);
        return report(&c, code, answer, "enabled", name);
    }
    if (strcmp(verb, "remove") == 0) {
        return report(&c, ask(&c, "DELETE", path, STR_EMPTY, &answer), answer,
                      "removed; sessions and tokens have ended", name);
    }
    return usage(text);
}

/* ---- client ---- */

static struct err read_registration(struct command *c, struct str *out)
{
    struct buf b;
    char chunk[4096];
    bool from_stdin = c->file == NULL || strcmp(c->file, "-") == 0;
    int fd = from_stdin ? STDIN_FILENO : open(c->file, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_IO, "%s: %s", c->file, strerrordesc_np(errno));
    buf_init(&b, CLIENT_METADATA_MAX);
    for (ssize_t n; (n = read(fd, chunk, sizeof(chunk))) > 0;) {
        buf_put(&b, chunk, (size_t)n);
    }
    if (!from_stdin) {
        close(fd);
    }
    struct err e = buf_check(&b);
    *out = arena_str(c->a, buf_str(&b));
    buf_release(&b);
    return e;
}

static int add_client(struct command *c)
{
    struct str body, answer;
    struct json *v;
    if (failed(read_registration(c, &body))) {
        fprintf(stderr, "sextant-authn: %s\n", err_detail());
        return FAILED;
    }
    int code = ask(c, "POST", S("/v1/clients"), body, &answer);
    if (code != 0 || c->json || failed(json_parse(c->a, answer, NULL, &v))) {
        return code != 0 ? code : report(c, 0, answer, "", "");
    }
    printf("client_id     %.*s\n", STR_FMT(json_str(json_get(v, "client_id"))));
    if (json_get(v, "client_secret") != NULL) {
        printf("client_secret %.*s   (shown once)\n",
               STR_FMT(json_str(json_get(v, "client_secret"))));
    }
    return 0;
}

static int list_clients(struct command *c)
{
    struct str answer;
    struct json *v;
    int code = ask(c, "GET", S("/v1/clients"), STR_EMPTY, &answer);
    if (code != 0 || c->json || failed(json_parse(c->a, answer, NULL, &v))) {
        return code != 0 ? code : report(c, 0, answer, "", "");
    }
    printf("%-24s %-22s %s\n", "CLIENT", "AUTHENTICATION", "NAME");
    for (uint32_t i = 0; v->type == JSON_ARRAY && i < v->n; i++) {
        const struct json *m = v->items[i], *method = json_get(m, "token_endpoint_auth_method");
        printf("%-24.*s %-22.*s %.*s\n", STR_FMT(json_str(json_get(m, "client_id"))),
               STR_FMT(method != NULL ? method->text : S("client_secret_basic")),
               STR_FMT(json_str(json_get(m, "client_name"))));
    }
    return 0;
}

static int run_client(struct daemon *d, int argc, char **argv)
{
    static const char text[] = "client add [--file FILE] | list | show ID | secret ID | remove ID  "
                               " [--json]; add reads JSON from standard input";
    struct command c;
    struct str answer = STR_EMPTY;
    if (!parse(&c, d, argc, argv) || c.n == 0) {
        return usage(text);
    }
    const char *verb = c.words[0];
    if (c.n == 1 && strcmp(verb, "add") == 0) {
        return add_client(&c);
    }
    if (c.n == 1 && strcmp(verb, "list") == 0) {
        return list_clients(&c);
    }
    if (c.n != 2) {
        return usage(text);
    }
    struct str path = arena_printf(c.a, "/v1/clients/%.*s", STR_FMT(segment(c.a, c.words[1])));
    if (strcmp(verb, "remove") == 0) {
        return report(&c, ask(&c, "DELETE", path, STR_EMPTY, &answer), answer,
                      "removed; its tokens have ended", c.words[1]);
    }
    c.json = true;
    if (strcmp(verb, "show") == 0) {
        return report(&c, ask(&c, "GET", path, STR_EMPTY, &answer), answer, "", "");
    }
    if (strcmp(verb, "secret") == 0) {
        return report(
            &c,
            ask(&c, "POST", arena_printf(c.a, "%.*s/secret", STR_FMT(path)), STR_EMPTY, &answer),
            answer, "", "");
    }
    return usage(text);
}

/* ---- grants ---- */

static int run_revoke(struct daemon *d, int argc, char **argv)
{
    static const char text[] = "revoke user|client|session|family|jti VALUE [--json]";
    struct command c;
    struct buf body;
    struct jw w;
    struct str answer = STR_EMPTY;
    if (!parse(&c, d, argc, argv) || c.n != 2) {
        return usage(text);
    }
    buf_init(&body, 8192);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key_str(&w, str_of(c.words[0]), str_of(c.words[1]));
    jw_end(&w);
    int code = ask(&c, "POST", S("/v1/revoke"), buf_str(&body), &answer);
    buf_release(&body);
    return report(&c, code, answer, "revoked", c.words[1]);
}

static int run_grants(struct daemon *d, int argc, char **argv)
{
    struct command c;
    struct str answer = STR_EMPTY, path = S("/v1/grants");
    if (!parse(&c, d, argc, argv) || (c.n != 0 && c.n != 2)) {
        return usage("grants [user NAME | client ID]");
    }
    if (c.n == 2) {
        path = arena_printf(c.a, "/v1/grants?%.*s=%.*s", STR_FMT(segment(c.a, c.words[0])),
                            STR_FMT(segment(c.a, c.words[1])));
    }
    c.json = true;
    return report(&c, ask(&c, "GET", path, STR_EMPTY, &answer), answer, "", "");
}

const struct daemon_command authn_commands[] = {
    {"user", "add|passwd|disable|enable|remove NAME | list",
     "people: the password is asked for, or read from standard input", run_user, true},
    {"client", "add|list|show|secret|remove",
     "applications: `add` reads a registration (RFC 7591 JSON)", run_client, true},
    {"revoke", "user|client|session|family|jti VALUE", "end tokens and sessions now", run_revoke,
     true},
    {"grants", "[user NAME | client ID]", "open sessions and token families", run_grants, true},
    {0},
};
