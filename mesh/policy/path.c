/*
 * Path normalisation (mesh config pathNormalization): one form that policy and workload both see.
 *
 * Order of the steps: cut the fragment; decode escaped slashes (DECODE_AND_MERGE only); decode
 * escapes of unreserved characters (RFC 3986 section 6.2.2.2) and turn backslashes; remove dot
 * segments (section 5.2.4), where an empty segment counts as one; merge slashes.
 */
#include "policy_priv.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that "%XX" at `i` stands for, or -1. */
static int escape_at(struct str s, size_t i)
{
    if (s.p[i] != '%' || i + 2 >= s.n) {
        return -1;
    }
    int high = hex_digit(s.p[i + 1]), low = hex_digit(s.p[i + 2]);
    return high < 0 || low < 0 ? -1 : high * 16 + low;
}

static bool is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

static size_t decode(char *out, struct str s, enum mesh_path_mode mode)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        int byte = escape_at(s, i);
        bool slash = mode == MESH_PATH_DECODE_AND_MERGE_SLASHES && (byte == '/' || byte == '\\');
        if (slash || is_unreserved(byte)) {
            out[n++] = slash ? '/' : (char)byte;
            i += 2;
        } else {
            out[n++] = s.p[i] == '\\' ? '/' : s.p[i];
        }
    }
    return n;
}

static size_t merge_slashes(char *p, size_t n)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i] != '/' || kept == 0 || p[kept - 1] != '/') {
            p[kept++] = p[i];
        }
    }
    return kept;
}

/* Drops the last segment of what is kept, down to the root. */
static size_t drop_segment(const char *p, size_t kept)
{
    while (kept > 0 && p[kept - 1] != '/') {
        kept--;
    }
    return kept;
}

/* In place: what is written never overtakes what is read. */
static size_t remove_dots(char *p, size_t n)
{
    size_t kept = 0, i = 0;
    while (i < n) {
        size_t end = i + (p[i] == '/');
        while (end < n && p[end] != '/') {
            end++;
        }
        struct str segment = str_n(p + i, end - i), name = segment;
        name = name.n > 0 && name.p[0] == '/' ? str_sub(name, 1, name.n) : name;
        bool last = end == n;
        if (str_is(name, ".") || str_is(name, "..")) {
            if (str_is(name, "..")) {
                kept = drop_segment(p, kept);
                kept -= kept > 0; /* its slash as well */
            }
            if (last) {
                p[kept++] = '/';
            }
        } else {
            memmove(p + kept, segment.p, segment.n);
            kept += segment.n;
        }
        i = end;
    }
    return kept;
}

struct err mesh_path_normalise(struct arena *a, enum mesh_path_mode mode, struct str target,
                               struct str *out)
{
    size_t end = str_find_char(target, '#');
    struct str s = end == STR_NPOS ? target : str_sub(target, 0, end);
    if (mode == MESH_PATH_NONE) {
        *out = s;
        return OK;
    }
    for (size_t i = 0; i < s.n; i++) {
        ENSURE(escape_at(s, i) != 0 && s.p[i] != '\0', ERR_INVALID, "the path holds a NUL byte");
    }
    char *p = arena_alloc_raw(a, s.n + 2, 1);
    size_t n = decode(p, s, mode);
    n = remove_dots(p, n);
    if (mode == MESH_PATH_MERGE_SLASHES || mode == MESH_PATH_DECODE_AND_MERGE_SLASHES) {
        n = merge_slashes(p, n);
    }
    if (n == 0) {
        p[n++] = '/';
    }
    *out = str_n(p, n);
    return OK;
}
