/* bundle_priv: what the files of the bundle share. */
#ifndef SEXTANT_AUTHZ_BUNDLE_PRIV_H
#define SEXTANT_AUTHZ_BUNDLE_PRIV_H

#include "bundle.h"

#include "lib/jose/jwk.h"

/* One file of an archive or folder, before anybody looked into it. */
struct raw_file {
    struct str path;        /* as the archive names it */
    struct str signed_name; /* as a signature names it: without the slash in front */
    struct str bytes;
};

struct raw_files {
    struct arena a;   /* paths, and contents of a folder's files */
    struct buf plain; /* the tar, unpacked */
    struct raw_file *v;
    size_t n, cap;
    struct str signatures; /* content of .signatures.json */
    struct str signatures_path;
    struct str patch;
    bool has_signatures, has_patch;
};

void raw_init(struct raw_files *r);
void raw_release(struct raw_files *r);
struct err raw_add(struct raw_files *r, const struct bundle_opts *o, struct str path,
                   struct str signed_name, struct str bytes);
size_t raw_limit(const struct bundle_opts *o);
/* tar.c: all regular files of an unpacked tar. */
struct err raw_from_tar(struct raw_files *r, struct str packed, const struct bundle_opts *o);
struct err raw_from_dir(struct raw_files *r, struct str path, const struct bundle_opts *o);

struct str path_base(struct str path);
bool path_is_yaml_data(struct str path);
bool path_is_signatures(struct str path);

/* manifest.c */
struct err manifest_parse(struct bundle *b, struct str text);
struct err manifest_version_of(const struct bundle *b, struct str path, enum rego_version fallback,
                               enum rego_version *out);
struct str roots_text(struct arena *a, const struct bundle_manifest *m); /* "[a b c/d]" */

/* data.c: data files, each at the place of its folder. */
struct data_tree;
struct data_tree *data_tree_new(struct arena *a);
struct err data_tree_add(struct data_tree *t, struct str path, struct val v);
void data_tree_release(struct data_tree *t);
struct err data_tree_finish(struct data_tree *t, struct val *out);
struct err data_parse(struct arena *a, struct str path, struct str text, struct val *out);

/* verify.c */
struct signed_files {
    struct bundle_hashed *v;
    size_t n, left;
    bool *seen;
    bool checking;
    void *index; /* by name */
};
struct err signatures_check(struct arena *a, const struct raw_files *r, const struct bundle_opts *o,
                            struct str *token, struct signed_files *out);
struct err signed_file_check(struct arena *a, struct signed_files *s, const struct raw_file *f,
                             const struct bundle_opts *o);
struct err signed_files_done(const struct signed_files *s);
void signed_files_release(struct signed_files *s);
/* The raw signature of one algorithm over `input`, with the key as a configuration writes it. */
struct err bundle_sign_text(struct arena *a, struct str key_text, enum jose_alg alg,
                            struct str input, struct str *out);

/* tar.c: a file as it is. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT. */
struct err raw_whole_file(struct arena *a, struct str path, struct str *out);
/* write.c */
void tar_put_file(struct arena *a, struct buf *out, struct str path, struct str bytes);
void tar_put_end(struct buf *out);
/* manifest.c: without slashes at either end */
struct str trim_slashes(struct str s);

#endif
