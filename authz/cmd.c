#include "cmd.h"
#include "errand.h"

#include "load.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const size_t COMMAND_MEMORY_MAX = (size_t)16 << 30;

struct cmd *cmd_new(const struct flag_command *fc, int argc, char **argv, int *code)
{
    struct cmd *c = calloc(1, sizeof *c);
    BUG_ON(c == NULL);
    arena_init(&c->a, COMMAND_MEMORY_MAX);
    enum flags_result r = flags_parse(fc, c, &c->a, argc, argv, &c->args);
    if (r == FLAGS_OK && c->target != NULL && strcmp(c->target, "wasm") == 0) {
        fprintf(stderr, "Error: WebAssembly is not supported: policies run as Rego\n");
        r = FLAGS_WRONG;
    }
    if (r == FLAGS_OK) {
        return c;
    }
    *code = r == FLAGS_WRONG;
    cmd_free(c);
    return NULL;
}

const struct outside *cmd_outside(struct cmd *c)
{
    if (c->outside == NULL && failed(outside_blocking_new(&c->outside))) {
        return NULL; /* http.send then says that it may not */
    }
    return c->outside;
}

void cmd_free(struct cmd *c)
{
    outside_blocking_free(c->outside);
    arena_release(&c->a);
    free(c);
}

int cmd_wrong(const struct flag_command *fc, const char *fmt, ...)
{
    va_list ap;
    fputs("Error: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "\nSee '%s --help'.\n", fc->name);
    return 1;
}

enum rego_version cmd_version(const struct cmd *c)
{
    return c->v0 ? REGO_V0 : REGO_V1;
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

/* JSON is what it looks like; what is not may still be YAML. */
struct err cmd_input(struct cmd *c, struct val *out)
{
    struct str text;
    *out = VAL_UNDEF;
    if (c->stdin_input) {
        text = stdin_text(&c->a);
    } else if (c->input == NULL) {
        return OK;
    } else {
        struct str path = str_of(c->input);
        path = str_starts(path, S("file://")) ? str_sub(path, 7, path.n) : path;
        TRY(read_whole_file(&c->a, path, &text));
    }
    if (!failed(parse_document(&c->a, S("input"), text, false, out))) {
        return OK;
    }
    struct err e = parse_document(&c->a, S("input"), text, true, out);
    return failed(e) ? err_make(ERR_SYNTAX, "unable to parse input: %s", err_detail()) : OK;
}

extern char **environ;

struct val cmd_runtime(struct arena *a)
{
    struct vlist env = {.a = a}, all = {.a = a};
    for (char **e = environ; *e != NULL; e++) {
        struct str rest = str_of(*e), name = str_split(&rest, '=');
        vlist_add2(&env, val_str(a, name), val_str(a, rest));
    }
    vlist_put(&all, "authorization_enabled", VAL_FALSE);
    vlist_put(&all, "skip_known_schema_check", VAL_FALSE);
    vlist_put(&all, "commit", val_str(a, STR_EMPTY));
    vlist_put(&all, "env", vlist_object(&env));
    vlist_put(&all, "version", val_str(a, S(OPA_VERSION)));
    return vlist_object(&all);
}

void print_buf(struct buf *b)
{
    fwrite(b->p != NULL ? b->p : "", 1, b->n, stdout);
    buf_clear(b);
}

/* The end of the string that begins at `i`. */
static size_t string_end(struct str s, size_t i)
{
    for (i++; i < s.n && s.p[i] != '"'; i++) {
        i += s.p[i] == '\\';
    }
    return MIN(i + 1, s.n);
}

static void new_line(struct buf *b, int depth)
{
    buf_printf(b, "\n%*s", 2 * depth, "");
}

void print_indented(struct str s)
{
    struct buf b;
    int depth = 0;
    buf_init(&b, 1 << 30);
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i], next = i + 1 < s.n ? s.p[i + 1] : '\0';
        if (c == '"') {
            size_t end = string_end(s, i);
            buf_puts(&b, str_sub(s, i, end));
            i = end - 1;
        } else if (c == '{' || c == '[') {
            buf_putc(&b, c);
            bool empty = next == '}' || next == ']';
            depth++;
            if (!empty) {
                new_line(&b, depth);
            }
        } else if (c == '}' || c == ']') {
            depth--;
            if (s.p[i - 1] != '{' && s.p[i - 1] != '[') {
                new_line(&b, depth);
            }
            buf_putc(&b, c);
        } else {
            buf_putc(&b, c);
            if (c == ',') {
                new_line(&b, depth);
            } else if (c == ':') {
                buf_putc(&b, ' ');
            }
        }
    }
    buf_putc(&b, '\n');
    print_buf(&b);
    buf_release(&b);
}

static int cmd_version_text(struct daemon *d, int argc, char **argv)
{
    static const struct flag flags[] = {
        {"check", 'c', FLAG_BOOL, CMD(check_latest), NULL,
         "taken, and nothing is asked: no telemetry", NULL, NULL},
        {0},
    };
    static const struct flag_command fc = {
        "version", "", "Print the version of OPA that this answers for.", flags};
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    puts("Version: " OPA_VERSION "\nBuild Commit: \nBuild Timestamp: \nBuild Hostname: \n"
         "Go Version: none (C)\nPlatform: linux\nRego Version: v1\nWebAssembly: unavailable");
    cmd_free(c);
    return 0;
}

const struct daemon_command authz_commands[] = {
    {"eval", "[-d PATH] [-i FILE] QUERY", "evaluate a query", cmd_eval, false},
    {"why", "[-d PATH] [-i FILE] REFERENCE", "what would have to be different for another decision",
     cmd_why, false},
    {"check", "PATH...", "check policies for errors", cmd_check, false},
    {"fmt", "[-w|-d|-l] [PATH...]", "format policies", cmd_fmt, false},
    {"parse", "FILE", "print the syntax tree of a policy", cmd_parse_file, false},
    {"test", "[-v] PATH...", "run the tests of policies", cmd_test, false},
    {"bench", "[-d PATH] [-i FILE] QUERY", "measure a query", cmd_bench, false},
    {"run", "[-s] [-a ADDR] [PATH...]", "serve OPA's API without a configuration file", cmd_run,
     false},
    {"build", "[-b] [-o FILE] PATH...", "make a bundle", cmd_build, false},
    {"sign", "--signing-key KEY -b PATH", "sign a bundle's files", cmd_sign, false},
    {"inspect", "PATH", "tell what a bundle holds", cmd_inspect, false},
    {"exec", "-b PATH --decision PATH FILE...", "decide for each of many input files", cmd_exec,
     false},
    {"capabilities", "[--current]", "print what of the language there is", cmd_capabilities, false},
    {"deps", "[-d PATH] QUERY", "tell what a query depends on", cmd_deps, false},
    {"version", "", "print the version of OPA that this answers for", cmd_version_text, false},
    {0},
};

bool is_opa_name(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    const char *name = slash != NULL ? slash + 1 : argv0;
    return strcmp(name, "sextant-opa") == 0 || strcmp(name, "opa") == 0;
}

static void opa_help(void)
{
    printf("Policies in Rego: evaluate, test, format, bundle and serve them.\n\n"
           "Usage:\n  sextant-opa COMMAND [flags]\n\nCommands:\n");
    for (const struct daemon_command *k = authz_commands; k->name != NULL; k++) {
        printf("  %-14s%s\n", k->name, k->help);
    }
    printf("\n'sextant-opa COMMAND --help' tells of its flags.\n");
}

int opa_main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "help") == 0 && argc > 2) {
        argv[1] = argv[2];
        argv[2] = (char[]){"--help"};
        argc = 3;
        name = argv[1];
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        opa_help();
        return 0;
    }
    for (const struct daemon_command *k = authz_commands; k->name != NULL; k++) {
        if (strcmp(k->name, name) == 0) {
            return k->run(NULL, argc - 1, argv + 1);
        }
    }
    fprintf(stderr, "Error: unknown command \"%s\" for \"opa\"\nSee 'sextant-opa --help'.\n", name);
    return 1;
}
