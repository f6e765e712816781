/*
 * identity: entities (a person or a workload) and their aliases (its name at one auth mount).
 *
 * A login makes both when they are missing. Logins by SPIFFE id share one entity whatever the
 * mount, so that everything a workload holds hangs on one id. A disabled entity is refused at every
 * request, at once.
 */
#ifndef SEXTANT_SECRETS_IDENTITY_H
#define SEXTANT_SECRETS_IDENTITY_H

#include "core.h"

enum {
    ENTITY_NAME_MAX = 256,
    METADATA_KEYS_MAX = 64,
    METADATA_KEY_MAX = 128,
    METADATA_VALUE_MAX = 512
};

struct entity_alias {
    char id[UUID_TEXT];
    struct str accessor, name;               /* owned by the entity's arena */
    struct json *metadata, *custom_metadata; /* objects or NULL */
    struct entity *entity;
    int64_t created_ns, updated_ns;
};

struct entity {
    char id[UUID_TEXT];
    struct arena arena; /* of all below; rebuilt at each change */
    struct str name, spiffe_id;
    struct json *metadata; /* object of strings */
    struct json *policies; /* array of names */
    bool disabled;
    int64_t created_ns, updated_ns;
    struct entity_alias *aliases;
    size_t n_aliases;
};

struct err identity_load(struct core *c);
void identity_unload(struct core *c);
/* The entity behind a login, made when missing. */
struct err identity_login(struct core *c, const struct mount *m, struct str alias,
                          struct str spiffe_id, const struct json *meta, struct entity **out);
struct entity *entity_by_id(struct core *c, struct str id);
struct entity *entity_by_spiffe(struct core *c, struct str spiffe_id);
/* For templates in policies; slices are the entity's. */
void entity_for_acl(struct arena *a, const struct entity *e, struct acl_entity *out);
struct err entity_set_disabled(struct core *c, struct entity *e, bool disabled);

/* Records: an entity as JSON, changed there, and put back (stored, indexed, seen by all at once). */
struct json *entity_record(struct arena *a, const struct entity *e);
struct json *entity_new_record(struct arena *a, struct str name /* empty: made up */,
                               struct str spiffe_id);
struct json *alias_new_record(struct arena *a, struct str accessor, struct str name,
                              const struct json *meta);
struct err entity_put(struct core *c, struct arena *a, struct json *record, struct entity **out);
struct err entity_del(struct core *c, struct entity *e);
struct entity_alias *alias_find(struct core *c, struct arena *a, struct str accessor,
                                struct str name);

#endif
