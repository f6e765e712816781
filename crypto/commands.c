/* What an operator types: init, and key, which asks the running daemon over its socket. */
#include <openssl/crypto.h>

#include "crypto.h"

#include "key.h"
#include "keyring.h"
#include "lib/http/client.h"
#include "lib/json/json.h"
#include "registry.h"
#include "seal.h"
#include "wire.h"

#include <stdio.h>
#include <sys/stat.h>

enum { EXIT_USAGE = 2 };

/* ---- init ---- */

/* The keys of every trust domain; each belongs to one daemon, and only that daemon may use it. */
static const struct {
    const char *name, *type, *owner, *ops;
} first_keys[] = {
    {"trust-root", "ecdsa-p256", "identity", "sign,verify,read"},
    {"identity-jwt", "ecdsa-p256", "identity", "sign,verify,read"},
    {"authn-rs256", "rsa-2048", "authn", "sign,verify,read"},
    {"authn-es256", "ecdsa-p256", "authn", "sign,verify,read"},
    {"secrets-unseal", "aes256-gcm96", "secrets", "encrypt,decrypt,rewrap,datakey,read"},
    {"audit-checkpoint", "ed25519", "audit", "sign,verify,read"},
};

static void note_result(void *ctx, struct err e)
{
    *(struct err *)ctx = e;
}

static void put_create(struct daemon *d, size_t i, struct buf *m)
{
    uint32_t ops = 0;
    ignore_err(grant_ops_parse(str_of(first_keys[i].ops), &ops));
    wire_put_u8(m, WIRE_CREATE);
    wire_put_str(m, crypto_operator(&d->boot, d->trust_domain));
    wire_put_str(m, str_of(first_keys[i].name));
    wire_put_u8(m, key_type_of(str_of(first_keys[i].type)));
    wire_put_u8(m, 0);
    wire_put_u32(m, 0);
    buf_put_be(m, 0, 8);
    wire_put_u32(m, 1);
    wire_put_str(m, arena_printf(&d->boot, "spiffe://%.*s/sextant/%s", STR_FMT(d->trust_domain),
                                 first_keys[i].owner));
    wire_put_u32(m, ops);
}

static struct err store_answer(struct registry *r, struct str name, struct str reply)
{
    struct wire_reader in = wire_read(reply);
    struct err result = OK;
    unsigned code = wire_u8(&in);
    if (code != ERR_OK) {
        struct str text = wire_str(&in);
        FAIL(code < ERR_MAX ? (enum err_code)code : ERR_INTERNAL, "%.*s: %.*s", STR_FMT(name),
             STR_FMT(text));
    }
    struct registry_change c = {.name = name, .is_new = true};
    c.meta = wire_str(&in);
    c.version = wire_u32(&in);
    c.material = wire_str(&in);
    ENSURE(wire_end(&in), ERR_INTERNAL, "malformed answer");
    registry_apply(r, &c, note_result, &result);
    return result;
}

static struct err make_key(struct daemon *d, struct keyring *kr, struct registry *r, size_t i)
{
    struct buf request, reply;
    struct str name = str_of(first_keys[i].name);
    bool there;
    TRY(registry_has(r, name, &there));
    if (there) {
        return OK;
    }
    buf_init(&request, 64 * 1024);
    buf_init_secret(&reply, 64 * 1024);
    put_create(d, i, &request);
    keyring_handle(kr, buf_str(&request), &reply);
    struct err e = store_answer(r, name, buf_str(&reply));
    buf_release(&request);
    buf_release(&reply);
    if (!failed(e)) {
        printf("key %-18s %-13s for %s: %s\n", first_keys[i].name, first_keys[i].type,
               first_keys[i].owner, first_keys[i].ops);
    }
    return e;
}

static struct err make_keys(struct daemon *d, struct keyring *kr)
{
    struct registry *r;
    TRY(registry_open(daemon_state_path(d, CRYPTO_DB_FOLDER "/crypto.db"), NULL, &r));
    struct err e = OK;
    for (size_t i = 0; i < ARRAY_LEN(first_keys) && !failed(e); i++) {
        e = make_key(d, kr, r, i);
    }
    registry_close(r);
    return e;
}

static struct err seal_key(struct daemon *d, struct secret *out)
{
    const char *path = daemon_state_path(d, CRYPTO_SEAL_FILE);
    struct err e = seal_key_create(path, out);
    if (e.code == ERR_EXISTS) {
        return seal_key_read(path, out);
    }
    if (!failed(e)) {
        printf("seal key %s\n", path);
    }
    return e;
}

static struct err init(struct daemon *d)
{
    struct secret seal = SECRET_EMPTY;
    struct str operator= crypto_operator(&d->boot, d->trust_domain);
    TRY(daemon_become(d));
    mkdir(daemon_state_path(d, CRYPTO_DB_FOLDER), 0700);
    mkdir(daemon_state_path(d, CRYPTO_SEAL_FOLDER), 0700);
    TRY(seal_key(d, &seal));
    struct keyring *kr = keyring_new(&seal, &operator, 1);
    struct err e = make_keys(d, kr);
    keyring_free(kr);
    return e;
}

int crypto_init_command(struct daemon *d, int argc, char **argv)
{
    if (argc != 1) {
        fprintf(stderr, "usage: sextant-crypto --config FILE init\n");
        return EXIT_USAGE;
    }
    if (failed(init(d))) {
        fprintf(stderr, "sextant-crypto: init: %s\n", err_detail());
        return 1;
    }
    return 0;
}

/* ---- key ---- */

static int ask(struct daemon *d, const char *method, struct str path, struct str body)
{
    struct http_header as[] = {{S("x-sextant-caller"), S("operator")}};
    struct http_client_opts o = {.timeout_ms = 20000};
    struct http_result res;
    struct http_call call = {
        .method = str_of(method),
        .url = arena_printf(&d->boot, "%.*s:/v1/transit/%.*s",
                            STR_FMT(daemon_socket(d, "crypto", "crypto.sock")), STR_FMT(path)),
        .headers = as,
        .n_headers = 1,
        .body = body,
        .content_type = body.n > 0 ? S("application/json") : STR_EMPTY,
    };
    if (failed(http_call_blocking(&d->boot, &o, &call, &res))) {
        fprintf(stderr, "sextant-crypto: %s\n", err_detail());
        return 1;
    }
    FILE *to = res.status < 300 ? stdout : stderr;
    fprintf(to, "%.*s%s", STR_FMT(res.body), res.body.n > 0 ? "\n" : "");
    return res.status < 300 ? 0 : 1;
}

static struct str to_text(struct arena *a, const struct json *v)
{
    struct buf out;
    buf_init(&out, 64 * 1024);
    json_write(&out, v);
    struct str text = arena_str(a, buf_str(&out));
    buf_release(&out);
    return text;
}

static int create(struct daemon *d, int argc, char **argv)
{
    struct json *body = json_new_object(&d->boot), *grants = json_new_object(&d->boot);
    int i = 1;
    if (i < argc && strchr(argv[i], '=') == NULL) {
        json_set(&d->boot, body, S("type"), json_new_string(&d->boot, str_of(argv[i++])));
    }
    for (; i < argc; i++) {
        struct str rest = str_of(argv[i]), id = str_split(&rest, '=');
        json_set(&d->boot, grants, id, json_new_string(&d->boot, rest));
    }
    json_set(&d->boot, body, S("grants"), grants);
    return ask(d, "POST", arena_printf(&d->boot, "keys/%s", argv[0]), to_text(&d->boot, body));
}

static int grant(struct daemon *d, char **argv)
{
    struct json *body = json_new_object(&d->boot);
    json_set(&d->boot, body, S("id"), json_new_string(&d->boot, str_of(argv[1])));
    json_set(&d->boot, body, S("operations"), json_new_string(&d->boot, str_of(argv[2])));
    return ask(d, "POST", arena_printf(&d->boot, "keys/%s/grants", argv[0]),
               to_text(&d->boot, body));
}

int crypto_key_command(struct daemon *d, int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "list") == 0 && argc == 2) {
        return ask(d, "LIST", S("keys"), STR_EMPTY);
    }
    if (strcmp(verb, "read") == 0 && argc == 3) {
        return ask(d, "GET", arena_printf(&d->boot, "keys/%s", argv[2]), STR_EMPTY);
    }
    if (strcmp(verb, "rotate") == 0 && argc == 3) {
        return ask(d, "POST", arena_printf(&d->boot, "keys/%s/rotate", argv[2]), STR_EMPTY);
    }
    if (strcmp(verb, "create") == 0 && argc >= 3) {
        return create(d, argc - 2, argv + 2);
    }
    if (strcmp(verb, "grant") == 0 && argc == 5) {
        return grant(d, argv + 2);
    }
    fprintf(stderr, "usage: sextant-crypto key list | read NAME | create NAME [TYPE] [ID=OPS...] | "
                    "grant NAME ID OPS | rotate NAME\n");
    return EXIT_USAGE;
}
