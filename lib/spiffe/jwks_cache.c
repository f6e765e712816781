#include "jwks_cache.h"

#include "lib/base/clock.h"
#include "lib/x509/own.h"

struct waiter {
    struct waiter *next;
    struct jwks_cache *cache;
    void (*done)(void *ctx, struct err e);
    void *ctx;
    enum err_code code;
};

struct jwks_cache {
    struct loop *loop;
    struct http_client *client;
    struct str url, jwks_url; /* owned */
    bool discover;
    void (*on_change)(void *ctx, const struct jwks *set);
    void *ctx;
    struct jwks *set;
    struct http_call_state *call;
    struct timer *timer;
    struct waiter *waiting;  /* for the fetch under way */
    struct waiter *answered; /* deferred */
    size_t n_waiting;
    int64_t good_ns, forced_ns; /* monotonic; 0 = never */
    int64_t max_age_s;
};

static void fetch(struct jwks_cache *c);

static void on_timer(void *ctx)
{
    struct jwks_cache *c = ctx;
    c->timer = NULL;
    fetch(c);
}

static void schedule(struct jwks_cache *c, int64_t after_s)
{
    timer_stop(c->timer);
    c->timer = timer_start(c->loop, after_s * 1000, 0, on_timer, c);
    timer_background(c->timer);
}

static void finish(struct jwks_cache *c, struct err e)
{
    c->call = NULL;
    schedule(c, failed(e) ? JWKS_CACHE_RETRY_S : c->max_age_s);
    struct waiter *w = c->waiting;
    c->waiting = NULL;
    c->n_waiting = 0;
    while (w != NULL) {
        struct waiter *next = w->next;
        w->done(w->ctx, e);
        free(w);
        w = next;
    }
}

/* Cache-Control: max-age=N among other directives (RFC 9111 section 5.2). */
static int64_t max_age_of(const struct http_result *res)
{
    struct str rest = http_result_header(res, "cache-control");
    int64_t age = JWKS_CACHE_MIN_S;
    while (rest.p != NULL && rest.n > 0) {
        struct str item = str_trim(str_split(&rest, ','));
        uint64_t n;
        if (str_starts_nocase(item, S("max-age=")) &&
            !failed(str_to_u64(str_sub(item, 8, item.n), &n))) {
            age = (int64_t)MIN(n, (uint64_t)JWKS_CACHE_MAX_S);
        }
    }
    return MAX(age, JWKS_CACHE_MIN_S);
}

static struct err take_set(struct jwks_cache *c, const struct http_result *res)
{
    ENSURE(res->status == 200, ERR_UNAVAILABLE, "%.*s answered %d", STR_FMT(c->url), res->status);
    struct jwks *set;
    TRY(jwks_parse(res->body, NULL, &set));
    jwks_unref(c->set);
    c->set = set;
    c->good_ns = clock_mono_ns();
    c->max_age_s = max_age_of(res);
    if (c->on_change != NULL) {
        c->on_change(c->ctx, set);
    }
    return OK;
}

static void on_set(void *ctx, struct err e, const struct http_result *res)
{
    struct jwks_cache *c = ctx;
    finish(c, failed(e) ? e : take_set(c, res));
}

static void get(struct jwks_cache *c, struct str url,
                void (*done)(void *ctx, struct err e, const struct http_result *res))
{
    struct http_call call = {.method = S("GET"),
                             .url = url,
                             .timeout_ms = JWKS_CACHE_TIMEOUT_MS,
                             .body_max = JWKS_TEXT_MAX,
                             .done = done,
                             .ctx = c};
    c->call = http_client_call(c->client, &call);
}

/* Keys must come from the issuer's own host: a document may not send us elsewhere. */
static struct err same_host(struct arena *a, struct str issuer, struct str jwks)
{
    struct http_url i, j;
    TRY(http_url_parse(a, issuer, &i));
    TRY(http_url_parse(a, jwks, &j));
    ENSURE(i.tls == j.tls && str_eq(i.address, j.address), ERR_DENIED,
           "the keys of '%.*s' are said to be on another host", STR_FMT(issuer));
    return OK;
}

static struct err take_discovery(struct jwks_cache *c, const struct http_result *res)
{
    ENSURE(res->status == 200, ERR_UNAVAILABLE, "discovery at %.*s answered %d", STR_FMT(c->url),
           res->status);
    struct arena a;
    arena_init(&a, 8 * JWKS_TEXT_MAX);
    struct json *doc;
    struct err e = json_parse(&a, res->body, NULL, &doc);
    struct str uri = failed(e) ? STR_EMPTY : json_str(json_get(doc, "jwks_uri"));
    if (!failed(e) && !str_eq(json_str(json_get(doc, "issuer")), c->url)) {
        e = err_make(ERR_DENIED, "the discovery document is of another issuer than '%.*s'",
                     STR_FMT(c->url));
    }
    if (!failed(e)) {
        e = same_host(&a, c->url, uri);
    }
    if (!failed(e)) {
        str_disown(&c->jwks_url);
        c->jwks_url = str_own(uri);
    }
    arena_release(&a);
    return e;
}

static void on_discovery(void *ctx, struct err e, const struct http_result *res)
{
    struct jwks_cache *c = ctx;
    e = failed(e) ? e : take_discovery(c, res);
    if (failed(e)) {
        finish(c, e);
        return;
    }
    get(c, c->jwks_url, on_set);
}

static void fetch(struct jwks_cache *c)
{
    if (c->call != NULL) {
        return;
    }
    if (!c->discover) {
        get(c, c->url, on_set);
        return;
    }
    struct str base = str_ends(c->url, S("/")) ? str_sub(c->url, 0, c->url.n - 1) : c->url;
    struct arena a;
    arena_init(&a, 64 * 1024);
    get(c, arena_printf(&a, "%.*s/.well-known/openid-configuration", STR_FMT(base)), on_discovery);
    arena_release(&a);
}

struct err jwks_cache_new(struct loop *l, const struct jwks_cache_opts *o, struct jwks_cache **out)
{
    struct arena a;
    struct http_url url;
    arena_init(&a, 64 * 1024);
    struct err e = http_url_parse(&a, o->url, &url);
    arena_release(&a);
    TRY(e);
    struct jwks_cache *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL);
    c->loop = l;
    c->client = o->client;
    c->url = str_own(o->url);
    c->discover = o->discover;
    c->on_change = o->on_change;
    c->ctx = o->ctx;
    c->max_age_s = JWKS_CACHE_MIN_S;
    *out = c;
    fetch(c);
    return OK;
}

static void drop_waiters(struct waiter *w, bool tell)
{
    while (w != NULL) {
        struct waiter *next = w->next;
        if (tell) {
            w->done(w->ctx, err_make(ERR_CLOSED, "the key cache is closed"));
            free(w);
        } else {
            w->cache = NULL; /* its deferred call is on its way and frees it */
            w->code = ERR_CLOSED;
        }
        w = next;
    }
}

void jwks_cache_free(struct jwks_cache *c)
{
    if (c == NULL) {
        return;
    }
    http_client_cancel(c->call);
    timer_stop(c->timer);
    drop_waiters(c->waiting, true);
    drop_waiters(c->answered, false);
    jwks_unref(c->set);
    str_disown(&c->url);
    str_disown(&c->jwks_url);
    free(c);
}

const struct jwks *jwks_cache_get(const struct jwks_cache *c)
{
    bool fresh = c->set != NULL && clock_mono_ns() - c->good_ns < JWKS_CACHE_STALE_S * NS_PER_S;
    return fresh ? c->set : NULL;
}

static void answer_later(void *ctx)
{
    struct waiter *w = ctx;
    for (struct waiter **p = w->cache != NULL ? &w->cache->answered : NULL;
         p != NULL && *p != NULL;) {
        if (*p == w) {
            *p = w->next;
            break;
        }
        p = &(*p)->next;
    }
    w->done(w->ctx, err_make(w->code, "the keys were asked for again too soon"));
    free(w);
}

void jwks_cache_refresh(struct jwks_cache *c, void (*done)(void *ctx, struct err e), void *ctx)
{
    struct waiter *w = calloc(1, sizeof(*w));
    BUG_ON(w == NULL);
    *w = (struct waiter){.cache = c, .done = done, .ctx = ctx, .code = ERR_BUSY};
    int64_t now = clock_mono_ns();
    bool soon = c->forced_ns != 0 && now - c->forced_ns < JWKS_CACHE_FORCE_S * NS_PER_S;
    if ((c->call == NULL && soon) || c->n_waiting >= JWKS_CACHE_WAITING_MAX) {
        w->next = c->answered;
        c->answered = w;
        loop_defer(c->loop, answer_later, w);
        return;
    }
    w->next = c->waiting;
    c->waiting = w;
    c->n_waiting++;
    if (c->call == NULL) {
        c->forced_ns = now;
        fetch(c);
    }
}
