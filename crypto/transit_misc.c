/* hash and random, which need no key; what is refused; and what Vault's clients ask first. */
#include <openssl/evp.h>

#include "op.h"

#include "cipher.h"
#include "lib/base/clock.h"
#include "lib/base/codec.h"

static void put_bytes(struct buf *out, struct str bytes, bool hex)
{
    if (hex) {
        hex_put(out, bytes);
    } else {
        base64_put(out, bytes, BASE64_STD);
    }
}

static void reply_text(struct op *op, struct str key, struct str text)
{
    struct buf data;
    struct jw w;
    buf_init_secret(&data, OP_REPLY_MAX);
    jw_init(&w, &data);
    jw_obj(&w);
    jw_key_str(&w, key, text);
    jw_end(&w);
    op_reply(op, buf_str(&data));
    buf_release(&data);
}

static struct err take_format(struct op *op, const char *fallback, bool *hex)
{
    struct str format = field_str(op->body, "format");
    format = format.n > 0 ? format : str_of(fallback);
    *hex = str_is(format, "hex");
    ENSURE(*hex || str_is(format, "base64"), ERR_INVALID,
           "unsupported encoding format %.*s; must be \"hex\" or \"base64\"", STR_FMT(format));
    return OK;
}

static struct err do_hash(struct op *op, struct str from_path, struct buf *out)
{
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    bool hex;
    struct str input, name = from_path.n > 0 ? from_path : field_str(op->body, "algorithm");
    enum hash_algorithm h = name.n > 0 ? hash_of(name) : HASH_SHA2_256;
    TRY(take_format(op, "hex", &hex));
    ENSURE(h != HASH_MAX && h != HASH_NONE, ERR_INVALID, "unsupported algorithm %.*s",
           STR_FMT(name));
    ENSURE(!failed(base64_decode(&op->arena, field_str(op->body, "input"), BASE64_STD, &input)),
           ERR_INVALID, "unable to decode input as base64");
    ENSURE(EVP_Digest(input.p, input.n, sum, &n, hash_md(h), NULL) == 1, ERR_CRYPTO, "hash failed");
    put_bytes(out, str_n(sum, n), hex);
    return OK;
}

static void hash_with(struct http_req *req, struct crypto *c, struct str name)
{
    struct op *op = op_begin(req, c, "hash", false);
    if (op == NULL) {
        return;
    }
    struct buf text;
    buf_init(&text, 1024);
    struct err e = do_hash(op, name, &text);
    if (failed(e)) {
        op_fail(op, e);
    } else {
        reply_text(op, S("sum"), buf_str(&text));
    }
    buf_release(&text);
}

static void hash_route(struct http_req *req, void *ctx)
{
    hash_with(req, ctx, STR_EMPTY);
}

static void hash_name_route(struct http_req *req, void *ctx)
{
    hash_with(req, ctx, http_param(req, "algorithm"));
}

static struct err do_random(struct op *op, struct str count, struct buf *out)
{
    uint32_t n = 32;
    uint64_t from_path = 0;
    bool hex;
    TRY(field_u32(op->body, "bytes", &n));
    if (count.n > 0) {
        ENSURE(!failed(str_to_u64(count, &from_path)), ERR_INVALID,
               "error parsing url bytes value");
        n = (uint32_t)MIN(from_path, (uint64_t)UINT32_MAX);
    }
    TRY(take_format(op, "base64", &hex));
    ENSURE(n > 0, ERR_INVALID, "\"bytes\" cannot be less than 1");
    ENSURE(n <= CRYPTO_RANDOM_MAX, ERR_INVALID, "\"bytes\" should be less than %d",
           CRYPTO_RANDOM_MAX);
    unsigned char *bytes = arena_alloc_raw(&op->arena, n, 1);
    random_bytes(bytes, n);
    put_bytes(out, str_n(bytes, n), hex);
    wipe(bytes, n);
    return OK;
}

static void random_with(struct http_req *req, struct crypto *c, struct str count)
{
    struct op *op = op_begin(req, c, "random", false);
    if (op == NULL) {
        return;
    }
    struct buf text;
    buf_init_secret(&text, 4 * CRYPTO_RANDOM_MAX);
    struct err e = do_random(op, count, &text);
    if (failed(e)) {
        op_fail(op, e);
    } else {
        reply_text(op, S("random_bytes"), buf_str(&text));
    }
    buf_release(&text);
}

static void random_route(struct http_req *req, void *ctx)
{
    random_with(req, ctx, STR_EMPTY);
}

/* /random/32, or /random/platform, whose sources are all the kernel here */
static void random_count_route(struct http_req *req, void *ctx)
{
    struct str word = http_param(req, "count");
    bool source = str_is(word, "platform") || str_is(word, "seal") || str_is(word, "all");
    random_with(req, ctx, source ? STR_EMPTY : word);
}

static void random_source_route(struct http_req *req, void *ctx)
{
    random_with(req, ctx, http_param(req, "count"));
}

static void refuse_export_route(struct http_req *req, void *ctx)
{
    struct op *op = op_begin(req, ctx, "key.export", false);
    if (op != NULL) {
        op_fail(op, err_make(ERR_INVALID, "private key material is not exportable"));
    }
}

static void health_route(struct http_req *req, void *ctx)
{
    struct crypto *c = ctx;
    bool ready = daemon_ready(c->d);
    struct str body = arena_printf(
        req->arena,
        "{\"initialized\":true,\"sealed\":%s,\"standby\":false,\"server_time_utc\":%lld,"
        "\"version\":\"1.14.8\",\"cluster_name\":\"sextant-crypto\"}",
        ready ? "false" : "true", (long long)clock_wall_s());
    http_reply_json(req, ready ? 200 : 503, body);
}

static void seal_status_route(struct http_req *req, void *ctx)
{
    struct crypto *c = ctx;
    struct str body = arena_printf(
        req->arena,
        "{\"type\":\"file\",\"initialized\":true,\"sealed\":%s,\"t\":1,\"n\":1,\"progress\":0,"
        "\"nonce\":\"\",\"version\":\"1.14.8\",\"build_date\":\"\",\"migration\":false,"
        "\"recovery_seal\":false,\"storage_type\":\"sqlite\"}",
        daemon_ready(c->d) ? "false" : "true");
    http_reply_json(req, 200, body);
}

void transit_add_misc_routes(struct crypto *c)
{
    static const struct {
        const char *pattern;
        http_handler *fn;
    } routes[] = {
        {"/v1/transit/hash", hash_route},
        {"/v1/transit/hash/{algorithm}", hash_name_route},
        {"/v1/transit/random", random_route},
        {"/v1/transit/random/{count}", random_count_route},
        {"/v1/transit/random/{source}/{count}", random_source_route},
    };
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        router_add(&c->routes, "POST", routes[i].pattern, routes[i].fn, c);
        router_add(&c->routes, "PUT", routes[i].pattern, routes[i].fn, c);
    }
    router_add(&c->routes, "GET", "/v1/transit/export/{rest...}", refuse_export_route, c);
    router_add(&c->routes, "GET", "/v1/transit/backup/{rest...}", refuse_export_route, c);
    router_add(&c->routes, "GET", "/v1/sys/health", health_route, c);
    router_add(&c->routes, "GET", "/v1/sys/seal-status", seal_status_route, c);
}
