#include "manifests.h"

#include "lib/base/codec.h"
#include "lib/tls/digest.h"
#include "lib/yaml/yaml.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
    struct arena *arena;
    struct netpol_model *m;
    struct sha256 hash;
    size_t bytes;
};

static bool is_manifest(struct str name)
{
    return name.p[0] != '.' &&
           (str_ends(name, S(".yaml")) || str_ends(name, S(".yml")) || str_ends(name, S(".json")));
}

static struct err read_all(struct reading *r, const char *path, struct str *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    struct stat st;
    ENSURE(fd >= 0, ERR_IO, "%s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) ||
        st.st_size > (off_t)(MANIFEST_BYTES_MAX - r->bytes)) {
        close(fd);
        FAIL(ERR_LIMIT, "%s: not a regular file, or more than %d MiB of manifests", path,
             MANIFEST_BYTES_MAX >> 20);
    }
    char *text = arena_alloc_raw(r->arena, (size_t)st.st_size + 1, 1);
    size_t n = 0;
    ssize_t got = 1;
    while (n < (size_t)st.st_size && (got = read(fd, text + n, (size_t)st.st_size - n)) > 0) {
        n += (size_t)got;
    }
    close(fd);
    ENSURE(got >= 0, ERR_IO, "%s: %s", path, strerror(errno));
    r->bytes += n;
    *out = str_n(text, n);
    return OK;
}

static struct err read_file(struct reading *r, const char *path)
{
    struct str text, file = arena_str(r->arena, str_of(path));
    struct json *docs;
    TRY(read_all(r, path, &text));
    sha256_add(&r->hash, text);
    sha256_add(&r->hash, str_n("", 1));
    TRY(yaml_parse(r->arena, text, file, &(struct yaml_limits){.max_bytes = MANIFEST_BYTES_MAX},
                   &docs));
    for (uint32_t i = 0; i < docs->n; i++) {
        TRY(netpol_model_add(r->m, docs->items[i], file));
    }
    return OK;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct err list_folder(struct reading *r, const char *path, char **names, size_t *n)
{
    DIR *d = opendir(path);
    struct err e = OK;
    ENSURE(d != NULL, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    for (struct dirent *i; !failed(e) && (i = readdir(d)) != NULL;) {
        if (!is_manifest(str_of(i->d_name))) {
            continue;
        }
        if (*n == MANIFEST_FILES_MAX) {
            e = err_make(ERR_LIMIT, "%s: more than %d files", path, MANIFEST_FILES_MAX);
            break;
        }
        struct str full = arena_printf(r->arena, "%s/%s", path, i->d_name);
        names[(*n)++] = arena_cstr(r->arena, full);
    }
    closedir(d);
    qsort(names, *n, sizeof(*names), compare);
    return e;
}

static struct err read_tree(struct reading *r, const char *path)
{
    struct stat st;
    ENSURE(stat(path, &st) == 0, ERR_NOT_FOUND, "%s: %s", path, strerror(errno));
    if (!S_ISDIR(st.st_mode)) {
        return read_file(r, path);
    }
    char **names = arena_array(r->arena, char *, MANIFEST_FILES_MAX);
    size_t n = 0;
    TRY(list_folder(r, path, names, &n));
    for (size_t i = 0; i < n; i++) {
        TRY(read_file(r, names[i]));
    }
    return OK;
}

struct err manifests_load(struct arena *a, const char *path, struct netpol_model **out,
                          char hash[MANIFEST_HASH_TEXT])
{
    struct reading r = {.arena = a, .m = netpol_model_new(a)};
    uint8_t digest[SHA256_BYTES];
    sha256_init(&r.hash);
    struct err e = read_tree(&r, path);
    e = failed(e) ? e : netpol_model_seal(r.m);
    if (failed(e)) {
        netpol_model_release(r.m);
        return e;
    }
    sha256_end(&r.hash, digest);
    struct buf text;
    buf_init(&text, MANIFEST_HASH_TEXT);
    hex_put(&text, str_n(digest, sizeof(digest)));
    memcpy(hash, text.p, text.n);
    hash[text.n] = '\0';
    buf_release(&text);
    *out = r.m;
    return OK;
}
