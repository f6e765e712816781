/* Administration of clients: /v1/clients. */
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/secret.h"

#include "admin.h"

struct client_change {
    struct client *client;
    struct str id, secret; /* shown once */
    const char *activity;
};

static void put_client(struct jw *w, const struct client *c, struct str secret)
{
    jw_obj(w);
    for (uint32_t i = 0; i < c->metadata->n; i++) {
        const struct json_member *m = &c->metadata->members[i];
        if (!str_is(m->key, "client_secret_hashes")) {
            jw_key(w, m->key);
            jw_json(w, m->value);
        }
    }
    if (secret.n > 0) {
        jw_key_str(w, S("client_secret"), secret);
    }
    jw_end(w);
}

static void answer_client(struct op *op, int status, const struct client *c, struct str secret)
{
    struct buf b;
    struct jw w;
    buf_init_secret(&b, 2 * CLIENT_METADATA_MAX);
    jw_init(&w, &b);
    put_client(&w, c, secret);
    op_json(op, status, &b);
    op->wipe_answer = secret.n > 0;
    buf_release(&b);
}

/* A registration with a new secret's digest put first among its two. */
static struct err with_secret(struct op *op, struct json *doc, struct str *secret)
{
    struct arena *a = &op->arena;
    struct json *hashes = json_new_array(a);
    const struct json *old = json_get(doc, "client_secret_hashes");
    uint8_t digest[SHA256_BYTES];
    *secret = one_time_value(a);
    sha256(*secret, digest);
    json_push(a, hashes, json_new_string(a, hex_encode(a, str_n(digest, sizeof(digest)))));
    if (json_is(old, JSON_ARRAY) && old->n > 0) {
        json_push(a, hashes, json_copy(a, old->items[0]));
    }
    json_set(a, doc, S("client_secret_hashes"), hashes);
    return OK;
}

static struct err parse_document(const struct json *doc, struct client **out)
{
    struct buf b;
    buf_init(&b, CLIENT_METADATA_MAX);
    json_write(&b, doc);
    struct err e = buf_check(&b);
    e = failed(e) ? e : client_parse(buf_str(&b), out);
    buf_release(&b);
    return e;
}

/* Checks what was sent before anything is added to it, so that errors speak of the sender's words. */
static struct err read_registration(struct op *op, struct client_change *c)
{
    struct json *doc;
    struct arena *a = &op->arena;
    TRY(op_body_json(op, &doc));
    ENSURE(json_get(doc, "client_secret_hashes") == NULL && json_get(doc, "client_secret") == NULL,
           ERR_INVALID,
           "secrets are made here: leave client_secret away and read it from the answer");
    if (json_get(doc, "client_id") == NULL) {
        json_set(a, doc, S("client_id"),
                 json_new_string(a, random_id(a, ID_TEXT, ALPHABET_BASE62)));
    }
    TRY(parse_document(doc, &c->client));
    bool known = clients_find(&op->n->clients, c->client->id) != NULL;
    ENSURE(!known, ERR_EXISTS, "a client '%.*s' exists already", STR_FMT(c->client->id));
    ENSURE(map_len(&op->n->clients.by_id) < CLIENTS_MAX, ERR_LIMIT, "more than %d clients",
           CLIENTS_MAX);
    struct client *holder = clients_find_spiffe(&op->n->clients, c->client->spiffe_id);
    ENSURE(holder == NULL, ERR_EXISTS, "spiffe_id: it belongs to another client");
    if (c->client->auth == AUTH_SECRET_BASIC || c->client->auth == AUTH_SECRET_POST) {
        TRY(with_secret(op, doc, &c->secret));
        struct client *whole;
        TRY(parse_document(doc, &whole));
        client_unref(c->client);
        c->client = whole;
    }
    return OK;
}

static struct err save_write(struct op *op)
{
    struct client_change *c = op->state;
    return clients_write(&op->n->clients, c->client, clock_wall_s());
}

static void saved(struct op *op, struct err e)
{
    struct client_change *c = op->state;
    if (failed(e)) {
        client_unref(c->client);
        admin_refuse(op, c->activity, e);
        return;
    }
    clients_publish(&op->n->clients, client_ref(c->client));
    answer_client(op, strcmp(c->activity, "client.register") == 0 ? 201 : 200, c->client,
                  c->secret);
    client_unref(c->client);
    admin_done(op, c->activity);
}

static struct op *begin(struct authn *n, struct http_req *req, const char *activity)
{
    struct op *op = admin_op(n, req, OCSF_ENTITY_MANAGEMENT, activity);
    if (op != NULL) {
        struct client_change *c = arena_new(&op->arena, struct client_change);
        op->state = c;
        c->activity = activity;
        op->event.resource_type = S("client");
    }
    return op;
}

static void register_client(struct http_req *req, void *ctx)
{
    struct op *op = begin(ctx, req, "client.register");
    if (op == NULL) {
        return;
    }
    struct client_change *c = op->state;
    struct err e = read_registration(op, c);
    if (failed(e)) {
        client_unref(c->client);
        admin_refuse(op, c->activity, e);
        return;
    }
    op->event.resource_uid = arena_str(&op->arena, c->client->id);
    op_store(op, save_write, saved);
}

/* The client of the path; NULL when the operation has been ended. */
static struct client *named_client(struct op *op, struct http_req *req)
{
    struct client_change *c = op->state;
    c->id = arena_str(&op->arena, http_param(req, "id"));
    op->event.resource_uid = c->id;
    struct client *found = clients_find(&op->n->clients, c->id);
    if (found == NULL) {
        admin_refuse(op, c->activity, err_make(ERR_NOT_FOUND, "no client '%.*s'", STR_FMT(c->id)));
    }
    return found;
}

static void new_secret(struct http_req *req, void *ctx)
{
    struct op *op = begin(ctx, req, "client.secret");
    struct client *old = op != NULL ? named_client(op, req) : NULL;
    if (old == NULL) {
        return;
    }
    struct client_change *c = op->state;
    struct err e = OK;
    struct json *doc = json_copy(&op->arena, old->metadata);
    if (old->auth != AUTH_SECRET_BASIC && old->auth != AUTH_SECRET_POST) {
        e = err_make(ERR_INVALID, "the client does not authenticate by a secret but by %s",
                     client_auth_name(old->auth));
    }
    e = failed(e) ? e : with_secret(op, doc, &c->secret);
    e = failed(e) ? e : parse_document(doc, &c->client);
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    op_store(op, save_write, saved);
}

static struct err remove_write(struct op *op)
{
    struct client_change *c = op->state;
    TRY(clients_erase(&op->n->clients, c->id));
    return client_end(op->n->store, c->id, clock_wall_s(), authn_mark_s(op->n));
}

static void removed(struct op *op, struct err e)
{
    struct client_change *c = op->state;
    if (failed(e)) {
        admin_refuse(op, c->activity, e);
        return;
    }
    clients_forget(&op->n->clients, c->id);
    authn_marks_written(op->n);
    admin_done(op, c->activity);
}

static void remove_client(struct http_req *req, void *ctx)
{
    struct op *op = begin(ctx, req, "client.remove");
    if (op != NULL && named_client(op, req) != NULL) {
        op_store(op, remove_write, removed);
    }
}

static void get_client(struct http_req *req, void *ctx)
{
    struct op *op = begin(ctx, req, "client.read");
    struct client *c = op != NULL ? named_client(op, req) : NULL;
    if (c != NULL) {
        answer_client(op, 200, c, STR_EMPTY);
        admin_done(op, "client.read");
    }
}

static void list(struct http_req *req, void *ctx)
{
    struct op *op = begin(ctx, req, "client.list");
    struct buf b;
    struct jw w;
    struct map_entry *e;
    if (op == NULL) {
        return;
    }
    buf_init(&b, 64 << 20);
    jw_init(&w, &b);
    jw_arr(&w);
    for (size_t i = 0; (e = map_at(&op->n->clients.by_id, &i)) != NULL;) {
        put_client(&w, e->value, STR_EMPTY);
    }
    jw_end(&w);
    op_json(op, 200, &b);
    buf_release(&b);
    admin_done(op, "client.list");
}

void admin_client_routes(struct authn *n, struct router *r)
{
    router_add(r, "POST", "/v1/clients", register_client, n);
    router_add(r, "GET", "/v1/clients", list, n);
    router_add(r, "GET", "/v1/clients/{id}", get_client, n);
    router_add(r, "DELETE", "/v1/clients/{id}", remove_client, n);
    router_add(r, "POST", "/v1/clients/{id}/secret", new_secret, n);
}
