/* config_priv: what the files of lib/config share. */
#ifndef SEXTANT_CONFIG_PRIV_H
#define SEXTANT_CONFIG_PRIV_H

#include "config.h"

/* "FILE:LINE:COL: detail" as an error of `code`; line 0 leaves out the position. */
struct err config_error_at(const struct config *c, enum err_code code, unsigned line, unsigned col,
                           const char *fmt, ...) PRINTF_LIKE(5, 6);

/* The name of the table nearest to `key`, when it is near enough to be meant; else NULL. */
const char *config_nearest(const char *const *names, size_t n, struct str key);

/* Fills `out` from `v` (a mapping, or NULL for an absent one); `path` is the section's name. */
struct err config_fill(struct config *c, const struct json *v, struct str path,
                       const struct config_key *keys, void *out);

#endif
