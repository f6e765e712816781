/*
 * quick: the patterns that most policies are written with, matched without RE2.
 *
 * A pattern is quick when it is a sequence of characters, classes and `.`, each with at most one of `*`, `+` and
 * `?`, with or without ^ in front and $ behind: no groups, no alternatives, no counted repetition, ASCII alone.
 * It is run as an automaton with one bit a place (Baeza-Yates and Gonnet's shift-and), one step a byte of text,
 * or as a plain search when it is a literal. Only texts of ASCII are answered; what the first byte above 0x7f
 * means is RE2's to say, and so is everything else that is not quick.
 */
#ifndef SEXTANT_REGEX_QUICK_H
#define SEXTANT_REGEX_QUICK_H

#include "lib/base/err.h"

struct quick;

/* NULL when the pattern is not quick; it may still be a regular expression. */
struct quick *quick_compile(struct str pattern);
void quick_free(struct quick *q); /* NULL is fine */

enum quick_answer { QUICK_NO, QUICK_YES, QUICK_UNKNOWN };
enum quick_answer quick_match(const struct quick *q, struct str text);

#endif
