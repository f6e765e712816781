/* Loading for commands, and errors in the forms they are printed in. */
#include "cmd.h"

#include "load.h"

#include <stdio.h>

static bool load_list(struct image *im, struct cmd *c, const struct flag_list *paths, bool bundle,
                      bool only_rego, struct rego_errors *errors)
{
    struct load_options o = {.version = cmd_version(c),
                             .ignore = c->ignore.v,
                             .n_ignore = c->ignore.n,
                             .only_rego = only_rego,
                             .bundle = bundle,
                             .bundle_prefix = paths == &c->bundles ? "loading error: " : NULL};
    bool ok = true;
    for (size_t i = 0; i < paths->n; i++) {
        ok = image_load(im, str_of(paths->v[i]), &o, errors) && ok;
    }
    return ok;
}

/* Every file by itself: mistakes of syntax stand among those of loading. */
static bool syntax_holds(struct image *im, struct rego_errors *errors)
{
    size_t before = errors->n;
    for (size_t i = 0; i < im->n_files; i++) {
        struct parse_options po = {.version = im->files[i].version};
        struct module *m;
        (void)rego_parse_module(errors->a, im->files[i].id, im->files[i].text, &po, errors, &m);
    }
    return errors->n == before;
}

struct image *cmd_load(struct cmd *c, enum load_what what, const struct rego_compile_options *o,
                       struct rego_errors *errors, bool *loading)
{
    struct image *im = image_new();
    bool only_rego = what == LOAD_POLICIES && !c->bundle_mode;
    bool ok = what != LOAD_FLAGS ? load_list(im, c, &c->args, c->bundle_mode, only_rego, errors)
                                 : load_list(im, c, &c->data, false, false, errors) &&
                                       load_list(im, c, &c->bundles, true, false, errors);
    *loading = !ok;
    if (!ok) {
        (void)syntax_holds(im, errors);
    } else if (!image_compile(im, o, errors)) {
        struct rego_errors again = {.a = errors->a};
        *loading = !syntax_holds(im, &again);
        ok = false;
    }
    if (ok) {
        return im;
    }
    image_free(im);
    return NULL;
}

void errors_text(struct buf *b, const struct rego_errors *errors, bool loading, size_t max)
{
    const char *when = loading ? " during loading" : "";
    size_t n = MIN(errors->n, max);
    bool cut = n < errors->n;
    if (n + cut == 1) {
        buf_printf(b, "1 error occurred%s: ", when);
    } else {
        buf_printf(b, "%zu errors occurred%s:\n", n + cut, when);
    }
    for (size_t i = 0; i < n; i++) {
        buf_puts(b, i > 0 ? S("\n") : S(""));
        rego_error_write(b, &errors->v[i]);
        for (struct str rest = errors->v[i].details; rest.n > 0;) {
            buf_puts(b, S("\n\t"));
            buf_puts(b, str_split(&rest, '\n'));
        }
    }
    buf_puts(b, cut ? S("\nrego_compile_error: error limit reached") : S(""));
}

/* A parse error's details are its line and the column of the mark below it. */
static void put_details(struct buf *b, const struct rego_error *e, const char *indent)
{
    struct str rest = e->details, line = str_split(&rest, '\n');
    size_t mark = str_find_char(rest, '^');
    if (strcmp(e->code, "rego_parse_error") != 0 || mark == STR_NPOS) {
        return;
    }
    buf_printf(b, ",\n%s    \"details\": {\n%s      \"line\": ", indent, indent);
    val_json_string(b, line, true);
    buf_printf(b, ",\n%s      \"idx\": %zu\n%s    }", indent, mark, indent);
}

void errors_json(struct buf *b, const struct rego_errors *errors, const char *indent)
{
    buf_puts(b, S("["));
    for (size_t i = 0; i < errors->n; i++) {
        const struct rego_error *e = &errors->v[i];
        buf_printf(b, "%s\n%s  {\n%s    \"message\": ", i > 0 ? "," : "", indent, indent);
        val_json_string(b, e->message, true);
        if (e->code[0] != '\0') {
            buf_printf(b, ",\n%s    \"code\": \"%s\"", indent, e->code);
        }
        if (e->loc.row > 0) {
            buf_printf(b, ",\n%s    \"location\": {\n%s      \"file\": ", indent, indent);
            val_json_string(b, e->file, true);
            buf_printf(b, ",\n%s      \"row\": %u,\n%s      \"col\": %u\n%s    }", indent,
                       e->loc.row, indent, e->loc.col, indent);
        }
        put_details(b, e, indent);
        buf_printf(b, "\n%s  }", indent);
    }
    buf_printf(b, "\n%s]", indent);
}

void print_errors(const struct cmd *c, const struct rego_errors *errors, bool loading)
{
    struct buf b;
    buf_init(&b, 1 << 28);
    if (c->format != NULL && strcmp(c->format, "json") == 0) {
        buf_puts(&b, S("{\n  \"errors\": "));
        errors_json(&b, errors, "  ");
        buf_puts(&b, S("\n}"));
    } else if (loading && c->bundle_mode && errors->n == 1) {
        rego_error_write(&b, &errors->v[0]);
    } else {
        size_t max = c->max_errors > 0 ? (size_t)c->max_errors : SIZE_MAX;
        errors_text(&b, errors, loading, max);
    }
    buf_putc(&b, '\n');
    fwrite(b.p, 1, b.n, stderr);
    buf_release(&b);
}
