/* SPDX-License-Identifier: MIT */
#ifndef DSB_PLUGIN_INSTALLATION_H
#define DSB_PLUGIN_INSTALLATION_H

/** Where plugins are: beside the installation, or in the build tree when the library runs from there. Static. */
const char *dsb_plugin_dir(void);
/** The directory that becomes /opt/dsandbox inside: dsb-init, start.py and what it loads, seccomp.json. Static. */
const char *dsb_guest_dir(void);

#endif
