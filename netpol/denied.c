/*
 * Denied connections as audit events: who tried to reach what, and which policy said no.
 *
 * A client that is dropped tries again for minutes; the same source, destination and port are one
 * event in each ten seconds.
 */
#include "netpold.h"

#include "denials.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/loop/loop.h"
#include "lib/telemetry/telemetry.h"

#include <stdlib.h>

enum { QUIET_S = 10, SEEN_MAX = 4096 };

struct netpol_denied {
    struct daemon *d;
    struct netpol_epoch *const *now;
    struct denials *denials;
    struct watch *watch;
    struct map seen; /* connection to the second of its last event, plus one */
};

static struct metric denied_total =
    METRIC_COUNTER("sextant_netpol_denied_total", "Denied first packets reported.", NULL, NULL);

struct connection {
    struct ip src, dst;
    uint16_t port;
    uint8_t proto;
};

static bool is_new(struct netpol_denied *x, const struct denial *what)
{
    struct connection c;
    memset(&c, 0, sizeof(c)); /* it is a key, padding and all */
    c.src = what->src;
    c.dst = what->dst;
    c.port = what->dport;
    c.proto = what->proto;
    struct str key = str_n(&c, sizeof(c));
    uintptr_t now = (uintptr_t)(clock_mono_ns() / NS_PER_S) + 1,
              last = (uintptr_t)map_get(&x->seen, key);
    if (last != 0 && now - last < QUIET_S) {
        return false;
    }
    if (map_len(&x->seen) >= SEEN_MAX) {
        map_release(&x->seen); /* a flood of different ones: begin to remember anew */
        map_init(&x->seen);
    }
    map_set(&x->seen, key, (void *)now);
    return true;
}

static struct str end_text(struct arena *a, const struct netpol_end *e)
{
    struct buf text;
    buf_init(&text, 1024);
    netpol_end_put(&text, e);
    struct str s = arena_str(a, buf_str(&text));
    buf_release(&text);
    return s;
}

static void tell(struct netpol_denied *x, const struct netpol_model *m, const struct denial *what)
{
    struct arena a;
    arena_init(&a, 1 << 20);
    bool ports =
        what->proto == NETPOL_TCP || what->proto == NETPOL_UDP || what->proto == NETPOL_SCTP;
    enum netpol_proto proto = ports ? (enum netpol_proto)what->proto : NETPOL_ICMP;
    struct netpol_end src = {netpol_model_pod_at(m, &what->src), what->src};
    struct netpol_end dst = {netpol_model_pod_at(m, &what->dst), what->dst};
    struct netpol_decision d = netpol_decide(m, &src, &dst, proto, what->dport);
    const struct netpol_side *side = d.egress.allowed ? &d.ingress : &d.egress;
    const struct netpol_policy *p = side->policy;
    struct netpol_end address = {NULL, what->src};
    struct audit_event e = {
        .class_uid = OCSF_NETWORK_ACTIVITY,
        .activity_id = 5, /* refuse */
        .activity = "connect",
        .outcome = "denied",
        .actor_user = end_text(&a, &src),
        .resource_type = S("endpoint"),
        .resource_uid = arena_printf(&a, "%.*s:%u/%s", STR_FMT(end_text(&a, &dst)), what->dport,
                                     netpol_proto_name(proto)),
        .source_addr = arena_printf(&a, "%.*s:%u", STR_FMT(end_text(&a, &address)), what->sport),
        .namespace = src.pod != NULL ? src.pod->ns : STR_EMPTY,
        .reason = side == &d.ingress ? S("no ingress rule of the destination allows it")
                                     : S("no egress rule of the source allows it"),
        .trace = trace_new(),
    };
    if (p != NULL) {
        e.policy_path =
            arena_printf(&a, "networkpolicy/%.*s/%.*s", STR_FMT(p->ns), STR_FMT(p->name));
        e.policy_rule = arena_printf(&a, "%.*s:%u", STR_FMT(p->place.file), p->place.line);
    }
    audit_emit(x->d->audit, &e, NULL, NULL);
    arena_release(&a);
}

static void on_denial(void *ctx, const struct denial *what)
{
    struct netpol_denied *x = ctx;
    metric_add(&denied_total, 1);
    if (*x->now != NULL && is_new(x, what)) {
        tell(x, (*x->now)->model, what);
    }
}

static void on_readable(void *ctx)
{
    struct netpol_denied *x = ctx;
    denials_read(x->denials, on_denial, x);
}

struct netpol_denied *netpol_denied_start(struct daemon *d, struct netpol_epoch *const *now)
{
    struct netpol_denied *x = calloc(1, sizeof(*x));
    BUG_ON(x == NULL);
    *x = (struct netpol_denied){.d = d, .now = now};
    map_init(&x->seen);
    metric_register(&denied_total);
    struct err e = denials_open(&x->denials);
    e = failed(e) ? e : watch_fd(d->loop, denials_fd(x->denials), on_readable, x, &x->watch);
    if (failed(e)) {
        log_warn("denied connections are dropped but not reported",
                 {"error", LOG_CSTR(err_detail())});
        netpol_denied_stop(x);
        return NULL;
    }
    return x;
}

void netpol_denied_stop(struct netpol_denied *x)
{
    if (x != NULL) {
        watch_stop(x->watch);
        denials_close(x->denials);
        map_release(&x->seen);
        free(x);
    }
}
