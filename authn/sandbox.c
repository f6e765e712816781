#include "sandbox.h"

/*
 * Its own state and sockets, connections that come in, and unix sockets of audit, crypto and identity. It
 * opens no TCP connection and runs no program.
 */
const struct sandbox_profile *authn_sandbox(struct arena *a, const struct config *c,
                                            const void *section)
{
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    const char **rw = arena_array(a, const char *, 3);
    uint32_t uid = 0;
    config_uid(c, S("authn"), &uid);
    rw[0] = arena_cstr(a, arena_printf(a, "%.*s/authn", STR_FMT(c->state_dir)));
    rw[1] = arena_cstr(a, arena_printf(a, "%.*s/authn", STR_FMT(c->run_dir)));
    *p = (struct sandbox_profile){
        .daemon = "authn",
        .uid = uid,
        .gid = uid,
        .paths_rw = rw,
        .flags = SANDBOX_INET_LISTEN | SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT,
        .max_open_files = 16384,
    };
    return p;
}
