/* SPDX-License-Identifier: MIT */
/* Which word was meant by one that does not exist: the fewest letters to change, as spelling checkers count them. */
#include "nearest.h"

#include <string.h>

/* Words of the program are shorter, and longer ones are none of them. */
#define WORD_MAX 32
/* More than a third of the letters is another word. */
#define LETTERS_PER_FAULT 3

struct nearest nearest_to(const char *word)
{
    return (struct nearest){.word = word, .distance = (guint) MAX(strlen(word) / LETTERS_PER_FAULT, 1) + 1};
}

/* The optimal string alignment distance: Damerau and Levenshtein's, where no place is changed twice. */
static guint distance(const char *a, const char *b)
{
    guint table[WORD_MAX + 1][WORD_MAX + 1];
    guint rows = (guint) strlen(a), columns = (guint) strlen(b);
    for (guint i = 0; i <= rows; i++)
        for (guint j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            table[i][j] = MIN(MIN(table[i - 1][j], table[i][j - 1]) + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                table[i][j] = MIN(table[i][j], table[i - 2][j - 2] + 1);
        }
    return table[rows][columns];
}

void nearest_try(struct nearest *near, const char *candidate)
{
    if (strlen(near->word) > WORD_MAX || strlen(candidate) > WORD_MAX)
        return;
    guint found = distance(near->word, candidate);
    if (found < near->distance) {
        near->distance = found;
        near->best = candidate;
    }
}
