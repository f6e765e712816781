/*
 * Checkpoints, signed by a key that never leaves crypto (Vault Transit API on its unix socket).
 *
 * The key's public half and version are written to `vkey` in the state folder the first time they are seen, and
 * pinned: a log's key does not change, so a rotated or exchanged key is refused aloud instead of being
 * followed quietly.
 */
#include "audit_daemon.h"

#include "audit/tlog/files.h"
#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "lib/base/log.h"

#include <fcntl.h>
#include <inttypes.h>

enum { SIGN_TIMEOUT_MS = 3000, BACKOFF_MIN_MS = 100, BACKOFF_MAX_MS = 5000 };

struct signer {
    struct audit *a;
    struct dependency *crypto;
    struct str base; /* unix:.../crypto.sock:/v1/transit */
    struct note_key key;
    bool have_key, busy;
    struct checkpoint promised;
    int64_t next_ms; /* not before */
    int backoff_ms;
};

static int64_t now_ms(void)
{
    return clock_mono_ns() / NS_PER_MS;
}

bool signer_key(const struct signer *s, struct note_key *out)
{
    if (s->have_key) {
        *out = s->key;
    }
    return s->have_key;
}

static void wait_longer(struct signer *s, const char *why)
{
    if (s->backoff_ms == BACKOFF_MIN_MS) {
        log_warn("checkpoints wait", {"why", LOG_CSTR(why)});
    }
    daemon_lost(s->crypto, why);
    s->next_ms = now_ms() + s->backoff_ms;
    s->backoff_ms = MIN(s->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void call(struct signer *s, const char *method, struct str url, struct str body,
                 void (*done)(void *, struct err, const struct http_result *))
{
    struct http_header as[] = {{S("x-sextant-caller"), S("audit")}};
    struct http_call c = {.method = str_of(method),
                          .url = url,
                          .headers = as,
                          .n_headers = 1,
                          .body = body,
                          .timeout_ms = SIGN_TIMEOUT_MS,
                          .done = done,
                          .ctx = s,
                          .content_type = body.n > 0 ? S("application/json") : STR_EMPTY};
    s->busy = true;
    http_client_call(s->a->d->http, &c);
}

/* ---- the key ---- */

static struct err pin_key(struct signer *s, const struct note_key *key)
{
    struct buf text;
    buf_init(&text, 1024);
    note_key_put(&text, key);
    buf_putc(&text, '\n');
    struct err e = file_replace(AT_FDCWD, daemon_state_path(s->a->d, "vkey"), buf_str(&text), true);
    if (!failed(e)) {
        log_info("the log's verifier key", {"vkey", LOG_STR(str_trim(buf_str(&text)))});
    }
    buf_release(&text);
    return e;
}

static struct err read_public_key(struct arena *a, struct str body, uint8_t out[NOTE_PUBLIC_KEY])
{
    struct json *v;
    struct str raw;
    TRY(json_parse(a, body, NULL, &v));
    const struct json *k = json_path(v, "data.keys");
    struct str text = json_str(json_get(json_get(k, "1"), "public_key"));
    ENSURE(text.n > 0, ERR_INVALID, "crypto told no public key of version 1");
    TRY(base64_decode(a, text, BASE64_STD, &raw));
    ENSURE(raw.n == NOTE_PUBLIC_KEY, ERR_INVALID, "the checkpoint key is not Ed25519");
    memcpy(out, raw.p, raw.n);
    return OK;
}

static struct err take_key(struct signer *s, struct str body)
{
    struct arena a;
    uint8_t public_key[NOTE_PUBLIC_KEY];
    struct note_key key;
    arena_init(&a, 1 << 20);
    struct err e = read_public_key(&a, body, public_key);
    arena_release(&a);
    TRY(e);
    TRY(note_key_make(s->a->origin, NOTE_ED25519, public_key, &key));
    if (s->have_key) {
        ENSURE(key.id == s->key.id &&
                   memcmp(key.public_key, s->key.public_key, NOTE_PUBLIC_KEY) == 0,
               ERR_CONFLICT, "crypto's key %.*s is not the one this log was begun with",
               STR_FMT(s->a->config->key_name));
        return OK;
    }
    TRY(pin_key(s, &key));
    s->key = key;
    s->have_key = true;
    return OK;
}

static void on_key(void *ctx, struct err e, const struct http_result *res)
{
    struct signer *s = ctx;
    s->busy = false;
    if (!failed(e) && res->status != 200) {
        e = err_make(ERR_UNAVAILABLE, "crypto answers %d for the checkpoint key", res->status);
    }
    if (!failed(e)) {
        e = take_key(s, res->body);
    }
    if (failed(e)) {
        wait_longer(s, err_detail());
        return;
    }
    s->backoff_ms = BACKOFF_MIN_MS;
    daemon_have(s->crypto);
    signer_step(s);
}

static void fetch_key(struct signer *s)
{
    struct arena a;
    arena_init(&a, 1 << 16);
    call(s, "GET",
         arena_printf(&a, "%.*s/keys/%.*s", STR_FMT(s->base), STR_FMT(s->a->config->key_name)),
         STR_EMPTY, on_key);
    arena_release(&a);
}

/* ---- signing ---- */

static struct err take_signature(struct signer *s, struct str body)
{
    struct arena a;
    struct json *v;
    struct str sig;
    arena_init(&a, 1 << 20);
    struct err e = json_parse(&a, body, NULL, &v);
    if (!failed(e)) {
        struct str text = json_str(json_path(v, "data.signature"));
        struct str prefix = S("vault:v1:");
        e = str_starts(text, prefix)
                ? base64_decode(&a, str_sub(text, prefix.n, text.n), BASE64_STD, &sig)
                : err_make(ERR_INVALID, "crypto's signature is not by version 1 of the key");
    }
    if (!failed(e) && sig.n != NOTE_SIGNATURE) {
        e = err_make(ERR_INVALID, "an Ed25519 signature of %zu bytes", sig.n);
    }
    if (!failed(e)) {
        e = service_publish(s->a->service, &s->promised, &s->key, sig);
    }
    arena_release(&a);
    return e;
}

static void on_signature(void *ctx, struct err e, const struct http_result *res)
{
    struct signer *s = ctx;
    s->busy = false;
    if (!failed(e) && res->status != 200) {
        e = err_make(ERR_UNAVAILABLE, "crypto answers %d to a checkpoint", res->status);
    }
    if (!failed(e)) {
        e = take_signature(s, res->body);
    }
    if (failed(e)) {
        wait_longer(s, err_detail());
        return;
    }
    s->backoff_ms = BACKOFF_MIN_MS;
    daemon_have(s->crypto);
}

static void sign(struct signer *s)
{
    struct arena a;
    struct buf text, body;
    struct jw w;
    struct err e = service_promise(s->a->service, &s->promised);
    if (failed(e)) {
        wait_longer(s, err_detail());
        return;
    }
    arena_init(&a, 1 << 18);
    buf_init(&text, NOTE_MAX);
    buf_init(&body, NOTE_MAX * 2);
    checkpoint_put(&text, &s->promised);
    jw_init(&w, &body);
    jw_obj(&w);
    jw_key_str(&w, S("input"), base64_encode(&a, buf_str(&text), BASE64_STD));
    jw_key_int(&w, S("key_version"), 1);
    jw_end(&w);
    call(s, "POST",
         arena_printf(&a, "%.*s/sign/%.*s", STR_FMT(s->base), STR_FMT(s->a->config->key_name)),
         buf_str(&body), on_signature);
    buf_release(&text);
    buf_release(&body);
    arena_release(&a);
}

static bool confirmed(const struct signer *s)
{
    return s->have_key && s->backoff_ms == BACKOFF_MIN_MS;
}

void signer_step(struct signer *s)
{
    if (s->busy || now_ms() < s->next_ms) {
        return;
    }
    if (!s->have_key) {
        fetch_key(s);
    } else if (service_wants_checkpoint(s->a->service)) {
        s->next_ms = now_ms() + (confirmed(s) ? s->a->config->checkpoint_ns / NS_PER_MS : 0);
        sign(s);
    }
}

/* A key seen by an earlier run. */
static struct err load_pinned(struct signer *s)
{
    struct str text;
    struct note_key key;
    struct arena *a = &s->a->d->boot;
    struct err e = file_read(a, AT_FDCWD, daemon_state_path(s->a->d, "vkey"), 4096, &text);
    if (e.code == ERR_NOT_FOUND) {
        return OK;
    }
    TRY(e);
    TRY(note_key_parse(a, text, &key));
    ENSURE(str_eq(key.name, s->a->origin), ERR_INVALID,
           "this log's key is that of '%.*s', but its origin is configured as '%.*s'",
           STR_FMT(key.name), STR_FMT(s->a->origin));
    s->key = key;
    s->have_key = true;
    return OK;
}

struct err signer_new(struct audit *a, struct signer **out)
{
    struct signer *s = calloc(1, sizeof(*s));
    BUG_ON(s == NULL);
    *s = (struct signer){.a = a, .backoff_ms = BACKOFF_MIN_MS};
    s->base = arena_printf(&a->d->boot, "%.*s:/v1/transit",
                           STR_FMT(daemon_socket(a->d, "crypto", "crypto.sock")));
    struct err e = load_pinned(s);
    if (failed(e)) {
        free(s);
        return e;
    }
    s->crypto = daemon_need(a->d, "crypto");
    *out = s;
    return OK;
}

void signer_free(struct signer *s)
{
    free(s);
}
