#include "builtin.h"

const struct builtin builtins_json[] = {
    {0},
};
