/*
 * bundle: policies and data in one archive, as OPA ships them.
 *
 * A bundle is a gzip-compressed tar, or a folder: modules (*.rego), data.json / data.yaml / data.yml placed by
 * the folder they stand in, policy.wasm and plan.json carried as bytes, .manifest (revision, roots, versions of
 * the language, metadata), .signatures.json, or a patch.json that makes it a delta. What was read is immutable
 * and counted: images of the store hold on to the bundles whose values and texts they use.
 *
 *     struct bundle_opts o = {.name = S("authz"), .version = REGO_V1};
 *     struct bundle *b;
 *     TRY(bundle_read_tar(bytes, &o, &errors, &b));      errors.n > 0: modules that don't parse
 *     use(b->modules, b->n_modules, b->data, b->manifest.roots);
 *     bundle_unref(b);
 *
 * Reading touches nothing outside of what it makes, so it may run on a thread of the pool: start with
 * bundle_prepare() on the loop's thread.
 *
 * Texts of refusals (err_detail()) are those of OPA. Limits: BUNDLE_SIZE_MAX for one file by default, in all
 * BUNDLE_TOTAL_MAX bytes unpacked, BUNDLE_FILES_MAX files, BUNDLE_PATH_MAX bytes of a path.
 */
#ifndef SEXTANT_AUTHZ_BUNDLE_H
#define SEXTANT_AUTHZ_BUNDLE_H

#include "authz/rego/engine.h"

enum {
    BUNDLE_SIZE_MAX = 1 << 30,       /* bytes of one file, unless size_limit says otherwise */
    BUNDLE_FILES_MAX = 100000,       /* files of one bundle */
    BUNDLE_PATH_MAX = 4096,          /* bytes of a path */
    BUNDLE_DEPTH_MAX = 64,           /* folders above a file */
    BUNDLE_ROOTS_MAX = 10000,        /* roots of a manifest */
    BUNDLE_SIGNATURE_MAX = 64 << 20, /* bytes of .signatures.json */
    BUNDLE_CHAIN_MAX = 64,           /* deltas on deltas before their memory is put together */
};
#define BUNDLE_TOTAL_MAX ((size_t)4 << 30)

/* ---- keys ---- */

/* keys.<id> of the configuration, or --verification-key: text of a key, PEM or shared secret. */
struct bundle_key {
    struct str id, algorithm, key, private_key, scope;
};

/*
 * How signatures are checked. `required`: a bundle without one is refused (any `signing` block, or
 * --verification-key). `optional`: one that is there is checked all the same.
 */
struct bundle_verify {
    const struct bundle_key *keys;
    size_t n_keys;
    struct str keyid, scope;
    const struct str *exclude; /* globs of files that are not checked */
    size_t n_exclude;
    bool optional, allow_unsigned_delta;
};

/* Checks one key of a configuration: algorithm RS256 when none is given. ERR_INVALID with OPA's text. */
struct err bundle_key_check(struct bundle_key *k);
/* Reads `keys` of a configuration: an object of objects. In the arena. */
struct err bundle_keys_parse(struct arena *a, struct val keys, struct bundle_key **out, size_t *n);
/* A whole file. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT. */
struct err bundle_read_file(struct arena *a, struct str path, struct str *out);
/* A key given on a command line: the name of a file that holds it, or the key itself. */
struct err bundle_key_load(struct arena *a, struct str given, struct str *text);

/* ---- what was read ---- */

struct bundle_wasm_resolver {
    struct str entrypoint, module;
    struct val annotations; /* an array, or VAL_UNDEF */
};

struct bundle_file_version {
    struct str pattern; /* a glob over the module's path in the bundle */
    int64_t version;
};

struct bundle_manifest {
    bool present; /* a .manifest was there */
    struct str revision;
    bool roots_given;  /* else [""] */
    struct str *roots; /* without slashes at either end */
    size_t n_roots;
    int64_t rego_version;                      /* 0, 1, 2; -1 when it is not given */
    struct bundle_file_version *file_versions; /* sorted by pattern */
    size_t n_file_versions;
    struct bundle_wasm_resolver *wasm;
    size_t n_wasm;
    struct val metadata; /* an object, or VAL_UNDEF */
};

struct bundle_module {
    struct str path; /* in the bundle, as it stands in the archive: "/authz/p.rego" */
    struct str full; /* behind base_dir: what errors name */
    struct str text;
    enum rego_version version;
    const struct module *parsed; /* lives as long as the bundle */
};

/* policy.wasm or plan.json: carried, not used. */
struct bundle_blob {
    struct str path, bytes;
};

enum bundle_op { BUNDLE_UPSERT, BUNDLE_REMOVE, BUNDLE_REPLACE, BUNDLE_BAD_OP };
struct bundle_patch {
    enum bundle_op op;
    struct str path; /* as written: a JSON pointer */
    struct val value;
};

struct bundle {
    struct arena arena;
    unsigned refs;
    struct bundle *below; /* whose memory `data` uses too: a snapshot under deltas */
    unsigned chain;
    struct str name, etag;
    bool delta;
    struct bundle_manifest manifest;
    struct bundle_module *modules; /* in order of the archive */
    size_t n_modules, cap_modules;
    struct val data;
    struct bundle_blob *wasm, *plans;
    size_t n_wasm, n_plans, cap_wasm, cap_plans;
    struct bundle_patch *patch;
    size_t n_patch;
    struct str signature; /* the JWT of .signatures.json, or empty */
    bool signatures_file; /* .signatures.json was there */
    size_t size;          /* bytes of the archive as it came */
};

struct bundle *bundle_ref(struct bundle *b);
void bundle_unref(struct bundle *b); /* NULL is fine */
/*
 * The same in two steps, for large ones: dropping takes no time, and what comes back (NULL: nothing) is nobody's any
 * more; burying it frees the memory, on any thread.
 */
struct bundle *bundle_drop(struct bundle *b);
void bundle_bury(struct bundle *dead);
/* An empty snapshot to be filled by `build`: give it modules and data, then bundle_check(). */
struct bundle *bundle_new(struct str name);
void bundle_add_module(struct bundle *b, struct str path, struct str text,
                       enum rego_version version);
void bundle_add_blob(struct bundle *b, struct str path, struct str bytes, bool plan);

/* ---- reading ---- */

struct bundle_opts {
    struct str name;     /* of the bundle; may be empty */
    struct str base_dir; /* put before paths of modules in errors */
    struct str etag;
    enum rego_version version; /* of modules for which the manifest has none */
    const struct bundle_verify *verify;
    bool skip_verify;
    bool persist; /* it will be kept on disk: refuses deltas */
    bool raw; /* modules are not parsed, roots are not checked (`inspect` of something broken) */
    size_t size_limit; /* bytes of one file; 0: BUNDLE_SIZE_MAX */
    /* When set: should this file be left out? `path` begins with a slash. */
    bool (*ignore)(void *ctx, struct str path, bool folder);
    void *ignore_ctx;
};

/* Sets up what reading on another thread needs; cheap, call it any number of times. */
void bundle_prepare(void);
/*
 * `packed` is a gzip-compressed tar. ERR_SYNTAX, ERR_INVALID, ERR_LIMIT, ERR_SIGNATURE with OPA's text. When modules
 * do not parse, ERR_INVALID comes back with their errors in `errors` and all of them as the detail.
 */
struct err bundle_read_tar(struct str packed, const struct bundle_opts *o,
                           struct rego_errors *errors, struct bundle **out);
struct err bundle_read_dir(struct str path, const struct bundle_opts *o, struct rego_errors *errors,
                           struct bundle **out);
/* Whichever `path` is: a folder or an archive; a leading file:// is dropped. */
struct err bundle_read_path(struct str path, const struct bundle_opts *o,
                            struct rego_errors *errors, struct bundle **out);

/* The checks of the manifest over what the bundle holds: roots, versions, wasm. Sets default roots. */
struct err bundle_check(struct bundle *b);
/* One bundle of many, as `build -b a -b b` makes it. */
struct err bundle_merge(struct bundle *const *v, size_t n, enum rego_version version,
                        struct bundle **out);

/* ---- roots ---- */

bool bundle_roots_overlap(struct str x, struct str y);
bool bundle_roots_contain(const struct str *roots, size_t n, struct str path);
/* The same for a path in segments, none of which is split at a slash again. */
bool bundle_roots_contain_path(const struct str *roots, size_t n, const struct str *path,
                               size_t n_path);
/* Do roots of different bundles overlap? ERR_CONFLICT with OPA's text. */
struct err bundle_roots_check(const struct bundle *const *v, size_t n);

/* ---- deltas ---- */

/*
 * The snapshot `on` with the patch of `delta`: a new bundle with the delta's revision and etag. ERR_INVALID:
 * roots or wasm resolvers differ, a path does not exist, data and patch don't fit.
 */
struct err bundle_apply(struct bundle *on, const struct bundle *delta, struct bundle **out);

/* ---- writing ---- */

struct val bundle_manifest_value(struct arena *a, const struct bundle_manifest *m);
bool bundle_manifest_empty(const struct bundle_manifest *m);
/* The archive: the same bundle gives the same bytes. Data, modules, wasm, signatures, plans, manifest. */
struct err bundle_write(const struct bundle *b, struct buf *out);

/* ---- signatures ---- */

enum { BUNDLE_HASH_MAX = 64 };
/* `algorithm` as OPA names it ("SHA-256"). A value is hashed in its canonical form. */
struct err bundle_hash_bytes(struct str algorithm, struct str bytes, uint8_t out[BUNDLE_HASH_MAX],
                             size_t *n);
struct err bundle_hash_value(struct str algorithm, struct val v, uint8_t out[BUNDLE_HASH_MAX],
                             size_t *n);
bool bundle_is_structured(struct str path); /* data.json, data.yaml, data.yml, .manifest */

struct bundle_signing {
    struct str key;       /* text of the key */
    struct str algorithm; /* empty: RS256 */
    struct str keyid;
    struct val claims; /* an object of further claims (--claims-file), or VAL_UNDEF */
};

struct bundle_hashed {
    struct str name, hash, algorithm; /* hash in hexadecimal */
};
/* The signed token over `files`, in the arena. */
struct err bundle_sign_files(struct arena *a, const struct bundle_hashed *files, size_t n,
                             const struct bundle_signing *s, struct str *token);
/* Signs what bundle_write will write; sets b->signature. */
struct err bundle_sign(struct bundle *b, const struct bundle_signing *s);
/* The text of .signatures.json around a token. */
struct str bundle_signatures_text(struct arena *a, struct str token);
/* The claims of a token, read without checking it: for `inspect`. */
struct err bundle_signature_claims(struct arena *a, struct str token, struct val *out);

#endif
