#include "store.h"

#include "test/unit.h"

#include "lib/loop/loop.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64], path[96];

static const char *const schema_1[] = {
    "CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT", NULL};
static const char *const schema_2[] = {
    "CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT",
    "ALTER TABLE kv ADD COLUMN n INTEGER NOT NULL DEFAULT 7", NULL};
static const char *const schema_bad[] = {
    "CREATE TABLE kv(k TEXT PRIMARY KEY, v BLOB NOT NULL) STRICT",
    "CREATE TABLE half(x INTEGER) STRICT; CREATE TABLE kv(again INTEGER)", NULL};

static struct err put(struct store *s, const char *k, struct str v)
{
    struct stmt *q;
    TRY(store_stmt(s, "INSERT INTO kv(k, v) VALUES(?, ?)", &q));
    stmt_bind_str(q, 1, str_of(k));
    stmt_bind_blob(q, 2, v);
    return stmt_run(q);
}

static int64_t count(struct store *s)
{
    struct stmt *q;
    bool row = false;
    assert_ok(store_stmt(s, "SELECT count(*) FROM kv", &q));
    assert_ok(stmt_step(q, &row));
    assert_true(row);
    int64_t n = stmt_col_int(q, 0);
    stmt_reset(q);
    return n;
}

static void test_round_trip(void **state)
{
    struct store *s;
    struct stmt *q;
    struct stat st;
    bool row;
    assert_ok(store_open(path, schema_1, &s));
    assert_ok(put(s, "a", str_n("x\0y", 3)));
    assert_ok(put(s, "empty", STR_EMPTY));
    assert_err(put(s, "a", S("again")), ERR_EXISTS);
    assert_ok(store_stmt(s, "SELECT v FROM kv WHERE k = ?", &q));
    stmt_bind_str(q, 1, S("a"));
    assert_ok(stmt_step(q, &row));
    assert_true(row && str_eq(stmt_col_str(q, 0), str_n("x\0y", 3)));
    assert_ok(stmt_step(q, &row));
    assert_false(row);
    stmt_bind_str(q, 1, S("none"));
    assert_ok(stmt_step(q, &row));
    assert_false(row);
    store_close(s);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_ok(store_open(path, schema_1, &s));
    assert_int_equal(count(s), 2);
    store_close(s);
}

static void test_migrations(void **state)
{
    struct store *s;
    struct stmt *q;
    bool row;
    assert_ok(store_open(path, schema_1, &s));
    assert_ok(put(s, "old", S("1")));
    store_close(s);
    assert_err(store_open(path, schema_bad, &s), ERR_IO);
    assert_ok(store_open(path, schema_2, &s));
    assert_ok(store_stmt(s, "SELECT n FROM kv", &q));
    assert_ok(stmt_step(q, &row));
    assert_int_equal(stmt_col_int(q, 0), 7);
    stmt_reset(q);
    store_close(s);
    assert_err(store_open(path, schema_1, &s), ERR_UNSUPPORTED);
}

static void test_transactions(void **state)
{
    struct store *s;
    assert_ok(store_open(path, schema_1, &s));
    assert_ok(store_begin(s));
    assert_ok(put(s, "a", S("1")));
    store_rollback(s);
    assert_int_equal(count(s), 0);
    assert_ok(store_begin(s));
    assert_ok(put(s, "a", S("1")));
    assert_ok(store_commit(s));
    assert_int_equal(count(s), 1);
    store_close(s);
}

/* A database that may not grow answers as a full disk does. */
static void test_disk_full(void **state)
{
    static char big[64 * 1024];
    struct store *s;
    assert_ok(store_open(path, schema_1, &s));
    assert_ok(put(s, "kept", S("1")));
    assert_ok(store_exec(s, "PRAGMA max_page_count = 10"));
    assert_ok(store_begin(s));
    assert_ok(put(s, "lost", S("1")));
    assert_err(put(s, "big", str_n(big, sizeof(big))), ERR_LIMIT);
    store_rollback(s);
    assert_int_equal(count(s), 1);
    assert_ok(store_exec(s, "PRAGMA max_page_count = 10000"));
    assert_ok(put(s, "big", str_n(big, sizeof(big))));
    assert_int_equal(count(s), 2);
    store_close(s);
}

struct writer {
    struct store *s;
    struct loop *loop;
    const char *key;
    size_t size;
    int *left;
    bool called;
    struct err result;
};

static struct err write_one(void *ctx)
{
    static char zeros[64 * 1024];
    struct writer *w = ctx;
    return put(w->s, w->key, str_n(zeros, w->size));
}

static void write_done(void *ctx, struct err e)
{
    struct writer *w = ctx;
    w->called = true;
    w->result = e;
    if (w->left != NULL && --*w->left == 0) {
        loop_stop(w->loop);
    }
}

static void test_batch_shares_a_commit(void **state)
{
    struct loop *loop;
    struct store *s;
    assert_ok(loop_new(&loop));
    assert_ok(store_open(path, schema_1, &s));
    store_attach(s, loop);
    static const char *const keys[] = {"a", "b", "a", "c"};
    struct writer w[4];
    int left = 4;
    uint64_t before = store_stats(s).commits;
    for (size_t i = 0; i < 4; i++) {
        w[i] = (struct writer){.s = s, .loop = loop, .key = keys[i], .size = 1, .left = &left};
        store_batch(s, write_one, write_done, &w[i]);
    }
    assert_false(w[0].called);
    loop_run(loop);
    assert_int_equal(store_stats(s).commits - before, 1);
    assert_false(failed(w[0].result) || failed(w[1].result) || failed(w[3].result));
    assert_int_equal(w[2].result.code, ERR_EXISTS);
    assert_int_equal(count(s), 3);
    store_close(s);
    loop_free(loop);
}

static void test_batch_on_a_full_disk(void **state)
{
    struct store *s;
    assert_ok(store_open(path, schema_1, &s));
    struct writer kept = {.s = s, .key = "kept", .size = 1};
    store_batch(s, write_one, write_done, &kept);
    assert_true(kept.called && !failed(kept.result));
    assert_ok(store_exec(s, "PRAGMA max_page_count = 10"));
    struct writer big = {.s = s, .key = "big", .size = 60000};
    store_batch(s, write_one, write_done, &big);
    assert_int_equal(big.result.code, ERR_LIMIT);
    assert_int_equal(count(s), 1);
    store_close(s);
}

static void test_close_tells_the_waiting(void **state)
{
    struct loop *loop;
    struct store *s;
    assert_ok(loop_new(&loop));
    assert_ok(store_open(path, schema_1, &s));
    store_attach(s, loop);
    struct writer w = {.s = s, .key = "late", .size = 1};
    store_batch(s, write_one, write_done, &w);
    store_close(s);
    assert_true(w.called);
    assert_int_equal(w.result.code, ERR_CLOSED);
    loop_free(loop);
}

/* What was acknowledged is there after the process is gone without a word. */
static void test_kill(void **state)
{
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        struct store *s;
        if (failed(store_open(path, schema_1, &s)) || failed(put(s, "acknowledged", S("1"))) ||
            failed(store_begin(s)) || failed(put(s, "not", S("1")))) {
            _exit(1);
        }
        kill(getpid(), SIGKILL);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    struct store *s;
    assert_ok(store_open(path, schema_1, &s));
    assert_int_equal(count(s), 1);
    store_close(s);
}

static void test_not_a_database(void **state)
{
    struct store *s;
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    for (int i = 0; i < 1000; i++) {
        fputs("this is no database ", f);
    }
    fclose(f);
    assert_err(store_open(path, schema_1, &s), ERR_SYNTAX);
    assert_err(store_open("/nowhere/x.db", schema_1, &s), ERR_IO);
}

static int setup(void **state)
{
    snprintf(dir, sizeof(dir), "/tmp/store-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/x.db", dir);
    return 0;
}

static int teardown(void **state)
{
    static const char *const suffix[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(suffix); i++) {
        char name[128];
        snprintf(name, sizeof(name), "%s%s", path, suffix[i]);
        unlink(name);
    }
    return rmdir(dir);
}

#define CASE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),
        CASE(test_migrations),
        CASE(test_transactions),
        CASE(test_disk_full),
        CASE(test_batch_shares_a_commit),
        CASE(test_batch_on_a_full_disk),
        CASE(test_close_tells_the_waiting),
        CASE(test_kill),
        CASE(test_not_a_database),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
