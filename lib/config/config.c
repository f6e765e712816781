/* Loading the file, its shared keys, and errors that name a place. */
#include "config_priv.h"

#include "lib/yaml/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONFIG_ARENA = 32 << 20 };

/* One word each: the folder, the daemon, its section, its unit, its uid. */
static const char *const section_names[] = {"authn",   "authz",   "audit",  "crypto",  "identity",
                                            "secrets", "mesh",    "netpol", "respond", "assess",
                                            "console", "sextant", "demo"};

static const struct config_key shared_keys[] = {
    {"trust_domain", CONFIG_STR, offsetof(struct config, trust_domain), .fallback = "cluster.local",
     .help = "SPIFFE trust domain of this installation"},
    {"state_dir", CONFIG_STR, offsetof(struct config, state_dir), .fallback = "/var/lib/sextant",
     .help = "state of each daemon is in a folder of its name below this one"},
    {"run_dir", CONFIG_STR, offsetof(struct config, run_dir), .fallback = "/run/sextant",
     .help = "sockets of each daemon are in a folder of its name below this one"},
    {"uids", CONFIG_MAP, offsetof(struct config, uids),
     .help = "uid of each daemon, for callers on unix sockets"},
    {0},
};

static struct err error_va(const struct config *c, enum err_code code, unsigned line, unsigned col,
                           const char *fmt, va_list ap)
{
    char detail[ERR_DETAIL_MAX];
    vsnprintf(detail, sizeof(detail), fmt, ap);
    if (line == 0) {
        return err_make(code, "%.*s: %s", STR_FMT(c->file), detail);
    }
    return err_make_at(code, line, col, "%.*s:%u:%u: %s", STR_FMT(c->file), line, col, detail);
}

struct err config_error_at(const struct config *c, enum err_code code, unsigned line, unsigned col,
                           const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct err e = error_va(c, code, line, col, fmt, ap);
    va_end(ap);
    return e;
}

struct err config_error(const struct config *c, const struct json *at, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    struct err e =
        error_va(c, ERR_INVALID, at != NULL ? at->line : 0, at != NULL ? at->col : 0, fmt, ap);
    va_end(ap);
    return e;
}

static bool is_shared_key(struct str key)
{
    for (const struct config_key *k = shared_keys; k->name != NULL; k++) {
        if (str_is(key, k->name)) {
            return true;
        }
    }
    return false;
}

static bool is_section(struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(section_names); i++) {
        if (str_is(key, section_names[i])) {
            return true;
        }
    }
    return str_starts(key, S("x-")); /* the reader's own: anchors, notes */
}

static struct err check_top_level(const struct config *c)
{
    const char *names[ARRAY_LEN(section_names) + ARRAY_LEN(shared_keys)];
    size_t n = 0;
    for (size_t i = 0; i < ARRAY_LEN(section_names); i++) {
        names[n++] = section_names[i];
    }
    for (const struct config_key *k = shared_keys; k->name != NULL; k++) {
        names[n++] = k->name;
    }
    for (uint32_t i = 0; i < c->root->n; i++) {
        const struct json_member *m = &c->root->members[i];
        if (is_shared_key(m->key) || is_section(m->key)) {
            continue;
        }
        const char *near = config_nearest(names, n, m->key);
        return config_error_at(c, ERR_INVALID, m->line, m->col, "%.*s: unknown section%s%s%s",
                               (int)MIN(m->key.n, (size_t)100), m->key.p,
                               near != NULL ? "; did you mean '" : "", near != NULL ? near : "",
                               near != NULL ? "'?" : "");
    }
    return OK;
}

/* Shared keys alone, so that the sections beside them are not seen as unknown. */
static struct err take_shared(struct config *c)
{
    struct json *shared = json_new_object(&c->arena);
    for (uint32_t i = 0; i < c->root->n; i++) {
        const struct json_member *m = &c->root->members[i];
        if (is_shared_key(m->key)) {
            json_add(&c->arena, shared, m->key, m->value);
            shared->members[shared->n - 1].line = m->line;
            shared->members[shared->n - 1].col = m->col;
        }
    }
    return config_fill(c, shared, STR_EMPTY, shared_keys, c);
}

/* Domain names as SPIFFE wants them (SPIFFE-ID section 2.1), and decimal uids. */
static struct err check_shared(const struct config *c)
{
    for (size_t i = 0; i < c->trust_domain.n; i++) {
        char ch = c->trust_domain.p[i];
        bool fine = (ch >= 'a' && ch <= 'z') || (ch >= '0' && ch <= '9') || ch == '-' ||
                    ch == '.' || ch == '_';
        if (!fine) {
            return config_error(c, json_get(c->root, "trust_domain"),
                                "trust_domain: '%c' is not allowed; use lower case letters, "
                                "digits, '.', '-' and '_'",
                                ch);
        }
    }
    if (c->trust_domain.n == 0 || c->trust_domain.n > 255) {
        return config_error(c, json_get(c->root, "trust_domain"),
                            "trust_domain: 1 to 255 characters are needed");
    }
    for (size_t i = 0; i < c->uids.n; i++) {
        uint64_t uid;
        struct config_pair p = c->uids.items[i];
        if (failed(str_to_u64(p.value, &uid)) || uid >= UINT32_MAX) {
            return config_error(c, json_get_str(json_get(c->root, "uids"), p.key),
                                "uids.%.*s: '%.*s' is not a uid", STR_FMT(p.key), STR_FMT(p.value));
        }
    }
    return OK;
}

static struct err parse_into(struct config *c, struct str text, struct str file_name)
{
    struct json *docs;
    struct yaml_limits lim = {.max_bytes = CONFIG_MAX_BYTES};
    c->file = arena_str(&c->arena, file_name);
    TRY(yaml_parse(&c->arena, text, c->file, &lim, &docs));
    if (docs->n > 1) {
        return config_error(c, docs->items[1],
                            "one document is expected; a second one begins here");
    }
    bool empty = docs->n == 0 || docs->items[0]->type == JSON_NULL;
    c->root = empty ? json_new_object(&c->arena) : docs->items[0];
    if (c->root->type != JSON_OBJECT) {
        return config_error(c, c->root, "a mapping of sections is expected");
    }
    TRY(check_top_level(c));
    TRY(take_shared(c));
    return check_shared(c);
}

struct err config_parse(struct str text, struct str file_name, struct config **out)
{
    struct config *c = calloc(1, sizeof(*c));
    ENSURE(c != NULL, ERR_LIMIT, "out of memory");
    arena_init(&c->arena, CONFIG_ARENA);
    struct err e = parse_into(c, text, file_name);
    if (failed(e)) {
        config_free(c);
        return e;
    }
    *out = c;
    return OK;
}

static struct err read_all(int fd, const char *file, struct buf *out)
{
    char chunk[4096];
    for (;;) {
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        ENSURE(n >= 0, ERR_IO, "%s: %s", file, strerrordesc_np(errno));
        if (n == 0) {
            break;
        }
        buf_put(out, chunk, (size_t)n);
        ENSURE(buf_ok(out), ERR_LIMIT, "%s: larger than %d bytes", file, CONFIG_MAX_BYTES);
    }
    return OK;
}

struct err config_load(const char *file, struct config **out)
{
    struct buf text;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", file,
           strerrordesc_np(errno));
    buf_init(&text, CONFIG_MAX_BYTES);
    struct err e = read_all(fd, file, &text);
    close(fd);
    if (!failed(e)) {
        e = config_parse(buf_str(&text), str_of(file), out);
    }
    buf_release(&text);
    return e;
}

void config_free(struct config *c)
{
    if (c != NULL) {
        arena_release(&c->arena);
        free(c);
    }
}

struct err config_section(struct config *c, const char *name, const struct config_key *keys,
                          void *out)
{
    const struct json *v = json_get(c->root, name);
    return config_fill(c, json_is(v, JSON_NULL) ? NULL : v, str_of(name), keys, out);
}

bool config_has_section(const struct config *c, const char *name)
{
    return json_get(c->root, name) != NULL;
}

bool config_uid(const struct config *c, struct str daemon, uint32_t *uid)
{
    for (size_t i = 0; i < c->uids.n; i++) {
        uint64_t v;
        if (str_eq(c->uids.items[i].key, daemon) &&
            !failed(str_to_u64(c->uids.items[i].value, &v))) {
            *uid = (uint32_t)v;
            return true;
        }
    }
    return false;
}

struct str config_uid_name(const struct config *c, uint32_t uid)
{
    for (size_t i = 0; i < c->uids.n; i++) {
        uint64_t v;
        if (!failed(str_to_u64(c->uids.items[i].value, &v)) && v == uid) {
            return c->uids.items[i].key;
        }
    }
    return STR_EMPTY;
}
