/* A table of keys as a commented example section: each key with its help, type and default. */
#include "config_priv.h"

static const char *type_words(enum config_type t)
{
    static const char *const words[] = {
        [CONFIG_STR] = "text",
        [CONFIG_INT] = "number",
        [CONFIG_BOOL] = "true or false",
        [CONFIG_DURATION] = "duration",
        [CONFIG_SIZE] = "size",
        [CONFIG_LIST] = "list",
        [CONFIG_MAP] = "mapping",
        [CONFIG_SECTION] = "section",
        [CONFIG_SECTIONS] = "list of sections",
        [CONFIG_TREE] = "any",
    };
    return words[t];
}

struct place {
    const struct config_key *key;
    bool item; /* the next key is the first of a list item */
};

static void indent_to(struct buf *out, size_t depth)
{
    for (size_t i = 0; i < depth; i++) {
        buf_puts(out, S("  "));
    }
}

static void describe_key(struct buf *out, const struct config_key *k, size_t depth, bool item)
{
    indent_to(out, depth);
    buf_printf(out, "# %s (%s%s)\n", k->help != NULL ? k->help : "", type_words(k->type),
               k->required ? ", required" : "");
    indent_to(out, item ? depth - 1 : depth);
    buf_printf(out, "%s%s:%s%s\n", item ? "- " : "", k->name, k->fallback != NULL ? " " : "",
               k->fallback != NULL ? k->fallback : "");
}

void config_describe(struct buf *out, const char *section, const struct config_key *keys)
{
    struct place stack[16] = {{keys, false}};
    size_t n = 1;
    buf_printf(out, "%s:\n", section);
    while (n > 0) {
        struct place *top = &stack[n - 1];
        const struct config_key *k = top->key;
        if (k->name == NULL) {
            n--;
            continue;
        }
        describe_key(out, k, n, top->item);
        top->key++;
        top->item = false;
        if (k->type == CONFIG_SECTION || k->type == CONFIG_SECTIONS) {
            BUG_ON(n == ARRAY_LEN(stack));
            stack[n++] = (struct place){k->keys, k->type == CONFIG_SECTIONS};
        }
    }
}
