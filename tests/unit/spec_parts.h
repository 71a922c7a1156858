/* SPDX-License-Identifier: MIT */
/* Parts of a spec, for arrays of pointers to them. Outside of functions they live for good. */
#ifndef DSB_TEST_SPEC_PARTS_H
#define DSB_TEST_SPEC_PARTS_H

#include <dsandbox/spec.h>

#define BIND(...) (&(const struct dsb_bind){sizeof(struct dsb_bind), __VA_ARGS__})
#define PAIR(...) (&(const struct dsb_pair){sizeof(struct dsb_pair), __VA_ARGS__})

#endif
