/*
 * The versioned key-value engine. A key has one metadata record, which names its versions, and one record a
 * version:
 *     v2/meta/<key>         {current, oldest, max_versions, ..., versions: {"1": {created, deleted, destroyed}}}
 *     v2/data/<key>/<n>     the secret of version n
 */
#include "field.h"
#include "kv.h"

#include <inttypes.h>

/* ---- records ---- */

static struct str meta_path(struct request *r, struct str key)
{
    return mount_storage(r->arena, r->mount, "v2/meta/%.*s", STR_FMT(key));
}

static struct str data_path(struct request *r, struct str key, int64_t version)
{
    return mount_storage(r->arena, r->mount, "v2/data/%.*s/%" PRId64, STR_FMT(key), version);
}

static int64_t int_of(const struct json *o, const char *name)
{
    int64_t n = 0;
    const struct json *v = json_get(o, name);
    if (v != NULL) {
        ignore_err(json_i64(v, &n));
    }
    return n;
}

static struct err load_meta(struct request *r, struct str key, struct json **out)
{
    return storage_get_json(r->core->st, r->arena, meta_path(r, key), out);
}

static struct err save_meta(struct request *r, struct str key, struct json *meta)
{
    json_set_int(r->arena, meta, "updated", clock_wall_ns());
    return storage_put_json(r->core->st, meta_path(r, key), meta);
}

static struct json *member(struct json *o, const char *name)
{
    for (uint32_t i = 0; o != NULL && i < o->n; i++) {
        if (str_is(o->members[i].key, name)) {
            return o->members[i].value;
        }
    }
    return NULL;
}

static struct json *new_meta(struct request *r)
{
    struct json *meta = json_new_object(r->arena);
    json_set_int(r->arena, meta, "created", clock_wall_ns());
    json_set_obj(r->arena, meta, "versions");
    return meta;
}

static struct json *version_of(struct request *r, struct json *meta, int64_t n)
{
    return member(member(meta, "versions"),
                  arena_cstr(r->arena, arena_printf(r->arena, "%" PRId64, n)));
}

static bool is_deleted(const struct json *version)
{
    int64_t at = int_of(version, "deleted");
    return at != 0 && at <= clock_wall_ns();
}

bool kv2_key_exists(struct request *r, struct str key)
{
    struct json *meta = NULL;
    return !failed(load_meta(r, key, &meta)) && meta != NULL;
}

/* ---- configuration of the mount ---- */

static struct err load_config(struct request *r, struct json **out)
{
    TRY(storage_get_json(r->core->st, r->arena, mount_storage(r->arena, r->mount, "v2/config"),
                         out));
    *out = *out != NULL ? *out : json_new_object(r->arena);
    return OK;
}

static struct err config_read(struct request *r, struct str key)
{
    struct json *c, *o = json_new_object(r->arena);
    TRY(load_config(r, &c));
    json_set_bool(r->arena, o, "cas_required", json_true(json_get(c, "cas_required")));
    json_set_str(r->arena, o, "delete_version_after",
                 duration_text(r->arena, int_of(c, "delete_version_after")));
    json_set_int(r->arena, o, "max_versions", int_of(c, "max_versions"));
    return key.n == 0 ? reply_data(r, o) : reply_not_found(r);
}

/* The three settings that a mount and a key share. */
static struct err read_settings(struct request *r, struct json *into)
{
    int64_t max = int_of(into, "max_versions"), after = int_of(into, "delete_version_after");
    bool cas = json_true(json_get(into, "cas_required"));
    TRY(field_int(r->data, "max_versions", &max));
    TRY(field_bool(r->data, "cas_required", &cas));
    TRY(field_seconds(r->data, "delete_version_after", &after));
    ENSURE(max >= 0 && max <= KV_VERSIONS_MAX, ERR_INVALID, "max_versions is between 0 and %d",
           KV_VERSIONS_MAX);
    json_set_int(r->arena, into, "max_versions", max);
    json_set_bool(r->arena, into, "cas_required", cas);
    json_set_int(r->arena, into, "delete_version_after", after);
    return OK;
}

static struct err config_write(struct request *r, struct str key)
{
    struct json *c;
    TRY(load_config(r, &c));
    TRY(read_settings(r, c));
    return storage_put_json(r->core->st, mount_storage(r->arena, r->mount, "v2/config"), c);
}

/* ---- reading ---- */

static struct json *custom_of(struct request *r, struct json *meta)
{
    struct json *custom = member(meta, "custom_metadata");
    return custom != NULL && custom->type == JSON_OBJECT ? custom : json_new_null(r->arena);
}

static struct json *version_json(struct request *r, struct json *meta, struct json *version,
                                 int64_t n)
{
    struct arena *a = r->arena;
    struct json *o = json_new_object(a);
    int64_t deleted = int_of(version, "deleted");
    json_put(a, o, "created_time", json_time(a, int_of(version, "created")));
    json_put(a, o, "custom_metadata", custom_of(r, meta));
    json_put(a, o, "deletion_time",
             deleted != 0 ? json_time(a, deleted) : json_new_string(a, S("")));
    json_set_bool(a, o, "destroyed", json_true(json_get(version, "destroyed")));
    json_set_int(a, o, "version", n);
    return o;
}

/* The version that ?version=N (0 or none: the current one) means; *version NULL when there is none. */
static struct err pick(struct request *r, struct str key, struct json **meta, struct json **version,
                       int64_t *n)
{
    *n = 0;
    *version = NULL;
    TRY(field_int(r->data, "version", n));
    TRY(load_meta(r, key, meta));
    if (*meta != NULL) {
        *n = *n == 0 ? int_of(*meta, "current") : *n;
        *version = version_of(r, *meta, *n);
    }
    return OK;
}

static bool is_gone(const struct json *version)
{
    return is_deleted(version) || json_true(json_get(version, "destroyed"));
}

static struct err gone_reply(struct request *r, const char *field, struct json *metadata)
{
    struct json *o = json_new_object(r->arena);
    json_put(r->arena, o, field, json_new_null(r->arena));
    json_put(r->arena, o, "metadata", metadata);
    r->reply.status = 404;
    return reply_data(r, o);
}

static struct err load_version(struct request *r, struct str key, int64_t n, struct json **out)
{
    TRY(storage_get_json(r->core->st, r->arena, data_path(r, key, n), out));
    ENSURE(*out != NULL, ERR_IO, "version %" PRId64 " of a secret is missing", n);
    return OK;
}

static struct err data_read(struct request *r, struct str key)
{
    struct json *meta, *version, *data;
    int64_t n;
    TRY(pick(r, key, &meta, &version, &n));
    if (version == NULL) {
        return reply_not_found(r);
    }
    struct json *metadata = version_json(r, meta, version, n);
    if (is_gone(version)) {
        return gone_reply(r, "data", metadata);
    }
    TRY(load_version(r, key, n, &data));
    struct json *o = json_new_object(r->arena);
    json_put(r->arena, o, "data", data);
    json_put(r->arena, o, "metadata", metadata);
    return reply_data(r, o);
}

/* ---- subkeys: the shape of a secret without its values ---- */

struct shape_frame {
    const struct json *from;
    struct json *to;
    uint32_t next;
};

static struct json *shape_of(struct arena *a, const struct json *data, int64_t depth)
{
    struct json *top = json_new_object(a);
    struct shape_frame stack[JSON_MAX_DEPTH];
    unsigned n = 1;
    stack[0] = (struct shape_frame){data, top, 0};
    while (n > 0) {
        struct shape_frame *f = &stack[n - 1];
        if (f->next == f->from->n) {
            n--;
            continue;
        }
        const struct json_member *m = &f->from->members[f->next++];
        bool deeper = m->value->type == JSON_OBJECT && m->value->n > 0 && n < JSON_MAX_DEPTH &&
                      (depth == 0 || n < (uint64_t)depth);
        struct json *v = deeper ? json_new_object(a) : json_new_null(a);
        json_add(a, f->to, m->key, v);
        if (deeper) {
            stack[n++] = (struct shape_frame){m->value, v, 0};
        }
    }
    return top;
}

static struct err subkeys_read(struct request *r, struct str key)
{
    struct json *meta, *version, *data;
    int64_t n, depth = 0;
    TRY(field_int(r->data, "depth", &depth));
    TRY(pick(r, key, &meta, &version, &n));
    if (version == NULL) {
        return reply_not_found(r);
    }
    struct json *metadata = version_json(r, meta, version, n);
    if (is_gone(version)) {
        return gone_reply(r, "subkeys", metadata);
    }
    TRY(load_version(r, key, n, &data));
    struct json *o = json_new_object(r->arena);
    json_put(r->arena, o, "subkeys", shape_of(r->arena, data, depth));
    json_put(r->arena, o, "metadata", metadata);
    return reply_data(r, o);
}

/* ---- writing ---- */

static struct err check_cas(struct request *r, struct json *meta, const struct json *config)
{
    const struct json *options = json_get(r->data, "options");
    bool required =
        json_true(json_get(config, "cas_required")) || json_true(json_get(meta, "cas_required"));
    if (!field_given(options, "cas")) {
        ENSURE(!required, ERR_INVALID, "check-and-set parameter required for this call");
        return OK;
    }
    int64_t cas = 0;
    TRY(field_int(options, "cas", &cas));
    ENSURE(cas == int_of(meta, "current"), ERR_INVALID,
           "check-and-set parameter did not match the current version");
    return OK;
}

static int64_t keep_count(const struct json *meta, const struct json *config)
{
    int64_t own = int_of(meta, "max_versions"), all = int_of(config, "max_versions");
    int64_t n = own > 0 ? own : all;
    return n > 0 ? n : KV_VERSIONS_DEFAULT;
}

/* Versions that fall off the end go from both records. */
static struct err drop_oldest(struct request *r, struct str key, struct json *meta, int64_t keep)
{
    int64_t current = int_of(meta, "current"), oldest = int_of(meta, "oldest");
    struct json *versions = member(meta, "versions");
    for (; current - oldest >= keep; oldest++) {
        TRY(storage_del(r->core->st, data_path(r, key, oldest)));
        json_remove(versions, arena_printf(r->arena, "%" PRId64, oldest));
    }
    json_set_int(r->arena, meta, "oldest", oldest);
    return OK;
}

static int64_t delete_after(const struct json *meta, const struct json *config)
{
    int64_t own = int_of(meta, "delete_version_after"),
            all = int_of(config, "delete_version_after");
    return own > 0 && (all == 0 || own < all) ? own : all;
}

static struct err add_version(struct request *r, struct str key, struct json *meta,
                              const struct json *config, const struct json *data)
{
    struct arena *a = r->arena;
    int64_t n = int_of(meta, "current") + 1, now = clock_wall_ns(),
            after = delete_after(meta, config);
    struct json *version = json_new_object(a);
    json_set_int(a, version, "created", now);
    json_set_int(a, version, "deleted", after > 0 ? now + after * NS_PER_S : 0);
    json_set_bool(a, version, "destroyed", false);
    json_add(a, member(meta, "versions"), arena_printf(a, "%" PRId64, n), version);
    json_set_int(a, meta, "current", n);
    if (int_of(meta, "oldest") == 0) {
        json_set_int(a, meta, "oldest", n);
    }
    TRY(drop_oldest(r, key, meta, keep_count(meta, config)));
    TRY(storage_put_json(r->core->st, data_path(r, key, n), data));
    TRY(save_meta(r, key, meta));
    return reply_data(r, version_json(r, meta, version, n));
}

static struct err data_write(struct request *r, struct str key)
{
    struct json *config, *meta;
    const struct json *data = json_get(r->data, "data");
    ENSURE(data != NULL && data->type == JSON_OBJECT, ERR_INVALID, "no data provided");
    TRY(load_config(r, &config));
    TRY(load_meta(r, key, &meta));
    meta = meta != NULL ? meta : new_meta(r);
    TRY(check_cas(r, meta, config));
    return add_version(r, key, meta, config, data);
}

/* RFC 7396, without recursion: objects are merged, null removes, the rest replaces. */
struct merge_frame {
    struct json *target;
    const struct json *patch;
    uint32_t next;
};

static struct json *object_at(struct arena *a, struct json *target, struct str key)
{
    for (uint32_t i = 0; i < target->n; i++) {
        if (str_eq(target->members[i].key, key) && target->members[i].value->type == JSON_OBJECT) {
            return target->members[i].value;
        }
    }
    struct json *v = json_new_object(a);
    json_set(a, target, key, v);
    return v;
}

static void merge_patch(struct arena *a, struct json *target, const struct json *patch)
{
    struct merge_frame stack[JSON_MAX_DEPTH];
    unsigned n = 1;
    stack[0] = (struct merge_frame){target, patch, 0};
    while (n > 0) {
        struct merge_frame *f = &stack[n - 1];
        if (f->next == f->patch->n) {
            n--;
            continue;
        }
        const struct json_member *m = &f->patch->members[f->next++];
        if (m->value->type == JSON_NULL) {
            json_remove(f->target, m->key);
        } else if (m->value->type == JSON_OBJECT && n < JSON_MAX_DEPTH) {
            stack[n++] = (struct merge_frame){object_at(a, f->target, m->key), m->value, 0};
        } else {
            json_set(a, f->target, m->key, m->value);
        }
    }
}

static struct err data_patch(struct request *r, struct str key)
{
    struct json *config, *meta, *data;
    const struct json *patch = json_get(r->data, "data");
    ENSURE(patch != NULL && patch->type == JSON_OBJECT, ERR_INVALID, "no data provided");
    TRY(load_config(r, &config));
    TRY(load_meta(r, key, &meta));
    struct json *version = meta != NULL ? version_of(r, meta, int_of(meta, "current")) : NULL;
    if (version == NULL || is_gone(version)) {
        return reply_not_found(r);
    }
    TRY(check_cas(r, meta, config));
    TRY(load_version(r, key, int_of(meta, "current"), &data));
    merge_patch(r->arena, data, patch);
    return add_version(r, key, meta, config, data);
}

/* ---- deleting, undeleting, destroying ---- */

enum change { CHANGE_DELETE, CHANGE_UNDELETE, CHANGE_DESTROY };

static struct err change_version(struct request *r, struct str key, struct json *meta, int64_t n,
                                 enum change what)
{
    struct json *version = version_of(r, meta, n);
    if (version == NULL || json_true(json_get(version, "destroyed"))) {
        return OK;
    }
    if (what == CHANGE_DELETE && !is_deleted(version)) {
        json_set_int(r->arena, version, "deleted", clock_wall_ns());
    } else if (what == CHANGE_UNDELETE) {
        json_set_int(r->arena, version, "deleted", 0);
    } else if (what == CHANGE_DESTROY) {
        json_set_bool(r->arena, version, "destroyed", true);
        return storage_del(r->core->st, data_path(r, key, n));
    }
    return OK;
}

static struct err change_listed(struct request *r, struct str key, enum change what)
{
    struct json *meta, *list = NULL;
    TRY(field_list(r->arena, r->data, "versions", &list));
    ENSURE(list != NULL && list->n > 0, ERR_INVALID, "No version number provided");
    TRY(load_meta(r, key, &meta));
    if (meta == NULL) {
        return what == CHANGE_DELETE ? reply_empty(r) : reply_not_found(r);
    }
    for (uint32_t i = 0; i < list->n; i++) {
        uint64_t n;
        ENSURE(!failed(str_to_u64(json_str(list->items[i]), &n)) && n < INT64_MAX, ERR_INVALID,
               "a version is a whole number");
        TRY(change_version(r, key, meta, (int64_t)n, what));
    }
    return save_meta(r, key, meta);
}

static struct err delete_write(struct request *r, struct str key)
{
    return change_listed(r, key, CHANGE_DELETE);
}

static struct err undelete_write(struct request *r, struct str key)
{
    return change_listed(r, key, CHANGE_UNDELETE);
}

static struct err destroy_write(struct request *r, struct str key)
{
    return change_listed(r, key, CHANGE_DESTROY);
}

static struct err data_del(struct request *r, struct str key)
{
    struct json *meta;
    TRY(load_meta(r, key, &meta));
    if (meta == NULL) {
        return reply_empty(r);
    }
    TRY(change_version(r, key, meta, int_of(meta, "current"), CHANGE_DELETE));
    return save_meta(r, key, meta);
}

/* ---- metadata ---- */

static struct err metadata_read(struct request *r, struct str key)
{
    struct arena *a = r->arena;
    struct json *meta;
    TRY(load_meta(r, key, &meta));
    if (meta == NULL) {
        return reply_not_found(r);
    }
    struct json *o = json_new_object(a), *stored = member(meta, "versions"), *versions;
    json_set_bool(a, o, "cas_required", json_true(json_get(meta, "cas_required")));
    json_put(a, o, "created_time", json_time(a, int_of(meta, "created")));
    json_set_int(a, o, "current_version", int_of(meta, "current"));
    json_put(a, o, "custom_metadata", custom_of(r, meta));
    json_set_str(a, o, "delete_version_after",
                 duration_text(a, int_of(meta, "delete_version_after")));
    json_set_int(a, o, "max_versions", int_of(meta, "max_versions"));
    json_set_int(a, o, "oldest_version", int_of(meta, "oldest"));
    json_put(a, o, "updated_time", json_time(a, int_of(meta, "updated")));
    versions = json_set_obj(a, o, "versions");
    for (uint32_t i = 0; i < stored->n; i++) {
        struct json *v = stored->members[i].value, *shown = json_new_object(a);
        int64_t deleted = int_of(v, "deleted");
        json_put(a, shown, "created_time", json_time(a, int_of(v, "created")));
        json_put(a, shown, "deletion_time",
                 deleted != 0 ? json_time(a, deleted) : json_new_string(a, S("")));
        json_set_bool(a, shown, "destroyed", json_true(json_get(v, "destroyed")));
        json_add(a, versions, stored->members[i].key, shown);
    }
    return reply_data(r, o);
}

static struct err check_custom(const struct json *custom)
{
    ENSURE(custom->n <= KV_CUSTOM_KEYS_MAX, ERR_INVALID, "custom_metadata has at most %d keys",
           KV_CUSTOM_KEYS_MAX);
    for (uint32_t i = 0; i < custom->n; i++) {
        struct str k = custom->members[i].key, v = json_str(custom->members[i].value);
        ENSURE(k.n > 0 && k.n <= KV_CUSTOM_KEY_MAX, ERR_INVALID,
               "a custom_metadata key has 1 to %d bytes", KV_CUSTOM_KEY_MAX);
        ENSURE(v.n <= KV_CUSTOM_VALUE_MAX, ERR_INVALID,
               "a custom_metadata value has at most %d bytes", KV_CUSTOM_VALUE_MAX);
    }
    return OK;
}

static struct err metadata_write(struct request *r, struct str key)
{
    struct json *meta, *custom = NULL;
    TRY(load_meta(r, key, &meta));
    meta = meta != NULL ? meta : new_meta(r);
    TRY(read_settings(r, meta));
    TRY(field_map(r->arena, r->data, "custom_metadata", &custom));
    if (custom != NULL) {
        TRY(check_custom(custom));
        json_put(r->arena, meta, "custom_metadata", custom);
    }
    return save_meta(r, key, meta);
}

static struct err metadata_patch(struct request *r, struct str key)
{
    struct json *meta;
    const struct json *patch = json_get(r->data, "custom_metadata");
    TRY(load_meta(r, key, &meta));
    if (meta == NULL) {
        return reply_not_found(r);
    }
    TRY(read_settings(r, meta));
    if (patch != NULL && patch->type == JSON_OBJECT) {
        struct json *custom = object_at(r->arena, meta, S("custom_metadata"));
        merge_patch(r->arena, custom, patch);
        TRY(check_custom(custom));
    }
    return save_meta(r, key, meta);
}

static struct err metadata_del(struct request *r, struct str key)
{
    struct json *meta;
    TRY(load_meta(r, key, &meta));
    const struct json *versions = member(meta, "versions");
    for (uint32_t i = 0; versions != NULL && i < versions->n; i++) {
        TRY(storage_del(r->core->st,
                        mount_storage(r->arena, r->mount, "v2/data/%.*s/%.*s", STR_FMT(key),
                                      STR_FMT(versions->members[i].key))));
    }
    return storage_del(r->core->st, meta_path(r, key));
}

static struct err metadata_list(struct request *r, struct str key)
{
    struct json *keys = json_new_array(r->arena);
    struct str prefix =
        mount_storage(r->arena, r->mount, "v2/meta/%.*s%s", STR_FMT(key), key.n > 0 ? "/" : "");
    TRY(storage_list(r->core->st, r->arena, prefix, LIST_MAX, keys));
    return reply_list(r, keys);
}

const struct kv2_verb kv2_verbs[] = {
    {"config", config_read, config_write, .whole_mount = true},
    {"data", data_read, data_write, data_patch, data_del, .may_create = true},
    {"delete", .write = delete_write},
    {"undelete", .write = undelete_write},
    {"destroy", .write = destroy_write},
    {"subkeys", .read = subkeys_read},
    {"metadata", metadata_read, metadata_write, metadata_patch, metadata_del, metadata_list,
     .whole_mount = false, .may_create = true},
    {0},
};
