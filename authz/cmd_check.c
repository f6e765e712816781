/* check: do the policies hold? */
#include "cmd.h"

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
