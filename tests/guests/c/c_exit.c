/* What runs at the end of a C program: atexit in reverse order, buffers flushed, then the code. */
#include <stdio.h>
#include <stdlib.h>

static void last(void) { puts("registered first, runs last"); }

static void first(void) { puts("registered last, runs first"); }

int main(int argc, char **argv) {
    (void)argv;
    atexit(last);
    atexit(first);
    printf("no newline, still printed");
    if (argc > 1)
        _Exit(4); /* neither handlers nor buffers */
    puts("");
    exit(3);
}
