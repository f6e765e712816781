#include "builtin.h"

const struct builtin builtins_time[] = {
    {0},
};
