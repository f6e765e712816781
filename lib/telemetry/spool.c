#include "spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A line cut short by a crash was never acknowledged: it is taken off. */
static struct err drop_torn_tail(struct spool *s)
{
    char block[4096];
    while (s->size > 0) {
        int64_t from = s->size > (int64_t)sizeof(block) ? s->size - (int64_t)sizeof(block) : 0;
        ssize_t n = pread(s->fd, block, (size_t)(s->size - from), from);
        ENSURE(n == s->size - from, ERR_IO, "cannot read the audit spool: %s", strerror(errno));
        size_t end = str_rfind_char(str_n(block, (size_t)n), '\n');
        if (end != STR_NPOS) {
            s->size = from + (int64_t)end + 1;
            break;
        }
        s->size = from;
    }
    ENSURE(ftruncate(s->fd, s->size) == 0, ERR_IO, "cannot mend the audit spool: %s",
           strerror(errno));
    return OK;
}

struct err spool_open(struct spool *s, const char *path, int64_t max)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    ENSURE(fd >= 0, ERR_IO, "cannot open the audit spool %s: %s", path, strerror(errno));
    if (fstat(fd, &st) != 0) {
        close(fd);
        FAIL(ERR_IO, "cannot read the audit spool %s: %s", path, strerror(errno));
    }
    *s = (struct spool){.fd = fd, .size = st.st_size, .max = max};
    struct err e = drop_torn_tail(s);
    if (failed(e)) {
        spool_close(s);
    }
    return e;
}

void spool_close(struct spool *s)
{
    if (s->fd >= 0) {
        close(s->fd);
    }
    s->fd = -1;
}

struct err spool_append(struct spool *s, struct str line)
{
    ENSURE(s->size + (int64_t)line.n <= s->max, ERR_LIMIT,
           "the audit spool holds its %lld bytes; audit has been away too long", (long long)s->max);
    ssize_t n = pwrite(s->fd, line.p, line.n, s->size);
    if (n != (ssize_t)line.n) {
        int saved = n < 0 ? errno : ENOSPC;
        ignore_err(drop_torn_tail(s)); /* the size has not moved: cuts off what was written */
        FAIL(ERR_LIMIT, "cannot write the audit spool: %s", strerror(saved));
    }
    s->size += n;
    return OK;
}

struct err spool_sync(struct spool *s)
{
    ENSURE(fdatasync(s->fd) == 0, ERR_IO, "cannot sync the audit spool: %s", strerror(errno));
    return OK;
}

struct err spool_peek(struct spool *s, struct buf *out, size_t max)
{
    size_t want = (size_t)MIN((int64_t)max, s->size - s->sent);
    char *room = buf_reserve(out, want);
    ENSURE(room != NULL, ERR_LIMIT, "no room to read the audit spool");
    ssize_t n = pread(s->fd, room, want, s->sent);
    ENSURE(n == (ssize_t)want, ERR_IO, "cannot read the audit spool: %s", strerror(errno));
    size_t end = str_rfind_char(str_n(room, want), '\n');
    ENSURE(end != STR_NPOS, ERR_IO, "the audit spool has a line of over %zu bytes", max);
    buf_commit(out, end + 1);
    return OK;
}

struct err spool_delivered(struct spool *s, size_t n)
{
    s->sent += (int64_t)n;
    if (s->sent < s->size) {
        return OK;
    }
    s->sent = s->size = 0;
    ENSURE(ftruncate(s->fd, 0) == 0, ERR_IO, "cannot empty the audit spool: %s", strerror(errno));
    return OK;
}
