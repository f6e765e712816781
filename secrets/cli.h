/*
 * cli: the words of Vault's own command, for `sextant-secrets VERB` and `sextant secrets VERB`.
 *
 * VAULT_ADDR, VAULT_TOKEN (or ~/.vault-token), VAULT_CACERT, VAULT_WRAP_TTL and VAULT_FORMAT mean what they mean
 * there. Values of fields: name=value, name=@file, name=- (standard input), or - alone for a JSON object on
 * standard input: secrets need not stand on a command line. Exit codes: 0, 1 the command failed, 2 the server
 * refused or the call was wrong; `status` gives 2 when sealed.
 */
#ifndef SEXTANT_SECRETS_CLI_H
#define SEXTANT_SECRETS_CLI_H

#include "lib/http/client.h"
#include "lib/json/json.h"

enum { CLI_ARENA_MAX = 64 << 20, CLI_INPUT_MAX = 1 << 20, CLI_ARGS_MAX = 64 };

struct cli {
    struct arena arena;
    struct str addr, token, cacert, wrap_ttl;
    bool json;                      /* -format=json */
    struct str field;               /* -field=NAME: that one value alone */
    const char *args[CLI_ARGS_MAX]; /* without flags */
    int n_args;
    struct json *flags; /* the other flags, by name */
};

/* Reads environment and flags. */
struct err cli_open(struct cli *c, int argc, char **argv);
void cli_close(struct cli *c);
/* One call; *status and *out (NULL for an empty body). Transport failures are errors. */
struct err cli_call(struct cli *c, const char *method, struct str path, const struct json *body,
                    int *status, struct json **out);
/* The call, and its answer printed: the exit code. */
int cli_run(struct cli *c, const char *method, struct str path, const struct json *body,
            const char *done);
/* Fields from args[from...] as an object. */
struct err cli_fields(struct cli *c, int from, struct json **out);
struct str cli_flag(const struct cli *c, const char *name); /* empty when absent */
int cli_fail(struct err e);                                 /* prints and gives 1 */
int cli_usage(const char *text);                            /* prints and gives 1 */
int cli_refused(int status, const struct json *answer); /* prints the server's errors and gives 2 */
void cli_print(struct cli *c, const struct json *answer);
struct str cli_path(struct cli *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

int cli_kv(struct cli *c); /* cli_kv.c: args[0] is the verb */

#endif
