#include "transit.h"

#include "lib/base/codec.h"
#include "lib/json/json.h"

struct question {
    void (*got_keys)(void *ctx, struct err e, const struct transit_keys *keys);
    void (*got_signature)(void *ctx, struct err e, struct str signature, uint64_t version);
    void *ctx;
};

static void ask(struct transit *t, struct str path, struct str body, const struct trace *trace,
                void (*done)(void *ctx, struct err e, const struct http_result *res), void *ctx)
{
    static const struct http_header self = {STR_INIT("x-sextant-caller"), STR_INIT("identity")};
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct http_call call = {
        .method = body.n > 0 ? S("POST") : S("GET"),
        .url = arena_printf(&a, "%s:/v1/transit/%.*s", t->socket, STR_FMT(path)),
        .headers = &self,
        .n_headers = t->name_self,
        .body = body,
        .content_type = body.n > 0 ? S("application/json") : STR_EMPTY,
        .timeout_ms = TRANSIT_TIMEOUT_MS,
        .body_max = TRANSIT_ANSWER_MAX,
        .done = done,
        .ctx = ctx,
    };
    if (trace != NULL) {
        call.trace = *trace;
    }
    http_client_call(t->http, &call);
    arena_release(&a);
}

/* The object `data` of a 200; else what crypto said was wrong. */
static struct err read_answer(struct arena *a, const struct http_result *res,
                              const struct json **data)
{
    struct json *doc;
    TRY(json_parse(a, res->body, NULL, &doc));
    if (res->status != 200) {
        const struct json *errors = json_get(doc, "errors");
        struct str why =
            json_is(errors, JSON_ARRAY) && errors->n > 0 ? json_str(errors->items[0]) : STR_EMPTY;
        FAIL(res->status == 403 ? ERR_DENIED : ERR_UNAVAILABLE, "crypto answered %d: %.*s",
             res->status, STR_FMT(str_sub(why, 0, 200)));
    }
    *data = json_get(doc, "data");
    ENSURE(json_is(*data, JSON_OBJECT), ERR_UNAVAILABLE, "crypto's answer has no data");
    return OK;
}

/* ---- public keys ---- */

static struct err read_keys(struct arena *a, const struct http_result *res,
                            struct transit_keys *out)
{
    const struct json *data;
    TRY(read_answer(a, res, &data));
    const struct json *keys = json_get(data, "keys");
    ENSURE(json_is(keys, JSON_OBJECT), ERR_UNAVAILABLE, "crypto's answer has no keys");
    for (uint32_t i = 0; i < keys->n && out->n < TRANSIT_VERSIONS_MAX; i++) {
        struct str pem = json_str(json_get(keys->members[i].value, "public_key"));
        TRY(str_to_u64(keys->members[i].key, &out->versions[out->n]));
        TRY(key_from_pem(pem, &out->keys[out->n]));
        out->latest = MAX(out->latest, out->versions[out->n]);
        out->n++;
    }
    ENSURE(out->n > 0, ERR_UNAVAILABLE, "crypto's answer has no keys");
    return OK;
}

static void on_keys(void *ctx, struct err e, const struct http_result *res)
{
    struct question *q = ctx;
    struct transit_keys keys = {.n = 0};
    struct arena a;
    arena_init(&a, 8 * TRANSIT_ANSWER_MAX);
    if (!failed(e)) {
        e = read_keys(&a, res, &keys);
    }
    q->got_keys(q->ctx, e, failed(e) ? NULL : &keys);
    for (size_t i = 0; i < keys.n; i++) {
        key_unref(keys.keys[i]);
    }
    arena_release(&a);
    free(q);
}

void transit_keys(struct transit *t, const char *name,
                  void (*done)(void *ctx, struct err e, const struct transit_keys *keys), void *ctx)
{
    struct question *q = calloc(1, sizeof(*q));
    BUG_ON(q == NULL);
    *q = (struct question){.got_keys = done, .ctx = ctx};
    char path[128];
    snprintf(path, sizeof(path), "keys/%s", name);
    ask(t, str_of(path), STR_EMPTY, NULL, on_keys, q);
}

/* ---- signatures ---- */

/* "vault:v3:BASE64" */
static struct err read_signature(struct arena *a, const struct http_result *res, struct str *der,
                                 uint64_t *version)
{
    const struct json *data;
    TRY(read_answer(a, res, &data));
    struct str rest = json_str(json_get(data, "signature"));
    struct str vault = str_split(&rest, ':'), v = str_split(&rest, ':');
    ENSURE(str_is(vault, "vault") && str_starts(v, S("v")) && rest.p != NULL, ERR_UNAVAILABLE,
           "crypto's signature is not of the form vault:v1:...");
    TRY(str_to_u64(str_sub(v, 1, v.n), version));
    return base64_decode(a, rest, BASE64_STD, der);
}

static void on_signature(void *ctx, struct err e, const struct http_result *res)
{
    struct question *q = ctx;
    struct str der = STR_EMPTY;
    uint64_t version = 0;
    struct arena a;
    arena_init(&a, 8 * TRANSIT_ANSWER_MAX);
    if (!failed(e)) {
        e = read_signature(&a, res, &der, &version);
    }
    q->got_signature(q->ctx, e, der, version);
    arena_release(&a);
    free(q);
}

void transit_sign(struct transit *t, const char *name, uint64_t version, const uint8_t sha256[32],
                  const struct trace *trace,
                  void (*done)(void *ctx, struct err e, struct str signature, uint64_t version),
                  void *ctx)
{
    struct question *q = calloc(1, sizeof(*q));
    BUG_ON(q == NULL);
    *q = (struct question){.got_signature = done, .ctx = ctx};
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct str input = base64_encode(&a, str_n(sha256, 32), BASE64_STD);
    struct str of_version =
        version > 0 ? arena_printf(&a, ",\"key_version\":%llu", (unsigned long long)version)
                    : STR_EMPTY;
    struct str body = arena_printf(
        &a, "{\"input\":\"%.*s\",\"prehashed\":true,\"marshaling_algorithm\":\"asn1\"%.*s}",
        STR_FMT(input), STR_FMT(of_version));
    ask(t, arena_printf(&a, "sign/%s/sha2-256", name), body, trace, on_signature, q);
    arena_release(&a);
}
