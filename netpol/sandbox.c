/* What sextant-netpol may still do once it runs: netfilter netlink, nft, reading manifests. */
#include "netpold.h"

#include <linux/capability.h>

const struct sandbox_profile *netpol_sandbox(struct arena *a, const struct config *c,
                                             const void *section)
{
    static const char *const exec[] = {"/usr/sbin", "/sbin", "/usr/local/sbin", "/lib", "/lib64",
                                       "/usr/lib",  NULL};
    const struct netpol_config *cfg = section;
    const char **rw = arena_array(a, const char *, 3), **ro = arena_array(a, const char *, 4);
    struct sandbox_profile *p = arena_new(a, struct sandbox_profile);
    rw[0] = arena_printf(a, "%.*s/netpol", STR_FMT(c->state_dir)).p;
    rw[1] = arena_printf(a, "%.*s/netpol", STR_FMT(c->run_dir)).p;
    ro[0] = arena_cstr(a, cfg->manifests);
    ro[1] = arena_printf(a, "%.*s/audit", STR_FMT(c->run_dir)).p;
    ro[2] = "/etc/ld.so.cache";
    *p = (struct sandbox_profile){
        .daemon = "netpol",
        .paths_rw = rw,
        .paths_ro = ro,
        .paths_exec = exec,
        .flags = SANDBOX_UNIX_LISTEN | SANDBOX_UNIX_CONNECT | SANDBOX_NETLINK | SANDBOX_EXEC,
        .keep_caps = UINT64_C(1) << CAP_NET_ADMIN,
    };
    return p;
}
