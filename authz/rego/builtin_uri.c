#include "builtin.h"

const struct builtin builtins_uri[] = {
    {0},
};
