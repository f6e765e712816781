/*
 * banned: functions that are easy to use wrongly do not compile. Included by the build into every
 * file of the product (not into tests).
 */
#ifndef SEXTANT_BANNED_H
#define SEXTANT_BANNED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#undef alloca
#undef strtok_r
#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok strtok_r gets scanf       \
    sscanf fscanf atoi atol atoll gmtime localtime ctime asctime mktemp tmpnam tempnam system      \
        popen rand srand alloca setjmp longjmp

#endif
