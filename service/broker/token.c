/* SPDX-License-Identifier: MIT */
#include "broker/token.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_MIN 16
#define TOKEN_MAX 4096

struct token {
    guint8 key[32]; /* of this process: digests of tokens are comparable, and tell nothing outside */
    char *digest;
};

static int open_secret(const char *path, const char *option, GError **error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0) {
        g_set_error(error, DSB_ERROR, dsb_errno_code(errno, DSB_ERROR_INVALID), "%s: cannot open %s: %s", option, path,
                    dsb_errno_text(errno));
        return -1;
    }
    if (S_ISREG(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 077) == 0)
        return fd;
    close(fd);
    g_set_error(error, DSB_ERROR, DSB_ERROR_DENIED,
                "%s: %s must be a regular file of yours that nobody else can read (chmod 600)", option, path);
    return -1;
}

gboolean token_check_file(const char *path, const char *option, GError **error)
{
    int fd = open_secret(path, option, error);
    if (fd < 0)
        return FALSE;
    close(fd);
    return TRUE;
}

static char *digest(const struct token *token, const char *text)
{
    return g_compute_hmac_for_data(G_CHECKSUM_SHA256, token->key, sizeof token->key, (const guchar *) text,
                                   strlen(text));
}

struct token *token_load(const char *path, GError **error)
{
    char text[TOKEN_MAX + 2];
    if (path == NULL) {
        g_set_error_literal(error, DSB_ERROR, DSB_ERROR_INVALID, "--listen needs --token-file");
        return NULL;
    }
    int fd = open_secret(path, "--token-file", error);
    if (fd < 0)
        return NULL;
    ssize_t size = read(fd, text, sizeof text - 1);
    close(fd);
    text[MAX(size, 0)] = '\0';
    g_strstrip(text);
    gsize length = strlen(text);
    gsize good = 0;
    while (good < length && g_ascii_isgraph(text[good]))
        good++;
    if (size > (ssize_t) sizeof text - 2 || length < TOKEN_MIN || good < length) {
        g_set_error(error, DSB_ERROR, DSB_ERROR_INVALID, "--token-file: %s must have one word of %d to %d bytes", path,
                    TOKEN_MIN, TOKEN_MAX);
        return NULL;
    }
    struct token *token = g_new0(struct token, 1);
    if (getrandom(token->key, sizeof token->key, 0) != sizeof token->key)
        g_error("getrandom: %s", g_strerror(errno));
    token->digest = digest(token, text);
    explicit_bzero(text, sizeof text);
    return token;
}

void token_free(struct token *token)
{
    if (token == NULL)
        return;
    g_free(token->digest);
    g_free(token);
}

gboolean token_accepts(const struct token *token, const char *authorization)
{
    if (authorization == NULL || g_ascii_strncasecmp(authorization, "Bearer ", 7) != 0)
        return FALSE;
    g_autofree char *shown = digest(token, authorization + 7 + strspn(authorization + 7, " "));
    /* Digests under a secret key have one length, and where they differ says nothing about the token. */
    unsigned different = 0;
    for (gsize i = 0; token->digest[i] != '\0' && shown[i] != '\0'; i++)
        different |= (unsigned char) token->digest[i] ^ (unsigned char) shown[i];
    return different == 0;
}
