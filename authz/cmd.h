/*
 * cmd: what the commands share: their flags as OPA spells them, loading, printing values and errors.
 *
 * Each command is a table of flags over struct cmd and a function. The program answers to two names:
 * `sextant-authz VERB …` beside the daemon, and `sextant-opa VERB …`, which is nothing but the commands.
 */
#ifndef SEXTANT_AUTHZ_CMD_H
#define SEXTANT_AUTHZ_CMD_H

#include "authz.h"
#include "flags.h"

#define OPA_VERSION "1.22.2" /* what the commands answer for */

struct cmd {
    struct arena a;
    struct outside *outside; /* NULL until something is evaluated */
    struct flag_list args;   /* what is no flag */
    struct flag_list data, bundles, ignore, imports, unknowns, disable_inlining, entrypoints, addr,
        set, set_file, profile_sort, coverage_runs, exclude_verify, plan_addons, diagnostic_addr;
    const char *format, *input, *package, *run, *config, *json_include, *explain, *schema,
        *capabilities, *target, *sort, *decision, *output, *revision, *signing_key, *signing_alg,
        *signing_plugin, *claims_file, *verification_key, *verification_key_id, *scope, *file,
        *version_name, *partial_namespace, *engine, *log_level, *log_format, *history, *text,
        *authentication, *authorization, *tls_cert, *tls_key, *tls_ca, *tls_min, *unix_perm,
        *persist;
    int64_t tls_refresh_ns;
    int64_t count, timeout_ns, max_errors, pretty_limit, profile_limit, parallel, optimize, number;
    double threshold;
    bool stdin_input, stdin_query, strict, strict_errors, show_errors, fail, fail_defined,
        fail_non_empty, verbose, v0, v1, v1_from_v0, write, list, diff, current, server,
        fail_on_empty, benchmem, drop_imports, check_result, coverage, metrics, instrument, profile,
        partial, shallow, nondeterministic, var_values, bundle_mode, bench, exit_zero_on_skipped,
        watch, annotations, debug, prune, follow_symlinks, skip_verify, check_latest, e2e, flag,
        h2c;
};

#define CMD(f) FLAG_AT(struct cmd, f)
/* Rows that several commands have. */
#define ROW_DATA                                                                                   \
    {                                                                                              \
        "data", 'd', FLAG_LIST, CMD(data), "PATH",                                                 \
            "policies and data to load, a file or a folder; a.b:PATH puts data below data.a.b",    \
            NULL, NULL                                                                             \
    }
#define ROW_BUNDLES                                                                                \
    {                                                                                              \
        "bundle", 'b', FLAG_LIST, CMD(bundles), "PATH", "bundle to load, an archive or a folder",  \
            NULL, NULL                                                                             \
    }
#define ROW_BUNDLE_MODE                                                                            \
    {                                                                                              \
        "bundle", 'b', FLAG_BOOL, CMD(bundle_mode), NULL, "the paths are bundles", NULL, NULL      \
    }
#define ROW_IGNORE                                                                                 \
    {                                                                                              \
        "ignore", 0, FLAG_WORDS, CMD(ignore), "GLOBS", "names of files and folders to pass over",  \
            NULL, NULL                                                                             \
    }
#define ROW_FORMAT(choices, def)                                                                   \
    {                                                                                              \
        "format", 'f', FLAG_CHOICE, CMD(format), "FORMAT", "form of the output", choices, def      \
    }
#define ROW_V0                                                                                     \
    {                                                                                              \
        "v0-compatible", 0, FLAG_BOOL, CMD(v0), NULL, "read policies as Rego v0", NULL, NULL       \
    }
#define ROW_V1                                                                                     \
    {                                                                                              \
        "v1-compatible", 0, FLAG_BOOL, CMD(v1), NULL, NULL, NULL, NULL                             \
    }
#define ROW_MAX_ERRORS                                                                             \
    {                                                                                              \
        "max-errors", 'm', FLAG_INT, CMD(max_errors), "N", "errors to report at most", NULL, "10"  \
    }
#define ROW_CAPABILITIES                                                                           \
    {                                                                                              \
        "capabilities", 0, FLAG_TEXT, CMD(capabilities), "FILE",                                   \
            "file, or version of OPA, that says which builtins and features there are", NULL, NULL \
    }
#define ROW_SCHEMA                                                                                 \
    {                                                                                              \
        "schema", 's', FLAG_TEXT, CMD(schema), "PATH",                                             \
            "JSON Schema of the input, or folder of them", NULL, NULL                              \
    }
#define ROW_TARGET                                                                                 \
    {                                                                                              \
        "target", 't', FLAG_CHOICE, CMD(target), "TARGET", "what evaluates", "rego,wasm", "rego"   \
    }
#define ROW_STRICT                                                                                 \
    {                                                                                              \
        "strict", 'S', FLAG_BOOL, CMD(strict), NULL,                                               \
            "unused variables, arguments and imports are errors", NULL, NULL                       \
    }
#define ROW_COUNT(what)                                                                            \
    {                                                                                              \
        "count", 0, FLAG_INT, CMD(count), "N", what, NULL, "1"                                     \
    }
#define ROW_STDIN_INPUT                                                                            \
    {                                                                                              \
        "stdin-input", 'I', FLAG_BOOL, CMD(stdin_input), NULL, "the input comes on stdin", NULL,   \
            NULL                                                                                   \
    }

/* A command line into an allocated structure. NULL: *code is the exit code, and all is said. */
struct cmd *cmd_new(const struct flag_command *fc, int argc, char **argv, int *code);
void cmd_free(struct cmd *c);
/* "Error: …" and the way to the help, on stderr. Returns 1, the exit code. */
int cmd_wrong(const struct flag_command *fc, const char *fmt, ...) PRINTF_LIKE(2, 3);
enum rego_version cmd_version(const struct cmd *c);

/* ---- loading ---- */

/* What is read: --data and --bundle; the arguments; the arguments, and of those the policies alone. */
enum load_what { LOAD_FLAGS, LOAD_ARGS, LOAD_POLICIES };

/* Reads and compiles. NULL: `errors` tells why; *loading says that reading, not compiling, failed. */
struct image *cmd_load(struct cmd *c, enum load_what what, const struct rego_compile_options *o,
                       struct rego_errors *errors, bool *loading);
/* The input named by -i or -I; VAL_UNDEF when there is none. */
struct err cmd_input(struct cmd *c, struct val *out);
struct str stdin_text(struct arena *a);
/* What opa.runtime() answers in commands: environment, version, commit. */
struct val cmd_runtime(struct arena *a);
/* What lets policies ask the world, waiting for its answers. Made at the first call, the command's. */
const struct outside *cmd_outside(struct cmd *c);

/* ---- printing ---- */

void print_buf(struct buf *b); /* to stdout; empties it */
/* JSON that is well formed, its members in their order, indented by two, to stdout with a newline. */
void print_indented(struct str json);
/* "1 error occurred: …", "2 errors occurred during loading:\n…", no newline at the end. */
void errors_text(struct buf *b, const struct rego_errors *errors, bool loading, size_t max);
/* The list of objects with message, code, location, details, at this indentation. */
void errors_json(struct buf *b, const struct rego_errors *errors, const char *indent);
/* {"errors": […]} or the text, for check, parse and their like; on stderr. */
void print_errors(const struct cmd *c, const struct rego_errors *errors, bool loading);

/* A table with borders, as human-readable output has. Cells may have several lines. */
struct table {
    struct arena *a;
    struct str *cells;
    size_t n_columns, n_cells, cap;
    bool header;    /* the first row is one */
    bool separated; /* a line between all rows */
};
void table_add(struct table *t, struct str cell);
void table_print(struct buf *out, const struct table *t);

/* ---- commands ---- */

int cmd_eval(struct daemon *d, int argc, char **argv);
int cmd_why(struct daemon *d, int argc, char **argv);
int cmd_check(struct daemon *d, int argc, char **argv);
int cmd_parse_file(struct daemon *d, int argc, char **argv);
int cmd_fmt(struct daemon *d, int argc, char **argv);
int cmd_test(struct daemon *d, int argc, char **argv);
int cmd_run(struct daemon *d, int argc, char **argv);
int cmd_bench(struct daemon *d, int argc, char **argv);
int cmd_capabilities(struct daemon *d, int argc, char **argv);
int cmd_deps(struct daemon *d, int argc, char **argv);
int cmd_exec(struct daemon *d, int argc, char **argv);
int cmd_build(struct daemon *d, int argc, char **argv);
int cmd_sign(struct daemon *d, int argc, char **argv);
int cmd_inspect(struct daemon *d, int argc, char **argv);

/* Is the program called by a name that stands for OPA's? Then this is its whole life. */
bool is_opa_name(const char *argv0);
int opa_main(int argc, char **argv);

#endif
