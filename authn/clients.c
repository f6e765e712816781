#include "clients.h"

#include "lib/base/codec.h"

#include "limits.h"

#include <stdlib.h>

static const char *const auth_names[] = {"none", "client_secret_basic", "client_secret_post",
                                         "private_key_jwt", "spiffe_x509"};
const char *const grant_type_names[3] = {"authorization_code", "refresh_token",
                                         "client_credentials"};

const char *client_auth_name(enum client_auth a)
{
    return auth_names[a];
}

bool str_list_has(const struct str_list *list, struct str s)
{
    for (size_t i = 0; i < list->n; i++) {
        if (str_eq(list->items[i], s)) {
            return true;
        }
    }
    return false;
}

/* ---- reading a registration ---- */

static struct err take_string(const struct json *doc, const char *name, size_t max, struct str *out)
{
    const struct json *v = json_get(doc, name);
    if (v == NULL) {
        return OK;
    }
    ENSURE(v->type == JSON_STRING, ERR_INVALID, "%s: expected a string", name);
    ENSURE(v->text.n > 0 && v->text.n <= max, ERR_INVALID, "%s: 1 to %zu characters are allowed",
           name, max);
    for (size_t i = 0; i < v->text.n; i++) {
        ENSURE((unsigned char)v->text.p[i] >= 0x20 && v->text.p[i] != 0x7f, ERR_INVALID,
               "%s: control characters are not allowed", name);
    }
    *out = v->text;
    return OK;
}

static struct err take_list(struct client *c, const struct json *doc, const char *name,
                            struct str_list *out)
{
    const struct json *v = json_get(doc, name);
    if (v == NULL) {
        return OK;
    }
    ENSURE(v->type == JSON_ARRAY && v->n <= CLIENT_LIST_MAX, ERR_INVALID,
           "%s: expected a list of at most %d strings", name, CLIENT_LIST_MAX);
    out->items = arena_array(&c->arena, struct str, v->n);
    for (size_t i = 0; i < v->n; i++) {
        ENSURE(v->items[i]->type == JSON_STRING && v->items[i]->text.n > 0, ERR_INVALID,
               "%s[%zu]: expected a string", name, i);
        out->items[out->n++] = v->items[i]->text;
    }
    return OK;
}

/* Seconds; a client may have shorter-lived access tokens than the provider's default, never longer. */
static struct err take_life(const struct json *doc, int64_t *out)
{
    const struct json *v = json_get(doc, "access_token_life");
    if (v == NULL) {
        return OK;
    }
    int64_t s;
    ENSURE(!failed(json_i64(v, &s)) && s >= 1 && s <= ACCESS_LIFE_MAX_S, ERR_INVALID,
           "access_token_life: whole seconds from 1 to %d", ACCESS_LIFE_MAX_S);
    *out = s;
    return OK;
}

static struct err take_bool(const struct json *doc, const char *name, bool *out)
{
    const struct json *v = json_get(doc, name);
    ENSURE(v == NULL || v->type == JSON_TRUE || v->type == JSON_FALSE, ERR_INVALID,
           "%s: expected true or false", name);
    *out = v != NULL ? v->type == JSON_TRUE : *out;
    return OK;
}

static struct err take_grants(struct client *c, const struct json *doc)
{
    struct str_list names = {0};
    TRY(take_list(c, doc, "grant_types", &names));
    if (names.n == 0) {
        c->grants = GRANT_CODE;
        return OK;
    }
    for (size_t i = 0; i < names.n; i++) {
        size_t j = 0;
        while (j < ARRAY_LEN(grant_type_names) && !str_is(names.items[i], grant_type_names[j])) {
            j++;
        }
        ENSURE(j < ARRAY_LEN(grant_type_names), ERR_INVALID,
               "grant_types: '%.*s' is not one of authorization_code, refresh_token, "
               "client_credentials",
               STR_FMT(names.items[i]));
        c->grants |= 1u << j;
    }
    return OK;
}

static struct err take_auth(struct client *c, const struct json *doc)
{
    struct str method = S("client_secret_basic");
    TRY(take_string(doc, "token_endpoint_auth_method", 40, &method));
    size_t i = 0;
    while (i < ARRAY_LEN(auth_names) && !str_is(method, auth_names[i])) {
        i++;
    }
    ENSURE(i < ARRAY_LEN(auth_names), ERR_INVALID,
           "token_endpoint_auth_method: '%.*s' is not one of none, client_secret_basic, "
           "client_secret_post, "
           "private_key_jwt, spiffe_x509",
           STR_FMT(method));
    c->auth = (enum client_auth)i;
    ENSURE(c->auth != AUTH_NONE || (c->grants & GRANT_CLIENT_CREDENTIALS) == 0, ERR_INVALID,
           "grant_types: client_credentials needs a client that can authenticate itself");
    const struct json *jwks = json_get(doc, "jwks");
    ENSURE(json_get(doc, "jwks_uri") == NULL, ERR_UNSUPPORTED,
           "jwks_uri: register the keys themselves as jwks");
    ENSURE((c->auth == AUTH_PRIVATE_KEY_JWT) == (jwks != NULL), ERR_INVALID,
           "jwks: needed by private_key_jwt, and only by it");
    if (jwks != NULL) {
        TRY(jwks_from_json(jwks, NULL, &c->keys));
        ENSURE(c->keys->n > 0, ERR_INVALID, "jwks: no usable key in it");
    }
    TRY(take_string(doc, "spiffe_id", 2048, &c->spiffe_id));
    ENSURE((c->auth == AUTH_SPIFFE) == (c->spiffe_id.n > 0), ERR_INVALID,
           "spiffe_id: needed by the method spiffe_x509, and only by it");
    ENSURE(c->spiffe_id.n == 0 || str_starts(c->spiffe_id, S("spiffe://")), ERR_INVALID,
           "spiffe_id: '%.*s' does not begin with spiffe://", STR_FMT(c->spiffe_id));
    return OK;
}

static struct err take_uris(struct client *c, const struct json *doc)
{
    TRY(take_list(c, doc, "redirect_uris", &c->redirect_uris));
    TRY(take_list(c, doc, "post_logout_redirect_uris", &c->post_logout_uris));
    for (size_t i = 0; i < c->redirect_uris.n; i++) {
        struct err e = redirect_uri_check(c->redirect_uris.items[i]);
        if (failed(e)) {
            return err_wrap(e, "redirect_uris[%zu]", i);
        }
    }
    for (size_t i = 0; i < c->post_logout_uris.n; i++) {
        struct err e = redirect_uri_check(c->post_logout_uris.items[i]);
        if (failed(e)) {
            return err_wrap(e, "post_logout_redirect_uris[%zu]", i);
        }
    }
    ENSURE((c->grants & GRANT_CODE) == 0 || c->redirect_uris.n > 0, ERR_INVALID,
           "redirect_uris: a client with authorization_code needs at least one");
    return OK;
}

/* Everything by which a registration could ask for more than identity in a token. */
static struct err refuse_permissions(struct client *c, const struct json *doc)
{
    static const char *const mappings[] = {"access_token_claims", "claims", "claim_mappings",
                                           "token_claims", "protocol_mappers"};
    for (size_t i = 0; i < ARRAY_LEN(mappings); i++) {
        ENSURE(json_get(doc, mappings[i]) == NULL, ERR_DENIED,
               "%s: nothing can be mapped into an access token: it carries identity only, and "
               "rights are looked up "
               "at request time. Identity claims for ID tokens are listed in id_token_claims",
               mappings[i]);
    }
    TRY(take_list(c, doc, "id_token_claims", &c->id_token_claims));
    for (size_t i = 0; i < c->id_token_claims.n; i++) {
        struct str name = c->id_token_claims.items[i];
        TRY(identity_claim_check(name));
        ENSURE(!claim_is_reserved(name), ERR_INVALID,
               "id_token_claims: '%.*s' is set by the protocol", STR_FMT(name));
    }
    return OK;
}

static struct err check_members(const struct json *doc)
{
    static const char *const known[] = {"client_id",
                                        "client_name",
                                        "redirect_uris",
                                        "post_logout_redirect_uris",
                                        "grant_types",
                                        "response_types",
                                        "token_endpoint_auth_method",
                                        "jwks",
                                        "spiffe_id",
                                        "scope",
                                        "audiences",
                                        "id_token_claims",
                                        "require_consent",
                                        "access_token_life",
                                        "client_uri",
                                        "logo_uri",
                                        "contacts",
                                        "tos_uri",
                                        "application_type",
                                        "id_token_signed_response_alg",
                                        "client_secret_hashes"};
    for (uint32_t i = 0; i < doc->n; i++) {
        size_t j = 0;
        while (j < ARRAY_LEN(known) && !str_is(doc->members[i].key, known[j])) {
            j++;
        }
        if (j < ARRAY_LEN(known)) {
            continue;
        }
        /* An invented member that names rights gets the reason why there is none. */
        TRY(identity_claim_check(doc->members[i].key));
        FAIL(ERR_INVALID, "'%.*s' is not a member of a client registration",
             (int)MIN(doc->members[i].key.n, (size_t)100), doc->members[i].key.p);
    }
    return OK;
}

static struct err take_scopes(struct client *c, const struct json *doc)
{
    struct str scope = S("openid profile email");
    TRY(take_string(doc, "scope", 1024, &scope));
    return scope_parse(scope, &c->scopes);
}

static struct err take_responses(struct client *c, const struct json *doc)
{
    struct str_list types = {0};
    struct str alg = S("RS256");
    TRY(take_list(c, doc, "response_types", &types));
    for (size_t i = 0; i < types.n; i++) {
        ENSURE(str_is(types.items[i], "code"), ERR_INVALID,
               "response_types: only 'code' is supported");
    }
    TRY(take_string(doc, "id_token_signed_response_alg", 20, &alg));
    ENSURE(str_is(alg, "RS256"), ERR_INVALID,
           "id_token_signed_response_alg: only RS256 is supported");
    return OK;
}

/* What only the store holds: SHA-256 of the secrets, in hexadecimal. */
static struct err take_secret_hashes(struct client *c, const struct json *doc)
{
    struct str_list hashes = {0};
    TRY(take_list(c, doc, "client_secret_hashes", &hashes));
    for (size_t i = 0; i < hashes.n; i++) {
        struct str digest;
        TRY(hex_decode(&c->arena, hashes.items[i], &digest));
        ENSURE(digest.n == SHA256_BYTES && i < ARRAY_LEN(c->secrets), ERR_INVALID,
               "client_secret_hashes: at most two SHA-256 digests in hexadecimal");
        memcpy(c->secrets[i], digest.p, SHA256_BYTES);
        c->n_secrets++;
    }
    return OK;
}

static struct err read_registration(struct client *c, struct str text)
{
    struct json *doc;
    struct json_limits lim = {.max_bytes = CLIENT_METADATA_MAX, .max_depth = 16};
    TRY(json_parse(&c->arena, text, &lim, &doc));
    ENSURE(doc->type == JSON_OBJECT, ERR_INVALID, "a client registration is a JSON object");
    TRY(refuse_permissions(c, doc));
    TRY(check_members(doc));
    TRY(take_string(doc, "client_id", CLIENT_ID_MAX, &c->id));
    ENSURE(c->id.n > 0, ERR_INVALID, "client_id: missing");
    for (size_t i = 0; i < c->id.n; i++) {
        ENSURE(c->id.p[i] > 0x20 && c->id.p[i] < 0x7f, ERR_INVALID,
               "client_id: printable ASCII without blanks only");
    }
    c->name = c->id;
    TRY(take_string(doc, "client_name", 200, &c->name));
    TRY(take_grants(c, doc));
    TRY(take_auth(c, doc));
    TRY(take_uris(c, doc));
    TRY(take_scopes(c, doc));
    TRY(take_responses(c, doc));
    TRY(take_list(c, doc, "audiences", &c->audiences));
    TRY(take_bool(doc, "require_consent", &c->require_consent));
    TRY(take_life(doc, &c->access_life_s));
    TRY(take_secret_hashes(c, doc));
    c->metadata = doc;
    return OK;
}

struct err client_parse(struct str text, struct client **out)
{
    struct client *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL, ERR_LIMIT, "out of memory");
    arena_init(&c->arena, 8 * CLIENT_METADATA_MAX);
    c->refs = 1;
    c->require_consent = true;
    struct err e = read_registration(c, text);
    if (failed(e)) {
        client_unref(c);
        return e;
    }
    *out = c;
    return OK;
}

struct client *client_ref(struct client *c)
{
    c->refs++;
    return c;
}

void client_unref(struct client *c)
{
    if (c != NULL && --c->refs == 0) {
        jwks_unref(c->keys);
        arena_release(&c->arena);
        free(c);
    }
}

bool client_has_redirect(const struct client *c, struct str uri)
{
    for (size_t i = 0; i < c->redirect_uris.n; i++) {
        if (redirect_uri_match(c->redirect_uris.items[i], uri)) {
            return true;
        }
    }
    return false;
}

bool client_secret_ok(const struct client *c, struct str secret)
{
    uint8_t digest[SHA256_BYTES];
    bool ok = false;
    sha256(secret, digest);
    for (unsigned i = 0; i < ARRAY_LEN(c->secrets); i++) {
        bool same =
            str_eq_secret(str_n(digest, sizeof(digest)), str_n(c->secrets[i], SHA256_BYTES));
        ok |= same && i < c->n_secrets;
    }
    return ok;
}

/* ---- the table ---- */

void clients_publish(struct clients *t, struct client *c)
{
    clients_forget(t, c->id);
    map_set(&t->by_id, c->id, c);
    if (c->spiffe_id.n > 0) {
        map_set(&t->by_spiffe_id, c->spiffe_id, c);
    }
}

void clients_forget(struct clients *t, struct str id)
{
    struct client *old = map_del(&t->by_id, id);
    if (old != NULL) {
        if (old->spiffe_id.n > 0 && map_get(&t->by_spiffe_id, old->spiffe_id) == old) {
            map_del(&t->by_spiffe_id, old->spiffe_id);
        }
        client_unref(old);
    }
}

struct err clients_load(struct clients *t, struct store *store)
{
    struct stmt *q;
    bool row;
    t->store = store;
    map_init(&t->by_id);
    map_init(&t->by_spiffe_id);
    TRY(store_stmt(store, "SELECT metadata FROM client", &q));
    for (;;) {
        TRY(stmt_step(q, &row));
        if (!row) {
            return OK;
        }
        struct client *c;
        struct err e = client_parse(stmt_col_str(q, 0), &c);
        if (failed(e)) {
            stmt_reset(q);
            return err_wrap(e, "a stored client registration");
        }
        clients_publish(t, c);
    }
}

void clients_release(struct clients *t)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&t->by_id, &i)) != NULL;) {
        client_unref(e->value);
    }
    map_release(&t->by_id);
    map_release(&t->by_spiffe_id);
}

struct client *clients_find(const struct clients *t, struct str id)
{
    return map_get(&t->by_id, id);
}

struct client *clients_find_spiffe(const struct clients *t, struct str spiffe_id)
{
    return spiffe_id.n > 0 ? map_get(&t->by_spiffe_id, spiffe_id) : NULL;
}

struct err clients_write(struct clients *t, const struct client *c, int64_t now_s)
{
    struct stmt *q;
    struct buf text;
    buf_init(&text, 2 * CLIENT_METADATA_MAX);
    json_write(&text, c->metadata);
    struct err e = buf_check(&text);
    if (!failed(e)) {
        e = store_stmt(t->store,
                       "INSERT INTO client(id, metadata, created) VALUES(?1, ?2, ?3) "
                       "ON CONFLICT(id) DO UPDATE SET metadata = ?2",
                       &q);
    }
    if (!failed(e)) {
        stmt_bind_str(q, 1, c->id);
        stmt_bind_str(q, 2, buf_str(&text));
        stmt_bind_int(q, 3, now_s);
        e = stmt_run(q);
    }
    buf_release(&text);
    return e;
}

struct err clients_erase(struct clients *t, struct str id)
{
    struct stmt *q;
    TRY(store_stmt(t->store, "DELETE FROM client WHERE id = ?", &q));
    stmt_bind_str(q, 1, id);
    return stmt_run(q);
}
