/* Loading for commands, and errors in the forms they are printed in. */
#include "cmd.h"

#include "load.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

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

/* A file of capabilities, or the name of a version: of those there is one. */
static struct err read_capabilities(struct cmd *c, struct val *out)
{
    struct str text;
    *out = VAL_UNDEF;
    if (c->capabilities == NULL || strcmp(c->capabilities, "v" OPA_VERSION) == 0) {
        return OK;
    }
    ENSURE(!failed(read_whole_file(&c->a, str_of(c->capabilities), &text)), ERR_NOT_FOUND,
           "no such file or capabilities version found: %s", c->capabilities);
    return val_from_json(&c->a, text, out);
}

enum { SCHEMA_DEPTH_MAX = 32 };

static struct err add_schema(struct cmd *c, struct vlist *out, struct str path, struct str key)
{
    struct str text;
    struct val v;
    TRY(read_whole_file(&c->a, path, &text));
    TRY(parse_document(&c->a, path, text, false, &v));
    vlist_add2(out, val_str(&c->a, key), v);
    return OK;
}

/* a/b.json below the folder is schema.a.b. */
static struct err add_schemas(struct cmd *c, struct vlist *out, struct str path, struct str key,
                              unsigned depth)
{
    struct stat st;
    struct dirent **names = NULL;
    ENSURE(stat(path.p, &st) == 0, ERR_NOT_FOUND, "stat %s: no such file or directory", path.p);
    if (!S_ISDIR(st.st_mode)) {
        return add_schema(c, out, path, key);
    }
    struct err e = OK;
    int n = depth < SCHEMA_DEPTH_MAX ? scandir(path.p, &names, NULL, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        struct str name = str_of(names[i]->d_name);
        size_t dot = str_rfind_char(name, '.');
        if (name.p[0] != '.' && !failed(e)) {
            struct str below =
                arena_printf(&c->a, "%.*s.%.*s", STR_FMT(key),
                             STR_FMT(dot == STR_NPOS ? name : str_sub(name, 0, dot)));
            e = add_schemas(c, out, arena_printf(&c->a, "%s/%s", path.p, name.p), below, depth + 1);
        }
        free(names[i]);
    }
    free(names);
    return e;
}

static struct err limits_of(struct cmd *c, struct rego_compile_options *o)
{
    struct vlist schemas = {.a = &c->a};
    o->annotations = true;
    o->max_errors = (int)MIN(c->max_errors, (int64_t)INT32_MAX);
    TRY(read_capabilities(c, &o->capabilities));
    if (c->schema != NULL) {
        struct str path = arena_str(&c->a, str_of(c->schema));
        path = str_starts(path, S("file://")) ? str_sub(path, 7, path.n) : path;
        TRY(add_schemas(c, &schemas, path, S("schema"), 0));
        o->schemas = vlist_object(&schemas);
    }
    return OK;
}

struct image *cmd_load(struct cmd *c, enum load_what what, const struct rego_compile_options *o,
                       struct rego_errors *errors, bool *loading)
{
    struct rego_compile_options full = *o;
    if (failed(limits_of(c, &full))) {
        rego_errors_add(errors, "", STR_EMPTY, (struct loc){0}, "%s", err_detail());
        *loading = true;
        return NULL;
    }
    o = &full;
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
