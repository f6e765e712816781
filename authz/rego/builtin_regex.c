#include "builtin.h"

const struct builtin builtins_regex[] = {
    {0},
};
