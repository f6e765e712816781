/*
 * domain: one trust domain on this machine, as its directory describes it.
 *
 *     DIR/sextant.yaml       configuration of all daemons
 *     DIR/state/NAME         state of daemon NAME: mode 0700, its uid
 *     DIR/run/NAME           its sockets: mode 0755, its uid
 *     DIR/log/NAME.log       its output
 *     DIR/policies, DIR/manifests   what the operator writes
 *
 * Which daemons exist follows from the sections of sextant.yaml; under which uid, from `uids`.
 */
#ifndef SEXTANT_CLI_DOMAIN_H
#define SEXTANT_CLI_DOMAIN_H

#include "cli/supervisor.h"
#include "lib/base/arena.h"
#include "lib/config/config.h"

/* In the order in which they start: each finds those that it needs already started. */
extern const char *const domain_daemons[];

struct domain {
    struct str dir; /* absolute */
    char *config_file;
    struct config *config; /* owned */
    char *control_path;    /* of the supervisor */
};

/* Reads DIR/sextant.yaml. ERR_NOT_FOUND says how to make one. */
struct err domain_open(struct arena *a, struct str dir, struct domain *out);
void domain_release(struct domain *d);

/* Creates state, run and log folders with their owners and modes; repeats harmlessly. */
struct err domain_prepare(struct arena *a, const struct domain *d);

/* Adds every daemon that has a section to the supervisor, in order, each as soon as the former runs. */
struct err domain_start(struct arena *a, const struct domain *d, struct supervisor *s);

/* Value of `key` in section `name` as text, or `fallback`: for tables and `sextant env`. */
struct str domain_setting(const struct domain *d, const char *name, const char *key,
                          const char *fallback);

/*
 * Writes `text` to `path` with @NAME@ replaced by the value of `pairs` (NULL-terminated name, value, …).
 * Existing files are kept unless `overwrite`.
 */
struct err template_write(struct arena *a, const char *path, struct str text, unsigned mode,
                          bool overwrite, const char *const *pairs);
struct err file_read(struct arena *a, const char *path, size_t max, struct str *out);
struct err make_dir(const char *path, unsigned mode, uid_t uid);

/*
 * Not root: replaces this process by itself as root of a user namespace in which the caller's
 * subordinate uids stand for those of the daemons. Returns only on failure, or when already root.
 */
struct err enter_user_namespace(int argc, char **argv);

#endif
