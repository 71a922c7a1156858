/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_CODES_H
#define DSANDBOX_CODES_H

/**
 * Codes of errors, of a plugin's (plugin.h) and of the library's (error.h). What the user's program did is never one of
 * them: that is data, in the result. Every message says what happened and, where the reader can act, what to do next.
 */
enum dsb_error_code {
    DSB_ERROR_FAILED = 0,       /**< anything without a code of its own */
    DSB_ERROR_INVALID = 1,      /**< bad argument, option, policy or file content from the caller */
    DSB_ERROR_NOT_FOUND = 2,    /**< container, image, plugin, file is not there */
    DSB_ERROR_UNAVAILABLE = 3,  /**< no engine answers at the endpoint */
    DSB_ERROR_DENIED = 4,       /**< permission: engine socket, base directory */
    DSB_ERROR_REFUSED = 5,      /**< the policy cannot be enforced, or measured facts are weaker than it */
    DSB_ERROR_PLUGIN = 6,       /**< a plugin failed a load check or broke the contract of an operation */
    DSB_ERROR_PROTOCOL = 7,     /**< the engine or pid 1 sent something that is not the protocol */
    DSB_ERROR_TIMEOUT = 8,      /**< an engine call passed its deadline */
    DSB_ERROR_CANCELLED = 9,    /**< the caller asked to stop */
    DSB_ERROR_BUSY = 10,        /**< the session is in use by another process */
    DSB_ERROR_LOST = 11,        /**< the container or its stream ended before the answer */
    DSB_ERROR_LIMIT = 12,       /**< something read from outside passed its limit */
    DSB_ERROR_UNSUPPORTED = 13, /**< the backend has no such operation, or the engine is too old for it */
    DSB_ERROR_CONFLICT = 14,    /**< an object of that name exists already */
    DSB_ERROR_WOULD_BLOCK = 15, /**< streams only: nothing now, poll and try again */
};

#endif
