/* C's buffered files: formats, positions, pushing back, temporary contents, errors by errno. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    FILE *file = fopen("/table.txt", "w+");
    if (!file) {
        perror("fopen");
        return 1;
    }
    for (int i = 1; i <= 5; i++)
        fprintf(file, "%d %.3f %s\n", i, i / 3.0, i % 2 ? "odd" : "even");
    printf("written up to %ld\n", ftell(file));
    rewind(file);
    int number;
    double third;
    char word[8];
    while (fscanf(file, "%d %lf %7s", &number, &third, word) == 3)
        printf("%d | %8.3f | %-5s |\n", number, third, word);
    printf("at the end: %s\n", feof(file) ? "yes" : "no");

    fseek(file, -5, SEEK_END);
    int letter = fgetc(file);
    ungetc('#', file);
    printf("letter %c, pushed back %c\n", letter, fgetc(file));
    fseek(file, 0, SEEK_SET);
    fputs("9", file);
    fflush(file);
    fseek(file, 0, SEEK_SET);
    char line[64];
    if (fgets(line, sizeof line, file))
        printf("first line now: %s", line);
    fclose(file);

    file = fopen("/table.txt", "a");
    fputs("the end\n", file);
    fclose(file);
    file = fopen("/table.txt", "r");
    int lines = 0;
    while (fgets(line, sizeof line, file))
        lines++;
    printf("%d lines, the last: %s", lines, line);
    printf("writing to it: %d\n", fputs("no", file) == EOF || fflush(file) == EOF);
    fclose(file);

    if (!fopen("/missing/file", "r"))
        printf("missing: %s\n", strerror(errno));
    if (!fopen("/table.txt/below", "r"))
        printf("below a file: %s\n", strerror(errno));
    printf("remove: %d\n", remove("/table.txt"));
    printf("again: %d, %s\n", remove("/table.txt"), strerror(errno));
    return EXIT_SUCCESS;
}
