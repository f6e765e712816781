#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

static const size_t IMAGE_MEMORY_MAX = (size_t)8 << 30;

struct image *image_new(void)
{
    struct image *im = calloc(1, sizeof *im);
    BUG_ON(im == NULL);
    arena_init(&im->arena, IMAGE_MEMORY_MAX);
    arena_init(&im->data_memory, IMAGE_MEMORY_MAX);
    im->data = val_empty_object();
    return im;
}

void image_free(struct image *im)
{
    if (im != NULL) {
        rego_policy_free(im->policy);
        arena_release(&im->arena);
        arena_release(&im->data_memory);
        free(im);
    }
}

struct err read_whole_file(struct arena *a, struct str path, struct str *out)
{
    FILE *f = fopen(arena_cstr(a, path), "rbe");
    ENSURE(f != NULL, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%.*s: %s", STR_FMT(path),
           strerrordesc_np(errno));
    struct stat st;
    bool ok = fstat(fileno(f), &st) == 0 && st.st_size <= STORE_FILE_MAX;
    size_t room = ok ? (size_t)st.st_size + 1 : 0, n = 0;
    char *p = ok ? arena_alloc_raw(a, room, 1) : NULL;
    if (ok) {
        n = fread(p, 1, room - 1, f);
        ok = !ferror(f);
    }
    fclose(f);
    ENSURE(ok, ERR_IO, "%.*s: cannot be read, or is over %d bytes", STR_FMT(path), STORE_FILE_MAX);
    *out = str_n(p, n);
    return OK;
}

void image_add_file(struct image *im, struct policy_file f)
{
    im->files = arena_grow(&im->arena, im->files, im->n_files, im->n_files + 1, &im->cap_files,
                           sizeof *im->files);
    im->files[im->n_files++] = f;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* Every file below `path`, sorted; folders and files whose name begins with a dot are left out. */
static struct err walk_files(struct arena *a, struct str path, struct str **out, size_t *n)
{
    struct stat st;
    struct str *list = NULL, *todo = NULL;
    size_t n_list = 0, cap_list = 0, n_todo = 0, cap_todo = 0;
    ENSURE(stat(arena_cstr(a, path), &st) == 0, ERR_NOT_FOUND, "%.*s: %s", STR_FMT(path),
           strerrordesc_np(errno));
    todo = arena_grow(a, todo, 0, 1, &cap_todo, sizeof *todo);
    todo[n_todo++] = path;
    while (n_todo > 0) {
        struct str at = todo[--n_todo];
        if (stat(arena_cstr(a, at), &st) != 0) {
            continue;
        }
        if (!S_ISDIR(st.st_mode)) {
            ENSURE(n_list < STORE_FILES_MAX, ERR_LIMIT, "%.*s: more than %d files", STR_FMT(path),
                   STORE_FILES_MAX);
            list = arena_grow(a, list, n_list, n_list + 1, &cap_list, sizeof *list);
            list[n_list++] = at;
            continue;
        }
        DIR *d = opendir(arena_cstr(a, at));
        for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
            if (e->d_name[0] != '.') {
                todo = arena_grow(a, todo, n_todo, n_todo + 1, &cap_todo, sizeof *todo);
                bool slash = at.n > 0 && at.p[at.n - 1] == '/';
                todo[n_todo++] =
                    arena_printf(a, "%.*s%s%s", STR_FMT(at), slash ? "" : "/", e->d_name);
            }
        }
        if (d != NULL) {
            closedir(d);
        }
    }
    if (n_list > 0) {
        qsort(list, n_list, sizeof *list, by_text);
    }
    *out = list;
    *n = n_list;
    return OK;
}

struct err image_add_path(struct image *im, struct str path, enum rego_version version, bool bundle)
{
    struct rego_errors errors = {.a = &im->arena};
    struct load_options o = {.version = version, .bundle = bundle, .skip_hidden = true};
    if (image_load(im, path, &o, &errors)) {
        return OK;
    }
    return err_make(ERR_INVALID, "%.*s", STR_FMT(errors.v[0].message));
}

bool image_compile(struct image *im, const struct rego_compile_options *o,
                   struct rego_errors *errors)
{
    struct rego_compile_options options = o != NULL ? *o : (struct rego_compile_options){0};
    struct rego_source *src = arena_array(&im->arena, struct rego_source, im->n_files + 1);
    for (size_t i = 0; i < im->n_files; i++) {
        src[i] = (struct rego_source){im->files[i].id, im->files[i].text, im->files[i].version};
    }
    options.data = &im->data;
    return rego_compile(src, im->n_files, &options, errors, &im->policy);
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    return (h ^ v) * UINT64_C(0x100000001b3);
}

uint64_t image_fingerprint(struct arena *a, const struct str *paths, size_t n, uint64_t h)
{
    for (size_t i = 0; i < n; i++) {
        struct str *files;
        size_t count = 0;
        if (failed(walk_files(a, paths[i], &files, &count))) {
            h = mix(h, 1);
        }
        for (size_t k = 0; k < count; k++) {
            struct stat st = {0};
            h = mix(h, str_hash(files[k]));
            if (stat(arena_cstr(a, files[k]), &st) == 0) {
                h = mix(h, (uint64_t)st.st_size);
                h = mix(h,
                        (uint64_t)st.st_mtim.tv_sec * 1000000007u + (uint64_t)st.st_mtim.tv_nsec);
                h = mix(h, st.st_ino);
            }
        }
    }
    return h;
}
