/* Doors and flows: accept, look at the first bytes, end TLS, and hand on to the HTTP proxy or the relay. */
#include "mesh.h"

#include "lib/base/codec.h"
#include "lib/base/log.h"
#include "lib/tls/digest.h"

#include <stdio.h>
#include <stdlib.h>

static const struct conn_handler sniff_handler;

/* ---- life ---- */

static struct flow *flow_new(struct door *door, struct conn *c)
{
    struct mesh *m = door->m;
    struct flow *f = m->n_flows < MESH_FLOWS_MAX ? calloc(1, sizeof(*f)) : NULL;
    if (f == NULL) {
        return NULL;
    }
    f->m = m;
    f->door = door;
    f->conn = c;
    buf_init(&f->first, MESH_SNIFF_MAX + 64 * 1024);
    f->next = m->flows;
    if (m->flows != NULL) {
        m->flows->prev = f;
    }
    m->flows = f;
    m->n_flows++;
    return f;
}

void flow_end(struct flow *f)
{
    struct mesh *m = f->m;
    if (f->prev != NULL) {
        f->prev->next = f->next;
    } else {
        m->flows = f->next;
    }
    if (f->next != NULL) {
        f->next->prev = f->prev;
    }
    m->n_flows--;
    timer_stop(f->sniff_timer);
    buf_release(&f->first);
    free(f->peer_id);
    free(f->peer_hash);
    free(f->peer_serial);
    free(f->xfcc);
    free(f->sni);
    free(f);
}

void flow_cut(struct flow *f, const char *why)
{
    if (f->conn != NULL) {
        log_info("connection cut", {"destination", LOG_CSTR(f->dst)},
                 {"peer", LOG_CSTR(f->peer_id)}, {"why", LOG_CSTR(why)});
        conn_abort(f->conn);
    }
}

static void on_sniff_close(struct conn *c, struct err why, void *ctx)
{
    flow_end(ctx);
}

/* ---- handing on ---- */

static bool looks_like_http(struct str b)
{
    size_t i = 0;
    while (i < b.n && i < 20 && b.p[i] >= 'A' && b.p[i] <= 'Z') {
        i++;
    }
    return i >= 3 && i < b.n && b.p[i] == ' ';
}

/* Could more bytes make it HTTP? */
static bool may_become_http(struct str b)
{
    for (size_t i = 0; i < b.n; i++) {
        if (b.p[i] < 'A' || b.p[i] > 'Z') {
            return false;
        }
    }
    return b.n < 20;
}

static void hand_on(struct flow *f, bool http)
{
    timer_stop(f->sniff_timer);
    f->sniff_timer = NULL;
    f->handed_over = true;
    f->http = http;
    if (!http) {
        relay_start(f);
        return;
    }
    struct buf first = f->first;
    buf_init(&f->first, 0);
    http_server_adopt(f->m->http, f->conn, buf_str(&first), f);
    buf_release(&first);
}

/* The protocol inside, after TLS if there was any. */
static void choose_protocol(struct flow *f)
{
    struct str alpn = conn_peer(f->conn)->alpn, first = buf_str(&f->first);
    bool http_alpn = str_is(alpn, "h2") || str_is(alpn, "istio-h2") ||
                     str_starts(alpn, S("http/")) || str_starts(alpn, S("istio-http/"));
    if (f->door->protocol == PROTO_TCP) {
        hand_on(f, false);
    } else if (f->door->protocol == PROTO_HTTP || http_alpn || looks_like_http(first)) {
        hand_on(f, true);
    } else if (first.n > 0 && !may_become_http(first)) {
        hand_on(f, false);
    }
}

static void sniff_timed_out(void *ctx)
{
    struct flow *f = ctx;
    f->sniff_timer = NULL;
    hand_on(f, false); /* a server that speaks first, or bytes that stopped */
}

static void no_handshake(void *ctx)
{
    struct flow *f = ctx;
    f->sniff_timer = NULL;
    flow_cut(f, "no TLS handshake in time");
}

static void wait_for_bytes(struct flow *f)
{
    if (f->sniff_timer == NULL) {
        f->sniff_timer = timer_start(f->m->loop, MESH_SNIFF_MS, 0, sniff_timed_out, f);
    }
}

/* ---- TLS ---- */

static char *hex_copy(struct str bytes)
{
    struct buf hex;
    buf_init(&hex, 2 * bytes.n + 1);
    hex_put(&hex, bytes);
    char *copy = strndup(hex.p != NULL ? hex.p : "", hex.n);
    buf_release(&hex);
    return copy;
}

static void remember_peer(struct flow *f)
{
    const struct peer *p = conn_peer(f->conn);
    f->tls = p->tls;
    f->peer_id = p->spiffe_id.n > 0 ? strndup(p->spiffe_id.p, p->spiffe_id.n) : NULL;
    f->sni = p->sni.n > 0 ? strndup(p->sni.p, p->sni.n) : NULL;
    const struct x509_chain *chain =
        conn_tls(f->conn) != NULL ? tls_peer_chain(conn_tls(f->conn)) : NULL;
    if (chain == NULL || chain->n == 0) {
        return;
    }
    uint8_t sum[SHA256_BYTES];
    sha256_of(chain->certs[0]->der, sum);
    f->peer_hash = hex_copy(str_n(sum, sizeof(sum)));
    f->peer_serial = hex_copy(chain->certs[0]->serial);
    struct buf xfcc;
    buf_init(&xfcc, 8192);
    buf_printf(&xfcc, "By=%s;Hash=%s;Subject=\"\";URI=%s", f->m->own_id != NULL ? f->m->own_id : "",
               f->peer_hash != NULL ? f->peer_hash : "", f->peer_id != NULL ? f->peer_id : "");
    f->xfcc = strndup(xfcc.p, xfcc.n);
    buf_release(&xfcc);
}

static void tls_done(void *ctx, struct err e, struct conn *c)
{
    struct flow *f = ctx;
    if (failed(e)) {
        struct trace t = trace_new();
        struct mesh_decision d = {.verdict = MESH_DENY, .reason = "the TLS handshake failed"};
        log_info("handshake refused", {"destination", LOG_CSTR(f->dst)},
                 {"why", LOG_CSTR(err_detail())});
        f->conn = NULL;
        audit_decision(f->m, f, NULL, &d, "denied", STR_EMPTY, &t, NULL, NULL);
        flow_end(f);
        return;
    }
    remember_peer(f);
    if (mesh_is_denied(f->m, f)) {
        struct trace t = trace_new();
        struct mesh_decision d = {.verdict = MESH_DENY,
                                  .reason = "the identity is on the deny-list"};
        audit_decision(f->m, f, NULL, &d, "denied", STR_EMPTY, &t, NULL, NULL);
        conn_start(c, &sniff_handler, f);
        conn_abort(c);
        return;
    }
    wait_for_bytes(f);
    choose_protocol(f);
    if (!f->handed_over) {
        conn_start(c, &sniff_handler, f);
    }
}

static void begin_tls(struct flow *f, struct tls_server *tls)
{
    timer_stop(f->sniff_timer);
    f->sniff_timer = NULL;
    struct buf first = f->first;
    buf_init(&f->first, MESH_SNIFF_MAX + 64 * 1024);
    struct err e = conn_start_tls(f->conn, tls, buf_str(&first), tls_done, f);
    buf_release(&first);
    if (failed(e)) {
        flow_cut(f, err_detail());
    }
}

static void refuse_plaintext(struct flow *f)
{
    struct trace t = trace_new();
    struct mesh_decision d = {.verdict = MESH_DENY,
                              .reason = "plaintext where PeerAuthentication demands mutual TLS"};
    audit_decision(f->m, f, NULL, &d, "denied", STR_EMPTY, &t, NULL, NULL);
    flow_cut(f, d.reason);
}

/* Plain, TLS that ends here, or TLS that passes through: PeerAuthentication with a look at the bytes. */
static void classify(struct flow *f)
{
    if (f->door->people) {
        begin_tls(f, f->m->tls_people);
        return;
    }
    enum mesh_mtls_mode mode = mesh_mtls_mode(f->m->epoch->set, f->port);
    enum hello hello = f->first.n == 0 ? HELLO_NONE : hello_look(buf_str(&f->first));
    if (hello == HELLO_PARTIAL && f->first.n < MESH_SNIFF_MAX) {
        return;
    }
    if (mode == MESH_MTLS_STRICT && hello == HELLO_NONE) {
        refuse_plaintext(f);
    } else if (mode == MESH_MTLS_STRICT || (mode == MESH_MTLS_PERMISSIVE && hello == HELLO_MESH)) {
        begin_tls(f, f->m->tls_mesh);
    } else if (hello != HELLO_NONE) {
        hand_on(f, false); /* the workload's own TLS, opaque to us */
    } else {
        choose_protocol(f);
    }
}

static void on_sniff_data(struct conn *c, struct str bytes, void *ctx)
{
    struct flow *f = ctx;
    buf_puts(&f->first, bytes);
    if (!buf_ok(&f->first)) {
        flow_cut(f, "too much before the protocol was known");
    } else if (f->tls || f->door->dir == OUTBOUND) {
        choose_protocol(f);
    } else {
        classify(f);
    }
}

static void on_sniff_eof(struct conn *c, void *ctx)
{
    struct flow *f = ctx;
    if (f->first.n > 0 && (f->door->dir == OUTBOUND || f->tls)) {
        hand_on(f, false);
    } else {
        conn_close(c);
    }
}

static const struct conn_handler sniff_handler = {
    .on_data = on_sniff_data, .on_eof = on_sniff_eof, .on_close = on_sniff_close};

/* ---- accepting ---- */

static bool split_address(const char *text, struct ip *ip, uint16_t *port)
{
    struct str s = str_of(text);
    size_t colon = str_rfind_char(s, ':');
    uint64_t n = 0;
    if (colon == STR_NPOS || failed(str_to_u64(str_sub(s, colon + 1, s.n), &n)) || n > 65535) {
        return false;
    }
    struct str host = str_sub(s, 0, colon);
    if (host.n > 2 && host.p[0] == '[') {
        host = str_sub(host, 1, host.n - 1);
    }
    *port = (uint16_t)n;
    return !failed(ip_parse(host, ip));
}

/* A connection made to the redirecting port itself, not through the packet filter, leads nowhere. */
static struct err find_destination(struct flow *f)
{
    const struct door *d = f->door;
    char local[64];
    TRY(conn_local_addr(f->conn, local, sizeof(local)));
    if (d->intercepted) {
        TRY(conn_original_dst(f->conn, f->dst, sizeof(f->dst)));
        ENSURE(strcmp(f->dst, local) != 0, ERR_DENIED, "a connection to the sidecar itself");
    } else {
        struct str shown = d->dir == OUTBOUND ? d->config->to : str_of(local);
        snprintf(f->dst, sizeof(f->dst), "%.*s", STR_FMT(shown));
    }
    uint16_t source_port;
    char peer[80];
    snprintf(peer, sizeof(peer), "%.*s", STR_FMT(conn_peer(f->conn)->addr));
    ENSURE(split_address(peer, &f->src_ip, &source_port), ERR_INVALID, "no source address");
    struct buf text;
    buf_init(&text, IP_TEXT_MAX);
    ip_put(&text, &f->src_ip);
    snprintf(f->src_text, sizeof(f->src_text), "%.*s", STR_FMT(buf_str(&text)));
    buf_release(&text);
    ENSURE(split_address(f->dst, &f->dst_ip, &f->port) || d->dir == OUTBOUND, ERR_INVALID,
           "no destination address");
    if (d->config != NULL && d->dir == INBOUND && d->config->port > 0) {
        f->port = (uint16_t)d->config->port;
    }
    return OK;
}

static void on_conn(void *ctx, struct conn *c)
{
    struct door *door = ctx;
    struct flow *f = flow_new(door, c);
    if (f == NULL || door->m->epoch == NULL || door->m->stopping) {
        if (f != NULL) {
            flow_end(f);
        }
        conn_abort(c);
        return;
    }
    struct err e = find_destination(f);
    conn_start(c, &sniff_handler, f);
    if (failed(e)) {
        flow_cut(f, err_detail());
        return;
    }
    if (door->protocol == PROTO_TCP && door->dir == OUTBOUND) {
        hand_on(f, false);
        return;
    }
    bool must_be_tls =
        door->dir == INBOUND &&
        (door->people || mesh_mtls_mode(door->m->epoch->set, f->port) == MESH_MTLS_STRICT);
    if (!must_be_tls) { /* who must begin with TLS cannot wait for the server to speak */
        wait_for_bytes(f);
    } else {
        f->sniff_timer = timer_start(f->m->loop, MESH_HANDSHAKE_MS, 0, no_handshake, f);
    }
}

/* ---- opening ---- */

static struct err open_door(struct mesh *m, enum direction dir, struct str listen,
                            const struct door_config *config)
{
    struct door *d = calloc(1, sizeof(*d));
    ENSURE(d != NULL, ERR_LIMIT, "out of memory for a listener");
    d->m = m;
    d->dir = dir;
    d->config = config;
    d->intercepted = config == NULL;
    if (config != NULL) {
        d->people = dir == INBOUND && str_is(config->tls, "people");
        d->protocol = str_is(config->protocol, "tcp")    ? PROTO_TCP
                      : str_is(config->protocol, "http") ? PROTO_HTTP
                                                         : PROTO_AUTO;
    }
    struct err e = loop_listen(m->loop, listen, NULL, NULL, on_conn, d, &d->listener);
    if (failed(e)) {
        free(d);
        return e;
    }
    d->next = m->doors;
    m->doors = d;
    log_info("listening", {"address", LOG_CSTR(listener_address(d->listener))},
             {"direction", LOG_CSTR(dir == INBOUND ? "inbound" : "outbound")});
    return OK;
}

static struct err open_listed(struct mesh *m, enum direction dir, const struct config_items *list)
{
    const struct door_config *all = list->items;
    for (size_t i = 0; i < list->n; i++) {
        TRY(open_door(m, dir, all[i].listen, &all[i]));
    }
    return OK;
}

struct err doors_open(struct mesh *m)
{
    if (m->o->inbound_listen.n > 0) {
        TRY(open_door(m, INBOUND, m->o->inbound_listen, NULL));
    }
    if (m->o->outbound_listen.n > 0) {
        TRY(open_door(m, OUTBOUND, m->o->outbound_listen, NULL));
    }
    TRY(open_listed(m, INBOUND, &m->o->inbound));
    return open_listed(m, OUTBOUND, &m->o->outbound);
}

void doors_close(struct mesh *m)
{
    while (m->doors != NULL) {
        struct door *d = m->doors;
        m->doors = d->next;
        listener_close(d->listener);
        free(d);
    }
}
