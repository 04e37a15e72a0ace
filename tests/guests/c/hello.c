/* The smallest program: one line, and the exit code 0. */
#include <stdio.h>

int main(void) {
    puts("Hello from C");
    return 0;
}
