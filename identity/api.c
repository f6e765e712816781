/* api fetch, validate, watch: the Workload API from a workload's side, as spire-agent's commands. */
#include "cli.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/grpc/grpc.h"
#include "lib/grpc/proto/workload.pb-c.h"
#include "lib/loop/loop.h"
#include "lib/x509/cert.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { API_TIMEOUT_MS = 5000 };

struct session {
    struct cli *cli;
    struct loop *loop;
    struct grpc_client *client;
    struct grpc_stream *stream;
    int code;
    bool keep; /* watch: go on after the first message */
    void (*print)(struct session *s, const ProtobufCMessage *m);
};

static void on_message(void *ctx, const ProtobufCMessage *m)
{
    struct session *s = ctx;
    s->code = 0;
    s->print(s, m);
    fflush(stdout);
    if (!s->keep) {
        loop_stop(s->loop);
    }
}

static void on_end(void *ctx, int status, struct str message)
{
    struct session *s = ctx;
    s->stream = NULL;
    if (status != GRPC_OK) {
        static const char *const names[] = {"OK",
                                            "Canceled",
                                            "Unknown",
                                            "InvalidArgument",
                                            "DeadlineExceeded",
                                            "NotFound",
                                            "AlreadyExists",
                                            "PermissionDenied",
                                            "ResourceExhausted",
                                            "FailedPrecondition",
                                            "Aborted",
                                            "OutOfRange",
                                            "Unimplemented",
                                            "Internal",
                                            "Unavailable",
                                            "DataLoss",
                                            "Unauthenticated"};
        fprintf(stderr, "rpc error: code = %s desc = %.*s\n",
                (size_t)status < ARRAY_LEN(names) ? names[status] : "Unknown", STR_FMT(message));
        s->code = 1;
    }
    loop_stop(s->loop);
}

/* -socketPath, else SPIFFE_ENDPOINT_SOCKET ("unix:///path"), else the usual place. */
static struct str endpoint(struct cli *c)
{
    const char *path = cli_flag(c, "socketPath"), *env = getenv("SPIFFE_ENDPOINT_SOCKET");
    if (path == NULL && env != NULL) {
        struct str e = str_of(env);
        return str_starts(e, S("unix://"))
                   ? arena_printf(&c->arena, "unix:%.*s", STR_FMT(str_sub(e, 7, e.n)))
                   : e;
    }
    if (path != NULL) {
        return arena_printf(&c->arena, "unix:%s", path);
    }
    struct str admin = str_of(c->address); /* beside the admin socket */
    return arena_printf(&c->arena, "%.*sworkload.sock",
                        STR_FMT(str_sub(admin, 0, str_rfind_char(admin, '/') + 1)));
}

static int run(struct session *s, const char *path, const ProtobufCMessage *request,
               const ProtobufCMessageDescriptor *reply)
{
    static const struct http_header metadata = {STR_INIT("workload.spiffe.io"), STR_INIT("true")};
    s->code = 1;
    struct err e = loop_new(&s->loop);
    if (!failed(e)) {
        e = grpc_client_new(s->loop, endpoint(s->cli), NULL, &s->client);
    }
    if (failed(e)) {
        return cli_fail(err_detail());
    }
    struct grpc_out o = {.path = path,
                         .request = request,
                         .reply = reply,
                         .metadata = &metadata,
                         .n_metadata = 1,
                         .timeout_ms = s->keep ? 0 : API_TIMEOUT_MS,
                         .on_message = on_message,
                         .on_end = on_end,
                         .ctx = s};
    s->stream = grpc_client_call(s->client, &o);
    loop_run(s->loop);
    grpc_client_free(s->client);
    loop_free(s->loop);
    return s->code;
}

/* ---- X.509 ---- */

static bool write_file(struct cli *c, const char *dir, const char *name, size_t i,
                       const char *suffix, struct str text, int mode)
{
    char path[4096];
    snprintf(path, sizeof(path), "%s/%s.%zu.%s", dir, name, i, suffix);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    bool good =
        fd >= 0 && fchmod(fd, (mode_t)mode) == 0 && write(fd, text.p, text.n) == (ssize_t)text.n;
    if (fd >= 0) {
        close(fd);
    }
    if (!good) {
        fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
        return false;
    }
    if (!c->json) {
        printf("Writing %s #%zu to file %s.\n", strcmp(suffix, "key") == 0 ? "key" : name, i, path);
    }
    return true;
}

static bool write_svid(struct cli *c, const char *dir, size_t i, const X509SVID *v)
{
    struct x509_chain chain, bundle;
    struct buf pem;
    bool good = !failed(x509_chain_from_der(str_n(v->x509_svid.data, v->x509_svid.len), &chain));
    if (!good) {
        return false;
    }
    buf_init_secret(&pem, 1 << 20);
    x509_chain_pem(&chain, &pem);
    good = write_file(c, dir, "svid", i, "pem", buf_str(&pem), 0644);
    buf_clear(&pem);
    pem_put(&pem, "PRIVATE KEY", str_n(v->x509_svid_key.data, v->x509_svid_key.len));
    good = good && write_file(c, dir, "svid", i, "key", buf_str(&pem), 0600);
    buf_clear(&pem);
    if (good && !failed(x509_chain_from_der(str_n(v->bundle.data, v->bundle.len), &bundle))) {
        x509_chain_pem(&bundle, &pem);
        good = write_file(c, dir, "bundle", i, "pem", buf_str(&pem), 0644);
        x509_chain_release(&bundle);
    }
    x509_chain_release(&chain);
    buf_release(&pem);
    return good;
}

static void print_time(const char *label, int64_t seconds)
{
    struct buf b;
    buf_init(&b, 64);
    clock_put_rfc3339(&b, seconds * NS_PER_S, 0);
    printf("%-24s%.*s\n", label, STR_FMT(buf_str(&b)));
    buf_release(&b);
}

static void print_svid(const X509SVID *v)
{
    struct x509_chain chain;
    if (failed(x509_chain_from_der(str_n(v->x509_svid.data, v->x509_svid.len), &chain))) {
        return;
    }
    printf("%-24s%s\n", "SPIFFE ID:", v->spiffe_id);
    if (v->hint[0] != '\0') {
        printf("%-24s%s\n", "Hint:", v->hint);
    }
    print_time("SVID Valid After:", chain.certs[0]->not_before_s);
    print_time("SVID Valid Until:", chain.certs[0]->not_after_s);
    for (size_t i = 1; i < chain.n; i++) {
        print_time("Intermediate Until:", chain.certs[i]->not_after_s);
    }
    putchar('\n');
    x509_chain_release(&chain);
}

static struct json *b64(struct arena *a, ProtobufCBinaryData d)
{
    return json_new_string(a, base64_encode(a, str_n(d.data, d.len), BASE64_STD));
}

static void print_x509_json(struct cli *c, const X509SVIDResponse *r)
{
    struct arena *a = &c->arena;
    struct json *o = json_new_object(a), *list = json_new_array(a), *crl = json_new_array(a),
                *fed = json_new_object(a);
    for (size_t i = 0; i < r->n_svids; i++) {
        struct json *v = json_new_object(a);
        json_set(a, v, S("spiffe_id"),
                 json_new_string(a, arena_str(a, str_of(r->svids[i]->spiffe_id))));
        json_set(a, v, S("x509_svid"), b64(a, r->svids[i]->x509_svid));
        json_set(a, v, S("x509_svid_key"), b64(a, r->svids[i]->x509_svid_key));
        json_set(a, v, S("bundle"), b64(a, r->svids[i]->bundle));
        json_set(a, v, S("hint"), json_new_string(a, arena_str(a, str_of(r->svids[i]->hint))));
        json_push(a, list, v);
    }
    for (size_t i = 0; i < r->n_crl; i++) {
        json_push(a, crl, b64(a, r->crl[i]));
    }
    for (size_t i = 0; i < r->n_federated_bundles; i++) {
        json_set(a, fed, arena_str(a, str_of(r->federated_bundles[i]->key)),
                 b64(a, r->federated_bundles[i]->value));
    }
    json_set(a, o, S("svids"), list);
    json_set(a, o, S("crl"), crl);
    json_set(a, o, S("federated_bundles"), fed);
    cli_print_json(o);
}

static void print_x509(struct session *s, const ProtobufCMessage *m)
{
    const X509SVIDResponse *r = (const X509SVIDResponse *)(const void *)m;
    const char *dir = cli_flag(s->cli, "write");
    if (s->cli->json) {
        print_x509_json(s->cli, r);
    } else {
        printf("Received %zu svid%s\n\n", r->n_svids, r->n_svids == 1 ? "" : "s");
    }
    for (size_t i = 0; i < r->n_svids; i++) {
        if (!s->cli->json) {
            print_svid(r->svids[i]);
        }
        if (dir != NULL && !write_svid(s->cli, dir, i, r->svids[i])) {
            s->code = 1;
        }
    }
}

static int fetch_x509(struct cli *c, bool watch)
{
    struct session s = {.cli = c, .print = print_x509, .keep = watch};
    X509SVIDRequest r = X509_SVIDREQUEST__INIT;
    return run(&s, "/SpiffeWorkloadAPI/FetchX509SVID", &r.base, &x509_svidresponse__descriptor);
}

/* ---- JWT ---- */

static void print_jwt(struct session *s, const ProtobufCMessage *m)
{
    const JWTSVIDResponse *r = (const JWTSVIDResponse *)(const void *)m;
    struct arena *a = &s->cli->arena;
    struct json *list = json_new_array(a);
    for (size_t i = 0; i < r->n_svids; i++) {
        if (!s->cli->json) {
            printf("token(%s):\n\t%s\n", r->svids[i]->spiffe_id, r->svids[i]->svid);
            continue;
        }
        struct json *v = json_new_object(a);
        json_set(a, v, S("hint"), json_new_string(a, arena_str(a, str_of(r->svids[i]->hint))));
        json_set(a, v, S("spiffe_id"),
                 json_new_string(a, arena_str(a, str_of(r->svids[i]->spiffe_id))));
        json_set(a, v, S("svid"), json_new_string(a, arena_str(a, str_of(r->svids[i]->svid))));
        json_push(a, list, v);
    }
    if (s->cli->json) {
        struct json *all = json_new_array(a), *o = json_new_object(a);
        json_set(a, o, S("svids"), list);
        json_push(a, all, o);
        cli_print_json(all);
    }
}

static int fetch_jwt(struct cli *c)
{
    struct json *audience = cli_list(c, "audience");
    struct session s = {.cli = c, .print = print_jwt};
    JWTSVIDRequest r = JWTSVIDREQUEST__INIT;
    r.audience = arena_array(&c->arena, char *, audience->n);
    for (uint32_t i = 0; i < audience->n; i++) {
        r.audience[r.n_audience++] = arena_cstr(&c->arena, audience->items[i]->text);
    }
    if (cli_flag(c, "spiffeID") != NULL) {
        r.spiffe_id = arena_cstr(&c->arena, str_of(cli_flag(c, "spiffeID")));
    }
    return run(&s, "/SpiffeWorkloadAPI/FetchJWTSVID", &r.base, &jwtsvidresponse__descriptor);
}

static struct json *claim_value(struct arena *a, const Google__Protobuf__Value *v)
{
    struct json *list;
    switch (v->kind_case) {
    case GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE:
        return json_new_string(a, arena_str(a, str_of(v->string_value)));
    case GOOGLE__PROTOBUF__VALUE__KIND_NUMBER_VALUE:
        return json_new_int(a, (int64_t)v->number_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_BOOL_VALUE:
        return json_new_bool(a, v->bool_value);
    case GOOGLE__PROTOBUF__VALUE__KIND_LIST_VALUE:
        list = json_new_array(a);
        for (size_t i = 0; i < v->list_value->n_values; i++) {
            const Google__Protobuf__Value *item = v->list_value->values[i];
            bool text = item->kind_case == GOOGLE__PROTOBUF__VALUE__KIND_STRING_VALUE;
            json_push(
                a, list,
                json_new_string(a, text ? arena_str(a, str_of(item->string_value)) : STR_EMPTY));
        }
        return list;
    default:
        return json_new_null(a);
    }
}

static void print_valid(struct session *s, const ProtobufCMessage *m)
{
    const ValidateJWTSVIDResponse *r = (const ValidateJWTSVIDResponse *)(const void *)m;
    struct arena *a = &s->cli->arena;
    struct json *o = json_new_object(a), *claims = json_new_object(a);
    for (size_t i = 0; r->claims != NULL && i < r->claims->n_fields; i++) {
        json_set(a, claims, arena_str(a, str_of(r->claims->fields[i]->key)),
                 claim_value(a, r->claims->fields[i]->value));
    }
    if (!s->cli->json) {
        printf("SVID is valid.\nSPIFFE ID : %s\nClaims    :\n", r->spiffe_id);
        cli_print_json(claims);
        return;
    }
    json_set(a, o, S("spiffe_id"), json_new_string(a, arena_str(a, str_of(r->spiffe_id))));
    json_set(a, o, S("claims"), claims);
    cli_print_json(o);
}

static int validate_jwt(struct cli *c)
{
    struct session s = {.cli = c, .print = print_valid};
    ValidateJWTSVIDRequest r = VALIDATE_JWTSVIDREQUEST__INIT;
    if (cli_flag(c, "audience") == NULL || cli_flag(c, "svid") == NULL) {
        return cli_fail("-audience and -svid are needed");
    }
    r.audience = arena_cstr(&c->arena, str_of(cli_flag(c, "audience")));
    r.svid = arena_cstr(&c->arena, str_of(cli_flag(c, "svid")));
    return run(&s, "/SpiffeWorkloadAPI/ValidateJWTSVID", &r.base,
               &validate_jwtsvidresponse__descriptor);
}

int cli_api(struct daemon *d, int argc, char **argv)
{
    static const char *const known[] = {"write", "audience", "spiffeID", "svid", "timeout", NULL};
    const char *verb = argc > 1 ? argv[1] : "",
               *what = argc > 2 && argv[2][0] != '-' ? argv[2] : NULL;
    int used = what != NULL ? 3 : 2;
    struct cli c;
    if (!cli_parse(&c, argc - MIN(used, argc), argv + MIN(used, argc), known, NULL)) {
        return CLI_USAGE;
    }
    int code = CLI_USAGE;
    if (strcmp(verb, "fetch") == 0 && (what == NULL || strcmp(what, "x509") == 0)) {
        code = fetch_x509(&c, false);
    } else if (strcmp(verb, "fetch") == 0 && strcmp(what, "jwt") == 0) {
        code = fetch_jwt(&c);
    } else if (strcmp(verb, "validate") == 0 && what != NULL && strcmp(what, "jwt") == 0) {
        code = validate_jwt(&c);
    } else if (strcmp(verb, "watch") == 0) {
        code = fetch_x509(&c, true);
    } else {
        fprintf(
            stderr,
            "usage: api fetch [x509] [-write DIR] | api fetch jwt -audience A [-spiffeID ID] |\n"
            "    api validate jwt -audience A -svid TOKEN | api watch     [-socketPath PATH] "
            "[-output json]\n");
    }
    cli_release(&c);
    return code;
}
