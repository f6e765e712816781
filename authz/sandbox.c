#include "authz.h"

/*
 * Its own state and sockets, its policies and data to read, connections that come in, and the unix socket
 * of audit. It runs no program, and opens TCP connections only when the configuration names hosts that policies may
 * ask, or an OPA configuration with its services: then it may resolve names, too.
 */
const struct sandbox_profile *authz_sandbox(struct arena *a, const struct config *c,
                                            const void *section)
{
    const struct authz_config *z = section;
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    const char **rw = arena_array(a, const char *, 3);
    size_t n = z != NULL ? z->policies.n + z->data.n : 0;
    bool managed = z != NULL && z->opa_config.n > 0;
    bool asks = managed || (z != NULL && z->outbound.n > 0);
    const char **ro = arena_array(a, const char *, n + 9);
    uint32_t uid = 0;
    config_uid(c, S("authz"), &uid);
    rw[0] = arena_cstr(a, arena_printf(a, "%.*s/authz", STR_FMT(c->state_dir)));
    rw[1] = arena_cstr(a, arena_printf(a, "%.*s/authz", STR_FMT(c->run_dir)));
    for (size_t i = 0; i < n; i++) {
        ro[i] = arena_cstr(a, i < z->policies.n ? z->policies.items[i]
                                                : z->data.items[i - z->policies.n]);
    }
    ro[n++] = "/usr/share/zoneinfo"; /* time zones of policies */
    if (managed) { /* the file, and what it names beside it: certificates, keys, tokens */
        size_t slash = str_rfind_char(z->opa_config, '/');
        struct str folder = slash == STR_NPOS ? S(".") : str_sub(z->opa_config, 0, slash + 1);
        ro[n++] = arena_cstr(a, folder);
    }
    if (asks) {
        ro[n++] = "/etc/resolv.conf";
        ro[n++] = "/etc/hosts";
        ro[n++] = "/etc/nsswitch.conf";
        ro[n++] = "/etc/gai.conf";
        ro[n++] = "/etc/ssl/certs";
    }
    *p = (struct sandbox_profile){
        .daemon = "authz",
        .uid = uid,
        .gid = uid,
        .paths_rw = rw,
        .paths_ro = ro,
        .flags = SANDBOX_INET_LISTEN | SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT |
                 (asks ? SANDBOX_INET_CONNECT | SANDBOX_INET_DGRAM : 0),
        .max_open_files = 16384,
    };
    return p;
}
