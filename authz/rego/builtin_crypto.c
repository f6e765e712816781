#include "builtin.h"

const struct builtin builtins_crypto[] = {
    {0},
};
