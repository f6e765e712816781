/* The targets, their media types, and the names a database has for what a policy reads. */
#include "authz/rego/filter/filter_priv.h"

static const char words[] = " internal.member_2 startswith endswith contains ";
static const char members[] = " internal.member_2 ";

static const struct capability capabilities[] = {
    {{STR_INIT("sql"), STR_INIT("sqlserver")},
     "SQL (sqlserver)",
     CAN_NOT | CAN_FIELDS | CAN_EXIST,
     words},
    {{STR_INIT("sql"), STR_INIT("mysql")}, "SQL (mysql)", CAN_NOT | CAN_FIELDS | CAN_EXIST, words},
    {{STR_INIT("sql"), STR_INIT("postgresql")},
     "SQL (postgresql)",
     CAN_NOT | CAN_FIELDS | CAN_EXIST,
     words},
    {{STR_INIT("sql"), STR_INIT("sqlite")},
     "SQL (sqlite)",
     CAN_NOT | CAN_FIELDS | CAN_EXIST,
     members},
    {{STR_INIT("ucast"), STR_INIT("all")}, "UCAST (all)", CAN_NOT | CAN_FIELDS, words},
    {{STR_INIT("ucast"), STR_INIT("minimal")}, "UCAST", 0, " "},
    {{STR_INIT("ucast"), STR_INIT("linq")}, "UCAST (LINQ)", 0, members},
    {{STR_INIT("ucast"), STR_INIT("prisma")}, "UCAST (prisma)", CAN_NOT | CAN_EXIST, words},
};

const struct capability *find_capability(const struct rego_target *t)
{
    for (size_t i = 0; i < ARRAY_LEN(capabilities); i++) {
        if (str_eq(capabilities[i].target.target, t->target) &&
            str_eq(capabilities[i].target.dialect, t->dialect)) {
            return &capabilities[i];
        }
    }
    return NULL;
}

bool rego_target_parse(struct str s, struct rego_target *out)
{
    struct rego_target t;
    t.target = str_split(&s, '+');
    t.dialect = s;
    const struct capability *c = s.p != NULL ? find_capability(&t) : NULL;
    if (c == NULL) {
        return false;
    }
    *out = c->target;
    return true;
}

bool rego_target_of_media(struct str media, struct rego_target *out)
{
    static const char prefix[] = "application/vnd.opa.", suffix[] = "+json";
    if (str_is(media, "application/vnd.opa.multitarget+json")) {
        *out = (struct rego_target){.target = S("multi")};
        return true;
    }
    if (!str_starts(media, str_of(prefix)) || !str_ends(media, str_of(suffix))) {
        return false;
    }
    struct str middle = str_sub(media, sizeof prefix - 1, media.n - (sizeof suffix - 1));
    struct rego_target t;
    t.target = str_split(&middle, '.');
    t.dialect = middle;
    const struct capability *c = middle.p != NULL ? find_capability(&t) : NULL;
    if (c == NULL) {
        return false;
    }
    *out = c->target;
    return true;
}

static const char *go_type(struct val v)
{
    return val_is(v, V_NUMBER)   ? "json.Number"
           : val_is(v, V_BOOL)   ? "bool"
           : val_is(v, V_NULL)   ? "<nil>"
           : val_is(v, V_ARRAY)  ? "[]interface {}"
           : val_is(v, V_OBJECT) ? "map[string]interface {}"
                                 : "string";
}

static bool check_table(struct filter_run *r, struct str table, struct val m, struct str *why)
{
    for (uint32_t i = 0; i < val_len(m); i++) {
        struct val key = val_nth_key(r->a, m, i), v = val_nth(m, i);
        struct str k = val_text(key);
        bool special = str_is(k, "$self") || str_is(k, "$table");
        if (val_is(v, V_STRING) || (val_is(v, V_OBJECT) && !special)) {
            continue;
        }
        *why = arena_printf(r->a, "mappings: invalid mappings: %.*s.%.*s: expected string, got %s",
                            STR_FMT(table), STR_FMT(k), go_type(v));
        return false;
    }
    return true;
}

bool filter_mappings(struct filter_run *r, const struct rego_target *t, struct val *out,
                     struct str *why)
{
    const struct str names[] = {t->dialect, t->target};
    const char *const kinds[] = {"dialect", "target"};
    struct val m = r->o->mappings.w == 0 ? VAL_UNDEF : r->o->mappings;
    *out = VAL_UNDEF;
    if (!val_is(m, V_OBJECT)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct val own = val_get(m, val_str(r->a, names[i]));
        if (val_undef(own) || val_is(own, V_NULL)) {
            continue;
        }
        if (!val_is(own, V_OBJECT)) {
            *why = arena_printf(r->a, "mappings: invalid mappings for %s %.*s", kinds[i],
                                STR_FMT(names[i]));
            return false;
        }
        m = own;
        break;
    }
    *out = m;
    for (uint32_t i = 0; i < val_len(m); i++) {
        struct val table = val_nth(m, i);
        if (val_is(table, V_OBJECT) &&
            !check_table(r, val_text(val_nth_key(r->a, m, i)), table, why)) {
            return false;
        }
    }
    return true;
}
