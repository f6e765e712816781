/*
 * tar: the archive's files (POSIX ustar, pax extensions, GNU long names). Every size is checked against what
 * is there before it is used; folders, links and devices are passed over.
 */
#include "bundle_priv.h"
#include "lib/http/gzip.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512 };

void raw_init(struct raw_files *r)
{
    *r = (struct raw_files){0};
    arena_init(&r->a, BUNDLE_TOTAL_MAX);
    buf_init(&r->plain, BUNDLE_TOTAL_MAX);
}

void raw_release(struct raw_files *r)
{
    buf_release(&r->plain);
    arena_release(&r->a);
}

size_t raw_limit(const struct bundle_opts *o)
{
    return o->size_limit > 0 ? o->size_limit : (size_t)BUNDLE_SIZE_MAX;
}

struct str path_base(struct str path)
{
    size_t slash = str_rfind_char(path, '/');
    return slash == STR_NPOS ? path : str_sub(path, slash + 1, path.n);
}

bool path_is_yaml_data(struct str path)
{
    struct str base = path_base(path);
    return str_is(base, "data.yaml") || str_is(base, "data.yml");
}

bool path_is_signatures(struct str path)
{
    return str_is(path_base(path), ".signatures.json");
}

bool bundle_is_structured(struct str path)
{
    struct str base = path_base(path);
    return str_is(base, "data.json") || path_is_yaml_data(path) || str_is(base, ".manifest");
}

static struct err too_big(struct str path, uint64_t size, size_t limit)
{
    return err_make(ERR_LIMIT,
                    "bundle read failed: bundle file %.*s size (%" PRIu64
                    " bytes) exceeds configured size_limit_bytes (%zu bytes)",
                    STR_FMT(path), size, limit);
}

/* Sorts the file to where it belongs: signatures and a patch are looked at before all others. */
struct err raw_add(struct raw_files *r, const struct bundle_opts *o, struct str path,
                   struct str signed_name, struct str bytes)
{
    if (bytes.n > raw_limit(o)) {
        return too_big(path, bytes.n, raw_limit(o));
    }
    if (path_is_signatures(path)) {
        ENSURE(o->skip_verify || !r->has_signatures, ERR_INVALID,
               "bundle contains multiple signatures files: \"%.*s\" and \"%.*s\"",
               STR_FMT(r->signatures_path), STR_FMT(path));
        r->has_signatures = true;
        r->signatures = bytes;
        r->signatures_path = path;
        return OK;
    }
    if (str_is(path_base(path), "patch.json")) {
        r->has_patch = true;
        r->patch = bytes;
    }
    ENSURE(r->n < BUNDLE_FILES_MAX, ERR_LIMIT, "bundle read failed: more than %d files",
           BUNDLE_FILES_MAX);
    r->v = arena_grow(&r->a, r->v, r->n, r->n + 1, &r->cap, sizeof *r->v);
    r->v[r->n++] = (struct raw_file){path, signed_name, bytes};
    return OK;
}

/* ---- tar ---- */

struct tar_entry {
    struct str name, bytes;
    char type;
};

struct tar {
    struct arena *a;
    struct str rest;
    struct str long_name, pax_name; /* for the entry that follows */
    uint64_t pax_size;
    bool has_pax_size;
};

static struct err bad_tar(const char *what)
{
    return err_make(ERR_SYNTAX, "bundle read failed: %s", what);
}

/* A number of a header: octal digits between blanks and NULs, or GNU's big-endian bytes. */
static bool tar_number(struct str field, uint64_t *out)
{
    uint64_t v = 0;
    const unsigned char *p = (const unsigned char *)field.p;
    if (p[0] & 0x80) {
        for (size_t i = 0; i < field.n; i++) {
            if (v >> 54 != 0 || (i == 0 && p[0] != 0x80)) {
                return false;
            }
            v = v << 8 | (i == 0 ? 0 : p[i]);
        }
        *out = v;
        return true;
    }
    size_t i = 0;
    while (i < field.n && (p[i] == ' ' || p[i] == 0)) {
        i++;
    }
    for (; i < field.n && p[i] != ' ' && p[i] != 0; i++) {
        if (p[i] < '0' || p[i] > '7' || v >> 60 != 0) {
            return false;
        }
        v = v * 8 + (p[i] - '0');
    }
    *out = v;
    return true;
}

static bool checksum_ok(const char *block)
{
    uint64_t want;
    if (!tar_number(str_n(block + 148, 8), &want)) {
        return false;
    }
    uint64_t sum = 0;
    int64_t signed_sum = 0;
    for (size_t i = 0; i < BLOCK; i++) {
        bool inside = i >= 148 && i < 156;
        sum += inside ? ' ' : (unsigned char)block[i];
        signed_sum += inside ? ' ' : (signed char)block[i];
    }
    return want == sum || (int64_t)want == signed_sum;
}

static struct str until_nul(struct str s)
{
    const char *end = memchr(s.p, 0, s.n);
    return end != NULL ? str_n(s.p, (size_t)(end - s.p)) : s;
}

static bool all_zero(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != 0) {
            return false;
        }
    }
    return true;
}

/* The records of a pax header, "LENGTH key=value\n" each: path and size concern us. */
static struct err pax_read(struct tar *t, struct str text)
{
    while (text.n > 0) {
        uint64_t n;
        size_t blank = str_find_char(text, ' ');
        if (blank == STR_NPOS || failed(str_to_u64(str_sub(text, 0, blank), &n)) || n > text.n ||
            n < blank + 3 || text.p[n - 1] != '\n') {
            return bad_tar("archive/tar: invalid tar header");
        }
        struct str record = str_sub(text, blank + 1, (size_t)n - 1);
        struct str key = str_split(&record, '=');
        if (record.p == NULL) {
            return bad_tar("archive/tar: invalid tar header");
        }
        if (str_is(key, "path")) {
            t->pax_name = record;
        } else if (str_is(key, "size")) {
            t->has_pax_size = !failed(str_to_u64(record, &t->pax_size));
        } else if (str_starts(key, S("GNU.sparse."))) {
            return bad_tar("sparse files are not supported");
        }
        text = str_sub(text, (size_t)n, text.n);
    }
    return OK;
}

static struct str entry_name(struct tar *t, const char *block)
{
    struct str name = until_nul(str_n(block, 100));
    if (t->pax_name.n > 0) {
        return t->pax_name;
    }
    if (t->long_name.n > 0) {
        return t->long_name;
    }
    struct str prefix = until_nul(str_n(block + 345, 155));
    bool ustar = memcmp(block + 257, "ustar\0", 6) == 0;
    return ustar && prefix.n > 0 ? arena_printf(t->a, "%.*s/%.*s", STR_FMT(prefix), STR_FMT(name))
                                 : name;
}

static struct err entry_size(struct tar *t, const char *block, uint64_t *size)
{
    if (!tar_number(str_n(block + 124, 12), size)) {
        return bad_tar("archive/tar: invalid tar header");
    }
    if (t->has_pax_size) {
        *size = t->pax_size;
    }
    return OK;
}

/* The next header with its content. *more is false at the end. */
static struct err tar_block(struct tar *t, const struct bundle_opts *o, struct tar_entry *e,
                            bool *more)
{
    uint64_t size = 0;
    *more = false;
    if (t->rest.n == 0) {
        return OK;
    }
    if (t->rest.n < BLOCK) {
        return bad_tar("unexpected EOF");
    }
    const char *block = t->rest.p;
    if (all_zero(str_n(block, BLOCK))) {
        bool end = t->rest.n < 2 * (size_t)BLOCK || all_zero(str_n(block + BLOCK, BLOCK));
        return end ? OK : bad_tar("archive/tar: invalid tar header");
    }
    if (!checksum_ok(block)) {
        return bad_tar("archive/tar: invalid tar header");
    }
    TRY(entry_size(t, block, &size));
    e->type = block[156];
    e->name = entry_name(t, block);
    bool has_content = e->type != '1' && e->type != '2' && e->type != '3' && e->type != '4' &&
                       e->type != '5' && e->type != '6';
    size = has_content ? size : 0;
    if (size > raw_limit(o)) {
        return too_big(e->name, size, raw_limit(o));
    }
    if (size > t->rest.n - BLOCK) {
        return bad_tar("unexpected EOF");
    }
    e->bytes = str_n(block + BLOCK, (size_t)size);
    size_t padded = BLOCK + (((size_t)size + BLOCK - 1) & ~(size_t)(BLOCK - 1));
    t->rest = str_sub(t->rest, padded, t->rest.n);
    *more = true;
    return OK;
}

/* What a header says about the one that follows it; false: an entry of its own. */
static struct err extension(struct tar *t, const struct tar_entry *e, bool *was)
{
    *was = true;
    if (e->type == 'x') {
        return pax_read(t, e->bytes);
    }
    if (e->type == 'L') {
        t->long_name = until_nul(e->bytes);
        return OK;
    }
    *was = e->type == 'g' || e->type == 'K';
    return OK;
}

static bool left_out(const struct bundle_opts *o, struct str path)
{
    return o->ignore != NULL && o->ignore(o->ignore_ctx, path, false);
}

static struct err add_entry(struct raw_files *r, const struct bundle_opts *o,
                            const struct tar_entry *e)
{
    struct str path = e->name;
    bool regular = (e->type == '0' || e->type == 0) && !str_ends(path, S("/"));
    if (!regular || left_out(o, path)) {
        return OK;
    }
    ENSURE(path.n > 0 && path.n <= BUNDLE_PATH_MAX && memchr(path.p, 0, path.n) == NULL,
           ERR_INVALID, "bundle read failed: a path is empty, or over %d bytes", BUNDLE_PATH_MAX);
    path = arena_str(&r->a, path);
    struct str name = str_starts(path, S("/")) ? str_sub(path, 1, path.n) : path;
    return raw_add(r, o, path, name, e->bytes);
}

struct err raw_from_tar(struct raw_files *r, struct str packed, const struct bundle_opts *o)
{
    struct err e = gzip_unpack(packed, &r->plain);
    if (failed(e)) {
        return err_wrap(e, "bundle read failed: archive read failed");
    }
    struct tar t = {.a = &r->a, .rest = buf_str(&r->plain)};
    struct tar_entry entry;
    for (bool more = true, was;;) {
        TRY(tar_block(&t, o, &entry, &more));
        if (!more) {
            return OK;
        }
        TRY(extension(&t, &entry, &was));
        if (!was) {
            TRY(add_entry(r, o, &entry));
            t.long_name = t.pax_name = STR_EMPTY;
            t.has_pax_size = false;
        }
    }
}

/* ---- folders ---- */

struct walk {
    struct str *v;
    size_t n, cap;
};

static void walk_add(struct arena *a, struct walk *w, struct str path)
{
    w->v = arena_grow(a, w->v, w->n, w->n + 1, &w->cap, sizeof *w->v);
    w->v[w->n++] = path;
}

static int by_path(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

static struct err walk_folder(struct arena *a, struct str at, struct walk *todo)
{
    DIR *d = opendir(arena_cstr(a, at));
    ENSURE(d != NULL, ERR_IO, "bundle read failed: failed to list files: %.*s: %s", STR_FMT(at),
           strerrordesc_np(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            bool slash = str_ends(at, S("/"));
            walk_add(a, todo,
                     arena_printf(a, "%.*s%s%s", STR_FMT(at), slash ? "" : "/", e->d_name));
        }
    }
    closedir(d);
    return OK;
}

/* Regular files below `root`; links are passed over, as OPA does without --follow-symlinks. */
static struct err walk_all(struct arena *a, struct str root, const struct bundle_opts *o,
                           struct walk *files)
{
    struct walk todo = {0};
    struct stat st;
    walk_add(a, &todo, root);
    while (todo.n > 0) {
        struct str at = todo.v[--todo.n];
        bool is_root = at.p == root.p;
        const char *c = arena_cstr(a, at);
        if ((is_root ? stat(c, &st) : lstat(c, &st)) != 0) {
            continue;
        }
        bool folder = S_ISDIR(st.st_mode);
        if (!is_root && o->ignore != NULL && o->ignore(o->ignore_ctx, at, folder)) {
            continue;
        }
        if (folder) {
            TRY(walk_folder(a, at, &todo));
        } else if (S_ISREG(st.st_mode)) {
            walk_add(a, files, at);
        }
        ENSURE(files->n + todo.n <= BUNDLE_FILES_MAX, ERR_LIMIT,
               "bundle read failed: more than %d files", BUNDLE_FILES_MAX);
    }
    if (files->n > 1) {
        qsort(files->v, files->n, sizeof *files->v, by_path);
    }
    return OK;
}

static struct err read_file(struct arena *a, struct str path, size_t limit, struct str *out)
{
    int fd = open(arena_cstr(a, path), O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ENSURE(fd >= 0, ERR_IO, "failed to open file %.*s: %s", STR_FMT(path), strerrordesc_np(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size > limit) {
        close(fd);
        return too_big(path, (uint64_t)st.st_size, limit);
    }
    size_t want = (size_t)st.st_size, got = 0;
    char *p = arena_alloc_raw(a, want + 1, 1);
    for (ssize_t n = 1; got < want && n > 0; got += n > 0 ? (size_t)n : 0) {
        n = read(fd, p + got, want - got);
    }
    close(fd);
    ENSURE(got == want && !arena_exhausted(a), ERR_IO, "%.*s: unexpected EOF", STR_FMT(path));
    *out = str_n(p, got);
    return OK;
}

struct err raw_whole_file(struct arena *a, struct str path, struct str *out)
{
    struct stat st;
    char name[BUNDLE_PATH_MAX];
    TRY(str_to_cstr(path, name, sizeof name));
    ENSURE(stat(name, &st) == 0, errno == ENOENT || errno == ENOTDIR ? ERR_NOT_FOUND : ERR_IO,
           "%s: %s", name, strerrordesc_np(errno));
    return read_file(a, path, BUNDLE_TOTAL_MAX - 1, out);
}

/* Does a bundle read this file at all? The rest of a folder may be anything. */
static bool wanted(struct str path, bool sealed)
{
    struct str base = path_base(path);
    return sealed || str_ends(path, S(".rego")) || bundle_is_structured(path) ||
           str_ends(path, S(".manifest")) || str_ends(path, S(".manifest.pb")) ||
           path_is_signatures(path) || str_is(base, "policy.wasm") || str_is(base, "plan.json") ||
           str_is(base, "plan.pb") || str_is(base, "patch.json");
}

struct err raw_from_dir(struct raw_files *r, struct str path, const struct bundle_opts *o)
{
    struct walk files = {0};
    while (path.n > 1 && path.p[path.n - 1] == '/') {
        path.n--;
    }
    while (path.n > 2 && str_starts(path, S("./"))) {
        path = str_sub(path, 2, path.n);
    }
    path = arena_str(&r->a, str_is(path, "./") ? S(".") : path);
    TRY(walk_all(&r->a, path, o, &files));
    bool sealed = false;
    for (size_t i = 0; i < files.n; i++) {
        sealed |= path_is_signatures(files.v[i]);
    }
    for (size_t i = 0; i < files.n; i++) {
        struct str full = files.v[i], bytes;
        struct str below = str_is(path, "/") ? full : str_sub(full, path.n, full.n);
        if (!wanted(full, sealed)) {
            continue;
        }
        TRY(read_file(&r->a, full, raw_limit(o), &bytes));
        struct str name = o->base_dir.n > 0 ? full : below;
        name = str_starts(name, S("./")) ? str_sub(name, 2, name.n) : name;
        name = str_starts(name, S("/")) ? str_sub(name, 1, name.n) : name;
        TRY(raw_add(r, o, below, name, bytes));
    }
    return OK;
}
