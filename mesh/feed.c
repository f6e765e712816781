/*
 * What is no longer to be believed, pushed to us: identity's deny-list (whole at each change) and authn's
 * revocations (a growing list). Each is a request held open; its answer is taken, and the next is sent at
 * once. While a feed cannot be had, what is known stays in force and the sidecar is not ready.
 */
#include "mesh.h"

#include "lib/base/log.h"
#include "lib/http/client.h"

#include <stdio.h>
#include <stdlib.h>

enum { FEED_TIMEOUT_MS = 65000, FEED_BODY_MAX = 64 << 20, RETRY_MIN_MS = 50, RETRY_MAX_MS = 2000 };

struct feed {
    struct mesh *m;
    struct str url;
    const char *name;
    const char *first; /* the query that is answered at once */
    bool (*take)(struct mesh *m, struct feed *f,
                 const struct json *answer); /* true: something new */
    struct dependency *dep;
    struct http_call_state *call;
    struct timer *retry;
    uint64_t after;
    int64_t wait_ms;
    bool have;
};

struct mark {
    int64_t before;
};

static void ask(struct feed *f);

/* ---- taking answers ---- */

static void free_values(struct map *m)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(m, &i)) != NULL;) {
        free(e->value);
    }
    map_release(m);
}

static void put_mark(struct map *map, const char *kind, struct str value, int64_t before)
{
    char key[2100];
    int n = snprintf(key, sizeof(key), "%s %.*s", kind, STR_FMT(value));
    struct mark *k = calloc(1, sizeof(*k));
    if (k == NULL || n < 0 || (size_t)n >= sizeof(key)) {
        free(k);
        return;
    }
    k->before = before;
    free(map_set(map, str_n(key, (size_t)n), k));
}

/* {"sequence": 8, "entries": [{"spiffe_id"|"serial"|"jti": "...", ...}]}: the whole list. */
static bool take_denylist(struct mesh *m, struct feed *f, const struct json *v)
{
    static const char *const kinds[] = {"spiffe_id", "serial", "jti"};
    const struct json *list = json_get(v, "entries");
    uint64_t sequence;
    if (!json_is(list, JSON_ARRAY) || failed(json_u64(json_get(v, "sequence"), &sequence))) {
        return false;
    }
    if (f->have && sequence == f->after) {
        return false;
    }
    f->after = sequence;
    free_values(&m->denied);
    map_init(&m->denied);
    for (uint32_t i = 0; i < list->n && i < MESH_DENIED_MAX; i++) {
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
            struct str value = json_str(json_get(list->items[i], kinds[k]));
            if (value.n > 0) {
                put_mark(&m->denied, kinds[k], value, 0);
            }
        }
    }
    return true;
}

/* {"next": 9, "revocations": [{"kind", "value", "before"}]}: what came after. */
static bool take_revocations(struct mesh *m, struct feed *f, const struct json *v)
{
    const struct json *list = json_get(v, "revocations");
    uint64_t next;
    if (!json_is(list, JSON_ARRAY) || failed(json_u64(json_get(v, "next"), &next))) {
        return false;
    }
    f->after = next;
    for (uint32_t i = 0; i < list->n && map_len(&m->revoked) < MESH_DENIED_MAX; i++) {
        struct str kind = json_str(json_get(list->items[i], "kind"));
        char name[32];
        int64_t before = INT64_MAX;
        if (failed(str_to_cstr(kind, name, sizeof(name)))) {
            continue;
        }
        ignore_err(json_i64(json_get(list->items[i], "before"), &before));
        put_mark(&m->revoked, name, json_str(json_get(list->items[i], "value")), before);
    }
    return list->n > 0;
}

/* ---- questions ---- */

static const struct mark *find_mark(const struct map *map, const char *kind, struct str value)
{
    char key[2100];
    int n = snprintf(key, sizeof(key), "%s %.*s", kind, STR_FMT(value));
    return n > 0 && (size_t)n < sizeof(key) ? map_get(map, str_n(key, (size_t)n)) : NULL;
}

bool mesh_id_is_denied(const struct mesh *m, struct str spiffe_id)
{
    return map_len(&m->denied) > 0 && find_mark(&m->denied, "spiffe_id", spiffe_id) != NULL;
}

bool mesh_is_denied(const struct mesh *m, const struct flow *f)
{
    if (map_len(&m->denied) == 0 || f->peer_id == NULL) {
        return false;
    }
    return find_mark(&m->denied, "spiffe_id", str_of(f->peer_id)) != NULL ||
           (f->peer_serial != NULL &&
            find_mark(&m->denied, "serial", str_of(f->peer_serial)) != NULL);
}

static bool marked(const struct mesh *m, const char *kind, struct str value, int64_t issued_s)
{
    const struct mark *k = value.n > 0 ? find_mark(&m->revoked, kind, value) : NULL;
    return k != NULL && issued_s <= k->before;
}

bool mesh_token_revoked(const struct mesh *m, const struct json *claims)
{
    struct str jti = json_str(json_get(claims, "jti"));
    int64_t iat = 0;
    ignore_err(json_i64(json_get(claims, "iat"), &iat));
    if (map_len(&m->denied) > 0 && jti.n > 0 && find_mark(&m->denied, "jti", jti) != NULL) {
        return true;
    }
    if (map_len(&m->revoked) == 0) {
        return false;
    }
    size_t dot = str_find_char(jti, '.');
    struct str family = dot != STR_NPOS ? str_sub(jti, 0, dot) : STR_EMPTY;
    return marked(m, "jti", jti, INT64_MIN) || marked(m, "family", family, INT64_MIN) ||
           marked(m, "session", json_str(json_get(claims, "sid")), INT64_MIN) ||
           marked(m, "sub", json_str(json_get(claims, "sub")), iat) ||
           marked(m, "client", json_str(json_get(claims, "client_id")), iat);
}

/* ---- holding on ---- */

static void ask_again(void *ctx)
{
    struct feed *f = ctx;
    f->retry = NULL;
    ask(f);
}

static void failed_feed(struct feed *f, const char *why)
{
    daemon_lost(f->dep, why);
    f->wait_ms = f->wait_ms == 0 ? RETRY_MIN_MS : MIN(f->wait_ms * 2, (int64_t)RETRY_MAX_MS);
    f->retry = timer_start(f->m->loop, f->wait_ms, 0, ask_again, f);
}

static void answered(void *ctx, struct err e, const struct http_result *res)
{
    struct feed *f = ctx;
    f->call = NULL;
    if (f->m->stopping) {
        return;
    }
    if (e.code == ERR_TIMEOUT && f->have) { /* nothing happened for a minute */
        ask(f);
        return;
    }
    if (failed(e) || res->status != 200) {
        failed_feed(f, failed(e) ? err_detail() : "the feed answers with an error");
        return;
    }
    struct arena a;
    struct json *v;
    arena_init(&a, (size_t)256 << 20);
    struct json_limits limits = {.max_bytes = FEED_BODY_MAX};
    struct err parsed = json_parse(&a, res->body, &limits, &v);
    bool news = !failed(parsed) && f->take(f->m, f, v);
    arena_release(&a);
    if (failed(parsed)) {
        failed_feed(f, "the feed's answer is not JSON");
        return;
    }
    f->have = true;
    f->wait_ms = 0;
    daemon_have(f->dep);
    if (news) {
        mesh_recheck(f->m, f->name);
    }
    ask(f);
}

static void ask(struct feed *f)
{
    char url[1024];
    if (f->have) {
        snprintf(url, sizeof(url), "%.*s?after=%llu", STR_FMT(f->url),
                 (unsigned long long)f->after);
    } else {
        snprintf(url, sizeof(url), "%.*s?%s", STR_FMT(f->url), f->first);
    }
    struct http_call call = {.method = S("GET"),
                             .url = str_of(url),
                             .timeout_ms = FEED_TIMEOUT_MS,
                             .body_max = FEED_BODY_MAX,
                             .done = answered,
                             .ctx = f};
    f->call = http_client_call(f->m->web, &call);
}

static struct err feed_open(struct mesh *m, struct str url, const char *name, const char *first,
                            bool (*take)(struct mesh *, struct feed *, const struct json *),
                            struct feed **out)
{
    if (url.n == 0) {
        return OK;
    }
    struct feed *f = calloc(1, sizeof(*f));
    ENSURE(f != NULL, ERR_LIMIT, "out of memory for a feed");
    *f = (struct feed){.m = m, .url = url, .name = name, .first = first, .take = take};
    f->dep = daemon_need(m->d, name);
    *out = f;
    ask(f);
    return OK;
}

struct err feeds_open(struct mesh *m)
{
    TRY(feed_open(m, m->o->denylist, "deny-list", "after=18446744073709551615", take_denylist,
                  &m->denylist));
    return feed_open(m, m->o->revocations, "revocations", "after=0&wait=0", take_revocations,
                     &m->revocations);
}

static void feed_close(struct feed *f)
{
    if (f != NULL) {
        http_client_cancel(f->call);
        timer_stop(f->retry);
        free(f);
    }
}

void feeds_close(struct mesh *m)
{
    feed_close(m->denylist);
    feed_close(m->revocations);
    free_values(&m->denied);
    free_values(&m->revoked);
}
