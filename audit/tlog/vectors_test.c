/* The outside vectors of tlog/: roots, proofs, proof probes, tile hashes, notes, and a foreign log. */
#include "audit/tlog/checkpoint.h"
#include "audit/tlog/files.h"
#include "audit/tlog/tiles.h"
#include "audit/tlog/tlog_read.h"
#include "lib/base/codec.h"
#include "lib/json/json.h"
#include "lib/tls/digest.h"
#include "test/unit.h"

#include <fcntl.h>
#include <unistd.h>

static struct arena arena;
static int folder = -1;

static struct json *load(const char *name)
{
    struct str text;
    struct json *v;
    assert_ok(file_read(&arena, folder, name, 1 << 20, &text));
    assert_ok(json_parse(&arena, text, NULL, &v));
    return v;
}

static uint64_t number(const struct json *v, const char *key)
{
    uint64_t n;
    assert_ok(json_u64(json_get(v, key), &n));
    return n;
}

/* Decodes a list of hashes; false when one is not a hash. */
static bool hashes(const struct json *list, bool hex, struct hash *out, size_t *n)
{
    *n = list != NULL && json_is(list, JSON_ARRAY) ? list->n : 0;
    for (size_t i = 0; i < *n; i++) {
        struct str bytes, text = json_str(list->items[i]);
        struct err e = hex ? hex_decode(&arena, text, &bytes)
                           : base64_decode(&arena, text, BASE64_STD, &bytes);
        if (failed(e) || failed(hash_of_bytes(bytes, &out[i]))) {
            return false;
        }
    }
    return true;
}

static bool one_hash(const struct json *v, bool hex, struct hash *out)
{
    struct str bytes;
    struct err e = hex ? hex_decode(&arena, json_str(v), &bytes)
                       : base64_decode(&arena, json_str(v), BASE64_STD, &bytes);
    return !failed(e) && !failed(hash_of_bytes(bytes, out));
}

static bool inclusion_holds(const struct json *c)
{
    struct hash path[MERKLE_PROOF_MAX], leaf, root;
    size_t n;
    return hashes(json_get(c, "proof"), false, path, &n) &&
           one_hash(json_get(c, "leafHash"), false, &leaf) &&
           one_hash(json_get(c, "root"), false, &root) &&
           !failed(merkle_check_inclusion(number(c, "leafIdx"), number(c, "treeSize"), &leaf, path,
                                          n, &root));
}

/* Some probes write "don't care 1" where a root has no part in the case: any hash will do there. */
static bool root_hash(const struct json *v, struct hash *out)
{
    struct str text;
    if (!failed(base64_decode(&arena, json_str(v), BASE64_STD, &text)) &&
        str_starts(text, S("don't care"))) {
        sha256_of(text, out->b);
        return true;
    }
    return one_hash(v, false, out);
}

static bool consistency_holds(const struct json *c)
{
    struct hash path[MERKLE_PROOF_MAX], root1, root2;
    size_t n;
    return hashes(json_get(c, "proof"), false, path, &n) &&
           root_hash(json_get(c, "root1"), &root1) && root_hash(json_get(c, "root2"), &root2) &&
           !failed(merkle_check_consistency(number(c, "size1"), number(c, "size2"), path, n, &root1,
                                            &root2));
}

static void run_probes(const char *file, bool (*holds)(const struct json *), size_t at_least)
{
    struct json *cases = load(file);
    for (uint32_t i = 0; i < cases->n; i++) {
        const struct json *c = cases->items[i];
        if (holds(c) == json_true(json_get(c, "wantErr"))) {
            fail_msg("%s: %.*s: %.*s", file, STR_FMT(json_str(json_get(c, "name"))),
                     STR_FMT(json_str(json_get(c, "desc"))));
        }
    }
    assert_true(cases->n >= at_least);
    print_message("%s: %u probes\n", file, cases->n);
}

static void proof_probes(void **state)
{
    run_probes("merkle-inclusion.json", inclusion_holds, 98);
    run_probes("merkle-consistency.json", consistency_holds, 98);
}

/* All leaves of the 70 000-leaf example, by level, so that proofs can be made without a log. */
static struct hash *levels[18];
static size_t level_n[18];

static struct err fetch(void *ctx, unsigned level, uint64_t index, struct hash *out)
{
    assert_true(level < 18 && index < level_n[level]);
    *out = levels[level][index];
    return OK;
}

static void build_levels(void)
{
    level_n[0] = 70000;
    for (unsigned l = 0; l < 18; l++) {
        if (l > 0) {
            level_n[l] = level_n[l - 1] / 2;
        }
        levels[l] = calloc(level_n[l] + 1, sizeof(struct hash));
        for (size_t i = 0; i < level_n[l]; i++) {
            char text[32];
            if (l == 0) {
                snprintf(text, sizeof(text), "leaf %zu", i);
                merkle_leaf(str_of(text), &levels[0][i]);
            } else {
                merkle_node(&levels[l - 1][2 * i], &levels[l - 1][2 * i + 1], &levels[l][i]);
            }
        }
    }
}

static const struct merkle_source source = {fetch, NULL};

static void roots_and_proofs(void **state)
{
    struct json *v = load("rfc6962-roots.json");
    const struct json *roots = json_path(v, "leaf_n.roots_hex");
    for (uint32_t i = 0; i < roots->n; i++) {
        uint64_t size;
        struct hash want, got;
        assert_ok(str_to_u64(roots->members[i].key, &size));
        assert_true(one_hash(roots->members[i].value, true, &want));
        assert_ok(merkle_root_at(&source, size, &got));
        assert_memory_equal(&want, &got, sizeof(want));
    }
    const struct json *list = json_get(v, "leaf_n_inclusion");
    for (uint32_t i = 0; i < list->n; i++) {
        struct merkle_proof p;
        struct hash path[MERKLE_PROOF_MAX];
        size_t n;
        assert_ok(merkle_prove_inclusion(&source, number(list->items[i], "index"),
                                         number(list->items[i], "size"), &p));
        assert_true(hashes(json_get(list->items[i], "proof_hex"), true, path, &n));
        assert_int_equal(n, p.n);
        assert_memory_equal(path, p.path, n * sizeof(struct hash));
    }
    list = json_get(v, "leaf_n_consistency");
    for (uint32_t i = 0; i < list->n; i++) {
        struct merkle_proof p;
        struct hash path[MERKLE_PROOF_MAX], r1, r2;
        size_t n;
        uint64_t s1 = number(list->items[i], "size1"), s2 = number(list->items[i], "size2");
        assert_ok(merkle_prove_consistency(&source, s1, s2, &p));
        assert_true(hashes(json_get(list->items[i], "proof_hex"), true, path, &n));
        assert_int_equal(n, p.n);
        assert_memory_equal(path, p.path, n * sizeof(struct hash));
        assert_ok(merkle_root_at(&source, s1, &r1));
        assert_ok(merkle_root_at(&source, s2, &r2));
        assert_ok(merkle_check_consistency(s1, s2, p.path, p.n, &r1, &r2));
    }
}

static void reference_leaves(void **state)
{
    struct json *v = load("rfc6962-roots.json");
    const struct json *leaves = json_get(v, "reference_leaves_hex");
    struct merkle_range r = {.size = 0};
    for (uint32_t i = 0; i <= leaves->n; i++) {
        char key[8];
        struct hash want, got, h;
        struct str bytes;
        snprintf(key, sizeof(key), "%u", i);
        assert_true(one_hash(json_get(json_get(v, "reference_roots_hex"), key), true, &want));
        merkle_root(&r, &got);
        assert_memory_equal(&want, &got, sizeof(want));
        if (i < leaves->n) {
            assert_ok(hex_decode(&arena, json_str(leaves->items[i]), &bytes));
            merkle_leaf(bytes, &h);
            merkle_append(&r, &h);
        }
    }
}

static void tile_hashes_and_paths(void **state)
{
    struct json *v = load("rfc6962-roots.json");
    const struct json *tiles = json_path(v, "tiles_70000.tile_sha256");
    for (uint32_t i = 0; i < tiles->n; i++) {
        struct tile_name t;
        struct hash want;
        uint8_t got[SHA256_BYTES];
        assert_ok(tile_path_parse(tiles->members[i].key, &t));
        assert_true(one_hash(tiles->members[i].value, true, &want));
        sha256_of(str_n(&levels[8 * t.level][t.n * TILE_WIDTH], t.width * sizeof(struct hash)),
                  got);
        assert_memory_equal(want.b, got, sizeof(got));
    }
    const struct json *paths = json_get(v, "index_paths");
    for (uint32_t i = 0; i < paths->n; i++) {
        struct tile_name t = {.width = TILE_WIDTH};
        char path[TILE_PATH_MAX];
        assert_ok(str_to_u64(paths->members[i].key, &t.n));
        tile_path(&t, path);
        assert_true(str_is(json_str(paths->members[i].value), path + 7));
    }
}

static void notes(void **state)
{
    struct json *v = load("notes.json");
    const struct json *list = json_get(v, "notes");
    for (uint32_t i = 0; i < list->n; i++) {
        const struct json *c = list->items[i];
        struct note_key key;
        struct note n;
        struct err e = note_key_parse(&arena, json_str(json_get(c, "vkey")), &key);
        e = failed(e) ? e : note_parse(&arena, json_str(json_get(c, "note")), &n);
        e = failed(e) ? e : note_verify(&n, &key, 1, NULL);
        if (failed(e) == json_true(json_get(c, "verifies"))) {
            fail_msg("note '%.*s': %s", STR_FMT(json_str(json_get(c, "desc"))), err_detail());
        }
    }
    list = json_get(v, "bad_vkeys");
    for (uint32_t i = 0; i < list->n; i++) {
        struct note_key key;
        assert_true(failed(note_key_parse(&arena, json_str(list->items[i]), &key)));
    }
}

static void proof_files(void **state)
{
    struct json *v = load("tlog-proof.json");
    const struct json *good = json_get(v, "ok");
    struct tlog_proof p;
    struct checkpoint c;
    struct note n;
    struct note_key key, witnesses[2];
    assert_ok(tlog_proof_parse(&arena, json_str(json_get(good, "proof")), &p));
    assert_ok(note_key_parse(&arena, json_str(json_get(good, "log_vkey")), &key));
    assert_ok(tlog_proof_check(&arena, &p, json_str(json_get(good, "leaf_utf8")), &key, &c));
    for (uint32_t i = 0; i < 2; i++) {
        assert_ok(note_key_parse(&arena, json_str(json_get(good, "witness_vkeys")->items[i]),
                                 &witnesses[i]));
    }
    bool signed_by[2];
    assert_ok(note_parse(&arena, p.checkpoint, &n));
    assert_ok(note_verify(&n, witnesses, 2, signed_by));
    assert_true(signed_by[0] && signed_by[1]);
    struct buf again;
    buf_init(&again, TLOG_PROOF_MAX);
    tlog_proof_put(&again, &p);
    assert_true(str_eq(buf_str(&again), json_str(json_get(good, "proof"))));
    buf_release(&again);
    const struct json *bad = json_get(v, "bad");
    for (uint32_t i = 0; i < bad->n; i++) {
        if (!failed(tlog_proof_parse(&arena, json_str(json_get(bad->items[i], "proof")), &p))) {
            fail_msg("accepted a proof file with a bad %.*s",
                     STR_FMT(json_str(json_get(bad->items[i], "why"))));
        }
    }
}

/* A log written by another program: every size's checkpoint, and every entry proved under it. */
static void a_foreign_log_is_read(void **state)
{
    struct json *v = load("notes.json");
    struct note_key key;
    assert_ok(note_key_parse(&arena, json_str(json_path(v, "log.vkey")), &key));
    int dir = openat(folder, "tessera-log", O_RDONLY | O_DIRECTORY);
    assert_true(dir >= 0);
    struct tlog_reader r;
    tlog_reader_init(&r, dir, 0);
    for (unsigned size = 0; size <= 15; size++) {
        char name[32];
        struct str bytes, entry;
        struct checkpoint c;
        struct hash root;
        snprintf(name, sizeof(name), "checkpoint.%u", size);
        assert_ok(file_read(&arena, dir, name, NOTE_MAX, &bytes));
        assert_ok(checkpoint_open(&arena, bytes, &key, &c));
        r.size = c.size;
        struct merkle_source s = tlog_source(&r);
        assert_ok(merkle_root_at(&s, c.size, &root));
        assert_memory_equal(&root, &c.root, sizeof(root));
        for (uint64_t i = 0; i < c.size; i++) {
            struct merkle_proof p;
            struct hash leaf;
            assert_ok(tlog_read_entry(&r, i, &entry));
            merkle_leaf(entry, &leaf);
            assert_ok(merkle_prove_inclusion(&s, i, c.size, &p));
            assert_ok(merkle_check_inclusion(i, c.size, &leaf, p.path, p.n, &root));
        }
    }
    tlog_reader_release(&r);
    close(dir);
}

int main(void)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[512];
    snprintf(path, sizeof(path), "%s/tlog", root != NULL ? root : "../shared/conformance");
    folder = open(path, O_RDONLY | O_DIRECTORY);
    if (folder < 0) {
        printf("skipped: suite tlog is not at %s\n", path);
        return 77;
    }
    arena_init(&arena, 256 << 20);
    build_levels();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proof_probes),
        cmocka_unit_test(reference_leaves),
        cmocka_unit_test(roots_and_proofs),
        cmocka_unit_test(tile_hashes_and_paths),
        cmocka_unit_test(notes),
        cmocka_unit_test(proof_files),
        cmocka_unit_test(a_foreign_log_is_read),
    };
    int bad = cmocka_run_group_tests(tests, NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(levels); i++) {
        free(levels[i]);
    }
    arena_release(&arena);
    close(folder);
    return bad;
}
