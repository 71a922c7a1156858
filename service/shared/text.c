/* SPDX-License-Identifier: MIT */
#include "shared/text.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct text {
    guint owners;
    int file; /* -1: it is in memory */
    char *memory;
    gsize size;
};

int text_file(const void *bytes, gsize size)
{
    gsize done = 0;
    int file = memfd_create("dsandbox-text", MFD_CLOEXEC);
    while (file >= 0 && done < size) {
        ssize_t n = pwrite(file, (const guint8 *) bytes + done, size - done, (off_t) done);
        if (n < 0 && errno != EINTR) {
            int code = errno;
            close(file);
            errno = code;
            return -1;
        }
        done += n > 0 ? (gsize) n : 0;
    }
    return file;
}

static struct text *make(char *memory, int file, gsize size)
{
    struct text *text = g_new(struct text, 1);
    *text = (struct text){.owners = 1, .file = file, .memory = memory, .size = size};
    return text;
}

struct text *text_take(char *text) { return make(text, -1, strlen(text)); }
struct text *text_new(const char *text) { return text_take(g_strdup(text)); }
struct text *text_in_file(int file, gsize size) { return make(NULL, file, size); }

struct text *text_ref(struct text *text)
{
    text->owners++;
    return text;
}

void text_unref(struct text *text)
{
    if (text == NULL || --text->owners > 0)
        return;
    if (text->file >= 0)
        close(text->file);
    g_free(text->memory);
    g_free(text);
}

void text_clear(struct text **text)
{
    text_unref(*text);
    *text = NULL;
}

gsize text_size(const struct text *text) { return text->size; }
const char *text_memory(const struct text *text) { return text->memory; }

gboolean text_read(const struct text *text, gsize at, void *bytes, gsize size)
{
    if (at > text->size || size > text->size - at)
        return FALSE;
    if (text->memory != NULL) {
        memcpy(bytes, text->memory + at, size);
        return TRUE;
    }
    for (gsize done = 0; done < size;) {
        ssize_t n = pread(text->file, (guint8 *) bytes + done, size - done, (off_t) (at + done));
        if (n == 0 || (n < 0 && errno != EINTR))
            return FALSE;
        done += n > 0 ? (gsize) n : 0;
    }
    return TRUE;
}
