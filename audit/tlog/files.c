#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_LONG = 512 };

struct err file_error(const char *doing, const char *path, int errnum)
{
    if (errnum == ENOSPC || errnum == EDQUOT) {
        return err_make(ERR_UNAVAILABLE, "cannot %s %s: the disk is full", doing, path);
    }
    return err_make(errnum == ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot %s %s: %s", doing, path,
                    strerror(errnum));
}

struct err file_mkdirs(int dir, const char *path, unsigned mode)
{
    char part[PATH_LONG];
    TRY(str_to_cstr(str_of(path), part, sizeof(part)));
    for (size_t i = 1; part[i - 1] != '\0'; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char was = part[i];
        part[i] = '\0';
        if (mkdirat(dir, part, mode) != 0 && errno != EEXIST) {
            return file_error("make folder", part, errno);
        }
        part[i] = was;
    }
    return OK;
}

struct err file_write_all(int fd, const char *path, const void *p, size_t n, off_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t w = pwrite(fd, (const char *)p + done, n - done, at + (off_t)done);
        if (w < 0 && errno != EINTR) {
            return file_error("write", path, errno);
        }
        done += w > 0 ? (size_t)w : 0;
    }
    return OK;
}

static struct err write_new(int dir, const char *path, struct str bytes, bool durable)
{
    int fd = openat(dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return file_error("create", path, errno);
    }
    struct err e = file_write_all(fd, path, bytes.p, bytes.n, 0);
    if (!failed(e) && durable && fdatasync(fd) != 0) {
        e = file_error("sync", path, errno);
    }
    if (close(fd) != 0 && !failed(e)) {
        e = file_error("close", path, errno);
    }
    return e;
}

struct err file_replace(int dir, const char *path, struct str bytes, bool durable)
{
    char aside[PATH_LONG];
    int n = snprintf(aside, sizeof(aside), "%s.new", path);
    ENSURE(n > 0 && (size_t)n < sizeof(aside), ERR_LIMIT, "the path %s is too long", path);
    struct err e = write_new(dir, aside, bytes, durable);
    if (!failed(e) && renameat(dir, aside, dir, path) != 0) {
        e = file_error("rename into place", path, errno);
    }
    if (failed(e)) {
        unlinkat(dir, aside, 0);
        return e;
    }
    return durable ? file_sync_folder(dir, path) : OK;
}

struct err file_read(struct arena *a, int dir, const char *path, size_t max, struct str *out)
{
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_error("open", path, errno);
    }
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > max) {
        close(fd);
        FAIL(ERR_LIMIT, "%s is not a file of at most %zu bytes", path, max);
    }
    size_t want = (size_t)st.st_size, n = 0;
    char *p = arena_alloc_raw(a, want + 1, 1);
    while (n < want) {
        ssize_t r = read(fd, p + n, want - n);
        if (r == 0 || (r < 0 && errno != EINTR)) {
            break;
        }
        n += r > 0 ? (size_t)r : 0;
    }
    close(fd);
    ENSURE(n == want, ERR_IO, "%s became shorter while it was read", path);
    p[n] = '\0';
    *out = str_n(p, n);
    return OK;
}

static struct err sync_opened(int dir, const char *path, int flags)
{
    int fd = openat(dir, path, flags | O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return file_error("open", path, errno);
    }
    bool good = (flags & O_DIRECTORY) ? fsync(fd) == 0 : fdatasync(fd) == 0;
    int why = errno;
    close(fd);
    return good ? OK : file_error("sync", path, why);
}

struct err file_sync(int dir, const char *path)
{
    return sync_opened(dir, path, 0);
}

/* The folder that holds `path`. */
struct err file_sync_folder(int dir, const char *path)
{
    char folder[PATH_LONG];
    struct str s = str_of(path);
    size_t slash = str_rfind_char(s, '/');
    if (slash == STR_NPOS) {
        return sync_opened(dir, ".", O_DIRECTORY);
    }
    TRY(str_to_cstr(str_sub(s, 0, slash), folder, sizeof(folder)));
    return sync_opened(dir, folder, O_DIRECTORY);
}
