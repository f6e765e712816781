/* The files of the work tree: those Git tracks or does not ignore; without Git, all of them. */
#include "assess.h"
#include "git.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MAX = 64 };

struct list {
    struct assess *a;
    struct str *paths;
    size_t n, cap;
    struct buf partial; /* of `git ls-files -z` */
};

static void add_path(struct list *l, struct str path)
{
    if (l->n < ASSESS_FILES_MAX && path.n > 0) {
        l->paths = arena_grow(&l->a->arena, l->paths, l->n, l->n + 1, &l->cap, sizeof(*l->paths));
        l->paths[l->n++] = arena_str(&l->a->arena, path);
    }
}

static struct err on_names(void *ctx, struct str piece)
{
    struct list *l = ctx;
    for (size_t i = 0; i < piece.n; i++) {
        if (piece.p[i] != '\0') {
            buf_putc(&l->partial, piece.p[i]);
            continue;
        }
        if (buf_ok(&l->partial)) {
            add_path(l, buf_str(&l->partial));
        }
        buf_clear(&l->partial);
    }
    return OK;
}

/* Breadth first, without following links: every folder is listed once. */
static void walk(struct list *l)
{
    struct str *folders = arena_array(&l->a->arena, struct str, ASSESS_FILES_MAX);
    size_t n = 0;
    folders[n++] = STR_EMPTY;
    for (size_t i = 0; i < n; i++) {
        struct str full = arena_printf(&l->a->arena, "%s/%.*s", l->a->root, STR_FMT(folders[i]));
        DIR *d = opendir(full.p);
        for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
            struct str name = str_of(e->d_name);
            struct str path = folders[i].n > 0 ? arena_printf(&l->a->arena, "%.*s/%s",
                                                              STR_FMT(folders[i]), e->d_name)
                                               : arena_str(&l->a->arena, name);
            struct stat st;
            if (str_is(name, ".") || str_is(name, "..") || str_is(name, ".git") ||
                str_is(name, "node_modules") ||
                fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
                continue;
            }
            if (S_ISDIR(st.st_mode) && n < ASSESS_FILES_MAX) {
                folders[n++] = path;
            } else if (S_ISREG(st.st_mode)) {
                add_path(l, path);
            }
        }
        if (d != NULL) {
            closedir(d);
        }
    }
}

static void read_one(struct assess *a, struct str path, char *buffer)
{
    struct str full = arena_printf(&a->arena, "%s/%.*s", a->root, STR_FMT(path));
    struct stat st;
    int fd = open(full.p, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > ASSESS_FILE_MAX) {
        a->passed_over++;
        if (fd >= 0) {
            close(fd);
        }
        return;
    }
    size_t n = 0;
    for (ssize_t got;
         n < (size_t)st.st_size && (got = read(fd, buffer + n, (size_t)st.st_size - n)) > 0;) {
        n += (size_t)got;
    }
    close(fd);
    a->files++;
    a->bytes += n;
    assess_text(a, &(struct origin){.path = path, .in_tree = true}, str_n(buffer, n));
}

static int compare(const void *x, const void *y)
{
    return str_cmp(*(const struct str *)x, *(const struct str *)y);
}

struct err assess_tree(struct assess *a)
{
    static const char *const args[] = {
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate", NULL};
    struct list l = {.a = a};
    struct stat st;
    ENSURE(stat(a->root, &st) == 0 && S_ISDIR(st.st_mode), ERR_NOT_FOUND, "%s is not a directory",
           a->root);
    buf_init(&l.partial, GIT_LINE_MAX);
    a->is_git = git_is_repository(a->root);
    if (!a->is_git || failed(git_run(a->root, args, on_names, &l))) {
        l.n = 0;
        walk(&l);
    }
    buf_release(&l.partial);
    qsort(l.paths, l.n, sizeof(*l.paths), compare);
    char *buffer = malloc(ASSESS_FILE_MAX);
    BUG_ON(buffer == NULL);
    for (size_t i = 0; i < l.n && !arena_exhausted(&a->arena); i++) {
        read_one(a, l.paths[i], buffer);
    }
    free(buffer);
    ENSURE(!arena_exhausted(&a->arena), ERR_LIMIT, "the tree needs more memory than %d MiB",
           ASSESS_ARENA_MAX >> 20);
    return OK;
}
