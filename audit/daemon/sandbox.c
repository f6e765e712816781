/* What sextant-audit may do: its own two folders, its sockets, crypto's and identity's sockets. */
#include "audit_daemon.h"

const struct sandbox_profile *audit_sandbox(struct arena *a, const struct config *c,
                                            const void *section)
{
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    const char **rw = arena_array(a, const char *, 3), **ro = arena_array(a, const char *, 3);
    uint16_t *ports = arena_array(a, uint16_t, 2);
    const struct audit_config *mine = section;
    size_t colon = str_rfind_char(mine->listen, ':');
    uint64_t port = 0;
    if (colon != STR_NPOS &&
        !failed(str_to_u64(str_sub(mine->listen, colon + 1, mine->listen.n), &port))) {
        ports[0] = (uint16_t)port;
    }
    rw[0] = arena_cstr(a, arena_printf(a, "%.*s/audit", STR_FMT(c->state_dir)));
    rw[1] = arena_cstr(a, arena_printf(a, "%.*s/audit", STR_FMT(c->run_dir)));
    ro[0] = arena_cstr(a, arena_printf(a, "%.*s/crypto", STR_FMT(c->run_dir)));
    ro[1] = arena_cstr(a, arena_printf(a, "%.*s/identity", STR_FMT(c->run_dir)));
    *p = (struct sandbox_profile){
        .daemon = "audit",
        .paths_rw = rw,
        .paths_ro = ro,
        .bind_ports = ports,
        .flags = SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT | SANDBOX_INET_LISTEN |
                 (mine->syslog.n > 0 ? SANDBOX_INET_CONNECT | SANDBOX_INET_DGRAM : 0U),
        .max_open_files = 4096,
    };
    return p;
}
