/*
 * pages: the HTML that people see. No script, no inline style, no outside resource; one style sheet
 * served beside them. Everything that comes from outside is escaped.
 */
#ifndef SEXTANT_AUTHN_PAGES_H
#define SEXTANT_AUTHN_PAGES_H

#include "op.h"

/* The answer becomes a page of this status. `form_origin`: where its form may lead, beside here. */
void page_login(struct op *op, int status, const struct interaction *i, struct str message);
void page_consent(struct op *op, const struct interaction *i);
void page_error(struct op *op, int status, const char *title, struct str message);
void page_logout(struct op *op, struct str csrf, struct str hidden_hint, const struct params *p);
void page_signed_out(struct op *op);
/* response_mode form_post: a form with a button (OAuth 2.0 Form Post Response Mode). */
void page_form_post(struct op *op, struct str redirect_uri, const struct param *fields, size_t n);

void html_escape(struct buf *out, struct str text);
extern const char style_sheet[];

#endif
