/* vectors: what the drivers of outside suites share. Included by one test file each. */
#ifndef SEXTANT_JOSE_VECTORS_H
#define SEXTANT_JOSE_VECTORS_H

#include "jose.h"
#include "lib/base/codec.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static struct arena arena;
static unsigned failures;

/* A file below SEXTANT_CONFORMANCE (default ../shared/conformance beside the source root); NULL when it is not there. */
static struct json *load(const char *name)
{
    const char *root = getenv("SEXTANT_CONFORMANCE");
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", root != NULL ? root : "../shared/conformance", name);
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return NULL;
    }
    struct buf b;
    buf_init(&b, 64 << 20);
    size_t n;
    do {
        char *room = buf_reserve(&b, 65536);
        n = fread(room, 1, 65536, f);
        buf_commit(&b, n);
    } while (n > 0);
    fclose(f);
    struct json *v = NULL;
    struct err e = json_parse(&arena, buf_str(&b), NULL, &v);
    buf_release(&b);
    if (failed(e)) {
        printf("%s: %s\n", path, err_detail());
        exit(1);
    }
    return v;
}

#endif
