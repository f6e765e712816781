/* capabilities: what of the language there is. */
#include "cmd.h"

#include "authz/rego/capabilities.h"

#include <stdio.h>

static const struct flag flags[] = {
    {"current", 0, FLAG_BOOL, CMD(current), NULL, "those of this program", NULL, NULL},
    {"version", 0, FLAG_TEXT, CMD(version_name), "VERSION", "those of a version of OPA", NULL,
     NULL},
    {"file", 0, FLAG_TEXT, CMD(file), "FILE", "those that a file holds", NULL, NULL},
    ROW_V0,
    {0},
};

static const struct flag_command fc = {
    "capabilities", "", "Print the versions whose capabilities are known, or those capabilities.",
    flags};

static int print_file(struct cmd *c)
{
    struct str text;
    struct val v;
    struct buf b;
    struct err e = read_whole_file(&c->a, str_of(c->file), &text);
    e = failed(e) ? e : val_from_json(&c->a, text, &v);
    if (failed(e)) {
        fprintf(stderr, "%s\n", err_detail());
        return 1;
    }
    buf_init(&b, CAPABILITIES_JSON_MAX);
    val_to_json_pretty(&b, v, "  ", true);
    buf_putc(&b, '\n');
    print_buf(&b);
    buf_release(&b);
    return 0;
}

int cmd_capabilities(struct daemon *d, int argc, char **argv)
{
    int code = 0;
    struct cmd *c = cmd_new(&fc, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    bool known = c->version_name != NULL && strcmp(c->version_name, "v" OPA_VERSION) == 0;
    if (c->file != NULL) {
        code = print_file(c);
    } else if (c->version_name != NULL && !known) {
        fprintf(stderr, "no capabilities version found %s\n", c->version_name);
        code = 1;
    } else if (c->current || known) {
        struct buf b;
        buf_init(&b, CAPABILITIES_JSON_MAX);
        rego_capabilities_write(&b, c->v0);
        print_buf(&b);
        buf_release(&b);
    } else {
        puts("v" OPA_VERSION);
    }
    cmd_free(c);
    return code;
}
