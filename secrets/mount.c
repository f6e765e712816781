/* The table of mounts: which engine serves which paths, under which rules for time. */
#include "core.h"

#include "engines.h"
#include "field.h"

#include <stdarg.h>

enum { MOUNT_ARENA_MAX = 16 << 20, MOUNTS_MAX = 1000, MOUNT_PATH_MAX = 256 };

const struct engine *engine_find(struct str type, bool auth)
{
    for (const struct engine *const *e = engines; *e != NULL; e++) {
        if ((*e)->auth == auth && str_is(type, (*e)->type)) {
            return *e;
        }
    }
    return NULL;
}

struct str mount_storage(struct arena *a, const struct mount *m, const char *fmt, ...)
{
    char rest[STORAGE_PATH_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(rest, sizeof rest, fmt, ap);
    va_end(ap);
    BUG_ON(n < 0 || (size_t)n >= sizeof rest);
    return arena_printf(a, "%s/%s/%s", m->engine->auth ? "auth" : "logical", m->uuid, rest);
}

int64_t mount_max_ttl(const struct mount *m)
{
    return m->max_ttl_s > 0 ? m->max_ttl_s : m->core->opts.max_ttl_s;
}

int64_t mount_default_ttl(const struct mount *m)
{
    int64_t ttl = m->default_ttl_s > 0 ? m->default_ttl_s : m->core->opts.default_ttl_s;
    return MIN(ttl, mount_max_ttl(m));
}

struct mount *mount_of(struct core *c, struct str path)
{
    for (size_t i = 0; i < c->n_mounts; i++) {
        struct str at = c->mounts[i]->path;
        if (str_starts(path, at) || str_eq(path, str_sub(at, 0, at.n - 1))) {
            return c->mounts[i];
        }
    }
    return NULL;
}

struct mount *mount_at(struct core *c, struct str path)
{
    for (size_t i = 0; i < c->n_mounts; i++) {
        if (str_eq(c->mounts[i]->path, path)) {
            return c->mounts[i];
        }
    }
    return NULL;
}

struct mount *mount_by_accessor(struct core *c, struct str accessor)
{
    for (size_t i = 0; i < c->n_mounts; i++) {
        if (str_eq(c->mounts[i]->accessor, accessor)) {
            return c->mounts[i];
        }
    }
    return NULL;
}

struct json *mount_to_json(struct arena *a, const struct mount *m, bool effective_ttl)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "accessor", m->accessor);
    struct json *config = json_set_obj(a, o, "config");
    json_set_int(a, config, "default_lease_ttl",
                 effective_ttl ? mount_default_ttl(m) : m->default_ttl_s);
    json_set_bool(a, config, "force_no_cache", false);
    if (m->listing.n > 0) {
        json_set_str(a, config, "listing_visibility", m->listing);
    }
    json_set_int(a, config, "max_lease_ttl", effective_ttl ? mount_max_ttl(m) : m->max_ttl_s);
    if (m->engine->auth) {
        json_set_str(a, config, "token_type", S("default-service"));
    }
    json_set_str(a, o, "deprecation_status", S("supported"));
    json_set_str(a, o, "description", m->description);
    json_set_bool(a, o, "external_entropy_access", false);
    json_set_bool(a, o, "local", strcmp(m->engine->type, "cubbyhole") == 0);
    json_put(a, o, "options", m->options != NULL ? json_copy(a, m->options) : json_new_null(a));
    json_set_str(a, o, "plugin_version", S(""));
    json_set_str(a, o, "running_plugin_version", S("v1.0.0+builtin.sextant"));
    json_set_str(a, o, "running_sha256", S(""));
    json_set_bool(a, o, "seal_wrap", false);
    json_set_str(a, o, "type", str_of(m->engine->type));
    json_set_str(a, o, "uuid", str_of(m->uuid));
    return o;
}

static struct json *to_record(struct arena *a, const struct mount *m)
{
    struct json *o = mount_to_json(a, m, false);
    json_set_str(a, o, "path", m->path);
    json_set_bool(a, o, "auth", m->engine->auth);
    return o;
}

struct err mounts_save(struct core *c)
{
    struct arena a;
    arena_init(&a, 64 << 20);
    struct json *list = json_new_array(&a);
    for (size_t i = 0; i < c->n_mounts; i++) {
        json_push(&a, list, to_record(&a, c->mounts[i]));
    }
    struct err e = storage_put_json(c->st, S("core/mounts"), list);
    arena_release(&a);
    return e;
}

struct mount *mount_ref(struct mount *m)
{
    m->refs++;
    return m;
}

void mount_unref(struct mount *m)
{
    if (m == NULL || --m->refs > 0) {
        return;
    }
    if (m->engine->unload != NULL) {
        m->engine->unload(m);
    }
    arena_release(&m->arena);
    free(m);
}

/* Keeps the longest path first, so that the first that fits is the right one. */
static void insert(struct core *c, struct mount *m)
{
    c->mounts = realloc(c->mounts, (c->n_mounts + 1) * sizeof(struct mount *));
    BUG_ON(c->mounts == NULL);
    size_t i = c->n_mounts++;
    while (i > 0 && c->mounts[i - 1]->path.n < m->path.n) {
        c->mounts[i] = c->mounts[i - 1];
        i--;
    }
    c->mounts[i] = m;
}

static struct err read_config(struct mount *m, const struct json *spec)
{
    struct arena *a = &m->arena;
    const struct json *config = json_get(spec, "config");
    TRY(field_str(spec, "description", &m->description));
    m->description = arena_str(a, m->description);
    TRY(field_seconds(config, "default_lease_ttl", &m->default_ttl_s));
    TRY(field_seconds(config, "max_lease_ttl", &m->max_ttl_s));
    TRY(field_str(config, "listing_visibility", &m->listing));
    m->listing = arena_str(a, m->listing);
    ENSURE(m->default_ttl_s >= 0 && m->max_ttl_s >= 0, ERR_INVALID, "a ttl is negative");
    ENSURE(m->max_ttl_s == 0 || m->default_ttl_s <= m->max_ttl_s, ERR_INVALID,
           "default_lease_ttl is longer than max_lease_ttl");
    struct json *options = NULL;
    TRY(field_map(a, spec, "options", &options));
    m->options = options != NULL ? json_copy(a, options) : NULL;
    return OK;
}

static struct err mount_new(struct core *c, struct str path, const struct engine *engine,
                            const struct json *spec, struct mount **out)
{
    struct mount *m = calloc(1, sizeof *m);
    BUG_ON(m == NULL);
    arena_init(&m->arena, MOUNT_ARENA_MAX);
    m->refs = 1;
    m->core = c;
    m->engine = engine;
    m->path = arena_str(&m->arena, path);
    struct str uuid = json_str(json_get(spec, "uuid")),
               accessor = json_str(json_get(spec, "accessor"));
    if (uuid.n == UUID_TEXT - 1 && accessor.n > 0) {
        memcpy(m->uuid, uuid.p, UUID_TEXT - 1);
        m->accessor = arena_str(&m->arena, accessor);
    } else {
        uuid4(m->uuid);
        m->accessor = arena_printf(&m->arena, "%s%s_%.8s", engine->auth ? "auth_" : "",
                                   engine->type, m->uuid);
    }
    struct err e = read_config(m, spec);
    if (!failed(e) && engine->load != NULL) {
        e = engine->load(m);
    }
    if (failed(e)) {
        mount_unref(m);
        return e;
    }
    *out = m;
    return OK;
}

static struct err check_path(struct core *c, struct str path)
{
    ENSURE(path.n > 1 && path.n <= MOUNT_PATH_MAX && str_ends(path, S("/")) && path.p[0] != '/',
           ERR_INVALID, "'%.*s' is not a mount path such as secret/", STR_FMT(path));
    ENSURE(c->n_mounts < MOUNTS_MAX, ERR_LIMIT, "more than %d mounts", MOUNTS_MAX);
    for (size_t i = 0; i < c->n_mounts; i++) {
        struct str at = c->mounts[i]->path;
        ENSURE(!str_starts(path, at) && !str_starts(at, path), ERR_INVALID,
               "path is already in use at %.*s", STR_FMT(at));
    }
    return OK;
}

struct err mount_add(struct core *c, struct str path, const struct json *spec, struct mount **out)
{
    bool auth = str_starts(path, S("auth/"));
    TRY(check_path(c, path));
    struct str type = json_str(json_get(spec, "type"));
    bool v2 = str_is(type, "kv-v2");
    const struct engine *engine = engine_find(v2 ? S("kv") : type, auth);
    ENSURE(type.n > 0, ERR_INVALID, "backend type must be specified as a string");
    ENSURE(engine != NULL, ERR_INVALID, "unknown backend type: \"%.*s\"", STR_FMT(type));
    ENSURE(c->sealed || !engine_is_built_in(engine), ERR_INVALID,
           "mount type of \"%s\" is not mountable", engine->type);
    struct mount *m;
    TRY(mount_new(c, path, engine, spec, &m));
    if (v2) {
        m->options = m->options != NULL ? m->options : json_new_object(&m->arena);
        json_set_str(&m->arena, m->options, "version", S("2"));
    }
    insert(c, m);
    TRY(mounts_save(c));
    if (out != NULL) {
        *out = m;
    }
    return OK;
}

struct err mount_remove(struct core *c, struct mount *m)
{
    size_t i = 0;
    while (c->mounts[i] != m) {
        i++;
    }
    memmove(&c->mounts[i], &c->mounts[i + 1], (c->n_mounts - i - 1) * sizeof(struct mount *));
    c->n_mounts--;
    struct str below = mount_storage(&m->arena, m, "%s", "");
    struct err e = storage_del_prefix(c->st, below);
    mount_unref(m);
    TRY(e);
    return mounts_save(c);
}

struct err mounts_defaults(struct core *c)
{
    static const struct {
        const char *path, *type, *description;
    } first[] = {
        {"sys/", "system", "system endpoints used for control, policy and debugging"},
        {"cubbyhole/", "cubbyhole", "per-token private secret storage"},
        {"identity/", "identity", "identity store"},
        {"auth/token/", "token", "token based credentials"},
    };
    struct arena a;
    arena_init(&a, 1 << 20);
    struct err e = OK;
    for (size_t i = 0; i < ARRAY_LEN(first) && !failed(e); i++) {
        struct json *spec = json_new_object(&a);
        json_set_str(&a, spec, "type", str_of(first[i].type));
        json_set_str(&a, spec, "description", str_of(first[i].description));
        e = mount_add(c, str_of(first[i].path), spec, NULL);
    }
    arena_release(&a);
    return e;
}

static struct err load_one(struct core *c, const struct json *record)
{
    struct str type = json_str(json_get(record, "type"));
    const struct engine *engine = engine_find(type, json_true(json_get(record, "auth")));
    struct str path = json_str(json_get(record, "path"));
    ENSURE(engine != NULL, ERR_INVALID, "mount %.*s is of unknown type %.*s", STR_FMT(path),
           STR_FMT(type));
    struct mount *m;
    TRY(mount_new(c, path, engine, record, &m));
    insert(c, m);
    return OK;
}

struct err mounts_load(struct core *c)
{
    struct arena a;
    arena_init(&a, 64 << 20);
    struct json *list = NULL;
    struct err e = storage_get_json(c->st, &a, S("core/mounts"), &list);
    for (uint32_t i = 0; !failed(e) && list != NULL && i < list->n; i++) {
        e = load_one(c, list->items[i]);
    }
    arena_release(&a);
    return e;
}

void mounts_unload(struct core *c)
{
    for (size_t i = 0; i < c->n_mounts; i++) {
        mount_unref(c->mounts[i]);
    }
    free(c->mounts);
    c->mounts = NULL;
    c->n_mounts = 0;
}
