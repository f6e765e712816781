/*
 * Filling a struct from a mapping through a table of keys. Nested sections wait on a small stack;
 * their depth is that of our own tables, not of the input.
 */
#include "config_priv.h"

#include "lib/base/clock.h"

#include <inttypes.h>

enum { MAX_SECTIONS = 10000, NAME_MAX_EDIT = 64 };

/* Damerau-Levenshtein distance (adjacent letters may swap), for short names only. */
static size_t edit_distance(struct str a, struct str b)
{
    static _Thread_local size_t d[NAME_MAX_EDIT + 1][NAME_MAX_EDIT + 1];
    if (a.n > NAME_MAX_EDIT || b.n > NAME_MAX_EDIT) {
        return SIZE_MAX;
    }
    for (size_t i = 0; i <= a.n; i++) {
        for (size_t j = 0; j <= b.n; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            size_t change = d[i - 1][j - 1] + (a.p[i - 1] != b.p[j - 1]);
            size_t best = MIN(change, MIN(d[i - 1][j], d[i][j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
            d[i][j] = swapped ? MIN(best, d[i - 2][j - 2] + 1) : best;
        }
    }
    return d[a.n][b.n];
}

const char *config_nearest(const char *const *names, size_t n, struct str key)
{
    const char *nearest = NULL;
    size_t least = MAX((size_t)1, key.n / 3) + 1;
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(str_of(names[i]), key);
        if (distance < least) {
            least = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

struct job {
    const struct json *v; /* a mapping, or NULL */
    struct str path;
    const struct config_key *keys;
    char *out;
};

struct filler {
    struct config *c;
    struct job *jobs; /* in the configuration's arena */
    size_t n, cap;
};

static struct str key_path(struct config *c, struct str path, const char *name)
{
    return path.n > 0 ? arena_printf(&c->arena, "%.*s.%s", STR_FMT(path), name) : str_of(name);
}

static struct err wrong_type(const struct config *c, const struct json *v, struct str path,
                             const char *wanted)
{
    const char *found = json_type_name(v->type);
    bool vowel = v->type == JSON_ARRAY || v->type == JSON_OBJECT;
    return config_error(c, v, "%.*s: expected %s, found %s %s", STR_FMT(path), wanted,
                        vowel ? "an" : "a", found);
}

static bool is_scalar(const struct json *v)
{
    return v->type == JSON_STRING || v->type == JSON_NUMBER || v->type == JSON_TRUE ||
           v->type == JSON_FALSE;
}

static struct str scalar_text(const struct json *v)
{
    return v->type == JSON_TRUE ? S("true") : v->type == JSON_FALSE ? S("false") : v->text;
}

static struct err check_choice(const struct config *c, const struct config_key *k,
                               const struct json *at, struct str path, struct str value)
{
    struct buf list;
    if (k->choices == NULL) {
        return OK;
    }
    buf_init(&list, 400);
    for (size_t i = 0; k->choices[i] != NULL; i++) {
        if (str_is(value, k->choices[i])) {
            buf_release(&list);
            return OK;
        }
        buf_printf(&list, "%s%s", i > 0 ? ", " : "", k->choices[i]);
    }
    struct err e = config_error(c, at, "%.*s: '%.*s' is not one of %.*s", STR_FMT(path),
                                (int)MIN(value.n, (size_t)100), value.p, STR_FMT(buf_str(&list)));
    buf_release(&list);
    return e;
}

static struct err check_range(const struct config *c, const struct config_key *k,
                              const struct json *at, struct str path, int64_t value)
{
    if ((k->min == 0 && k->max == 0) || (value >= k->min && value <= k->max)) {
        return OK;
    }
    if (k->type == CONFIG_DURATION) {
        return config_error_at(c, ERR_RANGE, at->line, at->col,
                               "%.*s: %.3fs is not in %.3fs..%.3fs", STR_FMT(path),
                               (double)value / 1e9, (double)k->min / 1e9, (double)k->max / 1e9);
    }
    const char *what = k->type == CONFIG_INT || k->type == CONFIG_SIZE ? "" : " entries";
    return config_error_at(c, ERR_RANGE, at->line, at->col,
                           "%.*s: %" PRId64 "%s is not in %" PRId64 "..%" PRId64, STR_FMT(path),
                           value, what, k->min, k->max);
}

static struct err size_parse(struct str text, int64_t *out)
{
    static const struct {
        struct str unit;
        unsigned shift;
    } units[] = {
        {STR_INIT("KiB"), 10}, {STR_INIT("MiB"), 20}, {STR_INIT("GiB"), 30}, {STR_INIT("TiB"), 40}};
    unsigned shift = 0;
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        if (str_ends(text, units[i].unit)) {
            text = str_trim(str_sub(text, 0, text.n - units[i].unit.n));
            shift = units[i].shift;
            break;
        }
    }
    uint64_t n;
    TRY(str_to_u64(text, &n));
    ENSURE(n <= (uint64_t)INT64_MAX >> shift, ERR_RANGE, "too large");
    *out = (int64_t)(n << shift);
    return OK;
}

static struct err take_number(const struct config *c, const struct config_key *k,
                              const struct json *v, struct str path, int64_t *out)
{
    int64_t n = 0;
    if (k->type == CONFIG_INT) {
        if (v->type != JSON_NUMBER || failed(json_i64(v, &n))) {
            return v->type == JSON_NUMBER ? config_error(c, v, "%.*s: '%.*s' is not a whole number",
                                                         STR_FMT(path), STR_FMT(v->text))
                                          : wrong_type(c, v, path, "a whole number");
        }
    } else if (v->type != JSON_STRING && v->type != JSON_NUMBER) {
        return wrong_type(c, v, path,
                          k->type == CONFIG_SIZE ? "a size such as 64KiB"
                                                 : "a duration such as 90s or 1h30m");
    } else if (k->type == CONFIG_SIZE && failed(size_parse(v->text, &n))) {
        return config_error(c, v, "%.*s: '%.*s' is not a size such as 4096, 64KiB or 16MiB",
                            STR_FMT(path), STR_FMT(v->text));
    } else if (k->type == CONFIG_DURATION && failed(duration_parse(v->text, &n))) {
        return config_error(c, v, "%.*s: '%.*s' is not a duration such as 90s or 1h30m",
                            STR_FMT(path), STR_FMT(v->text));
    }
    TRY(check_range(c, k, v, path, n));
    *out = n;
    return OK;
}

static struct err take_list(struct config *c, const struct config_key *k, const struct json *v,
                            struct str path, struct config_list *out)
{
    if (v->type != JSON_ARRAY) {
        return wrong_type(c, v, path, "a list");
    }
    TRY(check_range(c, k, v, path, v->n));
    struct config_list list = {arena_array(&c->arena, struct str, v->n), v->n};
    for (size_t i = 0; i < v->n; i++) {
        const struct json *item = v->items[i];
        struct str item_path = arena_printf(&c->arena, "%.*s[%zu]", STR_FMT(path), i);
        if (!is_scalar(item)) {
            return wrong_type(c, item, item_path, "a string");
        }
        list.items[i] = scalar_text(item);
        TRY(check_choice(c, k, item, item_path, list.items[i]));
    }
    *out = list;
    return OK;
}

static struct err take_map(struct config *c, const struct config_key *k, const struct json *v,
                           struct str path, struct config_map *out)
{
    if (v->type != JSON_OBJECT) {
        return wrong_type(c, v, path, "a mapping");
    }
    TRY(check_range(c, k, v, path, v->n));
    struct config_map map = {arena_array(&c->arena, struct config_pair, v->n), v->n};
    for (size_t i = 0; i < v->n; i++) {
        const struct json_member *m = &v->members[i];
        if (!is_scalar(m->value)) {
            return wrong_type(c, m->value,
                              arena_printf(&c->arena, "%.*s.%.*s", STR_FMT(path), STR_FMT(m->key)),
                              "a string");
        }
        map.items[i] = (struct config_pair){m->key, scalar_text(m->value)};
    }
    *out = map;
    return OK;
}

static struct err later(struct filler *f, struct job job)
{
    if (f->n == MAX_SECTIONS) {
        return config_error(f->c, job.v, "%.*s: more than %d sections in one list",
                            STR_FMT(job.path), MAX_SECTIONS);
    }
    f->jobs = arena_grow(&f->c->arena, f->jobs, f->n, f->n + 1, &f->cap, sizeof(job));
    f->jobs[f->n++] = job;
    return OK;
}

static struct err take_sections(struct filler *f, const struct config_key *k, const struct json *v,
                                struct str path, struct config_items *out)
{
    BUG_ON(k->size == 0);
    if (v->type != JSON_ARRAY) {
        return wrong_type(f->c, v, path, "a list of sections");
    }
    TRY(check_range(f->c, k, v, path, v->n));
    char *items = arena_calloc(&f->c->arena, v->n, k->size);
    for (size_t i = 0; i < v->n; i++) {
        struct str item_path = arena_printf(&f->c->arena, "%.*s[%zu]", STR_FMT(path), i);
        TRY(later(f, (struct job){v->items[i], item_path, k->keys, items + i * k->size}));
    }
    *out = (struct config_items){items, v->n};
    return OK;
}

static struct err take_value(struct filler *f, const struct config_key *k, const struct json *v,
                             struct str path, void *field)
{
    struct config *c = f->c;
    switch (k->type) {
    case CONFIG_STR:
        if (!is_scalar(v)) {
            return wrong_type(c, v, path, "a string");
        }
        TRY(check_choice(c, k, v, path, scalar_text(v)));
        *(struct str *)field = scalar_text(v);
        return OK;
    case CONFIG_BOOL:
        if (v->type != JSON_TRUE && v->type != JSON_FALSE) {
            return wrong_type(c, v, path, "true or false");
        }
        *(bool *)field = v->type == JSON_TRUE;
        return OK;
    case CONFIG_INT:
    case CONFIG_DURATION:
    case CONFIG_SIZE:
        return take_number(c, k, v, path, field);
    case CONFIG_LIST:
        return take_list(c, k, v, path, field);
    case CONFIG_MAP:
        return take_map(c, k, v, path, field);
    case CONFIG_SECTION:
        return later(f, (struct job){v, path, k->keys, field});
    case CONFIG_SECTIONS:
        return take_sections(f, k, v, path, field);
    case CONFIG_TREE:
        *(const struct json **)field = v;
        return OK;
    }
    bug_abort(__FILE__, __LINE__, "a key table with an unknown type");
}

/* A default is written as in the file, so it takes the same way; a wrong one is our mistake. */
static struct err take_default(struct filler *f, const struct config_key *k, struct str path,
                               void *field)
{
    if (k->type == CONFIG_SECTION) {
        return later(f, (struct job){NULL, path, k->keys, field});
    }
    if (k->fallback == NULL) {
        return OK;
    }
    struct json text = {.type = JSON_STRING, .text = str_of(k->fallback)}, *v = &text;
    bool quoted = k->type == CONFIG_STR || k->type == CONFIG_DURATION || k->type == CONFIG_SIZE;
    if (!quoted) {
        BUG_ON(failed(json_parse(&f->c->arena, str_of(k->fallback), NULL, &v)));
    }
    struct err e = take_value(f, k, v, path, field);
    BUG_ON(failed(e));
    return e;
}

static struct err unknown_key(const struct config *c, const struct job *job,
                              const struct json_member *m)
{
    const char *names[128];
    size_t n = 0;
    for (const struct config_key *k = job->keys; k->name != NULL && n < ARRAY_LEN(names); k++) {
        names[n++] = k->name;
    }
    const char *near = config_nearest(names, n, m->key);
    return config_error_at(
        c, ERR_INVALID, m->line, m->col, "%.*s%s%.*s: unknown key%s%s%s", STR_FMT(job->path),
        job->path.n > 0 ? "." : "", (int)MIN(m->key.n, (size_t)100), m->key.p,
        near != NULL ? "; did you mean '" : "", near != NULL ? near : "", near != NULL ? "'?" : "");
}

static struct err check_names(const struct config *c, const struct job *job)
{
    for (uint32_t i = 0; job->v != NULL && i < job->v->n; i++) {
        const struct config_key *k = job->keys;
        while (k->name != NULL && !str_is(job->v->members[i].key, k->name)) {
            k++;
        }
        if (k->name == NULL) {
            return unknown_key(c, job, &job->v->members[i]);
        }
    }
    return OK;
}

static struct err fill_one(struct filler *f, const struct job *job)
{
    struct config *c = f->c;
    if (job->v != NULL && job->v->type != JSON_OBJECT) {
        return wrong_type(c, job->v, job->path, "a mapping");
    }
    TRY(check_names(c, job));
    for (const struct config_key *k = job->keys; k->name != NULL; k++) {
        const struct json *v = json_get(job->v, k->name);
        struct str path = key_path(c, job->path, k->name);
        void *field = job->out + k->offset;
        bool absent = v == NULL || (v->type == JSON_NULL && k->type != CONFIG_TREE);
        if (!absent) {
            TRY(take_value(f, k, v, path, field));
        } else if (k->required) {
            return config_error(c, job->v, "%.*s: missing%s%s", STR_FMT(path),
                                k->help != NULL ? ": " : "", k->help != NULL ? k->help : "");
        } else {
            TRY(take_default(f, k, path, field));
        }
    }
    return OK;
}

struct err config_fill(struct config *c, const struct json *v, struct str path,
                       const struct config_key *keys, void *out)
{
    struct filler f = {.c = c};
    TRY(later(&f, (struct job){v, path, keys, out}));
    while (f.n > 0) {
        struct job job = f.jobs[--f.n];
        TRY(fill_one(&f, &job));
    }
    if (arena_exhausted(&c->arena)) {
        return config_error_at(c, ERR_LIMIT, 0, 0,
                               "the configuration does not fit its memory budget");
    }
    return OK;
}
