/*
 * manifests: a folder of Kubernetes YAML and JSON files as a sealed model.
 *
 * Files ending in .yaml, .yml or .json are read in the order of their names, not below subfolders;
 * others are passed over. One wrong document makes the whole folder wrong: half a set of policies
 * would allow what the other half was to deny.
 */
#ifndef SEXTANT_NETPOL_MANIFESTS_H
#define SEXTANT_NETPOL_MANIFESTS_H

#include "model.h"

enum {
    MANIFEST_FILES_MAX = 4096,
    MANIFEST_BYTES_MAX = 64 << 20, /* all files together */
    MANIFEST_ARENA_MAX = 1 << 30,
    MANIFEST_HASH_TEXT = 65,
};

/* The model and a hash over the files' contents, in hexadecimal. ERR_NOT_FOUND, ERR_IO, ERR_INVALID. */
struct err manifests_load(struct arena *a, const char *path, struct netpol_model **out,
                          char hash[MANIFEST_HASH_TEXT]);

#endif
