/*
 * config: the one configuration file, checked against typed tables of keys.
 *
 * The file is YAML (so JSON too): shared keys at the top, and one section a daemon.
 *
 *     trust_domain: cluster.local
 *     state_dir: /var/lib/sextant         each daemon's state is state_dir/NAME
 *     run_dir: /run/sextant               each daemon's sockets are in run_dir/NAME
 *     uids: {crypto: 70101, authn: 70102}
 *     authz:
 *       listen: 127.0.0.1:8181
 *
 * A daemon describes its section once and has it filled in:
 *
 *     struct authz_config { struct str listen; int64_t cache_ns; };
 *     static const struct config_key keys[] = {
 *         {"listen", CONFIG_STR, offsetof(struct authz_config, listen), .fallback = "127.0.0.1:8181",
 *          .help = "address of the REST API"},
 *         {"cache", CONFIG_DURATION, offsetof(struct authz_config, cache_ns), .fallback = "5s",
 *          .max = 3600 * NS_PER_S},
 *         {0},
 *     };
 *     TRY(config_load("/etc/sextant.yaml", &config));
 *     TRY(config_section(config, "authz", keys, &mine));
 *
 * Unknown keys, wrong types and values out of range are errors of the form
 * "FILE:LINE:COL: authz.lisen: unknown key; did you mean 'listen'?". A configuration is immutable;
 * what config_section fills in points into it and lives as long as it does.
 */
#ifndef SEXTANT_CONFIG_H
#define SEXTANT_CONFIG_H

#include "lib/json/json.h"

/* Type of a key, and the type of the field it fills. */
enum config_type {
    CONFIG_STR = 1,  /* struct str */
    CONFIG_INT,      /* int64_t */
    CONFIG_BOOL,     /* bool */
    CONFIG_DURATION, /* int64_t, nanoseconds; written as "90s", "1h30m", or a number of seconds */
    CONFIG_SIZE,     /* int64_t, bytes; written as 4096, "64KiB", "16MiB", "1GiB" */
    CONFIG_LIST,     /* struct config_list of strings (numbers keep their text) */
    CONFIG_MAP,      /* struct config_map of strings (numbers and booleans as text) */
    CONFIG_SECTION,  /* a nested struct at the offset, described by `keys` */
    CONFIG_SECTIONS, /* struct config_items: a list of structs of `size` bytes, described by `keys` */
    CONFIG_TREE,     /* const struct json *; NULL when absent: checked by the daemon itself */
};

struct config_list {
    struct str *items;
    size_t n;
};

struct config_pair {
    struct str key, value;
};

struct config_map {
    struct config_pair *items; /* source order */
    size_t n;
};

struct config_items {
    void *items; /* n structs of the key's `size` */
    size_t n;
};

struct config_key {
    const char *name; /* NULL ends a table */
    enum config_type type;
    size_t offset;
    const char *fallback; /* as it would be written in the file; NULL leaves zero or empty */
    bool required;        /* absent is an error */
    int64_t min, max;     /* INT, DURATION (ns), SIZE; LIST, MAP, SECTIONS: count. Both 0: any */
    const char *const *choices;    /* STR and items of LIST: one of these; NULL-terminated */
    const struct config_key *keys; /* SECTION, SECTIONS */
    size_t size;                   /* SECTIONS: of one struct */
    const char *help;              /* one line for the manual */
};

struct config {
    struct arena arena;
    struct str file;         /* its name, for messages */
    const struct json *root; /* the whole document */
    struct str trust_domain; /* default cluster.local */
    struct str state_dir;    /* default /var/lib/sextant */
    struct str run_dir;      /* default /run/sextant */
    struct config_map uids;  /* daemon name -> uid, decimal */
};

enum { CONFIG_MAX_BYTES = 1 << 20 };

/* Reads and checks the shared keys. ERR_NOT_FOUND, ERR_IO, ERR_SYNTAX, ERR_INVALID, ERR_RANGE. */
struct err config_load(const char *file, struct config **out);
struct err config_parse(struct str text, struct str file_name, struct config **out);
void config_free(struct config *c); /* NULL ok */

/* Checks section `name` against `keys` and fills `*out` (zeroed first); an absent section is empty. */
struct err config_section(struct config *c, const char *name, const struct config_key *keys,
                          void *out);
bool config_has_section(const struct config *c, const char *name);

/* Uid of a daemon; false when `uids` does not name it. */
bool config_uid(const struct config *c, struct str daemon, uint32_t *uid);
/* Name of the daemon with this uid; empty when unknown. */
struct str config_uid_name(const struct config *c, uint32_t uid);

/* An error about a value of a CONFIG_TREE: "FILE:LINE:COL: detail". Returns ERR_INVALID. */
struct err config_error(const struct config *c, const struct json *at, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* The table as a commented example section, for `--help-config` and the manual. */
void config_describe(struct buf *out, const char *section, const struct config_key *keys);

#endif
