/* The tree, notes and proofs against our own cases; the outside vectors are in test/conformance. */
#include "audit/tlog/tlog.h"

#include "audit/tlog/files.h"
#include "audit/tlog/tlog_read.h"
#include "audit/tlog/verify.h"
#include "lib/base/codec.h"
#include "lib/tls/digest.h"
#include "test/unit.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
    strcpy(dir, "/tmp/sextant-tlog-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char cmd[128];
    snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
    assert_int_equal(system(cmd), 0);
}

static void add(struct tlog *t, unsigned from, unsigned n)
{
    struct buf b;
    buf_init(&b, JOURNAL_BATCH_MAX);
    for (unsigned i = from; i < from + n; i++) {
        char text[32];
        snprintf(text, sizeof(text), "leaf %u", i);
        bundle_put(&b, str_of(text));
    }
    uint64_t first;
    assert_ok(tlog_append(t, buf_str(&b), n, &first));
    assert_int_equal(first, from);
    buf_release(&b);
}

static void leaves_root(unsigned n, struct hash *root)
{
    struct merkle_range r = {.size = 0};
    for (unsigned i = 0; i < n; i++) {
        char text[32];
        struct hash h;
        snprintf(text, sizeof(text), "leaf %u", i);
        merkle_leaf(str_of(text), &h);
        merkle_append(&r, &h);
    }
    merkle_root(&r, root);
}

static void check_tree(struct tlog *t, unsigned n)
{
    struct checkpoint c;
    struct hash want;
    assert_ok(tlog_integrate(t, UINT64_MAX));
    assert_ok(tlog_promise(t, &c));
    assert_int_equal(c.size, n);
    leaves_root(n, &want);
    assert_memory_equal(c.root.b, want.b, 32);
}

static void publish(struct tlog *t)
{
    struct checkpoint c;
    struct buf b;
    struct secret seed;
    uint8_t pub[32], sig[64];
    struct note_key key;
    buf_init(&b, NOTE_MAX);
    assert_ok(secret_copy(&seed, S("0123456789abcdef0123456789abcdef")));
    assert_ok(ed25519_public(&seed, pub));
    assert_ok(note_key_make(S("example.com/log"), NOTE_ED25519, pub, &key));
    assert_ok(tlog_promise(t, &c));
    checkpoint_put(&b, &c);
    assert_ok(ed25519_sign(&seed, buf_str(&b), sig));
    buf_putc(&b, '\n');
    note_put_sig(&b, &key, str_n(sig, 64));
    assert_ok(tlog_publish(t, &c, buf_str(&b)));
    buf_release(&b);
    secret_release(&seed);
}

static void grows_and_reopens_at_every_shape(void **state)
{
    make_dir();
    struct tlog *t;
    static const unsigned sizes[] = {0, 1, 2, 255, 256, 257, 300, 512, 700, 65536 + 3, 65536 + 700};
    unsigned have = 0;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        assert_ok(tlog_open(dir, S("example.com/log"), &t));
        assert_int_equal(tlog_size(t), have);
        while (have < sizes[i]) {
            unsigned n = MIN(sizes[i] - have, 1000U);
            add(t, have, n);
            have += n;
        }
        check_tree(t, sizes[i]);
        publish(t);
        tlog_close(t);
    }
    remove_dir();
}

static void proves_what_it_published(void **state)
{
    make_dir();
    struct tlog *t;
    struct arena a;
    arena_init(&a, 1 << 20);
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    add(t, 0, 700);
    struct tlog_proof p;
    assert_err(tlog_prove(t, &a, 0, &p), ERR_NOT_FOUND);
    check_tree(t, 700);
    publish(t);
    struct note_key key;
    struct secret seed;
    uint8_t pub[32];
    assert_ok(secret_copy(&seed, S("0123456789abcdef0123456789abcdef")));
    assert_ok(ed25519_public(&seed, pub));
    assert_ok(note_key_make(S("example.com/log"), NOTE_ED25519, pub, &key));
    for (unsigned i = 0; i < 700; i += 37) {
        char text[32];
        struct str entry;
        struct checkpoint c;
        snprintf(text, sizeof(text), "leaf %u", i);
        assert_ok(tlog_prove(t, &a, i, &p));
        assert_ok(tlog_entry(t, &a, i, &entry));
        assert_str(entry, text);
        struct buf file;
        buf_init(&file, TLOG_PROOF_MAX);
        tlog_proof_put(&file, &p);
        struct tlog_proof back;
        assert_ok(tlog_proof_parse(&a, buf_str(&file), &back));
        assert_ok(tlog_proof_check(&a, &back, entry, &key, &c));
        assert_err(tlog_proof_check(&a, &back, S("leaf x"), &key, &c), ERR_SIGNATURE);
        buf_release(&file);
    }
    secret_release(&seed);
    tlog_close(t);
    arena_release(&a);
    remove_dir();
}

static void read_entries(struct tlog *t, unsigned n)
{
    struct arena a;
    arena_init(&a, 64 << 20);
    for (unsigned i = 0; i<n; i += i % 256> 250 ? 1 : 41) {
        char text[32];
        struct str entry;
        snprintf(text, sizeof(text), "leaf %u", i);
        assert_ok(tlog_entry(t, &a, i, &entry));
        assert_str(entry, text);
    }
    arena_release(&a);
}

static void entries_are_read_before_and_after_integration(void **state)
{
    make_dir();
    struct tlog *t;
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    add(t, 0, 600);
    read_entries(t, 600);
    assert_ok(tlog_integrate(t, 300));
    read_entries(t, 600);
    assert_ok(tlog_integrate(t, UINT64_MAX));
    read_entries(t, 600);
    tlog_close(t);
    remove_dir();
}

/* Cuts or spoils the newest journal segment at `at`; gives its path. */
static void spoil(off_t at, bool cut)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/journal/%020d", dir, 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    if (cut) {
        assert_int_equal(ftruncate(fd, at), 0);
    } else {
        char c;
        assert_int_equal(pread(fd, &c, 1, at), 1);
        c ^= 1;
        assert_int_equal(pwrite(fd, &c, 1, at), 1);
    }
    close(fd);
}

/* A kill at any byte of an append: the journal holds a prefix of the file; all synced batches stay. */
static void a_torn_last_batch_is_dropped(void **state)
{
    struct tlog *t;
    off_t batch1 = JOURNAL_BATCH_HEAD + 3 * 8, end = batch1 + JOURNAL_BATCH_HEAD + 2 * 8;
    for (off_t at = 0; at <= end; at++) {
        make_dir();
        assert_ok(tlog_open(dir, S("example.com/log"), &t));
        add(t, 0, 3);
        add(t, 3, 2);
        tlog_close(t);
        spoil(at, true);
        assert_ok(tlog_open(dir, S("example.com/log"), &t));
        unsigned want = at >= end ? 5 : at >= batch1 ? 3 : 0;
        assert_int_equal(tlog_size(t), want);
        add(t, want, 10);
        check_tree(t, want + 10);
        tlog_close(t);
        remove_dir();
    }
}

static void a_changed_journal_is_refused(void **state)
{
    struct tlog *t;
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    add(t, 0, 3);
    add(t, 3, 2);
    tlog_close(t);
    spoil(JOURNAL_BATCH_HEAD + 5, false);
    assert_err(tlog_open(dir, S("example.com/log"), &t), ERR_INVALID);
    remove_dir();
}

static void a_promise_is_kept_or_the_log_stops(void **state)
{
    struct tlog *t;
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    add(t, 0, 3);
    check_tree(t, 3);
    add(t, 3, 2);
    check_tree(t, 5);
    tlog_close(t);
    assert_err(tlog_open(dir, S("example.com/other"), &t), ERR_INVALID);
    spoil(JOURNAL_BATCH_HEAD + 3 * 8, true); /* the second batch is gone, its root was promised */
    assert_err(tlog_open(dir, S("example.com/log"), &t), ERR_INVALID);
    remove_dir();
}

static void one_process_owns_a_log(void **state)
{
    struct tlog *t, *u;
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    assert_err(tlog_open(dir, S("example.com/log"), &u), ERR_BUSY);
    tlog_close(t);
    remove_dir();
}

/* Fills several segments, retires them, and reopens from tiles alone. */
static void the_journal_is_dropped_below_synced_tiles(void **state)
{
    struct tlog *t;
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    struct buf b;
    struct merkle_range want = {.size = 0};
    static char text[30000];
    memset(text, 'x', sizeof(text));
    buf_init(&b, JOURNAL_BATCH_MAX);
    for (unsigned i = 0; i < 1500; i++) {
        snprintf(text, 16, "%015u", i);
        text[15] = ' ';
        struct hash h;
        bundle_put(&b, str_n(text, sizeof(text)));
        merkle_leaf(str_n(text, sizeof(text)), &h);
        merkle_append(&want, &h);
        if (i % 100 == 99) {
            uint64_t first;
            assert_ok(tlog_append(t, buf_str(&b), 100, &first));
            buf_clear(&b);
        }
    }
    assert_ok(tlog_integrate(t, UINT64_MAX));
    assert_ok(tlog_retire(t));
    publish(t);
    tlog_close(t);
    char path[128];
    snprintf(path, sizeof(path), "%s/journal/%020d", dir, 0);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    assert_ok(tlog_integrate(t, UINT64_MAX));
    struct checkpoint c;
    struct hash root;
    assert_ok(tlog_promise(t, &c));
    merkle_root(&want, &root);
    assert_int_equal(c.size, 1500);
    assert_memory_equal(c.root.b, root.b, 32);
    tlog_close(t);
    buf_release(&b);
    remove_dir();
}

/* A real kill -9 in the middle of appends, integration and checkpoints, many times over. */
static void survives_kill_nine(void **state)
{
    make_dir();
    unsigned acked = 0;
    for (int round = 0; round < 12; round++) {
        int pipe_fd[2];
        assert_int_equal(pipe(pipe_fd), 0);
        pid_t pid = fork();
        if (pid == 0) {
            struct tlog *t;
            if (failed(tlog_open(dir, S("example.com/log"), &t))) {
                _exit(9);
            }
            for (;;) {
                add(t, (unsigned)tlog_size(t), 7);
                unsigned n = (unsigned)tlog_size(t);
                if (write(pipe_fd[1], &n, sizeof(n)) != sizeof(n)) {
                    _exit(8);
                }
                ignore_err(tlog_integrate(t, 100));
                publish(t);
            }
        }
        unsigned first;
        close(pipe_fd[1]);
        assert_int_equal(read(pipe_fd[0], &first, sizeof(first)),
                         sizeof(first)); /* it is at work */
        acked = first;
        usleep(3000 + 2500 * (unsigned)round);
        kill(pid, 9);
        int status;
        waitpid(pid, &status, 0);
        assert_true(WIFSIGNALED(status));
        for (unsigned n; read(pipe_fd[0], &n, sizeof(n)) == sizeof(n);) {
            acked = n;
        }
        close(pipe_fd[0]);
        struct tlog *t;
        assert_ok(tlog_open(dir, S("example.com/log"), &t));
        assert_true(tlog_size(t) >= acked);
        assert_int_equal(tlog_size(t) % 7, 0);
        check_tree(t, (unsigned)tlog_size(t));
        tlog_close(t);
    }
    assert_true(acked > 0);
    remove_dir();
}

static struct note_key test_key(void)
{
    struct secret seed;
    struct note_key key;
    uint8_t pub[32];
    assert_ok(secret_copy(&seed, S("0123456789abcdef0123456789abcdef")));
    assert_ok(ed25519_public(&seed, pub));
    assert_ok(note_key_make(S("example.com/log"), NOTE_ED25519, pub, &key));
    secret_release(&seed);
    return key;
}

static struct verify_result verify(struct arena *a)
{
    char path[128];
    struct verify_result r;
    struct note_key key = test_key();
    snprintf(path, sizeof(path), "%s/log", dir);
    int fd = open(path, O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    assert_ok(tlog_verify(a, fd, &key, NULL, NULL, &r));
    close(fd);
    return r;
}

static void flip(const char *file, off_t at)
{
    char path[160], c;
    snprintf(path, sizeof(path), "%s/log/%s", dir, file);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c ^= 1;
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void tampering_is_found_and_named(void **state)
{
    struct arena a;
    struct tlog *t;
    arena_init(&a, 16 << 20);
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    add(t, 0, 1000);
    check_tree(t, 1000);
    publish(t);
    tlog_close(t);
    struct verify_result r = verify(&a);
    assert_true(r.good);
    assert_int_equal(r.checkpoint.size, 1000);

    flip("tile/entries/001", 4); /* inside entry 256: "leaf 256" */
    r = verify(&a);
    assert_false(r.good);
    assert_true(r.has_entry);
    assert_int_equal(r.entry, 256);
    flip("tile/entries/001", 4);

    flip("tile/0/003.p/232", 32 * 7);
    r = verify(&a);
    assert_false(r.good);
    assert_int_equal(r.entry, 3 * 256 + 7);
    flip("tile/0/003.p/232", 32 * 7);

    flip("tile/1/000.p/3", 32 + 1);
    r = verify(&a);
    assert_false(r.good);
    assert_non_null(strstr(r.what, "tile/1/000.p/3"));
    assert_int_equal(r.entry, 256);
    flip("tile/1/000.p/3", 32 + 1);

    flip("tile/entries/002", 1); /* the length of an entry */
    assert_false(verify(&a).good);
    flip("tile/entries/002", 1);

    char path[160]; /* an older partial bundle, as earlier checkpoints left it */
    snprintf(path, sizeof(path), "cd %s/log/tile/entries/003.p && head -c 1600 232 > 160", dir);
    assert_int_equal(system(path), 0);
    assert_true(verify(&a).good);
    flip("tile/entries/003.p/160", 10 * 53 + 4);
    r = verify(&a);
    assert_false(r.good);
    assert_int_equal(r.entry, 3 * 256 + 53);
    flip("tile/entries/003.p/160", 10 * 53 + 4);

    flip("checkpoint", 17); /* the size */
    r = verify(&a);
    assert_false(r.good);
    assert_non_null(strstr(r.what, "checkpoint"));
    flip("checkpoint", 17);
    assert_true(verify(&a).good);
    arena_release(&a);
    remove_dir();
}

/* Somebody who makes entry, leaf and all tiles agree again is stopped by the signed root alone. */
static void a_consistent_forgery_does_not_match_the_signature(void **state)
{
    struct arena a;
    struct tlog *t;
    struct str checkpoint;
    arena_init(&a, 16 << 20);
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    add(t, 0, 300);
    check_tree(t, 300);
    publish(t);
    int fd = tlog_folder(t);
    assert_ok(file_read(&a, fd, "checkpoint", NOTE_MAX, &checkpoint));
    tlog_close(t);
    remove_dir();
    make_dir();
    assert_ok(tlog_open(dir, S("example.com/log"), &t));
    struct buf b;
    uint64_t first;
    buf_init(&b, JOURNAL_BATCH_MAX);
    for (unsigned i = 0; i < 300; i++) {
        char text[32];
        snprintf(text, sizeof(text), i == 17 ? "forged" : "leaf %u", i);
        bundle_put(&b, str_of(text));
    }
    assert_ok(tlog_append(t, buf_str(&b), 300, &first));
    assert_ok(tlog_integrate(t, UINT64_MAX));
    publish(t);
    assert_ok(file_replace(tlog_folder(t), "checkpoint", checkpoint, false));
    tlog_close(t);
    struct verify_result r = verify(&a);
    assert_false(r.good);
    assert_non_null(strstr(r.what, "root"));
    buf_release(&b);
    arena_release(&a);
    remove_dir();
}

static void tile_paths_are_spelt_one_way(void **state)
{
    static const struct {
        const char *path;
        struct tile_name name;
    } good[] = {
        {"tile/0/000", {false, 0, 0, 256}},
        {"tile/3/x001/x234/067.p/8", {false, 3, 1234067, 8}},
        {"tile/entries/x123/x456/789", {true, 0, 123456789, 256}},
        {"tile/63/001.p/255", {false, 63, 1, 255}},
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char path[TILE_PATH_MAX];
        struct tile_name t;
        tile_path(&good[i].name, path);
        assert_string_equal(path, good[i].path);
        assert_ok(tile_path_parse(str_of(path), &t));
        assert_int_equal(t.n, good[i].name.n);
        assert_int_equal(t.width, good[i].name.width);
    }
    static const char *const bad[] = {"",
                                      "tile/",
                                      "tile/0",
                                      "tile/0/",
                                      "tile/0/0",
                                      "tile/0/00",
                                      "tile/00/000",
                                      "tile/64/000",
                                      "tile/0/x000/001",
                                      "tile/0/000/001",
                                      "tile/0/x001",
                                      "tile/0/000.p/0",
                                      "tile/0/000.p/256",
                                      "tile/0/000.p/01",
                                      "tile/0/000.p",
                                      "tile/0/000/",
                                      "tile/-1/000",
                                      "tile/entries/x/000",
                                      "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
                                      "tile/../000"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct tile_name t;
        assert_true(failed(tile_path_parse(str_of(bad[i]), &t)));
    }
}

static void bundles_are_bounded(void **state)
{
    struct str entry;
    bool end;
    struct bundle_reader b = bundle_open(S("\x00\x02"
                                           "ab\x00\x05"
                                           "abc"));
    assert_ok(bundle_next(&b, &entry, &end));
    assert_str(entry, "ab");
    assert_err(bundle_next(&b, &entry, &end), ERR_SYNTAX);
    b = bundle_open(S("\x00"));
    assert_err(bundle_next(&b, &entry, &end), ERR_SYNTAX);
    struct buf many;
    buf_init(&many, 4096);
    for (int i = 0; i < 257; i++) {
        bundle_put(&many, STR_EMPTY);
    }
    b = bundle_open(buf_str(&many));
    for (int i = 0; i < 256; i++) {
        assert_ok(bundle_next(&b, &entry, &end));
    }
    assert_err(bundle_next(&b, &entry, &end), ERR_SYNTAX);
    buf_release(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tile_paths_are_spelt_one_way),
        cmocka_unit_test(bundles_are_bounded),
        cmocka_unit_test(grows_and_reopens_at_every_shape),
        cmocka_unit_test(proves_what_it_published),
        cmocka_unit_test(entries_are_read_before_and_after_integration),
        cmocka_unit_test(a_torn_last_batch_is_dropped),
        cmocka_unit_test(a_changed_journal_is_refused),
        cmocka_unit_test(a_promise_is_kept_or_the_log_stops),
        cmocka_unit_test(one_process_owns_a_log),
        cmocka_unit_test(the_journal_is_dropped_below_synced_tiles),
        cmocka_unit_test(tampering_is_found_and_named),
        cmocka_unit_test(a_consistent_forgery_does_not_match_the_signature),
        cmocka_unit_test(survives_kill_nine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
