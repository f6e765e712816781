/* identity/: entities and aliases as clients manage them. */
#include "engines.h"
#include "field.h"
#include "identity.h"
#include "lease.h"

/* ---- entities as JSON ---- */

static struct json *alias_json(struct request *r, const struct entity_alias *al)
{
    struct arena *a = r->arena;
    struct json *o = json_new_object(a);
    const struct mount *m = mount_by_accessor(r->core, al->accessor);
    json_set_str(a, o, "canonical_id", arena_str(a, str_of(al->entity->id)));
    json_put(a, o, "creation_time", json_time(a, al->created_ns));
    json_put(a, o, "custom_metadata",
             al->custom_metadata != NULL ? json_copy(a, al->custom_metadata) : json_new_null(a));
    json_set_str(a, o, "id", arena_str(a, str_of(al->id)));
    json_put(a, o, "last_update_time", json_time(a, al->updated_ns));
    json_set_bool(a, o, "local", false);
    json_put(a, o, "merged_from_canonical_ids", json_new_null(a));
    json_put(a, o, "metadata",
             al->metadata != NULL ? json_copy(a, al->metadata) : json_new_null(a));
    json_set_str(a, o, "mount_accessor", arena_str(a, al->accessor));
    json_set_str(a, o, "mount_path", m != NULL ? arena_str(a, m->path) : S(""));
    json_set_str(a, o, "mount_type", m != NULL ? str_of(m->engine->type) : S(""));
    json_set_str(a, o, "name", arena_str(a, al->name));
    return o;
}

static struct err entity_reply(struct request *r, const struct entity *e)
{
    struct arena *a = r->arena;
    struct json *o = json_new_object(a), *aliases = json_set_arr(a, o, "aliases");
    for (size_t i = 0; i < e->n_aliases; i++) {
        json_push(a, aliases, alias_json(r, &e->aliases[i]));
    }
    json_put(a, o, "creation_time", json_time(a, e->created_ns));
    json_set_arr(a, o, "direct_group_ids");
    json_set_bool(a, o, "disabled", e->disabled);
    json_set_arr(a, o, "group_ids");
    json_set_str(a, o, "id", arena_str(a, str_of(e->id)));
    json_set_arr(a, o, "inherited_group_ids");
    json_put(a, o, "last_update_time", json_time(a, e->updated_ns));
    json_put(a, o, "merged_entity_ids", json_new_null(a));
    json_put(a, o, "metadata", e->metadata != NULL ? json_copy(a, e->metadata) : json_new_null(a));
    json_set_str(a, o, "name", arena_str(a, e->name));
    json_set_str(a, o, "namespace_id", S("root"));
    json_put(a, o, "policies", e->policies != NULL ? json_copy(a, e->policies) : json_new_array(a));
    return reply_data(r, o);
}

static struct entity *of_path(struct request *r, bool by_name)
{
    return by_name ? map_get(&r->core->entity_names, request_param(r, "name"))
                   : entity_by_id(r->core, request_param(r, "id"));
}

static struct err check_metadata(const struct json *meta)
{
    ENSURE(meta->n <= METADATA_KEYS_MAX, ERR_INVALID, "metadata has at most %d keys",
           METADATA_KEYS_MAX);
    for (uint32_t i = 0; i < meta->n; i++) {
        ENSURE(meta->members[i].key.n <= METADATA_KEY_MAX, ERR_INVALID,
               "a metadata key has at most %d bytes", METADATA_KEY_MAX);
        ENSURE(json_str(meta->members[i].value).n <= METADATA_VALUE_MAX, ERR_INVALID,
               "a metadata value has at most %d bytes", METADATA_VALUE_MAX);
    }
    return OK;
}

static struct err read_policies(struct request *r, struct json *record)
{
    struct json *names = NULL, *normal = json_new_array(r->arena);
    TRY(field_list(r->arena, r->data, "policies", &names));
    if (names == NULL) {
        return OK;
    }
    for (uint32_t i = 0; i < names->n; i++) {
        struct str name;
        TRY(policy_name_normal(r->arena, json_str(names->items[i]), &name));
        ENSURE(!str_is(name, "root"), ERR_INVALID, "policies cannot contain root");
        json_push(r->arena, normal, json_new_string(r->arena, name));
    }
    json_put(r->arena, record, "policies", normal);
    return OK;
}

/* What the request gives replaces what the record has. */
static struct err fill_record(struct request *r, struct json *record, struct str name)
{
    struct arena *a = r->arena;
    struct json *meta = NULL;
    struct str spiffe = STR_EMPTY;
    bool disabled = json_true(json_get(record, "disabled"));
    TRY(field_str(r->data, "name", &name));
    TRY(field_map(a, r->data, "metadata", &meta));
    TRY(field_bool(r->data, "disabled", &disabled));
    TRY(field_str(r->data, "spiffe_id", &spiffe));
    TRY(read_policies(r, record));
    ENSURE(name.n <= ENTITY_NAME_MAX, ERR_INVALID, "an entity name has at most %d bytes",
           ENTITY_NAME_MAX);
    if (meta != NULL) {
        TRY(check_metadata(meta));
        json_put(a, record, "metadata", meta);
    }
    struct str id = json_str(json_get(record, "id"));
    struct entity *same = name.n > 0 ? map_get(&r->core->entity_names, name) : NULL;
    ENSURE(same == NULL || str_is(id, same->id), ERR_INVALID, "entity name is already in use");
    if (name.n > 0) {
        json_set_str(a, record, "name", name);
    }
    if (spiffe.n > 0) {
        same = entity_by_spiffe(r->core, spiffe);
        ENSURE(same == NULL || str_is(id, same->id), ERR_INVALID, "SPIFFE id is already in use");
        json_set_str(a, record, "spiffe_id", spiffe);
    }
    json_set_bool(a, record, "disabled", disabled);
    return OK;
}

static struct err upsert(struct request *r, struct entity *e, struct str name)
{
    struct json *record =
        e != NULL ? entity_record(r->arena, e) : entity_new_record(r->arena, STR_EMPTY, STR_EMPTY);
    bool fresh = e == NULL;
    TRY(fill_record(r, record, name));
    TRY(entity_put(r->core, r->arena, record, &e));
    if (!fresh) {
        return reply_empty(r);
    }
    struct json *o = json_new_object(r->arena);
    json_put(r->arena, o, "aliases", json_new_null(r->arena));
    json_set_str(r->arena, o, "id", arena_str(r->arena, str_of(e->id)));
    json_set_str(r->arena, o, "name", arena_str(r->arena, e->name));
    return reply_data(r, o);
}

static struct err entity_write(struct request *r)
{
    struct str id = STR_EMPTY, name = STR_EMPTY;
    TRY(field_str(r->data, "id", &id));
    TRY(field_str(r->data, "name", &name));
    struct entity *e = id.n > 0 ? entity_by_id(r->core, id) : map_get(&r->core->entity_names, name);
    ENSURE(id.n == 0 || e != NULL, ERR_INVALID, "entity not found from id");
    return upsert(r, e, name);
}

static struct err entity_write_id(struct request *r)
{
    struct entity *e = of_path(r, false);
    ENSURE(e != NULL, ERR_INVALID, "entity not found from id");
    return upsert(r, e, STR_EMPTY);
}

static struct err entity_write_name(struct request *r)
{
    return upsert(r, of_path(r, true), request_param(r, "name"));
}

static struct err entity_read_id(struct request *r)
{
    struct entity *e = of_path(r, false);
    return e != NULL ? entity_reply(r, e) : reply_not_found(r);
}

static struct err entity_read_name(struct request *r)
{
    struct entity *e = of_path(r, true);
    return e != NULL ? entity_reply(r, e) : reply_not_found(r);
}

/* The entity goes with everything that it was given. */
static struct err remove_entity(struct request *r, struct entity *e)
{
    if (e == NULL) {
        return reply_empty(r);
    }
    unsigned tokens;
    struct str id = arena_str(r->arena, str_of(e->id));
    lease_revoke_entity(r->core, id, NULL, &tokens);
    r->entity = r->entity == e ? NULL : r->entity;
    return entity_del(r->core, e);
}

static struct err entity_del_id(struct request *r)
{
    return remove_entity(r, of_path(r, false));
}

static struct err entity_del_name(struct request *r)
{
    return remove_entity(r, of_path(r, true));
}

static struct err list(struct request *r, bool by_name)
{
    struct arena *a = r->arena;
    struct json *keys = json_new_array(a), *info = json_new_object(a);
    struct map_entry *m;
    for (size_t i = 0; (m = map_at(&r->core->entities, &i)) != NULL && keys->n < LIST_MAX;) {
        const struct entity *e = m->value;
        struct json *o = json_new_object(a), *aliases = json_set_arr(a, o, "aliases");
        json_set_str(a, o, "name", arena_str(a, e->name));
        for (size_t k = 0; k < e->n_aliases; k++) {
            json_push(a, aliases, alias_json(r, &e->aliases[k]));
        }
        struct str key = arena_str(a, by_name ? e->name : str_of(e->id));
        json_push(a, keys, json_new_string(a, key));
        json_add(a, info, key, o);
    }
    TRY(reply_list(r, keys));
    if (r->reply.data != NULL) {
        json_put(a, r->reply.data, "key_info", info);
    }
    return OK;
}

static struct err list_ids(struct request *r)
{
    return list(r, false);
}

static struct err list_names(struct request *r)
{
    return list(r, true);
}

/* ---- aliases ---- */

static struct entity_alias *alias_by_id(struct core *c, struct str id)
{
    struct map_entry *m;
    for (size_t i = 0; (m = map_at(&c->aliases, &i)) != NULL;) {
        struct entity_alias *al = m->value;
        if (str_is(id, al->id)) {
            return al;
        }
    }
    return NULL;
}

static struct json *aliases_of(struct json *record)
{
    for (uint32_t i = 0; i < record->n; i++) {
        if (str_is(record->members[i].key, "aliases")) {
            return record->members[i].value;
        }
    }
    BUG_ON("an entity record without aliases");
    return NULL;
}

static struct err alias_reply_ids(struct request *r, struct str id, struct str canonical)
{
    struct json *o = json_new_object(r->arena);
    json_set_str(r->arena, o, "canonical_id", canonical);
    json_set_str(r->arena, o, "id", id);
    return reply_data(r, o);
}

static struct err alias_write(struct request *r)
{
    struct arena *a = r->arena;
    struct str name = STR_EMPTY, accessor = STR_EMPTY, canonical = STR_EMPTY;
    struct json *custom = NULL;
    TRY(field_str(r->data, "name", &name));
    TRY(field_str(r->data, "mount_accessor", &accessor));
    TRY(field_str(r->data, "canonical_id", &canonical));
    TRY(field_map(a, r->data, "custom_metadata", &custom));
    ENSURE(name.n > 0, ERR_INVALID, "missing alias name");
    struct mount *m = mount_by_accessor(r->core, accessor);
    ENSURE(m != NULL && m->engine->auth, ERR_INVALID, "invalid mount accessor \"%.*s\"",
           STR_FMT(accessor));
    struct entity_alias *have = alias_find(r->core, a, accessor, name);
    if (have != NULL && (canonical.n == 0 || str_is(canonical, have->entity->id))) {
        return alias_reply_ids(r, arena_str(a, str_of(have->id)),
                               arena_str(a, str_of(have->entity->id)));
    }
    ENSURE(have == NULL, ERR_INVALID, "alias is already tied to a different entity");
    struct entity *e = canonical.n > 0 ? entity_by_id(r->core, canonical) : NULL;
    ENSURE(canonical.n == 0 || e != NULL, ERR_INVALID, "invalid canonical ID");
    struct json *record =
        e != NULL ? entity_record(a, e) : entity_new_record(a, STR_EMPTY, STR_EMPTY);
    struct json *alias = alias_new_record(a, accessor, name, NULL);
    if (custom != NULL) {
        TRY(check_metadata(custom));
        json_put(a, alias, "custom_metadata", custom);
    }
    json_push(a, aliases_of(record), alias);
    TRY(entity_put(r->core, a, record, &e));
    return alias_reply_ids(r, json_str(json_get(alias, "id")), arena_str(a, str_of(e->id)));
}

static struct err alias_read(struct request *r)
{
    const struct entity_alias *al = alias_by_id(r->core, request_param(r, "id"));
    return al != NULL ? reply_data(r, alias_json(r, al)) : reply_not_found(r);
}

static struct err alias_del(struct request *r)
{
    struct str id = request_param(r, "id");
    struct entity_alias *al = alias_by_id(r->core, id);
    if (al == NULL) {
        return reply_empty(r);
    }
    struct entity *e = al->entity;
    struct json *record = entity_record(r->arena, e), *kept = json_new_array(r->arena);
    struct json *all = aliases_of(record);
    for (uint32_t i = 0; i < all->n; i++) {
        if (!str_eq(json_str(json_get(all->items[i], "id")), id)) {
            json_push(r->arena, kept, all->items[i]);
        }
    }
    json_put(r->arena, record, "aliases", kept);
    return entity_put(r->core, r->arena, record, &e);
}

static struct err alias_list(struct request *r)
{
    struct json *keys = json_new_array(r->arena);
    struct map_entry *m;
    for (size_t i = 0; (m = map_at(&r->core->aliases, &i)) != NULL && keys->n < LIST_MAX;) {
        const struct entity_alias *al = m->value;
        json_push(r->arena, keys, json_new_string(r->arena, arena_str(r->arena, str_of(al->id))));
    }
    return reply_list(r, keys);
}

static struct err lookup(struct request *r)
{
    struct str id = STR_EMPTY, name = STR_EMPTY, alias = STR_EMPTY, accessor = STR_EMPTY,
               spiffe = STR_EMPTY;
    TRY(field_str(r->data, "id", &id));
    TRY(field_str(r->data, "name", &name));
    TRY(field_str(r->data, "alias_name", &alias));
    TRY(field_str(r->data, "alias_mount_accessor", &accessor));
    TRY(field_str(r->data, "spiffe_id", &spiffe));
    struct entity *e = NULL;
    if (id.n > 0) {
        e = entity_by_id(r->core, id);
    } else if (name.n > 0) {
        e = map_get(&r->core->entity_names, name);
    } else if (spiffe.n > 0) {
        e = entity_by_spiffe(r->core, spiffe);
    } else {
        struct entity_alias *al = alias_find(r->core, r->arena, accessor, alias);
        e = al != NULL ? al->entity : NULL;
    }
    return e != NULL ? entity_reply(r, e) : reply_empty(r);
}

static const struct route routes[] = {
    {"entity", .write = entity_write},
    {"entity/id", .list = list_ids},
    {"entity/name", .list = list_names},
    {"entity/id/{id}", .read = entity_read_id, .write = entity_write_id, .del = entity_del_id},
    {"entity/name/{name}", .read = entity_read_name, .write = entity_write_name,
     .del = entity_del_name},
    {"entity-alias", .write = alias_write},
    {"entity-alias/id", .list = alias_list},
    {"entity-alias/id/{id}", .read = alias_read, .del = alias_del},
    {"lookup/entity", .write = lookup},
    {0},
};

const struct engine identity_engine = {.type = "identity", .routes = routes};
