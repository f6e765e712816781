#include "cmd.h"

#include "lib/base/clock.h"
#include "lib/json/json.h"
#include "lib/yaml/yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum kind { FLAG, TEXT, NUMBER, TIME, PATH, BUNDLE, ADDR, IMPORT, IGNORED, IGNORED_VALUE };

struct option {
    const char *name;
    char letter;
    enum kind kind;
    size_t offset;
};

#define AT(f) offsetof(struct cmd, f)

static const struct option options[] = {
    {"data", 'd', PATH, 0},
    {"bundle", 'b', BUNDLE, 0},
    {"format", 'f', TEXT, AT(format)},
    {"input", 'i', TEXT, AT(input)},
    {"stdin-input", 'I', FLAG, AT(stdin_input)},
    {"stdin", 0, FLAG, AT(stdin_query)},
    {"strict", 'S', FLAG, AT(strict)},
    {"strict-builtin-errors", 0, FLAG, AT(strict_errors)},
    {"show-builtin-errors", 0, FLAG, AT(show_errors)},
    {"fail", 0, FLAG, AT(fail)},
    {"fail-defined", 0, FLAG, AT(fail_defined)},
    {"verbose", 'v', FLAG, AT(verbose)},
    {"v0-compatible", 0, FLAG, AT(v0)},
    {"v1-compatible", 0, IGNORED, 0},
    {"rego-v1", 0, FLAG, AT(v1_from_v0)},
    {"v0-v1", 0, FLAG, AT(v1_from_v0)},
    {"write", 'w', FLAG, AT(write)},
    {"list", 'l', FLAG, AT(list)},
    {"diff", 0, FLAG, AT(diff)},
    {"run", 'r', TEXT, AT(run)},
    {"package", 0, TEXT, AT(package)},
    {"import", 0, IMPORT, 0},
    {"count", 0, NUMBER, AT(count)},
    {"timeout", 0, TIME, AT(timeout_ns)},
    {"current", 0, FLAG, AT(current)},
    {"server", 's', FLAG, AT(server)},
    {"addr", 'a', ADDR, 0},
    {"config-file", 'c', TEXT, AT(config)},
    {"fail-on-empty", 'z', FLAG, AT(fail_on_empty)},
    {"benchmem", 0, FLAG, AT(benchmem)},
    {"drop-v0-imports", 0, FLAG, AT(drop_imports)},
    {"check-result", 0, FLAG, AT(check_result)},
    {"coverage", 0, FLAG, AT(coverage)},
    {"metrics", 0, FLAG, AT(metrics)},
    {"json-include", 0, TEXT, AT(json_include)},
    {"max-errors", 'm', IGNORED_VALUE, 0},
    {"ignore", 0, IGNORED_VALUE, 0},
    {"log-level", 0, IGNORED_VALUE, 0},
    {"log-format", 0, IGNORED_VALUE, 0},
    {"skip-version-check", 0, IGNORED, 0},
    {"disable-telemetry", 0, IGNORED, 0},
    {"watch", 0, IGNORED, 0},
    {"parallel", 'p', IGNORED_VALUE, 0},
    {"sort", 0, IGNORED_VALUE, 0},
    {"set", 0, IGNORED_VALUE, 0},
    {"instrument", 0, IGNORED, 0},
    {"var-values", 0, IGNORED, 0},
};

static const struct option *find(const char *name, size_t n, char letter)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct option *o = &options[i];
        if (name != NULL ? strlen(o->name) == n && strncmp(o->name, name, n) == 0
                         : o->letter == letter && letter != 0) {
            return o;
        }
    }
    return NULL;
}

static bool store_value(struct cmd *c, const struct option *o, const char *value)
{
    char *field = (char *)c + o->offset;
    struct err e = OK;
    switch (o->kind) {
    case TEXT:
        *(const char **)(void *)field = value;
        return true;
    case NUMBER:
        *(int64_t *)(void *)field = strtoll(value, NULL, 10);
        return true;
    case TIME:
        e = duration_parse(str_of(value), (int64_t *)(void *)field);
        if (failed(e)) {
            fprintf(stderr, "error: --%s: %s\n", o->name, err_detail());
        }
        return !failed(e);
    case PATH:
    case BUNDLE:
        if (c->n_paths < CMD_PATHS_MAX) {
            c->bundle[c->n_paths] = o->kind == BUNDLE;
            c->paths[c->n_paths++] = value;
        }
        return true;
    case ADDR:
        if (c->n_addr < ARRAY_LEN(c->addr)) {
            c->addr[c->n_addr++] = value;
        }
        return true;
    case IMPORT:
        if (c->n_imports < ARRAY_LEN(c->imports)) {
            c->imports[c->n_imports++] = value;
        }
        return true;
    default:
        return true;
    }
}

/* `-b` before a test's or a server's positional paths says that those are bundles, too. */
static bool one_option(struct cmd *c, int argc, char **argv, int *i)
{
    const char *arg = argv[*i], *value = NULL;
    bool longer = arg[1] == '-';
    const char *name = longer ? arg + 2 : NULL, *equal = longer ? strchr(name, '=') : NULL;
    size_t n = longer ? (equal != NULL ? (size_t)(equal - name) : strlen(name)) : 0;
    const struct option *o = find(name, n, longer ? 0 : arg[1]);
    if (o == NULL) {
        fprintf(stderr, "Error: unknown flag: %s\n", arg);
        return false;
    }
    if (o->kind == FLAG || o->kind == IGNORED) {
        if (o->kind == FLAG) {
            *((bool *)c + o->offset) = equal == NULL || strcmp(equal + 1, "false") != 0;
        }
        if (!longer && arg[2] != '\0') {
            argv[*i] += 1;
            argv[*i][0] = '-';
            (*i)--;
        }
        return true;
    }
    if (equal != NULL) {
        value = equal + 1;
    } else if (!longer && arg[2] != '\0') {
        value = arg + 2;
    } else if (*i + 1 < argc) {
        value = argv[++*i];
    } else {
        fprintf(stderr, "Error: flag needs an argument: %s\n", arg);
        return false;
    }
    return store_value(c, o, value);
}

static const size_t COMMAND_MEMORY_MAX = (size_t)16 << 30;

bool cmd_parse(struct cmd *c, int argc, char **argv)
{
    *c = (struct cmd){0};
    arena_init(&c->a, COMMAND_MEMORY_MAX);
    for (int i = 1; i < argc; i++) {
        bool option = argv[i][0] == '-' && argv[i][1] != '\0';
        if (option && strcmp(argv[i], "--") != 0) {
            if (!one_option(c, argc, argv, &i)) {
                return false;
            }
        } else if (!option && c->n_args < CMD_PATHS_MAX) {
            c->args[c->n_args++] = argv[i];
        }
    }
    return true;
}

void cmd_release(struct cmd *c)
{
    arena_release(&c->a);
}

enum rego_version cmd_version(const struct cmd *c)
{
    return c->v0 ? REGO_V0 : REGO_V1;
}

struct image *cmd_load(struct cmd *c, const struct rego_compile_options *o,
                       struct rego_errors *errors)
{
    struct image *im = image_new();
    for (size_t i = 0; i < c->n_paths; i++) {
        struct err e = image_add_path(im, str_of(c->paths[i]), cmd_version(c), c->bundle[i]);
        if (failed(e)) {
            rego_errors_add(errors, "load_error", STR_EMPTY, (struct loc){0}, "%s", err_detail());
        }
    }
    if (errors->n > 0 || !image_compile(im, o, errors)) {
        image_free(im);
        return NULL;
    }
    return im;
}

struct str stdin_text(struct arena *a)
{
    struct buf b;
    buf_init(&b, STORE_FILE_MAX);
    char chunk[65536];
    for (ssize_t n; (n = read(STDIN_FILENO, chunk, sizeof chunk)) > 0;) {
        buf_put(&b, chunk, (size_t)n);
    }
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

struct err cmd_input(struct cmd *c, struct val *out)
{
    struct str text;
    if (c->stdin_input) {
        return val_from_json(&c->a, stdin_text(&c->a), out);
    }
    if (c->input == NULL) {
        return OK;
    }
    if (strstr(c->input, ".yaml") != NULL || strstr(c->input, ".yml") != NULL) {
        struct json *docs;
        struct buf b;
        TRY(read_whole_file(&c->a, str_of(c->input), &text));
        TRY(yaml_parse(&c->a, text, str_of(c->input), NULL, &docs));
        buf_init(&b, STORE_FILE_MAX);
        if (docs->n > 0) {
            json_write(&b, docs->items[0]);
        }
        struct err e = val_from_json(&c->a, buf_str(&b), out);
        buf_release(&b);
        return e;
    }
    TRY(read_whole_file(&c->a, str_of(c->input), &text));
    return val_from_json(&c->a, text, out);
}

void print_buf(struct buf *b)
{
    fwrite(b->p != NULL ? b->p : "", 1, b->n, stdout);
    buf_clear(b);
}

static int cmd_version_text(struct daemon *d, int argc, char **argv)
{
    (void)d, (void)argc, (void)argv;
    printf("Version: 1.22.2\nBuild Commit: \nBuild Timestamp: \nBuild Hostname: \nGo Version: none "
           "(C)\n"
           "Platform: linux\nRego Version: v1\nWebAssembly: unavailable\n");
    return 0;
}

const struct daemon_command authz_commands[] = {
    {"eval", "[-d PATH] [-i FILE] QUERY", "evaluate a query, as `opa eval` does", cmd_eval, false},
    {"check", "PATH...", "check policies for errors", cmd_check, false},
    {"fmt", "[-w|-d|-l] [PATH...]", "format policies", cmd_fmt, false},
    {"parse", "FILE", "print the syntax tree of a policy", cmd_parse_file, false},
    {"test", "[-v] PATH...", "run the tests of policies", cmd_test, false},
    {"bench", "[-d PATH] [-i FILE] QUERY", "measure a query", cmd_bench, false},
    {"run", "[-a ADDR] [PATH...]", "serve OPA's API without a configuration file", cmd_run, false},
    {"version", "", "print the version of OPA that this answers for", cmd_version_text, false},
    {0},
};
