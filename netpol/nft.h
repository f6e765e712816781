/*
 * nft: runs the nft program. Its library is GPL-2 only and cannot be linked; its text and JSON forms
 * are stable and are what operators read.
 *
 * Calls block for as long as nft runs (10 to 30 ms for usual tables), at most NFT_TIMEOUT_MS.
 */
#ifndef SEXTANT_NETPOL_NFT_H
#define SEXTANT_NETPOL_NFT_H

#include "lib/base/buf.h"

enum { NFT_TIMEOUT_MS = 60 * 1000, NFT_TEXT_MAX = 256 << 20 };

/* Where the program is: the first of the usual places that has it. ERR_NOT_FOUND says how to get it. */
struct err nft_find(const char **out);

/* `nft -f -` with this text, as one transaction: all of it holds, or nothing changed. ERR_INVALID. */
struct err nft_apply(struct str text);
/* `nft --check -f -`: would it be accepted? */
struct err nft_check(struct str text);
/* `nft -j list table inet NAME` into `out`. ERR_NOT_FOUND when there is no such table. */
struct err nft_list(struct str table, struct buf *out);
/* Removes the table; no error when it is not there. */
struct err nft_delete(struct str table);

#endif
