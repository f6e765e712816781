#include "mesh.h"

static void add_port(struct arena *a, uint16_t **ports, size_t *n, size_t *cap, struct str address)
{
    uint64_t port;
    size_t colon = str_rfind_char(address, ':');
    if (colon == STR_NPOS || str_starts(address, S("unix:")) ||
        failed(str_to_u64(str_sub(address, colon + 1, address.n), &port)) || port == 0 ||
        port > 65535) {
        return;
    }
    *ports = arena_grow(a, *ports, *n, *n + 2, cap, sizeof(uint16_t));
    (*ports)[(*n)++] = (uint16_t)port;
    (*ports)[*n] = 0;
}

static void add_doors(struct arena *a, uint16_t **ports, size_t *n, size_t *cap,
                      const struct config_items *list)
{
    const struct door_config *all = list->items;
    for (size_t i = 0; i < list->n; i++) {
        add_port(a, ports, n, cap, all[i].listen);
    }
}

/*
 * A sidecar opens connections to wherever its workload may call, so connect ports are not limited; what it
 * may read is its policies and the authorities it was given.
 */
const struct sandbox_profile *mesh_sandbox(struct arena *a, const struct config *c,
                                           const void *section)
{
    const struct mesh_options *o = section;
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    const char **ro = arena_array(a, const char *, 8), **rw = arena_array(a, const char *, 4);
    uint16_t *ports = NULL;
    size_t n = 0, cap = 0, k = 0;
    add_port(a, &ports, &n, &cap, o->inbound_listen);
    add_port(a, &ports, &n, &cap, o->outbound_listen);
    add_port(a, &ports, &n, &cap, o->admin_listen);
    add_doors(a, &ports, &n, &cap, &o->inbound);
    add_doors(a, &ports, &n, &cap, &o->outbound);
    ro[k++] = arena_cstr(a, o->policies);
    if (o->ca_file.n > 0) {
        ro[k++] = arena_cstr(a, o->ca_file);
    }
    ro[k++] = "/etc/resolv.conf";
    ro[k++] = "/etc/hosts";
    /* Sockets of the other daemons: their folders may be made anew while we run. */
    ro[k++] = arena_cstr(a, c->run_dir);
    rw[0] = arena_cstr(a, arena_printf(a, "%.*s/mesh", STR_FMT(c->state_dir)));
    *p = (struct sandbox_profile){.daemon = "mesh",
                                  .uid = (uid_t)o->uid,
                                  .gid = (gid_t)o->uid,
                                  .paths_rw = rw,
                                  .paths_ro = ro,
                                  .bind_ports = ports,
                                  .flags = SANDBOX_INET_LISTEN | SANDBOX_INET_CONNECT |
                                           SANDBOX_UNIX_CONNECT | SANDBOX_TRANSPARENT};
    return p;
}
