#include "load.h"

#include "authz/bundle/bundle.h"
#include "lib/json/json.h"
#include "lib/yaml/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOAD_DEPTH_MAX = 256 }; /* folders in one another; loops of links end here */

/* Where one path is being read. */
struct loading {
    struct image *im;
    const struct load_options *o;
    struct rego_errors *errors;
    struct str prefix[LOAD_DEPTH_MAX + 64]; /* keys below data */
    size_t n_prefix, n_files;
};

static void complain(struct loading *l, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void complain(struct loading *l, const char *fmt, ...)
{
    char text[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    rego_errors_add(l->errors, "", STR_EMPTY, (struct loc){0}, "%s", text);
}

static bool is_yaml(struct str name)
{
    return str_ends(name, S(".yaml")) || str_ends(name, S(".yml"));
}

struct err parse_document(struct arena *a, struct str name, struct str text, bool yaml,
                          struct val *out)
{
    if (!yaml && !is_yaml(name)) {
        struct err e = val_from_json_shared(a, text, out);
        return failed(e) ? err_wrap(e, "%.*s", STR_FMT(name)) : e;
    }
    struct json *docs;
    struct buf json;
    TRY(yaml_parse(a, text, name, NULL, &docs));
    if (docs->n == 0) {
        *out = VAL_NULL;
        return OK;
    }
    buf_init(&json, STORE_FILE_MAX);
    json_write(&json, docs->items[0]);
    struct err e = val_from_json_shared(a, buf_str(&json), out);
    buf_release(&json);
    return e;
}

/* The keys at which two documents differ in a way that no merge can settle. */
static bool find_clash(struct val x, struct val y, struct vlist *path, unsigned depth)
{
    for (uint32_t i = 0; depth < VAL_DEPTH_MAX && i < val_len(y); i++) {
        struct val key = val_tab(y)->v[2 * (size_t)i], old = val_get(x, key), new = val_nth(y, i);
        if (val_undef(old)) {
            continue;
        }
        size_t n = path->n;
        vlist_add(path, key);
        if (!val_is(old, V_OBJECT) || !val_is(new, V_OBJECT) ||
            find_clash(old, new, path, depth + 1)) {
            return true;
        }
        path->n = n;
    }
    return false;
}

static bool has_path(struct val doc, const struct vlist *path)
{
    for (size_t i = 0; i < path->n && !val_undef(doc); i++) {
        doc = val_is(doc, V_OBJECT) ? val_get(doc, path->v[i]) : VAL_UNDEF;
    }
    return !val_undef(doc);
}

static void complain_clash(struct loading *l, struct str path, struct val doc)
{
    struct vlist keys = {.a = &l->im->arena};
    struct buf where;
    struct str other = STR_EMPTY;
    buf_init(&where, 4096);
    (void)find_clash(l->im->data, doc, &keys, 0);
    buf_puts(&where, S("data"));
    for (size_t i = 0; i < keys.n; i++) {
        struct term *t = term_string(&l->im->arena, val_text(keys.v[i]), (struct loc){0});
        struct term *ref = term_new(&l->im->arena, T_REF, (struct loc){0});
        struct buf one;
        buf_init(&one, 4096);
        term_push(&l->im->arena, ref, term_var(&l->im->arena, S("x"), (struct loc){0}));
        term_push(&l->im->arena, ref, t);
        term_write(&one, ref);
        buf_puts(&where, str_sub(buf_str(&one), 1, one.n));
        buf_release(&one);
    }
    for (size_t i = 0; i < l->im->n_documents && other.n == 0; i++) {
        if (has_path(l->im->documents[i].doc, &keys)) {
            other = l->im->documents[i].path;
        }
    }
    complain(l, "%.*s: merge error: conflicting values at %.*s%s%.*s", STR_FMT(path),
             STR_FMT(buf_str(&where)),
             other.n > 0 ? ", also defined in " : ", data from multiple files must not overlap",
             STR_FMT(other));
    buf_release(&where);
}

static struct val at_place(struct loading *l, struct val v)
{
    for (size_t i = l->n_prefix; i-- > 0;) {
        struct val key = val_str(&l->im->data_memory, l->prefix[i]);
        v = val_object2(&l->im->data_memory, (struct val[]){key, v}, 1);
    }
    return v;
}

static void add_document(struct loading *l, struct str path, struct str key, struct val v)
{
    struct image *im = l->im;
    bool clash = false;
    v = at_place(l, v);
    if (!val_is(v, V_OBJECT)) {
        complain(l, "%.*s: document must be of type object", STR_FMT(path));
        return;
    }
    struct val merged = val_merge(&im->data_memory, im->data, v, &clash);
    if (clash) {
        complain_clash(l, path, v);
        return;
    }
    im->data = merged;
    im->documents = arena_grow(&im->arena, im->documents, im->n_documents, im->n_documents + 1,
                               &im->cap_documents, sizeof *im->documents);
    im->documents[im->n_documents++] = (struct data_file){.path = path, .key = key, .doc = v};
}

static void add_policy(struct loading *l, struct str path, struct str text)
{
    image_add_file(l->im,
                   (struct policy_file){
                       .id = path, .text = text, .version = l->o->version, .from_disk = true});
}

static bool parses_as_policy(struct loading *l, struct str path, struct str text)
{
    struct rego_errors ignored = {.a = &l->im->arena};
    struct parse_options po = {.version = l->o->version};
    struct module *m;
    return rego_parse_module(&l->im->arena, path, text, &po, &ignored, &m);
}

/* A file that was named itself, whatever it is called. */
static void add_unknown(struct loading *l, struct str path, struct str key, struct str text)
{
    struct val v;
    if (parses_as_policy(l, path, text)) {
        add_policy(l, path, text);
    } else if (!failed(parse_document(&l->im->data_memory, path, text, false, &v)) ||
               !failed(parse_document(&l->im->data_memory, path, text, true, &v))) {
        add_document(l, path, key, v);
    } else {
        complain(l, "%.*s: can't recognize file type", STR_FMT(path));
    }
}

static bool is_document(struct str path)
{
    size_t slash = str_rfind_char(path, '/');
    struct str base = slash == STR_NPOS ? path : str_sub(path, slash + 1, path.n);
    return str_ends(base, S(".json")) || is_yaml(base);
}

/* The same file at the same place counts once, however often it is named. */
static struct str file_key(struct loading *l, struct str path)
{
    struct buf b;
    char *real = realpath(arena_cstr(&l->im->arena, path), NULL);
    buf_init(&b, 1 << 16);
    for (size_t i = 0; i < l->n_prefix; i++) {
        buf_puts(&b, l->prefix[i]);
        buf_putc(&b, '\0');
    }
    buf_puts(&b, real != NULL ? str_of(real) : path);
    struct str key = arena_str(&l->im->arena, buf_str(&b));
    free(real);
    buf_release(&b);
    return key;
}

static bool seen(const struct loading *l, struct str path, struct str key)
{
    for (size_t i = 0; i < l->im->n_files; i++) {
        if (str_eq(l->im->files[i].id, path)) {
            return true;
        }
    }
    for (size_t i = 0; i < l->im->n_documents; i++) {
        if (str_eq(l->im->documents[i].key, key)) {
            return true;
        }
    }
    return false;
}

static struct err fill(int fd, char *p, size_t room, size_t *n)
{
    for (*n = 0; *n < room;) {
        ssize_t got = read(fd, p + *n, room - *n);
        if (got == 0) {
            break;
        }
        ENSURE(got > 0 || errno == EINTR, ERR_IO, "%s", strerrordesc_np(errno));
        *n += got > 0 ? (size_t)got : 0;
    }
    return OK;
}

/* JSON may be most of the memory there is: its text lies in pages that the reader gives back as it goes. */
static struct err read_json_file(struct arena *a, struct str path, struct val *out)
{
    char name[PATH_MAX];
    struct stat st;
    size_t n = 0;
    TRY(str_to_cstr(path, name, sizeof name));
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", name,
           strerrordesc_np(errno));
    bool plain = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= STORE_FILE_MAX;
    size_t room = plain ? (size_t)st.st_size + 1 : (size_t)STORE_FILE_MAX + 1;
    char *p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    struct err e = p != MAP_FAILED ? fill(fd, p, room, &n) : err_make(ERR_LIMIT, "out of memory");
    close(fd);
    if (!failed(e) && n > STORE_FILE_MAX) {
        e = err_make(ERR_LIMIT, "over %d bytes", STORE_FILE_MAX);
    }
    e = failed(e) ? e : val_from_json_used_up(a, str_n(p, n), out);
    if (p != MAP_FAILED) {
        munmap(p, room);
    }
    return failed(e) ? err_wrap(e, "%s", name) : e;
}

static struct err read_document(struct loading *l, struct str path, struct val *out)
{
    struct arena text_memory;
    struct str text;
    if (!is_yaml(path)) {
        return read_json_file(&l->im->data_memory, path, out);
    }
    arena_init(&text_memory, (size_t)STORE_FILE_MAX + (64 << 20));
    struct err e = read_whole_file(&text_memory, path, &text);
    e = failed(e) ? e : parse_document(&l->im->data_memory, path, text, false, out);
    arena_release(&text_memory);
    return e;
}

static void load_document(struct loading *l, struct str path, struct str key)
{
    struct val v;
    if (failed(read_document(l, path, &v))) {
        complain(l, "%s", err_detail());
    } else {
        add_document(l, path, key, v);
    }
}

static void load_file(struct loading *l, struct str path, unsigned depth)
{
    struct str text, key = file_key(l, path);
    bool policy = str_ends(path, S(".rego")), document = is_document(path);
    if (seen(l, path, key) || (depth > 0 && !policy && !document)) {
        return;
    }
    if (document && !policy) {
        load_document(l, path, key);
    } else if (failed(read_whole_file(&l->im->arena, path, &text))) {
        complain(l, "%s", err_detail());
    } else if (policy) {
        add_policy(l, path, text);
    } else {
        add_unknown(l, path, key, text);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static struct str join(struct arena *a, struct str folder, const char *name)
{
    if (str_is(folder, ".")) {
        return arena_str(a, str_of(name));
    }
    bool slash = folder.n > 0 && folder.p[folder.n - 1] == '/';
    return arena_printf(a, "%.*s%s%s", STR_FMT(folder), slash ? "" : "/", name);
}

static bool ignored(const struct load_options *o, struct str path)
{
    size_t slash = str_rfind_char(path, '/');
    struct str name = slash == STR_NPOS ? path : str_sub(path, slash + 1, path.n);
    char base[256];
    if (failed(str_to_cstr(name, base, sizeof base))) {
        return false;
    }
    for (size_t i = 0; i < o->n_ignore; i++) {
        if (fnmatch(o->ignore[i], base, FNM_PATHNAME) == 0) {
            return true;
        }
    }
    return false;
}

static bool ignored_in_bundle(void *ctx, struct str path, bool folder)
{
    (void)folder;
    return ignored(ctx, path);
}

static bool left_out(const struct loading *l, struct str path, bool folder, unsigned depth)
{
    size_t slash = str_rfind_char(path, '/');
    const char *name = path.p + (slash == STR_NPOS ? 0 : slash + 1);
    if (l->o->only_rego && !folder && !str_ends(path, S(".rego"))) {
        return true;
    }
    if (depth == 0) {
        return false;
    }
    return ignored(l->o, path) || (l->o->skip_hidden && name[0] == '.');
}

static void take_bundle(struct loading *l, struct str path, const struct bundle *b)
{
    struct arena *a = &l->im->arena;
    bool clash = false;
    for (size_t i = 0; i < b->n_modules; i++) {
        image_add_file(l->im, (struct policy_file){.id = arena_str(a, b->modules[i].full),
                                                   .text = arena_str(a, b->modules[i].text),
                                                   .version = b->modules[i].version,
                                                   .from_disk = true});
    }
    struct arena *m = &l->im->data_memory;
    struct val data = val_copy_shared(m, b->data), merged = val_merge(m, l->im->data, data, &clash);
    if (clash) {
        complain_clash(l, path, data);
    } else {
        l->im->data = merged;
    }
}

/* An archive or a folder. Its signatures are not checked: that is for those who serve. */
static void load_bundle(struct loading *l, struct str path)
{
    struct stat st;
    bool folder = stat(path.p, &st) == 0 && S_ISDIR(st.st_mode);
    struct rego_errors errors = {.a = l->errors->a};
    struct bundle *b = NULL;
    struct bundle_opts o = {.name = path,
                            .base_dir = folder ? path : STR_EMPTY,
                            .version = l->o->version,
                            .skip_verify = true,
                            .ignore = ignored_in_bundle,
                            .ignore_ctx = (void *)(uintptr_t)l->o};
    struct err e = bundle_read_path(path, &o, &errors, &b);
    if (failed(e)) {
        bool named = str_starts(str_of(err_detail()), S("error reading"));
        complain(l, "%s%s%.*s%s%s", l->o->bundle_prefix != NULL ? l->o->bundle_prefix : "",
                 named ? "" : "bundle ", named ? 0 : (int)path.n, path.p, named ? "" : ": ",
                 err_detail());
        return;
    }
    take_bundle(l, path, b);
    bundle_unref(b);
}

static void load_path(struct loading *l, struct str path, unsigned depth);

static void load_folder(struct loading *l, struct str path, unsigned depth)
{
    struct dirent **names = NULL;
    size_t slash = str_rfind_char(path, '/'), before = l->n_prefix;
    int n = scandir(path.p, &names, NULL, by_name);
    if (n < 0) {
        complain(l, "open %.*s: %s", STR_FMT(path), strerrordesc_np(errno));
        return;
    }
    if (depth > 0 && !l->o->one_root) {
        l->prefix[l->n_prefix++] = slash == STR_NPOS ? path : str_sub(path, slash + 1, path.n);
    }
    for (int i = 0; i < n; i++) {
        if (strcmp(names[i]->d_name, ".") != 0 && strcmp(names[i]->d_name, "..") != 0) {
            load_path(l, join(&l->im->arena, path, names[i]->d_name), depth + 1);
        }
        free(names[i]);
    }
    free(names);
    l->n_prefix = before;
}

/* Recursion is bounded by LOAD_DEPTH_MAX folders. */
static void load_path(struct loading *l, struct str path, unsigned depth)
{
    struct stat st;
    if (stat(path.p, &st) != 0) {
        complain(l, "stat %.*s: no such file or directory", STR_FMT(path));
    } else if (left_out(l, path, S_ISDIR(st.st_mode), depth)) {
        return;
    } else if (depth > LOAD_DEPTH_MAX || l->n_files++ > STORE_FILES_MAX) {
        complain(l, "%.*s: more than %d folders in one another, or %d files", STR_FMT(path),
                 LOAD_DEPTH_MAX, STORE_FILES_MAX);
    } else if (S_ISDIR(st.st_mode)) {
        load_folder(l, path, depth);
    } else if (str_ends(path, S(".tar.gz"))) {
        load_bundle(l, path);
    } else {
        load_file(l, path, depth);
    }
}

/* `a.b:PATH`, but for URLs. */
static struct str split_prefix(struct loading *l, struct str path)
{
    size_t colon = str_find_char(path, ':');
    if (colon == STR_NPOS || colon == 0 || colon == str_find(path, S("://"))) {
        return path;
    }
    struct str rest = str_sub(path, 0, colon);
    while (rest.p != NULL && l->n_prefix < 64) {
        l->prefix[l->n_prefix++] = str_split(&rest, '.');
    }
    return str_sub(path, colon + 1, path.n);
}

/* Without `file://`, slashes at the end, and a "./" before the name of a folder. */
static struct str clean(struct arena *a, struct str path)
{
    struct stat st;
    path = str_starts(path, S("file://")) ? str_sub(path, 7, path.n) : path;
    path = arena_str(a, path);
    if (stat(path.p, &st) != 0 || !S_ISDIR(st.st_mode)) {
        return path;
    }
    while (path.n > 1 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    while (path.n > 2 && str_starts(path, S("./"))) {
        path = str_sub(path, 2, path.n);
    }
    return arena_str(a, path.n > 0 ? path : S("."));
}

size_t list_folders(struct arena *a, struct str path, struct str **out)
{
    struct dirent **names = NULL;
    int n = scandir(path.p, &names, NULL, by_name);
    size_t found = 0;
    *out = arena_array(a, struct str, n > 0 ? (size_t)n : 1);
    for (int i = 0; i < n; i++) {
        struct stat st;
        struct str full = join(a, path, names[i]->d_name);
        bool self = strcmp(names[i]->d_name, ".") == 0 || strcmp(names[i]->d_name, "..") == 0;
        if (!self && stat(full.p, &st) == 0 && S_ISDIR(st.st_mode)) {
            (*out)[found++] = arena_str(a, str_of(names[i]->d_name));
        }
        free(names[i]);
    }
    free(names);
    return found;
}

bool image_load(struct image *im, struct str path, const struct load_options *o,
                struct rego_errors *errors)
{
    struct loading *l = arena_new(&im->arena, struct loading);
    size_t before = errors->n;
    *l = (struct loading){.im = im, .o = o, .errors = errors};
    path = clean(&im->arena, split_prefix(l, path));
    if (o->bundle) {
        load_bundle(l, path);
    } else {
        load_path(l, path, 0);
    }
    return errors->n == before;
}
