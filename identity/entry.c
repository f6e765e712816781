#include "entry.h"

#include "lib/base/codec.h"
#include "lib/x509/own.h"

/* ---- lists of strings ---- */

struct err strs_add(struct strs *s, struct str text, size_t max)
{
    ENSURE(s->n < max, ERR_LIMIT, "over %zu items in a list", max);
    struct str *grown = realloc(s->items, (s->n + 1) * sizeof(*grown));
    BUG_ON(grown == NULL);
    s->items = grown;
    s->items[s->n++] = str_own(text);
    return OK;
}

static int compare(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

void strs_sort(struct strs *s)
{
    if (s->n == 0) {
        return;
    }
    qsort(s->items, s->n, sizeof(*s->items), compare);
    size_t kept = 1;
    for (size_t i = 1; i < s->n; i++) {
        if (str_eq(s->items[i], s->items[kept - 1])) {
            str_disown(&s->items[i]);
        } else {
            s->items[kept++] = s->items[i];
        }
    }
    s->n = kept;
}

bool strs_has(const struct strs *s, struct str text)
{
    for (size_t i = 0; i < s->n; i++) {
        if (str_eq(s->items[i], text)) {
            return true;
        }
    }
    return false;
}

bool strs_equal(const struct strs *a, const struct strs *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++) {
        same = str_eq(a->items[i], b->items[i]);
    }
    return same;
}

void strs_release(struct strs *s)
{
    for (size_t i = 0; i < s->n; i++) {
        str_disown(&s->items[i]);
    }
    free(s->items);
    *s = (struct strs){NULL, 0};
}

struct err strs_from_json(const struct json *array, size_t max, struct strs *out)
{
    ENSURE(array == NULL || json_is(array, JSON_ARRAY) || json_is(array, JSON_NULL), ERR_INVALID,
           "an array of strings is due");
    for (uint32_t i = 0; json_is(array, JSON_ARRAY) && i < array->n; i++) {
        ENSURE(json_is(array->items[i], JSON_STRING), ERR_INVALID, "an array of strings is due");
        TRY(strs_add(out, array->items[i]->text, max));
    }
    return OK;
}

struct json *strs_to_json(struct arena *a, const struct strs *s)
{
    struct json *v = json_new_array(a);
    for (size_t i = 0; i < s->n; i++) {
        json_push(a, v, json_new_string(a, arena_str(a, s->items[i])));
    }
    return v;
}

/* ---- reading ---- */

/* Text is put together by printf, where a NUL would silently end it. */
static bool is_plain(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static struct err read_id(const struct json *v, const char *name, struct str domain,
                          struct str *out)
{
    char text[SPIFFE_ID_MAX + 16];
    struct str s = json_str(v);
    if (json_is(v, JSON_OBJECT)) {
        ENSURE(is_plain(json_str(json_get(v, "trust_domain"))) &&
                   is_plain(json_str(json_get(v, "path"))),
               ERR_INVALID, "%s has control characters", name);
        int n = snprintf(text, sizeof(text), "spiffe://%.*s%.*s",
                         STR_FMT(json_str(json_get(v, "trust_domain"))),
                         STR_FMT(json_str(json_get(v, "path"))));
        ENSURE(n > 0 && n < (int)sizeof(text), ERR_LIMIT, "%s is too long", name);
        s = str_n(text, (size_t)n);
    }
    struct spiffe_id id;
    struct err e = spiffe_id_parse(s, &id);
    if (failed(e)) {
        return err_wrap(e, "%s '%.*s'", name, STR_FMT(str_sub(s, 0, 200)));
    }
    ENSURE(str_eq(id.trust_domain, domain), ERR_INVALID, "%s '%.*s' is not of trust domain '%.*s'",
           name, STR_FMT(s), STR_FMT(domain));
    *out = str_own(s);
    return OK;
}

static struct err read_selectors(const struct json *v, struct strs *out)
{
    ENSURE(json_is(v, JSON_ARRAY) && v->n > 0, ERR_INVALID,
           "an entry needs selectors, such as {\"type\":\"unix\",\"value\":\"uid:1000\"}");
    for (uint32_t i = 0; i < v->n; i++) {
        char text[ENTRY_SELECTOR_MAX + 1];
        struct str s = json_str(v->items[i]);
        const struct json *type = json_get(v->items[i], "type"),
                          *value = json_get(v->items[i], "value");
        ENSURE(is_plain(s) && is_plain(json_str(type)) && is_plain(json_str(value)), ERR_INVALID,
               "selector %u has control characters", i + 1);
        if (json_is(v->items[i], JSON_OBJECT)) {
            int n = snprintf(text, sizeof(text), "%.*s:%.*s", STR_FMT(json_str(type)),
                             STR_FMT(json_str(value)));
            ENSURE(n > 0 && n < (int)sizeof(text), ERR_LIMIT, "a selector is too long");
            s = str_n(text, (size_t)n);
        }
        size_t colon = str_find_char(s, ':');
        ENSURE(s.n <= ENTRY_SELECTOR_MAX && colon != STR_NPOS && colon > 0 && colon + 1 < s.n,
               ERR_INVALID, "selector '%.*s' is not of the form type:value, as unix:uid:1000",
               STR_FMT(str_sub(s, 0, 100)));
        TRY(strs_add(out, s, ENTRY_SELECTORS_MAX));
    }
    strs_sort(out);
    return OK;
}

/* Federation is written as trust domain names or their ids; kept as names. */
static struct err read_federates(const struct json *v, struct strs *out)
{
    struct strs raw = {NULL, 0};
    struct err e = strs_from_json(v, ENTRY_FEDERATES_MAX, &raw);
    for (size_t i = 0; i < raw.n && !failed(e); i++) {
        struct str name = str_starts(raw.items[i], S("spiffe://"))
                              ? str_sub(raw.items[i], 9, raw.items[i].n)
                              : raw.items[i];
        e = spiffe_trust_domain_check(name);
        e = failed(e) ? err_wrap(e, "federates_with '%.*s'", STR_FMT(str_sub(name, 0, 100)))
                      : strs_add(out, name, ENTRY_FEDERATES_MAX);
    }
    strs_release(&raw);
    strs_sort(out);
    return e;
}

/* protojson writes 64-bit numbers as strings, so both are read. */
static struct err read_seconds(const struct json *obj, const char *name, int64_t max, int64_t *out)
{
    const struct json *v = json_get(obj, name);
    uint64_t n = 0;
    if (v == NULL || json_is(v, JSON_NULL)) {
        return OK;
    }
    struct err e = json_is(v, JSON_STRING) ? str_to_u64(v->text, &n) : json_u64(v, &n);
    ENSURE(!failed(e) && n <= (uint64_t)max, ERR_INVALID,
           "%s must be a number of seconds up to %lld", name, (long long)max);
    *out = (int64_t)n;
    return OK;
}

static struct err check_members(const struct json *v)
{
    static const char *const known[] = {
        "id",        "entry_id",      "spiffe_id",       "parent_id",
        "selectors", "x509_svid_ttl", "jwt_svid_ttl",    "federates_with",
        "admin",     "downstream",    "store_svid",      "expires_at",
        "dns_names", "hint",          "revision_number", "created_at"};
    ENSURE(json_is(v, JSON_OBJECT), ERR_INVALID, "an entry must be an object");
    for (uint32_t i = 0; i < v->n; i++) {
        bool found = false;
        for (size_t k = 0; k < ARRAY_LEN(known) && !found; k++) {
            found = str_is(v->members[i].key, known[k]);
        }
        ENSURE(found, ERR_INVALID, "an entry has no member '%.*s'",
               STR_FMT(str_sub(v->members[i].key, 0, 64)));
    }
    return OK;
}

static struct err read_entry(const struct json *v, struct str domain, struct entry *e)
{
    TRY(check_members(v));
    struct str id = json_str(json_get(v, json_get(v, "id") != NULL ? "id" : "entry_id"));
    ENSURE(id.n <= ENTRY_ID_MAX, ERR_LIMIT, "an entry id of %zu bytes; at most %d", id.n,
           ENTRY_ID_MAX);
    char fresh[UUID_TEXT];
    uuid4(fresh);
    e->id = str_own(id.n > 0 ? id : str_of(fresh));
    TRY(read_id(json_get(v, "spiffe_id"), "spiffe_id", domain, &e->spiffe_id));
    TRY(read_id(json_get(v, "parent_id"), "parent_id", domain, &e->parent_id));
    struct spiffe_id parsed;
    TRY(spiffe_id_parse(e->spiffe_id, &parsed));
    ENSURE(parsed.path.n > 0, ERR_INVALID,
           "spiffe_id must have a path: '%.*s' is the trust domain itself", STR_FMT(e->spiffe_id));
    ENSURE(!str_starts(parsed.path, S("/spire/")), ERR_INVALID, "ids below /spire are reserved");
    TRY(read_selectors(json_get(v, "selectors"), &e->selectors));
    TRY(strs_from_json(json_get(v, "dns_names"), ENTRY_NAMES_MAX, &e->dns_names));
    TRY(read_federates(json_get(v, "federates_with"), &e->federates_with));
    struct str hint = json_str(json_get(v, "hint"));
    ENSURE(hint.n <= ENTRY_HINT_MAX && str_is_utf8(hint), ERR_LIMIT,
           "a hint of %zu bytes; at most %d", hint.n, ENTRY_HINT_MAX);
    e->hint = str_own(hint);
    TRY(read_seconds(v, "x509_svid_ttl", ENTRY_TTL_MAX_S, &e->x509_ttl_s));
    TRY(read_seconds(v, "jwt_svid_ttl", ENTRY_TTL_MAX_S, &e->jwt_ttl_s));
    TRY(read_seconds(v, "expires_at", INT64_C(1) << 40, &e->expires_at));
    TRY(read_seconds(v, "created_at", INT64_C(1) << 40, &e->created_at));
    TRY(read_seconds(v, "revision_number", INT64_C(1) << 40, &e->revision));
    e->admin = json_true(json_get(v, "admin"));
    e->downstream = json_true(json_get(v, "downstream"));
    e->store_svid = json_true(json_get(v, "store_svid"));
    return OK;
}

struct err entry_from_json(const struct json *v, struct str domain, struct entry **out)
{
    struct entry *e = calloc(1, sizeof(*e));
    BUG_ON(e == NULL);
    struct err err = read_entry(v, domain, e);
    if (failed(err)) {
        entry_free(e);
        return err;
    }
    *out = e;
    return OK;
}

void entry_free(struct entry *e)
{
    if (e == NULL) {
        return;
    }
    BUG_ON(e->svid != NULL); /* the registry gives it back first */
    str_disown(&e->id);
    str_disown(&e->spiffe_id);
    str_disown(&e->parent_id);
    str_disown(&e->hint);
    strs_release(&e->selectors);
    strs_release(&e->dns_names);
    strs_release(&e->federates_with);
    free(e);
}

/* ---- writing ---- */

static void set_id(struct arena *a, struct json *o, const char *name, struct str text)
{
    struct spiffe_id id;
    BUG_ON(failed(spiffe_id_parse(text, &id)));
    struct json *v = json_new_object(a);
    json_set(a, v, S("trust_domain"), json_new_string(a, arena_str(a, id.trust_domain)));
    json_set(a, v, S("path"), json_new_string(a, arena_str(a, id.path)));
    json_set(a, o, str_of(name), v);
}

static void set_number_text(struct arena *a, struct json *o, const char *name, int64_t n)
{
    json_set(a, o, str_of(name), json_new_string(a, arena_printf(a, "%lld", (long long)n)));
}

/* As protojson writes spire.api.types.Entry. */
struct json *entry_to_json(struct arena *a, const struct entry *e)
{
    struct json *o = json_new_object(a), *selectors = json_new_array(a);
    json_set(a, o, S("id"), json_new_string(a, arena_str(a, e->id)));
    set_id(a, o, "spiffe_id", e->spiffe_id);
    set_id(a, o, "parent_id", e->parent_id);
    for (size_t i = 0; i < e->selectors.n; i++) {
        struct str s = arena_str(a, e->selectors.items[i]);
        size_t colon = str_find_char(s, ':');
        struct json *v = json_new_object(a);
        json_set(a, v, S("type"), json_new_string(a, str_sub(s, 0, colon)));
        json_set(a, v, S("value"), json_new_string(a, str_sub(s, colon + 1, s.n)));
        json_push(a, selectors, v);
    }
    json_set(a, o, S("selectors"), selectors);
    json_set(a, o, S("x509_svid_ttl"), json_new_int(a, e->x509_ttl_s));
    json_set(a, o, S("jwt_svid_ttl"), json_new_int(a, e->jwt_ttl_s));
    json_set(a, o, S("federates_with"), strs_to_json(a, &e->federates_with));
    json_set(a, o, S("dns_names"), strs_to_json(a, &e->dns_names));
    json_set(a, o, S("hint"), json_new_string(a, arena_str(a, e->hint)));
    json_set(a, o, S("admin"), json_new_bool(a, e->admin));
    json_set(a, o, S("downstream"), json_new_bool(a, e->downstream));
    json_set(a, o, S("store_svid"), json_new_bool(a, e->store_svid));
    set_number_text(a, o, "expires_at", e->expires_at);
    set_number_text(a, o, "revision_number", e->revision);
    set_number_text(a, o, "created_at", e->created_at);
    return o;
}
