/* daemon_priv: what the files of this folder share. */
#ifndef SEXTANT_DAEMON_PRIV_H
#define SEXTANT_DAEMON_PRIV_H

#include "daemon.h"

enum { DAEMON_DEPENDENCIES_MAX = 16, EXIT_USAGE = 2, EXIT_CONFIG = 78 };

struct dependency {
    struct daemon *d;
    const char *name;
    bool there;
    char why[128];
};

/* The keys of every section. */
struct daemon_common {
    struct str audit_mode, log_level, log_format;
    int64_t audit_timeout_ns;
};

struct daemon_private {
    const char *config_path;
    struct daemon_common *common;
    struct dependency deps[DAEMON_DEPENDENCIES_MAX];
    size_t n_deps;
    int notify_fd; /* -1: nobody waits */
    bool started, told_ready, draining, svid_missing;
    struct dependency *audit_dep, *svid_dep;
};

/* setup.c: what happens before the loop runs. */
struct err daemon_read_config(struct daemon *d);
void daemon_describe(struct daemon *d, struct buf *out);
struct err daemon_make_folders(struct daemon *d, uid_t uid, gid_t gid);
const struct sandbox_profile *daemon_profile(struct daemon *d);

/* ready.c */
void notify_open(struct daemon *d);
void notify_send(struct daemon *d, const char *text);
void daemon_check_ready(struct daemon *d);

/* svid.c */
struct err daemon_start_svid(struct daemon *d);
void daemon_stop_svid(struct daemon *d);

#endif
