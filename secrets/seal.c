#include "seal.h"

#include "field.h"
#include "shamir.h"
#include "token.h"

#include "lib/base/log.h"
#include "lib/loop/loop.h"

#include <fcntl.h>
#include <unistd.h>

enum { ROOT_KEY_BYTES = 32, RETRY_FIRST_MS = 50, RETRY_MAX_MS = 5000 };

struct seal {
    struct core *core;
    struct seal_opts opts;
    struct timer *retry;
    int64_t retry_ms;
    bool by_operator, calling;
    struct secret fresh;                     /* a root key on its way to be wrapped, at init */
    struct secret shares[SHAMIR_SHARES_MAX]; /* given so far */
    unsigned n_shares, threshold, total;
    char nonce[UUID_TEXT];
};

static void attempt(void *ctx);

static void try_later(struct seal *s, const char *why)
{
    if (s->opts.on_state != NULL) {
        s->opts.on_state(s->opts.ctx, false, why);
    }
    if (s->retry == NULL && s->core->loop != NULL) {
        s->retry = timer_start(s->core->loop, s->retry_ms, 0, attempt, s);
        s->retry_ms = MIN(s->retry_ms * 2, (int64_t)RETRY_MAX_MS);
    }
}

/* ---- what the seal keeps, in the clear: nothing in it opens anything ---- */

static struct err load_config(struct seal *s, struct arena *a, struct json **out)
{
    struct str text;
    bool found;
    TRY(storage_get_plain(s->core->st, a, S("core/seal-config"), &text, &found));
    *out = NULL;
    return found ? json_parse(a, text, NULL, out) : OK;
}

static struct err save_config(struct seal *s, struct arena *a, const struct json *config)
{
    return storage_put_plain(s->core->st, S("core/seal-config"), json_text(a, config));
}

static struct err read_shamir_numbers(struct seal *s)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct json *config;
    struct err e = load_config(s, &a, &config);
    int64_t t = 0, n = 0;
    if (!failed(e) && config != NULL && json_get(config, "threshold") != NULL) {
        ignore_err(json_i64(json_get(config, "threshold"), &t));
        ignore_err(json_i64(json_get(config, "shares"), &n));
        s->threshold = (unsigned)t;
        s->total = (unsigned)n;
    }
    arena_release(&a);
    return e;
}

static void on_sealed(void *ctx)
{
    struct seal *s = ctx;
    if (!s->opts.shamir && !s->by_operator) {
        try_later(s, "sealed");
    } else if (s->opts.on_state != NULL) {
        s->opts.on_state(s->opts.ctx, false, "sealed");
    }
}

struct err seal_new(struct core *c, const struct seal_opts *o, struct seal **out)
{
    struct seal *s = calloc(1, sizeof *s);
    BUG_ON(s == NULL);
    s->core = c;
    s->opts = *o;
    s->retry_ms = RETRY_FIRST_MS;
    struct err e = read_shamir_numbers(s);
    if (failed(e)) {
        free(s);
        return e;
    }
    c->seal = s;
    c->state_ctx = s;
    c->on_sealed = on_sealed;
    *out = s;
    return OK;
}

static void drop_shares(struct seal *s)
{
    for (unsigned i = 0; i < s->n_shares; i++) {
        secret_release(&s->shares[i]);
    }
    s->n_shares = 0;
    s->nonce[0] = '\0';
}

void seal_free(struct seal *s)
{
    if (s == NULL) {
        return;
    }
    timer_stop(s->retry);
    drop_shares(s);
    secret_release(&s->fresh);
    s->core->on_sealed = NULL;
    free(s);
}

bool seal_is_shamir(const struct seal *s)
{
    return s->opts.shamir;
}

/* ---- opened ---- */

static struct err write_file(const char *path, struct str text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    ENSURE(fd >= 0, ERR_IO, "cannot write %s", path);
    bool ok = write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    ok = close(fd) == 0 && ok;
    ENSURE(ok, ERR_IO, "cannot write %s", path);
    return OK;
}

static struct err enrol(struct seal *s)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str id;
    struct err e = wrap_operator_token(s->core, &a, ENROLMENT_TTL_S, &id);
    if (!failed(e) && s->opts.enrolment_file != NULL) {
        e = write_file(s->opts.enrolment_file, arena_printf(&a, "%.*s\n", STR_FMT(id)));
    }
    wipe((void *)(uintptr_t)id.p, failed(e) ? 0 : id.n);
    arena_release(&a);
    return e;
}

/* The root key also lies inside the barrier, for whoever rotates the keyring later. */
static struct err after_init(struct seal *s, const struct secret *root_key)
{
    TRY(core_unseal(s->core, root_key));
    TRY(storage_put(s->core->st, S("core/root-key"), secret_bytes(root_key)));
    if (!s->opts.shamir) {
        TRY(enrol(s));
        log_info("initialised; the first operator enrols once with the token in this file",
                 {"file", LOG_CSTR(s->opts.enrolment_file)});
    }
    return OK;
}

static void opened(struct seal *s)
{
    s->retry_ms = RETRY_FIRST_MS;
    if (s->opts.on_state != NULL) {
        s->opts.on_state(s->opts.ctx, true, NULL);
    }
}

struct err seal_rotate_barrier(struct seal *s)
{
    struct core *c = s->core;
    struct arena a;
    arena_init(&a, 1 << 20);
    struct str key;
    struct secret root;
    bool found;
    struct err e = storage_get(c->st, &a, S("core/root-key"), &key, &found);
    if (!failed(e)) {
        e = found ? secret_copy(&root, key) : err_make(ERR_IO, "core/root-key is missing");
        wipe((void *)(uintptr_t)key.p, found ? key.n : 0);
    }
    arena_release(&a);
    TRY(e);
    struct buf record;
    buf_init(&record, 1 << 20);
    e = barrier_rotate(storage_barrier(c->st));
    if (!failed(e)) {
        e = barrier_export(storage_barrier(c->st), &root, &record);
    }
    if (!failed(e)) {
        e = storage_put_plain(c->st, S("core/keyring"), buf_str(&record));
    }
    buf_release(&record);
    secret_release(&root);
    return e;
}

static void seal_now(void *ctx)
{
    core_seal(((struct seal *)ctx)->core);
}

void seal_by_operator(struct seal *s)
{
    s->by_operator = true;
    s->core->reload = false;
    log_warn("sealed by an operator", {"type", LOG_CSTR(s->opts.shamir ? "shamir" : "transit")});
    if (s->core->loop != NULL) {
        loop_defer(s->core->loop, seal_now, s);
    }
}

/* ---- transit ---- */

static void call_crypto(struct seal *s, const char *verb, struct str body,
                        void (*done)(void *ctx, struct err e, const struct http_result *res))
{
    char url[1024];
    snprintf(url, sizeof url, "%.*s/v1/transit/%s/%.*s", STR_FMT(s->core->crypto_url), verb,
             STR_FMT(s->opts.key_name));
    s->calling = true;
    http_client_call(s->core->http, &(struct http_call){.method = S("POST"),
                                                        .url = str_of(url),
                                                        .body = body,
                                                        .content_type = S("application/json"),
                                                        .timeout_ms = 5000,
                                                        .done = done,
                                                        .ctx = s});
}

/* data.<field> of crypto's answer. */
static struct err crypto_field(struct arena *a, struct err e, const struct http_result *res,
                               const char *field, struct str *out)
{
    TRY(e);
    struct json *v;
    ENSURE(res->status == 200, ERR_UNAVAILABLE, "crypto answered %d: %.*s", res->status,
           STR_FMT(str_sub(res->body, 0, 200)));
    TRY(json_parse(a, res->body, NULL, &v));
    *out = json_str(json_get(json_get(v, "data"), field));
    ENSURE(out->n > 0, ERR_UNAVAILABLE, "crypto's answer has no %s", field);
    return OK;
}

static struct err open_with(struct seal *s, struct str plaintext)
{
    struct secret key;
    size_t n;
    TRY(secret_zeroed(&key, ROOT_KEY_BYTES));
    struct err e =
        base64_decode_into(plaintext, BASE64_STD, secret_mutable(&key), ROOT_KEY_BYTES, &n);
    if (!failed(e) && n != ROOT_KEY_BYTES) {
        e = err_make(ERR_SYNTAX, "the root key has a wrong length");
    }
    if (!failed(e)) {
        e = core_unseal(s->core, &key);
    }
    secret_release(&key);
    return e;
}

static void unwrapped(void *ctx, struct err e, const struct http_result *res)
{
    struct seal *s = ctx;
    struct arena a;
    struct str plaintext = STR_EMPTY;
    s->calling = false;
    arena_init(&a, 1 << 20);
    e = crypto_field(&a, e, res, "plaintext", &plaintext);
    if (!failed(e)) {
        e = open_with(s, plaintext);
    }
    wipe((void *)(uintptr_t)plaintext.p, plaintext.n);
    arena_release(&a);
    if (failed(e)) {
        log_warn("cannot unseal yet", {"detail", LOG_CSTR(err_detail())});
        try_later(s, err_detail());
    } else {
        opened(s);
    }
}

static struct err keep_wrapped(struct seal *s, struct arena *a, struct str ciphertext)
{
    struct json *config = json_new_object(a);
    json_set_str(a, config, "type", S("transit"));
    json_set_str(a, config, "key", s->opts.key_name);
    json_set_str(a, config, "root_key", ciphertext);
    TRY(core_init(s->core, &s->fresh));
    TRY(save_config(s, a, config));
    return after_init(s, &s->fresh);
}

static void wrapped(void *ctx, struct err e, const struct http_result *res)
{
    struct seal *s = ctx;
    struct arena a;
    struct str ciphertext;
    s->calling = false;
    arena_init(&a, 1 << 20);
    e = crypto_field(&a, e, res, "ciphertext", &ciphertext);
    bool began = !failed(e);
    if (began) {
        e = keep_wrapped(s, &a, ciphertext);
    }
    secret_release(&s->fresh);
    arena_release(&a);
    if (failed(e)) {
        log_warn(began ? "initialisation failed" : "cannot initialise yet",
                 {"detail", LOG_CSTR(err_detail())});
        try_later(s, err_detail());
    } else {
        opened(s);
    }
}

static struct err ask_to_wrap(struct seal *s)
{
    struct buf body;
    TRY(secret_random(&s->fresh, ROOT_KEY_BYTES));
    buf_init_secret(&body, 1024);
    buf_puts(&body, S("{\"plaintext\":\""));
    base64_put(&body, secret_bytes(&s->fresh), BASE64_STD);
    buf_puts(&body, S("\"}"));
    call_crypto(s, "encrypt", buf_str(&body), wrapped);
    buf_release(&body);
    return OK;
}

static struct err ask_to_unwrap(struct seal *s)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    struct json *config;
    struct err e = load_config(s, &a, &config);
    struct str text = json_str(json_get(config, "root_key"));
    if (!failed(e) && text.n == 0) {
        e = err_make(ERR_INVALID, "this storage was not sealed by crypto: set seal: shamir");
    }
    if (!failed(e)) {
        struct json *body = json_new_object(&a);
        json_set_str(&a, body, "ciphertext", text);
        call_crypto(s, "decrypt", json_text(&a, body), unwrapped);
    }
    arena_release(&a);
    return e;
}

static void attempt(void *ctx)
{
    struct seal *s = ctx;
    s->retry = NULL;
    if (s->calling || !s->core->sealed || s->core->sealing) {
        return;
    }
    struct err e = s->core->initialized ? ask_to_unwrap(s) : ask_to_wrap(s);
    if (failed(e)) {
        log_error("cannot unseal", {"detail", LOG_CSTR(err_detail())});
        try_later(s, err_detail());
    }
}

void seal_start(struct seal *s)
{
    if (!s->opts.shamir) {
        attempt(s);
    } else if (s->opts.on_state != NULL) {
        s->opts.on_state(s->opts.ctx, false, "waiting for the shares of operators");
    }
}

/* ---- shamir ---- */

static void push_share(struct arena *a, const struct secret *share, struct json *hex,
                       struct json *b64)
{
    json_push(a, hex, json_new_string(a, hex_encode(a, secret_bytes(share))));
    json_push(a, b64, json_new_string(a, base64_encode(a, secret_bytes(share), BASE64_STD)));
}

static struct err put_root_token(struct seal *s, struct arena *a, struct json *out)
{
    struct json *policies = json_new_array(a);
    struct str id = STR_EMPTY;
    if (!s->core->opts.root_token_on_init) {
        TRY(wrap_operator_token(s->core, a, ENROLMENT_TTL_S, &id));
        json_set_str(a, out, "enrolment_token", id);
        json_set_str(a, out, "root_token", S(""));
        return OK;
    }
    json_push(a, policies, json_new_string(a, S("root")));
    struct token *t;
    TRY(token_create(s->core, NULL, a,
                     &(struct token_spec){.policies = policies,
                                          .path = S("auth/token/root"),
                                          .display_name = S("root")},
                     &t, &id));
    json_set_str(a, out, "root_token", id);
    return OK;
}

static struct err give_shares(struct arena *a, const struct secret *key, unsigned n, unsigned t,
                              struct json *out)
{
    struct json *hex = json_set_arr(a, out, "keys"), *b64 = json_set_arr(a, out, "keys_base64");
    if (n == 1) {
        push_share(a, key, hex, b64);
        return OK;
    }
    struct secret *shares = arena_array(a, struct secret, n);
    TRY(shamir_split(key, n, t, shares));
    for (unsigned i = 0; i < n; i++) {
        push_share(a, &shares[i], hex, b64);
        secret_release(&shares[i]);
    }
    return OK;
}

static struct err init_with(struct seal *s, struct arena *a, const struct secret *key, int64_t n,
                            int64_t t, struct json *out)
{
    struct json *config = json_new_object(a);
    json_set_str(a, config, "type", S("shamir"));
    json_set_int(a, config, "shares", n);
    json_set_int(a, config, "threshold", t);
    TRY(give_shares(a, key, (unsigned)n, (unsigned)t, out));
    TRY(core_init(s->core, key));
    TRY(save_config(s, a, config));
    TRY(after_init(s, key));
    s->threshold = (unsigned)t;
    s->total = (unsigned)n;
    TRY(put_root_token(s, a, out));
    s->by_operator = true;
    core_seal(s->core);
    return OK;
}

struct err seal_init(struct seal *s, struct arena *a, const struct json *data, struct json **out)
{
    int64_t n = 5, t = 3;
    ENSURE(!s->core->initialized, ERR_INVALID, "Vault is already initialized");
    ENSURE(s->opts.shamir, ERR_INVALID,
           "parameters secret_shares,secret_threshold not applicable to seal type transit");
    TRY(field_int(data, "secret_shares", &n));
    TRY(field_int(data, "secret_threshold", &t));
    ENSURE(n >= 1 && n <= SHAMIR_SHARES_MAX, ERR_INVALID,
           "invalid seal configuration: shares must be between 1 and %d", SHAMIR_SHARES_MAX);
    ENSURE(t >= 1 && t <= n, ERR_INVALID,
           "invalid seal configuration: threshold cannot be larger than shares");
    ENSURE(n == 1 || t > 1, ERR_INVALID,
           "invalid seal configuration: threshold must be greater than one for multiple shares");
    ENSURE(!field_given(data, "pgp_keys"), ERR_INVALID, "pgp_keys is not supported");
    struct secret key;
    struct json *o = json_new_object(a);
    TRY(secret_random(&key, ROOT_KEY_BYTES));
    struct err e = init_with(s, a, &key, n, t, o);
    secret_release(&key);
    TRY(e);
    *out = o;
    return OK;
}

static struct err decode_share(struct str text, struct secret *out)
{
    uint8_t bytes[SEAL_SHARE_MAX];
    size_t n = 0;
    struct arena a;
    arena_init(&a, 64 * 1024);
    struct str raw;
    struct err e = hex_decode(&a, text, &raw);
    if (!failed(e) && raw.n <= sizeof bytes) {
        memcpy(bytes, raw.p, raw.n);
        n = raw.n;
        wipe((void *)(uintptr_t)raw.p, raw.n);
    } else {
        e = base64_decode_into(text, BASE64_STD, bytes, sizeof bytes, &n);
    }
    arena_release(&a);
    ENSURE(!failed(e) && n > 0, ERR_INVALID, "'key' must be a valid hex or base64 string");
    e = secret_copy(out, str_n(bytes, n));
    wipe(bytes, sizeof bytes);
    return e;
}

static bool have_share(const struct seal *s, const struct secret *share)
{
    for (unsigned i = 0; i < s->n_shares; i++) {
        if (secret_equal(&s->shares[i], secret_bytes(share))) {
            return true;
        }
    }
    return false;
}

static struct err open_by_shares(struct seal *s)
{
    struct secret key = SECRET_EMPTY;
    struct err e = s->threshold == 1 ? secret_copy(&key, secret_bytes(&s->shares[0]))
                                     : shamir_combine(s->shares, s->n_shares, &key);
    drop_shares(s);
    if (!failed(e)) {
        e = core_unseal(s->core, &key);
    }
    secret_release(&key);
    ENSURE(!failed(e), ERR_INVALID,
           "failed to decrypt keys from storage: the shares do not open this seal");
    s->by_operator = false;
    opened(s);
    return OK;
}

struct err seal_unseal(struct seal *s, const struct json *data)
{
    bool reset = false;
    struct str text = STR_EMPTY;
    TRY(field_bool(data, "reset", &reset));
    TRY(field_str(data, "key", &text));
    if (reset) {
        drop_shares(s);
        return OK;
    }
    ENSURE(text.n > 0, ERR_INVALID,
           "'key' must be specified in request body as JSON, or 'reset' set to true");
    ENSURE(text.n <= SEAL_SHARE_MAX, ERR_INVALID, "'key' must be a valid hex or base64 string");
    ENSURE(s->opts.shamir, ERR_INVALID,
           "this server unseals through crypto; after an operator's seal it must be restarted");
    ENSURE(s->core->initialized, ERR_INVALID, "Vault is not initialized");
    if (!s->core->sealed) {
        return OK;
    }
    struct secret share;
    TRY(decode_share(text, &share));
    if (have_share(s, &share) || s->n_shares == SHAMIR_SHARES_MAX) {
        secret_release(&share);
        return OK;
    }
    if (s->n_shares == 0) {
        uuid4(s->nonce);
    }
    s->shares[s->n_shares++] = share;
    return s->n_shares >= s->threshold ? open_by_shares(s) : OK;
}

struct json *seal_status(struct seal *s, struct arena *a)
{
    const struct core *c = s->core;
    struct json *o = json_new_object(a);
    json_set_str(a, o, "type", s->opts.shamir ? S("shamir") : S("transit"));
    json_set_bool(a, o, "initialized", c->initialized);
    json_set_bool(a, o, "sealed", c->sealed);
    json_set_int(a, o, "t", s->threshold);
    json_set_int(a, o, "n", s->total);
    json_set_int(a, o, "progress", s->n_shares);
    json_set_str(a, o, "nonce", arena_str(a, str_of(s->nonce)));
    json_set_str(a, o, "version", c->opts.version);
    json_set_str(a, o, "build_date", S(""));
    json_set_bool(a, o, "migration", false);
    if (!c->sealed) {
        json_set_str(a, o, "cluster_name", c->opts.cluster_name);
        json_set_str(a, o, "cluster_id", arena_str(a, str_of(c->cluster_id)));
    }
    json_set_bool(a, o, "recovery_seal", !s->opts.shamir);
    json_set_str(a, o, "storage_type", S("sqlite"));
    return o;
}
