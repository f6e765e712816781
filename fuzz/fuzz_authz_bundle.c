/* deps: bundle */
/*
 * Bundles: whatever the archive holds, reading ends in a bundle or an error; what was read can be written, and what was
 * written is read again with the same data. The first byte chooses options, the second packed or plain.
 */
#include "authz/bundle/bundle_priv.h"
#include "lib/http/gzip.h"

#include <stdlib.h>

static const struct bundle_key key = {
    .id = {"k", 1}, .algorithm = {"HS256", 5}, .key = {"secret", 6}};

static struct err read_it(struct str bytes, bool packed, const struct bundle_opts *o,
                          struct bundle **out)
{
    struct buf gz;
    if (packed) {
        return bundle_read_tar(bytes, o, NULL, out);
    }
    buf_init(&gz, 4 << 20);
    struct err e = gzip_pack(bytes, 0, &gz);
    e = failed(e) ? e : bundle_read_tar(buf_str(&gz), o, NULL, out);
    buf_release(&gz);
    return e;
}

static void write_again(struct bundle *b)
{
    struct bundle *again = NULL;
    struct bundle_opts o = {.version = REGO_V1, .raw = true};
    struct buf out;
    buf_init(&out, 8 << 20);
    if (!failed(bundle_write(b, &out)) && !b->delta && b->n_wasm == 0 && b->n_plans == 0) {
        if (!failed(bundle_read_tar(buf_str(&out), &o, NULL, &again))) {
            BUG_ON(again->n_modules != b->n_modules);
        }
    }
    bundle_unref(again);
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 1 << 20) {
        return 0;
    }
    bundle_prepare();
    struct bundle_verify verify = {.keys = &key, .n_keys = 1, .optional = (data[0] & 1) != 0};
    struct bundle_opts o = {.version = (data[0] & 2) ? REGO_V0 : REGO_V1,
                            .verify = (data[0] & 4) ? &verify : NULL,
                            .raw = (data[0] & 8) != 0,
                            .persist = (data[0] & 16) != 0,
                            .size_limit = 1 << 20};
    struct bundle *b = NULL, *next = NULL;
    if (!failed(read_it(str_n(data + 2, size - 2), (data[1] & 1) != 0, &o, &b))) {
        write_again(b);
        if (b->delta) {
            struct bundle *base = bundle_new(S("x"));
            ignore_err(bundle_check(base));
            ignore_err(bundle_apply(base, b, &next));
            bundle_unref(base);
        }
    }
    bundle_unref(next);
    bundle_unref(b);
    return 0;
}
