/* SPDX-License-Identifier: MIT */
#include "common/trust.h"

#include <unistd.h>

#define OTHERS_WRITE (S_IWGRP | S_IWOTH)

gboolean dsb_is_own_dir(const struct stat *st)
{
    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & OTHERS_WRITE) == 0;
}

gboolean dsb_is_private_dir(const struct stat *st)
{
    return dsb_is_own_dir(st) && (st->st_mode & (S_IRWXG | S_IRWXO)) == 0;
}

static gboolean is_of_ours(const struct stat *st) { return st->st_uid == 0 || st->st_uid == geteuid(); }

gboolean dsb_is_closed(const struct stat *st) { return is_of_ours(st) && (st->st_mode & OTHERS_WRITE) == 0; }

gboolean dsb_is_trusted(const struct stat *st)
{
    gboolean sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX) != 0;
    return dsb_is_closed(st) || (sticky && is_of_ours(st));
}
