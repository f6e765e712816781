/* Small words that every file here uses. */
#include "core.h"

struct str str_dup(struct str s)
{
    char *p = malloc(s.n + 1);
    BUG_ON(p == NULL);
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

void str_drop(struct str *s)
{
    free((void *)(uintptr_t)s->p);
    *s = STR_EMPTY;
}

struct str core_random_id(struct arena *a, size_t n)
{
    return random_id(a, n, ALPHABET_BASE62);
}

void json_put(struct arena *a, struct json *o, const char *key, struct json *v)
{
    json_set(a, o, str_of(key), v);
}

void json_set_str(struct arena *a, struct json *o, const char *key, struct str v)
{
    json_put(a, o, key, json_new_string(a, v));
}

void json_set_int(struct arena *a, struct json *o, const char *key, int64_t v)
{
    json_put(a, o, key, json_new_int(a, v));
}

void json_set_bool(struct arena *a, struct json *o, const char *key, bool v)
{
    json_put(a, o, key, json_new_bool(a, v));
}

struct json *json_set_obj(struct arena *a, struct json *o, const char *key)
{
    struct json *v = json_new_object(a);
    json_put(a, o, key, v);
    return v;
}

struct json *json_set_arr(struct arena *a, struct json *o, const char *key)
{
    struct json *v = json_new_array(a);
    json_put(a, o, key, v);
    return v;
}

struct str json_text(struct arena *a, const struct json *v)
{
    struct buf b;
    buf_init_secret(&b, BARRIER_VALUE_MAX);
    json_write(&b, v);
    struct str text = arena_str(a, buf_str(&b));
    buf_release(&b);
    return text;
}

struct json *json_time(struct arena *a, int64_t wall_ns)
{
    struct buf b;
    buf_init(&b, 64);
    clock_put_rfc3339(&b, wall_ns, 9);
    struct json *v = json_new_string(a, arena_str(a, buf_str(&b)));
    buf_release(&b);
    return v;
}
