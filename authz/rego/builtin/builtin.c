/* The list of all builtins, by name. */
#include "authz/rego/builtin/builtin.h"

#include "lib/base/map.h"

#define GROUPS(X)                                                                                  \
    X(core)                                                                                        \
    X(number)                                                                                      \
    X(collection)                                                                                  \
    X(object) X(string) X(format) X(regex) X(glob) X(encoding) X(json) X(time) X(net) X(token)     \
        X(crypto) X(misc) X(graph) X(units) X(uri) X(aws) X(globs) X(graphql) X(x509)              \
            X(json_schema) X(template) X(http)

#define X(group) extern const struct builtin builtins_##group[];
GROUPS(X)
#undef X

static const struct builtin *const groups[] = {
#define X(group) builtins_##group,
    GROUPS(X)
#undef X
};

const struct builtin *builtin_at(size_t i)
{
    for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
        for (const struct builtin *b = groups[g]; b->name != NULL; b++) {
            if (i-- == 0) {
                return b;
            }
        }
    }
    return NULL;
}

static struct map by_name;

const struct builtin *builtin_find(struct str name)
{
    if (by_name.live == 0) {
        map_init(&by_name);
        const struct builtin *b;
        for (size_t i = 0; (b = builtin_at(i)) != NULL; i++) {
            map_set(&by_name, str_of(b->name), (void *)(uintptr_t)b);
        }
    }
    return map_get(&by_name, name);
}

void builtin_extend(const struct builtin *list)
{
    (void)builtin_find(S("")); /* ours first */
    for (; list->name != NULL; list++) {
        map_set(&by_name, str_of(list->name), (void *)(uintptr_t)list);
    }
}
