/* Keys: create, read, list, delete, config, rotate, trim, grants. Changes happen one at a time. */
#include "op.h"

#include "channel.h"
#include "key.h"
#include "keyring.h"
#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "registry.h"

/* ---- a key as JSON ---- */

static void put_version_json(struct jw *w, enum key_type type, struct wire_reader *r)
{
    char number[16];
    uint32_t n = wire_u32(r);
    int64_t created = (int64_t)wire_u64(r);
    struct str public = wire_str(r);
    snprintf(number, sizeof(number), "%u", n);
    jw_key(w, str_of(number));
    if (key_kinds[type].version_name == NULL) {
        jw_int(w, created);
        return;
    }
    struct buf time;
    buf_init(&time, 64);
    clock_put_rfc3339(&time, created * NS_PER_S, 0);
    jw_obj(w);
    jw_key_str(w, S("name"), str_of(key_kinds[type].version_name));
    jw_key_str(w, S("public_key"), public);
    jw_key_str(w, S("creation_time"), buf_str(&time));
    jw_key_str(w, S("certificate_chain"), STR_EMPTY);
    jw_end(w);
    buf_release(&time);
}

static void put_grants_json(struct jw *w, struct wire_reader *r)
{
    uint32_t n = wire_u32(r);
    if (n == 0) {
        return;
    }
    jw_key(w, S("grants"));
    jw_obj(w);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        struct buf ops;
        struct str id = wire_str(r);
        buf_init(&ops, 256);
        grant_ops_put(&ops, wire_u32(r));
        jw_key_str(w, id, buf_str(&ops));
        buf_release(&ops);
    }
    jw_end(w);
}

static void put_limits(struct jw *w, struct wire_reader *r)
{
    static const char *const names[] = {"latest_version", "min_available_version",
                                        "min_decryption_version", "min_encryption_version"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        uint32_t v = wire_u32(r);
        /* Vault shows 0 for "never trimmed" */
        jw_key_int(w, str_of(names[i]), i == 1 && v == 1 ? 0 : v);
    }
    jw_key_int(w, S("auto_rotate_period"), (int64_t)wire_u64(r));
}

static struct err put_key_json(struct jw *w, struct str name, struct wire_reader *r)
{
    unsigned type = wire_u8(r), flags = wire_u8(r);
    ENSURE(type < KEY_TYPE_MAX, ERR_INTERNAL, "the key process answered nonsense");
    const struct key_kind *kind = &key_kinds[type];
    wire_u32(r); /* size */
    jw_obj(w);
    jw_key_str(w, S("name"), name);
    jw_key_str(w, S("type"), str_of(kind->name));
    put_limits(w, r);
    jw_key_bool(w, S("derived"), (flags & KEY_DERIVED) != 0);
    jw_key_bool(w, S("deletion_allowed"), (flags & KEY_DELETION_ALLOWED) != 0);
    jw_key_bool(w, S("exportable"), false);
    jw_key_bool(w, S("allow_plaintext_backup"), false);
    jw_key_bool(w, S("imported_key"), false);
    jw_key_bool(w, S("supports_encryption"), kind->aead || kind->rsa);
    jw_key_bool(w, S("supports_decryption"), kind->aead || kind->rsa);
    jw_key_bool(w, S("supports_signing"), kind->signs);
    jw_key_bool(w, S("supports_derivation"), kind->derives);
    if ((flags & KEY_DERIVED) != 0) {
        jw_key_str(w, S("kdf"), S("hkdf_sha256"));
        jw_key_bool(w, S("convergent_encryption"), (flags & KEY_CONVERGENT) != 0);
        if ((flags & KEY_CONVERGENT) != 0) {
            jw_key_int(w, S("convergent_encryption_version"), 3);
        }
    }
    jw_key(w, S("keys"));
    jw_obj(w);
    uint32_t n = wire_u32(r);
    for (uint32_t i = 0; i < n && !r->bad; i++) {
        put_version_json(w, (enum key_type)type, r);
    }
    jw_end(w);
    put_grants_json(w, r);
    jw_end(w);
    ENSURE(wire_end(r), ERR_INTERNAL, "the key process answered nonsense");
    return OK;
}

static void on_read(void *ctx, struct err e, struct wire_reader *reply)
{
    struct op *op = ctx;
    struct buf data;
    struct jw w;
    buf_init(&data, OP_REPLY_MAX);
    jw_init(&w, &data);
    if (!failed(e)) {
        e = put_key_json(&w, op->name, reply);
    }
    if (failed(e)) {
        op_fail(op, e);
    } else {
        op_reply(op, buf_str(&data));
    }
    buf_release(&data);
}

static void send_read(struct op *op)
{
    channel_begin(op->c->channel, WIRE_READ, op->caller.spiffe_id, op->name);
    struct err e = channel_send(op->c->channel, on_read, op);
    if (failed(e)) {
        op_fail(op, e);
    }
}

static void read_route(struct http_req *req, void *ctx)
{
    struct op *op = op_begin(req, ctx, "key.read", true);
    if (op != NULL) {
        send_read(op);
    }
}

/* ---- list ---- */

static void on_list(void *ctx, struct err e, struct wire_reader *reply)
{
    struct op *op = ctx;
    struct buf data;
    struct jw w;
    bool any = false;
    buf_init(&data, OP_REPLY_MAX);
    jw_init(&w, &data);
    jw_obj(&w);
    jw_key(&w, S("keys"));
    jw_arr(&w);
    while (!failed(e) && !reply->bad && reply->n > 0) {
        jw_str(&w, wire_str(reply));
        any = true;
    }
    jw_end(&w);
    jw_end(&w);
    if (failed(e) || !any) {
        op_fail(op, failed(e) ? e : err_make(ERR_NOT_FOUND, "no keys"));
    } else {
        op_reply(op, buf_str(&data));
    }
    buf_release(&data);
}

static void list_route(struct http_req *req, void *ctx)
{
    struct str list;
    if (str_is(req->method, "GET") &&
        !(http_query_get(req, "list", &list) && str_is(list, "true"))) {
        http_reply_json(req, 405, S("{\"errors\":[\"unsupported operation\"]}"));
        return;
    }
    struct op *op = op_begin(req, ctx, "key.list", false);
    if (op == NULL) {
        return;
    }
    channel_begin(op->c->channel, WIRE_LIST, op->caller.spiffe_id, STR_EMPTY);
    struct err e = channel_send(op->c->channel, on_list, op);
    if (failed(e)) {
        op_fail(op, e);
    }
}

/* ---- changes: ask for new records, store them, load them, show the key ---- */

static struct op *changing, **changing_tail = &changing;

static void start_change(struct op *op);

static void next_change(void)
{
    changing = changing->next;
    if (changing == NULL) {
        changing_tail = &changing;
        return;
    }
    start_change(changing);
}

static void end_change(struct op *op, struct err e)
{
    if (failed(e)) {
        op_fail(op, e);
    } else if (op->change_op == WIRE_DELETE || op->change_op == WIRE_GRANT) {
        op_reply(op, STR_EMPTY);
    } else {
        send_read(op);
    }
}

/* The reply to the last load: memory and disk agree again. The next change may begin. */
static void on_loaded(void *ctx, struct err e, struct wire_reader *reply)
{
    struct op *op = ctx;
    if (failed(e)) {
        log_error("a stored key does not load", {"key", LOG_STR(op->name)},
                  {"error", LOG_CSTR(err_detail())});
        e = err_make(ERR_INTERNAL, "a stored key does not load");
    }
    next_change();
    end_change(op, e);
}

static void on_loaded_first(void *ctx, struct err e, struct wire_reader *reply)
{
    struct op *op = ctx;
    if (failed(e)) {
        log_error("stored rules do not load", {"key", LOG_STR(op->name)},
                  {"error", LOG_CSTR(err_detail())});
    }
}

static struct err load(struct op *op)
{
    const struct registry_change *c = op->change;
    struct channel *ch = op->c->channel;
    if (c->remove) {
        channel_begin(ch, WIRE_DROP, STR_EMPTY, op->name);
        return channel_send(ch, on_loaded, op);
    }
    wire_put_str(channel_begin(ch, WIRE_LOAD_META, STR_EMPTY, op->name), c->meta);
    TRY(channel_send(ch, c->material.n > 0 ? on_loaded_first : on_loaded, op));
    if (c->material.n == 0) {
        return OK;
    }
    struct buf *m = channel_begin(ch, WIRE_LOAD_VERSION, STR_EMPTY, op->name);
    wire_put_u32(m, c->version);
    wire_put_str(m, c->material);
    return channel_send(ch, on_loaded, op);
}

static void on_stored(void *ctx, struct err e)
{
    struct op *op = ctx;
    if (!failed(e)) {
        e = load(op);
    }
    if (failed(e)) {
        next_change();
        op_fail(op, e);
    }
}

static struct err take_records(struct op *op, struct wire_reader *reply)
{
    struct registry_change *c = arena_new(&op->arena, struct registry_change);
    c->name = op->name;
    c->remove = op->change_op == WIRE_DELETE;
    c->is_new = op->change_op == WIRE_CREATE;
    if (!c->remove) {
        c->meta = arena_str(&op->arena, wire_str(reply));
    }
    if (op->change_op == WIRE_CREATE || op->change_op == WIRE_ROTATE) {
        c->version = wire_u32(reply);
        c->material = arena_str(&op->arena, wire_str(reply));
    }
    if (op->change_op == WIRE_TRIM) {
        TRY(field_u32(op->body, "min_available_version", &c->trim_below));
    }
    ENSURE(wire_end(reply), ERR_INTERNAL, "the key process answered nonsense");
    op->change = c;
    return OK;
}

static void on_changed(void *ctx, struct err e, struct wire_reader *reply)
{
    struct op *op = ctx;
    bool exists = op->change_op == WIRE_CREATE && e.code == ERR_EXISTS;
    if (exists) {
        op->existed = true;
        next_change();
        send_read(op);
        return;
    }
    if (!failed(e)) {
        e = take_records(op, reply);
    }
    if (failed(e)) {
        next_change();
        op_fail(op, e);
        return;
    }
    registry_apply(op->c->registry, op->change, on_stored, op);
}

static void start_change(struct op *op)
{
    struct buf *m = channel_begin(op->c->channel, op->change_op, op->caller.spiffe_id, op->name);
    if (op->put_change != NULL) {
        op->put_change(op, m);
    }
    struct err e = channel_send(op->c->channel, on_changed, op);
    if (failed(e)) {
        next_change();
        op_fail(op, e);
    }
}

static void queue_change(struct op *op, enum wire_op what, void (*put)(struct op *, struct buf *))
{
    bool idle = changing == NULL;
    op->change_op = what;
    op->put_change = put;
    *changing_tail = op;
    changing_tail = &op->next;
    if (idle) {
        start_change(op);
    }
}

/* ---- the single changes ---- */

static struct err refuse_export(struct op *op)
{
    bool exportable = false, backup = false;
    uint32_t period = 0;
    TRY(field_bool(op->body, "exportable", &exportable));
    TRY(field_bool(op->body, "allow_plaintext_backup", &backup));
    ENSURE(!exportable && !backup, ERR_INVALID,
           "private keys never leave this service: exportable and allow_plaintext_backup are not "
           "supported");
    TRY(field_u32(op->body, "auto_rotate_period", &period));
    ENSURE(period == 0, ERR_INVALID,
           "auto_rotate_period is not supported; rotate by POST keys/%.*s/rotate",
           STR_FMT(op->name));
    return OK;
}

static struct err check_grants(const struct json *grants)
{
    ENSURE(grants == NULL || json_is(grants, JSON_OBJECT), ERR_INVALID,
           "grants is an object: SPIFFE id to a list of operations such as \"sign,verify\"");
    uint32_t ops;
    for (uint32_t i = 0; grants != NULL && i < grants->n; i++) {
        ENSURE(str_starts(grants->members[i].key, S("spiffe://")), ERR_INVALID,
               "a grant goes to a SPIFFE id, not to '%.*s'", STR_FMT(grants->members[i].key));
        TRY(grant_ops_parse(json_str(grants->members[i].value), &ops));
    }
    return OK;
}

/* Checked by create_route before it is queued. */
static void put_create(struct op *op, struct buf *m)
{
    bool derived = false, convergent = false;
    uint32_t size = 0, ops = 0;
    struct str type = field_str(op->body, "type");
    const struct json *grants = json_get(op->body, "grants");
    ignore_err(field_bool(op->body, "derived", &derived));
    ignore_err(field_bool(op->body, "convergent_encryption", &convergent));
    ignore_err(field_u32(op->body, "key_size", &size));
    wire_put_u8(m, type.n > 0 ? key_type_of(type) : KEY_AES256);
    wire_put_u8(m, (derived ? KEY_DERIVED : 0u) | (convergent ? KEY_CONVERGENT : 0u));
    wire_put_u32(m, size);
    buf_put_be(m, 0, 8);
    wire_put_u32(m, grants != NULL ? grants->n : 0);
    for (uint32_t i = 0; grants != NULL && i < grants->n; i++) {
        ignore_err(grant_ops_parse(json_str(grants->members[i].value), &ops));
        wire_put_str(m, grants->members[i].key);
        wire_put_u32(m, ops);
    }
}

static struct err check_create(struct op *op)
{
    bool flag = false;
    uint32_t size = 0;
    struct str type = field_str(op->body, "type");
    TRY(refuse_export(op));
    TRY(field_bool(op->body, "derived", &flag));
    TRY(field_bool(op->body, "convergent_encryption", &flag));
    TRY(field_u32(op->body, "key_size", &size));
    ENSURE(type.n == 0 || key_type_of(type) != KEY_TYPE_MAX, ERR_INVALID, "unknown key type %.*s",
           STR_FMT(type));
    return check_grants(json_get(op->body, "grants"));
}

static void change_route(struct http_req *req, struct crypto *c, const char *activity,
                         enum wire_op what, struct err (*check)(struct op *),
                         void (*put)(struct op *, struct buf *))
{
    struct op *op = op_begin(req, c, activity, true);
    if (op == NULL) {
        return;
    }
    struct err e = check != NULL ? check(op) : OK;
    if (failed(e)) {
        op_fail(op, e);
        return;
    }
    queue_change(op, what, put);
}

static void create_route(struct http_req *req, void *ctx)
{
    change_route(req, ctx, "key.create", WIRE_CREATE, check_create, put_create);
}

static void rotate_route(struct http_req *req, void *ctx)
{
    change_route(req, ctx, "key.rotate", WIRE_ROTATE, NULL, NULL);
}

static void delete_route(struct http_req *req, void *ctx)
{
    change_route(req, ctx, "key.delete", WIRE_DELETE, NULL, NULL);
}

static struct err check_config(struct op *op)
{
    uint32_t n = 0;
    bool flag = false;
    TRY(refuse_export(op));
    TRY(field_u32(op->body, "min_decryption_version", &n));
    TRY(field_u32(op->body, "min_encryption_version", &n));
    return field_bool(op->body, "deletion_allowed", &flag);
}

static void put_config(struct op *op, struct buf *m)
{
    uint32_t decryption = 0, encryption = 0, mask = 0;
    bool deletion = false;
    ignore_err(field_u32(op->body, "min_decryption_version", &decryption));
    ignore_err(field_u32(op->body, "min_encryption_version", &encryption));
    ignore_err(field_bool(op->body, "deletion_allowed", &deletion));
    mask |= field_has(op->body, "min_decryption_version") ? KEYRING_MIN_DECRYPTION : 0u;
    mask |= field_has(op->body, "min_encryption_version") ? KEYRING_MIN_ENCRYPTION : 0u;
    mask |= field_has(op->body, "deletion_allowed") ? KEYRING_DELETION_ALLOWED : 0u;
    wire_put_u32(m, mask);
    if ((mask & KEYRING_MIN_DECRYPTION) != 0) {
        buf_put_be(m, decryption, 8);
    }
    if ((mask & KEYRING_MIN_ENCRYPTION) != 0) {
        buf_put_be(m, encryption, 8);
    }
    if ((mask & KEYRING_DELETION_ALLOWED) != 0) {
        buf_put_be(m, deletion, 8);
    }
}

static void config_route(struct http_req *req, void *ctx)
{
    change_route(req, ctx, "key.config", WIRE_CONFIG, check_config, put_config);
}

static struct err check_trim(struct op *op)
{
    uint32_t n = 0;
    TRY(field_u32(op->body, "min_available_version", &n));
    ENSURE(n > 0, ERR_INVALID, "minimum available version should be greater than zero");
    return OK;
}

static void put_trim(struct op *op, struct buf *m)
{
    uint32_t n = 0;
    ignore_err(field_u32(op->body, "min_available_version", &n));
    wire_put_u32(m, n);
}

static void trim_route(struct http_req *req, void *ctx)
{
    change_route(req, ctx, "key.trim", WIRE_TRIM, check_trim, put_trim);
}

/* Ours: {"id": "spiffe://...", "operations": "sign,verify"}; empty operations take the grant away. */
static struct err check_grant(struct op *op)
{
    uint32_t ops;
    return grant_ops_parse(field_str(op->body, "operations"), &ops);
}

static void put_grant(struct op *op, struct buf *m)
{
    uint32_t ops = 0;
    ignore_err(grant_ops_parse(field_str(op->body, "operations"), &ops));
    wire_put_str(m, field_str(op->body, "id"));
    wire_put_u32(m, ops);
}

static void grant_route(struct http_req *req, void *ctx)
{
    change_route(req, ctx, "key.grant", WIRE_GRANT, check_grant, put_grant);
}

void transit_add_key_routes(struct crypto *c)
{
    static const struct {
        const char *pattern;
        http_handler *fn;
    } writes[] = {
        {"/v1/transit/keys/{name}", create_route},
        {"/v1/transit/keys/{name}/config", config_route},
        {"/v1/transit/keys/{name}/rotate", rotate_route},
        {"/v1/transit/keys/{name}/trim", trim_route},
        {"/v1/transit/keys/{name}/grants", grant_route},
    };
    for (size_t i = 0; i < ARRAY_LEN(writes); i++) {
        router_add(&c->routes, "POST", writes[i].pattern, writes[i].fn, c);
        router_add(&c->routes, "PUT", writes[i].pattern, writes[i].fn, c);
    }
    router_add(&c->routes, "GET", "/v1/transit/keys/{name}", read_route, c);
    router_add(&c->routes, "DELETE", "/v1/transit/keys/{name}", delete_route, c);
    router_add(&c->routes, "LIST", "/v1/transit/keys", list_route, c);
    router_add(&c->routes, "LIST", "/v1/transit/keys/", list_route, c);
    router_add(&c->routes, "GET", "/v1/transit/keys", list_route, c);
    router_add(&c->routes, "GET", "/v1/transit/keys/", list_route, c);
}
