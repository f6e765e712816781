/* cmd: what the subcommands share: options as OPA spells them, loading, printing errors. */
#ifndef SEXTANT_AUTHZ_CMD_H
#define SEXTANT_AUTHZ_CMD_H

#include "authz.h"

enum { CMD_PATHS_MAX = 256 };

struct cmd {
    struct arena a;
    const char *paths[CMD_PATHS_MAX]; /* -d, -b */
    bool bundle[CMD_PATHS_MAX];
    size_t n_paths;
    const char *args[CMD_PATHS_MAX]; /* what is no option */
    size_t n_args;
    const char *format, *input, *run, *package, *addr[16], *config, *json_include;
    const char *imports[16];
    size_t n_imports, n_addr;
    int64_t count, timeout_ns;
    bool stdin_input, stdin_query, strict, strict_errors, show_errors, fail, fail_defined, verbose,
        v0, v1_from_v0, write, list, diff, current, server, fail_on_empty, benchmem, drop_imports,
        check_result, coverage, metrics, errors_all;
};

/* Reads the options a command may have; an unknown one is reported and false comes back. */
bool cmd_parse(struct cmd *c, int argc, char **argv);
void cmd_release(struct cmd *c);
enum rego_version cmd_version(const struct cmd *c);

/* Loads and compiles all paths. On failure the errors are on stderr as OPA prints them. */
struct image *cmd_load(struct cmd *c, const struct rego_compile_options *o,
                       struct rego_errors *errors);
/* The input named by -i or -I. */
struct err cmd_input(struct cmd *c, struct val *out);
void print_buf(struct buf *b); /* to stdout; empties it */
struct str stdin_text(struct arena *a);

int cmd_eval(struct daemon *d, int argc, char **argv);
int cmd_check(struct daemon *d, int argc, char **argv);
int cmd_parse_file(struct daemon *d, int argc, char **argv);
int cmd_fmt(struct daemon *d, int argc, char **argv);
int cmd_test(struct daemon *d, int argc, char **argv);
int cmd_run(struct daemon *d, int argc, char **argv);
int cmd_bench(struct daemon *d, int argc, char **argv);

#endif
