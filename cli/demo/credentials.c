#include "cli/demo/demo.h"

#include <stdio.h>

/*
 * Credentials of workloads, got as any workload would: SVIDs from the Workload API with the command line
 * that SPIRE's users know, tokens from secrets through Vault's API with curl.
 */

#define SECRETS "https://10.77.0.1:8200"
#define SERVICE_A_DOOR "https://10.77.1.2:8443"

static char *workload_socket(struct demo *d)
{
    return demo_path(d, "run/identity/workload.sock");
}

static struct err identity_cli(struct demo *d, const struct actor *who, const char *const *args,
                               int *exit_status, struct str *out, struct str *err_text)
{
    const char *argv[32];
    size_t n = 0;
    argv[n++] = demo_path(d, "bin/sextant-identity");
    for (size_t i = 0; args[i] != NULL; i++) {
        BUG_ON(n + 1 >= ARRAY_LEN(argv));
        argv[n++] = args[i];
    }
    argv[n] = NULL;
    return client_run(d, who, argv, STR_EMPTY, 10000, exit_status, out, err_text);
}

/* The first "svid" anywhere in the answer: spire-agent wraps it in lists. */
static struct str find_svid(const struct json *v)
{
    const struct json *stack[64];
    size_t n = 0;
    stack[n++] = v;
    while (n > 0) {
        const struct json *at = stack[--n];
        struct str svid = json_str(json_get(at, "svid"));
        if (svid.n > 0) {
            return svid;
        }
        for (uint32_t i = 0; i < at->n && n < ARRAY_LEN(stack); i++) {
            if (json_is(at, JSON_ARRAY)) {
                stack[n++] = at->items[i];
            } else if (json_is(at, JSON_OBJECT)) {
                stack[n++] = at->members[i].value;
            }
        }
    }
    return STR_EMPTY;
}

struct err client_jwt_svid(struct demo *d, const struct actor *who, const char *audience,
                           struct str *out)
{
    const char *args[] = {
        "api",     "fetch", "jwt", "-audience", audience, "-socketPath", workload_socket(d),
        "-output", "json",  NULL};
    int status;
    struct str text, err_text;
    struct json *v;
    TRY(identity_cli(d, who, args, &status, &text, &err_text));
    ENSURE(status == 0, ERR_DENIED, "no JWT-SVID for %s: %.*s", who->name,
           STR_FMT(str_trim(err_text)));
    TRY(json_parse(&d->arena, text, NULL, &v));
    *out = find_svid(v);
    ENSURE(out->n > 0, ERR_INVALID, "no svid in %.*s", STR_FMT(text));
    return OK;
}

struct err client_x509_svid(struct demo *d, const struct actor *who, const char *dir,
                            int *exit_status, struct str *said)
{
    char *path = demo_path(d, "%s", dir);
    TRY(make_dir(path, 0700, who->uid));
    const char *args[] = {"api",    "fetch", "x509", "-socketPath", workload_socket(d),
                          "-write", path,    NULL};
    struct str out, err_text;
    TRY(identity_cli(d, who, args, exit_status, &out, &err_text));
    *said = str_trim(*exit_status == 0 ? out : err_text);
    return OK;
}

struct err client_secrets(struct demo *d, const struct actor *who, struct str token,
                          const char *method, const char *path, const char *body,
                          struct answer *out)
{
    const char *args[16];
    size_t n = 0;
    args[n++] = "--cacert", args[n++] = demo_path(d, "run/identity/bundle.pem");
    args[n++] = "--request", args[n++] = method;
    if (token.n > 0) {
        args[n++] = "--header";
        args[n++] =
            arena_cstr(&d->arena, arena_printf(&d->arena, "X-Vault-Token: %.*s", STR_FMT(token)));
    }
    if (body != NULL) {
        args[n++] = "--data", args[n++] = body;
    }
    args[n++] = arena_cstr(&d->arena, arena_printf(&d->arena, SECRETS "/v1/%s", path));
    args[n] = NULL;
    return client_curl(d, who, args, out);
}

struct err client_secrets_login(struct demo *d, const struct actor *who, const char *role,
                                struct str *token)
{
    struct str svid;
    struct answer a;
    struct json *v;
    TRY(client_jwt_svid(d, who, "secrets", &svid));
    char *body = arena_cstr(&d->arena, arena_printf(&d->arena, "{\"role\":\"%s\",\"jwt\":\"%.*s\"}",
                                                    role, STR_FMT(svid)));
    TRY(client_secrets(d, who, STR_EMPTY, "POST", "auth/jwt/login", body, &a));
    ENSURE(a.status == 200, ERR_DENIED, "login to secrets as %s: %.*s", who->name,
           STR_FMT(answer_text(d, &a)));
    TRY(json_parse(&d->arena, a.body, NULL, &v));
    *token = json_str(json_path(v, "auth.client_token"));
    ENSURE(token->n > 0, ERR_INVALID, "no client_token in the answer");
    return OK;
}

struct err client_report(struct demo *d, struct str token, const char *path, struct answer *out)
{
    char *header = arena_cstr(
        &d->arena, arena_printf(&d->arena, "Authorization: Bearer %.*s", STR_FMT(token)));
    const char *args[8];
    size_t n = 0;
    args[n++] = "--cacert", args[n++] = demo_path(d, "alice/door.crt");
    if (token.n > 0) {
        args[n++] = "--header", args[n++] = header;
    }
    args[n++] = arena_cstr(&d->arena, arena_printf(&d->arena, SERVICE_A_DOOR "%s", path));
    args[n] = NULL;
    return client_curl(d, &actor_alice, args, out);
}
