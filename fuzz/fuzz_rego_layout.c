/* deps: rego base */
/* Layouts of time: any layout, any text; what is read is written and reads as the same moment. */
#include "authz/rego/syntax/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = str_n(data, MIN(size, (size_t)512));
    struct str layout = str_split(&rest, '\n');
    struct instant t;
    const struct zone *utc;
    if (rest.p == NULL || failed(zone_find(S("UTC"), &utc)) ||
        failed(layout_parse(layout, rest, &t))) {
        return 0;
    }
    struct civil c = civil_of(t, utc);
    struct buf b;
    buf_init(&b, 1 << 20);
    layout_format(&b, S("2006-01-02T15:04:05.999999999Z07:00"), &c);
    struct instant again;
    BUG_ON(!failed(layout_parse(S("2006-01-02T15:04:05Z07:00"), buf_str(&b), &again)) &&
           (again.s != t.s || again.ns != t.ns));
    buf_release(&b);
    return 0;
}
