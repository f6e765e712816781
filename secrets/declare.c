/*
 * What the configuration file declares, brought about by ordinary requests of the daemon itself, audited as such:
 *
 *     declare:
 *       policies: {shop: |…}            sys/policies/acl/<name>
 *       mounts: {kv: {type: kv-v2}}     sys/mounts/<path>, unless it is there
 *       auth: {jwt: {type: jwt}}        sys/auth/<path>, unless it is there
 *       write: {database/config/records: {password: {$file: /run/…/db.pw}, …}, …}   any path, in order
 *
 * It is applied at every unseal, so it is idempotent; what it does not name stays. A write with `$once: true` beside
 * its data happens only while the path cannot be read.
 */
#include "secretsd.h"

#include "lib/base/log.h"

#include <fcntl.h>
#include <unistd.h>

enum { DECLARED_FILE_MAX = 64 * 1024, DECLARE_ARENA_MAX = 16 << 20, DECLARE_STEPS_MAX = 2000 };

struct step {
    struct str path;
    const struct json *data;
    bool unless_mounted, once;
};

struct declaring {
    struct secretsd *s;
    struct arena arena; /* of the steps */
    struct step *steps;
    size_t n, cap, at;
    struct arena scratch; /* of the request under way */
    struct request r;
    bool probing; /* of a `once` step: reading whether it is there */
    void (*done)(struct secretsd *s, struct err e);
};

static void next_step(struct declaring *dc);

static struct err read_file(struct arena *a, struct str path, struct str *out)
{
    int fd = open(arena_cstr(a, path), O_RDONLY | O_CLOEXEC);
    ENSURE(fd >= 0, ERR_NOT_FOUND, "cannot read %.*s", STR_FMT(path));
    char *text = arena_alloc(a, DECLARED_FILE_MAX);
    ssize_t n = read(fd, text, DECLARED_FILE_MAX);
    close(fd);
    ENSURE(n >= 0 && n < DECLARED_FILE_MAX, ERR_LIMIT, "%.*s is longer than %d bytes",
           STR_FMT(path), DECLARED_FILE_MAX);
    *out = str_trim(str_n(text, (size_t)n));
    return OK;
}

/* A copy of the top-level members of `data`, with {$file: path} replaced by the content of the file. */
static struct err with_files(struct arena *a, const struct json *data, struct json **out)
{
    struct json *o = json_new_object(a);
    for (uint32_t i = 0; i < data->n; i++) {
        if (str_starts(data->members[i].key, S("$"))) {
            continue; /* said to us, not to the path */
        }
        const struct json *v = data->members[i].value, *file = json_get(v, "$file");
        struct json *copy = file == NULL ? json_copy(a, v) : NULL;
        if (file != NULL) {
            struct str text;
            TRY(read_file(a, json_str(file), &text));
            copy = json_new_string(a, text);
        }
        json_set(a, o, data->members[i].key, copy);
    }
    *out = o;
    return OK;
}

static void finish(struct declaring *dc, struct err e)
{
    void (*done)(struct secretsd *, struct err) = dc->done;
    struct secretsd *s = dc->s;
    arena_release(&dc->scratch);
    arena_release(&dc->arena);
    free(dc);
    done(s, e);
}

static void stepped(struct request *r)
{
    struct declaring *dc = r->ctx;
    struct step *st = &dc->steps[dc->at];
    int status = r->status;
    struct str body = arena_str(&dc->arena, str_sub(buf_str(&r->body), 0, 500));
    buf_release(&r->body);
    arena_release(&dc->scratch);
    if (dc->probing) {
        dc->probing = false;
        if (status == 404) {
            st->once = false;
        } else {
            dc->at++;
        }
        next_step(dc);
        return;
    }
    if (status >= 400) {
        finish(dc, err_make(ERR_INVALID, "declare: %.*s: %d %.*s", STR_FMT(st->path), status,
                            STR_FMT(str_trim(body))));
        return;
    }
    dc->at++;
    next_step(dc);
}

static void next_step(struct declaring *dc)
{
    struct core *c = dc->s->core;
    while (dc->at < dc->n && dc->steps[dc->at].unless_mounted) {
        struct str path = dc->steps[dc->at].path;
        struct str mount =
            str_starts(path, S("sys/auth/")) ? str_sub(path, 4, path.n) : str_sub(path, 11, path.n);
        if (mount_at(c, arena_printf(&dc->arena, "%.*s/", STR_FMT(mount))) == NULL) {
            break;
        }
        dc->at++;
    }
    if (dc->at == dc->n || c->sealed) {
        finish(dc, OK);
        return;
    }
    const struct step *st = &dc->steps[dc->at];
    arena_init(&dc->scratch, DECLARE_ARENA_MAX);
    struct json *data;
    struct err e = with_files(&dc->scratch, st->data, &data);
    if (failed(e)) {
        finish(dc, err_wrap(e, "declare: %.*s", STR_FMT(st->path)));
        return;
    }
    dc->probing = st->once;
    dc->r = (struct request){.core = c,
                             .arena = &dc->scratch,
                             .op = st->once ? ACL_READ : ACL_UPDATE,
                             .path = st->path,
                             .data = st->once ? json_new_object(&dc->scratch) : data,
                             .internal = true,
                             .source = S("config"),
                             .trace = trace_new(),
                             .done = stepped,
                             .ctx = dc};
    request_start(&dc->r);
}

static void add(struct declaring *dc, struct str path, const struct json *data, bool unless_mounted)
{
    if (dc->n == dc->cap) {
        dc->steps =
            arena_grow(&dc->arena, dc->steps, dc->n, dc->n + 1, &dc->cap, sizeof *dc->steps);
    }
    dc->steps[dc->n++] =
        (struct step){path, data, unless_mounted, json_true(json_get(data, "$once"))};
}

static void add_all(struct declaring *dc, const struct json *map, const char *prefix, bool mounts)
{
    for (uint32_t i = 0; map != NULL && i < map->n; i++) {
        struct str key = map->members[i].key;
        const struct json *v = map->members[i].value;
        if (str_ends(key, S("/"))) {
            key = str_sub(key, 0, key.n - 1);
        }
        struct json *data = NULL;
        if (v->type == JSON_STRING) { /* a policy's text */
            data = json_new_object(&dc->arena);
            json_put(&dc->arena, data, "policy", json_new_string(&dc->arena, v->text));
        }
        add(dc, arena_printf(&dc->arena, "%s%.*s", prefix, STR_FMT(key)), data != NULL ? data : v,
            mounts);
    }
}

void declare_apply(struct secretsd *s, void (*done)(struct secretsd *s, struct err e))
{
    struct declaring *dc = calloc(1, sizeof *dc);
    BUG_ON(dc == NULL);
    dc->s = s;
    dc->done = done;
    arena_init(&dc->arena, DECLARE_ARENA_MAX);
    const struct json *tree = s->cfg->declare;
    add_all(dc, json_get(tree, "policies"), "sys/policies/acl/", false);
    add_all(dc, json_get(tree, "mounts"), "sys/mounts/", true);
    add_all(dc, json_get(tree, "auth"), "sys/auth/", true);
    add_all(dc, json_get(tree, "write"), "", false);
    next_step(dc);
}

/* ---- before anything runs: is the declaration well formed? ---- */

static struct err check_map(const struct config *c, const struct json *map, bool text_ok)
{
    if (map == NULL) {
        return OK;
    }
    if (map->type != JSON_OBJECT) {
        return config_error(c, map, "a map is expected");
    }
    for (uint32_t i = 0; i < map->n; i++) {
        const struct json *v = map->members[i].value;
        if (v->type != JSON_OBJECT && !(text_ok && v->type == JSON_STRING)) {
            return config_error(
                c, v, text_ok ? "a policy's text is expected" : "a map of fields is expected");
        }
    }
    return OK;
}

static struct err check_policies(const struct config *c, const struct json *map)
{
    for (uint32_t i = 0; map != NULL && i < map->n; i++) {
        const struct json *v = map->members[i].value;
        struct policy *p;
        if (failed(policy_parse(map->members[i].key,
                                json_str(v->type == JSON_STRING ? v : json_get(v, "policy")),
                                &p))) {
            return config_error(c, v, "policy %.*s: %s", STR_FMT(map->members[i].key),
                                err_detail());
        }
        policy_unref(p);
    }
    return OK;
}

struct err declare_check(struct daemon *d)
{
    const struct secrets_config *cfg = d->section;
    const struct json *tree = cfg->declare;
    static const char *const known[] = {"policies", "mounts", "auth", "write"};
    if (tree == NULL) {
        return OK;
    }
    if (tree->type != JSON_OBJECT) {
        return config_error(d->config, tree,
                            "declare is a map of policies, mounts, auth and write");
    }
    size_t steps = 0;
    for (uint32_t i = 0; i < tree->n; i++) {
        bool ok = false;
        for (size_t k = 0; k < ARRAY_LEN(known); k++) {
            ok |= str_is(tree->members[i].key, known[k]);
        }
        if (!ok) {
            return config_error(
                d->config, tree->members[i].value,
                "declare.%.*s: unknown key; known are policies, mounts, auth, write",
                STR_FMT(tree->members[i].key));
        }
        TRY(check_map(d->config, tree->members[i].value, str_is(tree->members[i].key, "policies")));
        steps += tree->members[i].value->n;
    }
    if (steps > DECLARE_STEPS_MAX) {
        return config_error(d->config, tree, "more than %d declarations", DECLARE_STEPS_MAX);
    }
    return check_policies(d->config, json_get(tree, "policies"));
}

const char **declare_files(struct arena *a, const struct json *tree, size_t *n)
{
    const struct json *write = json_get(tree, "write");
    const char **out = arena_array(a, const char *, SANDBOX_PATHS_MAX);
    *n = 0;
    for (uint32_t i = 0; write != NULL && i < write->n; i++) {
        const struct json *data = write->members[i].value;
        for (uint32_t k = 0; k < data->n && data->type == JSON_OBJECT; k++) {
            struct str file = json_str(json_get(data->members[k].value, "$file"));
            if (file.n > 0 && *n < SANDBOX_PATHS_MAX / 2) {
                out[(*n)++] = arena_cstr(a, file);
            }
        }
    }
    return out;
}
