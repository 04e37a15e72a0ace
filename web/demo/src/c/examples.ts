/** C programs to begin with. */

/** A program for the editor. */
export interface Example {
  readonly title: string;
  readonly source: string;
}

export const EXAMPLES: readonly Example[] = [
  {
    title: 'Conversation',
    source: `#include <stdio.h>
#include <string.h>

/* Compiled by clang, linked by wasm-ld, both agents in this tab.
   Reading waits until you have typed a line below. */
int main(void) {
    char name[64];
    printf("What is your name? ");
    fflush(stdout);
    if (!fgets(name, sizeof name, stdin)) return 1;
    name[strcspn(name, "\\n")] = '\\0';

    FILE *guests = fopen("/shared/guests.txt", "a");
    if (!guests) { perror("/shared/guests.txt"); return 1; }
    fprintf(guests, "%s\\n", name);
    fclose(guests);

    printf("Hello, %s. See /shared/guests.txt: every agent of this page does.\\n", name);
    return 0;
}
`,
  },
  {
    title: 'List a directory',
    source: `#include <dirent.h>
#include <stdio.h>

/* What is not mounted does not exist: this is all that there is. */
int main(void) {
    DIR *root = opendir("/");
    if (!root) { perror("/"); return 1; }
    for (struct dirent *entry; (entry = readdir(root));)
        printf("/%s\\n", entry->d_name);
    closedir(root);
    return 0;
}
`,
  },
  {
    title: 'Spin for ever',
    source: `#include <stdio.h>

/* Makes no system call once it spins. Kill ends it all the same. */
int main(void) {
    puts("Spinning.");
    fflush(stdout);
    for (volatile unsigned n = 0;; n++) {}
}
`,
  },
  {
    title: 'Trap',
    source: `#include <stdio.h>

int main(void) {
    puts("About to reach beyond the end of memory.");
    fflush(stdout);
    volatile int *nowhere = (int *)0xfffffff0u;
    return *nowhere;
}
`,
  },
];
