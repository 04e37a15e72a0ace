// What a C program may do with its files, by access(2), and what comes of doing it.

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void told(const char *what, const char *path, int failed) {
    printf("%s %s: %s\n", what, path, failed ? strerror(errno) : "yes");
}

static void may(const char *path) {
    told("exists", path, access(path, F_OK));
    told("read", path, access(path, R_OK));
    told("write", path, access(path, W_OK));
    told("read and write", path, access(path, R_OK | W_OK));
}

static void opens(const char *what, const char *path, int flags) {
    int fd = open(path, flags, 0666);
    told(what, path, fd < 0);
    if (fd >= 0) close(fd);
}

static void opens_stream(const char *mode, const char *path) {
    FILE *file = fopen(path, mode);
    told(mode, path, !file);
    if (file) fclose(file);
}

int main(void) {
    static const char *const places[][3] = {
        { "/given/file", "/given/dir", "/given/new" },
        { "/mine/file", "/mine/dir", "/mine/new" },
    };
    for (int place = 0; place < 2; place++) {
        const char *file = places[place][0], *new = places[place][2];
        may(file);
        may(places[place][1]);
        may(new);
        opens("open to read", file, O_RDONLY);
        opens("open to write", file, O_WRONLY);
        opens("open for both", file, O_RDWR);
        opens("open to append", file, O_WRONLY | O_APPEND);
        opens("truncate", file, O_WRONLY | O_TRUNC);
        opens("open a directory to write", places[place][1], O_WRONLY);
        opens("open what is not there", new, O_RDWR);
        opens("make", new, O_RDWR | O_CREAT);
        opens_stream("r", file);
        opens_stream("r+", file);
        opens_stream("a", file);
        opens_stream("w", new);
    }
    return 0;
}
