/* What a sidecar is made of, apart from where its identity comes from; made and taken apart. */
#include "mesh.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/client.h"

#include <stdlib.h>

static const char *const alpn_server[] = {"istio-h2", "istio-http/1.1", "istio",
                                          "h2",       "http/1.1",       NULL};
static const char *const alpn_people[] = {"h2", "http/1.1", NULL};
static const char *const alpn_h1[] = {"istio-http/1.1", "istio", "http/1.1", NULL};
static const char *const alpn_h2[] = {"istio-h2", "istio", "h2", NULL};
static const char *const alpn_tcp[] = {"istio", NULL};

/* ---- TLS ---- */

/* Until the first SVID there is no trust: nobody is believed. */
static struct err empty_trust(struct tls_trust **out)
{
    struct x509_bundles *none;
    TRY(x509_bundles_new(&none));
    struct err e = tls_trust_spiffe(none, out);
    x509_bundles_unref(none);
    return e;
}

static struct err make_web_client(struct mesh *m)
{
    struct tls_trust *trust;
    if (m->o->ca_file.n == 0) {
        TRY(tls_trust_system(&trust));
    } else {
        struct x509_anchors *anchors;
        TRY(x509_anchors_new(&anchors));
        struct err e = x509_anchors_add_file(anchors, arena_cstr(&m->d->boot, m->o->ca_file));
        if (!failed(e)) {
            e = tls_trust_names(anchors, &trust);
        }
        x509_anchors_unref(anchors);
        TRY(e);
    }
    struct tls_client_opts o = {.trust = trust};
    struct err e = tls_client_new(&o, &m->tls_web);
    tls_trust_unref(trust);
    TRY(e);
    struct http_client_opts h = {.tls = m->tls_web, .body_max = 64 << 20};
    return http_client_new(m->loop, &h, &m->web);
}

static struct err make_people_server(struct mesh *m)
{
    struct tls_server_opts o = {.alpn = alpn_people};
    if (m->o->people_names.n > 0) {
        const char *dir = m->d->state_dir;
        TRY(tls_identity_local(dir, m->o->people_names.items, m->o->people_names.n, clock_wall_s(),
                               &o.identity));
    }
    struct err e = tls_server_new(&o, &m->tls_people);
    tls_identity_unref(o.identity);
    return e;
}

static struct err make_tls(struct mesh *m)
{
    struct tls_trust *trust;
    TRY(empty_trust(&trust));
    struct tls_server_opts so = {.trust = trust, .client_cert_required = true, .alpn = alpn_server};
    struct tls_client_opts h1 = {.trust = trust, .alpn = alpn_h1},
                           h2 = {.trust = trust, .alpn = alpn_h2},
                           tcp = {.trust = trust, .alpn = alpn_tcp};
    struct err e = tls_server_new(&so, &m->tls_mesh);
    e = failed(e) ? e : tls_client_new(&h1, &m->tls_h1);
    e = failed(e) ? e : tls_client_new(&h2, &m->tls_h2);
    e = failed(e) ? e : tls_client_new(&tcp, &m->tls_tcp);
    tls_trust_unref(trust);
    TRY(e);
    TRY(make_people_server(m));
    return make_web_client(m);
}

/* ---- all of it ---- */

static struct err make_proxy(struct mesh *m)
{
    struct upstream_opts uo = {
        .tls_h1 = m->tls_h1, .tls_h2 = m->tls_h2, .mark = (uint32_t)m->o->mark};
    TRY(upstream_new(m->loop, &uo, &m->up));
    struct http_server_opts ho = {.handle = proxy_request,
                                  .ctx = m,
                                  .stream_bodies = true,
                                  .on_conn_close = proxy_conn_closed,
                                  .max_conns = MESH_FLOWS_MAX};
    return http_server_new(m->loop, &ho, &m->http);
}

struct err mesh_make(struct mesh *m)
{
    map_init(&m->key_sets);
    map_init(&m->denied);
    map_init(&m->revoked);
    TRY(make_tls(m));
    TRY(make_proxy(m));
    TRY(providers_open(m));
    TRY(epoch_load(m, &m->epoch));
    TRY(tokens_prepare(m, m->epoch));
    TRY(mesh_watch_policies(m));
    log_info("policies in force", {"policies", LOG_INT(mesh_policies_count(m->epoch->all))},
             {"files", LOG_INT(m->epoch->n_sources)});
    return OK;
}

static void cut_flows(struct mesh *m)
{
    for (struct flow *f = m->flows, *next; f != NULL; f = next) {
        next = f->next;
        if (f->relay != NULL) {
            relay_cut(f->relay);
        } else if (f->conn != NULL) {
            conn_abort(f->conn);
        }
    }
}

void mesh_unmake(struct mesh *m)
{
    m->stopping = true;
    dir_watch_stop(m->policy_watch); /* first: nothing may change while things go */
    feeds_close(m);
    doors_close(m);
    cut_flows(m);
    http_server_free(m->http);
    upstream_free(m->up);
    /* Connections end in their own time: a turn of the loop sees them off before what they use goes. */
    timer_start(m->loop, 1, 0, (void (*)(void *))loop_stop, m->loop);
    loop_run(m->loop);
    providers_close(m);
    tokens_close(m);
    http_client_free(m->web);
    tls_server_unref(m->tls_mesh);
    tls_server_unref(m->tls_people);
    tls_client_unref(m->tls_h1);
    tls_client_unref(m->tls_h2);
    tls_client_unref(m->tls_tcp);
    tls_client_unref(m->tls_web);
    epoch_unref(m->epoch);
    free(m->own_id);
}
