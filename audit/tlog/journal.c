#include "journal.h"

#include "crc32c.h"
#include "files.h"
#include "tiles.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC = 0x4aff53fe, NAME_DIGITS = 20, NAME_MAX_LEN = 32 };

struct batch_head {
    uint32_t entries, bytes, crc;
    uint64_t first;
};

static void put_le(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)(v >> (8 * i));
    }
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

static void head_write(uint8_t out[JOURNAL_BATCH_HEAD], const struct batch_head *h)
{
    put_le(out, MAGIC, 4);
    put_le(out + 4, h->entries, 4);
    put_le(out + 8, h->bytes, 4);
    put_le(out + 12, h->crc, 4);
    put_le(out + 16, h->first, 8);
    put_le(out + 24, crc32c(0, str_n(out, 24)), 4);
}

static bool head_read(const uint8_t *p, struct batch_head *out)
{
    struct batch_head h = {.entries = (uint32_t)get_le(p + 4, 4),
                           .bytes = (uint32_t)get_le(p + 8, 4),
                           .crc = (uint32_t)get_le(p + 12, 4),
                           .first = get_le(p + 16, 8)};
    *out = h;
    return get_le(p, 4) == MAGIC && get_le(p + 24, 4) == crc32c(0, str_n(p, 24)) && h.entries > 0 &&
           h.bytes <= JOURNAL_BATCH_MAX;
}

static void segment_name(uint64_t first, char out[NAME_MAX_LEN])
{
    snprintf(out, NAME_MAX_LEN, "%020" PRIu64, first);
}

/* ---- opening ---- */

static bool read_at(int fd, void *p, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t r = pread(fd, (char *)p + done, n - done, (off_t)(at + done));
        if (r <= 0 && !(r < 0 && errno == EINTR)) {
            return false;
        }
        done += r > 0 ? (size_t)r : 0;
    }
    return true;
}

struct segments {
    uint64_t *first;
    size_t n, cap;
};

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static struct err list_segments(int dir, struct segments *out)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    ENSURE(d != NULL, ERR_IO, "cannot list the journal: %s", strerror(errno));
    struct segments s = {NULL, 0, 0};
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        struct str name = str_of(e->d_name);
        char *end;
        if (name.n != NAME_DIGITS) {
            continue;
        }
        uint64_t first = strtoull(e->d_name, &end, 10);
        if (*end != '\0') {
            continue;
        }
        if (s.n == s.cap) {
            s.cap = s.cap * 2 + 16;
            s.first = realloc(s.first, s.cap * sizeof(*s.first));
            BUG_ON(s.first == NULL);
        }
        s.first[s.n++] = first;
    }
    closedir(d);
    if (s.n > 1) {
        qsort(s.first, s.n, sizeof(*s.first), compare_u64);
    }
    *out = s;
    return OK;
}

/* Maps a segment; `*out` is empty for an empty file, and else unmapped by the caller. */
static struct err map_segment(int dir, uint64_t first, int *fd_out, struct str *out)
{
    char name[NAME_MAX_LEN];
    segment_name(first, name);
    int fd = openat(dir, name, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return file_error("open journal segment", name, errno);
    }
    struct stat st;
    void *p = NULL;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (p == MAP_FAILED) {
        int why = errno;
        close(fd);
        return file_error("map journal segment", name, why);
    }
    *fd_out = fd;
    *out = p != NULL ? str_n(p, (size_t)st.st_size) : STR_EMPTY;
    return OK;
}

/* The length of the intact batch at `at`, or 0. */
static size_t batch_at(struct str seg, size_t at, uint64_t want_first, struct batch_head *h)
{
    if (seg.n - at < JOURNAL_BATCH_HEAD || !head_read((const uint8_t *)seg.p + at, h)) {
        return 0;
    }
    size_t body = at + JOURNAL_BATCH_HEAD;
    if (h->first < want_first || seg.n - body < h->bytes ||
        crc32c(0, str_sub(seg, body, body + h->bytes)) != h->crc) {
        return 0;
    }
    return JOURNAL_BATCH_HEAD + h->bytes;
}

static bool intact_batch_follows(struct str seg, size_t from, uint64_t next)
{
    uint8_t magic[4];
    put_le(magic, MAGIC, 4);
    struct str needle = str_n(magic, 4);
    struct batch_head h;
    for (size_t at = from; at < seg.n;) {
        size_t hit = str_find(str_sub(seg, at, seg.n), needle);
        if (hit == STR_NPOS) {
            return false;
        }
        at += hit;
        if (batch_at(seg, at, next, &h) > 0) {
            return true;
        }
        at++;
    }
    return false;
}

/* Walks one segment's batches; leaves j->at behind the last intact one. */
static struct err scan_segment(struct journal *j, struct str seg)
{
    size_t at = 0;
    for (;;) {
        struct batch_head h;
        size_t n = batch_at(seg, at, j->next, &h);
        if (n == 0) {
            break;
        }
        ENSURE(h.first == j->next, ERR_INVALID,
               "journal segment %020" PRIu64 ": entry %" PRIu64 " is missing at byte %zu",
               j->segment, j->next, at);
        at += n;
        j->next += h.entries;
    }
    ENSURE(!intact_batch_follows(seg, at, j->next), ERR_INVALID,
           "journal segment %020" PRIu64 " was damaged at byte %zu: entry %" PRIu64
           " cannot be read, but later ones can",
           j->segment, at, j->next);
    j->at = at;
    j->room = seg.n;
    return OK;
}

/* Makes a torn last batch unreadable, so that nobody takes its head for that of a batch to come. */
static struct err erase_torn(struct journal *j)
{
    static const uint8_t zeros[JOURNAL_BATCH_HEAD];
    uint8_t head[JOURNAL_BATCH_HEAD];
    size_t n = (size_t)MIN(j->room - j->at, (uint64_t)JOURNAL_BATCH_HEAD);
    if (!read_at(j->fd, head, n, j->at) || memcmp(head, zeros, n) == 0) {
        return OK;
    }
    TRY(file_write_all(j->fd, "the journal", zeros, n, (off_t)j->at));
    return fdatasync(j->fd) == 0 ? OK : file_error("sync", "the journal", errno);
}

static struct err open_segment(struct journal *j, uint64_t first, bool newest)
{
    struct str bytes;
    int fd;
    TRY(map_segment(j->dir, first, &fd, &bytes));
    j->segment = first;
    struct err e = scan_segment(j, bytes);
    if (bytes.n > 0) {
        munmap((void *)(uintptr_t)bytes.p, bytes.n);
    }
    if (failed(e) || !newest) {
        close(fd);
        return e;
    }
    j->fd = fd;
    return erase_torn(j);
}

static struct err open_all(struct journal *j, const struct segments *s)
{
    j->first = j->next = s->n > 0 ? s->first[0] : 0;
    for (size_t i = 0; i < s->n; i++) {
        ENSURE(s->first[i] == j->next, ERR_INVALID,
               "journal segment %020" PRIu64 " should begin at entry %" PRIu64, s->first[i],
               j->next);
        TRY(open_segment(j, s->first[i], i + 1 == s->n));
    }
    return OK;
}

struct err journal_open(struct journal *j, int dir)
{
    *j = (struct journal){.dir = dir, .fd = -1};
    struct segments s;
    TRY(list_segments(dir, &s));
    struct err e = open_all(j, &s);
    free(s.first);
    if (failed(e)) {
        journal_close(j);
    }
    return e;
}

void journal_close(struct journal *j)
{
    if (j->fd >= 0) {
        close(j->fd);
        j->fd = -1;
    }
}

/* ---- appending ---- */

static struct err new_segment(struct journal *j)
{
    char name[NAME_MAX_LEN];
    segment_name(j->next, name);
    int fd = openat(j->dir, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        return file_error("create journal segment", name, errno);
    }
    int why = posix_fallocate(fd, 0, JOURNAL_SEGMENT);
    if (why == 0 && fsync(fd) != 0) {
        why = errno;
    }
    if (why != 0) {
        close(fd);
        unlinkat(j->dir, name, 0);
        return file_error("allocate journal segment", name, why);
    }
    struct err e = file_sync_folder(j->dir, name);
    if (failed(e)) {
        close(fd);
        return e;
    }
    journal_close(j);
    j->fd = fd;
    j->segment = j->next;
    j->at = 0;
    j->room = JOURNAL_SEGMENT;
    return OK;
}

struct err journal_append(struct journal *j, struct str payload, unsigned entries)
{
    BUG_ON(entries == 0 || payload.n > JOURNAL_BATCH_MAX);
    ENSURE(!j->broken, ERR_IO, "the journal failed to sync before; it must be opened again");
    if (j->fd < 0 || j->room - j->at < JOURNAL_BATCH_HEAD + payload.n) {
        TRY(new_segment(j));
    }
    struct batch_head h = {.entries = entries,
                           .bytes = (uint32_t)payload.n,
                           .crc = crc32c(0, payload),
                           .first = j->next};
    uint8_t head[JOURNAL_BATCH_HEAD];
    head_write(head, &h);
    struct err e = file_write_all(j->fd, "the journal", head, sizeof(head), (off_t)j->at);
    if (!failed(e)) {
        e = file_write_all(j->fd, "the journal", payload.p, payload.n,
                           (off_t)(j->at + sizeof(head)));
    }
    if (!failed(e) && fdatasync(j->fd) != 0) {
        e = file_error("sync", "the journal", errno);
    }
    if (failed(e)) { /* what is on the disk is not known any more */
        j->broken = true;
        return err_make(ERR_IO, "%s", err_detail());
    }
    j->at += sizeof(head) + payload.n;
    j->next += entries;
    return OK;
}

/* ---- reading ---- */

void journal_cursor_init(struct journal_cursor *c, uint64_t index)
{
    *c = (struct journal_cursor){.index = index, .fd = -1};
    buf_init(&c->batch, JOURNAL_BATCH_MAX);
}

static void cursor_close(struct journal_cursor *c)
{
    if (c->opened) {
        close(c->fd);
    }
    c->opened = false;
}

void journal_cursor_release(struct journal_cursor *c)
{
    cursor_close(c);
    buf_release(&c->batch);
}

/* Opens the segment that holds c->index. */
static struct err cursor_open(struct journal *j, struct journal_cursor *c)
{
    struct segments s;
    TRY(list_segments(j->dir, &s));
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < s.n && s.first[i] <= c->index; i++) {
        first = s.first[i];
    }
    free(s.first);
    ENSURE(first != UINT64_MAX, ERR_NOT_FOUND, "entry %" PRIu64 " is not in the journal any more",
           c->index);
    char name[NAME_MAX_LEN];
    segment_name(first, name);
    c->fd = openat(j->dir, name, O_RDONLY | O_CLOEXEC);
    if (c->fd < 0) {
        return file_error("open journal segment", name, errno);
    }
    c->opened = true;
    c->at = 0;
    return OK;
}

/* Skips entries of the batch before c->index, where a cursor begins inside one. */
static struct err skip_to_index(struct journal_cursor *c, const struct batch_head *h)
{
    struct str entry;
    bool end;
    c->rest = buf_str(&c->batch);
    for (uint64_t i = h->first; i < c->index; i++) {
        struct bundle_reader b = bundle_open(c->rest);
        TRY(bundle_next(&b, &entry, &end));
        ENSURE(!end, ERR_INVALID, "a journal batch holds fewer entries than it says");
        c->rest = b.rest;
    }
    return OK;
}

/* Loads the batch that holds c->index. */
static struct err load_batch(struct journal *j, struct journal_cursor *c)
{
    bool fresh = false;
    for (;;) {
        if (!c->opened) {
            TRY(cursor_open(j, c));
            fresh = true;
        }
        uint8_t raw[JOURNAL_BATCH_HEAD];
        struct batch_head h;
        if (!read_at(c->fd, raw, sizeof(raw), c->at) || !head_read(raw, &h)) {
            cursor_close(c); /* the end of one segment: the next has it */
            ENSURE(!fresh, ERR_INVALID, "journal entry %" PRIu64 " cannot be read", c->index);
            continue;
        }
        uint64_t body = c->at + sizeof(raw);
        c->at = body + h.bytes;
        if (h.first + h.entries <= c->index) {
            continue;
        }
        buf_clear(&c->batch);
        char *p = buf_reserve(&c->batch, h.bytes);
        ENSURE(h.first <= c->index && p != NULL && read_at(c->fd, p, h.bytes, body) &&
                   crc32c(0, str_n(p, h.bytes)) == h.crc,
               ERR_INVALID, "journal entry %" PRIu64 " cannot be read", c->index);
        buf_commit(&c->batch, h.bytes);
        return skip_to_index(c, &h);
    }
}

struct err journal_next(struct journal *j, struct journal_cursor *c, struct str *entry, bool *end)
{
    if (c->index >= j->next) {
        *end = true;
        return OK;
    }
    if (c->rest.n == 0) {
        TRY(load_batch(j, c));
    }
    struct bundle_reader b = bundle_open(c->rest);
    bool over;
    TRY(bundle_next(&b, entry, &over));
    ENSURE(!over, ERR_INVALID, "journal entry %" PRIu64 " is empty", c->index);
    c->rest = b.rest;
    c->index++;
    *end = false;
    return OK;
}

struct err journal_drop_below(struct journal *j, uint64_t index)
{
    struct segments s;
    TRY(list_segments(j->dir, &s));
    struct err e = OK;
    for (size_t i = 0; i + 1 < s.n && s.first[i + 1] <= index && !failed(e); i++) {
        char name[NAME_MAX_LEN];
        segment_name(s.first[i], name);
        if (unlinkat(j->dir, name, 0) != 0) {
            e = file_error("remove journal segment", name, errno);
        } else {
            j->first = s.first[i + 1];
        }
    }
    free(s.first);
    return e;
}
