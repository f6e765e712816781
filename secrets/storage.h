/*
 * storage: named values, encrypted by the barrier, in one SQLite file.
 *
 * Writes of one turn of the loop share one transaction: the first opens it, and it is committed (one
 * fsync) before the loop waits again; storage_commit() says when. Reads see what was written in the
 * same turn. When a commit fails nothing of the turn is stored, every waiter is told, and
 * `on_failure` runs: what is in memory is then ahead of the disk and must be loaded again.
 *
 *     TRY(storage_put(st, S("logical/x/a"), value));
 *     storage_commit(st, answer, request);       answer(request, OK) once it is durable
 *
 * Paths are stored in the clear; values never are, except the few of storage_put_plain (the seal's
 * own configuration).
 */
#ifndef SEXTANT_SECRETS_STORAGE_H
#define SEXTANT_SECRETS_STORAGE_H

#include "barrier.h"
#include "lib/json/json.h"

struct loop;
struct storage;

enum { STORAGE_PATH_MAX = 2048 };

/* `loop` NULL: every write is committed at storage_commit(). */
struct err storage_open(const char *file, struct loop *loop, struct storage **out);
void storage_close(struct storage *st);                          /* NULL ok */
void storage_set_barrier(struct storage *st, struct barrier *b); /* borrowed; NULL: sealed */
struct barrier *storage_barrier(const struct storage *st);
void storage_on_failure(struct storage *st, void (*fn)(void *ctx), void *ctx);

struct err storage_put(struct storage *st, struct str path, struct str value);
struct err storage_del(struct storage *st, struct str path);
/* *found tells whether there is a value; it lives in the arena. ERR_SEALED without a barrier. */
struct err storage_get(struct storage *st, struct arena *a, struct str path, struct str *value,
                       bool *found);
/* As JSON: NULL when absent. */
struct err storage_get_json(struct storage *st, struct arena *a, struct str path,
                            struct json **out);
struct err storage_put_json(struct storage *st, struct str path, const struct json *v);

/*
 * Names directly below `prefix` (which ends in '/'), folders with a '/' at the end, in order.
 * Pushes strings to `names`; at most `max` of them.
 */
struct err storage_list(struct storage *st, struct arena *a, struct str prefix, size_t max,
                        struct json *names);
/* Calls fn for each value below `prefix`; stops at the first error. fn must not write. */
struct err storage_each(struct storage *st, struct str prefix,
                        struct err (*fn)(void *ctx, struct str path, struct str value), void *ctx);
struct err storage_del_prefix(struct storage *st, struct str prefix);

struct err storage_put_plain(struct storage *st, struct str path, struct str value);
struct err storage_get_plain(struct storage *st, struct arena *a, struct str path,
                             struct str *value, bool *found);

/*
 * Calls done(ctx, e) when everything written so far is durable; at once when nothing is waiting.
 */
void storage_commit(struct storage *st, void (*done)(void *ctx, struct err e), void *ctx);
bool storage_dirty(const struct storage *st);

#endif
