/* deps: config yaml json base */
/*
 * Configuration: any text either fills the struct or gives an error; nothing else may happen.
 */
#include "lib/config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct inner {
    struct str name;
    int64_t n;
};

struct outer {
    struct str s;
    int64_t i, d, z;
    bool b;
    struct config_list l;
    struct config_map m;
    struct inner one;
    struct config_items many;
    const struct json *t;
};

static const struct config_key inner_keys[] = {
    {"name", CONFIG_STR, offsetof(struct inner, name), .required = true},
    {"n", CONFIG_INT, offsetof(struct inner, n), .min = -5, .max = 5},
    {0},
};

static const struct config_key keys[] = {
    {"s", CONFIG_STR, offsetof(struct outer, s)},
    {"i", CONFIG_INT, offsetof(struct outer, i)},
    {"d", CONFIG_DURATION, offsetof(struct outer, d), .min = 0, .max = 1000000000},
    {"z", CONFIG_SIZE, offsetof(struct outer, z)},
    {"b", CONFIG_BOOL, offsetof(struct outer, b)},
    {"l", CONFIG_LIST, offsetof(struct outer, l), .max = 3},
    {"m", CONFIG_MAP, offsetof(struct outer, m)},
    {"one", CONFIG_SECTION, offsetof(struct outer, one), .keys = inner_keys},
    {"many", CONFIG_SECTIONS, offsetof(struct outer, many), .keys = inner_keys,
     .size = sizeof(struct inner)},
    {"t", CONFIG_TREE, offsetof(struct outer, t)},
    {0},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *c;
    struct outer o = {0};
    if (!failed(config_parse(str_n(data, size), S("f.yaml"), &c))) {
        ignore_err(config_section(c, "authz", keys, &o));
        config_free(c);
    }
    return 0;
}
