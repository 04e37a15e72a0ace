/*
 * wordcount: counts lines, words and bytes of its input or of the files that it is given, and shows the
 * words that are used most.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORD_SIZE 64 /* longer words are counted by their beginnings */
#define SHOWN 5

struct word {
    char text[WORD_SIZE];
    unsigned long count;
};

/* An open-addressing table whose size is a power of two and that is at most half full. */
static struct word *table;
static size_t room, used;
static unsigned long lines, words, bytes;

static struct word *slot(struct word *in, size_t size, const char *text) {
    size_t hash = 5381;
    for (const char *c = text; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    size_t at = hash & (size - 1);
    while (in[at].count && strcmp(in[at].text, text) != 0)
        at = (at + 1) & (size - 1);
    return &in[at];
}

static void grow(void) {
    size_t size = room ? 2 * room : 1024;
    struct word *larger = calloc(size, sizeof *larger);
    if (!larger) {
        fputs("error: out of memory\n", stderr);
        exit(1);
    }
    for (size_t i = 0; i < room; i++)
        if (table[i].count)
            *slot(larger, size, table[i].text) = table[i];
    free(table);
    table = larger;
    room = size;
}

static void count_word(const char *text) {
    if (2 * used >= room)
        grow();
    struct word *word = slot(table, room, text);
    if (!word->count++) {
        strcpy(word->text, text);
        used++;
    }
    words++;
}

static void count(FILE *from) {
    char text[WORD_SIZE];
    size_t length = 0;
    int c;
    do {
        c = getc(from);
        if (c != EOF)
            bytes++;
        if (c == '\n')
            lines++;
        if (c != EOF && (isalnum(c) || c == '\'' || c > 127)) {
            if (length < WORD_SIZE - 1)
                text[length++] = (char)tolower(c);
        } else if (length > 0) {
            text[length] = '\0';
            count_word(text);
            length = 0;
        }
    } while (c != EOF);
}

/* Most used first, then by the alphabet. */
static int by_use(const void *a, const void *b) {
    const struct word *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return strcmp(x->text, y->text);
}

int main(int argc, char **argv) {
    int failed = 0;
    if (argc < 2)
        count(stdin);
    for (int i = 1; i < argc; i++) {
        FILE *file = fopen(argv[i], "r");
        if (!file) {
            fprintf(stderr, "error: %s: %s\n", argv[i], strerror(errno));
            failed = 1;
            continue;
        }
        count(file);
        fclose(file);
    }
    printf("%lu lines, %lu words, %lu bytes\n", lines, words, bytes);
    if (room)
        qsort(table, room, sizeof *table, by_use);
    for (size_t i = 0; i < SHOWN && i < used; i++)
        printf("%6lu  %s\n", table[i].count, table[i].text);
    free(table);
    return failed;
}
