#include "tlog_read.h"

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { READ_STEP = 16 * 1024 };

void tlog_reader_init(struct tlog_reader *r, int dir, uint64_t size)
{
    r->dir = dir;
    r->size = size;
    r->tile_name.width = 0;
    r->bundle_name.width = 0;
    buf_init(&r->bundle, BUNDLE_MAX + READ_STEP);
}

void tlog_reader_release(struct tlog_reader *r)
{
    buf_release(&r->bundle);
}

static struct err read_whole(int dir, const char *path, size_t max, struct buf *out)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_error("open", path, errno);
    }
    buf_clear(out);
    struct err e = OK;
    for (;;) {
        char *p = buf_reserve(out, READ_STEP);
        ssize_t n = p != NULL ? read(fd, p, READ_STEP) : -1;
        if (p == NULL || out->n > max) {
            e = err_make(ERR_LIMIT, "%s is longer than %zu bytes", path, max);
        } else if (n < 0 && errno == EINTR) {
            continue;
        } else if (n < 0) {
            e = file_error("read", path, errno);
        }
        if (failed(e) || n == 0) {
            break;
        }
        buf_commit(out, (size_t)n);
    }
    close(fd);
    return e;
}

/* A log may have dropped a partial tile once the full one exists; its front is the same. */
struct err tlog_read_partial(struct tlog_reader *r, const struct tile_name *name, struct buf *out)
{
    char path[TILE_PATH_MAX];
    size_t max = name->entries ? BUNDLE_MAX : TILE_BYTES;
    tile_path(name, path);
    struct err e = read_whole(r->dir, path, max, out);
    if (e.code != ERR_NOT_FOUND || name->width == TILE_WIDTH) {
        return e;
    }
    struct tile_name full = *name;
    full.width = TILE_WIDTH;
    tile_path(&full, path);
    TRY(read_whole(r->dir, path, max, out));
    if (!name->entries) {
        out->n = MIN(out->n, (size_t)name->width * MERKLE_HASH);
        return OK;
    }
    struct bundle_reader b = bundle_open(buf_str(out));
    struct str entry;
    for (bool end = false; b.read < name->width && !end;) {
        TRY(bundle_next(&b, &entry, &end));
    }
    out->n -= b.rest.n;
    return OK;
}

static unsigned width_at(uint64_t level_size, uint64_t n)
{
    return (unsigned)MIN(level_size - n * TILE_WIDTH, (uint64_t)TILE_WIDTH);
}

static bool same_name(const struct tile_name *a, const struct tile_name *b)
{
    return a->level == b->level && a->n == b->n && a->width == b->width;
}

struct err tlog_read_tile(struct tlog_reader *r, unsigned level, uint64_t n)
{
    uint64_t level_size = tile_level_size(level, r->size);
    ENSURE(n < level_size / TILE_WIDTH + (level_size % TILE_WIDTH != 0), ERR_RANGE,
           "tile %" PRIu64 " of level %u is outside a tree of %" PRIu64 " entries", n, level,
           r->size);
    struct tile_name name = {.level = level, .n = n, .width = width_at(level_size, n)};
    if (same_name(&name, &r->tile_name)) {
        return OK;
    }
    char path[TILE_PATH_MAX];
    tile_path(&name, path);
    struct buf bytes;
    buf_init(&bytes, TILE_BYTES + READ_STEP);
    struct err e = tlog_read_partial(r, &name, &bytes);
    if (!failed(e) && bytes.n != (size_t)name.width * MERKLE_HASH) {
        e = err_make(ERR_INVALID, "%s has %zu bytes, not %u", path, bytes.n,
                     name.width * MERKLE_HASH);
    }
    if (!failed(e)) {
        memcpy(r->tile, bytes.p, bytes.n);
        r->tile_name = name;
    }
    buf_release(&bytes);
    return e;
}

static struct err check_bundle(const struct tile_name *name, struct str bytes)
{
    char path[TILE_PATH_MAX];
    tile_path(name, path);
    struct bundle_reader b = bundle_open(bytes);
    struct str entry;
    for (bool end = false; !end;) {
        struct err e = bundle_next(&b, &entry, &end);
        if (failed(e)) {
            return err_wrap(e, "%s", path);
        }
    }
    ENSURE(b.read == name->width, ERR_INVALID, "%s has %u entries, not %u", path, b.read,
           name->width);
    return OK;
}

struct err tlog_read_bundle(struct tlog_reader *r, uint64_t n)
{
    ENSURE(n < r->size / TILE_WIDTH + (r->size % TILE_WIDTH != 0), ERR_RANGE,
           "bundle %" PRIu64 " is outside a log of %" PRIu64 " entries", n, r->size);
    struct tile_name name = {.entries = true, .n = n, .width = width_at(r->size, n)};
    if (same_name(&name, &r->bundle_name)) {
        return OK;
    }
    r->bundle_name.width = 0;
    TRY(tlog_read_partial(r, &name, &r->bundle));
    TRY(check_bundle(&name, buf_str(&r->bundle)));
    r->bundle_name = name;
    return OK;
}

struct err tlog_read_entry(struct tlog_reader *r, uint64_t index, struct str *out)
{
    ENSURE(index < r->size, ERR_NOT_FOUND,
           "the log has %" PRIu64 " entries; there is no entry %" PRIu64, r->size, index);
    TRY(tlog_read_bundle(r, index / TILE_WIDTH));
    struct bundle_reader b = bundle_open(buf_str(&r->bundle));
    struct str entry;
    bool end = false;
    for (uint64_t i = 0; i <= index % TILE_WIDTH; i++) {
        TRY(bundle_next(&b, &entry, &end));
    }
    *out = entry;
    return OK;
}

/* A perfect subtree of `level` is the root over 2^(level % 8) nodes of tile level level / 8. */
static struct err fetch(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
    struct tlog_reader *r = ctx;
    unsigned tile_level = level / 8, count = 1U << (level % 8);
    uint64_t first = index * count;
    TRY(tlog_read_tile(r, tile_level, first / TILE_WIDTH));
    size_t at = first % TILE_WIDTH;
    ENSURE(at + count <= r->tile_name.width, ERR_RANGE, "a subtree outside the tree");
    merkle_root_of(r->tile + at, count, out);
    return OK;
}

struct merkle_source tlog_source(struct tlog_reader *r)
{
    return (struct merkle_source){fetch, r};
}
