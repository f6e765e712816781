/* netpold: the daemon around the compiler: configuration, the epoch in force, and how it changes. */
#ifndef SEXTANT_NETPOL_NETPOLD_H
#define SEXTANT_NETPOL_NETPOLD_H

#include "compile.h"
#include "manifests.h"
#include "netlink.h"
#include "verify.h"

#include "lib/daemon/daemon.h"

struct netpol_config {
    struct str manifests; /* folder that is watched */
    struct str table;
    struct str unrelated; /* drop or accept */
    bool cut_connections;
    bool report_denied;
};

extern const struct config_key netpol_keys[];
extern const struct daemon_command netpol_commands[];
const struct sandbox_profile *netpol_sandbox(struct arena *a, const struct config *c,
                                             const void *section);

/* One loaded set of policies; immutable. */
struct netpol_epoch {
    struct arena arena;
    struct netpol_model *model;
    struct netpol_ruleset *ruleset;
    char hash[MANIFEST_HASH_TEXT];
};

struct err netpol_epoch_load(const char *path, struct netpol_epoch **out);
void netpol_epoch_free(struct netpol_epoch *e); /* NULL ok */

struct netpol_applied {
    size_t elements,
        changed; /* set elements in all; those that differ from before, or 0: all new */
    size_t flows_cut;
    int64_t ns;
};

/*
 * Makes the kernel enforce `next`. With `now` in force in the same table only the difference is sent;
 * when the kernel refuses that (somebody has edited the table) the whole table is replaced.
 */
struct err netpol_epoch_apply(struct netlink *nl, const struct netpol_epoch *now /* NULL ok */,
                              const struct netpol_epoch *next, const struct netpol_config *cfg,
                              struct netpol_applied *out);
/* Denied connections become audit events, judged by the epoch in `*now`. NULL when the kernel cannot report. */
struct netpol_denied;
struct netpol_denied *netpol_denied_start(struct daemon *d, struct netpol_epoch *const *now);
void netpol_denied_stop(struct netpol_denied *x); /* NULL ok */

/* The table that drops everything, unless our table is there already (a restart). */
struct err netpol_lock_down(const struct netpol_config *cfg);
/* Lists the kernel's table and proves it against the epoch. */
struct err netpol_epoch_verify(const struct netpol_epoch *e, const struct netpol_config *cfg,
                               struct arena *a, struct netpol_verify_report *out);

#endif
