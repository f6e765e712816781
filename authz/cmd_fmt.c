/* fmt: policies in the one layout. */
#include "cmd.h"

#include "authz/rego/syntax/format.h"
#include "diff.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FMT_DEPTH_MAX = 256, FMT_TEXT_MAX = 64 << 20 };

static const struct flag flags[] = {
    {"write", 'w', FLAG_BOOL, CMD(write), NULL, "write the result back to the file", NULL, NULL},
    {"list", 'l', FLAG_BOOL, CMD(list), NULL, "name the files that would change", NULL, NULL},
    {"diff", 'd', FLAG_BOOL, CMD(diff), NULL, "show what would change", NULL, NULL},
    {"fail", 0, FLAG_BOOL, CMD(fail), NULL, "exit code other than 0 when something would change",
     NULL, NULL},
    {"v0-v1", 0, FLAG_BOOL, CMD(v1_from_v0), NULL, "make v0 policies hold as v1, too", NULL, NULL},
    {"rego-v1", 0, FLAG_BOOL, CMD(v1_from_v0), NULL, NULL, NULL, NULL},
    {"drop-v0-imports", 0, FLAG_BOOL, CMD(drop_imports), NULL,
     "leave out imports that v1 does not need", NULL, NULL},
    {"check-result", 0, FLAG_BOOL, CMD(check_result), NULL,
     "read the result again to be sure of it", NULL, "true"},
    ROW_CAPABILITIES,
    ROW_V0,
    ROW_V1,
    {0},
};

static const struct flag_command command = {
    "fmt", "[PATH...]",
    "Format policies in the one layout: files, the .rego files below folders, or stdin.", flags};

struct fmt {
    struct cmd *c;
    struct format_options o;
};

static void print_error_list(struct arena *a, const struct rego_errors *errors, const char *before,
                             const char *behind)
{
    struct buf b;
    (void)a;
    buf_init(&b, FMT_TEXT_MAX);
    rego_errors_write(&b, errors);
    fprintf(stderr, "%s%.*s%s\n", before, STR_FMT(buf_str(&b)), behind);
    buf_release(&b);
}

/* Is the result a policy? Exit code 2, and why not, if it is none. */
static int check_result(struct fmt *f, struct arena *a, const char *path, const struct buf *out)
{
    struct rego_errors errors = {.a = a};
    struct parse_options po = {.version = f->o.from};
    struct module *m;
    if (!f->c->check_result ||
        rego_parse_module(a, S("formatted"), buf_str(out), &po, &errors, &m)) {
        return 0;
    }
    struct str before =
        arena_printf(a, "%s was successfully formatted, but the result is invalid: ", path);
    print_error_list(a, &errors, before.p,
                     "\n\nTo inspect the formatted Rego, you can turn off this check with "
                     "--check-result=false.");
    return 2;
}

static int unexpected_diff(void)
{
    fputs("unexpected diff\n", stderr);
    return 2;
}

static int overwrite(const char *path, const struct buf *out)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "failed to open file for writing: open %s: %s\n", path,
                strerrordesc_np(errno));
        return 2;
    }
    for (size_t at = 0; at < out->n;) {
        ssize_t n = write(fd, out->p + at, out->n - at);
        if (n < 0 && errno != EINTR) {
            fprintf(stderr, "failed writing formatted contents: write %s: %s\n", path,
                    strerrordesc_np(errno));
            close(fd);
            return 2;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    return 0;
}

static void show_diff(struct arena *a, struct str before, const struct buf *after)
{
    struct buf b;
    buf_init(&b, FMT_TEXT_MAX);
    diff_text(a, before, buf_str(after), &b);
    buf_putc(&b, '\n');
    print_buf(&b);
    buf_release(&b);
}

/* What is done with a formatted file. */
static int deliver(struct fmt *f, struct arena *a, const char *path, struct str text,
                   struct buf *out)
{
    const struct cmd *c = f->c;
    bool changed = !str_eq(text, buf_str(out));
    if (c->list || c->diff) {
        if (changed && c->list) {
            printf("%s\n", path);
        } else if (changed) {
            show_diff(a, text, out);
        }
        return changed && c->fail ? unexpected_diff() : 0;
    }
    if (c->write) {
        return changed ? overwrite(path, out) : 0;
    }
    print_buf(out);
    return 0;
}

static int format_text(struct fmt *f, struct arena *a, const char *path, struct str text)
{
    struct rego_errors errors = {.a = a};
    struct buf out;
    int code = 2;
    buf_init(&out, FMT_TEXT_MAX);
    if (!rego_format(a, str_of(path), text, &f->o, &errors, &out)) {
        print_error_list(a, &errors, "failed to format Rego source file: ", "");
    } else if (!buf_ok(&out)) {
        fprintf(stderr, "failed to format Rego source file: over %d bytes\n", FMT_TEXT_MAX);
    } else if (f->c->fail && !f->c->list && !f->c->diff && !str_eq(text, buf_str(&out))) {
        code = unexpected_diff();
    } else {
        code = check_result(f, a, path, &out);
        code = code != 0 ? code : deliver(f, a, path, text, &out);
    }
    buf_release(&out);
    return code;
}

static int format_file(struct fmt *f, const char *path)
{
    struct arena a;
    struct str text;
    int code = 2;
    if (!str_ends(str_of(path), S(".rego"))) {
        return 0;
    }
    arena_init(&a, (size_t)4 << 30);
    if (failed(read_whole_file(&a, str_of(path), &text))) {
        fprintf(stderr, "failed to open file: open %s\n", err_detail());
    } else {
        code = format_text(f, &a, path, text);
    }
    arena_release(&a);
    return code;
}

static int skip_dots(const struct dirent *d)
{
    return strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* Without `./` in front and `/` behind. */
static struct str clean(const char *path)
{
    struct str s = str_of(path);
    while (s.n > 2 && str_starts(s, S("./"))) {
        s = str_sub(s, 2, s.n);
    }
    while (s.n > 1 && str_ends(s, S("/"))) {
        s.n--;
    }
    return str_is(s, "./") ? S(".") : s;
}

/* A file, or a folder with all below it, in the order of names. The first that fails ends it. */
static int format_path(struct fmt *f, const char *path, int depth)
{
    struct stat st;
    struct dirent **names = NULL;
    if (lstat(path, &st) != 0) {
        fprintf(stderr, "lstat %s: %s\n", path,
                errno == ENOENT ? "no such file or directory" : strerrordesc_np(errno));
        return 1;
    }
    if (!S_ISDIR(st.st_mode)) {
        return format_file(f, path);
    }
    int n = depth < FMT_DEPTH_MAX ? scandir(path, &names, skip_dots, by_bytes) : -1, code = 0;
    if (n < 0) {
        fprintf(stderr, "open %s: %s\n", path, strerrordesc_np(errno));
        return 1;
    }
    struct str folder = clean(path);
    for (int i = 0; i < n; i++) {
        struct str below = str_is(folder, ".") ? str_of(names[i]->d_name)
                                               : arena_printf(&f->c->a, "%.*s%s%s", STR_FMT(folder),
                                                              str_ends(folder, S("/")) ? "" : "/",
                                                              names[i]->d_name);
        code = code != 0 ? code : format_path(f, below.p, depth + 1);
        free(names[i]);
    }
    free(names);
    return code;
}

/* Of stdin the flags that go by files say nothing. */
static int format_stdin(struct fmt *f)
{
    struct rego_errors errors = {.a = &f->c->a};
    struct buf out;
    buf_init(&out, FMT_TEXT_MAX);
    f->o.drop_v0_imports = false;
    bool ok = rego_format(&f->c->a, S("stdin"), stdin_text(&f->c->a), &f->o, &errors, &out);
    if (ok) {
        print_buf(&out);
    } else {
        print_error_list(&f->c->a, &errors, "", "");
    }
    buf_release(&out);
    return !ok;
}

/* "v1.5.0", or a file: may names of keywords stand in references? */
static bool read_capabilities(struct cmd *c, bool *keywords_in_refs)
{
    struct str text = str_of(c->capabilities);
    struct val v;
    uint64_t major = 0, minor = 0;
    if (str_starts(text, S("v"))) {
        text = str_sub(text, 1, text.n);
        bool version = !failed(str_to_u64(str_split(&text, '.'), &major)) &&
                       !failed(str_to_u64(str_split(&text, '.'), &minor));
        *keywords_in_refs = major > 1 || (major == 1 && minor >= 6);
        if (version) {
            return true;
        }
    }
    if (failed(read_whole_file(&c->a, str_of(c->capabilities), &text)) ||
        failed(val_from_json(&c->a, text, &v)) || !val_is(v, V_OBJECT)) {
        return false;
    }
    struct val features = val_get_str(v, "features");
    *keywords_in_refs = false;
    for (uint32_t i = 0; val_is(features, V_ARRAY) && i < val_len(features); i++) {
        struct val x = val_nth(features, i);
        *keywords_in_refs |= val_is(x, V_STRING) && str_is(val_text(x), "keywords_in_refs");
    }
    return true;
}

static bool options(struct fmt *f)
{
    struct cmd *c = f->c;
    bool keywords = true;
    f->o.drop_v0_imports = c->drop_imports;
    f->o.from = c->v1_from_v0 || c->v0 ? REGO_V0 : REGO_V1;
    f->o.to = c->v1_from_v0 || !c->v0 ? REGO_V1 : REGO_V0;
    f->o.read_v1 = c->v1_from_v0 && c->v1 && !c->v0;
    if (c->capabilities != NULL && !read_capabilities(c, &keywords)) {
        (void)cmd_wrong(&command,
                        "invalid argument \"%s\" for \"--capabilities\" flag: no such file or "
                        "capabilities version found: %s",
                        c->capabilities, c->capabilities);
        return false;
    }
    f->o.no_keywords_in_refs = !keywords;
    return true;
}

static int format_all(struct fmt *f)
{
    const struct flag_list *args = &f->c->args;
    int code = 0;
    if (args->n == 0) {
        return format_stdin(f);
    }
    for (size_t i = 0; i < args->n && code == 0; i++) {
        struct str path = str_of(args->v[i]);
        bool url = str_starts(path, S("file://"));
        if (!url && str_find(path, S("://")) != STR_NPOS) {
            fprintf(stderr, "unsupported URL scheme: %s\n", args->v[i]);
            return 1;
        }
        code = format_path(f, args->v[i] + (url ? strlen("file://") : 0), 0);
    }
    return code;
}

int cmd_fmt(struct daemon *d, int argc, char **argv)
{
    int code = 1;
    struct cmd *c = cmd_new(&command, argc, argv, &code);
    (void)d;
    if (c == NULL) {
        return code;
    }
    struct fmt f = {.c = c};
    code = options(&f) ? format_all(&f) : 1;
    cmd_free(c);
    return code;
}
