/* SPDX-License-Identifier: MIT */
#ifndef DSB_POLICY_FIELD_TYPES_H
#define DSB_POLICY_FIELD_TYPES_H

#include "policy/fields.h"

/** The types that the rows of fields.c are made of. */
extern const struct dsb_field_type dsb_type_size;
extern const struct dsb_field_type dsb_type_size_or_disk;
extern const struct dsb_field_type dsb_type_count;
extern const struct dsb_field_type dsb_type_cpus;
extern const struct dsb_field_type dsb_type_time;
extern const struct dsb_field_type dsb_type_choice;
extern const struct dsb_field_type dsb_type_bool; /**< choices {"true"}: nothing else is accepted */
extern const struct dsb_field_type dsb_type_user;
extern const struct dsb_field_type dsb_type_name;
extern const struct dsb_field_type dsb_type_binds;
extern const struct dsb_field_type dsb_type_modules;

#endif
