/* The rest of sys/: sealing, keys, audit, tools, counters. */
#include "field.h"
#include "seal.h"
#include "sys_priv.h"

#include <inttypes.h>

enum { RANDOM_BYTES_MAX = 128 * 1024 };

struct err sys_seal(struct request *r)
{
    seal_by_operator(r->core->seal);
    return reply_empty(r);
}

struct err sys_rotate(struct request *r)
{
    return seal_rotate_barrier(r->core->seal);
}

struct err sys_key_status(struct request *r)
{
    const struct barrier *b = storage_barrier(r->core->st);
    struct json *data = json_new_object(r->arena);
    json_set_int(r->arena, data, "encryptions", (int64_t)barrier_encryptions(b));
    json_put(r->arena, data, "install_time", json_time(r->arena, barrier_installed_ns(b)));
    json_set_int(r->arena, data, "term", barrier_term(b));
    return reply_top(r, data);
}

/* There is one device, the audit daemon; it can be neither added nor taken away here. */
struct err sys_audit_list(struct request *r)
{
    struct arena *a = r->arena;
    struct json *data = json_new_object(a);
    if (r->core->audit != NULL) {
        struct json *o = json_set_obj(a, data, "sextant/");
        json_set_str(a, o, "path", S("sextant/"));
        json_set_str(a, o, "type", S("sextant-audit"));
        json_set_str(a, o, "description", S("OCSF events to the audit daemon"));
        json_set_obj(a, o, "options");
        json_set_bool(a, o, "local", false);
    }
    return reply_top(r, data);
}

struct err sys_audit_hash(struct request *r)
{
    struct str input = STR_EMPTY, path = request_param(r, "path");
    TRY(field_str(r->data, "input", &input));
    ENSURE(str_is(path, "sextant"), ERR_INVALID, "unknown audit backend: %.*s/", STR_FMT(path));
    ENSURE(input.n > 0, ERR_INVALID, "the \"input\" parameter is empty");
    struct json *data = json_new_object(r->arena);
    json_set_str(r->arena, data, "hash", core_hmac(r->core, r->arena, input));
    return reply_top(r, data);
}

struct err sys_random(struct request *r)
{
    int64_t n = 32;
    struct str format = S("base64");
    TRY(field_int(r->data, "bytes", &n));
    if (r->n_params > 0) {
        uint64_t given;
        ENSURE(!failed(str_to_u64(request_param(r, "bytes"), &given)), ERR_INVALID,
               "error parsing url-set byte count");
        n = (int64_t)MIN(given, (uint64_t)RANDOM_BYTES_MAX + 1);
    }
    TRY(field_str(r->data, "format", &format));
    ENSURE(n > 0, ERR_INVALID, "\"bytes\" cannot be less than 1");
    ENSURE(n <= RANDOM_BYTES_MAX, ERR_INVALID, "\"bytes\" should be less than %d",
           RANDOM_BYTES_MAX);
    bool hex = str_is(format, "hex");
    ENSURE(hex || str_is(format, "base64"), ERR_INVALID,
           "unsupported encoding format \"%.*s\"; must be \"hex\" or \"base64\"", STR_FMT(format));
    char *bytes = arena_alloc(r->arena, (size_t)n);
    random_bytes(bytes, (size_t)n);
    struct str raw = str_n(bytes, (size_t)n);
    struct json *data = json_new_object(r->arena);
    json_set_str(r->arena, data, "random_bytes",
                 hex ? hex_encode(r->arena, raw) : base64_encode(r->arena, raw, BASE64_STD));
    return reply_data(r, data);
}

struct err sys_counters(struct request *r)
{
    struct str what = request_param(r, "what");
    bool tokens = str_is(what, "tokens");
    if (!tokens && !str_is(what, "entities")) {
        return reply_error(r, 404, "unsupported path");
    }
    struct arena *a = r->arena;
    struct json *data = json_new_object(a), *counters = json_set_obj(a, data, "counters");
    struct json *of = json_set_obj(a, counters, tokens ? "service_tokens" : "entities");
    json_set_int(a, of, "total", (int64_t)map_len(tokens ? &r->core->tokens : &r->core->entities));
    return reply_data(r, data);
}
