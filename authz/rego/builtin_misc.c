#include "builtin.h"

const struct builtin builtins_misc[] = {
    {0},
};
