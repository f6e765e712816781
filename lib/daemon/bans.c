#include "lib/daemon/bans.h"

#include "lib/base/log.h"
#include "lib/base/map.h"
#include "lib/http/client.h"
#include "lib/json/json.h"
#include "lib/loop/loop.h"

#include <stdlib.h>

enum { POLL_MS = 40000, RETRY_FIRST_MS = 50, RETRY_MAX_MS = 1000 };

struct bans {
    struct daemon *d;
    struct str url;
    struct map banned;
    uint64_t sequence;
    bool known;
    int retry_ms;
    void (*on_change)(void *ctx, struct str spiffe_id, bool banned);
    void *ctx;
    struct http_call_state *call;
    struct timer *retry;
};

static void ask(void *ctx);

static bool listed(const struct json *entries, struct str id)
{
    for (uint32_t i = 0; i < entries->n; i++) {
        if (str_eq(json_str(json_get(entries->items[i], "spiffe_id")), id)) {
            return true;
        }
    }
    return false;
}

static void tell(const struct bans *b, struct str id, bool banned)
{
    if (b->on_change != NULL) {
        b->on_change(b->ctx, id, banned);
    }
}

/* The answer is the whole list: what is not in it any more is allowed again. */
static void apply(struct bans *b, const struct json *entries)
{
    static char present;
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&b->banned, &i)) != NULL;) {
        if (!listed(entries, e->key)) {
            map_del(&b->banned, e->key);
            tell(b, e->key, false);
        }
    }
    for (uint32_t i = 0; i < entries->n; i++) {
        struct str id = json_str(json_get(entries->items[i], "spiffe_id"));
        if (id.n > 0 && map_set(&b->banned, id, &present) == NULL) {
            tell(b, id, true);
        }
    }
    b->known = true;
}

static struct err read_answer(struct bans *b, const struct http_result *res)
{
    struct arena a;
    struct json *v;
    uint64_t sequence = 0;
    ENSURE(res->status == 200, ERR_UNAVAILABLE, "identity answered %d", res->status);
    arena_init(&a, BANS_BODY_MAX * 2);
    struct err e = json_parse(&a, res->body, NULL, &v);
    if (!failed(e)) {
        e = json_u64(json_get(v, "sequence"), &sequence);
    }
    if (!failed(e) && !json_is(json_get(v, "entries"), JSON_ARRAY)) {
        e = err_make(ERR_SYNTAX, "a deny-list without entries");
    }
    if (!failed(e)) {
        b->sequence = sequence;
        apply(b, json_get(v, "entries"));
    }
    arena_release(&a);
    return e;
}

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct bans *b = ctx;
    b->call = NULL;
    bool timeout = e.code == ERR_TIMEOUT; /* nothing happened for the length of a poll */
    if (!failed(e)) {
        e = read_answer(b, res);
    }
    if (failed(e) && !timeout) {
        log_debug("deny-list not available", {"error", LOG_CSTR(err_detail())});
        b->retry = timer_start(b->d->loop, b->retry_ms, 0, ask, b);
        b->retry_ms = MIN(b->retry_ms * 2, RETRY_MAX_MS);
        return;
    }
    b->retry_ms = RETRY_FIRST_MS;
    ask(b);
}

static void ask(void *ctx)
{
    struct bans *b = ctx;
    char url[1024];
    b->retry = NULL;
    snprintf(url, sizeof(url), "%.*s/v1/denylist?after=%llu", STR_FMT(b->url),
             (unsigned long long)b->sequence);
    b->call = http_client_call(b->d->http, &(struct http_call){.method = S("GET"),
                                                               .url = str_of(url),
                                                               .timeout_ms = POLL_MS,
                                                               .body_max = BANS_BODY_MAX,
                                                               .done = answered,
                                                               .ctx = b});
}

struct err bans_follow(struct daemon *d, struct str url,
                       void (*on_change)(void *ctx, struct str spiffe_id, bool banned), void *ctx,
                       struct bans **out)
{
    struct bans *b = calloc(1, sizeof(*b));
    ENSURE(b != NULL, ERR_LIMIT, "out of memory");
    *b = (struct bans){.d = d, .on_change = on_change, .ctx = ctx, .retry_ms = RETRY_FIRST_MS};
    b->url = url.n > 0 ? arena_str(&d->boot, url)
                       : arena_printf(&d->boot,
                                      "%.*s:", STR_FMT(daemon_socket(d, "identity", "admin.sock")));
    map_init(&b->banned);
    *out = b;
    ask(b);
    return OK;
}

void bans_free(struct bans *b)
{
    if (b != NULL) {
        http_client_cancel(b->call);
        timer_stop(b->retry);
        map_release(&b->banned);
        free(b);
    }
}

bool bans_known(const struct bans *b)
{
    return b->known;
}

bool bans_has(const struct bans *b, struct str spiffe_id)
{
    return map_get(&b->banned, spiffe_id) != NULL;
}
