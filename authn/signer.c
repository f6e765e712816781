#include "signer.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/http/client.h"
#include "lib/loop/loop.h"
#include "limits.h"
#include "rules.h"

#include <inttypes.h>
#include <stdlib.h>

enum { REFRESH_MS = 60 * 1000, RETRY_MS = 500, VERSIONS_MAX = 64, SIGN_TIMEOUT_MS = 5000 };

struct sign_job {
    struct sign_job *next;
    uint8_t digest[SHA256_BYTES];
    int64_t version;
    void (*done)(void *ctx, struct err e, struct str signature);
    void *ctx;
};

struct version {
    int64_t number, created_s;
    char kid[JWK_THUMBPRINT_TEXT];
};

struct transit_key {
    struct signer *signer;
    enum signing_key which;
    struct str name;
    struct version versions[VERSIONS_MAX];
    size_t n_versions;
    struct jwks *set;
    struct sign_job *first, **last; /* waiting */
    size_t waiting;
    struct sign_job *sent; /* in the request under way */
    struct http_call_state *sign_call, *keys_call;
    struct timer *timer;
};

struct signer {
    struct loop *loop;
    struct arena arena;
    struct signer_opts opts;
    struct transit_key keys[SIGNING_KEYS];
    struct jwks *all;
    bool was_ready;
};

/* Where every daemon runs as one user (a developer's machine), the header says which of them calls. */
static const struct http_header who_calls[] = {{STR_INIT("x-sextant-caller"), STR_INIT("authn")}};

static struct str url_of(struct arena *a, const struct signer *s, const char *path, struct str name,
                         const char *rest)
{
    return arena_printf(a, "%.*s%s%.*s%s", STR_FMT(s->opts.base), path, STR_FMT(name), rest);
}

bool signer_ready(const struct signer *s)
{
    for (size_t i = 0; i < SIGNING_KEYS; i++) {
        if (s->keys[i].n_versions == 0) {
            return false;
        }
    }
    return true;
}

static void tell_ready(struct signer *s, const char *why)
{
    bool ready = signer_ready(s);
    if (s->opts.on_ready != NULL && (ready != s->was_ready || !ready)) {
        s->opts.on_ready(s->opts.ctx, ready, why);
    }
    s->was_ready = ready;
}

struct jwks *signer_jwks(const struct signer *s)
{
    return s->all;
}

/* The newest version that has been published long enough; before there is one, the oldest. */
static const struct version *current(const struct transit_key *k)
{
    const struct version *best = NULL, *oldest = NULL;
    int64_t now = clock_wall_s(), ahead = k->signer->opts.publish_ahead_s;
    for (size_t i = 0; i < k->n_versions; i++) {
        const struct version *v = &k->versions[i];
        oldest = oldest == NULL || v->number < oldest->number ? v : oldest;
        if (v->created_s + ahead <= now && (best == NULL || v->number > best->number)) {
            best = v;
        }
    }
    return best != NULL ? best : oldest;
}

struct str signer_kid(const struct signer *s, enum signing_key k)
{
    const struct version *v = current(&s->keys[k]);
    return v != NULL ? str_of(v->kid) : STR_EMPTY;
}

/* ---- public keys ---- */

static struct err take_version(struct transit_key *k, struct jwks *set, const struct json_member *m)
{
    struct key *key;
    uint64_t number;
    int64_t created_ns;
    struct version *v = &k->versions[k->n_versions];
    enum key_type wanted = k->which == KEY_ID_TOKEN ? KEY_RSA : KEY_P256;
    TRY(str_to_u64(m->key, &number));
    TRY(clock_parse_rfc3339(json_str(json_get(m->value, "creation_time")), &created_ns));
    TRY(key_from_pem(json_str(json_get(m->value, "public_key")), &key));
    if (key_type(key) != wanted) {
        struct err e = err_make(ERR_UNSUPPORTED, "the key '%.*s' is %s, not %s", STR_FMT(k->name),
                                key_type_name(key_type(key)), key_type_name(wanted));
        key_unref(key);
        return e;
    }
    v->number = (int64_t)number;
    v->created_s = created_ns / NS_PER_S;
    jwk_thumbprint(key, v->kid);
    jwks_add(set, jwk_from_key(key, str_of(v->kid),
                               k->which == KEY_ID_TOKEN ? JOSE_RS256 : JOSE_ES256, S("sig")));
    key_unref(key);
    k->n_versions++;
    return OK;
}

static struct err take_versions(struct transit_key *k, struct arena *a, struct str body,
                                struct jwks *set)
{
    struct json *doc;
    TRY(json_parse(a, body, NULL, &doc));
    const struct json *keys = json_path(doc, "data.keys");
    ENSURE(json_is(keys, JSON_OBJECT) && keys->n > 0, ERR_SYNTAX, "the answer has no data.keys");
    ENSURE(keys->n <= VERSIONS_MAX, ERR_LIMIT, "more than %d versions of the key '%.*s'",
           VERSIONS_MAX, STR_FMT(k->name));
    k->n_versions = 0;
    for (uint32_t i = 0; i < keys->n; i++) {
        TRY(take_version(k, set, &keys->members[i]));
    }
    return OK;
}

/* One set of all, made anew: a key set is immutable once it is shared. */
static void join_sets(struct signer *s)
{
    struct jwks *all = jwks_new();
    for (size_t i = 0; i < SIGNING_KEYS; i++) {
        for (size_t j = 0; s->keys[i].set != NULL && j < s->keys[i].set->n; j++) {
            const struct jwk *k = s->keys[i].set->keys[j];
            jwks_add(all, jwk_from_key(k->key, k->kid, k->alg, k->use));
        }
    }
    jwks_unref(s->all);
    s->all = all;
}

struct err signer_take_keys(struct signer *s, enum signing_key which, struct str body)
{
    struct transit_key *k = &s->keys[which];
    struct version before[VERSIONS_MAX];
    size_t n_before = k->n_versions;
    struct arena a;
    memcpy(before, k->versions, sizeof(before));
    arena_init(&a, 1 << 20);
    struct jwks *set = jwks_new();
    struct err e = take_versions(k, &a, body, set);
    arena_release(&a);
    if (failed(e)) {
        memcpy(k->versions, before, sizeof(before));
        k->n_versions = n_before;
        jwks_unref(set);
        return e;
    }
    if (k->set != NULL) {
        jwks_unref(k->set);
    }
    k->set = set;
    join_sets(s);
    return OK;
}

static void fetch_keys(void *ctx);

static void keys_answered(void *ctx, struct err e, const struct http_result *res)
{
    struct transit_key *k = ctx;
    k->keys_call = NULL;
    if (!failed(e) && res->status != 200) {
        e = err_make(ERR_UNAVAILABLE, "crypto answered %d for the key '%.*s'", res->status,
                     STR_FMT(k->name));
    }
    if (!failed(e)) {
        e = signer_take_keys(k->signer, k->which, res->body);
    }
    tell_ready(k->signer, failed(e) ? err_detail() : "");
    k->timer = timer_start(k->signer->loop, failed(e) ? RETRY_MS : REFRESH_MS, 0, fetch_keys, k);
}

static void fetch_keys(void *ctx)
{
    struct transit_key *k = ctx;
    struct arena a;
    arena_init(&a, 1 << 16);
    k->timer = NULL;
    struct http_call call = {.method = S("GET"),
                             .url = url_of(&a, k->signer, "/v1/transit/keys/", k->name, ""),
                             .headers = who_calls,
                             .n_headers = ARRAY_LEN(who_calls),
                             .timeout_ms = SIGN_TIMEOUT_MS,
                             .done = keys_answered,
                             .ctx = k};
    k->keys_call = http_client_call(k->signer->opts.http, &call);
    arena_release(&a);
}

void signer_refresh(struct signer *s)
{
    for (size_t i = 0; i < SIGNING_KEYS; i++) {
        struct transit_key *k = &s->keys[i];
        if (k->timer != NULL) { /* else it is asking already */
            timer_stop(k->timer);
            fetch_keys(k);
        }
    }
}

/* ---- signatures ---- */

static void end_job(struct sign_job *j, struct err e, struct str signature)
{
    j->done(j->ctx, e, signature);
    free(j);
}

/* Ends every job of a list with the same error, which each callback may read. */
static void end_all(struct sign_job *list, struct err e)
{
    char detail[ERR_DETAIL_MAX];
    snprintf(detail, sizeof(detail), "%s", err_detail());
    while (list != NULL) {
        struct sign_job *next = list->next;
        end_job(list, err_make((enum err_code)e.code, "%s", detail), STR_EMPTY);
        list = next;
    }
}

/* "vault:v3:BASE64URL" to the raw signature. */
static struct err read_signature(struct arena *a, struct str text, int64_t version, struct str *out)
{
    struct str prefix = arena_printf(a, "vault:v%" PRId64 ":", version);
    ENSURE(str_starts(text, prefix), ERR_CRYPTO, "crypto signed with another version than asked");
    return base64_decode(a, str_sub(text, prefix.n, text.n), BASE64_URL, out);
}

static struct err read_answer(struct arena *a, const struct http_result *res,
                              const struct json **data)
{
    struct json *doc;
    TRY(json_parse(a, res->body, NULL, &doc));
    const struct json *errors = json_get(doc, "errors");
    struct str first =
        json_str(json_is(errors, JSON_ARRAY) && errors->n > 0 ? errors->items[0] : NULL);
    ENSURE(res->status == 200, res->status == 403 ? ERR_DENIED : ERR_UNAVAILABLE,
           "crypto answered %d: %.*s", res->status, (int)MIN(first.n, (size_t)200), first.p);
    const struct json *d = json_get(doc, "data");
    ENSURE(json_is(d, JSON_OBJECT), ERR_CRYPTO, "the answer of crypto has no data");
    *data = d;
    return OK;
}

static void send_next(struct transit_key *k);

static void sign_answered(void *ctx, struct err e, const struct http_result *res)
{
    struct transit_key *k = ctx;
    struct sign_job *list = k->sent;
    const struct json *data = NULL;
    struct arena a;
    k->sent = NULL;
    k->sign_call = NULL;
    arena_init(&a, 1 << 20);
    if (!failed(e)) {
        e = read_answer(&a, res, &data);
    }
    const struct json *batch = json_get(data, "batch_results");
    if (failed(e)) {
        end_all(list, e);
        list = NULL;
    }
    for (uint32_t i = 0; list != NULL; i++) {
        struct sign_job *j = list;
        list = j->next;
        const struct json *item = batch == NULL ? data : i < batch->n ? batch->items[i] : NULL;
        struct str signature = STR_EMPTY;
        struct err one =
            read_signature(&a, json_str(json_get(item, "signature")), j->version, &signature);
        end_job(j, one, signature);
    }
    arena_release(&a);
    send_next(k);
}

static void put_input(struct jw *w, struct arena *a, const struct sign_job *j)
{
    jw_key_str(w, S("input"), base64_encode(a, str_n(j->digest, sizeof(j->digest)), BASE64_STD));
    jw_key_int(w, S("key_version"), j->version);
}

/* Several inputs of one version go as a batch; the version is that of the first. */
static void put_request(struct jw *w, struct arena *a, const struct transit_key *k)
{
    jw_obj(w);
    jw_key_bool(w, S("prehashed"), true);
    jw_key_str(w, S("marshaling_algorithm"), S("jws"));
    jw_key_str(w, S("signature_algorithm"), S("pkcs1v15"));
    if (k->sent->next == NULL) {
        put_input(w, a, k->sent);
    } else {
        jw_key_int(w, S("key_version"), k->sent->version);
        jw_key(w, S("batch_input"));
        jw_arr(w);
        for (const struct sign_job *j = k->sent; j != NULL; j = j->next) {
            jw_obj(w);
            put_input(w, a, j);
            jw_end(w);
        }
        jw_end(w);
    }
    jw_end(w);
}

static void take_batch(struct transit_key *k)
{
    struct sign_job **tail = &k->sent;
    int64_t version = k->first->version;
    for (size_t n = 0; n < SIGN_BATCH_MAX && k->first != NULL && k->first->version == version;
         n++) {
        *tail = k->first;
        k->first = k->first->next;
        tail = &(*tail)->next;
        k->waiting--;
    }
    *tail = NULL;
    k->last = k->first == NULL ? &k->first : k->last;
}

static void send_next(struct transit_key *k)
{
    if (k->sent != NULL || k->first == NULL) {
        return;
    }
    struct arena a;
    struct buf body;
    struct jw w;
    take_batch(k);
    arena_init(&a, 1 << 20);
    buf_init(&body, 1 << 16);
    jw_init(&w, &body);
    put_request(&w, &a, k);
    struct http_call call = {.method = S("POST"),
                             .url =
                                 url_of(&a, k->signer, "/v1/transit/sign/", k->name, "/sha2-256"),
                             .body = buf_str(&body),
                             .content_type = S("application/json"),
                             .headers = who_calls,
                             .n_headers = ARRAY_LEN(who_calls),
                             .timeout_ms = SIGN_TIMEOUT_MS,
                             .done = sign_answered,
                             .ctx = k};
    k->sign_call = http_client_call(k->signer->opts.http, &call);
    buf_release(&body);
    arena_release(&a);
}

struct refusal {
    void (*done)(void *ctx, struct err e, struct str signature);
    void *ctx;
};

static void refuse_later(void *ctx)
{
    struct refusal r = *(struct refusal *)ctx;
    free(ctx);
    r.done(r.ctx,
           err_make(ERR_UNAVAILABLE,
                    "the signing keys are not known yet, or too much is waiting for a signature"),
           STR_EMPTY);
}

void signer_sign(struct signer *s, enum signing_key which, struct str input,
                 void (*done)(void *ctx, struct err e, struct str signature), void *ctx)
{
    struct transit_key *k = &s->keys[which];
    const struct version *v = current(k);
    struct sign_job *j = calloc(1, sizeof(*j));
    struct refusal *r = v == NULL || k->waiting >= SIGN_QUEUE_MAX ? calloc(1, sizeof(*r)) : NULL;
    BUG_ON(j == NULL);
    if (v == NULL || k->waiting >= SIGN_QUEUE_MAX) {
        free(j);
        BUG_ON(r == NULL);
        *r = (struct refusal){done, ctx};
        loop_defer(s->loop, refuse_later, r);
        return;
    }
    sha256(input, j->digest);
    j->version = v->number;
    j->done = done;
    j->ctx = ctx;
    *k->last = j;
    k->last = &j->next;
    k->waiting++;
    send_next(k);
}

struct err signer_new(struct loop *loop, const struct signer_opts *o, struct signer **out)
{
    struct signer *s = calloc(1, sizeof(*s));
    ENSURE(s != NULL, ERR_LIMIT, "out of memory");
    s->loop = loop;
    s->opts = *o;
    s->all = jwks_new();
    arena_init(&s->arena, 1 << 16);
    s->opts.base = arena_str(&s->arena, o->base);
    for (size_t i = 0; i < SIGNING_KEYS; i++) {
        struct transit_key *k = &s->keys[i];
        *k = (struct transit_key){
            .signer = s, .which = (enum signing_key)i, .name = arena_str(&s->arena, o->names[i])};
        k->last = &k->first;
        if (loop != NULL) {
            k->timer = timer_start(loop, 0, 0, fetch_keys, k);
        }
    }
    *out = s;
    return OK;
}

void signer_free(struct signer *s)
{
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < SIGNING_KEYS; i++) {
        struct transit_key *k = &s->keys[i];
        timer_stop(k->timer);
        http_client_cancel(k->sign_call);
        http_client_cancel(k->keys_call);
        struct err closed = err_make(ERR_CLOSED, "shutting down");
        end_all(k->sent, closed);
        end_all(k->first, closed);
        if (k->set != NULL) {
            jwks_unref(k->set);
        }
    }
    jwks_unref(s->all);
    arena_release(&s->arena);
    free(s);
}
