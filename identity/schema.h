/* schema: migrations of identity's database. */
#ifndef SEXTANT_IDENTITY_SCHEMA_H
#define SEXTANT_IDENTITY_SCHEMA_H

extern const char *const identity_schema[];

#endif
