/* Numbers the lines of the files that it is called with, or of its standard input: cat -n in C. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int number(FILE *input, const char *name)
{
	unsigned long line = 0;
	int start = 1;
	int character;

	while ((character = getc(input)) != EOF) {
		if (start)
			printf("%6lu  ", ++line);
		putchar(character);
		start = character == '\n';
	}
	if (!start)
		putchar('\n');
	if (ferror(input)) {
		fprintf(stderr, "lines: %s: %s\n", name, strerror(errno));
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	int status = 0;

	if (argc < 2)
		status = number(stdin, "standard input");
	for (int i = 1; i < argc; i++) {
		FILE *input = fopen(argv[i], "r");

		if (input == NULL) {
			fprintf(stderr, "lines: %s: %s\n", argv[i], strerror(errno));
			status = 1;
			continue;
		}
		status |= number(input, argv[i]);
		fclose(input);
	}
	/* What could not be written must not look like success. */
	if (fflush(stdout) != 0) {
		fprintf(stderr, "lines: standard output: %s\n", strerror(errno));
		status = 1;
	}
	return status;
}
