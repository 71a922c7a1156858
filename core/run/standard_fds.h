/* SPDX-License-Identifier: MIT */
#ifndef DSB_RUN_STANDARD_FDS_H
#define DSB_RUN_STANDARD_FDS_H

/*
 * A program whose descriptors 0 to 2 are closed would get an engine's socket as its standard output, and what it prints
 * would go there. While the library works in such a program, they are taken.
 */
void dsb_standard_fds_hold(void);
/** As often as _hold. They are closed again when nobody holds them. */
void dsb_standard_fds_release(void);

#endif
