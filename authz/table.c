/* Tables with borders, for people. */
#include "cmd.h"

void table_add(struct table *t, struct str cell)
{
    t->cells = arena_grow(t->a, t->cells, t->n_cells, t->n_cells + 1, &t->cap, sizeof *t->cells);
    t->cells[t->n_cells++] = arena_str(t->a, cell);
}

/* Places on the screen: code points, as if each were one wide. */
static size_t wide(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    }
    return n;
}

static size_t lines_of(struct str s)
{
    size_t n = 1;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == '\n';
    }
    return n;
}

static struct str line_at(struct str s, size_t i)
{
    struct str rest = s, line = STR_EMPTY;
    for (size_t k = 0; k <= i; k++) {
        line = rest.p != NULL ? str_split(&rest, '\n') : STR_EMPTY;
    }
    return line;
}

static void put_times(struct buf *out, const char *what, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_puts(out, str_of(what));
    }
}

static void put_border(struct buf *out, const struct table *t, const size_t *widths,
                       const char *const ends[3])
{
    for (size_t i = 0; i < t->n_columns; i++) {
        buf_puts(out, str_of(ends[i == 0 ? 0 : 1]));
        put_times(out, "─", widths[i] + 2);
    }
    buf_puts(out, str_of(ends[2]));
    buf_putc(out, '\n');
}

static void put_row(struct buf *out, const struct table *t, const size_t *widths,
                    const struct str *row, bool centered)
{
    size_t height = 1;
    for (size_t i = 0; i < t->n_columns; i++) {
        height = MAX(height, lines_of(row[i]));
    }
    for (size_t k = 0; k < height; k++) {
        for (size_t i = 0; i < t->n_columns; i++) {
            struct str line = line_at(row[i], k);
            size_t free = widths[i] - wide(line), left = centered ? free / 2 : 0;
            buf_puts(out, S("│ "));
            put_times(out, " ", left);
            buf_puts(out, line);
            put_times(out, " ", free - left + 1);
        }
        buf_puts(out, S("│\n"));
    }
}

void table_print(struct buf *out, const struct table *t)
{
    static const char *const top[3] = {"┌", "┬", "┐"}, *const middle[3] = {"├", "┼", "┤"},
                             *const bottom[3] = {"└", "┴", "┘"};
    size_t *widths = arena_array(t->a, size_t, t->n_columns + 1);
    for (size_t i = 0; i < t->n_cells; i++) {
        for (size_t k = 0; k < lines_of(t->cells[i]); k++) {
            widths[i % t->n_columns] = MAX(widths[i % t->n_columns], wide(line_at(t->cells[i], k)));
        }
    }
    put_border(out, t, widths, top);
    for (size_t i = 0; i + t->n_columns <= t->n_cells; i += t->n_columns) {
        bool header = t->header && i == 0;
        put_row(out, t, widths, t->cells + i, header);
        bool last = i + 2 * t->n_columns > t->n_cells;
        if (!last && (header || t->separated)) {
            put_border(out, t, widths, middle);
        }
    }
    put_border(out, t, widths, bottom);
}
