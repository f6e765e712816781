#include "verify.h"

#include "files.h"
#include "tlog_read.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct level {
    struct hash nodes[TILE_WIDTH];
    unsigned n;
};

struct work {
    struct tlog_reader reader;
    struct level levels[TILE_LEVELS];
    struct merkle_range range; /* the whole tree, from the entries alone */
    struct verify_result *r;
    struct err (*on_entry)(void *ctx, uint64_t index, struct str entry);
    void *ctx;
};

__attribute__((format(printf, 4, 5))) static void wrong(struct verify_result *r, bool has_entry,
                                                        uint64_t entry, const char *fmt, ...)
{
    va_list args;
    if (!r->good) {
        return;
    }
    r->good = false;
    r->has_entry = has_entry;
    r->entry = entry;
    va_start(args, fmt);
    vsnprintf(r->what, sizeof(r->what), fmt, args);
    va_end(args);
}

static const char *tile_text(bool entries, unsigned level, uint64_t n, unsigned width,
                             char space[TILE_PATH_MAX])
{
    struct tile_name name = {.entries = entries, .level = level, .n = n, .width = width};
    tile_path(&name, space);
    return space;
}

static uint64_t leaves_of(unsigned level)
{
    return UINT64_C(1) << (8 * level);
}

/* The entry that the byte at `offset` of a bundle belongs to. */
static uint64_t entry_at(struct str bundle, size_t offset)
{
    struct bundle_reader b = bundle_open(bundle);
    struct str entry;
    bool end = false;
    while (!failed(bundle_next(&b, &entry, &end)) && !end && bundle.n - b.rest.n <= offset) {
    }
    return b.read > 0 ? b.read - 1 : 0;
}

static size_t common_prefix(struct str a, struct str b)
{
    size_t n = 0;
    while (n < a.n && n < b.n && a.p[n] == b.p[n]) {
        n++;
    }
    return n;
}

/* How long the first `width` entries of a bundle, or hashes of a tile, are. */
static size_t prefix_length(const struct tile_name *name, struct str whole)
{
    if (!name->entries) {
        return (size_t)name->width * MERKLE_HASH;
    }
    struct bundle_reader b = bundle_open(whole);
    struct str entry;
    bool end = false;
    while (b.read < name->width && !failed(bundle_next(&b, &entry, &end)) && !end) {
    }
    return whole.n - b.rest.n;
}

static void check_partial(struct work *w, const struct tile_name *name, struct str whole)
{
    char path[TILE_PATH_MAX];
    struct arena a;
    struct str bytes;
    tile_path(name, path);
    arena_init(&a, BUNDLE_MAX + (1 << 16));
    struct err e = file_read(&a, w->reader.dir, path, BUNDLE_MAX, &bytes);
    size_t want = prefix_length(name, whole);
    if (failed(e)) {
        wrong(w->r, false, 0, "%s", err_detail());
    } else if (bytes.n != want || memcmp(bytes.p, whole.p, want) != 0) {
        size_t at = common_prefix(bytes, whole);
        uint64_t within = name->entries ? entry_at(whole, at) : at / MERKLE_HASH;
        uint64_t entry = (name->n * TILE_WIDTH + within) * leaves_of(name->level);
        wrong(w->r, true, entry, "%s was changed at byte %zu, in entry %" PRIu64, path, at, entry);
    }
    arena_release(&a);
}

/* Partial tiles of earlier checkpoints, where they are still there, are fronts of what is there now. */
static void check_partials(struct work *w, bool entries, unsigned level, uint64_t n, unsigned width,
                           struct str whole)
{
    struct tile_name name = {.entries = entries, .level = level, .n = n, .width = 1};
    char folder[TILE_PATH_MAX];
    tile_path(&name, folder);
    folder[str_rfind_char(str_of(folder), '/')] = '\0';
    int fd = openat(w->reader.dir, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL && w->r->good;) {
        uint64_t partial;
        if (!failed(str_to_u64(str_of(e->d_name), &partial)) && partial > 0 && partial < width) {
            name.width = (unsigned)partial;
            check_partial(w, &name, whole);
        }
    }
    closedir(d);
}

/* Compares the tile that was made from below with the one on disk, and hands its root up. */
static void finish_tile(struct work *w, unsigned level, uint64_t n)
{
    struct level *l = &w->levels[level];
    char path[TILE_PATH_MAX];
    struct err e = tlog_read_tile(&w->reader, level, n);
    tile_text(false, level, n, l->n, path);
    if (failed(e)) {
        wrong(w->r, false, 0, "%s", err_detail());
    }
    for (unsigned i = 0; i < l->n && w->r->good; i++) {
        if (hash_eq(&l->nodes[i], &w->reader.tile[i])) {
            continue;
        }
        uint64_t first = (n * TILE_WIDTH + i) * leaves_of(level);
        if (level == 0) {
            char bundle[TILE_PATH_MAX];
            wrong(w->r, true, first,
                  "entry %" PRIu64 " was changed: its bytes in %s do not hash to its leaf in %s",
                  first, tile_text(true, 0, n, l->n, bundle), path);
        } else {
            wrong(w->r, true, first,
                  "%s was changed: hash %u is not that of entries %" PRIu64 " to %" PRIu64, path, i,
                  first, first + leaves_of(level) - 1);
        }
    }
    if (w->r->good) {
        check_partials(w, false, level, n, l->n, str_n(l->nodes, l->n * sizeof(struct hash)));
    }
    if (l->n == TILE_WIDTH && level + 1 < TILE_LEVELS) {
        struct level *up = &w->levels[level + 1];
        merkle_root_of(l->nodes, TILE_WIDTH, &up->nodes[up->n++]);
        l->n = 0;
        if (up->n == TILE_WIDTH) {
            finish_tile(w, level + 1, n / TILE_WIDTH);
        }
    }
}

static void check_bundle(struct work *w, uint64_t n)
{
    struct err e = tlog_read_bundle(&w->reader, n);
    if (failed(e)) {
        wrong(w->r, true, n * TILE_WIDTH, "entries from %" PRIu64 " on cannot be read: %s",
              n * TILE_WIDTH, err_detail());
        return;
    }
    struct bundle_reader b = bundle_open(buf_str(&w->reader.bundle));
    struct level *l = &w->levels[0];
    for (;;) {
        struct str entry;
        bool end;
        if (failed(bundle_next(&b, &entry, &end)) || end) {
            break;
        }
        uint64_t index = n * TILE_WIDTH + l->n;
        merkle_leaf(entry, &l->nodes[l->n]);
        merkle_append(&w->range, &l->nodes[l->n++]);
        if (w->on_entry != NULL && failed(w->on_entry(w->ctx, index, entry))) {
            wrong(w->r, true, index, "entry %" PRIu64 ": %s", index, err_detail());
        }
    }
    unsigned width = l->n;
    finish_tile(w, 0, n);
    if (w->r->good) {
        check_partials(w, true, 0, n, width, buf_str(&w->reader.bundle));
    }
}

static void check_all(struct work *w)
{
    struct verify_result *r = w->r;
    uint64_t size = r->checkpoint.size, bundles = size / TILE_WIDTH + (size % TILE_WIDTH != 0);
    for (uint64_t n = 0; n < bundles && r->good; n++) {
        check_bundle(w, n);
    }
    for (unsigned level = 1; level < TILE_LEVELS && r->good; level++) {
        if (w->levels[level].n > 0) {
            finish_tile(w, level, tile_level_size(level + 1, size));
        }
    }
    struct hash root;
    merkle_root(&w->range, &root);
    if (r->good && !hash_eq(&root, &r->checkpoint.root)) {
        wrong(r, false, 0,
              "all tiles agree with the entries, but their root is not the one that was signed: "
              "entries and tiles were changed together");
    }
}

struct err tlog_verify(struct arena *a, int dir, const struct note_key *key,
                       struct err (*on_entry)(void *ctx, uint64_t index, struct str entry),
                       void *ctx, struct verify_result *out)
{
    struct str text;
    TRY(file_read(a, dir, "checkpoint", NOTE_MAX, &text));
    *out = (struct verify_result){.good = true};
    struct err e = checkpoint_open(a, text, key, &out->checkpoint);
    if (failed(e)) {
        wrong(out, false, 0, "the checkpoint was changed, or is of another log: %s", err_detail());
        return OK;
    }
    struct work *w = calloc(1, sizeof(*w));
    BUG_ON(w == NULL);
    w->r = out;
    w->on_entry = on_entry;
    w->ctx = ctx;
    tlog_reader_init(&w->reader, dir, out->checkpoint.size);
    check_all(w);
    tlog_reader_release(&w->reader);
    free(w);
    return OK;
}
