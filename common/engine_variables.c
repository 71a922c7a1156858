/* SPDX-License-Identifier: MIT */
#include "common/engine_variables.h"

#include <stddef.h>

const char *const dsb_engine_variables[] = {
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "DBUS_SESSION_BUS_ADDRESS",
    "CONTAINERS_CONF",
    "CONTAINERS_STORAGE_CONF",
    "CONTAINERS_REGISTRIES_CONF",
    NULL,
};
