/* The verbs of `sextant-secrets`, each as Vault's own command has it. */
#include "cli.h"
#include "secretsd.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

typedef int verb_fn(struct cli *c);

static int with(int argc, char **argv, verb_fn *fn)
{
    struct cli c;
    struct err e = cli_open(&c, argc, argv);
    int rc = failed(e) ? cli_fail(e) : fn(&c);
    cli_close(&c);
    return rc;
}

static bool is(const struct cli *c, int i, const char *word)
{
    return i < c->n_args && strcmp(c->args[i], word) == 0;
}

/* ---- read, write, list, delete ---- */

static int read_path(struct cli *c)
{
    return c->n_args == 1 ? cli_run(c, "GET", cli_path(c, "%s", c->args[0]), NULL, NULL)
                          : cli_usage("read PATH");
}

static int list_path(struct cli *c)
{
    return c->n_args == 1 ? cli_run(c, "LIST", cli_path(c, "%s", c->args[0]), NULL, NULL)
                          : cli_usage("list PATH");
}

static int delete_path(struct cli *c)
{
    return c->n_args == 1 ? cli_run(c, "DELETE", cli_path(c, "%s", c->args[0]), NULL,
                                    "Success! Data deleted (if it existed).")
                          : cli_usage("delete PATH");
}

static int write_path(struct cli *c)
{
    struct json *fields;
    if (c->n_args < 1) {
        return cli_usage("write PATH name=value|name=@file|name=-|- ...");
    }
    struct err e = cli_fields(c, 1, &fields);
    return failed(e) ? cli_fail(e)
                     : cli_run(c, "POST", cli_path(c, "%s", c->args[0]), fields,
                               "Success! Data written.");
}

/* ---- status, operator ---- */

static int status(struct cli *c)
{
    int code;
    struct json *answer;
    struct err e = cli_call(c, "GET", S("sys/seal-status"), NULL, &code, &answer);
    if (failed(e)) {
        return cli_fail(e);
    }
    if (code != 200) {
        return cli_refused(code, answer);
    }
    cli_print(c, answer);
    return json_true(json_get(answer, "sealed")) ? 2 : 0;
}

static int operator(struct cli *c)
{
    struct json *body = json_new_object(&c->arena);
    if (is(c, 0, "init")) {
        static const char *const names[][2] = {{"key-shares", "secret_shares"},
                                               {"key-threshold", "secret_threshold"}};
        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
            struct str v = cli_flag(c, names[i][0]);
            if (v.n > 0) {
                json_set(&c->arena, body, str_of(names[i][1]), json_new_string(&c->arena, v));
            }
        }
        return cli_run(c, "PUT", S("sys/init"), body, NULL);
    }
    if (is(c, 0, "seal")) {
        return cli_run(c, "PUT", S("sys/seal"), body, "Success! Vault is sealed.");
    }
    if (is(c, 0, "unseal")) {
        c->args[0] = c->n_args > 1 ? c->args[1] : "key=-";
        c->n_args = 1;
        struct err e = cli_fields(c, 0, &body);
        return failed(e) ? cli_fail(e) : cli_run(c, "PUT", S("sys/unseal"), body, NULL);
    }
    if (is(c, 0, "rotate")) {
        return cli_run(c, "PUT", S("sys/rotate"), body, "Success! Rotated key.");
    }
    return cli_usage(
        "operator init [-key-shares=5 -key-threshold=3] | seal | unseal [key=-] | rotate");
}

/* ---- login and tokens ---- */

static struct err keep_token(struct cli *c, struct str token)
{
    const char *home = getenv("HOME");
    ENSURE(home != NULL, ERR_INVALID, "HOME is not set: the token has nowhere to go");
    struct str path = arena_printf(&c->arena, "%s/.vault-token", home);
    int fd = open(path.p, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ENSURE(fd >= 0, ERR_IO, "cannot write %s", path.p);
    bool ok = fchmod(fd, 0600) == 0 && write(fd, token.p, token.n) == (ssize_t)token.n;
    ok = close(fd) == 0 && ok;
    ENSURE(ok, ERR_IO, "cannot write %s", path.p);
    return OK;
}

static int login(struct cli *c)
{
    struct str method = cli_flag(c, "method"), path = cli_flag(c, "path");
    struct json *fields, *answer;
    int code;
    struct err e = cli_fields(c, 0, &fields);
    if (failed(e)) {
        return cli_fail(e);
    }
    if (method.n == 0 || str_is(method, "token")) {
        return cli_usage("login -method=jwt|cert|approle|userpass|enrolment [-path=PATH] role=NAME "
                         "jwt=@FILE ...");
    }
    path = path.n > 0 ? path : method;
    struct str user = json_str(json_get(fields, "username"));
    struct str at = str_is(method, "userpass")
                        ? cli_path(c, "auth/%.*s/login/%.*s", STR_FMT(path), STR_FMT(user))
                        : cli_path(c, "auth/%.*s/login", STR_FMT(path));
    if (str_is(method, "enrolment")) {
        at = S("sys/wrapping/unwrap");
        c->token = str_trim(json_str(json_get(fields, "token")));
        fields = json_new_object(&c->arena);
    } else {
        c->token = STR_EMPTY;
    }
    e = cli_call(c, "POST", at, fields, &code, &answer);
    if (failed(e)) {
        return cli_fail(e);
    }
    struct str token = json_str(json_path(answer, "auth.client_token"));
    if (code != 200 || token.n == 0) {
        return cli_refused(code, answer);
    }
    if (cli_flag(c, "no-store").n == 0) {
        e = keep_token(c, token);
    }
    cli_print(c, answer);
    return failed(e) ? cli_fail(e) : 0;
}

static int token(struct cli *c)
{
    struct json *fields;
    struct err e = cli_fields(c, 1, &fields);
    if (failed(e)) {
        return cli_fail(e);
    }
    for (uint32_t i = 0; i < c->flags->n; i++) {
        struct str name = arena_str(&c->arena, c->flags->members[i].key);
        for (size_t k = 0; k < name.n; k++) {
            char *p = (char *)(uintptr_t)&name.p[k];
            *p = *p == '-' ? '_' : *p;
        }
        json_set(&c->arena, fields,
                 str_is(name, "policy")      ? S("policies")
                 : str_is(name, "use_limit") ? S("num_uses")
                                             : name,
                 c->flags->members[i].value);
    }
    bool other = json_get(fields, "token") != NULL, accessor = json_get(fields, "accessor") != NULL;
    const char *suffix = accessor ? "-accessor" : other ? "" : "-self";
    if (is(c, 0, "create")) {
        return cli_run(c, "POST", S("auth/token/create"), fields, NULL);
    }
    if (is(c, 0, "lookup") || is(c, 0, "renew") || is(c, 0, "revoke")) {
        return cli_run(c, "POST", cli_path(c, "auth/token/%s%s", c->args[0], suffix), fields,
                       "Success!");
    }
    return cli_usage("token create [-policy=P -ttl=1h] | lookup|renew|revoke [token=-|accessor=A]");
}

/* ---- leases, policies, mounts ---- */

static int lease(struct cli *c)
{
    struct json *body = json_new_object(&c->arena);
    if (c->n_args != 2) {
        return cli_usage(
            "lease lookup|renew|revoke LEASE_ID [-prefix] [-force] [-sync] [-increment=1h]");
    }
    struct str increment = cli_flag(c, "increment");
    json_set(&c->arena, body, S("sync"), json_new_bool(&c->arena, cli_flag(c, "sync").n > 0));
    if (is(c, 0, "revoke") && (cli_flag(c, "prefix").n > 0 || cli_flag(c, "force").n > 0)) {
        return cli_run(c, "PUT",
                       cli_path(c, "sys/leases/revoke-%s/%s",
                                cli_flag(c, "force").n > 0 ? "force" : "prefix", c->args[1]),
                       body, "All revocation operations queued successfully!");
    }
    json_set(&c->arena, body, S("lease_id"), json_new_string(&c->arena, str_of(c->args[1])));
    if (increment.n > 0) {
        json_set(&c->arena, body, S("increment"), json_new_string(&c->arena, increment));
    }
    if (is(c, 0, "lookup") || is(c, 0, "renew") || is(c, 0, "revoke")) {
        return cli_run(c, "PUT", cli_path(c, "sys/leases/%s", c->args[0]), body, "Success!");
    }
    return cli_usage("lease lookup|renew|revoke LEASE_ID");
}

static int policy(struct cli *c)
{
    if (is(c, 0, "list")) {
        return cli_run(c, "LIST", S("sys/policies/acl"), NULL, NULL);
    }
    if (c->n_args == 2 && is(c, 0, "read")) {
        c->field = c->json ? c->field : S("policy");
        return cli_run(c, "GET", cli_path(c, "sys/policies/acl/%s", c->args[1]), NULL, NULL);
    }
    if (c->n_args == 2 && is(c, 0, "delete")) {
        return cli_run(c, "DELETE", cli_path(c, "sys/policies/acl/%s", c->args[1]), NULL,
                       "Success! Deleted policy.");
    }
    if (c->n_args == 3 && is(c, 0, "write")) {
        bool input = strcmp(c->args[2], "-") == 0;
        char *arg = arena_cstr(
            &c->arena, input ? S("policy=-") : arena_printf(&c->arena, "policy=@%s", c->args[2]));
        c->args[2] = arg;
        struct json *body;
        struct err e = cli_fields(c, 2, &body);
        return failed(e) ? cli_fail(e)
                         : cli_run(c, "PUT", cli_path(c, "sys/policies/acl/%s", c->args[1]), body,
                                   "Success! Uploaded policy.");
    }
    return cli_usage("policy list | read NAME | write NAME FILE|- | delete NAME");
}

static int mounts(struct cli *c, const char *under)
{
    if (is(c, 0, "list")) {
        return cli_run(c, "GET", cli_path(c, "sys/%s", under), NULL, NULL);
    }
    if (c->n_args == 2 && is(c, 0, "disable")) {
        return cli_run(c, "DELETE", cli_path(c, "sys/%s/%s", under, c->args[1]), NULL,
                       "Success! Disabled.");
    }
    if (c->n_args == 2 && is(c, 0, "enable")) {
        struct json *body = json_new_object(&c->arena), *options = json_new_object(&c->arena);
        struct str path = cli_flag(c, "path"), version = cli_flag(c, "version");
        json_set(&c->arena, body, S("type"), json_new_string(&c->arena, str_of(c->args[1])));
        if (version.n > 0) {
            json_set(&c->arena, options, S("version"), json_new_string(&c->arena, version));
            json_set(&c->arena, body, S("options"), options);
        }
        return cli_run(
            c, "POST",
            cli_path(c, "sys/%s/%.*s", under, STR_FMT(path.n > 0 ? path : str_of(c->args[1]))),
            body, "Success! Enabled.");
    }
    return cli_usage("secrets|auth list | enable [-path=P] [-version=2] TYPE | disable PATH");
}

static int secret_engines(struct cli *c)
{
    return mounts(c, "mounts");
}

static int auth_methods(struct cli *c)
{
    return mounts(c, "auth");
}

static int unwrap(struct cli *c)
{
    if (c->n_args > 0) {
        struct json *fields;
        struct err e = cli_fields(c, 0, &fields);
        return failed(e) ? cli_fail(e) : cli_run(c, "PUT", S("sys/wrapping/unwrap"), fields, NULL);
    }
    return cli_run(c, "PUT", S("sys/wrapping/unwrap"), NULL, NULL);
}

#define VERB(name, fn)                                                                             \
    static int run_##name(struct daemon *d, int argc, char **argv)                                 \
    {                                                                                              \
        return with(argc, argv, fn);                                                               \
    }

VERB(status, status)
VERB(operator, operator)
VERB(login, login)
VERB(token, token)
VERB(kv, cli_kv)
VERB(lease, lease)
VERB(policy, policy)
VERB(read, read_path)
VERB(write, write_path)
VERB(list, list_path)
VERB(delete, delete_path)
VERB(secrets, secret_engines)
VERB(auth, auth_methods)
VERB(unwrap, unwrap)

const struct daemon_command secrets_commands[] = {
    {"status", "", "is it sealed?", run_status, false},
    {"login", "-method=jwt|cert|approle|userpass|enrolment name=value ...",
     "get a token and keep it", run_login, false},
    {"token", "create|lookup|renew|revoke", "tokens", run_token, false},
    {"kv", "get|put|patch|list|delete|undelete|destroy|metadata PATH", "key-value secrets", run_kv,
     false},
    {"lease", "lookup|renew|revoke LEASE_ID", "leases", run_lease, false},
    {"policy", "list|read|write|delete", "policies", run_policy, false},
    {"read", "PATH", "read any path", run_read, false},
    {"write", "PATH name=value ...", "write any path", run_write, false},
    {"list", "PATH", "list any path", run_list, false},
    {"delete", "PATH", "delete any path", run_delete, false},
    {"secrets", "list|enable|disable", "secret engines", run_secrets, false},
    {"auth", "list|enable|disable", "auth methods", run_auth, false},
    {"unwrap", "[token=-]", "open a wrapped answer", run_unwrap, false},
    {"operator", "init|seal|unseal|rotate", "run the server", run_operator, false},
    {0},
};
