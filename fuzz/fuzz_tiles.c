/* deps: audit_core tls base */
/* Tile paths and entry bundles: a path that parses is spelt exactly so; a bundle's parts fit inside it. */
#include "audit/tlog/tiles.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tile_name name;
    struct str text = str_n(data, size), entry;
    struct bundle_reader b = bundle_open(text);
    struct buf again;
    bool end = false;
    if (!failed(tile_path_parse(text, &name))) {
        char path[TILE_PATH_MAX];
        tile_path(&name, path);
        BUG_ON(!str_is(text, path));
    }
    buf_init(&again, size + 1);
    while (!failed(bundle_next(&b, &entry, &end)) && !end) {
        BUG_ON(entry.p < text.p || entry.p + entry.n > text.p + text.n || b.read > TILE_WIDTH);
        bundle_put(&again, entry);
    }
    BUG_ON(end && !str_eq(buf_str(&again), text));
    buf_release(&again);
    return 0;
}
