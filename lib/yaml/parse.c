/*
 * libyaml's events to a tree. Open collections are kept on a stack of our own; anchors remember how
 * large and how deep their value is, so that aliases cannot multiply past the limits.
 */
#include "yaml_priv.h"

#include "lib/base/map.h"

#include <stdlib.h>
#include <yaml.h>

struct anchor {
    struct json *value; /* NULL while it is still open */
    size_t values;      /* how many values it holds, itself included */
    unsigned height;    /* levels of collections in it */
};

struct frame {
    struct json *node;
    struct anchor *anchor;
    struct json_member key; /* of a mapping: the key read last */
    bool has_key;
    size_t values_before;
    unsigned height; /* of the highest child so far */
};

struct reader {
    struct arena *arena;
    struct str file;
    struct yaml_limits lim;
    yaml_parser_t yaml;
    struct map anchors; /* of the current document */
    struct frame *frames;
    size_t depth;
    size_t values, aliases;
    struct json *docs;
};

/* Puts "FILE:LINE:COL: " before the latest detail. */
static struct err located(const struct reader *r, struct err e, yaml_mark_t at)
{
    char detail[ERR_DETAIL_MAX];
    snprintf(detail, sizeof(detail), "%s", err_detail());
    unsigned line = (unsigned)at.line + 1, col = (unsigned)at.column + 1;
    return err_make_at((enum err_code)e.code, line, col, "%.*s%s%u:%u: %s", STR_FMT(r->file),
                       r->file.n > 0 ? ":" : "", line, col, detail);
}

static struct err too_many(const char *what, size_t limit)
{
    FAIL(ERR_LIMIT, "more than %zu %s", limit, what);
}

static struct err ensure_room(const struct reader *r, size_t n)
{
    const struct arena *a = r->arena;
    size_t left = a->budget > a->used ? a->budget - a->used : 0;
    size_t in_block = a->cur != NULL ? (size_t)(a->end - a->cur) : 0;
    ENSURE(!arena_exhausted(a) && n + 64 <= left + in_block, ERR_LIMIT,
           "more than the %zu bytes of memory allowed here", a->budget);
    return OK;
}

static struct err new_node(struct reader *r, enum json_type type, const yaml_event_t *ev,
                           struct json **out)
{
    if (++r->values > r->lim.max_values) {
        return too_many("values", r->lim.max_values);
    }
    TRY(ensure_room(r, sizeof(struct json)));
    *out = arena_new(r->arena, struct json);
    (*out)->type = type;
    (*out)->line = (unsigned)ev->start_mark.line + 1;
    (*out)->col = (unsigned)ev->start_mark.column + 1;
    return OK;
}

/* The anchor a node carries, made known under its name while its value is still open. */
static struct anchor *declare_anchor(struct reader *r, const yaml_char_t *name)
{
    if (name == NULL) {
        return NULL;
    }
    struct anchor *an = arena_new(r->arena, struct anchor);
    map_set(&r->anchors, str_of((const char *)name), an);
    return an;
}

/* Puts a finished value where it belongs; `height` is how many levels of collections it has. */
static void deliver(struct reader *r, struct json *v, unsigned height)
{
    if (r->depth == 0) {
        json_push(r->arena, r->docs, v);
        return;
    }
    struct frame *f = &r->frames[r->depth - 1];
    f->height = MAX(f->height, height);
    if (f->node->type == JSON_ARRAY) {
        json_push(r->arena, f->node, v);
        return;
    }
    json_add(r->arena, f->node, f->key.key, v);
    f->node->members[f->node->n - 1].line = f->key.line;
    f->node->members[f->node->n - 1].col = f->key.col;
    f->has_key = false;
}

static bool wants_key(const struct reader *r)
{
    return r->depth > 0 && r->frames[r->depth - 1].node->type == JSON_OBJECT &&
           !r->frames[r->depth - 1].has_key;
}

static struct err take_key(struct reader *r, const yaml_event_t *ev, struct str text)
{
    struct frame *f = &r->frames[r->depth - 1];
    ENSURE(!(ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && str_is(text, "<<")),
           ERR_UNSUPPORTED, "merge keys (<<) are not part of YAML 1.2; write the keys out");
    f->key = (struct json_member){.key = text,
                                  .line = (unsigned)ev->start_mark.line + 1,
                                  .col = (unsigned)ev->start_mark.column + 1};
    f->has_key = true;
    return OK;
}

/* The type a core tag asks for; JSON_STRING for !!str and the non-specific "!". */
static struct err tag_type(const char *tag, enum json_type *type)
{
    static const struct {
        const char *tag;
        enum json_type type;
    } core[] = {{"!", JSON_STRING},          {YAML_STR_TAG, JSON_STRING},
                {YAML_INT_TAG, JSON_NUMBER}, {YAML_FLOAT_TAG, JSON_NUMBER},
                {YAML_BOOL_TAG, JSON_TRUE},  {YAML_NULL_TAG, JSON_NULL},
                {YAML_SEQ_TAG, JSON_ARRAY},  {YAML_MAP_TAG, JSON_OBJECT}};
    for (size_t i = 0; i < ARRAY_LEN(core); i++) {
        if (strcmp(tag, core[i].tag) == 0) {
            *type = core[i].type;
            return OK;
        }
    }
    FAIL(ERR_INVALID, "the tag '%.100s' is not part of the core schema", tag);
}

/* Type and text of a scalar value from its style, its tag and the core schema. */
static struct err scalar_meaning(struct reader *r, const yaml_event_t *ev, struct str *text,
                                 enum json_type *type)
{
    const char *tag = (const char *)ev->data.scalar.tag;
    enum json_type wanted = JSON_STRING;
    struct err e = tag != NULL ? tag_type(tag, &wanted) : OK;
    if (failed(e)) {
        if (!r->lim.lenient) {
            return e;
        }
        tag = NULL;
    }
    bool plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    *type = JSON_STRING;
    if (wanted == JSON_STRING && (tag != NULL || !plain)) {
        return OK;
    }
    struct str number = *text;
    TRY(yaml_resolve_plain(r->arena, *text, type, &number));
    bool fits = tag == NULL || *type == wanted || (wanted == JSON_TRUE && *type == JSON_FALSE);
    ENSURE(fits, ERR_INVALID, "'%.*s' is not what its tag '%.100s' says",
           (int)MIN(text->n, (size_t)60), text->p, tag);
    *text = *type == JSON_NUMBER ? number : *text;
    return OK;
}

static struct err take_scalar(struct reader *r, const yaml_event_t *ev)
{
    struct str text = str_n(ev->data.scalar.value, ev->data.scalar.length);
    enum json_type type;
    TRY(ensure_room(r, text.n));
    text = arena_str(r->arena, text);
    if (wants_key(r)) {
        struct str ignored = text;
        TRY(scalar_meaning(r, ev, &ignored, &type));
        ENSURE(ev->data.scalar.anchor == NULL, ERR_UNSUPPORTED,
               "anchors on keys are not supported");
        return take_key(r, ev, text);
    }
    TRY(scalar_meaning(r, ev, &text, &type));
    struct json *v;
    TRY(new_node(r, type, ev, &v));
    if (type == JSON_STRING || type == JSON_NUMBER) {
        v->text = text;
    }
    struct anchor *an = declare_anchor(r, ev->data.scalar.anchor);
    if (an != NULL) {
        *an = (struct anchor){v, 1, 0};
    }
    deliver(r, v, 0);
    return OK;
}

static struct err open_collection(struct reader *r, const yaml_event_t *ev, enum json_type type,
                                  const yaml_char_t *tag, const yaml_char_t *anchor)
{
    enum json_type wanted = type;
    if (tag != NULL && strcmp((const char *)tag, "!") != 0) {
        struct err e = tag_type((const char *)tag, &wanted);
        if (failed(e) && !r->lim.lenient) {
            return e;
        }
    }
    ENSURE(wanted == type, ERR_INVALID, "the tag '%.100s' does not fit a%s", (const char *)tag,
           type == JSON_OBJECT ? " mapping" : " sequence");
    ENSURE(!wants_key(r), ERR_UNSUPPORTED, "a key must be a scalar");
    if (r->depth >= r->lim.max_depth) {
        return too_many("levels of collections", r->lim.max_depth);
    }
    size_t before = r->values;
    struct json *v;
    TRY(new_node(r, type, ev, &v));
    r->frames[r->depth++] =
        (struct frame){.node = v, .anchor = declare_anchor(r, anchor), .values_before = before};
    return OK;
}

static struct err close_collection(struct reader *r)
{
    struct frame f = r->frames[--r->depth];
    if (f.node->type == JSON_OBJECT && !r->lim.lenient) {
        const struct json_member *twice = json_duplicate(f.node);
        if (twice != NULL) {
            struct err e = err_make(ERR_INVALID, "the key '%.*s' stands twice in one mapping",
                                    (int)MIN(twice->key.n, (size_t)100), twice->key.p);
            return located(r, e, (yaml_mark_t){.line = twice->line - 1, .column = twice->col - 1});
        }
    }
    if (f.anchor != NULL) {
        *f.anchor = (struct anchor){f.node, r->values - f.values_before, f.height + 1};
    }
    deliver(r, f.node, f.height + 1);
    return OK;
}

static struct err take_alias(struct reader *r, const yaml_event_t *ev)
{
    const char *name = (const char *)ev->data.alias.anchor;
    ENSURE(!wants_key(r), ERR_UNSUPPORTED, "an alias cannot be a key");
    const struct anchor *an = map_get(&r->anchors, str_of(name));
    ENSURE(an != NULL, ERR_INVALID, "the alias *%.100s has no anchor before it", name);
    ENSURE(an->value != NULL, ERR_INVALID, "the alias *%.100s stands inside its own anchor", name);
    if (++r->aliases > r->lim.max_aliases) {
        return too_many("aliases", r->lim.max_aliases);
    }
    if (an->values > r->lim.max_values - r->values) {
        return too_many("values, counting what aliases repeat", r->lim.max_values);
    }
    if (an->height > r->lim.max_depth - r->depth) {
        return too_many("levels of collections, counting those inside aliases", r->lim.max_depth);
    }
    r->values += an->values;
    deliver(r, an->value, an->height);
    return OK;
}

static struct err take_event(struct reader *r, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(r, ev);
    case YAML_SEQUENCE_START_EVENT:
        return open_collection(r, ev, JSON_ARRAY, ev->data.sequence_start.tag,
                               ev->data.sequence_start.anchor);
    case YAML_MAPPING_START_EVENT:
        return open_collection(r, ev, JSON_OBJECT, ev->data.mapping_start.tag,
                               ev->data.mapping_start.anchor);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_collection(r);
    case YAML_ALIAS_EVENT:
        return take_alias(r, ev);
    case YAML_DOCUMENT_START_EVENT:
        map_release(&r->anchors);
        map_init(&r->anchors);
        return OK;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        return OK;
    }
    return OK;
}

/* What libyaml found wrong, in one line. */
static struct err syntax_error(struct reader *r)
{
    const yaml_parser_t *y = &r->yaml;
    if (y->error == YAML_MEMORY_ERROR) {
        FAIL(ERR_LIMIT, "out of memory");
    }
    struct err e =
        err_make(ERR_SYNTAX, "%s%s%s", y->problem != NULL ? y->problem : "malformed YAML",
                 y->context != NULL ? " " : "", y->context != NULL ? y->context : "");
    yaml_mark_t at = y->problem_mark;
    if (y->error == YAML_READER_ERROR) {
        e = err_make(ERR_SYNTAX, "%s at byte %zu",
                     y->problem != NULL ? y->problem : "unreadable text", y->problem_offset);
        at = y->mark;
    }
    return located(r, e, at);
}

static struct err read_stream(struct reader *r)
{
    for (bool more = true; more;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&r->yaml, &ev)) {
            return syntax_error(r);
        }
        more = ev.type != YAML_STREAM_END_EVENT;
        struct err e = take_event(r, &ev);
        /* close_collection has located its own error at the key, not at the end of the mapping. */
        if (failed(e) && err_line() == 0) {
            e = located(r, e, ev.start_mark);
        }
        yaml_event_delete(&ev);
        TRY(e);
    }
    return OK;
}

static struct yaml_limits with_defaults(const struct yaml_limits *limits)
{
    struct yaml_limits lim = limits != NULL ? *limits : (struct yaml_limits){0};
    lim.max_bytes = lim.max_bytes != 0 ? lim.max_bytes : YAML_MAX_BYTES;
    lim.max_depth = lim.max_depth != 0 ? lim.max_depth : YAML_MAX_DEPTH;
    lim.max_values = lim.max_values != 0 ? lim.max_values : YAML_MAX_VALUES;
    lim.max_aliases = lim.max_aliases != 0 ? lim.max_aliases : YAML_MAX_ALIASES;
    return lim;
}

struct err yaml_parse(struct arena *a, struct str text, struct str file_name,
                      const struct yaml_limits *limits, struct json **docs)
{
    struct reader r = {.arena = a, .file = file_name, .lim = with_defaults(limits)};
    ENSURE(text.n <= r.lim.max_bytes, ERR_LIMIT,
           "%.*s: %zu bytes of YAML where at most %zu are taken", STR_FMT(file_name), text.n,
           r.lim.max_bytes);
    r.frames = calloc(r.lim.max_depth, sizeof(*r.frames));
    if (r.frames == NULL || !yaml_parser_initialize(&r.yaml)) {
        free(r.frames);
        FAIL(ERR_LIMIT, "out of memory");
    }
    map_init(&r.anchors);
    yaml_parser_set_encoding(&r.yaml, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.yaml, (const unsigned char *)(text.p != NULL ? text.p : ""),
                                 text.n);
    r.docs = json_new_array(a);
    struct err e = read_stream(&r);
    yaml_parser_delete(&r.yaml);
    map_release(&r.anchors);
    free(r.frames);
    TRY(e);
    *docs = r.docs;
    return OK;
}
