#include "tiles.h"

#include <inttypes.h>
#include <stdio.h>

void tile_path(const struct tile_name *name, char out[TILE_PATH_MAX])
{
    BUG_ON(name->width == 0 || name->width > TILE_WIDTH || name->level > 63);
    unsigned groups[7];
    size_t n_groups = 0;
    uint64_t n = name->n;
    do {
        groups[n_groups++] = (unsigned)(n % 1000);
        n /= 1000;
    } while (n > 0);
    int at = name->entries ? snprintf(out, TILE_PATH_MAX, "tile/entries")
                           : snprintf(out, TILE_PATH_MAX, "tile/%u", name->level);
    for (size_t i = n_groups; i-- > 0;) {
        at += snprintf(out + at, TILE_PATH_MAX - (size_t)at, i > 0 ? "/x%03u" : "/%03u", groups[i]);
    }
    if (name->width < TILE_WIDTH) {
        at += snprintf(out + at, TILE_PATH_MAX - (size_t)at, ".p/%u", name->width);
    }
    BUG_ON(at >= TILE_PATH_MAX);
}

static struct err parse_groups(struct str *rest, uint64_t *out)
{
    uint64_t n = 0;
    for (;;) {
        bool more = rest->n > 0 && rest->p[0] == 'x';
        struct str digits = str_sub(*rest, more, more + 3U);
        ENSURE(digits.n == 3, ERR_SYNTAX, "a tile number is written in groups of three digits");
        for (size_t i = 0; i < 3; i++) {
            ENSURE(digits.p[i] >= '0' && digits.p[i] <= '9', ERR_SYNTAX,
                   "a tile number is written in groups of three digits");
            ENSURE(!__builtin_mul_overflow(n, 10, &n) &&
                       !__builtin_add_overflow(n, (uint64_t)(digits.p[i] - '0'), &n),
                   ERR_RANGE, "a tile number above 64 bits");
        }
        *rest = str_sub(*rest, more + 3U, rest->n);
        if (!more) {
            break;
        }
        ENSURE(rest->n > 0 && rest->p[0] == '/', ERR_SYNTAX,
               "a tile number that ends in an x group");
        *rest = str_sub(*rest, 1, rest->n);
    }
    *out = n;
    return OK;
}

static struct err parse_kind(struct str kind, struct tile_name *t)
{
    if (str_is(kind, "entries")) {
        t->entries = true;
        return OK;
    }
    uint64_t level;
    TRY(str_to_u64(kind, &level));
    ENSURE(level < 64, ERR_RANGE, "tile level %" PRIu64 " is above 63", level);
    t->level = (unsigned)level;
    return OK;
}

struct err tile_path_parse(struct str path, struct tile_name *out)
{
    struct tile_name t = {.width = TILE_WIDTH};
    ENSURE(str_starts(path, S("tile/")), ERR_SYNTAX, "a tile path starts with tile/");
    struct str rest = str_sub(path, 5, path.n), kind = str_split(&rest, '/');
    ENSURE(rest.p != NULL, ERR_SYNTAX, "a tile path without a number");
    TRY(parse_kind(kind, &t));
    TRY(parse_groups(&rest, &t.n));
    if (rest.n > 0) {
        uint64_t width;
        ENSURE(str_starts(rest, S(".p/")), ERR_SYNTAX,
               "a tile path ends in its number or .p/WIDTH");
        TRY(str_to_u64(str_sub(rest, 3, rest.n), &width));
        ENSURE(width >= 1 && width < TILE_WIDTH, ERR_RANGE, "a partial width is 1 to 255");
        t.width = (unsigned)width;
    }
    char again[TILE_PATH_MAX]; /* x000/001 and the like are other spellings of the same number */
    tile_path(&t, again);
    ENSURE(str_is(path, again), ERR_SYNTAX, "the tile's path is spelt %s", again);
    *out = t;
    return OK;
}

struct err bundle_next(struct bundle_reader *b, struct str *entry, bool *end)
{
    if (b->rest.n == 0) {
        *end = true;
        return OK;
    }
    ENSURE(b->read < TILE_WIDTH, ERR_SYNTAX, "an entry bundle with more than %d entries",
           TILE_WIDTH);
    ENSURE(b->rest.n >= 2, ERR_SYNTAX, "entry %u of the bundle is cut short", b->read);
    size_t n = (size_t)(uint8_t)b->rest.p[0] << 8 | (uint8_t)b->rest.p[1];
    ENSURE(b->rest.n - 2 >= n, ERR_SYNTAX, "entry %u of the bundle is cut short", b->read);
    *entry = str_sub(b->rest, 2, 2 + n);
    b->rest = str_sub(b->rest, 2 + n, b->rest.n);
    b->read++;
    *end = false;
    return OK;
}

void bundle_put(struct buf *out, struct str entry)
{
    BUG_ON(entry.n > ENTRY_MAX);
    buf_put_be(out, entry.n, 2);
    buf_puts(out, entry);
}
