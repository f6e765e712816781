#include "sandbox.h"

#include "authn.h"

/*
 * Its own state and sockets, connections that come in, and unix sockets of audit, crypto and identity. It
 * opens no TCP connection and runs no program. It may read its configuration and certificate
 * again: the files themselves, not their folder, which may hold the state of others. So an editor must write
 * them in place; one that puts a new file there asks for a restart.
 */
const struct sandbox_profile *authn_sandbox(struct arena *a, const struct config *c,
                                            const void *section)
{
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    const struct authn_config *own = section;
    const char **rw = arena_array(a, const char *, 3), **ro = arena_array(a, const char *, 4);
    uint32_t uid = 0;
    config_uid(c, S("authn"), &uid);
    rw[0] = arena_cstr(a, arena_printf(a, "%.*s/authn", STR_FMT(c->state_dir)));
    rw[1] = arena_cstr(a, arena_printf(a, "%.*s/authn", STR_FMT(c->run_dir)));
    ro[0] = arena_cstr(a, c->file);
    if (own->tls_cert.n > 0) {
        ro[1] = arena_cstr(a, own->tls_cert);
        ro[2] = arena_cstr(a, own->tls_key);
    }
    *p = (struct sandbox_profile){
        .daemon = "authn",
        .uid = uid,
        .gid = uid,
        .paths_rw = rw,
        .paths_ro = ro,
        .flags = SANDBOX_INET_LISTEN | SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT,
        .max_open_files = 16384,
    };
    return p;
}
