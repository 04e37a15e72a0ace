// One program with a behaviour for each argument; the tests of the package run it.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile uint32_t spun;
// Keeps the compiler from leaving out an allocation that nobody uses.
static char *volatile kept;

static int echo(void) {
  char line[4096];
  ssize_t count;
  while ((count = read(0, line, sizeof line)) > 0) write(1, line, (size_t)count);
  return count < 0 ? errno : 0;
}

static int many_bytes(long count) {
  char block[4096];
  memset(block, 'x', sizeof block);
  while (count > 0) {
    ssize_t written = write(1, block, count < 4096 ? (size_t)count : sizeof block);
    if (written <= 0) return errno;
    count -= written;
  }
  return 0;
}

// Prints lines of 61 bytes, each by a call of its own, for ever.
static int lines(void) {
  char line[61];
  memset(line, 'l', sizeof line);
  line[60] = '\n';
  for (;;)
    if (write(1, line, sizeof line) < 0) return errno;
}

// Writes a pattern in pieces of all sizes around those at which copies change their way, and reads it back.
static int copies(void) {
  static unsigned char out[70000], in[70000];
  for (size_t i = 0; i < sizeof out; i++) out[i] = (unsigned char)(i * 31 + i / 251);
  int fd = open("/w/copies", O_RDWR | O_CREAT | O_TRUNC, 0666);
  if (fd < 0) return 2;
  size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 64, 127, 128, 129, 1000, 4096, 65536};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (size_t shift = 0; shift < 3; shift++) {
      if (pwrite(fd, out + shift, sizes[i], (off_t)shift) != (ssize_t)sizes[i]) return 3;
      memset(in, 0, sizeof in);
      if (pread(fd, in + shift, sizes[i], (off_t)shift) != (ssize_t)sizes[i]) return 4;
      if (memcmp(in + shift, out + shift, sizes[i]) != 0) return 5;
    }
    // The memory grows, so that views of it are made anew.
    kept = malloc(200000);
    if (!kept) return 6;
  }
  return 0;
}

// Fills a file until there is no room, and says why there is none.
static int fill(void) {
  static char block[65536];
  int fd = open("/w/full", O_WRONLY | O_CREAT, 0666);
  if (fd < 0) return 2;
  while (write(fd, block, sizeof block) > 0) {}
  puts(errno == ENOSPC ? "no room" : strerror(errno));
  return 0;
}

static int grow_memory(void) {
  for (;;) {
    kept = malloc(1 << 20);
    if (!kept) {
      printf("refused\n");
      return 0;
    }
  }
}

// Does what standard input says, a line each, and answers each with a line: `=TEXT` (newlines as `|`) or `!ERRNO`.
//   cat FILE   once FILE (one read)   put FILE TEXT (with a newline)   set FILE TEXT (without; \v is one)   ls DIRECTORY
//   link LINK TARGET (a symbolic one)
//   adds FILE COUNT TEXT (at the end, so many times)   again FILE COUNT TEXT (in the place of what it was, so many times)
static void script(void) {
  static char line[1 << 16], data[1 << 16];
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\n")] = 0;
    char *what = strtok(line, " "), *path = strtok(NULL, " "), *text = strtok(NULL, "");
    if (!what || !path) continue;
    ssize_t count = 0, total = 0;
    errno = 0;
    if (!strcmp(what, "ls")) {
      DIR *directory = opendir(path);
      for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (entry->d_name[0] != '.') total += sprintf(data + total, "%s ", entry->d_name);
      if (directory) closedir(directory);
      else count = -1;
    } else if (!strcmp(what, "link")) {
      count = symlink(text, path);
    } else if (!strcmp(what, "adds") || !strcmp(what, "again")) {
      char *times = strtok(text, " "), *piece = strtok(NULL, "");
      int fd = open(path, O_WRONLY);
      count = fd < 0 ? -1 : 0;
      for (long left = atol(times); left > 0 && count >= 0; left--)
        count = what[1] == 'd' ? write(fd, piece, strlen(piece)) : pwrite(fd, piece, strlen(piece), 0);
      int error = errno;
      if (fd >= 0) close(fd);
      errno = error;
    } else {
      int writes = what[0] == 'p' || what[0] == 's';
      int fd = open(path, writes ? O_WRONLY | O_TRUNC : O_RDONLY);
      count = fd < 0 ? -1 : 0;
      if (fd >= 0 && writes) {
        int length = sprintf(data, "%s%s", text ? text : "", what[0] == 'p' ? "\n" : "");
        for (int i = 0; i < length; i++)
          if (data[i] == '\v') data[i] = '\n';
        if (length > 0) count = write(fd, data, (size_t)length);
      } else if (fd >= 0) {
        do {
          count = read(fd, data + total, sizeof data - (size_t)total - 1);
          if (count > 0) total += count;
        } while (count > 0 && strcmp(what, "once"));
      }
      int error = errno;
      if (fd >= 0) close(fd);
      errno = error;
    }
    if (count < 0) printf("!%d\n", errno);
    else {
      data[total] = 0;
      for (char *at = data; *at; at++)
        if (*at == '\n') *at = '|';
      printf("=%s\n", total > 0 ? data : "");
    }
    fflush(stdout);
  }
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "hello";
  if (!strcmp(what, "hello")) return puts("hello") < 0;
  if (!strcmp(what, "code")) return atoi(argv[2]);
  if (!strcmp(what, "echo")) return echo();
  if (!strcmp(what, "many-bytes")) return many_bytes(atol(argv[2]));
  if (!strcmp(what, "lines")) return lines();
  if (!strcmp(what, "copies")) return copies();
  if (!strcmp(what, "grow")) return grow_memory();
  if (!strcmp(what, "fill")) return fill();
  if (!strcmp(what, "env")) return puts(getenv("GREETING")) < 0;
  if (!strcmp(what, "trap")) __builtin_trap();
  if (!strcmp(what, "spin"))
    for (;;) spun++;
  if (!strcmp(what, "call")) {
    if (argc > 2) puts(argv[2]), fflush(stdout);
    for (;;) {
      struct stat status;
      fstat(1, &status);
    }
  }
  if (!strcmp(what, "sleep")) {
    struct timespec time = {atol(argv[2]) / 1000, atol(argv[2]) % 1000 * 1000000};
    return nanosleep(&time, NULL);
  }
  if (!strcmp(what, "append")) {
    FILE *file = fopen(argv[2], "a");
    if (!file) return errno;
    fputs(argv[3], file);
    return fclose(file);
  }
  if (!strcmp(what, "write")) {
    // All of it by as few calls as it takes; says how many bytes the first of them took.
    size_t size = (size_t)atol(argv[3]), at = 0;
    unsigned char *bytes = malloc(size);
    int fd = open(argv[2], O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!bytes || fd < 0) return errno;
    for (size_t i = 0; i < size; i++) bytes[i] = (unsigned char)(i * 31 + i / 251);
    while (at < size) {
      ssize_t count = write(fd, bytes + at, size - at);
      if (count <= 0) return errno;
      if (at == 0) printf("%zd\n", count);
      at += (size_t)count;
    }
    return close(fd);
  }
  if (!strcmp(what, "hold")) {
    // A file without a name, of so many bytes, until standard input ends.
    size_t size = (size_t)atol(argv[3]);
    int fd = open(argv[2], O_WRONLY | O_CREAT, 0666);
    char *bytes = calloc(size, 1), byte;
    if (fd < 0 || unlink(argv[2]) != 0 || !bytes || write(fd, bytes, size) != (ssize_t)size) return errno;
    puts("held"), fflush(stdout);
    while (read(0, &byte, 1) > 0) {}
    return 0;
  }
  if (!strcmp(what, "flood")) {
    // Reads a file for ever, or writes into it what else is said, one after the other.
    int fd = open(argv[2], argc > 3 ? O_WRONLY : O_RDONLY);
    if (fd < 0) return errno;
    for (int i = 0;; i++) {
      char byte;
      char *text = argc > 3 ? argv[3 + i % (argc - 3)] : NULL;
      if ((text ? write(fd, text, strlen(text)) : read(fd, &byte, 1)) < 0) return errno;
    }
  }
  if (!strcmp(what, "script")) return script(), 0;
  if (!strcmp(what, "console")) {
    // Raw keys, one after the other, until q.
    FILE *control = fopen("/cap/console/consctl", "w");
    if (!control || fputs("rawon\n", control) < 0 || fflush(control) != 0) return errno;
    int cons = open("/cap/console/cons", O_RDWR);
    char size[32] = "", key;
    FILE *winsize = fopen("/cap/console/winsize", "r");
    if (cons < 0 || !winsize || !fgets(size, sizeof size, winsize)) return errno;
    dprintf(cons, "size %s", size);
    while (read(cons, &key, 1) == 1 && key != 'q') dprintf(cons, "<%c>", key);
    FILE *log = fopen("/cap/console/warn", "w");
    return !log || fputs("over and out", log) < 0 || fclose(log) != 0;
  }
  if (!strcmp(what, "cat")) {
    FILE *file = fopen(argv[2], "r");
    if (!file) return errno;
    for (int byte; (byte = fgetc(file)) != EOF;) putchar(byte);
    return fclose(file);
  }
  return 99;
}
