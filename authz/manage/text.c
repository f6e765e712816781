/* text: a configuration as text: variables of the environment, YAML or JSON, and --set on top. */
#include "settings.h"

#include "authz/bundle/bundle.h"
#include "lib/yaml/yaml.h"

#include <stdlib.h>

enum { SET_DEPTH_MAX = 64, SET_INDEX_MAX = 1000 };

struct str settings_env(struct arena *a, struct str text)
{
    struct buf b;
    buf_init(&b, SETTINGS_TEXT_MAX);
    while (text.n > 0) {
        size_t at = str_find(text, S("${")), end = STR_NPOS;
        if (at != STR_NPOS) {
            end = str_find_char(str_sub(text, at, text.n), '}');
        }
        if (end == STR_NPOS) {
            break;
        }
        struct str name = str_sub(text, at + 2, at + end);
        const char *value = getenv(arena_cstr(a, str_trim(name)));
        buf_puts(&b, str_sub(text, 0, at));
        buf_puts(&b, value != NULL ? str_of(value) : str_sub(text, at, at + end + 1));
        text = str_sub(text, at + end + 1, text.n);
    }
    buf_puts(&b, text);
    struct str s = arena_str(a, buf_str(&b));
    buf_release(&b);
    return s;
}

struct err settings_parse_text(struct arena *a, struct str text, struct val *out)
{
    struct json *docs;
    struct buf b;
    TRY(yaml_parse(a, text, S("config"), NULL, &docs));
    buf_init(&b, SETTINGS_TEXT_MAX);
    if (docs->n > 0) {
        json_write(&b, docs->items[0]);
    }
    struct err e = b.n > 0 ? val_from_json(a, buf_str(&b), out) : OK;
    if (b.n == 0 || (!failed(e) && val_is(*out, V_NULL))) {
        *out = val_empty_object();
    }
    buf_release(&b);
    TRY(e);
    ENSURE(val_is(*out, V_OBJECT), ERR_INVALID, "the configuration is no object");
    return OK;
}

/* ---- --set ---- */

struct step {
    struct str key;
    int64_t index; /* -1: a key */
};

/* "a.b[0].c": names between dots, numbers between brackets; a backslash takes the next character as it is. */
static struct err set_path(struct arena *a, struct str text, struct step *out, size_t *n)
{
    size_t i = 0;
    *n = 0;
    while (i < text.n) {
        char *name = arena_alloc_raw(a, text.n + 1, 1);
        size_t len = 0;
        ENSURE(*n < SET_DEPTH_MAX, ERR_LIMIT, "--set: a path of more than %d parts", SET_DEPTH_MAX);
        if (text.p[i] == '[') {
            size_t end = str_find_char(str_sub(text, i, text.n), ']');
            uint64_t index;
            ENSURE(end != STR_NPOS && !failed(str_to_u64(str_sub(text, i + 1, i + end), &index)) &&
                       index < SET_INDEX_MAX,
                   ERR_SYNTAX, "--set: error parsing index in %.*s", STR_FMT(text));
            out[(*n)++] = (struct step){STR_EMPTY, (int64_t)index};
            i += end + 1;
        } else {
            for (; i < text.n && text.p[i] != '.' && text.p[i] != '['; i++) {
                i += text.p[i] == '\\' && i + 1 < text.n;
                name[len++] = text.p[i];
            }
            out[(*n)++] = (struct step){str_n(name, len), -1};
        }
        i += i < text.n && text.p[i] == '.';
    }
    ENSURE(*n > 0, ERR_SYNTAX, "--set: a key is missing");
    return OK;
}

static struct val set_scalar(struct arena *a, struct str s)
{
    struct num n;
    if (str_is(s, "true") || str_is(s, "false")) {
        return val_bool(str_is(s, "true"));
    }
    if (str_is(s, "null")) {
        return VAL_NULL;
    }
    bool number =
        s.n > 0 && (s.n == 1 || s.p[0] != '0') && !failed(num_parse(s, &n)) && n.kind == NUM_I64;
    return number ? val_int(a, n.i) : val_str(a, s);
}

/* {a,b,c} is a list. */
static struct val set_value(struct arena *a, struct str s)
{
    if (s.n >= 2 && s.p[0] == '{' && s.p[s.n - 1] == '}') {
        struct vlist l = {.a = a};
        struct str rest = str_sub(s, 1, s.n - 1);
        while (rest.p != NULL && rest.n > 0) {
            vlist_add(&l, set_scalar(a, str_split(&rest, ',')));
        }
        return vlist_array(&l);
    }
    return set_scalar(a, s);
}

static struct val put_at(struct arena *a, struct val v, const struct step *path, size_t n,
                         struct val leaf)
{
    if (n == 0) {
        return leaf;
    }
    if (path->index < 0) {
        struct val key = val_str(a, path->key), old = VAL_UNDEF;
        struct val obj = !val_undef(v) && val_is(v, V_OBJECT) ? v : val_empty_object();
        old = val_get(obj, key);
        return val_with(a, obj, key, put_at(a, old, path + 1, n - 1, leaf));
    }
    struct vlist l = {.a = a};
    size_t have = !val_undef(v) && val_is(v, V_ARRAY) ? val_len(v) : 0;
    for (size_t i = 0; i < MAX(have, (size_t)path->index + 1); i++) {
        struct val old = i < have ? val_nth(v, (uint32_t)i) : VAL_NULL;
        vlist_add(&l, i == (size_t)path->index ? put_at(a, old, path + 1, n - 1, leaf) : old);
    }
    return vlist_array(&l);
}

/* Where the next "key=value" begins: behind a comma that is not escaped and not between braces. */
static size_t set_end(struct str s)
{
    int depth = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\\') {
            i++;
        } else if (s.p[i] == '{') {
            depth++;
        } else if (s.p[i] == '}') {
            depth--;
        } else if (s.p[i] == ',' && depth == 0) {
            return i;
        }
    }
    return s.n;
}

static struct str unescaped(struct arena *a, struct str s)
{
    char *to = arena_alloc_raw(a, s.n + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        i += s.p[i] == '\\' && i + 1 < s.n;
        to[n++] = s.p[i];
    }
    return str_n(to, n);
}

struct err settings_apply_set(struct arena *a, struct val *whole, const struct settings_set *set)
{
    struct str rest = str_of(set->text);
    while (rest.n > 0) {
        size_t end = set_end(rest);
        struct str one = str_sub(rest, 0, end);
        size_t eq = str_find_char(one, '=');
        struct step path[SET_DEPTH_MAX];
        size_t n;
        ENSURE(eq != STR_NPOS, ERR_SYNTAX, "--set: key \"%.*s\" has no value", STR_FMT(one));
        TRY(set_path(a, str_sub(one, 0, eq), path, &n));
        struct str text = unescaped(a, str_sub(one, eq + 1, one.n));
        struct val v = VAL_UNDEF;
        if (set->file) {
            struct str content;
            TRY(bundle_key_load(a, text, &content));
            v = val_str(a, str_trim(content));
        } else {
            v = set_value(a, text);
        }
        *whole = put_at(a, *whole, path, n, v);
        rest = str_sub(rest, end + 1, rest.n);
    }
    return OK;
}
