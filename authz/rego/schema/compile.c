/*
 * Schemas out of documents.
 *
 * First the document is copied with every reference made absolute, seen from the "$id" around it, and
 * every part that has an "$id" is remembered under it. Then schemas are made from the root on; where
 * a reference is met its target becomes a schema of its own, once.
 */
#include "authz/rego/schema/compile_priv.h"

#include "authz/rego/schema/ref.h"

#include <stdarg.h>
#include <stdio.h>

bool schemac_fail(struct schemac *c, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->why.n == 0) {
        c->why = arena_printf(c->a, "%s", text);
    }
    return false;
}

bool schemac_enter(struct schemac *c)
{
    if (c->depth == SCHEMA_DEPTH_MAX || arena_exhausted(c->a)) {
        return schemac_fail(c, "schema is nested more than %d deep or too large", SCHEMA_DEPTH_MAX);
    }
    c->depth++;
    return true;
}

void schemac_push(struct schemac *c, struct schema_list *l, struct schema *s)
{
    if (l->n == l->cap) {
        l->v = arena_grow(c->a, l->v, l->n, l->n + 1, &l->cap, sizeof *l->v);
    }
    l->v[l->n++] = s;
}

void schemac_push_str(struct schemac *c, struct schema_strs *l, struct str s)
{
    if (l->n == l->cap) {
        l->v = arena_grow(c->a, l->v, l->n, l->n + 1, &l->cap, sizeof *l->v);
    }
    l->v[l->n++] = s;
}

bool schemac_has(const struct schema_strs *l, struct str s)
{
    for (size_t i = 0; i < l->n; i++) {
        if (str_eq(l->v[i], s)) {
            return true;
        }
    }
    return false;
}

/* A place that references can name. */
struct place {
    struct val document;
    enum schema_draft draft; /* 0: that of the schema that refers to it */
};

static void remember(struct schemac *c, struct str name, struct val document,
                     enum schema_draft draft)
{
    struct place *p = arena_new(c->a, struct place);
    *p = (struct place){document, draft};
    (void)map_set(&c->places, name, p);
}

static bool parts_of(struct schemac *c, struct val v, struct str base, enum schema_draft draft,
                     bool schemas, struct val *out);

/* The base for what is inside, and the name of the part itself when it has one. */
static bool base_of(struct schemac *c, struct val v, struct str base, struct str *inner,
                    bool *named)
{
    struct val id = val_get_str(v, "id");
    id = val_undef(id) ? val_get_str(v, "$id") : id;
    *named = val_is(id, V_STRING) &&
             !failed(ref_resolve(c->a, ref_without_fragment(base), val_text(id), inner));
    if (!*named) {
        *inner = base;
        return true;
    }
    if (map_get(&c->places, *inner) != NULL) {
        return schemac_fail(c, "Reference already exists: \"%.*s\"", STR_FMT(*inner));
    }
    remember(c, *inner, v, 0);
    return true;
}

static bool holds_schemas_by_name(struct str key)
{
    return str_is(key, "properties") || str_is(key, "dependencies") ||
           str_is(key, "patternProperties");
}

static bool member_of(struct schemac *c, struct str key, struct val v, struct str base,
                      enum schema_draft draft, struct val *out)
{
    *out = v;
    if (str_is(key, "const") || str_is(key, "enum")) {
        return true;
    }
    if (str_is(key, "$ref") && val_is(v, V_STRING)) {
        struct str absolute;
        if (!failed(ref_resolve(c->a, ref_without_fragment(base), val_text(v), &absolute))) {
            *out = val_str(c->a, absolute);
        }
        return true;
    }
    if (holds_schemas_by_name(key)) {
        return !val_is(v, V_OBJECT) || parts_of(c, v, base, draft, false, out);
    }
    return parts_of(c, v, base, draft, true, out);
}

/* `schemas` is false for an object whose keys are names of the schema's author. */
static bool parts_of(struct schemac *c, struct val v, struct str base, enum schema_draft draft,
                     bool schemas, struct val *out)
{
    struct vlist l = {.a = c->a};
    struct str inner = base;
    bool named = false, ok = true;
    *out = v;
    if (!val_is(v, V_ARRAY) && !val_is(v, V_OBJECT)) {
        return true;
    }
    bool object = val_is(v, V_OBJECT);
    if (!schemac_enter(c) || (object && schemas && !base_of(c, v, base, &inner, &named))) {
        return false;
    }
    for (uint32_t i = 0; ok && i < val_len(v); i++) {
        struct val item = val_nth(v, i), key = object ? val_nth_key(c->a, v, i) : VAL_UNDEF;
        ok = object && schemas ? member_of(c, val_text(key), item, inner, draft, &item)
                               : parts_of(c, item, inner, draft, true, &item);
        if (object) {
            vlist_add(&l, key);
        }
        vlist_add(&l, item);
    }
    c->depth--;
    *out = object ? vlist_object(&l) : vlist_array(&l);
    if (named) {
        remember(c, inner, *out, draft);
    }
    return ok;
}

/* The draft that "$schema" names; 0 when it names none. */
static bool draft_of(struct schemac *c, struct val document, enum schema_draft *out)
{
    struct val v = val_is(document, V_OBJECT) ? val_get_str(document, "$schema") : VAL_UNDEF;
    struct str url;
    *out = 0;
    if (!val_is(document, V_OBJECT) && !val_is(document, V_BOOL)) {
        return schemac_fail(c, "schema is invalid");
    }
    if (val_undef(v)) {
        return true;
    }
    if (!val_is(v, V_STRING)) {
        return schemac_fail(c, "$schema must be of type string");
    }
    if (failed(ref_normal(c->a, val_text(v), &url))) {
        return schemac_fail(c, "%s", err_detail());
    }
    *out = str_is(url, "http://json-schema.org/draft-04/schema")   ? SCHEMA_DRAFT4
           : str_is(url, "http://json-schema.org/draft-06/schema") ? SCHEMA_DRAFT6
           : str_is(url, "http://json-schema.org/draft-07/schema") ? SCHEMA_DRAFT7
                                                                   : 0;
    return true;
}

/* References. */

/* A document that is known by its URL. False: there is no such, or it is wrong. */
static bool fetch(struct schemac *c, struct str ref, struct str whole, struct place **out)
{
    const char *text = schemac_published(whole);
    struct val document;
    enum schema_draft draft;
    if (text == NULL || failed(val_from_json(c->a, str_of(text), &document))) {
        return schemac_fail(c, "remote reference loading disabled: %.*s", STR_FMT(ref));
    }
    if (!draft_of(c, document, &draft)) {
        return false;
    }
    struct val copy;
    if (!parts_of(c, document, whole, draft, true, &copy)) {
        return false;
    }
    remember(c, whole, copy, draft);
    *out = map_get(&c->places, whole);
    return true;
}

static bool find_place(struct schemac *c, struct str ref, struct place *out)
{
    struct str whole = ref_without_fragment(ref);
    struct place *p = map_get(&c->places, ref);
    if (p != NULL) {
        *out = *p;
        return true;
    }
    p = map_get(&c->places, whole);
    if (p == NULL && !ref_is_canonical(ref)) {
        return schemac_fail(c, "Reference %.*s must be canonical", STR_FMT(ref));
    }
    if (p == NULL && !fetch(c, ref, whole, &p)) {
        return false;
    }
    if (failed(ref_pointed(c->a, ref, p->document, &out->document))) {
        return schemac_fail(c, "%s", err_detail());
    }
    out->draft = p->draft;
    remember(c, ref, out->document, p->draft);
    return true;
}

static bool refer(struct schemac *c, struct str ref, struct schema *from)
{
    struct place p;
    struct schema *s = schemac_new(c, S("$ref"), from);
    (void)map_set(&c->refs, ref, s);
    if (!find_place(c, ref, &p)) {
        return false;
    }
    s->draft = p.draft != 0 ? p.draft : from->draft;
    if (!val_is(p.document, V_OBJECT) && !val_is(p.document, V_BOOL)) {
        return schemac_fail(c, "Valid Schema must be of type object");
    }
    if (!schemac_schema(c, p.document, s)) {
        return false;
    }
    from->ref = s;
    return true;
}

/* *done: the schema is its reference, and nothing more. */
bool schemac_reference(struct schemac *c, struct val m, struct schema *s, bool *done)
{
    struct str text, ref;
    bool there;
    *done = false;
    if (!schemac_string(c, m, "$ref", &there, &text)) {
        return false;
    }
    if (!there) {
        return true;
    }
    if (failed(ref_normal(c->a, text, &ref))) {
        return schemac_fail(c, "%s", err_detail());
    }
    struct schema *known = map_get(&c->refs, ref);
    if (known != NULL) {
        s->ref = known;
        return true;
    }
    *done = true;
    return refer(c, ref, s);
}

static bool compile(struct schemac *c, struct val document, struct schema **out)
{
    enum schema_draft draft;
    struct val root = schema_plain(c->a, document);
    if (!draft_of(c, root, &draft) || !parts_of(c, root, STR_EMPTY, draft, true, &root)) {
        return false;
    }
    remember(c, STR_EMPTY, root, draft);
    struct schema *s = schemac_new(c, S("(Root)"), NULL);
    s->draft = draft != 0 ? draft : SCHEMA_HYBRID;
    *out = s;
    return schemac_schema(c, root, s);
}

bool schema_compile(struct arena *a, struct val document, unsigned flags, struct schema **out,
                    struct str *why)
{
    struct schemac c = {.a = a, .patterns = (flags & SCHEMA_PATTERNS) != 0};
    struct schema *s = NULL;
    map_init(&c.places);
    map_init(&c.refs);
    bool ok = compile(&c, document, &s);
    map_release(&c.places);
    map_release(&c.refs);
    if (ok) {
        *out = s;
    } else {
        *why = c.why;
    }
    return ok;
}
