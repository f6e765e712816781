/* sextant-mesh: start, stop, identity, and the subcommands. */
#include "mesh.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/client.h"
#include "lib/spiffe/svid_source.h"

#include <stdlib.h>

static const char *const alpn_server[] = {"istio-h2", "istio-http/1.1", "istio", "h2", "http/1.1", NULL};
static const char *const alpn_people[] = {"h2", "http/1.1", NULL};
static const char *const alpn_h1[] = {"istio-http/1.1", "istio", "http/1.1", NULL};
static const char *const alpn_h2[] = {"istio-h2", "istio", "h2", NULL};
static const char *const alpn_tcp[] = {"istio", NULL};

/* ---- identity ---- */

static void on_svid(void *ctx, struct svid_source *s, struct err e)
{
    struct mesh *m = ctx;
    if (failed(e)) {
        log_warn("identity is withdrawn or out of reach", {"error", LOG_CSTR(err_detail())});
        mesh_recheck(m, "identity withdrawn");
        return;
    }
    struct str id = svid_source_id(s);
    free(m->own_id);
    m->own_id = strndup(id.p, id.n);
    if (m->o->people_names.n == 0) {
        ignore_err(tls_server_set_identity(m->tls_people, svid_source_identity(s)));
    }
    ignore_err(tls_client_set_identity(m->tls_web, svid_source_identity(s)));
    log_info("SVID in use", {"id", LOG_STR(id)}, {"expires_in_s", LOG_INT(svid_source_not_after(s) - clock_wall_s())});
    daemon_have(m->svid_dep);
    mesh_recheck(m, "identity or trust changed");
}

static struct err start_identity(struct mesh *m)
{
    struct str address = m->o->workload_api.n > 0 ? m->o->workload_api
                                                  : daemon_socket(m->d, "identity", "workload.sock");
    m->svid_dep = daemon_need(m->d, "identity");
    TRY(svid_source_start(m->loop, address, on_svid, m, &m->svid));
    TRY(svid_source_attach_server(m->svid, m->tls_mesh));
    TRY(svid_source_attach_client(m->svid, m->tls_h1));
    TRY(svid_source_attach_client(m->svid, m->tls_h2));
    return svid_source_attach_client(m->svid, m->tls_tcp);
}

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
        const char *dir = daemon_state_path(m->d, "people");
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
    struct tls_client_opts h1 = {.trust = trust, .alpn = alpn_h1}, h2 = {.trust = trust, .alpn = alpn_h2},
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

/* ---- start and stop ---- */

static struct err make_proxy(struct mesh *m)
{
    struct upstream_opts uo = {.tls_h1 = m->tls_h1, .tls_h2 = m->tls_h2, .mark = (uint32_t)m->o->mark};
    TRY(upstream_new(m->loop, &uo, &m->up));
    struct http_server_opts ho = {.handle = proxy_request, .ctx = m, .stream_bodies = true,
                                  .on_conn_close = proxy_conn_closed, .max_conns = MESH_FLOWS_MAX};
    return http_server_new(m->loop, &ho, &m->http);
}

static struct err mesh_start(struct daemon *d)
{
    struct mesh *m = arena_new(&d->boot, struct mesh);
    d->state = m;
    m->d = d;
    m->o = d->section;
    m->loop = d->loop;
    map_init(&m->key_sets);
    TRY(make_tls(m));
    TRY(make_proxy(m));
    TRY(providers_open(m));
    TRY(epoch_load(m, &m->epoch));
    TRY(tokens_prepare(m, m->epoch));
    TRY(mesh_watch_policies(m));
    TRY(feeds_open(m));
    TRY(start_identity(m));
    TRY(admin_open(m));
    TRY(doors_open(m));
    log_info("policies in force", {"policies", LOG_INT(mesh_policies_count(m->epoch->all))},
             {"files", LOG_INT(m->epoch->n_sources)});
    return OK;
}

static struct err mesh_reload(struct daemon *d)
{
    struct mesh *m = d->state;
    mesh_reload_policies(m);
    return OK;
}

static void http_drained(void *ctx)
{
    daemon_drained(ctx);
}

static void mesh_drain(struct daemon *d)
{
    struct mesh *m = d->state;
    m->stopping = true;
    doors_close(m);
    for (struct flow *f = m->flows; f != NULL; f = f->next) {
        if (!f->handed_over && f->conn != NULL) {
            conn_close(f->conn);
        }
    }
    http_server_drain(m->http, http_drained, d);
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

static void mesh_stop(struct daemon *d)
{
    struct mesh *m = d->state;
    if (m == NULL) {
        return;
    }
    m->stopping = true;
    doors_close(m);
    cut_flows(m);
    http_server_free(m->http);
    /* Connections end in their own time: one turn of the loop sees them off before what they use goes. */
    loop_defer(m->loop, (void (*)(void *))loop_stop, m->loop);
    loop_run(m->loop);
    upstream_free(m->up);
    providers_close(m);
    feeds_close(m);
    tokens_close(m);
    dir_watch_stop(m->policy_watch);
    admin_close(m);
    svid_source_free(m->svid);
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

static struct err mesh_check(struct daemon *d)
{
    struct mesh m = {.d = d, .o = d->section};
    const struct provider_config *all = m.o->providers.items;
    m.n_providers = m.o->providers.n;
    m.policy_providers = arena_array(&d->boot, struct mesh_provider, m.n_providers);
    for (size_t i = 0; i < m.n_providers; i++) {
        m.policy_providers[i] = (struct mesh_provider){.name = all[i].name};
    }
    struct epoch *e;
    TRY(epoch_load(&m, &e));
    epoch_unref(e);
    return OK;
}

static const struct daemon_command commands[] = {
    {"intercept", "--uid UID [--inbound PORT,...] [--exclude CIDR,...] [--remove|--print]",
     "redirect this network namespace's traffic to the sidecar (root)", mesh_cmd_intercept, false},
    {"analyze", "[--json] DIR", "findings about policies, before they are in force", mesh_cmd_analyze, false},
    {0},
};

static const struct daemon_spec spec = {
    .name = "mesh", .summary = "sidecar: mutual TLS and Istio's security policies", .keys = mesh_keys,
    .section_size = sizeof(struct mesh_options), .needs = DAEMON_NEEDS_AUDIT, .sandbox = mesh_sandbox,
    .check = mesh_check, .start = mesh_start, .reload = mesh_reload, .drain = mesh_drain,
    .stop = mesh_stop, .commands = commands,
};

int main(int argc, char **argv)
{
    /* `sextant-mesh run --config FILE` is the same as without `run`. */
    if (argc > 1 && strcmp(argv[1], "run") == 0) {
        argv[1] = argv[0];
        argv++;
        argc--;
    }
    return daemon_main(argc, argv, &spec);
}
