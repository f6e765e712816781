#include "index.h"

#include "audit/tlog/crc32c.h"
#include "audit/tlog/files.h"
#include "lib/tls/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * A segment file: head, then `keys` sorted keys (u64), `keys` ends (u32: postings up to here belong
 * to this key or earlier ones), then `postings` offsets (u16), all of this machine's byte order.
 */
struct head {
    char magic[8];
    uint64_t number;
    int64_t min_ms, max_ms;
    uint32_t keys, postings;
    uint32_t crc;  /* of everything behind the head */
    uint32_t self; /* of the head before this field */
};

static const char MAGIC[8] = {'S', 'X', 'I', 'N', 'D', 'X', '1', '\n'};

struct pair {
    uint64_t key;
    uint32_t at;   /* event within the segment */
    uint32_t next; /* older pair of this key + 1 */
};

struct file_head {
    int64_t min_ms, max_ms;
};

struct index {
    int dir;
    struct file_head *files; /* of segments 0..n_files-1 */
    uint64_t n_files, cap_files;
    /* the segment in memory */
    struct pair *pairs;
    size_t n_pairs, cap_pairs;
    uint32_t *slots; /* newest pair of a key + 1 */
    size_t n_slots;
    unsigned events;
    int64_t min_ms, max_ms;
};

uint64_t index_key(struct str value)
{
    uint8_t sum[SHA256_BYTES];
    uint64_t key;
    sha256_of(value, sum);
    memcpy(&key, sum, sizeof(key));
    return key;
}

uint64_t index_next(const struct index *x)
{
    return x->n_files * INDEX_SEGMENT + x->events;
}

static void file_name(uint64_t number, char out[32])
{
    snprintf(out, 32, "%012" PRIu64 ".idx", number);
}

static void clear_memory(struct index *x)
{
    free(x->pairs);
    free(x->slots);
    x->pairs = NULL;
    x->slots = NULL;
    x->n_pairs = x->cap_pairs = x->n_slots = 0;
    x->events = 0;
    x->min_ms = INT64_MAX;
    x->max_ms = INT64_MIN;
}

/* ---- files ---- */

struct mapped {
    const char *p;
    size_t n;
    const struct head *head;
    const uint64_t *keys;
    const uint32_t *ends;
    const uint16_t *postings;
};

static void unmap(struct mapped *m)
{
    if (m->p != NULL) {
        munmap((void *)(uintptr_t)m->p, m->n);
    }
}

static bool layout(struct mapped *m, uint64_t number)
{
    const struct head *h = (const struct head *)(const void *)m->p;
    if (m->n < sizeof(*h) || memcmp(h->magic, MAGIC, sizeof(MAGIC)) != 0 || h->number != number ||
        h->self != crc32c(0, str_n(h, offsetof(struct head, self)))) {
        return false;
    }
    m->head = h;
    m->keys = (const uint64_t *)(const void *)(m->p + sizeof(*h));
    m->ends = (const uint32_t *)(const void *)(m->keys + h->keys);
    m->postings = (const uint16_t *)(const void *)(m->ends + h->keys);
    return m->n == sizeof(*h) + (size_t)h->keys * 12 + (size_t)h->postings * 2;
}

/* ERR_INVALID when the file is not what it should be. With `whole`, its checksum is looked at too. */
static struct err map_file(const struct index *x, uint64_t number, bool whole, struct mapped *out)
{
    char name[32];
    struct mapped m = {NULL};
    struct stat st;
    file_name(number, name);
    int fd = openat(x->dir, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_error("open index", name, errno);
    }
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        m.n = (size_t)st.st_size;
        void *p = mmap(NULL, m.n, PROT_READ, MAP_PRIVATE, fd, 0);
        m.p = p != MAP_FAILED ? p : NULL;
    }
    close(fd);
    bool good = m.p != NULL && layout(&m, number) &&
                (!whole || m.head->crc == crc32c(0, str_n(m.p + sizeof(struct head),
                                                          m.n - sizeof(struct head))));
    if (!good) {
        unmap(&m);
        FAIL(ERR_INVALID, "index %s is damaged", name);
    }
    *out = m;
    return OK;
}

static void add_file(struct index *x, int64_t min_ms, int64_t max_ms)
{
    if (x->n_files == x->cap_files) {
        x->cap_files = x->cap_files * 2 + 64;
        x->files = realloc(x->files, x->cap_files * sizeof(*x->files));
        BUG_ON(x->files == NULL);
    }
    x->files[x->n_files++] = (struct file_head){min_ms, max_ms};
}

struct err index_open(const char *dir, struct index **out)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return file_error("make folder", dir, errno);
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return file_error("open folder", dir, errno);
    }
    struct index *x = calloc(1, sizeof(*x));
    BUG_ON(x == NULL);
    x->dir = fd;
    clear_memory(x);
    struct mapped m;
    while (!failed(map_file(x, x->n_files, true, &m))) {
        add_file(x, m.head->min_ms, m.head->max_ms);
        unmap(&m);
    }
    *out = x;
    return OK;
}

void index_close(struct index *x)
{
    if (x != NULL) {
        clear_memory(x);
        free(x->files);
        close(x->dir);
        free(x);
    }
}

void index_limit(struct index *x, uint64_t size)
{
    if (index_next(x) > size) {
        clear_memory(x);
        x->n_files = MIN(x->n_files, size / INDEX_SEGMENT);
    }
}

static int compare_pairs(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

/* Writes the sorted pairs: keys, ends, postings. */
static void put_body(struct buf *out, const struct pair *pairs, size_t n, uint32_t *n_keys)
{
    uint32_t keys = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || pairs[i + 1].key != pairs[i].key) {
            buf_put(out, &pairs[i].key, sizeof(uint64_t));
            keys++;
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t end = (uint32_t)i + 1;
        if (i + 1 == n || pairs[i + 1].key != pairs[i].key) {
            buf_put(out, &end, sizeof(end));
        }
    }
    for (size_t i = 0; i < n; i++) {
        uint16_t at = (uint16_t)pairs[i].at;
        buf_put(out, &at, sizeof(at));
    }
    *n_keys = keys;
}

static struct err write_segment(struct index *x)
{
    struct head h = {.number = x->n_files,
                     .min_ms = x->min_ms,
                     .max_ms = x->max_ms,
                     .postings = (uint32_t)x->n_pairs};
    struct buf b;
    buf_init(&b, sizeof(h) + x->n_pairs * 14);
    memcpy(h.magic, MAGIC, sizeof(MAGIC));
    buf_put(&b, &h, sizeof(h));
    struct pair *sorted = malloc((x->n_pairs + 1) * sizeof(*sorted));
    BUG_ON(sorted == NULL);
    if (x->n_pairs > 0) {
        memcpy(sorted, x->pairs, x->n_pairs * sizeof(*sorted));
        qsort(sorted, x->n_pairs, sizeof(*sorted), compare_pairs);
    }
    put_body(&b, sorted, x->n_pairs, &h.keys);
    free(sorted);
    h.crc = crc32c(0, str_sub(buf_str(&b), sizeof(h), b.n));
    h.self = crc32c(0, str_n(&h, offsetof(struct head, self)));
    memcpy(b.p, &h, sizeof(h));
    char name[32];
    file_name(x->n_files, name);
    struct err e =
        file_replace(x->dir, name, buf_str(&b), false); /* made again if a crash takes it */
    buf_release(&b);
    TRY(e);
    add_file(x, x->min_ms, x->max_ms);
    clear_memory(x);
    return OK;
}

/* ---- memory ---- */

static uint32_t *slot_of(const struct index *x, uint64_t key)
{
    size_t mask = x->n_slots - 1, i = key & mask;
    while (x->slots[i] != 0 && x->pairs[x->slots[i] - 1].key != key) {
        i = (i + 1) & mask;
    }
    return &x->slots[i];
}

static void grow_slots(struct index *x)
{
    size_t n = x->n_slots * 2 + (x->n_slots == 0 ? 256 : 0);
    free(x->slots);
    x->slots = calloc(n, sizeof(*x->slots));
    BUG_ON(x->slots == NULL);
    x->n_slots = n;
    for (size_t i = 0; i < x->n_pairs; i++) {
        *slot_of(x, x->pairs[i].key) = (uint32_t)i + 1;
    }
}

static void add_pair(struct index *x, uint64_t key)
{
    if (x->n_pairs * 2 >= x->n_slots) {
        grow_slots(x);
    }
    if (x->n_pairs == x->cap_pairs) {
        x->cap_pairs = x->cap_pairs * 2 + 256;
        x->pairs = realloc(x->pairs, x->cap_pairs * sizeof(*x->pairs));
        BUG_ON(x->pairs == NULL);
    }
    uint32_t *slot = slot_of(x, key);
    x->pairs[x->n_pairs] = (struct pair){key, x->events, *slot};
    *slot = (uint32_t)++x->n_pairs;
}

struct err index_add(struct index *x, int64_t time_ms, const uint64_t *keys, size_t n)
{
    if (x->events == INDEX_SEGMENT) {
        TRY(write_segment(x));
    }
    for (size_t i = 0; i < MIN(n, (size_t)INDEX_KEYS_PER_EVENT); i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++) {
            again |= keys[j] == keys[i];
        }
        if (!again) {
            add_pair(x, keys[i]);
        }
    }
    x->min_ms = MIN(x->min_ms, time_ms);
    x->max_ms = MAX(x->max_ms, time_ms);
    x->events++;
    return OK;
}

/* ---- finding ---- */

struct found {
    uint64_t *out;
    size_t cap, n;
    uint64_t from;
};

static bool take(struct found *f, uint64_t at)
{
    if (at >= f->from && f->n < f->cap) {
        f->out[f->n++] = at;
    }
    return f->n < f->cap;
}

static struct err find_in_file(const struct index *x, uint64_t number, uint64_t key,
                               struct found *f)
{
    struct mapped m;
    TRY(map_file(x, number, false, &m));
    size_t lo = 0, hi = m.head->keys;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (m.keys[mid] < key) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    if (lo < m.head->keys && m.keys[lo] == key) {
        uint32_t end = MIN(m.ends[lo], m.head->postings);
        for (uint32_t i = lo > 0 ? m.ends[lo - 1] : 0; i < end; i++) {
            if (!take(f, number * INDEX_SEGMENT + m.postings[i])) {
                break;
            }
        }
    }
    unmap(&m);
    return OK;
}

static void find_in_memory(const struct index *x, uint64_t key, struct found *f)
{
    if (x->n_slots == 0) {
        return;
    }
    uint64_t base = x->n_files * INDEX_SEGMENT;
    size_t count = 0;
    uint32_t newest = *slot_of(x, key);
    for (uint32_t i = newest; i != 0; i = x->pairs[i - 1].next) {
        count++;
    }
    uint32_t *rising = malloc((count + 1) * sizeof(*rising));
    BUG_ON(rising == NULL);
    size_t at = count;
    for (uint32_t i = newest; i != 0; i = x->pairs[i - 1].next) {
        rising[--at] = x->pairs[i - 1].at;
    }
    for (size_t i = 0; i < count && take(f, base + rising[i]); i++) {
    }
    free(rising);
}

struct err index_find(struct index *x, uint64_t key, uint64_t from, int64_t since_ms,
                      int64_t until_ms, uint64_t *out, size_t cap, size_t *n)
{
    struct found f = {.out = out, .cap = cap, .from = from};
    for (uint64_t i = from / INDEX_SEGMENT; i < x->n_files && f.n < cap; i++) {
        if (x->files[i].max_ms >= since_ms && x->files[i].min_ms <= until_ms) {
            TRY(find_in_file(x, i, key, &f));
        }
    }
    if (f.n < cap) {
        find_in_memory(x, key, &f);
    }
    *n = f.n;
    return OK;
}
