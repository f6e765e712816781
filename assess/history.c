/*
 * Every blob Git still has. Where a blob first came in is read from the log (oldest first); a blob
 * that no commit reaches (amended, rebased, dropped) is one that a clone may still hold.
 */
#include "assess.h"
#include "git.h"

struct place {
    struct str path, commit;
};

struct history {
    struct assess *a;
    struct map blobs; /* oid to struct place */
    struct buf line;
    struct str commit; /* of the log lines that follow */
};

/* ":100644 100644 OLD NEW M\tPATH", or "commit OID". */
static void on_log_line(struct history *h, struct str line)
{
    if (str_starts(line, S("commit "))) {
        h->commit = arena_str(&h->a->arena, str_sub(line, 7, MIN(line.n, (size_t)7 + 12)));
        return;
    }
    if (line.n == 0 || line.p[0] != ':') {
        return;
    }
    struct str rest = line;
    str_split(&rest, ' ');
    str_split(&rest, ' ');
    str_split(&rest, ' ');
    struct str oid = str_split(&rest, ' ');
    str_split(&rest, '\t');
    if (rest.p == NULL || map_get(&h->blobs, oid) != NULL) {
        return;
    }
    struct place *p = arena_new(&h->a->arena, struct place);
    *p = (struct place){arena_str(&h->a->arena, rest), h->commit};
    map_set(&h->blobs, oid, p);
}

static struct err on_log(void *ctx, struct str piece)
{
    struct history *h = ctx;
    for (size_t i = 0; i < piece.n; i++) {
        if (piece.p[i] != '\n') {
            buf_putc(&h->line, piece.p[i]);
            continue;
        }
        if (buf_ok(&h->line)) {
            on_log_line(h, buf_str(&h->line));
        }
        buf_clear(&h->line);
    }
    ENSURE(!arena_exhausted(&h->a->arena), ERR_LIMIT, "the history is too long for %d MiB",
           ASSESS_ARENA_MAX >> 20);
    return OK;
}

static void on_blob(void *ctx, struct str oid, struct str content)
{
    struct history *h = ctx;
    const struct place *p = map_get(&h->blobs, oid);
    struct origin o = {.path = p != NULL ? p->path
                                         : arena_printf(&h->a->arena, "blob %.*s",
                                                        (int)MIN(oid.n, (size_t)12), oid.p),
                       .commit = p != NULL ? p->commit : S("unreachable")};
    h->a->blobs++;
    h->a->unreachable += p == NULL;
    assess_text(h->a, &o, content);
}

static struct err feed(void *ctx, struct str piece)
{
    return git_objects_feed(ctx, piece);
}

struct err assess_history(struct assess *a)
{
    static const char *const log[] = {"log",
                                      "--all",
                                      "--reflog",
                                      "--reverse",
                                      "--raw",
                                      "--no-abbrev",
                                      "--no-renames",
                                      "-m",
                                      "--no-ext-diff",
                                      "--no-textconv",
                                      "--no-show-signature",
                                      "--format=commit %H",
                                      NULL};
    static const char *const objects[] = {"cat-file",    "--batch",  "--batch-all-objects",
                                          "--unordered", "--buffer", NULL};
    struct history h = {.a = a};
    struct git_objects g;
    if (!a->is_git || !a->with_history) {
        return OK;
    }
    map_init(&h.blobs);
    buf_init(&h.line, GIT_LINE_MAX);
    ignore_err(git_run(a->root, log, on_log, &h)); /* a repository without commits has no log */
    git_objects_init(&g, ASSESS_FILE_MAX, on_blob, &h);
    struct err e = git_run(a->root, objects, feed, &g);
    a->passed_over += g.passed_over;
    git_objects_release(&g);
    buf_release(&h.line);
    map_release(&h.blobs);
    return e;
}
