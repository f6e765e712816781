#include "mesh.h"

void head_init(struct head *h, struct arena *a, const struct http_header *from, size_t n,
               size_t extra)
{
    h->cap = n + extra;
    h->h = arena_alloc_raw(a, h->cap * sizeof(*h->h) + 1, 16);
    h->n = n;
    h->arena = a;
    if (n > 0) {
        memcpy(h->h, from, n * sizeof(*from));
    }
}

void head_remove(struct head *h, struct str lower_name)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (!str_eq(h->h[i].name, lower_name)) {
            h->h[kept++] = h->h[i];
        }
    }
    h->n = kept;
}

void head_remove_prefix(struct head *h, struct str prefix)
{
    size_t kept = 0;
    for (size_t i = 0; i < h->n; i++) {
        if (!str_starts(h->h[i].name, prefix)) {
            h->h[kept++] = h->h[i];
        }
    }
    h->n = kept;
}

void head_add(struct head *h, struct str lower_name, struct str value)
{
    h->h = arena_grow(h->arena, h->h, h->n, h->n + 1, &h->cap, sizeof(*h->h));
    h->h[h->n++] = (struct http_header){lower_name, value};
}

void head_set(struct head *h, struct str lower_name, struct str value)
{
    head_remove(h, lower_name);
    head_add(h, lower_name, value);
}

/* One of the names that Connection lists. */
static void remove_listed(struct head *h, struct str list)
{
    while (list.p != NULL) {
        struct str item = str_trim(str_split(&list, ','));
        size_t kept = 0;
        for (size_t i = 0; i < h->n; i++) {
            /* What frames the message or names the host is not the sender's to take away. */
            bool ours = str_is(h->h[i].name, "content-length") || str_is(h->h[i].name, "host");
            if (ours || !str_eq_nocase(h->h[i].name, item)) {
                h->h[kept++] = h->h[i];
            }
        }
        h->n = kept;
    }
}

void head_end_to_end(struct head *h)
{
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-connection",
                                        "proxy-authenticate",
                                        "proxy-authorization",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade"};
    for (size_t i = 0; i < h->n; i++) {
        if (str_is(h->h[i].name, "connection")) {
            remove_listed(h, h->h[i].value);
            i = (size_t)-1; /* the table moved: from the start, without this one */
            head_remove(h, S("connection"));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        head_remove(h, str_of(names[i]));
    }
}
