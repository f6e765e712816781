/* cli: what the command files share. Verbs, flags and JSON are those of spire-server and spire-agent. */
#ifndef SEXTANT_IDENTITY_CLI_H
#define SEXTANT_IDENTITY_CLI_H

#include "lib/base/arena.h"
#include "lib/daemon/daemon.h"
#include "lib/json/json.h"

enum { CLI_VALUES_MAX = 64, CLI_ARENA_MAX = 512 << 20, CLI_USAGE = 2 };

/* "-name value", "--name value", "-name=value"; flags without a value are "true". */
struct cli {
    struct arena arena;
    struct {
        const char *name, *value;
    } flags[CLI_VALUES_MAX];
    size_t n;
    bool json;           /* -output json */
    const char *address; /* of the admin API: "unix:/run/sextant/identity/admin.sock" */
    const char *caller;  /* which name of a shared uid we are; NULL when not needed */
};

/* `booleans` is a NULL-terminated list of flags that take no value. Prints what is wrong and returns false. */
bool cli_parse(struct cli *c, int argc, char **argv, const char *const *known,
               const char *const *booleans);
void cli_release(struct cli *c);
const char *cli_flag(const struct cli *c, const char *name); /* last value, or NULL */
bool cli_is(const struct cli *c, const char *name);
struct json *cli_list(struct cli *c, const char *name); /* all values, commas split */

/* Calls the admin API; prints the failure and returns false when it is not a success. */
bool cli_call(struct cli *c, const char *method, struct str path, const struct json *body,
              struct json **out);
void cli_print_json(const struct json *v);
int cli_fail(const char *what);

int cli_api(struct daemon *d, int argc, char **argv);   /* api.c */
int cli_entry(struct daemon *d, int argc, char **argv); /* cli_entry.c */

#endif
