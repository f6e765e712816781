/* The administrative port: health, metrics, and what is in force. */
#include "mesh.h"

#include "lib/telemetry/telemetry.h"

static struct metric open_flows =
    METRIC_GAUGE("sextant_mesh_connections", "Open connections.", NULL, NULL);
static struct metric open_up = METRIC_GAUGE("sextant_mesh_upstream_connections",
                                            "Connections to workloads and peers.", NULL, NULL);

static void show_config(struct http_req *req, void *ctx)
{
    struct mesh *m = ctx;
    struct arena *a = req->arena;
    struct json *o = json_new_object(a), *files = json_new_array(a), *doors = json_new_array(a);
    json_set(a, o, S("identity"), json_new_string(a, str_of(m->own_id)));
    json_set(a, o, S("namespace"), json_new_string(a, m->o->ns));
    json_set(a, o, S("policies"),
             json_new_int(a, m->epoch != NULL ? (int64_t)mesh_policies_count(m->epoch->all) : 0));
    for (size_t i = 0; m->epoch != NULL && i < m->epoch->n_sources; i++) {
        json_push(a, files, json_new_string(a, m->epoch->sources[i]));
    }
    json_set(a, o, S("files"), files);
    for (struct door *d = m->doors; d != NULL; d = d->next) {
        struct json *one = json_new_object(a);
        json_set(a, one, S("listen"), json_new_string(a, str_of(listener_address(d->listener))));
        json_set(a, one, S("direction"),
                 json_new_string(a, d->dir == INBOUND ? S("inbound") : S("outbound")));
        json_push(a, doors, one);
    }
    json_set(a, o, S("listeners"), doors);
    json_set(a, o, S("connections"), json_new_int(a, (int64_t)m->n_flows));
    struct buf b;
    buf_init(&b, 1 << 20);
    json_write_pretty(&b, o, 2);
    buf_putc(&b, '\n');
    http_reply_json(req, 200, buf_str(&b));
    buf_release(&b);
}

static void handle(struct http_req *req, void *ctx)
{
    struct mesh *m = ctx;
    metric_set(&open_flows, (int64_t)m->n_flows);
    metric_set(&open_up, (int64_t)upstream_conns(m->up));
    router_dispatch(req, &m->admin_routes);
}

struct err admin_open(struct mesh *m)
{
    router_init(&m->admin_routes);
    if (m->o->admin_listen.n == 0) {
        return OK;
    }
    daemon_add_common_routes(m->d, &m->admin_routes);
    router_add(&m->admin_routes, "GET", "/config", show_config, m);
    struct http_server_opts o = {.handle = handle, .ctx = m, .max_conns = 64, .no_h2 = true};
    TRY(http_server_new(m->loop, &o, &m->admin));
    return http_server_listen(m->admin, m->o->admin_listen, NULL, NULL);
}

void admin_close(struct mesh *m)
{
    http_server_free(m->admin);
    router_release(&m->admin_routes);
}
