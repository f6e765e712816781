/* The key-value engine, version 1, and the choice between the two versions. */
#include "kv.h"

#include "engines.h"
#include "field.h"

bool kv_is_v2(const struct mount *m)
{
    return m->options != NULL && str_is(json_str(json_get(m->options, "version")), "2");
}

static struct str path_of(struct request *r)
{
    return mount_storage(r->arena, r->mount, "v1/%.*s", STR_FMT(r->rel));
}

static struct err v1_read(struct request *r)
{
    struct json *v;
    TRY(storage_get_json(r->core->st, r->arena, path_of(r), &v));
    if (v == NULL) {
        return reply_not_found(r);
    }
    int64_t ttl = mount_default_ttl(r->mount);
    if (json_get(v, "ttl") != NULL) {
        ignore_err(field_seconds(v, "ttl", &ttl));
    } else {
        ignore_err(field_seconds(v, "lease", &ttl));
    }
    r->reply.lease_s = ttl;
    return reply_data(r, v);
}

static struct err v1_write(struct request *r)
{
    ENSURE(r->data->n > 0, ERR_INVALID, "missing data fields");
    return storage_put_json(r->core->st, path_of(r), r->data);
}

static struct err v1_list(struct request *r)
{
    struct json *keys = json_new_array(r->arena);
    struct str prefix = path_of(r);
    prefix = r->rel.n > 0 ? arena_printf(r->arena, "%.*s/", STR_FMT(prefix)) : prefix;
    TRY(storage_list(r->core->st, r->arena, prefix, LIST_MAX, keys));
    return reply_list(r, keys);
}

/* Below a version 2 mount the first segment says what is meant; other paths get a hint. */
static struct err wrong_path(struct request *r)
{
    reply_warn(
        r,
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API "
        "endpoints to use. If using the Vault CLI, use 'vault kv get' for this operation.");
    return reply_not_found(r);
}

static bool takes(struct str *rel, const char *first)
{
    struct str word = str_of(first);
    if (!str_starts(*rel, word) || (rel->n > word.n && rel->p[word.n] != '/')) {
        return false;
    }
    *rel = rel->n > word.n ? str_sub(*rel, word.n + 1, rel->n) : S("");
    return true;
}

static const struct kv2_verb *verb_of(struct request *r, struct str *key)
{
    for (const struct kv2_verb *v = kv2_verbs; v->name != NULL; v++) {
        struct str rel = r->rel;
        if (takes(&rel, v->name)) {
            *key = rel;
            return v;
        }
    }
    return NULL;
}

static struct err v2(struct request *r)
{
    struct str key;
    const struct kv2_verb *v = verb_of(r, &key);
    if (v == NULL) {
        return wrong_path(r);
    }
    kv2_handler *fn = r->op == ACL_READ     ? v->read
                      : r->op == ACL_LIST   ? v->list
                      : r->op == ACL_DELETE ? v->del
                      : r->op == ACL_PATCH  ? v->patch
                                            : v->write;
    if (fn == NULL || (key.n == 0 && !v->whole_mount && r->op != ACL_LIST)) {
        return fn == NULL ? reply_error(r, 405, "unsupported operation") : wrong_path(r);
    }
    return fn(r, key);
}

static struct err kv_read(struct request *r)
{
    return kv_is_v2(r->mount) ? v2(r) : v1_read(r);
}

static struct err kv_write(struct request *r)
{
    return kv_is_v2(r->mount) ? v2(r) : v1_write(r);
}

static struct err kv_patch(struct request *r)
{
    return kv_is_v2(r->mount) ? v2(r) : reply_error(r, 405, "unsupported operation");
}

static struct err kv_del(struct request *r)
{
    return kv_is_v2(r->mount) ? v2(r) : storage_del(r->core->st, path_of(r));
}

static struct err kv_list(struct request *r)
{
    return kv_is_v2(r->mount) ? v2(r) : v1_list(r);
}

static bool kv_exists(struct request *r)
{
    struct str value, key;
    bool found = false;
    if (!kv_is_v2(r->mount)) {
        ignore_err(storage_get(r->core->st, r->arena, path_of(r), &value, &found));
        return found;
    }
    const struct kv2_verb *v = verb_of(r, &key);
    return v == NULL || !v->may_create || kv2_key_exists(r, key);
}

static const struct route routes[] = {
    {"{path...}", kv_read, kv_write, kv_patch, kv_del, kv_list, 0, kv_exists},
    {0},
};

const struct engine kv_engine = {.type = "kv", .routes = routes};
