/* Lines and comments. */
#include "authz/rego/syntax/format_priv.h"

struct str loc_text(const struct writer *w, struct loc l)
{
    return l.row == 0 ? STR_EMPTY : str_sub(w->m->source, l.off, l.end);
}

int64_t row_of(struct loc l)
{
    return l.row == 0 ? 1 : (int64_t)l.row;
}

int64_t count_lines(struct str s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += s.p[i] == '\n';
    }
    return n;
}

int64_t end_row(const struct writer *w, struct loc l)
{
    return row_of(l) + count_lines(loc_text(w, l));
}

bool text_starts(const struct writer *w, struct loc l, char c)
{
    struct str s = loc_text(w, l);
    return s.n > 0 && s.p[0] == c;
}

/* Position of the bracket that closes the first `open`, adding the lines passed; s.n when there is none. */
static size_t skip_pair(struct str s, size_t i, char open, char close, int64_t *rows)
{
    while (i < s.n && s.p[i] != open) {
        i++;
    }
    for (int64_t depth = 1; i < s.n && depth > 0;) {
        if (++i >= s.n) {
            break;
        }
        depth += s.p[i] == open;
        depth -= s.p[i] == close;
        *rows += s.p[i] == '\n';
    }
    return i;
}

int64_t closing_row(const struct writer *w, struct loc l, char open, char close)
{
    struct str s = loc_text(w, l);
    int64_t rows = 0;
    return skip_pair(s, 0, open, close, &rows) >= s.n ? -1 : row_of(l) + rows;
}

int64_t closing_row_behind(const struct writer *w, struct loc l, char skip_open, char skip_close,
                           char open, char close)
{
    struct str s = loc_text(w, l);
    int64_t rows = 0;
    size_t i = skip_pair(s, 0, skip_open, skip_close, &rows);
    return skip_pair(s, i, open, close, &rows) >= s.n ? -1 : row_of(l) + rows;
}

void put(struct writer *w, const char *text)
{
    buf_puts(w->out, str_of(text));
}

void put_str(struct writer *w, struct str s)
{
    buf_puts(w->out, s);
}

void start_line(struct writer *w)
{
    w->inline_ = true;
    for (int i = 0; i < w->level; i++) {
        buf_putc(w->out, '\t');
    }
}

void put_comment(struct writer *w, const struct comment *c)
{
    buf_putc(w->out, '#');
    buf_puts(w->out, c->text);
}

void end_line(struct writer *w)
{
    w->inline_ = false;
    if (!w->delay) {
        for (; w->waiting != NULL; w->waiting = w->waiting->next) {
            buf_putc(w->out, ' ');
            put_comment(w, w->waiting->comment);
        }
    }
    w->delay = false;
    buf_putc(w->out, '\n');
}

void blank_line(struct writer *w)
{
    if (w->inline_) {
        end_line(w);
    }
    buf_putc(w->out, '\n');
}

static bool is_metadata(const struct comment *c)
{
    return c->loc.col == 1 && str_starts(str_trim(c->text), S("METADATA"));
}

void write_comment_line(struct writer *w, const struct comment *c)
{
    if (!w->inline_) {
        start_line(w);
    }
    put_comment(w, c);
    end_line(w);
}

bool comments_before(const struct writer *w, int64_t row)
{
    return w->next < w->n_comments && row_of(w->comments[w->next].loc) < row;
}

void write_comments_before(struct writer *w, int64_t row)
{
    bool metadata = false;
    for (size_t first = w->next; comments_before(w, row); w->next++) {
        const struct comment *c = &w->comments[w->next];
        if (w->next > first) {
            uint32_t gap = c->loc.row - c[-1].loc.row;
            if (gap > 1) {
                blank_line(w);
                metadata = false;
            } else if (metadata && is_metadata(c)) {
                blank_line(w);
            }
        }
        metadata |= is_metadata(c);
        write_comment_line(w, c);
    }
}

static void wait_for_end(struct writer *w, const struct comment *c)
{
    struct waiting **at = &w->waiting;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = arena_new(w->a, struct waiting);
    (*at)->comment = c;
}

enum written insert_comments(struct writer *w, int64_t row)
{
    size_t first = w->next;
    write_comments_before(w, row);
    if (w->next > first && row - row_of(w->comments[w->next - 1].loc) > 1) {
        blank_line(w);
    }
    const struct comment *at = NULL;
    while (w->next < w->n_comments && row_of(w->comments[w->next].loc) == row) {
        at = &w->comments[w->next++];
    }
    if (at == NULL) {
        return W_OK;
    }
    bool full = w->waiting != NULL && w->in_term > 0;
    wait_for_end(w, at);
    return full ? W_UNEXPECTED : W_OK;
}

void write_unformatted(struct writer *w, struct loc l)
{
    int64_t last = end_row(w, l);
    put_str(w, loc_text(w, l));
    while (w->next < w->n_comments && row_of(w->comments[w->next].loc) <= last) {
        const struct comment *c = &w->comments[w->next];
        bool inside = c->loc.off < l.end;
        if (row_of(c->loc) == last && !inside) {
            if (!w->last_row_comment) {
                break;
            }
            if (w->in_bracket > 0) { /* a line feed comes next */
                put(w, " ");
                put_comment(w, c);
            } else {
                wait_for_end(w, c);
            }
        }
        w->next++;
    }
}
