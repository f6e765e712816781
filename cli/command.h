/*
 * command: the verbs of the `sextant` program, and what they share.
 *
 * A verb that belongs to a daemon (`sextant authz eval …`) is that daemon's own program, found beside
 * this one and executed; what concerns the whole trust domain is implemented here.
 */
#ifndef SEXTANT_CLI_COMMAND_H
#define SEXTANT_CLI_COMMAND_H

#include "lib/base/arena.h"
#include "lib/base/err.h"

/* Exit codes, the same for every verb; documented in sextant(1). */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_MISSING = 3 };

int command_init(int argc, char **argv);
int command_up(int argc, char **argv);
int command_status(int argc, char **argv);
int command_env(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_demo(int argc, char **argv);

/* Folder of the running program, where its sisters are; and the data installed with it. */
const char *command_bin_dir(void);
struct str command_share_dir(struct arena *a);
/* Path of a sister program such as "sextant-authz". */
char *command_sister(struct arena *a, const char *name);

/* The domain's directory: --dir, else SEXTANT_DIR, else /var/lib/sextant or ~/.local/share/sextant. */
struct str command_domain_dir(struct arena *a, const char *given);

/* "sextant VERB: what: detail" on standard error; returns EXIT_FAILED. */
int command_fail(const char *verb, struct err e);
int command_usage(const char *verb, const char *problem, const char *usage);

#endif
