/* exec: one decision for each of many input files. */
#include "cmd.h"

#include "lib/base/clock.h"
#include "lib/base/codec.h"
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const struct flag flags[] = {
    ROW_BUNDLES,
    ROW_STDIN_INPUT,
    {"decision", 0, FLAG_TEXT, CMD(decision), "PATH", "what to ask for; else system/main", NULL,
     NULL},
    {"fail", 0, FLAG_BOOL, CMD(fail), NULL, "exit code 1 when a result is undefined", NULL, NULL},
    {"fail-defined", 0, FLAG_BOOL, CMD(fail_defined), NULL, "exit code 1 when one is defined", NULL,
     NULL},
    {"fail-non-empty", 0, FLAG_BOOL, CMD(fail_non_empty), NULL,
     "exit code 1 when one is more than []", NULL, NULL},
    ROW_FORMAT("json", "json"),
    {"timeout", 0, FLAG_TIME, CMD(timeout_ns), "TIME", "limit of each evaluation", NULL, NULL},
    {"config-file", 'c', FLAG_TEXT, CMD(config), "FILE",
     "configuration: its default_decision counts", NULL, NULL},
    {"set", 0, FLAG_LIST, CMD(set), "KEY=VALUE", "a value of the configuration", NULL, NULL},
    {"set-file", 0, FLAG_LIST, CMD(set_file), "KEY=FILE",
     "a value of the configuration, from a file", NULL, NULL},
    {"log-level", 'l', FLAG_CHOICE, CMD(log_level), "LEVEL", "what to log", "debug,info,error",
     "error"},
    {"log-format", 0, FLAG_CHOICE, CMD(log_format), "FORMAT", "form of the log",
     "text,json,json-pretty", "json"},
    {"log-timestamp-format", 0, FLAG_TEXT, CMD(text), "FORMAT", NULL, NULL, NULL},
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command fc = {
    "exec", "[PATH...]", "Ask for one decision with each input file below the paths.", flags};

enum { EXEC_DEPTH_MAX = 64, EXEC_PATH_MAX = 256 };

struct exec {
    struct cmd *c;
    struct image *im;
    struct val path[EXEC_PATH_MAX], runtime;
    size_t n_path, n_results, failures, errors;
    struct buf out;
    bool stop; /* a path cannot be read; said */
};

static void complain(const char *what)
{
    struct buf b, text;
    buf_init(&b, 1 << 20);
    buf_init(&text, 1 << 20);
    buf_printf(&text, "exec error: %s", what);
    buf_puts(&b, S("{\"err\":"));
    val_json_string(&b, buf_str(&text), true);
    buf_puts(&b, S(",\"level\":\"error\",\"msg\":\"Unexpected error.\",\"time\":\""));
    clock_put_rfc3339(&b, clock_wall_ns(), 0);
    fprintf(stderr, "%.*s\"}\n", STR_FMT(buf_str(&b)));
    buf_release(&text);
    buf_release(&b);
}

static void begin(struct exec *x, struct str path, bool decided)
{
    char id[37];
    buf_puts(&x->out, x->n_results++ > 0 ? S(",\n    {\n") : S("\n    {\n"));
    if (decided) {
        uuid4(id);
        buf_printf(&x->out, "      \"decision_id\": \"%s\",\n", id);
    }
    buf_puts(&x->out, S("      \"path\": "));
    val_json_string(&x->out, path, true);
}

static void put_error(struct exec *x, struct str path, const char *code, struct str message)
{
    begin(x, path, false);
    buf_puts(&x->out, S(",\n      \"error\": {"));
    if (code != NULL) {
        buf_printf(&x->out, "\n        \"code\": \"%s\",", code);
    }
    buf_puts(&x->out, S("\n        \"message\": "));
    val_json_string(&x->out, message, true);
    buf_puts(&x->out, S("\n      }\n    }"));
}

static void put_result(struct exec *x, struct str path, struct val v)
{
    struct buf text;
    begin(x, path, true);
    buf_puts(&x->out, S(",\n      \"result\": "));
    buf_init(&text, 1 << 30);
    val_to_json_pretty(&text, v, "  ", true);
    for (struct str rest = buf_str(&text); rest.p != NULL;) {
        buf_puts(&x->out, str_split(&rest, '\n'));
        buf_puts(&x->out, rest.p != NULL ? S("\n      ") : S(""));
    }
    buf_puts(&x->out, S("\n    }"));
    buf_release(&text);
}

static void decide_one(struct exec *x, struct str path, struct val input, struct arena *a)
{
    struct cmd *c = x->c;
    struct rego_result r;
    struct rego_eval_options o = {
        .input = input,
        .data = x->im->data,
        .runtime = x->runtime,
        .max_steps = UINT64_C(1) << 60,
        .deadline_ns = c->timeout_ns > 0 ? clock_mono_ns() + c->timeout_ns : 0,
    };
    struct val v = rego_eval_path(x->im->policy, x->path, x->n_path, &o, a, &r);
    if (r.failed) {
        put_error(x, path, r.error.code, r.error.message);
        x->errors += c->fail_defined || c->fail_non_empty;
    } else if (val_undef(v)) {
        put_error(x, path, "opa_undefined_error",
                  arena_printf(a, "%s decision was undefined", c->decision));
        x->errors += c->fail;
    } else {
        bool empty = val_is(v, V_ARRAY) && val_len(v) == 0;
        put_result(x, path, v);
        x->failures += c->fail_defined || (c->fail_non_empty && !empty);
    }
}

static void one_file(struct exec *x, struct str path)
{
    struct arena a;
    struct str text;
    struct val input;
    bool yaml = str_ends(path, S(".yaml")) || str_ends(path, S(".yml"));
    if (!yaml && !str_ends(path, S(".json"))) {
        return;
    }
    arena_init(&a, (size_t)4 << 30);
    struct err e = read_whole_file(&a, path, &text);
    e = failed(e) ? e : parse_document(&a, path, text, yaml, &input);
    if (failed(e)) {
        put_error(x, path, NULL, str_of(err_detail()));
        x->errors += x->c->fail || x->c->fail_defined || x->c->fail_non_empty;
    } else {
        decide_one(x, path, input, &a);
    }
    arena_release(&a);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Folders in one another are walked down to EXEC_DEPTH_MAX. */
static void walk(struct exec *x, struct str path, unsigned depth)
{
    struct stat st;
    struct dirent **names = NULL;
    if (stat(path.p, &st) != 0) {
        complain(arena_printf(&x->c->a, "lstat %s: no such file or directory", path.p).p);
        x->stop = true;
        return;
    }
    if (!S_ISDIR(st.st_mode)) {
        one_file(x, path);
        return;
    }
    int n = depth < EXEC_DEPTH_MAX ? scandir(path.p, &names, NULL, by_name) : 0;
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0 && !x->stop) {
            walk(x, arena_printf(&x->c->a, "%s/%s", path.p, names[i]->d_name), depth + 1);
        }
        free(names[i]);
    }
    free(names);
}

/* "./input.json" is shown as it is meant: input.json. */
static struct str shown(struct arena *a, const char *path)
{
    struct str s = str_of(path);
    while (s.n > 2 && str_starts(s, S("./"))) {
        s = str_sub(s, 2, s.n);
    }
    while (s.n > 1 && s.p[s.n - 1] == '/') {
        s.n--;
    }
    return arena_str(a, s);
}

static void read_decision(struct exec *x)
{
    for (size_t i = 0; x->c->decision == NULL && i < x->c->set.n; i++) {
        struct str rest = str_of(x->c->set.v[i]), key = str_split(&rest, '=');
        if (str_is(key, "default_decision")) {
            x->c->decision = rest.p;
        }
    }
    x->c->decision = x->c->decision != NULL ? x->c->decision : "/system/main";
    for (struct str rest = str_of(x->c->decision); rest.p != NULL && x->n_path < EXEC_PATH_MAX;) {
        struct str part = str_split(&rest, '/');
        if (part.n > 0) {
            x->path[x->n_path++] = val_str(&x->c->a, part);
        }
    }
}

static int verdict(const struct exec *x)
{
    const struct cmd *c = x->c;
    const char *flag = c->fail ? "fail" : c->fail_defined ? "fail-defined" : "fail-non-empty";
    char text[160];
    if (x->failures + x->errors == 0) {
        return 0;
    }
    snprintf(text, sizeof text,
             "there were %zu failures and %zu errors counted in the results list, and "
             "--%s is set",
             x->failures, x->errors, flag);
    complain(text);
    return 1;
}

static int execute(struct exec *x)
{
    struct cmd *c = x->c;
    struct val input;
    buf_init(&x->out, (size_t)1 << 32);
    if (c->stdin_input) {
        if (failed(cmd_input(c, &input))) {
            complain(err_detail());
            return 1;
        }
        decide_one(x, S("--stdin-input"), input, &c->a);
    }
    for (size_t i = 0; i < c->args.n && !x->stop; i++) {
        walk(x, shown(&c->a, c->args.v[i]), 0);
    }
    if (x->stop) {
        return 1;
    }
    printf("{\n  \"result\": [%.*s%s]\n}\n", STR_FMT(buf_str(&x->out)),
           x->n_results > 0 ? "\n  " : "");
    return verdict(x);
}

static int exec(struct cmd *c)
{
    struct exec x = {.c = c};
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {.enable_print = true};
    bool loading;
    read_decision(&x);
    x.im = cmd_load(c, LOAD_FLAGS, &o, &errors, &loading);
    if (x.im == NULL) {
        struct buf b;
        buf_init(&b, 1 << 20);
        errors_text(&b, &errors, false, 10);
        complain(arena_cstr(&c->a, buf_str(&b)));
        buf_release(&b);
        return 1;
    }
    x.runtime = cmd_runtime(&c->a);
    int code = execute(&x);
    buf_release(&x.out);
    image_free(x.im);
    return code;
}

int cmd_exec(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    int fails = c->fail + c->fail_defined + c->fail_non_empty;
    if (c->args.n == 0 && !c->stdin_input) {
        code = cmd_wrong(&fc, "requires at least 1 path arg, or the --stdin-input flag");
    } else if (fails > 1) {
        code = cmd_wrong(
            &fc, "specify --fail, --fail-defined or --fail-non-empty, but not more than one");
    } else {
        code = exec(c);
    }
    cmd_free(c);
    return code;
}
