/* schema: the migrations of authn's database. */
#ifndef SEXTANT_AUTHN_SCHEMA_H
#define SEXTANT_AUTHN_SCHEMA_H

extern const char *const authn_schema[];

#endif
