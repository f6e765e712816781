#include "denylist.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/daemon/daemon.h"
#include "lib/http/client.h"
#include "lib/loop/loop.h"

#include "authn.h"
#include "limits.h"

#include <inttypes.h>
#include <stdlib.h>

enum { POLL_MS = 40 * 1000, AGAIN_MS = 1000, LIST_BYTES_MAX = 16 << 20 };

struct denylist {
    struct authn *n;
    char base[256];
    struct map banned; /* SPIFFE id -> itself, as a mark */
    uint64_t sequence;
    struct http_call_state *call;
    struct timer *timer;
};

/* Ending the tokens of one client, on its way through the store. */
struct cut {
    struct authn *n;
    char client[CLIENT_ID_MAX + 1];
};

bool denylist_has(const struct denylist *d, struct str spiffe_id)
{
    return d != NULL && spiffe_id.n > 0 && map_get(&d->banned, spiffe_id) != NULL;
}

static struct err cut_write(void *ctx)
{
    const struct cut *c = ctx;
    return client_end(c->n->store, str_of(c->client), clock_wall_s(), authn_mark_s(c->n));
}

static void cut_written(void *ctx, struct err e)
{
    struct cut *c = ctx;
    struct audit_event event = {
        .class_uid = OCSF_AUTHORIZE_SESSION,
        .activity = "grant.revoke",
        .outcome = failed(e) ? "failed" : "allowed",
        .actor_spiffe_id = str_of(c->n->daemon->spiffe_id),
        .resource_type = S("client"),
        .resource_uid = str_of(c->client),
        .reason = S("its SPIFFE id is banned"),
        .trace = trace_new(),
    };
    if (failed(e)) {
        log_error("tokens of a banned workload could not be ended", {"client", LOG_CSTR(c->client)},
                  {"reason", LOG_CSTR(err_detail())});
    }
    audit_emit(c->n->daemon->audit, &event, NULL, NULL);
    authn_marks_written(c->n);
    free(c);
}

static void cut_off(struct authn *n, struct str spiffe_id)
{
    const struct client *client = clients_find_spiffe(&n->clients, spiffe_id);
    log_warn("an identity is banned", {"spiffe_id", LOG_STR(spiffe_id)});
    if (client == NULL) {
        return;
    }
    struct cut *c = calloc(1, sizeof(*c));
    BUG_ON(c == NULL || failed(str_to_cstr(client->id, c->client, sizeof(c->client))));
    c->n = n;
    store_batch(n->store, cut_write, cut_written, c);
}

/* The new list in place of the old; whoever was not on the old one is cut off. */
static void apply(struct denylist *d, const struct json *entries)
{
    static char mark;
    struct map next;
    map_init(&next);
    for (uint32_t i = 0; i < entries->n; i++) {
        struct str id = json_str(json_get(entries->items[i], "spiffe_id"));
        if (id.n > 0 && map_set(&next, id, &mark) == NULL && map_get(&d->banned, id) == NULL) {
            cut_off(d->n, id);
        }
    }
    map_release(&d->banned);
    d->banned = next;
}

static struct err take_answer(struct denylist *d, struct arena *a, const struct http_result *res)
{
    struct json *doc;
    uint64_t sequence;
    ENSURE(res->status == 200, ERR_UNAVAILABLE, "identity answered %d", res->status);
    TRY(json_parse(a, res->body, NULL, &doc));
    const struct json *entries = json_get(doc, "entries");
    TRY(json_u64(json_get(doc, "sequence"), &sequence));
    ENSURE(json_is(entries, JSON_ARRAY), ERR_SYNTAX, "the deny-list has no entries");
    d->sequence = sequence;
    apply(d, entries);
    return OK;
}

static void ask(void *ctx);

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct denylist *d = ctx;
    struct arena a;
    d->call = NULL;
    arena_init(&a, 4 * LIST_BYTES_MAX);
    e = failed(e) ? e : take_answer(d, &a, res);
    arena_release(&a);
    d->timer = timer_start(d->n->daemon->loop, failed(e) && e.code != ERR_TIMEOUT ? AGAIN_MS : 0, 0,
                           ask, d);
}

static void ask(void *ctx)
{
    static const struct http_header who_calls[] = {
        {STR_INIT("x-sextant-caller"), STR_INIT("authn")}};
    struct denylist *d = ctx;
    struct arena a;
    d->timer = NULL;
    arena_init(&a, 4096);
    struct http_call call = {
        .method = S("GET"),
        .url = arena_printf(&a, "%s/v1/denylist?after=%" PRIu64, d->base, d->sequence),
        .headers = who_calls,
        .n_headers = ARRAY_LEN(who_calls),
        .timeout_ms = POLL_MS,
        .body_max = LIST_BYTES_MAX,
        .done = answered,
        .ctx = d,
    };
    d->call = http_client_call(d->n->daemon->http, &call);
    arena_release(&a);
}

struct denylist *denylist_start(struct authn *n, struct str base)
{
    struct denylist *d = calloc(1, sizeof(*d));
    BUG_ON(d == NULL || failed(str_to_cstr(base, d->base, sizeof(d->base))));
    d->n = n;
    map_init(&d->banned);
    d->timer = timer_start(n->daemon->loop, 0, 0, ask, d);
    return d;
}

void denylist_stop(struct denylist *d)
{
    if (d == NULL) {
        return;
    }
    http_client_cancel(d->call);
    timer_stop(d->timer);
    map_release(&d->banned);
    free(d);
}
