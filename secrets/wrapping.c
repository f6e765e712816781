/*
 * Response wrapping and the cubbyhole: an answer is put away under a one-time token, and whoever
 * presents the token first gets it. Each token has a cubbyhole of its own that ends with it.
 */
#include "engines.h"
#include "field.h"
#include "request_priv.h"
#include "seal.h"
#include "sys_priv.h"
#include "token.h"

#include <inttypes.h>

enum { WRAP_TTL_MAX_S = 32 * 24 * 3600, OPERATOR_TTL_S = 8 * 3600 };

static struct str cubbyhole_path(struct arena *a, const struct token *t, struct str name)
{
    return arena_printf(a, "cubbyhole/%s/%.*s", t->hash, STR_FMT(name));
}

/* ---- wrapping ---- */

/* A token that can do one thing, once. */
static struct err one_time_token(struct core *c, struct arena *a, int64_t ttl_s, struct token **out,
                                 struct str *id)
{
    struct token_spec spec = {.path = S("sys/wrapping/wrap"),
                              .no_default = true,
                              .not_renewable = true,
                              .ttl_s = ttl_s,
                              .explicit_max_s = ttl_s,
                              .uses = 1};
    TRY(token_create(c, NULL, a, &spec, out, id));
    str_drop(&(*out)->policies);
    (*out)->policies = str_dup(S("response-wrapping"));
    return token_save(c, *out);
}

static struct err put_away(struct core *c, struct arena *a, const struct token *t, struct str body,
                           int64_t ttl_s, struct str creation_path, int64_t created_ns)
{
    struct json *info = json_new_object(a);
    json_set_int(a, info, "creation_ttl", ttl_s);
    json_set_int(a, info, "creation_time", created_ns);
    json_set_str(a, info, "creation_path", creation_path);
    TRY(storage_put(c->st, cubbyhole_path(a, t, S("response")), body));
    return storage_put_json(c->st, cubbyhole_path(a, t, S("wrapinfo")), info);
}

struct err wrap_operator_token(struct core *c, struct arena *a, int64_t ttl_s,
                               struct str *wrapping_id)
{
    struct json *policies = json_new_array(a), *envelope = json_new_object(a);
    json_push(a, policies, json_new_string(a, S("operator")));
    struct token_spec spec = {.path = S("sys/init"),
                              .display_name = S("operator"),
                              .policies = policies,
                              .ttl_s = OPERATOR_TTL_S};
    struct token *t, *wrapper;
    struct str id;
    TRY(token_create(c, NULL, a, &spec, &t, &id));
    json_put(a, envelope, "auth", token_auth_json(c, a, t, id));
    TRY(one_time_token(c, a, ttl_s, &wrapper, wrapping_id));
    return put_away(c, a, wrapper, json_text(a, envelope), ttl_s, S("sys/init"), clock_wall_ns());
}

static struct json *wrap_info(struct arena *a, const struct token *t, struct str id, int64_t ttl_s,
                              struct str creation_path, int64_t created_ns)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "token", id);
    json_set_str(a, o, "accessor", arena_str(a, str_of(t->accessor)));
    json_set_int(a, o, "ttl", ttl_s);
    json_put(a, o, "creation_time", json_time(a, created_ns));
    json_set_str(a, o, "creation_path", creation_path);
    return o;
}

struct err wrap_reply(struct request *r)
{
    int64_t ttl_s = MIN(r->wrap_ttl_s, (int64_t)WRAP_TTL_MAX_S), now = clock_wall_ns();
    ENSURE(ttl_s > 0, ERR_INVALID, "the wrap TTL must be at least a second");
    struct token *t;
    struct str id;
    reply_build(r);
    TRY(one_time_token(r->core, r->arena, ttl_s, &t, &id));
    TRY(put_away(r->core, r->arena, t, buf_str(&r->body), ttl_s, r->path, now));
    struct json *info = wrap_info(r->arena, t, id, ttl_s, r->path, now);
    if (r->reply.token != NULL) {
        json_set_str(r->arena, info, "wrapped_accessor",
                     arena_str(r->arena, str_of(r->reply.token->accessor)));
    }
    struct lease *lease = r->reply.lease;
    struct token *made = r->reply.token;
    r->reply = (struct reply){
        .wrap_info = info, .warnings = r->reply.warnings, .lease = lease, .token = made};
    return OK;
}

struct err sys_wrap(struct request *r)
{
    ENSURE(r->wrap, ERR_INVALID, "endpoint requires response wrapping to be used");
    return reply_data(r, r->data);
}

/* The wrapping token of a request: in its body, or the token that it came with. */
static struct err wrapping_token(struct request *r, struct token **out)
{
    struct str id = STR_EMPTY;
    TRY(field_str(r->data, "token", &id));
    struct token *t = id.n > 0 ? token_find(r->core, id) : NULL;
    if (id.n == 0) {
        t = r->token != NULL ? r->token : token_find(r->core, r->client_token);
    }
    ENSURE(t != NULL && !t->revoked && str_is(t->policies, "response-wrapping"), ERR_INVALID,
           "wrapping token is not valid or does not exist");
    *out = t;
    return OK;
}

static struct err read_info(struct request *r, const struct token *t, struct json **out)
{
    TRY(storage_get_json(r->core->st, r->arena, cubbyhole_path(r->arena, t, S("wrapinfo")), out));
    ENSURE(*out != NULL, ERR_INVALID, "wrapping token is not valid or does not exist");
    return OK;
}

static int64_t info_int(const struct json *info, const char *key)
{
    int64_t n = 0;
    ignore_err(json_i64(json_get(info, key), &n));
    return n;
}

struct err sys_wrap_lookup(struct request *r)
{
    struct token *t;
    struct json *info;
    TRY(wrapping_token(r, &t));
    TRY(read_info(r, t, &info));
    struct json *data = json_new_object(r->arena);
    json_put(r->arena, data, "creation_path",
             json_new_string(r->arena, json_str(json_get(info, "creation_path"))));
    json_put(r->arena, data, "creation_time", json_time(r->arena, info_int(info, "creation_time")));
    json_set_int(r->arena, data, "creation_ttl", info_int(info, "creation_ttl"));
    return reply_data(r, data);
}

struct err sys_unwrap(struct request *r)
{
    struct token *t;
    bool found;
    TRY(wrapping_token(r, &t));
    TRY(storage_get(r->core->st, r->arena, cubbyhole_path(r->arena, t, S("response")),
                    &r->reply.raw, &found));
    ENSURE(found, ERR_INVALID, "wrapping token is not valid or does not exist");
    r->token = token_ref(t); /* for the audit record */
    token_revoke(r->core, t, false);
    return OK;
}

struct err sys_rewrap(struct request *r)
{
    struct token *old, *t;
    struct json *info;
    struct str body, id;
    bool found;
    TRY(wrapping_token(r, &old));
    TRY(read_info(r, old, &info));
    TRY(storage_get(r->core->st, r->arena, cubbyhole_path(r->arena, old, S("response")), &body,
                    &found));
    ENSURE(found, ERR_INVALID, "wrapping token is not valid or does not exist");
    int64_t ttl_s = info_int(info, "creation_ttl"), now = clock_wall_ns();
    struct str path = json_str(json_get(info, "creation_path"));
    TRY(one_time_token(r->core, r->arena, ttl_s, &t, &id));
    TRY(put_away(r->core, r->arena, t, body, ttl_s, path, now));
    if (old != r->token) {
        token_revoke(r->core, old, false);
    }
    r->reply.wrap_info = wrap_info(r->arena, t, id, ttl_s, path, now);
    return OK;
}

/* ---- the cubbyhole ---- */

static struct err cubby_read(struct request *r)
{
    struct json *v;
    TRY(storage_get_json(r->core->st, r->arena,
                         cubbyhole_path(r->arena, r->token, request_param(r, "path")), &v));
    return v != NULL ? reply_data(r, v) : reply_not_found(r);
}

static struct err cubby_write(struct request *r)
{
    struct str path = request_param(r, "path");
    ENSURE(r->data->n > 0, ERR_INVALID, "missing data fields");
    ENSURE(path.n > 0 && !str_is(path, "response") && !str_is(path, "wrapinfo"), ERR_INVALID,
           "this name is kept for wrapping");
    return storage_put_json(r->core->st, cubbyhole_path(r->arena, r->token, path), r->data);
}

static struct err cubby_del(struct request *r)
{
    return storage_del(r->core->st, cubbyhole_path(r->arena, r->token, request_param(r, "path")));
}

static struct err cubby_list(struct request *r)
{
    struct str below = request_param(r, "path");
    struct json *keys = json_new_array(r->arena);
    struct str prefix = cubbyhole_path(
        r->arena, r->token, below.n > 0 ? arena_printf(r->arena, "%.*s/", STR_FMT(below)) : below);
    TRY(storage_list(r->core->st, r->arena, prefix, LIST_MAX, keys));
    return reply_list(r, keys);
}

static bool cubby_exists(struct request *r)
{
    struct json *v = NULL;
    struct token *t = token_find(r->core, r->client_token);
    return t != NULL &&
           !failed(storage_get_json(r->core->st, r->arena,
                                    cubbyhole_path(r->arena, t, request_param(r, "path")), &v)) &&
           v != NULL;
}

static const struct route cubbyhole_routes[] = {
    {"{path...}", cubby_read, cubby_write, NULL, cubby_del, cubby_list, 0, cubby_exists},
    {0},
};

const struct engine cubbyhole_engine = {.type = "cubbyhole", .routes = cubbyhole_routes};
