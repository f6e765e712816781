/* sextant-mesh: start, stop, identity, and the subcommands. */
#include "mesh.h"

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/http/client.h"
#include "lib/spiffe/svid_source.h"

#include <stdlib.h>

/* ---- identity ---- */

/* Out of reach: the last SVID serves until it expires. Withdrawn: we are nobody from this moment. */
static void no_svid(struct mesh *m, struct err e)
{
    bool withdrawn = e.code == ERR_DENIED && !m->withdrawn;
    if (withdrawn || (e.code != ERR_DENIED && !m->api_away)) { /* said once, not at each attempt */
        log_warn(withdrawn ? "the identity is withdrawn" : "no word from the Workload API",
                 {"error", LOG_CSTR(err_detail())});
    }
    m->api_away = e.code != ERR_DENIED;
    if (withdrawn) {
        m->withdrawn = true;
        daemon_lost(m->svid_dep, "the identity is withdrawn");
        mesh_recheck(m, "identity withdrawn");
    }
}

static void on_svid(void *ctx, struct svid_source *s, struct err e)
{
    struct mesh *m = ctx;
    if (failed(e)) {
        no_svid(m, e);
        return;
    }
    m->withdrawn = m->api_away = false;
    struct str id = svid_source_id(s);
    free(m->own_id);
    m->own_id = strndup(id.p, id.n);
    if (m->o->people_names.n == 0) {
        ignore_err(tls_server_set_identity(m->tls_people, svid_source_identity(s)));
    }
    ignore_err(tls_client_set_identity(m->tls_web, svid_source_identity(s)));
    log_info("SVID in use", {"id", LOG_STR(id)},
             {"expires_in_s", LOG_INT(svid_source_not_after(s) - clock_wall_s())});
    daemon_have(m->svid_dep);
    mesh_recheck(m, "identity or trust changed");
}

static struct err start_identity(struct mesh *m)
{
    struct str address = m->o->workload_api.n > 0
                             ? m->o->workload_api
                             : daemon_socket(m->d, "identity", "workload.sock");
    m->svid_dep = daemon_need(m->d, "identity");
    TRY(svid_source_start(m->loop, address, on_svid, m, &m->svid));
    TRY(svid_source_attach_server(m->svid, m->tls_mesh));
    TRY(svid_source_attach_client(m->svid, m->tls_h1));
    TRY(svid_source_attach_client(m->svid, m->tls_h2));
    return svid_source_attach_client(m->svid, m->tls_tcp);
}

/* ---- start and stop ---- */

static struct err mesh_start(struct daemon *d)
{
    struct mesh *m = arena_new(&d->boot, struct mesh);
    d->state = m;
    m->d = d;
    m->o = d->section;
    m->loop = d->loop;
    TRY(mesh_make(m));
    TRY(feeds_open(m));
    TRY(start_identity(m));
    TRY(admin_open(m));
    TRY(doors_open(m));
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

static void mesh_stop(struct daemon *d)
{
    struct mesh *m = d->state;
    if (m == NULL) {
        return;
    }
    admin_close(m);
    svid_source_free(m->svid);
    mesh_unmake(m);
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
    {"analyze", "[--json] DIR", "findings about policies, before they are in force",
     mesh_cmd_analyze, false},
    {0},
};

static const struct daemon_spec spec = {
    .name = "mesh",
    .summary = "sidecar: mutual TLS and Istio's security policies",
    .keys = mesh_keys,
    .section_size = sizeof(struct mesh_options),
    .needs = DAEMON_NEEDS_AUDIT,
    .sandbox = mesh_sandbox,
    .check = mesh_check,
    .start = mesh_start,
    .reload = mesh_reload,
    .drain = mesh_drain,
    .stop = mesh_stop,
    .commands = commands,
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
