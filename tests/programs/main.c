#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    int limit = argc > 1 ? atoi(argv[1]) : 10, count = 0;
    for (int n = 2; n <= limit; n++) {
        int prime = 1;
        for (int d = 2; d * d <= n; d++)
            prime = prime && n % d;
        count += prime;
    }
    printf("%d primes up to %d\n", count, limit);
    FILE *file = fopen("/primes.txt", "w");
    fprintf(file, "%d\n", count);
    fclose(file);
    return 0;
}
