#include "builtin.h"

const struct builtin builtins_token[] = {
    {0},
};
