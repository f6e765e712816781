/* check and parse. */
#include "cmd.h"

#include "authz/rego/syntax/ast_json.h"

#include <stdio.h>

static const struct flag check_flags[] = {
    ROW_STRICT,
    {"v0-v1", 0, FLAG_BOOL, CMD(v1_from_v0), NULL, "policies must hold as Rego v0 and as v1", NULL,
     NULL},
    {"rego-v1", 0, FLAG_BOOL, CMD(v1_from_v0), NULL, NULL, NULL, NULL},
    ROW_FORMAT("pretty,json", "pretty"),
    ROW_BUNDLE_MODE,
    ROW_IGNORE,
    ROW_MAX_ERRORS,
    ROW_CAPABILITIES,
    ROW_SCHEMA,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command check_command = {
    "check", "PATH...",
    "Read and compile the policies below the paths; say what is wrong with them.", check_flags};

static bool holds(struct cmd *c)
{
    struct rego_errors errors = {.a = &c->a};
    struct rego_compile_options o = {.strict = c->strict, .enable_print = true};
    bool loading;
    struct image *im = cmd_load(c, LOAD_POLICIES, &o, &errors, &loading);
    if (im == NULL) {
        print_errors(c, &errors, loading);
    }
    bool ok = im != NULL;
    image_free(im);
    return ok;
}

int cmd_check(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&check_command, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    if (c->args.n == 0) {
        code = cmd_wrong(&check_command, "specify at least one file");
    } else {
        c->v0 |= c->v1_from_v0;
        code = !holds(c);
        if (code == 0 && c->v1_from_v0) {
            c->v0 = false;
            code = !holds(c);
        }
    }
    cmd_free(c);
    return code;
}

static const struct flag parse_flags[] = {
    ROW_FORMAT("pretty,json", "pretty"),
    {"json-include", 0, FLAG_TEXT, CMD(json_include), "PARTS",
     "what else to print: locations, comments; -comments leaves those out", NULL, NULL},
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command parse_command = {
    "parse", "FILE", "Print the syntax tree of a policy.", parse_flags};

static int parse_one(struct cmd *c, struct str text)
{
    struct rego_errors errors = {.a = &c->a};
    struct parse_options o = {.version = cmd_version(c)};
    struct module *m;
    if (!rego_parse_module(&c->a, str_of(c->args.v[0]), text, &o, &errors, &m)) {
        print_errors(c, &errors, false);
        return 1;
    }
    struct ast_json_options how = {
        .locations = c->json_include != NULL && strstr(c->json_include, "locations") != NULL,
        .comments = c->json_include != NULL && strstr(c->json_include, "comments") != NULL};
    struct buf b;
    struct val v;
    buf_init(&b, 1 << 28);
    ast_to_json(&b, m, &how);
    if (!failed(val_from_json(&c->a, arena_str(&c->a, buf_str(&b)), &v))) {
        buf_clear(&b);
        val_to_json_pretty(&b, v, "  ", true);
    }
    buf_putc(&b, '\n');
    print_buf(&b);
    buf_release(&b);
    return 0;
}

int cmd_parse_file(struct daemon *d, int argc, char **argv)
{
    struct str text;
    int code = 1;
    struct cmd *c = cmd_new(&parse_command, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    code = 1;
    if (c->args.n != 1) {
        (void)cmd_wrong(&parse_command, "parse takes one file");
    } else if (failed(read_whole_file(&c->a, str_of(c->args.v[0]), &text))) {
        fprintf(stderr, "error: %s\n", err_detail());
    } else {
        code = parse_one(c, text);
    }
    cmd_free(c);
    return code;
}
