/* Reads numbers from standard input, sorts them in memory that grows, and prints them with a sum. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(void) {
    size_t count = 0, room = 0;
    int64_t *numbers = NULL, next, sum = 0;
    while (scanf("%" SCNd64, &next) == 1) {
        if (count == room) {
            room = room ? 2 * room : 16;
            numbers = realloc(numbers, room * sizeof *numbers);
            if (!numbers)
                return 1;
        }
        numbers[count++] = next;
        sum += next;
    }
    qsort(numbers, count, sizeof *numbers, ascending);
    for (size_t i = 0; i < count; i++)
        printf("%" PRId64 "%c", numbers[i], i + 1 < count ? ' ' : '\n');
    printf("%zu numbers, sum %" PRId64 "\n", count, sum);
    free(numbers);
    return ferror(stdin) ? 1 : 0;
}
