#include "tlog.h"

#include "files.h"
#include "tlog_read.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The unfinished tile at the right edge of one level. */
struct edge {
    struct hash nodes[TILE_WIDTH];
    unsigned n;
    bool has_partial; /* partial tiles of it are on disk */
};

struct tlog {
    char *origin;
    int dir, log_dir, journal_dir;
    struct journal journal;
    struct journal_cursor cursor; /* next entry to integrate */
    struct edge edges[TILE_LEVELS];
    struct buf bundle; /* the unfinished entry bundle: edges[0].n entries */
    uint64_t integrated, published;
    uint64_t retired;           /* full tiles below this are synced */
    struct checkpoint promised; /* origin points to `origin` */
    struct tlog_reader reader;
};

uint64_t tlog_size(const struct tlog *t)
{
    return t->journal.next;
}

uint64_t tlog_integrated(const struct tlog *t)
{
    return t->integrated;
}

uint64_t tlog_published(const struct tlog *t)
{
    return t->published;
}

int tlog_folder(const struct tlog *t)
{
    return t->log_dir;
}

/* ---- tiles ---- */

static struct err write_tile(struct tlog *t, const struct tile_name *name, struct str bytes)
{
    char path[TILE_PATH_MAX];
    tile_path(name, path);
    struct err e = file_replace(t->log_dir, path, bytes, false);
    if (e.code != ERR_NOT_FOUND) {
        return e;
    }
    TRY(file_mkdirs(t->log_dir, path, 0755)); /* makes the tile itself a folder too: undo that */
    if (unlinkat(t->log_dir, path, AT_REMOVEDIR) != 0) {
        return file_error("make room for", path, errno);
    }
    return file_replace(t->log_dir, path, bytes, false);
}

/* A log may delete the partial forms of a tile once the full one is there. */
static void remove_partials(struct tlog *t, bool entries, unsigned level, uint64_t n)
{
    struct tile_name name = {.entries = entries, .level = level, .n = n, .width = 1};
    char path[TILE_PATH_MAX];
    tile_path(&name, path);
    path[str_rfind_char(str_of(path), '/')] = '\0';
    int fd = openat(t->log_dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL) {
        return;
    }
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] != '.') {
            unlinkat(fd, e->d_name, 0);
        }
    }
    closedir(d);
    unlinkat(t->log_dir, path, AT_REMOVEDIR);
}

static struct str edge_bytes(const struct edge *e)
{
    return str_n(e->nodes, e->n * sizeof(struct hash));
}

/* Writes the tiles that have become full and hands their roots up. May be repeated after a failure. */
static struct err flush_full(struct tlog *t)
{
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct edge *e = &t->edges[level];
        if (e->n < TILE_WIDTH) {
            break;
        }
        struct tile_name name = {.level = level,
                                 .width = TILE_WIDTH,
                                 .n = tile_level_size(level + 1, t->integrated) - 1};
        if (level + 1 == TILE_LEVELS) {
            FAIL(ERR_LIMIT, "the log is full: 256^8 entries");
        }
        if (level == 0) {
            struct tile_name bundle = name;
            bundle.entries = true;
            TRY(write_tile(t, &bundle, buf_str(&t->bundle)));
        }
        TRY(write_tile(t, &name, edge_bytes(e)));
        struct edge *up = &t->edges[level + 1];
        merkle_root_of(e->nodes, TILE_WIDTH, &up->nodes[up->n++]);
        if (e->has_partial) {
            remove_partials(t, false, level, name.n);
        }
        if (level == 0) {
            if (e->has_partial) {
                remove_partials(t, true, 0, name.n);
            }
            buf_clear(&t->bundle);
        }
        e->n = 0;
        e->has_partial = false;
    }
    return OK;
}

static struct err write_partials(struct tlog *t)
{
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct edge *e = &t->edges[level];
        if (e->n == 0) {
            continue;
        }
        struct tile_name name = {
            .level = level, .width = e->n, .n = tile_level_size(level + 1, t->integrated)};
        e->has_partial = true;
        if (level == 0) {
            struct tile_name bundle = name;
            bundle.entries = true;
            TRY(write_tile(t, &bundle, buf_str(&t->bundle)));
        }
        TRY(write_tile(t, &name, edge_bytes(e)));
    }
    return OK;
}

/* Folds the peaks of every level, smallest first. */
static void tree_root(const struct tlog *t, struct hash *out)
{
    struct hash root;
    bool any = false;
    for (unsigned level = 0; level < TILE_LEVELS; level++) {
        struct merkle_range r = {.size = 0};
        for (unsigned i = 0; i < t->edges[level].n; i++) {
            merkle_append(&r, &t->edges[level].nodes[i]);
        }
        for (unsigned bit = 0; bit <= 8; bit++) {
            if (!((r.size >> bit) & 1)) {
                continue;
            }
            if (any) {
                merkle_node(&r.peaks[bit], &root, &root);
            } else {
                root = r.peaks[bit];
            }
            any = true;
        }
    }
    if (!any) {
        merkle_empty(&root);
    }
    *out = root;
}

struct err tlog_integrate(struct tlog *t, uint64_t most)
{
    TRY(flush_full(t));
    for (uint64_t i = 0; i < most; i++) {
        struct str entry;
        bool end;
        TRY(journal_next(&t->journal, &t->cursor, &entry, &end));
        if (end) {
            break;
        }
        struct edge *e = &t->edges[0];
        merkle_leaf(entry, &e->nodes[e->n++]);
        bundle_put(&t->bundle, entry);
        t->integrated++;
        TRY(flush_full(t));
    }
    return OK;
}

/* ---- opening ---- */

/* Levels above 0 at `base`, a multiple of 256, from the full tiles below them. */
static struct err load_edges(struct tlog *t, uint64_t base)
{
    t->reader.size = base;
    for (unsigned level = 1; level < TILE_LEVELS; level++) {
        uint64_t nodes = tile_level_size(level, base);
        struct edge *e = &t->edges[level];
        for (uint64_t i = nodes - nodes % TILE_WIDTH; i < nodes; i++) {
            TRY(tlog_read_tile(&t->reader, level - 1, i));
            merkle_root_of(t->reader.tile, TILE_WIDTH, &e->nodes[e->n++]);
        }
        e->has_partial = e->n > 0;
    }
    t->integrated = base;
    t->retired = base;
    journal_cursor_init(&t->cursor, base);
    return OK;
}

static struct err read_promised(struct tlog *t)
{
    struct arena a;
    struct str text;
    arena_init(&a, 1 << 16);
    struct err e = file_read(&a, t->dir, "promised", NOTE_MAX, &text);
    if (e.code == ERR_NOT_FOUND) {
        t->promised = (struct checkpoint){.size = 0};
        merkle_empty(&t->promised.root);
        e = OK;
    } else if (!failed(e)) {
        e = checkpoint_parse(&a, text, &t->promised);
        if (!failed(e) && !str_is(t->promised.origin, t->origin)) {
            e = err_make(ERR_INVALID, "this log's origin is '%.*s', not '%s'",
                         STR_FMT(t->promised.origin), t->origin);
        }
    }
    t->promised.origin = str_of(t->origin);
    arena_release(&a);
    return e;
}

/* Brings the tree to the size promised last, and compares. */
static struct err keep_promise(struct tlog *t)
{
    struct hash root;
    uint64_t size = t->promised.size;
    ENSURE(size <= t->journal.next, ERR_INVALID,
           "a checkpoint of %" PRIu64 " entries was promised, but only %" PRIu64
           " are on disk: the log was cut or restored from an older copy",
           size, t->journal.next);
    if (size < t->integrated) {
        t->reader.size = size;
        struct merkle_source s = tlog_source(&t->reader);
        TRY(merkle_root_at(&s, size, &root));
    } else {
        TRY(tlog_integrate(t, size - t->integrated));
        TRY(write_partials(t));
        tree_root(t, &root);
    }
    ENSURE(hash_eq(&root, &t->promised.root), ERR_INVALID,
           "the first %" PRIu64
           " entries on disk are not those of the promised checkpoint: the log was "
           "changed",
           size);
    return OK;
}

static struct err read_published(struct tlog *t)
{
    struct arena a;
    struct str bytes;
    struct note n;
    struct checkpoint c = {.size = 0};
    arena_init(&a, 1 << 18);
    struct err e = file_read(&a, t->log_dir, "checkpoint", NOTE_MAX, &bytes);
    if (e.code == ERR_NOT_FOUND) {
        e = OK;
    } else if (!failed(e)) {
        e = note_parse(&a, bytes, &n);
        if (!failed(e)) {
            e = checkpoint_parse(&a, n.text, &c);
        }
        if (!failed(e) && c.size > t->promised.size) {
            e = err_make(ERR_INVALID, "the published checkpoint was never promised");
        }
    }
    t->published = c.size;
    arena_release(&a);
    return failed(e) ? err_wrap(e, "published checkpoint") : OK;
}

static struct err open_folder(int at, const char *path, unsigned mode, int *out)
{
    if (mkdirat(at, path, mode) != 0 && errno != EEXIST) {
        return file_error("make folder", path, errno);
    }
    *out = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *out >= 0 ? OK : file_error("open folder", path, errno);
}

static struct err open_folders(struct tlog *t, const char *dir)
{
    TRY(open_folder(AT_FDCWD, dir, 0700, &t->dir));
    TRY(open_folder(t->dir, "log", 0755, &t->log_dir));
    TRY(open_folder(t->dir, "journal", 0700, &t->journal_dir));
    ENSURE(flock(t->journal_dir, LOCK_EX | LOCK_NB) == 0, ERR_BUSY,
           "another process has the log in %s open", dir);
    return file_sync_folder(t->dir, "log");
}

static struct err open_inner(struct tlog *t, const char *dir)
{
    TRY(open_folders(t, dir));
    tlog_reader_init(&t->reader, t->log_dir, 0);
    TRY(journal_open(&t->journal, t->journal_dir));
    TRY(read_promised(t));
    uint64_t base = (t->journal.first + TILE_WIDTH - 1) / TILE_WIDTH * TILE_WIDTH;
    ENSURE(base <= t->journal.next, ERR_INVALID,
           "the journal ends at entry %" PRIu64 " before the tiles do", t->journal.next);
    TRY(load_edges(t, base));
    TRY(keep_promise(t));
    return read_published(t);
}

struct err tlog_open(const char *dir, struct str origin, struct tlog **out)
{
    struct tlog *t = calloc(1, sizeof(*t));
    BUG_ON(t == NULL);
    t->dir = t->log_dir = t->journal_dir = t->journal.fd = t->cursor.fd = -1;
    t->origin = strndup(origin.p, origin.n);
    BUG_ON(t->origin == NULL);
    buf_init(&t->bundle, BUNDLE_MAX);
    struct err e = open_inner(t, dir);
    if (failed(e)) {
        tlog_close(t);
        return e;
    }
    *out = t;
    return OK;
}

void tlog_close(struct tlog *t)
{
    if (t == NULL) {
        return;
    }
    journal_cursor_release(&t->cursor);
    journal_close(&t->journal);
    tlog_reader_release(&t->reader);
    buf_release(&t->bundle);
    const int fds[] = {t->journal_dir, t->log_dir, t->dir};
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    free(t->origin);
    free(t);
}

/* ---- writing ---- */

struct err tlog_append(struct tlog *t, struct str payload, unsigned entries, uint64_t *first)
{
    uint64_t at = t->journal.next;
    TRY(journal_append(&t->journal, payload, entries));
    *first = at;
    return OK;
}

struct err tlog_promise(struct tlog *t, struct checkpoint *out)
{
    struct checkpoint c = {.origin = str_of(t->origin), .size = t->integrated};
    tree_root(t, &c.root);
    TRY(write_partials(t));
    if (c.size != t->promised.size || c.size == 0) {
        struct buf text;
        buf_init(&text, NOTE_MAX);
        checkpoint_put(&text, &c);
        struct err e = file_replace(t->dir, "promised", buf_str(&text), true);
        buf_release(&text);
        TRY(e);
    }
    t->promised = c;
    *out = c;
    return OK;
}

struct err tlog_publish(struct tlog *t, const struct checkpoint *c, struct str note)
{
    BUG_ON(c->size != t->promised.size || !hash_eq(&c->root, &t->promised.root));
    TRY(file_replace(t->log_dir, "checkpoint", note, true));
    t->published = c->size;
    return OK;
}

/* Syncs the names in every folder from that of `path` up to the log's own. */
static struct err sync_folders(struct tlog *t, const char *path)
{
    char part[TILE_PATH_MAX];
    TRY(str_to_cstr(str_of(path), part, sizeof(part)));
    for (;;) {
        TRY(file_sync_folder(t->log_dir, part));
        size_t slash = str_rfind_char(str_of(part), '/');
        if (slash == STR_NPOS) {
            return OK;
        }
        part[slash] = '\0';
    }
}

static struct err sync_tiles(struct tlog *t, bool entries, unsigned level, uint64_t from,
                             uint64_t to)
{
    for (uint64_t n = from; n < to; n++) {
        struct tile_name name = {.entries = entries, .level = level, .n = n, .width = TILE_WIDTH};
        char path[TILE_PATH_MAX];
        tile_path(&name, path);
        TRY(file_sync(t->log_dir, path));
        if (n + 1 == to || (n + 1) % 1000 == 0) {
            TRY(sync_folders(t, path));
        }
    }
    return OK;
}

struct err tlog_retire(struct tlog *t)
{
    if (t->journal.first == t->journal.segment) {
        return OK; /* one segment: nothing could be dropped */
    }
    uint64_t upto = t->integrated - t->integrated % TILE_WIDTH;
    TRY(sync_tiles(t, true, 0, t->retired / TILE_WIDTH, upto / TILE_WIDTH));
    for (unsigned level = 0; level + 1 < TILE_LEVELS; level++) {
        TRY(sync_tiles(t, false, level, tile_level_size(level + 1, t->retired),
                       tile_level_size(level + 1, upto)));
    }
    t->retired = upto;
    return journal_drop_below(&t->journal, upto);
}

/* ---- reading ---- */

static struct err journal_entry(struct tlog *t, struct arena *a, uint64_t index, struct str *out)
{
    struct journal_cursor c;
    struct str entry;
    bool end = false;
    journal_cursor_init(&c, index);
    struct err e = journal_next(&t->journal, &c, &entry, &end);
    if (!failed(e) && end) {
        e = err_make(ERR_NOT_FOUND, "the log has %" PRIu64 " entries; there is no entry %" PRIu64,
                     tlog_size(t), index);
    }
    if (!failed(e)) {
        *out = arena_str(a, entry);
    }
    journal_cursor_release(&c);
    return e;
}

struct err tlog_entry(struct tlog *t, struct arena *a, uint64_t index, struct str *out)
{
    uint64_t full = tile_level_size(1, t->integrated) * TILE_WIDTH;
    if (t->edges[0].n == TILE_WIDTH) {
        full -= TILE_WIDTH; /* its bundle is still waiting for room on the disk */
    }
    struct str entry;
    if (index >= t->integrated) {
        return journal_entry(t, a, index, out);
    }
    if (index < full) {
        t->reader.size = full;
        TRY(tlog_read_entry(&t->reader, index, &entry));
    } else {
        struct bundle_reader b = bundle_open(buf_str(&t->bundle));
        bool end = false;
        for (uint64_t i = full; i <= index; i++) {
            TRY(bundle_next(&b, &entry, &end));
        }
    }
    *out = arena_str(a, entry);
    return OK;
}

struct err tlog_prove(struct tlog *t, struct arena *a, uint64_t index, struct tlog_proof *out)
{
    struct tlog_proof p = {.index = index};
    ENSURE(index < t->published, ERR_NOT_FOUND,
           "entry %" PRIu64 " is not under a checkpoint yet; it covers %" PRIu64 " entries", index,
           t->published);
    TRY(file_read(a, t->log_dir, "checkpoint", NOTE_MAX, &p.checkpoint));
    t->reader.size = t->published;
    struct merkle_source s = tlog_source(&t->reader);
    TRY(merkle_prove_inclusion(&s, index, t->published, &p.path));
    *out = p;
    return OK;
}
