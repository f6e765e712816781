#include "attest.h"

#include "lib/base/codec.h"
#include "lib/x509/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STATUS_MAX = 16 * 1024, PATH_TEXT_MAX = 4096, HASH_CACHE = 64 };

bool attest_alive(int pidfd)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    return pidfd >= 0 && poll(&p, 1, 0) == 0; /* readable means: it has ended */
}

static struct err add(struct strs *s, const char *name, const char *fmt_value)
{
    char text[ENTRY_SELECTOR_MAX];
    int n = snprintf(text, sizeof(text), "unix:%s:%s", name, fmt_value);
    if (n <= 0 || n >= (int)sizeof(text)) {
        return OK; /* no entry can ask for it */
    }
    return strs_add(s, str_n(text, (size_t)n), ATTEST_SELECTORS_MAX);
}

static struct err add_id(struct strs *s, const char *name, unsigned id)
{
    char text[16];
    snprintf(text, sizeof(text), "%u", id);
    return add(s, name, text);
}

static struct err add_user(struct strs *s, uid_t uid)
{
    struct passwd pw, *found = NULL;
    char room[4096];
    TRY(add_id(s, "uid", uid));
    if (getpwuid_r(uid, &pw, room, sizeof(room), &found) == 0 && found != NULL) {
        TRY(add(s, "user", pw.pw_name));
    }
    return OK;
}

static struct err add_group(struct strs *s, const char *id_name, const char *text_name, gid_t gid)
{
    struct group gr, *found = NULL;
    char room[16 * 1024];
    TRY(add_id(s, id_name, gid));
    if (getgrgid_r(gid, &gr, room, sizeof(room), &found) == 0 && found != NULL) {
        TRY(add(s, text_name, gr.gr_name));
    }
    return OK;
}

/* ---- what stands below /proc/PID ---- */

static struct err read_at(int dir, const char *name, char *text, size_t cap, struct str *out)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_UNAVAILABLE, "cannot read %s of the process: %s", name, strerror(errno));
    size_t n = 0;
    ssize_t got = 1;
    while (got > 0 && n < cap) {
        got = read(fd, text + n, cap - n);
        n += got > 0 ? (size_t)got : 0;
    }
    int why = errno;
    close(fd);
    ENSURE(got >= 0, ERR_UNAVAILABLE, "cannot read %s of the process: %s", name, strerror(why));
    *out = str_n(text, n);
    return OK;
}

/* The fields of a line "Name:\tA B C" of /proc/PID/status. */
static struct str status_line(struct str status, struct str name)
{
    while (status.p != NULL) {
        struct str line = str_split(&status, '\n');
        if (str_starts(line, name)) {
            return str_trim(str_sub(line, name.n, line.n));
        }
    }
    return STR_EMPTY;
}

static bool next_number(struct str *rest, uint64_t *out)
{
    *rest = str_trim(*rest);
    size_t n = 0;
    while (n < rest->n && rest->p[n] >= '0' && rest->p[n] <= '9') {
        n++;
    }
    bool good = n > 0 && !failed(str_to_u64(str_sub(*rest, 0, n), out));
    *rest = str_sub(*rest, n, rest->n);
    return good;
}

/* Uid and Gid have real, effective, saved and file system ids; the effective one is what connected. */
static struct err check_ids(struct str status, const struct attest_peer *p)
{
    struct str uids = status_line(status, S("Uid:")), gids = status_line(status, S("Gid:"));
    uint64_t real, uid, gid;
    ENSURE(next_number(&uids, &real) && next_number(&uids, &uid) && next_number(&gids, &real) &&
               next_number(&gids, &gid),
           ERR_UNAVAILABLE, "the process has no ids to read");
    ENSURE(uid == p->uid && gid == p->gid, ERR_DENIED,
           "the process has changed its ids since it connected");
    return OK;
}

static struct err add_supplementary(struct str status, struct strs *s)
{
    struct str groups = status_line(status, S("Groups:"));
    uint64_t gid;
    for (size_t i = 0; i < ATTEST_SELECTORS_MAX / 4 && next_number(&groups, &gid); i++) {
        TRY(add_group(s, "supplementary_gid", "supplementary_group", (gid_t)gid));
    }
    return OK;
}

/* ---- the program ---- */

struct hashed {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
    char hex[65];
};

static struct hashed hash_cache[HASH_CACHE];

static bool same_file(const struct hashed *h, const struct stat *st)
{
    return h->hex[0] != '\0' && h->dev == st->st_dev && h->ino == st->st_ino &&
           h->size == st->st_size && h->changed.tv_sec == st->st_ctim.tv_sec &&
           h->changed.tv_nsec == st->st_ctim.tv_nsec;
}

static bool hash_fd(int fd, char hex[65])
{
    struct digest_state *d = digest_begin(DIGEST_SHA256);
    char block[65536];
    ssize_t n;
    while ((n = read(fd, block, sizeof(block))) > 0) {
        digest_add(d, str_n(block, (size_t)n));
    }
    uint8_t sum[DIGEST_MAX];
    digest_end(d, sum);
    struct buf b;
    buf_init(&b, 65);
    hex_put(&b, str_n(sum, 32));
    memcpy(hex, b.p, 64);
    hex[64] = '\0';
    buf_release(&b);
    return n == 0;
}

/* A program is hashed once for as long as its inode, size and change time stay the same. */
static struct err add_hash(int dir, struct strs *s)
{
    int fd = openat(dir, "exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size > ATTEST_HASH_MAX) {
        if (fd >= 0) {
            close(fd);
        }
        return OK; /* without the selector, entries that ask for it do not match */
    }
    struct hashed *slot = &hash_cache[(size_t)st.st_ino % HASH_CACHE];
    bool good = same_file(slot, &st);
    if (!good) {
        *slot = (struct hashed){
            .dev = st.st_dev, .ino = st.st_ino, .size = st.st_size, .changed = st.st_ctim};
        good = hash_fd(fd, slot->hex);
        slot->hex[0] = good ? slot->hex[0] : '\0';
    }
    close(fd);
    return good ? add(s, "sha256", slot->hex) : OK;
}

/* Kernel threads and processes that may not be looked at have no path: then such entries do not match. */
static struct err add_path(int dir, struct strs *s)
{
    char path[PATH_TEXT_MAX];
    ssize_t n = readlinkat(dir, "exe", path, sizeof(path) - 1);
    if (n <= 0 || n >= (ssize_t)sizeof(path) - 1) {
        return OK;
    }
    path[n] = '\0';
    return add(s, "path", path);
}

/* ---- all of it ---- */

/* Field 22 of /proc/PID/stat: start time in clock ticks after boot (proc(5)). */
static struct err started_before(int dir, int64_t connected_ns)
{
    char text[2048];
    struct str stat;
    TRY(read_at(dir, "stat", text, sizeof(text), &stat));
    size_t paren = str_rfind_char(stat, ')');
    struct str rest = paren == STR_NPOS ? STR_EMPTY : str_sub(stat, paren + 2, stat.n);
    struct str field = STR_EMPTY;
    for (int i = 3; i <= 22 && rest.p != NULL; i++) {
        field = str_split(&rest, ' ');
    }
    uint64_t ticks;
    TRY(str_to_u64(field, &ticks));
    int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
    ENSURE((int64_t)ticks * tick_ns <= connected_ns, ERR_DENIED,
           "the process was started after the connection was made");
    return OK;
}

static struct err collect(int dir, const struct attest_peer *p, bool hash, struct strs *s)
{
    char text[STATUS_MAX];
    struct str status;
    TRY(read_at(dir, "status", text, sizeof(text), &status));
    TRY(check_ids(status, p));
    TRY(add_user(s, p->uid));
    TRY(add_group(s, "gid", "group", p->gid));
    TRY(add_supplementary(status, s));
    TRY(add_path(dir, s));
    return hash ? add_hash(dir, s) : OK;
}

static struct err attest_held(const struct attest_peer *p, int pidfd, bool hash, struct strs *s)
{
    char path[32];
    snprintf(path, sizeof(path), "/proc/%d", (int)p->pid);
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ENSURE(dir >= 0, ERR_DENIED, "the process that connected is gone");
    /* Alive after the handle was opened: so the number meant this process when it was. */
    struct err e =
        attest_alive(pidfd) ? OK : err_make(ERR_DENIED, "the process that connected is gone");
    if (!failed(e) && p->pidfd < 0) {
        e = started_before(dir, p->connected_ns);
    }
    if (!failed(e)) {
        e = collect(dir, p, hash, s);
    }
    if (!failed(e) && !attest_alive(pidfd)) {
        e = err_make(ERR_DENIED, "the process that connected has ended meanwhile");
    }
    close(dir);
    return e;
}

struct err attest_process(const struct attest_peer *p, bool hash, struct strs *selectors)
{
    ENSURE(p->pid > 0, ERR_UNAVAILABLE,
           "the process is in a pid namespace that cannot be seen from here");
    int own = p->pidfd < 0 ? (int)syscall(SYS_pidfd_open, p->pid, 0) : -1;
    int pidfd = p->pidfd < 0 ? own : p->pidfd;
    struct strs s = {NULL, 0};
    struct err e = pidfd >= 0 ? attest_held(p, pidfd, hash, &s)
                              : err_make(ERR_DENIED, "the process that connected is gone");
    if (own >= 0) {
        close(own);
    }
    if (failed(e)) {
        strs_release(&s);
        return e;
    }
    strs_sort(&s);
    *selectors = s;
    return OK;
}
