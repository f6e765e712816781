/*
 * git: reads a repository through the git program.
 *
 * `git` is run with no configuration but the repository's own, with file system monitors, hooks,
 * filters and text conversion out of play, so that a repository under assessment runs nothing.
 */
#ifndef SEXTANT_ASSESS_GIT_H
#define SEXTANT_ASSESS_GIT_H

#include "lib/base/buf.h"

enum { GIT_TIMEOUT_MS = 20 * 60 * 1000, GIT_LINE_MAX = 8192, GIT_OID_MAX = 64 };

/* Bytes of the program's output, in pieces; an error stops it. */
typedef struct err (*git_output)(void *ctx, struct str piece);

/* Runs `git -C dir ARGS...` (at most 24 arguments, NULL-terminated). ERR_NOT_FOUND without git, ERR_IO when it fails. */
struct err git_run(const char *dir, const char *const *args, git_output fn, void *ctx);
bool git_is_repository(const char *dir);

/*
 * The reader of `git cat-file --batch --batch-all-objects`: a stream of "OID TYPE SIZE\n" headers,
 * each followed by SIZE bytes and a newline. Objects over `max` are passed over.
 */
struct git_objects {
    void (*on_blob)(void *ctx, struct str oid, struct str content);
    void *ctx;
    size_t max;
    struct buf head, content;
    char oid[GIT_OID_MAX + 1];
    uint64_t left; /* bytes of the object, and its newline, still to come */
    bool in_object, wanted;
    size_t blobs, passed_over;
};

void git_objects_init(struct git_objects *g, size_t max,
                      void (*on_blob)(void *, struct str, struct str), void *ctx);
void git_objects_release(struct git_objects *g);
struct err git_objects_feed(struct git_objects *g, struct str piece); /* ERR_SYNTAX */

#endif
