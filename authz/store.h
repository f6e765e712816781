/*
 * store: the policies and data that decisions are made with.
 *
 * A store holds sources (from files and from the API) and base data, and one compiled image of them. A
 * change is built aside: it either becomes the image by one pointer, or leaves everything as it was and says
 * why. Decisions under way finish on the image they started with, since they run to their end within one
 * turn of the loop.
 */
#ifndef SEXTANT_AUTHZ_STORE_H
#define SEXTANT_AUTHZ_STORE_H

#include "authz/rego/engine.h"

enum {
    STORE_FILE_MAX = 512 << 20, /* bytes of one policy or data file */
    STORE_FILES_MAX = 20000,    /* files below the configured paths */
};

struct policy_file {
    struct str id, text;
    enum rego_version version;
    bool from_disk;
};

/* A data file as it was read: to tell which two define the same. */
struct data_file {
    struct str path; /* as it was named */
    struct str key;  /* the place below data, and the file: the same file is read once */
    struct val doc;  /* at its place */
};

/* Sources and data together; freed when nothing uses it. */
struct image {
    struct arena arena; /* sources and data */
    struct policy_file *files;
    size_t n_files, cap_files;
    struct data_file *documents;
    size_t n_documents, cap_documents;
    struct val data;
    struct rego_policy *policy;
};

struct authz_store {
    struct image *image;
    const struct str *policy_paths, *data_paths;
    size_t n_policy_paths, n_data_paths;
    enum rego_version version;
    uint64_t fingerprint; /* of names, sizes and times of the files below the paths */
    uint64_t revision;    /* counts activations */
};

void store_init(struct authz_store *s);
void store_release(struct authz_store *s);

/* Reads everything below the paths again, keeps what came by the API. Errors leave the store as it was. */
bool store_load(struct authz_store *s, struct rego_errors *errors);
/* Has a file appeared, changed or gone since the last load? */
bool store_stale(struct authz_store *s);

/* PUT and DELETE of a policy. */
bool store_put_policy(struct authz_store *s, struct str id, struct str text,
                      struct rego_errors *errors);
bool store_del_policy(struct authz_store *s, struct str id, struct rego_errors *errors);
const struct policy_file *store_policy(const struct authz_store *s, struct str id);

/* Replaces the whole of the base data; the value is copied. False when rules stand in its way. */
bool store_set_data(struct authz_store *s, struct val data, struct rego_errors *errors);

/* Used by commands: adds one file or folder, as OPA's -d does. ERR with detail. */
struct err image_add_path(struct image *im, struct str path, enum rego_version version,
                          bool bundle);
void image_add_file(struct image *im, struct policy_file f);
struct image *image_new(void);
void image_free(struct image *im);
bool image_compile(struct image *im, const struct rego_compile_options *o,
                   struct rego_errors *errors);
/* A whole file in the arena. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT. */
struct err read_whole_file(struct arena *a, struct str path, struct str *out);

#endif
