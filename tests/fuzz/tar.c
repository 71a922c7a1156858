/* SPDX-License-Identifier: MIT */
/* Archives that are imported into a session. */
#include "../../cli/untar.h"

#include "fuzz.h"

#include <dsandbox/error.h>
#include <sys/mman.h>
#include <unistd.h>


static void rewind_with(int fd, const uint8_t *data, size_t size)
{
    PROMISE(ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
    PROMISE(write(fd, data, size) == (ssize_t) size && lseek(fd, 0, SEEK_SET) == 0);
}

/* FALSE: there is nothing more. */
static gboolean take_entry(struct tar_reader *reader, gboolean with_content)
{
    g_autoptr(GError) error = NULL;
    gboolean end = FALSE;
    gboolean ok = tar_next(reader, &end, &error);
    PROMISE_ERROR(ok, error);
    if (!ok || end)
        return FALSE;
    PROMISE(reader->name != NULL);
    if (!with_content)
        return TRUE;
    uint8_t piece[100];
    guint64 had = 0;
    gssize n;
    while ((n = tar_read(reader, piece, sizeof piece, &error)) > 0)
        had += (guint64) n;
    PROMISE_ERROR(n == 0, error);
    PROMISE(n < 0 || had == reader->size);
    return n == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int fd = -1;
    if (fd < 0)
        fd = memfd_create("tar", MFD_CLOEXEC);
    struct fuzz_input input = {data, size};
    uint8_t how = fuzz_byte(&input);
    rewind_with(fd, input.data, input.size);
    struct tar_reader reader = {.fd = fd, .origin = "x.tar"};
    gsize entries = 0;
    while (take_entry(&reader, (how >> (entries % 8) & 1) != 0))
        PROMISE(entries++ <= input.size / 512);
    tar_clear(&reader);
    return 0;
}
