/* What sextant-secrets may still do once it runs: its state, its sockets, databases over the network. */
#include "secretsd.h"

static uint16_t port_of(struct str listen)
{
    size_t colon = str_rfind_char(listen, ':');
    uint64_t port = 0;
    if (colon == STR_NPOS || failed(str_to_u64(str_sub(listen, colon + 1, listen.n), &port)) ||
        port > 65535) {
        return 0;
    }
    return (uint16_t)port;
}

const struct sandbox_profile *secrets_sandbox(struct arena *a, const struct config *c,
                                              const void *section)
{
    static const char *const resolver[] = {
        "/etc/hosts",     "/etc/resolv.conf", "/etc/nsswitch.conf",
        "/etc/host.conf", "/etc/gai.conf",    "/etc/services",
        "/lib",           "/lib64",           "/usr/lib"};
    const struct secrets_config *cfg = section;
    size_t n = 0, files;
    const char **rw = arena_array(a, const char *, 3),
               **ro = arena_array(a, const char *, SANDBOX_PATHS_MAX);
    const char **declared = declare_files(a, cfg->declare, &files);
    uint16_t *ports = arena_array(a, uint16_t, 2);
    rw[0] = arena_printf(a, "%.*s/secrets", STR_FMT(c->state_dir)).p;
    rw[1] = arena_printf(a, "%.*s/secrets", STR_FMT(c->run_dir)).p;
    ro[n++] = arena_printf(a, "%.*s/audit", STR_FMT(c->run_dir)).p;
    ro[n++] = arena_printf(a, "%.*s/crypto", STR_FMT(c->run_dir)).p;
    ro[n++] = arena_printf(a, "%.*s/identity", STR_FMT(c->run_dir)).p;
    for (size_t i = 0; i < ARRAY_LEN(resolver); i++) {
        ro[n++] = resolver[i];
    }
    for (size_t i = 0; i < files && n < SANDBOX_PATHS_MAX - 1; i++) {
        ro[n++] = declared[i];
    }
    ports[0] = port_of(cfg->listen);
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    *p = (struct sandbox_profile){
        .daemon = "secrets",
        .paths_rw = rw,
        .paths_ro = ro,
        .bind_ports = ports,
        .flags = SANDBOX_INET_LISTEN | SANDBOX_INET_CONNECT | SANDBOX_INET_DGRAM |
                 SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT,
    };
    return p;
}
