#include "checkpoint.h"

#include "lib/base/codec.h"

#include <inttypes.h>

static const struct str PROOF_HEADER = STR_INIT("c2sp.org/tlog-proof@v1");

static struct err parse_hash(struct arena *a, struct str text, struct hash *out)
{
    struct str bytes;
    TRY(base64_decode(a, text, BASE64_STD, &bytes));
    return hash_of_bytes(bytes, out);
}

struct err checkpoint_parse(struct arena *a, struct str text, struct checkpoint *out)
{
    struct checkpoint c;
    ENSURE(str_ends(text, S("\n")), ERR_SYNTAX, "a checkpoint ends in a newline");
    struct str rest = str_sub(text, 0, text.n - 1);
    c.origin = str_split(&rest, '\n');
    ENSURE(c.origin.n > 0, ERR_SYNTAX, "a checkpoint without an origin in its first line");
    struct str size = str_split(&rest, '\n');
    struct err e = str_to_u64(size, &c.size);
    if (failed(e)) {
        return err_wrap(e, "tree size of a checkpoint");
    }
    ENSURE(rest.p != NULL, ERR_SYNTAX, "a checkpoint without a root in its third line");
    TRY(parse_hash(a, str_split(&rest, '\n'), &c.root));
    while (rest.p != NULL) {
        ENSURE(str_split(&rest, '\n').n > 0, ERR_SYNTAX,
               "a checkpoint with an empty extension line");
    }
    *out = c;
    return OK;
}

void checkpoint_put(struct buf *out, const struct checkpoint *c)
{
    buf_puts(out, c->origin);
    buf_printf(out, "\n%" PRIu64 "\n", c->size);
    base64_put(out, hash_str(&c->root), BASE64_STD);
    buf_putc(out, '\n');
}

struct err checkpoint_open(struct arena *a, struct str bytes, const struct note_key *key,
                           struct checkpoint *out)
{
    struct note n;
    struct checkpoint c;
    TRY(note_parse(a, bytes, &n));
    TRY(note_verify(&n, key, 1, NULL));
    TRY(checkpoint_parse(a, n.text, &c));
    ENSURE(str_eq(c.origin, key->name), ERR_INVALID,
           "the checkpoint is of log '%.*s', the key of log '%.*s'", STR_FMT(c.origin),
           STR_FMT(key->name));
    *out = c;
    return OK;
}

static struct err parse_path(struct arena *a, struct str *rest, struct merkle_proof *out)
{
    out->n = 0;
    for (;;) {
        ENSURE(rest->p != NULL, ERR_SYNTAX, "a proof without a blank line before its checkpoint");
        struct str line = str_split(rest, '\n');
        if (line.n == 0) {
            return OK;
        }
        ENSURE(out->n < MERKLE_LEVELS, ERR_LIMIT, "a proof of more than %d hashes", MERKLE_LEVELS);
        TRY(parse_hash(a, line, &out->path[out->n]));
        out->n++;
    }
}

struct err tlog_proof_parse(struct arena *a, struct str text, struct tlog_proof *out)
{
    ENSURE(text.n <= TLOG_PROOF_MAX, ERR_LIMIT, "a proof file of %zu bytes; at most %d are read",
           text.n, TLOG_PROOF_MAX);
    struct tlog_proof p = {.extra = STR_EMPTY};
    struct str rest = text;
    ENSURE(str_eq(str_split(&rest, '\n'), PROOF_HEADER), ERR_SYNTAX,
           "a proof file starts with the line %.*s", STR_FMT(PROOF_HEADER));
    struct str line = str_split(&rest, '\n');
    if (str_starts(line, S("extra "))) {
        TRY(base64_decode(a, str_sub(line, 6, line.n), BASE64_STD, &p.extra));
        line = str_split(&rest, '\n');
    }
    ENSURE(str_starts(line, S("index ")), ERR_SYNTAX, "a proof file without an index line");
    TRY(str_to_u64(str_sub(line, 6, line.n), &p.index));
    TRY(parse_path(a, &rest, &p.path));
    ENSURE(rest.p != NULL && rest.n > 0, ERR_SYNTAX, "a proof file without a checkpoint");
    struct note n;
    TRY(note_parse(a, rest, &n));
    p.checkpoint = rest;
    *out = p;
    return OK;
}

void tlog_proof_put(struct buf *out, const struct tlog_proof *p)
{
    buf_puts(out, PROOF_HEADER);
    buf_putc(out, '\n');
    if (p->extra.n > 0) {
        buf_puts(out, S("extra "));
        base64_put(out, p->extra, BASE64_STD);
        buf_putc(out, '\n');
    }
    buf_printf(out, "index %" PRIu64 "\n", p->index);
    for (size_t i = 0; i < p->path.n; i++) {
        base64_put(out, hash_str(&p->path.path[i]), BASE64_STD);
        buf_putc(out, '\n');
    }
    buf_putc(out, '\n');
    buf_puts(out, p->checkpoint);
}

struct err tlog_proof_check(struct arena *a, const struct tlog_proof *p, struct str entry,
                            const struct note_key *key, struct checkpoint *out)
{
    struct checkpoint c;
    TRY(checkpoint_open(a, p->checkpoint, key, &c));
    struct hash leaf;
    merkle_leaf(entry, &leaf);
    TRY(merkle_check_inclusion(p->index, c.size, &leaf, p->path.path, p->path.n, &c.root));
    *out = c;
    return OK;
}
