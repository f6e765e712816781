/*
 * files: the few file operations whose order of syncs decides what survives a power cut.
 *
 * All paths are relative to a directory descriptor. Every failure names the file and the reason; a
 * full disk is ERR_UNAVAILABLE, so that callers can tell "later" from "broken" (ERR_IO).
 */
#ifndef SEXTANT_FILES_H
#define SEXTANT_FILES_H

#include "lib/base/arena.h"
#include "lib/base/err.h"

#include <sys/types.h>

struct err file_error(const char *doing, const char *path, int errnum);

/* Makes `path` and the folders above it that are missing; mode 0755 or 0700. */
struct err file_mkdirs(int dir, const char *path, unsigned mode);

/*
 * Puts `bytes` at `path` so that readers see the old file or the whole new one. With `durable` both
 * the bytes and the name survive a power cut once this has returned.
 */
struct err file_replace(int dir, const char *path, struct str bytes, bool durable);

/* The whole file in the arena. ERR_NOT_FOUND, ERR_LIMIT above `max`. */
struct err file_read(struct arena *a, int dir, const char *path, size_t max, struct str *out);

struct err file_sync(int dir, const char *path);        /* data of one file */
struct err file_sync_folder(int dir, const char *path); /* names in the folder that holds `path` */

struct err file_write_all(int fd, const char *path, const void *p, size_t n, off_t at);

#endif
