#include "builtin.h"

const struct builtin builtins_format[] = {
    {0},
};
