#include "throttle.h"

#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/ip.h"
#include "limits.h"

#include <stdio.h>
#include <stdlib.h>

enum counter_kind { COUNT_PAIR, COUNT_ACCOUNT, COUNT_SOURCE, COUNT_KINDS };

static const unsigned allowance[COUNT_KINDS] = {5, 25, 50};
static const int64_t forget_ns = 3600 * NS_PER_S, longest_block_s = 900;

struct counter {
    unsigned failures, allowed;
    int64_t last_ns;
};

struct counter_key {
    char text[400];
    size_t n;
};

static struct counter_key key_of(enum counter_kind kind, struct str account, struct str source)
{
    struct counter_key k;
    if (kind == COUNT_SOURCE) {
        account = STR_EMPTY;
    } else if (kind == COUNT_ACCOUNT) {
        source = STR_EMPTY;
    }
    int n = snprintf(k.text, sizeof(k.text), "%d\x1f%.*s\x1f%.*s", (int)kind,
                     (int)MIN(account.n, (size_t)200), account.p != NULL ? account.p : "",
                     (int)MIN(source.n, (size_t)100), source.p != NULL ? source.p : "");
    k.n = MIN((size_t)n, sizeof(k.text) - 1);
    return k;
}

void throttle_init(struct throttle *t)
{
    map_init(&t->counters);
    t->swept_ns = 0;
}

void throttle_release(struct throttle *t)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&t->counters, &i)) != NULL;) {
        free(e->value);
    }
    map_release(&t->counters);
}

static int64_t wait_of(const struct counter *c, int64_t mono_ns)
{
    if (c == NULL || c->failures < c->allowed) {
        return 0;
    }
    unsigned over = c->failures - c->allowed;
    int64_t block_s = over >= 10 ? longest_block_s : MIN((int64_t)1 << over, longest_block_s);
    int64_t left_ns = c->last_ns + block_s * NS_PER_S - mono_ns;
    return left_ns > 0 ? (left_ns + NS_PER_S - 1) / NS_PER_S : 0;
}

int64_t throttle_wait_s(const struct throttle *t, struct str account, struct str source,
                        int64_t mono_ns)
{
    int64_t longest = 0;
    for (int kind = 0; kind < COUNT_KINDS; kind++) {
        struct counter_key k = key_of((enum counter_kind)kind, account, source);
        longest = MAX(longest, wait_of(map_get(&t->counters, str_n(k.text, k.n)), mono_ns));
    }
    return longest;
}

/* Drops counters that have been quiet for an hour; when the table is full, the quietest half. */
static void sweep(struct throttle *t, int64_t mono_ns)
{
    struct map_entry *e;
    bool full = map_len(&t->counters) >= THROTTLE_ENTRIES_MAX;
    if (!full && mono_ns - t->swept_ns < 60 * NS_PER_S) {
        return;
    }
    t->swept_ns = mono_ns;
    for (size_t i = 0; (e = map_at(&t->counters, &i)) != NULL;) {
        struct counter *c = e->value;
        bool quiet = mono_ns - c->last_ns > forget_ns || (full && c->failures < c->allowed);
        if (quiet) {
            map_del(&t->counters, e->key);
            free(c);
        }
    }
}

void throttle_failed(struct throttle *t, struct str account, struct str source, int64_t mono_ns)
{
    sweep(t, mono_ns);
    for (int kind = 0; kind < COUNT_KINDS; kind++) {
        struct counter_key k = key_of((enum counter_kind)kind, account, source);
        struct counter *c = map_get(&t->counters, str_n(k.text, k.n));
        if (c == NULL && map_len(&t->counters) < THROTTLE_ENTRIES_MAX) {
            c = calloc(1, sizeof(*c));
            if (c == NULL) {
                return;
            }
            c->allowed = allowance[kind];
            map_set(&t->counters, str_n(k.text, k.n), c);
        }
        if (c != NULL) {
            c->failures = mono_ns - c->last_ns > forget_ns ? 1 : c->failures + 1;
            c->last_ns = mono_ns;
        }
    }
}

void throttle_succeeded(struct throttle *t, struct str account, struct str source)
{
    for (int kind = 0; kind < COUNT_SOURCE; kind++) {
        struct counter_key k = key_of((enum counter_kind)kind, account, source);
        free(map_del(&t->counters, str_n(k.text, k.n)));
    }
}

struct str throttle_source(struct str addr, char *storage, size_t size)
{
    struct ip ip;
    size_t colon = str_rfind_char(addr, ':');
    struct str host = colon == STR_NPOS ? addr : str_sub(addr, 0, colon);
    if (host.n > 2 && host.p[0] == '[') {
        host = str_sub(host, 1, host.n - 1);
    }
    if (failed(ip_parse(host, &ip)) || ip.family != 6) {
        return host;
    }
    int n = snprintf(storage, size, "%02x%02x:%02x%02x:%02x%02x:%02x%02x::/64", ip.b[0], ip.b[1],
                     ip.b[2], ip.b[3], ip.b[4], ip.b[5], ip.b[6], ip.b[7]);
    return str_n(storage, MIN((size_t)n, size - 1));
}
