/*
 * tree: draws the directories that it is given (or / without arguments), with sizes and a sum.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PATH_SIZE 4096

struct totals {
    unsigned long directories, files;
    unsigned long long bytes;
};

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry) {
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

/* Draws what is in `path`; `indent` leads each line. */
static void draw(const char *path, const char *indent, struct totals *totals) {
    struct dirent **entries;
    int count = scandir(path, &entries, visible, by_name);
    if (count < 0) {
        printf("%s(%s)\n", indent, strerror(errno));
        return;
    }
    for (int i = 0; i < count; i++) {
        const int last = i == count - 1;
        char below[PATH_SIZE], deeper[PATH_SIZE];
        struct stat attributes;
        snprintf(below, sizeof below, "%s/%s", strcmp(path, "/") == 0 ? "" : path, entries[i]->d_name);
        printf("%s%s %s", indent, last ? "└──" : "├──", entries[i]->d_name);
        if (lstat(below, &attributes) < 0) {
            printf(" (%s)\n", strerror(errno));
        } else if (S_ISDIR(attributes.st_mode)) {
            puts("/");
            totals->directories++;
            snprintf(deeper, sizeof deeper, "%s%s ", indent, last ? "   " : "│  ");
            draw(below, deeper, totals);
        } else {
            printf("  %lld\n", (long long)attributes.st_size);
            totals->files++;
            totals->bytes += attributes.st_size;
        }
        free(entries[i]);
    }
    free(entries);
}

int main(int argc, char **argv) {
    static char *everything[] = {"tree", "/"};
    if (argc < 2) {
        argc = 2;
        argv = everything;
    }
    struct totals totals = {0};
    for (int i = 1; i < argc; i++) {
        puts(argv[i]);
        draw(argv[i], "", &totals);
    }
    printf("%lu directories, %lu files, %llu bytes\n", totals.directories, totals.files, totals.bytes);
    return 0;
}
