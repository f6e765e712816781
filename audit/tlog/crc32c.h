/* crc32c: the Castagnoli checksum that guards journal records against torn and rotten writes. */
#ifndef SEXTANT_CRC32C_H
#define SEXTANT_CRC32C_H

#include "lib/base/str.h"

/* Continues from `crc`, which is 0 at the start. Not a defence against people: see the Merkle tree. */
uint32_t crc32c(uint32_t crc, struct str bytes);

#endif
