/* parse: the syntax tree of a policy. */
#include "cmd.h"

#include "authz/rego/syntax/annotation.h"
#include "authz/rego/syntax/ast_json.h"
#include "server/server.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct flag flags[] = {
    ROW_FORMAT("pretty,json", "pretty"),
    {"json-include", 0, FLAG_TEXT, CMD(json_include), "PARTS",
     "what else to print: locations, comments; -comments leaves those out", NULL, NULL},
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command command = {"parse", "FILE", "Print the syntax tree of a policy.",
                                            flags};

enum { PARSE_OUTPUT_MAX = 1 << 28 };

/* "locations,-comments": the last word about a part holds. Comments are in unless taken out. */
static struct ast_json_options parts(const struct cmd *c)
{
    struct ast_json_options o = {.comments = true};
    struct str rest = str_of(c->json_include);
    while (rest.p != NULL) {
        struct str word = str_split(&rest, ',');
        bool on = !str_starts(word, S("-"));
        o.locations = str_ends(word, S("locations")) ? on : o.locations;
        o.comments = str_ends(word, S("comments")) ? on : o.comments;
    }
    return o;
}

static void put_location(struct buf *b, const struct rego_error *e, struct str source, bool text)
{
    buf_puts(b, S(",\"location\":{\"file\":"));
    val_json_string(b, e->file, true);
    buf_printf(b, ",\"row\":%u,\"col\":%u", e->loc.row, e->loc.col);
    if (text && e->loc.end > e->loc.off) {
        buf_puts(b, S(",\"text\":"));
        ast_json_bytes(b, str_sub(source, e->loc.off, e->loc.end));
    }
    buf_putc(b, '}');
}

static void put_error(struct buf *b, const struct rego_error *e, struct str source, bool text)
{
    buf_puts(b, S("{\"message\":"));
    val_json_string(b, e->message, true);
    if (e->code != NULL) {
        buf_printf(b, ",\"code\":\"%s\"", e->code);
        put_location(b, e, source, text);
    }
    if (e->has_line) {
        buf_puts(b, S(",\"details\":{\"line\":"));
        val_json_string(b, e->line, true);
        buf_printf(b, ",\"idx\":%zu}", e->line_at);
    }
    buf_putc(b, '}');
}

static void put_indented(FILE *to, const struct buf *compact)
{
    struct buf b;
    buf_init(&b, PARSE_OUTPUT_MAX);
    json_indent(&b, buf_str(compact));
    buf_putc(&b, '\n');
    fwrite(b.p, 1, b.n, to);
    buf_release(&b);
}

/* Errors are JSON whatever the format. */
static int report(const struct rego_errors *errors, struct str source, bool text)
{
    struct buf b;
    buf_init(&b, PARSE_OUTPUT_MAX);
    buf_puts(&b, S("{\"errors\":["));
    for (size_t i = 0; i < errors->n; i++) {
        buf_puts(&b, i > 0 ? S(",") : S(""));
        put_error(&b, &errors->v[i], source, text);
    }
    buf_puts(&b, S("]}"));
    put_indented(stderr, &b);
    buf_release(&b);
    return 1;
}

static int parse_text(struct cmd *c, struct str file, struct str source)
{
    struct rego_errors errors = {.a = &c->a};
    struct parse_options po = {.version = cmd_version(c), .keep_equal_keys = true};
    struct ast_json_options o = parts(c);
    struct module *m = NULL; /* stays so when the text is no module: then errors have lines */
    if (!rego_parse_module(&c->a, file, source, &po, &errors, &m) ||
        !annotations_read(&c->a, m, &errors)) {
        for (size_t i = 0; m != NULL && i < errors.n; i++) {
            rego_error_find_line(&c->a, &errors.v[i], source);
        }
        return report(&errors, source, o.locations);
    }
    struct buf b;
    buf_init(&b, PARSE_OUTPUT_MAX);
    if (strcmp(c->format, "json") == 0) {
        ast_to_json(&b, m, &o);
        put_indented(stdout, &b);
    } else {
        ast_to_pretty(&b, m, o.comments);
        print_buf(&b);
    }
    buf_release(&b);
    return 0;
}

static int parse_file(struct cmd *c)
{
    const char *path = c->args.v[0];
    struct str source;
    struct stat st;
    struct rego_error e = {0};
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        e.message = arena_printf(&c->a, "read %s: is a directory", path);
    } else if (!failed(read_whole_file(&c->a, str_of(path), &source))) {
        return parse_text(c, str_of(path), source);
    } else if (access(path, F_OK) != 0) {
        e.message = arena_printf(&c->a, "open %s: no such file or directory", path);
    } else {
        e.message = arena_printf(&c->a, "open %s", err_detail());
    }
    return report(&(struct rego_errors){.a = &c->a, .v = &e, .n = 1}, STR_EMPTY, false);
}

int cmd_parse_file(struct daemon *d, int argc, char **argv)
{
    int code = 1;
    struct cmd *c = cmd_new(&command, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    code = c->args.n == 0 ? cmd_wrong(&command, "no source file specified") : parse_file(c);
    cmd_free(c);
    return code;
}
