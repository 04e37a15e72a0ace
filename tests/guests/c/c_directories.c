/* POSIX calls as C programs make them: mkdir, opendir, stat, rename, symlink, getcwd, chdir. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void list(const char *path) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, by_name);
    printf("%s has", path);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.')
            printf(" %s%s", entries[i]->d_name, entries[i]->d_type == DT_DIR ? "/" : "");
        free(entries[i]);
    }
    free(entries);
    puts("");
}

static void outcome(const char *what, int result) {
    printf("%s: %s\n", what, result < 0 ? strerror(errno) : "ok");
}

int main(void) {
    struct stat attributes;
    outcome("mkdir", mkdir("/work", 0777));
    outcome("mkdir again", mkdir("/work", 0777));
    int fd = open("/work/file", O_CREAT | O_EXCL | O_RDWR, 0666);
    outcome("open", fd);
    printf("wrote %zd\n", write(fd, "contents", 8));
    outcome("fstat", fstat(fd, &attributes));
    printf("size %lld, a file: %d\n", (long long)attributes.st_size, S_ISREG(attributes.st_mode));
    outcome("ftruncate", ftruncate(fd, 3));
    printf("offset %lld\n", (long long)lseek(fd, 0, SEEK_END));
    outcome("close", close(fd));
    outcome("symlink", symlink("file", "/work/link"));
    outcome("lstat", lstat("/work/link", &attributes));
    printf("a link: %d\n", S_ISLNK(attributes.st_mode));
    outcome("stat", stat("/work/link", &attributes));
    printf("size %lld\n", (long long)attributes.st_size);
    char target[16] = {0};
    printf("readlink %zd", readlink("/work/link", target, sizeof target));
    printf(" %s\n", target);
    outcome("link", link("/work/file", "/work/twin"));
    outcome("rename", rename("/work/file", "/work/renamed"));
    list("/work");
    outcome("access", access("/work/renamed", R_OK));
    outcome("access", access("/work/file", R_OK));
    outcome("rmdir", rmdir("/work"));
    outcome("chdir", chdir("/work"));
    char here[64];
    printf("in %s\n", getcwd(here, sizeof here));
    outcome("unlink", unlink("renamed"));
    outcome("unlink", unlink("link"));
    outcome("unlink", unlink("twin"));
    outcome("chdir", chdir("/"));
    outcome("rmdir", rmdir("work"));
    list("/");
    return 0;
}
