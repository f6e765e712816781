/* check and parse. */
#include "cmd.h"

#include "authz/rego/syntax/ast_json.h"

#include <stdio.h>

/* As everywhere, but with the column behind the row. */
static void put_text(struct buf *b, const struct rego_errors *errors)
{
    buf_printf(b, errors->n == 1 ? "1 error occurred: " : "%zu errors occurred:\n", errors->n);
    for (size_t i = 0; i < errors->n; i++) {
        const struct rego_error *e = &errors->v[i];
        buf_puts(b, i > 0 ? S("\n") : S(""));
        if (e->loc.row > 0) {
            buf_printf(b, "%.*s:%u:%u: ", STR_FMT(e->file), e->loc.row, e->loc.col);
        }
        buf_printf(b, "%s: ", e->code);
        buf_puts(b, e->message);
    }
}

static void print_errors(const struct cmd *c, const struct rego_errors *errors)
{
    struct buf b;
    buf_init(&b, 1 << 24);
    if (c->format != NULL && strcmp(c->format, "json") == 0) {
        struct str body = error_body(errors->a, "x", STR_EMPTY, errors);
        struct val v;
        if (!failed(val_from_json(errors->a, body, &v))) {
            struct val list = val_get_str(v, "errors");
            struct val o =
                val_object2(errors->a, (struct val[]){val_str(errors->a, S("errors")), list}, 1);
            val_to_json_pretty(&b, o, "  ", true);
        }
    } else {
        put_text(&b, errors);
    }
    buf_putc(&b, '\n');
    fwrite(b.p, 1, b.n, stderr);
    buf_release(&b);
}

int cmd_check(struct daemon *d, int argc, char **argv)
{
    struct cmd c;
    (void)d;
    if (!cmd_parse(&c, argc, argv)) {
        return 2;
    }
    for (size_t i = 0; i < c.n_args && c.n_paths < CMD_PATHS_MAX; i++) {
        c.paths[c.n_paths++] = c.args[i];
    }
    if (c.n_paths == 0) {
        fprintf(stderr, "Error: specify at least one file\n");
        return 1;
    }
    struct rego_errors errors = {.a = &c.a};
    struct rego_compile_options o = {.strict = c.strict, .enable_print = true};
    struct image *im = cmd_load(&c, &o, &errors);
    if (im == NULL) {
        print_errors(&c, &errors);
    }
    int code = im == NULL;
    image_free(im);
    cmd_release(&c);
    return code;
}

int cmd_parse_file(struct daemon *d, int argc, char **argv)
{
    struct cmd c;
    struct str text;
    (void)d;
    if (!cmd_parse(&c, argc, argv) || c.n_args != 1) {
        fprintf(stderr, "Error: parse takes one file\n");
        return 1;
    }
    struct err e = read_whole_file(&c.a, str_of(c.args[0]), &text);
    if (failed(e)) {
        fprintf(stderr, "error: %s\n", err_detail());
        return 1;
    }
    struct rego_errors errors = {.a = &c.a};
    struct parse_options o = {.version = cmd_version(&c)};
    struct module *m;
    int code = 1;
    if (rego_parse_module(&c.a, str_of(c.args[0]), text, &o, &errors, &m)) {
        struct ast_json_options how = {
            .locations = c.json_include != NULL && strstr(c.json_include, "locations") != NULL,
            .comments = c.json_include != NULL && strstr(c.json_include, "comments") != NULL};
        struct buf b;
        struct val v;
        buf_init(&b, 1 << 28);
        ast_to_json(&b, m, &how);
        if (!failed(val_from_json(&c.a, arena_str(&c.a, buf_str(&b)), &v))) {
            buf_clear(&b);
            val_to_json_pretty(&b, v, "  ", true);
        }
        buf_putc(&b, '\n');
        print_buf(&b);
        buf_release(&b);
        code = 0;
    } else {
        print_errors(&c, &errors);
    }
    cmd_release(&c);
    return code;
}
