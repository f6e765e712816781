/* deps: assess base */
/* The stream of `git cat-file --batch`: however it is cut, the same objects come out. */
#include "assess/git.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sum {
    uint64_t value;
    size_t blobs;
};

static void on_blob(void *ctx, struct str oid, struct str content)
{
    struct sum *s = ctx;
    s->blobs++;
    s->value = s->value * 31 + oid.n * 7 + content.n;
    for (size_t i = 0; i < content.n; i++) {
        s->value = s->value * 31 + (unsigned char)content.p[i];
    }
}

static struct sum read_in_pieces(struct str text, size_t piece, bool *ok)
{
    struct git_objects g;
    struct sum s = {0};
    struct err e = OK;
    git_objects_init(&g, 4096, on_blob, &s);
    for (size_t at = 0; at < text.n && !failed(e); at += piece) {
        e = git_objects_feed(&g, str_sub(text, at, at + piece));
    }
    git_objects_release(&g);
    *ok = !failed(e);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool whole_ok, cut_ok;
    struct sum whole = read_in_pieces(str_n(data, size), size > 0 ? size : 1, &whole_ok);
    struct sum cut = read_in_pieces(str_n(data, size), size > 0 ? 1 + data[0] % 7 : 1, &cut_ok);
    BUG_ON(whole_ok != cut_ok);
    BUG_ON(whole.value != cut.value || whole.blobs != cut.blobs);
    return 0;
}
