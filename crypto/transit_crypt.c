/* encrypt, decrypt, rewrap, datakey, sign, verify, hmac: one item or a batch. */
#include "op.h"

#include "channel.h"
#include "cipher.h"
#include "lib/base/codec.h"

/* ---- items from JSON ---- */

/* "vault:v3:BASE64": the version and the bytes. `thing` is "ciphertext" or "signature". */
static struct err split_versioned(struct arena *a, struct str text, const char *thing, bool url,
                                  uint32_t *version, struct str *bytes)
{
    uint64_t n = 0;
    ENSURE(str_starts(text, S("vault:v")), ERR_INVALID, "invalid %s: no prefix", thing);
    struct str rest = str_sub(text, 7, text.n);
    size_t colon = str_find_char(rest, ':');
    ENSURE(colon != STR_NPOS, ERR_INVALID, "invalid %s: wrong number of fields", thing);
    ENSURE(!failed(str_to_u64(str_sub(rest, 0, colon), &n)) && n <= UINT32_MAX, ERR_INVALID,
           "invalid %s: version number could not be decoded", thing);
    struct str body = str_sub(rest, colon + 1, rest.n);
    ENSURE(!failed(base64_decode(a, body, url ? BASE64_URL : BASE64_STD, bytes)), ERR_INVALID,
           strcmp(thing, "ciphertext") == 0 ? "invalid ciphertext: could not decode base64"
                                            : "invalid base64 signature value");
    *version = (uint32_t)n;
    return OK;
}

static struct err take_context(struct op *op, const struct json *o, struct crypt_item *item)
{
    item->has_context = field_str(o, "context").n > 0;
    TRY(field_base64(&op->arena, o, "context", &item->context));
    return field_base64(&op->arena, o, "associated_data", &item->aad);
}

static struct err take_plaintext(struct op *op, const struct json *o, struct crypt_item *item)
{
    ENSURE(field_has(o, "plaintext"), ERR_INVALID, "missing plaintext to encrypt");
    TRY(field_u32(o, "key_version", &item->version));
    TRY(take_context(op, o, item));
    return field_base64(&op->arena, o, "plaintext", &item->input);
}

static struct err take_ciphertext(struct op *op, const struct json *o, struct crypt_item *item)
{
    struct str text = field_str(o, "ciphertext");
    ENSURE(text.n > 0, ERR_INVALID, "missing ciphertext to decrypt");
    TRY(take_context(op, o, item));
    if (op->params.what == CRYPT_REWRAP) {
        TRY(field_u32(o, "key_version", &item->to_version));
    }
    return split_versioned(&op->arena, text, "ciphertext", false, &item->version, &item->input);
}

/* Where the first byte stands that base64 does not know. */
static size_t first_illegal(struct str text)
{
    size_t i = 0;
    for (; i < text.n; i++) {
        char c = text.p[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!word && c != '+' && c != '/' && c != '=') {
            break;
        }
    }
    return i;
}

static struct err take_input(struct op *op, const struct json *o, struct crypt_item *item)
{
    struct str text = field_str(o, "input");
    ENSURE(field_has(o, "input"), ERR_INVALID,
           op->params.what == CRYPT_HMAC ? "missing input for HMAC" : "missing input");
    TRY(field_u32(o, "key_version", &item->version));
    TRY(take_context(op, o, item));
    ENSURE(!failed(base64_decode(&op->arena, text, BASE64_STD, &item->input)), ERR_INVALID,
           "unable to decode input as base64: illegal base64 data at input byte %zu",
           first_illegal(text));
    return OK;
}

static struct err take_signature(struct op *op, const struct json *o, struct crypt_item *item)
{
    struct str sig = field_str(o, "signature"), mac = field_str(o, "hmac");
    ENSURE(sig.n == 0 || mac.n == 0, ERR_INVALID, "provide one of 'signature' or 'hmac'");
    ENSURE(sig.n > 0 || mac.n > 0, ERR_INVALID, "neither a 'signature' nor an 'hmac' were given");
    ENSURE((mac.n > 0) == (op->params.what == CRYPT_HMAC_VERIFY), ERR_INVALID,
           "elements of batch_input must all provide either 'signature' or 'hmac'");
    TRY(take_input(op, o, item));
    bool url = mac.n == 0 && (op->params.flags & CRYPT_JWS) != 0;
    return split_versioned(&op->arena, mac.n > 0 ? mac : sig, "signature", url, &item->version,
                           &item->signature);
}

static struct err take_item(struct op *op, const struct json *o, struct crypt_item *item)
{
    switch (op->params.what) {
    case CRYPT_ENCRYPT:
        return take_plaintext(op, o, item);
    case CRYPT_DECRYPT:
    case CRYPT_REWRAP:
        return take_ciphertext(op, o, item);
    case CRYPT_DATAKEY:
    case CRYPT_DATAKEY_ONLY:
        TRY(field_u32(o, "key_version", &item->version));
        return take_context(op, o, item);
    case CRYPT_VERIFY:
    case CRYPT_HMAC_VERIFY:
        return take_signature(op, o, item);
    default:
        return take_input(op, o, item);
    }
}

/* ---- results to JSON ---- */

static void put_versioned(struct op *op, struct jw *w, uint32_t version, struct str bytes, bool url)
{
    struct buf text;
    buf_init_secret(&text, OP_REPLY_MAX);
    buf_printf(&text, "\"vault:v%u:", version);
    base64_put(&text, bytes, url ? BASE64_URL : BASE64_STD);
    buf_putc(&text, '"');
    jw_raw(w, buf_str(&text));
    buf_release(&text);
}

static void put_base64(struct jw *w, struct str key, struct str bytes)
{
    struct buf text;
    buf_init_secret(&text, OP_REPLY_MAX);
    base64_put(&text, bytes, BASE64_STD);
    jw_key_str(w, key, buf_str(&text));
    buf_release(&text);
}

static void put_fields(struct op *op, struct jw *w, uint32_t version, struct str data,
                       struct str extra)
{
    switch (op->params.what) {
    case CRYPT_DECRYPT:
        put_base64(w, S("plaintext"), data);
        return;
    case CRYPT_VERIFY:
    case CRYPT_HMAC_VERIFY:
        jw_key_bool(w, S("valid"), data.n == 1 && data.p[0] == 1);
        return;
    case CRYPT_SIGN:
        jw_key(w, S("signature"));
        put_versioned(op, w, version, data, (op->params.flags & CRYPT_JWS) != 0);
        if (extra.n > 0) {
            jw_key_str(w, S("public_key"), extra);
        }
        break;
    case CRYPT_HMAC:
        jw_key(w, S("hmac"));
        put_versioned(op, w, version, data, false);
        return;
    default:
        jw_key(w, S("ciphertext"));
        put_versioned(op, w, version, data, false);
        if (op->params.what == CRYPT_DATAKEY) {
            put_base64(w, S("plaintext"), extra);
        }
        break;
    }
    jw_key_int(w, S("key_version"), version);
}

struct tally {
    uint32_t good, user, internal;
};

static void put_error(struct jw *w, struct tally *t, unsigned code, struct str text)
{
    if (code == ERR_INVALID || code == ERR_LIMIT) {
        t->user++;
    } else {
        t->internal++;
    }
    jw_key_str(w, S("error"), text);
}

/* One object a batch item, those that were never sent in their places. */
static void put_batch(struct op *op, struct jw *w, struct wire_reader *reply, struct tally *t)
{
    jw_obj(w);
    jw_key(w, S("batch_results"));
    jw_arr(w);
    for (uint32_t i = 0; i < op->count; i++) {
        jw_obj(w);
        if (op->errors[i].p != NULL) {
            put_error(w, t, ERR_INVALID, op->errors[i]);
        } else {
            unsigned code = wire_u8(reply);
            uint32_t version = wire_u32(reply);
            struct str data = wire_str(reply), extra = wire_str(reply);
            if (code != ERR_OK) {
                put_error(w, t, code, data);
            } else {
                t->good++;
                put_fields(op, w, version, data, extra);
            }
        }
        if (op->references[i].n > 0) {
            jw_key_str(w, S("reference"), op->references[i]);
        }
        jw_end(w);
    }
    jw_end(w);
    jw_end(w);
}

static void reply_batch(struct op *op, struct wire_reader *reply)
{
    struct buf data;
    struct jw w;
    struct tally t = {0};
    buf_init_secret(&data, OP_REPLY_MAX);
    jw_init(&w, &data);
    put_batch(op, &w, reply, &t);
    int status = t.user > 0 ? 400 : t.internal > 0 ? 500 : 200;
    if (status != 200 && t.good > 0 && op->partial_status != 0) {
        status = op->partial_status;
    }
    if (!wire_end(reply) || !buf_ok(&data)) {
        op_fail(op, err_make(ERR_INTERNAL, "the key process answered nonsense"));
    } else {
        op_reply_status(op, status, buf_str(&data), t.user + t.internal > 0 ? "failed" : "allowed");
    }
    buf_release(&data);
}

static void reply_single(struct op *op, struct wire_reader *reply)
{
    unsigned code = wire_u8(reply);
    uint32_t version = wire_u32(reply);
    struct str bytes = wire_str(reply), extra = wire_str(reply);
    if (!wire_end(reply) || code >= ERR_MAX) {
        op_fail(op, err_make(ERR_INTERNAL, "the key process answered nonsense"));
        return;
    }
    if (code != ERR_OK) {
        op_fail(op, err_make((enum err_code)code, "%.*s", STR_FMT(bytes)));
        return;
    }
    struct buf data;
    struct jw w;
    buf_init_secret(&data, OP_REPLY_MAX);
    jw_init(&w, &data);
    jw_obj(&w);
    put_fields(op, &w, version, bytes, extra);
    jw_end(&w);
    op_reply(op, buf_str(&data));
    buf_release(&data);
}

static void answered(void *ctx, struct err e, struct wire_reader *reply)
{
    struct op *op = ctx;
    if (failed(e)) {
        op_fail(op, e);
        return;
    }
    wire_u32(reply); /* how many results: as many as were sent */
    if (op->batch) {
        reply_batch(op, reply);
    } else {
        reply_single(op, reply);
    }
}

/* ---- requests ---- */

/* "context should be set either in all the request blocks or in none" */
static struct err check_contexts(const struct json *batch)
{
    uint32_t with = 0;
    for (uint32_t i = 0; i < batch->n; i++) {
        with += field_str(batch->items[i], "context").n > 0;
    }
    ENSURE(with == 0 || with == batch->n, ERR_INVALID,
           "context should be set either in all the request blocks or in none");
    return OK;
}

static struct err take_batch(struct op *op, const struct json *batch)
{
    ENSURE(json_is(batch, JSON_ARRAY) && batch->n > 0, ERR_INVALID,
           "missing batch input to process");
    ENSURE(batch->n <= WIRE_ITEMS_MAX, ERR_INVALID, "at most %d items in a batch", WIRE_ITEMS_MAX);
    TRY(check_contexts(batch));
    uint32_t partial = 0;
    TRY(field_u32(op->body, "partial_failure_response_code", &partial));
    ENSURE(partial == 0 || (partial >= 200 && partial < 600), ERR_INVALID,
           "invalid partial_failure_response_code");
    op->partial_status = (int)partial;
    op->batch = true;
    op->count = batch->n;
    op->items = arena_array(&op->arena, struct crypt_item, batch->n);
    op->errors = arena_array(&op->arena, struct str, batch->n);
    op->references = arena_array(&op->arena, struct str, batch->n);
    for (uint32_t i = 0; i < batch->n; i++) {
        op->references[i] = field_str(batch->items[i], "reference");
        if (failed(take_item(op, batch->items[i], &op->items[i]))) {
            op->errors[i] = arena_str(&op->arena, str_of(err_detail()));
        }
    }
    return OK;
}

static struct err take_items(struct op *op)
{
    const struct json *batch = json_get(op->body, "batch_input");
    if (batch != NULL) {
        return take_batch(op, batch);
    }
    op->items = arena_new(&op->arena, struct crypt_item);
    return take_item(op, op->body, op->items);
}

static struct err send_items(struct op *op)
{
    struct buf *m = channel_begin(op->c->channel, WIRE_CRYPT, op->caller.spiffe_id, op->name);
    uint32_t n = 0;
    for (uint32_t i = 0; i < op->count; i++) {
        n += op->errors == NULL || op->errors[i].p == NULL;
    }
    wire_put_params(m, &op->params);
    wire_put_u32(m, n);
    for (uint32_t i = 0; i < op->count; i++) {
        if (op->errors == NULL || op->errors[i].p == NULL) {
            wire_put_item(m, &op->items[i]);
        }
    }
    return channel_send(op->c->channel, answered, op);
}

static void run(struct op *op)
{
    struct err e = take_items(op);
    if (!failed(e) && arena_exhausted(&op->arena)) {
        e = err_make(ERR_LIMIT, "the request is too large");
    }
    if (!failed(e)) {
        e = send_items(op);
    }
    if (failed(e)) {
        op_fail(op, e);
    }
}

static void crypt_route(struct http_req *req, struct crypto *c, enum crypt_what what,
                        const char *activity)
{
    struct op *op = op_begin(req, c, activity, true);
    if (op != NULL) {
        op->params =
            (struct crypt_params){.what = what, .hash = HASH_SHA2_256, .salt_length = SALT_AUTO};
        run(op);
    }
}

static void encrypt_route(struct http_req *req, void *ctx)
{
    crypt_route(req, ctx, CRYPT_ENCRYPT, "encrypt");
}

static void decrypt_route(struct http_req *req, void *ctx)
{
    crypt_route(req, ctx, CRYPT_DECRYPT, "decrypt");
}

static void rewrap_route(struct http_req *req, void *ctx)
{
    crypt_route(req, ctx, CRYPT_REWRAP, "rewrap");
}

static void datakey_route(struct http_req *req, void *ctx)
{
    struct str kind = http_param(req, "kind");
    struct op *op = op_begin(req, ctx, "datakey", true);
    if (op == NULL) {
        return;
    }
    bool plain = str_is(kind, "plaintext");
    uint32_t bits = 256;
    op->params = (struct crypt_params){.what = plain ? CRYPT_DATAKEY : CRYPT_DATAKEY_ONLY,
                                       .salt_length = SALT_AUTO};
    struct err e = plain || str_is(kind, "wrapped")
                       ? field_u32(op->body, "bits", &bits)
                       : err_make(ERR_INVALID, "Invalid path, must be 'plaintext' or 'wrapped'");
    if (failed(e)) {
        op_fail(op, e);
        return;
    }
    op->params.bits = bits;
    run(op);
}

static struct err take_hash(struct op *op, struct str from_path)
{
    struct str name = from_path.n > 0 ? from_path
                      : field_str(op->body, "hash_algorithm").n > 0
                          ? field_str(op->body, "hash_algorithm")
                          : field_str(op->body, "algorithm");
    op->params.hash = name.n > 0 ? hash_of(name) : HASH_SHA2_256;
    ENSURE(op->params.hash != HASH_MAX, ERR_INVALID, "invalid hash algorithm \"%.*s\"",
           STR_FMT(name));
    return OK;
}

static struct err take_salt(struct op *op)
{
    struct str salt = field_str(op->body, "salt_length");
    uint32_t n = 0;
    if (str_is(salt, "auto") || !field_has(op->body, "salt_length")) {
        op->params.salt_length = SALT_AUTO;
        return OK;
    }
    if (str_is(salt, "hash")) {
        op->params.salt_length = SALT_HASH;
        return OK;
    }
    ENSURE(!failed(field_u32(op->body, "salt_length", &n)) && n <= 512, ERR_INVALID,
           "salt length must be 'auto', 'hash' or a number of bytes");
    op->params.salt_length = (int)n;
    return OK;
}

static struct err take_sign_params(struct op *op, struct str hash)
{
    bool prehashed = false;
    struct str scheme = field_str(op->body, "signature_algorithm");
    struct str form = field_str(op->body, "marshaling_algorithm");
    TRY(take_hash(op, hash));
    TRY(take_salt(op));
    TRY(field_bool(op->body, "prehashed", &prehashed));
    ENSURE(scheme.n == 0 || str_is(scheme, "pss") || str_is(scheme, "pkcs1v15"), ERR_INVALID,
           "invalid signature algorithm \"%.*s\"", STR_FMT(scheme));
    ENSURE(form.n == 0 || str_is(form, "asn1") || str_is(form, "jws"), ERR_INVALID,
           "requested marshaling version is invalid");
    op->params.flags = (prehashed ? CRYPT_PREHASHED : 0u) |
                       (str_is(scheme, "pkcs1v15") ? CRYPT_PKCS1V15 : 0u) |
                       (str_is(form, "jws") ? CRYPT_JWS : 0u);
    return OK;
}

/* Whether a batch carries HMACs or signatures shows in its first item. */
static bool verifies_hmac(const struct json *body)
{
    const struct json *batch = json_get(body, "batch_input");
    const struct json *first = json_is(batch, JSON_ARRAY) && batch->n > 0 ? batch->items[0] : body;
    return field_str(first, "hmac").n > 0;
}

static void sign_with(struct http_req *req, struct crypto *c, struct str hash, enum crypt_what what,
                      const char *activity)
{
    struct op *op = op_begin(req, c, activity, true);
    if (op == NULL) {
        return;
    }
    op->params.what = what == CRYPT_VERIFY && verifies_hmac(op->body) ? CRYPT_HMAC_VERIFY : what;
    struct err e = take_sign_params(op, hash);
    if (failed(e)) {
        op_fail(op, e);
        return;
    }
    struct str audit_id =
        arena_printf(&op->arena, "spiffe://%.*s/sextant/audit", STR_FMT(c->d->trust_domain));
    op->silent = what == CRYPT_SIGN && str_eq(op->name, c->config->exempt_key) &&
                 str_eq(op->caller.spiffe_id, audit_id);
    run(op);
}

static void sign_route(struct http_req *req, void *ctx)
{
    sign_with(req, ctx, STR_EMPTY, CRYPT_SIGN, "sign");
}

static void sign_hash_route(struct http_req *req, void *ctx)
{
    sign_with(req, ctx, http_param(req, "hash"), CRYPT_SIGN, "sign");
}

static void verify_route(struct http_req *req, void *ctx)
{
    sign_with(req, ctx, STR_EMPTY, CRYPT_VERIFY, "verify");
}

static void verify_hash_route(struct http_req *req, void *ctx)
{
    sign_with(req, ctx, http_param(req, "hash"), CRYPT_VERIFY, "verify");
}

static void hmac_route(struct http_req *req, void *ctx)
{
    sign_with(req, ctx, STR_EMPTY, CRYPT_HMAC, "hmac");
}

static void hmac_hash_route(struct http_req *req, void *ctx)
{
    sign_with(req, ctx, http_param(req, "hash"), CRYPT_HMAC, "hmac");
}

void transit_add_crypt_routes(struct crypto *c)
{
    static const struct {
        const char *pattern;
        http_handler *fn;
    } routes[] = {
        {"/v1/transit/encrypt/{name}", encrypt_route},
        {"/v1/transit/decrypt/{name}", decrypt_route},
        {"/v1/transit/rewrap/{name}", rewrap_route},
        {"/v1/transit/datakey/{kind}/{name}", datakey_route},
        {"/v1/transit/sign/{name}", sign_route},
        {"/v1/transit/sign/{name}/{hash}", sign_hash_route},
        {"/v1/transit/verify/{name}", verify_route},
        {"/v1/transit/verify/{name}/{hash}", verify_hash_route},
        {"/v1/transit/hmac/{name}", hmac_route},
        {"/v1/transit/hmac/{name}/{hash}", hmac_hash_route},
    };
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        router_add(&c->routes, "POST", routes[i].pattern, routes[i].fn, c);
        router_add(&c->routes, "PUT", routes[i].pattern, routes[i].fn, c);
    }
}
