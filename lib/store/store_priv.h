/* store_priv: what store.c and batch.c share. */
#ifndef SEXTANT_STORE_PRIV_H
#define SEXTANT_STORE_PRIV_H

#include "store.h"

#include <sqlite3.h>

struct stmt {
    struct store *store;
    sqlite3_stmt *handle;
    const char *sql;
    struct stmt *next;
    int bind_error; /* first SQLITE_* of a failed bind; shown by the next step */
};

struct batch_entry {
    struct err (*write)(void *ctx);
    void (*done)(void *ctx, struct err e);
    void *ctx;
    struct err result;
    char *detail; /* of a failed write, until its done; owned, NULL ok */
};

struct store {
    sqlite3 *db;
    struct stmt *stmts;
    char *path;
    bool in_transaction;
    struct loop *loop;
    struct timer *flush_timer;
    struct batch_entry *queue;
    size_t n_queue, cap_queue;
    bool flushing;
    struct store_stats stats;
};

/* Turns an SQLite result code into an error; `doing` says what failed. */
struct err store_error(struct store *s, int rc, const char *doing);

/* Fails everything that waits in the queue. */
void store_batch_abandon(struct store *s);

#endif
