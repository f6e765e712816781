/* The store of entities and aliases. The JSON record is the truth; the struct is its reading. */
#include "identity.h"

#include "field.h"
#include "token.h"

enum { ENTITY_ARENA_MAX = 4 << 20, RECORD_ARENA_MAX = 8 << 20 };

static struct str alias_key(struct arena *a, struct str accessor, struct str name)
{
    return arena_printf(a, "%.*s/%.*s", STR_FMT(accessor), STR_FMT(name));
}

struct entity *entity_by_id(struct core *c, struct str id)
{
    return id.n > 0 ? map_get(&c->entities, id) : NULL;
}

struct entity *entity_by_spiffe(struct core *c, struct str spiffe_id)
{
    return map_get(&c->spiffe, spiffe_id);
}

void entity_for_acl(struct arena *a, const struct entity *e, struct acl_entity *out)
{
    struct acl_alias *aliases = arena_array(a, struct acl_alias, e->n_aliases + 1);
    for (size_t i = 0; i < e->n_aliases; i++) {
        const struct entity_alias *al = &e->aliases[i];
        aliases[i] = (struct acl_alias){al->accessor, str_of(al->id), al->name, al->metadata,
                                        al->custom_metadata};
    }
    *out = (struct acl_entity){.id = str_of(e->id),
                               .name = e->name,
                               .metadata = e->metadata,
                               .aliases = aliases,
                               .n_aliases = e->n_aliases};
}

static struct json *alias_record(struct arena *a, const struct entity_alias *al)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "id", arena_str(a, str_of(al->id)));
    json_set_str(a, o, "mount_accessor", arena_str(a, al->accessor));
    json_set_str(a, o, "name", arena_str(a, al->name));
    json_put(a, o, "metadata",
             al->metadata != NULL ? json_copy(a, al->metadata) : json_new_null(a));
    json_put(a, o, "custom_metadata",
             al->custom_metadata != NULL ? json_copy(a, al->custom_metadata) : json_new_null(a));
    json_set_int(a, o, "created", al->created_ns);
    json_set_int(a, o, "updated", al->updated_ns);
    return o;
}

struct json *entity_record(struct arena *a, const struct entity *e)
{
    struct json *o = json_new_object(a);
    json_set_str(a, o, "id", arena_str(a, str_of(e->id)));
    json_set_str(a, o, "name", arena_str(a, e->name));
    json_set_str(a, o, "spiffe_id", arena_str(a, e->spiffe_id));
    json_put(a, o, "metadata", e->metadata != NULL ? json_copy(a, e->metadata) : json_new_null(a));
    json_put(a, o, "policies", e->policies != NULL ? json_copy(a, e->policies) : json_new_array(a));
    json_set_bool(a, o, "disabled", e->disabled);
    json_set_int(a, o, "created", e->created_ns);
    json_set_int(a, o, "updated", e->updated_ns);
    struct json *aliases = json_set_arr(a, o, "aliases");
    for (size_t i = 0; i < e->n_aliases; i++) {
        json_push(a, aliases, alias_record(a, &e->aliases[i]));
    }
    return o;
}

static int64_t int_of(const struct json *o, const char *key)
{
    int64_t n = 0;
    const struct json *v = json_get(o, key);
    if (v != NULL) {
        ignore_err(json_i64(v, &n));
    }
    return n;
}

static struct json *object_of(struct arena *a, const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    return json_is(v, JSON_OBJECT) ? json_copy(a, v) : NULL;
}

static void read_alias(struct entity *e, struct entity_alias *al, const struct json *o)
{
    struct arena *a = &e->arena;
    ignore_err(str_to_cstr(json_str(json_get(o, "id")), al->id, sizeof al->id));
    al->accessor = arena_str(a, json_str(json_get(o, "mount_accessor")));
    al->name = arena_str(a, json_str(json_get(o, "name")));
    al->metadata = object_of(a, o, "metadata");
    al->custom_metadata = object_of(a, o, "custom_metadata");
    al->created_ns = int_of(o, "created");
    al->updated_ns = int_of(o, "updated");
    al->entity = e;
}

static void read_record(struct entity *e, const struct json *o)
{
    struct arena *a = &e->arena;
    ignore_err(str_to_cstr(json_str(json_get(o, "id")), e->id, sizeof e->id));
    e->name = arena_str(a, json_str(json_get(o, "name")));
    e->spiffe_id = arena_str(a, json_str(json_get(o, "spiffe_id")));
    e->metadata = object_of(a, o, "metadata");
    const struct json *policies = json_get(o, "policies"), *aliases = json_get(o, "aliases");
    e->policies = json_is(policies, JSON_ARRAY) ? json_copy(a, policies) : NULL;
    e->disabled = json_true(json_get(o, "disabled"));
    e->created_ns = int_of(o, "created");
    e->updated_ns = int_of(o, "updated");
    e->n_aliases = json_is(aliases, JSON_ARRAY) ? aliases->n : 0;
    e->aliases = arena_array(a, struct entity_alias, e->n_aliases + 1);
    for (size_t i = 0; i < e->n_aliases; i++) {
        read_alias(e, &e->aliases[i], aliases->items[i]);
    }
}

static void unindex(struct core *c, struct entity *e)
{
    for (size_t i = 0; i < e->n_aliases; i++) {
        map_del(&c->aliases, alias_key(&e->arena, e->aliases[i].accessor, e->aliases[i].name));
    }
    map_del(&c->entity_names, e->name);
    if (e->spiffe_id.n > 0) {
        map_del(&c->spiffe, e->spiffe_id);
    }
}

static void index_entity(struct core *c, struct entity *e)
{
    for (size_t i = 0; i < e->n_aliases; i++) {
        map_set(&c->aliases, alias_key(&e->arena, e->aliases[i].accessor, e->aliases[i].name),
                &e->aliases[i]);
    }
    map_set(&c->entities, str_of(e->id), e);
    map_set(&c->entity_names, e->name, e);
    if (e->spiffe_id.n > 0) {
        map_set(&c->spiffe, e->spiffe_id, e);
    }
}

/* Makes memory agree with a record: a new entity, or the one there is read anew. */
static struct entity *apply(struct core *c, const struct json *record)
{
    struct entity *e = map_get(&c->entities, json_str(json_get(record, "id")));
    if (e == NULL) {
        e = calloc(1, sizeof *e);
        BUG_ON(e == NULL);
        arena_init(&e->arena, ENTITY_ARENA_MAX);
    } else {
        unindex(c, e);
        arena_release(&e->arena);
    }
    read_record(e, record);
    index_entity(c, e);
    core_forget_acls(c);
    return e;
}

struct err entity_put(struct core *c, struct arena *a, struct json *record, struct entity **out)
{
    json_set_int(a, record, "updated", clock_wall_ns());
    struct str id = json_str(json_get(record, "id"));
    TRY(storage_put_json(c->st, arena_printf(a, "sys/identity/entity/%.*s", STR_FMT(id)), record));
    *out = apply(c, record);
    return OK;
}

struct json *entity_new_record(struct arena *a, struct str name, struct str spiffe_id)
{
    struct json *o = json_new_object(a);
    char *id = arena_alloc(a, UUID_TEXT);
    uuid4(id);
    json_set_str(a, o, "id", str_of(id));
    json_set_str(a, o, "name", name.n > 0 ? name : arena_printf(a, "entity_%.8s", id));
    json_set_str(a, o, "spiffe_id", spiffe_id);
    json_set_int(a, o, "created", clock_wall_ns());
    json_set_arr(a, o, "policies");
    json_set_arr(a, o, "aliases");
    return o;
}

struct json *alias_new_record(struct arena *a, struct str accessor, struct str name,
                              const struct json *meta)
{
    struct json *o = json_new_object(a);
    char *id = arena_alloc(a, UUID_TEXT);
    uuid4(id);
    json_set_str(a, o, "id", str_of(id));
    json_set_str(a, o, "mount_accessor", accessor);
    json_set_str(a, o, "name", name);
    json_put(a, o, "metadata", meta != NULL ? json_copy(a, meta) : json_new_null(a));
    json_set_int(a, o, "created", clock_wall_ns());
    json_set_int(a, o, "updated", clock_wall_ns());
    return o;
}

struct err entity_del(struct core *c, struct entity *e)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct err err = storage_del(c->st, arena_printf(&a, "sys/identity/entity/%s", e->id));
    arena_release(&a);
    TRY(err);
    unindex(c, e);
    map_del(&c->entities, str_of(e->id));
    arena_release(&e->arena);
    free(e);
    core_forget_acls(c);
    return OK;
}

struct entity_alias *alias_find(struct core *c, struct arena *a, struct str accessor,
                                struct str name)
{
    return map_get(&c->aliases, alias_key(a, accessor, name));
}

static struct err join(struct core *c, struct arena *a, const struct mount *m, struct str alias,
                       struct str spiffe_id, const struct json *meta, struct entity **out)
{
    struct entity *e = spiffe_id.n > 0 ? entity_by_spiffe(c, spiffe_id) : NULL;
    struct json *record =
        e != NULL ? entity_record(a, e) : entity_new_record(a, STR_EMPTY, spiffe_id);
    if (e == NULL && spiffe_id.n > 0) {
        struct json *metadata = json_set_obj(a, record, "metadata");
        json_set_str(a, metadata, "spiffe_id", spiffe_id);
    }
    for (uint32_t i = 0; i < record->n; i++) {
        if (str_is(record->members[i].key, "aliases")) {
            json_push(a, record->members[i].value, alias_new_record(a, m->accessor, alias, meta));
        }
    }
    return entity_put(c, a, record, out);
}

struct err identity_login(struct core *c, const struct mount *m, struct str alias,
                          struct str spiffe_id, const struct json *meta, struct entity **out)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct entity_alias *have = alias_find(c, &a, m->accessor, alias);
    struct err e = OK;
    if (have != NULL) {
        *out = have->entity;
    } else {
        e = join(c, &a, m, alias, spiffe_id, meta, out);
    }
    arena_release(&a);
    return e;
}

struct err entity_set_disabled(struct core *c, struct entity *e, bool disabled)
{
    if (e->disabled == disabled) {
        return OK;
    }
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct json *record = entity_record(&a, e);
    json_set_bool(&a, record, "disabled", disabled);
    struct err err = entity_put(c, &a, record, &e);
    arena_release(&a);
    return err;
}

static struct err load_one(void *ctx, struct str path, struct str text)
{
    struct arena a;
    arena_init(&a, RECORD_ARENA_MAX);
    struct json *o;
    struct err e = json_parse(&a, text, NULL, &o);
    if (!failed(e)) {
        apply(ctx, o);
    }
    arena_release(&a);
    return e;
}

struct err identity_load(struct core *c)
{
    return storage_each(c->st, S("sys/identity/entity/"), load_one, c);
}

void identity_unload(struct core *c)
{
    struct map_entry *e;
    for (size_t i = 0; (e = map_at(&c->entities, &i)) != NULL;) {
        struct entity *entity = e->value;
        arena_release(&entity->arena);
        free(entity);
    }
    struct map *maps[] = {&c->entities, &c->entity_names, &c->aliases, &c->spiffe};
    for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
        map_release(maps[i]);
        map_init(maps[i]);
    }
}
