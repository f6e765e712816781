#include "identity.h"

#include <linux/capability.h>

static uint16_t port_of(struct str address)
{
    size_t colon = str_rfind_char(address, ':');
    uint64_t port = 0;
    if (colon != STR_NPOS) {
        ignore_err(
            str_to_u64(str_sub(address, colon + 1, address.n), &port)); /* checked when bound */
    }
    return (uint16_t)MIN(port, UINT64_C(65535));
}

/*
 * Identity looks at /proc/PID/exe of its callers, which takes CAP_SYS_PTRACE when they are of other uids;
 * calls to ptrace itself still kill the process.
 */
const struct sandbox_profile *identity_sandbox(struct arena *a, const struct config *c,
                                               const void *section)
{
    const struct identity_config *cfg = section;
    const char **rw = arena_array(a, const char *, 3);
    uint16_t *ports = arena_array(a, uint16_t, 2);
    rw[0] = arena_printf(a, "%.*s/identity", STR_FMT(c->state_dir)).p;
    rw[1] = arena_printf(a, "%.*s/identity", STR_FMT(c->run_dir)).p;
    ports[0] = port_of(cfg->listen);
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    *p = (struct sandbox_profile){
        .daemon = "identity",
        .paths_rw = rw,
        .bind_ports = ports,
        .flags = SANDBOX_INET_LISTEN | SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT | SANDBOX_ATTEST,
        .keep_caps = UINT64_C(1) << CAP_SYS_PTRACE,
    };
    return p;
}
