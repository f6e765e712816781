/* kv get|put|patch|list|delete|undelete|destroy|metadata: both versions, told apart as Vault's own command does. */
#include "cli.h"

#include <stdio.h>

struct place {
    struct str mount, key; /* "kv/", "team/db" */
    bool v2;
};

/* The server says which mount a path is on, and its version; without that knowledge: version 2. */
static struct err find_place(struct cli *c, const char *path, struct place *out)
{
    int status;
    struct json *answer;
    struct str given = cli_path(c, "%s", path), mount = cli_flag(c, "mount");
    if (mount.n > 0) {
        given = arena_printf(&c->arena, "%.*s/%.*s", STR_FMT(mount), STR_FMT(given));
    }
    TRY(cli_call(c, "GET", cli_path(c, "sys/internal/ui/mounts/%.*s", STR_FMT(given)), NULL,
                 &status, &answer));
    ENSURE(status == 200, ERR_DENIED, "no mount for %.*s that this token may see", STR_FMT(given));
    out->mount = json_str(json_path(answer, "data.path"));
    out->v2 = str_is(json_str(json_path(answer, "data.options.version")), "2");
    out->key = given.n > out->mount.n ? str_sub(given, out->mount.n, given.n) : S("");
    return OK;
}

static struct str at(struct cli *c, const struct place *p, const char *verb)
{
    return arena_printf(&c->arena, "%.*s%s%s%.*s", STR_FMT(p->mount), p->v2 ? verb : "",
                        p->v2 ? "/" : "", STR_FMT(p->key));
}

static int get(struct cli *c, const struct place *p)
{
    struct str path = at(c, p, "data"), version = cli_flag(c, "version");
    int status;
    struct json *answer;
    if (version.n > 0) {
        path = arena_printf(&c->arena, "%.*s?version=%.*s", STR_FMT(path), STR_FMT(version));
    }
    struct err e = cli_call(c, "GET", path, NULL, &status, &answer);
    if (failed(e)) {
        return cli_fail(e);
    }
    if (status != 200) {
        return cli_refused(status, answer);
    }
    const struct json *inner = json_path(answer, "data.data");
    if (p->v2 && !c->json && inner != NULL) {
        struct json *shown = json_new_object(&c->arena);
        json_set(&c->arena, shown, S("data"), json_copy(&c->arena, inner));
        answer = shown;
    }
    cli_print(c, answer);
    return 0;
}

static int put(struct cli *c, const struct place *p, const char *method)
{
    struct json *fields, *body;
    struct err e = cli_fields(c, 2, &fields);
    if (failed(e)) {
        return cli_fail(e);
    }
    body = fields;
    if (p->v2) {
        struct str cas = cli_flag(c, "cas");
        body = json_new_object(&c->arena);
        json_set(&c->arena, body, S("data"), fields);
        if (cas.n > 0) {
            struct json *options = json_new_object(&c->arena);
            json_set(&c->arena, options, S("cas"), json_new_string(&c->arena, cas));
            json_set(&c->arena, body, S("options"), options);
        }
    }
    return cli_run(c, method, at(c, p, "data"), body, "Success! Data written.");
}

static int versions(struct cli *c, const struct place *p, const char *verb, const char *method)
{
    struct json *body = json_new_object(&c->arena), *list = json_new_array(&c->arena);
    struct str rest = cli_flag(c, "versions");
    if (rest.n == 0) {
        return strcmp(verb, "delete") == 0 ? cli_run(c, "DELETE", at(c, p, "data"), NULL,
                                                     "Success! Data deleted (if it existed).")
                                           : cli_usage("kv undelete|destroy -versions=1,2 PATH");
    }
    while (rest.p != NULL) {
        json_push(&c->arena, list, json_new_string(&c->arena, str_split(&rest, ',')));
    }
    json_set(&c->arena, body, S("versions"), list);
    return cli_run(c, method, at(c, p, verb), body, "Success!");
}

static int metadata(struct cli *c)
{
    struct place p;
    struct json *fields;
    if (c->n_args < 3) {
        return cli_usage("kv metadata get|put|delete PATH [name=value ...]");
    }
    struct err e = find_place(c, c->args[2], &p);
    if (!failed(e)) {
        e = cli_fields(c, 3, &fields);
    }
    if (failed(e)) {
        return cli_fail(e);
    }
    const char *verb = c->args[1];
    struct str path = at(c, &p, "metadata");
    if (strcmp(verb, "get") == 0) {
        return cli_run(c, "GET", path, NULL, NULL);
    }
    if (strcmp(verb, "put") == 0) {
        return cli_run(c, "POST", path, fields, "Success! Metadata written.");
    }
    return strcmp(verb, "delete") == 0
               ? cli_run(c, "DELETE", path, NULL, "Success! Data deleted (if it existed).")
               : cli_usage("kv metadata get|put|delete PATH");
}

int cli_kv(struct cli *c)
{
    static const char usage[] =
        "kv get|put|patch|list|delete|undelete|destroy PATH [name=value ...] | kv metadata ...";
    struct place p;
    if (c->n_args < 2) {
        return cli_usage(usage);
    }
    const char *verb = c->args[0];
    if (strcmp(verb, "metadata") == 0) {
        return metadata(c);
    }
    struct err e = find_place(c, c->args[1], &p);
    if (failed(e)) {
        return cli_fail(e);
    }
    if (strcmp(verb, "get") == 0) {
        return get(c, &p);
    }
    if (strcmp(verb, "put") == 0 || strcmp(verb, "patch") == 0) {
        return put(c, &p, verb[1] == 'u' ? "POST" : "PATCH");
    }
    if (strcmp(verb, "list") == 0) {
        return cli_run(c, "LIST", at(c, &p, "metadata"), NULL, NULL);
    }
    if (strcmp(verb, "delete") == 0) {
        return versions(c, &p, "delete", "POST");
    }
    if (strcmp(verb, "undelete") == 0) {
        return versions(c, &p, "undelete", "POST");
    }
    return strcmp(verb, "destroy") == 0 ? versions(c, &p, "destroy", "PUT") : cli_usage(usage);
}
