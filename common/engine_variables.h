/* SPDX-License-Identifier: MIT */
#ifndef DSB_COMMON_ENGINE_VARIABLES_H
#define DSB_COMMON_ENGINE_VARIABLES_H

/**
 * What every program of an engine gets of our environment: where the user's files, sockets and settings are. The service
 * keeps it for its backends. NULL-terminated.
 */
extern const char *const dsb_engine_variables[];

#endif
