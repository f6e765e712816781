/*
 * store: the policies and data in force.
 *
 * Policies are sources, immutable and counted: a change keeps those it does not touch. Data is a tree of values
 * that is never changed in place: a write makes anew what lies on the path to it and shares the rest. Both
 * live in memory of their own, which outlasts the change by one turn of the loop at most; data memory is
 * copied together once more of it is garbage than not.
 *
 * Changes are made in a transaction, built aside. Its commit puts everything in force by a few pointers, or leaves
 * everything as it was and says why. Decisions see either all of a change or nothing of it, since they run to
 * their end within one turn of the loop; what they return points into the store and must be written out
 * before the turn ends.
 *
 *     struct store_txn *t = store_begin(&store);
 *     store_txn_put(t, S("authz.rego"), text, REGO_V1);
 *     struct str why;
 *     enum store_status st = store_txn_write(t, STORE_ADD, path, n, value, &why);
 *     if (st != STORE_OK) { store_abort(t); … }
 *     if (!store_commit(t, &errors)) …
 */
#ifndef SEXTANT_AUTHZ_STORE_H
#define SEXTANT_AUTHZ_STORE_H

#include "image.h"

enum {
    STORE_DATA_SLACK = 32 << 20, /* garbage in data memory that is not worth a copy */
    STORE_TXN_WRITES_MAX = 10000,
};

/* One policy. Immutable; the id is its file, or the name it was put under. */
struct policy_source {
    struct str id, text;
    enum rego_version version;
    bool from_disk;
    bool from_bundle; /* put there by a bundle: changes with it alone */
    unsigned refs;
    struct arena arena;
};

/* Who else than the API writes below some roots (a bundle), so that the API must not. */
struct store_owner {
    struct str name;
    struct str revision;
    const struct str *roots; /* "a/b"; the empty one, or none with `all`, is everything */
    size_t n_roots;
    bool all;
};

struct store_journal;

struct authz_store {
    struct rego_policy *policy;
    struct policy_source **sources; /* sorted by id */
    size_t n_sources;
    struct val data; /* an object */
    struct arena *data_memory;
    size_t data_live; /* bytes of data_memory after it was last copied together */
    const struct str *policy_paths, *data_paths;
    size_t n_policy_paths, n_data_paths;
    enum rego_version version;
    bool bundles;         /* the paths are bundles: data.json and data.yaml alone are data */
    uint64_t fingerprint; /* of names, sizes and times of the files below the paths */
    uint64_t revision;    /* counts activations */
    const struct store_owner *owners;
    size_t n_owners;
    struct store_journal *journal; /* what came by the API */
    /*
     * Puts the data of bundles over what a reload of the files gave, and takes it out again; NULL: there are no
     * bundles.
     */
    struct val (*overlay)(void *ctx, struct arena *a, struct val data);
    struct val (*strip)(void *ctx, struct arena *a, struct val data);
    void *overlay_ctx;
};

void store_init(struct authz_store *s);
void store_release(struct authz_store *s);

/*
 * Reads everything below the paths again. What came by the API stays: policies under their names, data at the
 * paths that were written. Errors leave the store as it was.
 */
bool store_load(struct authz_store *s, struct rego_errors *errors);
/*
 * Keeps what comes by the API across reloads of the files and, with a path, across restarts: a journal
 * that is read now, on top of what was loaded. ERR_IO, ERR_SYNTAX; ERR_INVALID with errors added.
 */
struct err store_keep(struct authz_store *s, const char *path /* NULL: in memory alone */,
                      struct rego_errors *errors);
/* Has a file appeared, changed or gone since the last load? */
bool store_stale(struct authz_store *s);

const struct policy_source *store_policy(const struct authz_store *s, struct str id);
/* The document at a path of the base data, as a segment addresses it (arrays by number); VAL_UNDEF: none. */
struct val store_read(struct val data, const struct str *path, size_t n);

/* ---- changes ---- */

enum store_op { STORE_ADD, STORE_REMOVE, STORE_REPLACE };

enum store_status {
    STORE_OK,
    STORE_NOT_FOUND, /* "document does not exist", "/a/9: array index out of range" */
    STORE_CONFLICT,  /* a parent is no object: its path */
    STORE_INVALID,   /* "root must be object", "root cannot be removed" */
    STORE_OWNED,     /* "path a/b is owned by bundle \"x\"" */
};

struct store_txn;

struct store_txn *store_begin(struct authz_store *s);
void store_abort(struct store_txn *t); /* NULL is fine */
/* False, with errors added: nothing has changed. The transaction is gone either way. */
bool store_commit(struct store_txn *t, struct rego_errors *errors);

/* Texts are copied. The same bytes under the same id and version are no change. */
void store_txn_put(struct store_txn *t, struct str id, struct str text, enum rego_version version);
bool store_txn_drop(struct store_txn *t, struct str id); /* false: there is none */
/* The next puts are files read from disk, which a reload replaces. */
void store_txn_from_disk(struct store_txn *t, bool on);

/*
 * One operation of JSON Patch on the data; `-` behind an array's last element. The value is copied. *why (in the
 * transaction's memory) tells of a failure, after which the transaction can only be aborted.
 */
enum store_status store_txn_write(struct store_txn *t, enum store_op op, const struct str *path,
                                  size_t n, struct val value, struct str *why);
/* Makes objects at `path` and above where nothing is. STORE_CONFLICT where something else stands. */
enum store_status store_txn_mkdir(struct store_txn *t, const struct str *path, size_t n,
                                  struct str *why);
struct val store_txn_data(const struct store_txn *t); /* the data as written so far */

/* ---- bundles: a change whose slow part was done elsewhere ---- */

/* One module of a bundle, under the name that it has in the store. */
struct store_module {
    struct str id, text;
    enum rego_version version;
};

/*
 * Puts a policy in force that was compiled from exactly these modules and from the sources for which keep[i] is
 * set, and takes `data` as it is: it may point into memory that the caller keeps until nothing in the store's data
 * points there. Costs the number of modules, not the size of anything.
 */
void store_swap(struct authz_store *s, struct rego_policy *policy /* taken; NULL: as it was */,
                const struct store_module *modules, size_t n, const bool *keep, struct val data);

/* May the API write here? STORE_OWNED with the reason otherwise. */
enum store_status store_check_owner(const struct authz_store *s, const struct str *path, size_t n,
                                    struct arena *a, struct str *why);
/* "/a/b" with what needs it percent-encoded, as messages name a place. */
struct str store_path_text(struct arena *a, const struct str *path, size_t n);

#endif
