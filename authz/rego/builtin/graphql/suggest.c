/* "Did you mean": what resembles a name that does not exist. */
#include "authz/rego/builtin/graphql/validate.h"

#include "authz/rego/value/utf8.h"

enum { SUGGEST_SHOWN = 5, SUGGEST_LENGTH_MAX = 256 };

struct str gql_or_list(struct gql_walk *w, bool quoted, const struct gql_strs *items)
{
    struct buf out;
    size_t n = MIN(items->n, (size_t)SUGGEST_SHOWN);
    buf_init(&out, 1 << 20);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            buf_puts(&out, n == 2 ? S(" or ") : i == n - 1 ? S(", or ") : S(", "));
        }
        buf_puts(&out, quoted ? S("\"") : STR_EMPTY);
        buf_puts(&out, items->v[i]);
        buf_puts(&out, quoted ? S("\"") : STR_EMPTY);
    }
    struct str s = arena_str(w->g->a, buf_str(&out));
    buf_release(&out);
    return s;
}

/* Code points in lower case; false: too many to be a typing mistake worth the work. */
static bool lower(struct str s, uint32_t out[SUGGEST_LENGTH_MAX], size_t *n)
{
    *n = 0;
    for (size_t at = 0; at < s.n;) {
        if (*n == SUGGEST_LENGTH_MAX) {
            return false;
        }
        out[(*n)++] = utf8_lower(utf8_next(s, &at));
    }
    return true;
}

/* Edits that turn one into the other (Levenshtein); a change of case alone is one. */
static unsigned distance(struct gql_walk *w, struct str a, struct str b)
{
    uint32_t x[SUGGEST_LENGTH_MAX], y[SUGGEST_LENGTH_MAX];
    unsigned row[SUGGEST_LENGTH_MAX + 1];
    size_t nx, ny;
    if (str_eq(a, b)) {
        return 0;
    }
    if (!lower(a, x, &nx) || !lower(b, y, &ny) || gql_spend(w->g, nx * ny + 1)) {
        return UINT32_MAX;
    }
    if (nx == ny && memcmp(x, y, nx * sizeof *x) == 0) {
        return 1;
    }
    for (size_t k = 0; k <= ny; k++) {
        row[k] = (unsigned)k;
    }
    for (size_t i = 1; i <= nx; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t k = 1; k <= ny; k++) {
            unsigned best = MIN(row[k], row[k - 1]) + 1;
            best = MIN(best, diagonal + (x[i - 1] != y[k - 1]));
            diagonal = row[k];
            row[k] = best;
        }
    }
    return row[ny];
}

struct str gql_suggest(struct gql_walk *w, const char *prefix, bool quoted, struct str typed,
                       const struct gql_strs *options)
{
    struct gql_strs near = {0};
    unsigned *far = arena_array(w->g->a, unsigned, options->n + 1);
    unsigned most = (unsigned)(typed.n * 2 / 5) + 1;
    for (size_t i = 0; i < options->n; i++) {
        unsigned d = distance(w, typed, options->v[i]);
        if (d > most) {
            continue;
        }
        gql_push_str(w->g, &near, STR_EMPTY);
        size_t at = near.n - 1;
        for (; at > 0 && far[at - 1] > d; at--) {
            near.v[at] = near.v[at - 1];
            far[at] = far[at - 1];
        }
        near.v[at] = options->v[i];
        far[at] = d;
    }
    if (near.n == 0) {
        return STR_EMPTY;
    }
    return arena_printf(w->g->a, " %s %.*s?", prefix, STR_FMT(gql_or_list(w, quoted, &near)));
}
