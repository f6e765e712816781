/*
 * load: policies and data from files and folders, as the options -d and -b name them.
 *
 * A path may be a file, a folder, `file://…`, or `a.b:PATH`, which puts its data below data.a.b. Below
 * a folder, roles/x.json gives data.roles; policies go by their package wherever they stand.
 * Everything becomes part of the image; what is wrong is added to `errors`, and loading goes on
 * with the next file, so that one run tells of all mistakes.
 */
#ifndef SEXTANT_AUTHZ_LOAD_H
#define SEXTANT_AUTHZ_LOAD_H

#include "store.h"

struct load_options {
    enum rego_version version;
    const char *const *ignore; /* globs on names below the path */
    size_t n_ignore;
    bool only_rego;            /* whatever else is there is passed over */
    bool bundle;               /* it is a bundle, an archive or a folder */
    bool skip_hidden;          /* names that begin with a dot are passed over */
    bool one_root;             /* folders do not tell where data goes */
    const char *bundle_prefix; /* of errors about a bundle; may be NULL */
};

/* False: errors were added. */
bool image_load(struct image *im, struct str path, const struct load_options *o,
                struct rego_errors *errors);

/* A document of JSON, or of YAML when the name says so or `yaml` is asked for. */
struct err parse_document(struct arena *a, struct str name, struct str text, bool yaml,
                          struct val *out);

/* Names of the folders in a folder, sorted; returns how many. */
size_t list_folders(struct arena *a, struct str path, struct str **out);

/* Names of the folders in a folder, sorted; returns how many. */
size_t list_folders(struct arena *a, struct str path, struct str **out);

#endif
