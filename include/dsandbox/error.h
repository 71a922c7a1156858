/* SPDX-License-Identifier: MIT */
#ifndef DSANDBOX_ERROR_H
#define DSANDBOX_ERROR_H

#include <glib.h>

G_BEGIN_DECLS

/** The GError domain of every failure that dsandbox or a plugin reports. */
#define DSB_ERROR (dsb_error_quark())
static inline GQuark dsb_error_quark(void) { return g_quark_from_static_string("dsandbox-error-quark"); }

/**
 * Codes of DSB_ERROR. What the user's program did is never one of them: that is data, in the result.
 * Every message says what happened and, where the reader can act, what to do next.
 */
enum dsb_error_code {
    DSB_ERROR_FAILED,      /**< anything without a code of its own */
    DSB_ERROR_INVALID,     /**< bad argument, option, policy or file content from the caller */
    DSB_ERROR_NOT_FOUND,   /**< container, image, plugin, file is not there */
    DSB_ERROR_UNAVAILABLE, /**< no engine answers at the endpoint */
    DSB_ERROR_DENIED,      /**< permission: engine socket, base directory */
    DSB_ERROR_REFUSED,     /**< the policy cannot be enforced, or measured facts are weaker than it */
    DSB_ERROR_PLUGIN,      /**< a plugin failed a load check or broke the contract of an operation */
    DSB_ERROR_PROTOCOL,    /**< the engine or pid 1 sent something that is not the protocol */
    DSB_ERROR_TIMEOUT,     /**< an engine call passed its deadline */
    DSB_ERROR_CANCELLED,   /**< the caller asked to stop */
    DSB_ERROR_BUSY,        /**< the session is in use by another process */
    DSB_ERROR_LOST,        /**< the container or its stream ended before the answer */
    DSB_ERROR_LIMIT,       /**< something read from outside passed its limit */
    DSB_ERROR_UNSUPPORTED, /**< the backend has no such operation, or the engine is too old for it */
    DSB_ERROR_CONFLICT,    /**< an object of that name exists already */
    DSB_ERROR_WOULD_BLOCK, /**< streams only: nothing now, poll and try again */
};

G_END_DECLS
#endif
