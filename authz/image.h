/*
 * image: policies and data as they are read from files and folders, for commands and for the store.
 *
 *     struct image *im = image_new();
 *     TRY(image_add_path(im, S("policies/"), REGO_V1, false));
 *     if (!image_compile(im, NULL, &errors)) …
 *     image_free(im);
 */
#ifndef SEXTANT_AUTHZ_IMAGE_H
#define SEXTANT_AUTHZ_IMAGE_H

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

/* Sources and data together. */
struct image {
    struct arena arena; /* sources */
    struct arena data_memory; /* of documents and data: the store takes it over as it is */
    struct policy_file *files;
    size_t n_files, cap_files;
    struct data_file *documents;
    size_t n_documents, cap_documents;
    struct val data;
    struct rego_policy *policy;
};

struct image *image_new(void);
void image_free(struct image *im);
/* Adds one file or folder, as OPA's -d does. ERR with detail. */
struct err image_add_path(struct image *im, struct str path, enum rego_version version,
                          bool bundle);
void image_add_file(struct image *im, struct policy_file f);
bool image_compile(struct image *im, const struct rego_compile_options *o,
                   struct rego_errors *errors);
/* Of names, sizes and times of the files below the paths, mixed into `h`: has anything changed? */
uint64_t image_fingerprint(struct arena *a, const struct str *paths, size_t n, uint64_t h);
/* A whole file in the arena. ERR_NOT_FOUND, ERR_IO, ERR_LIMIT. */
struct err read_whole_file(struct arena *a, struct str path, struct str *out);

#endif
