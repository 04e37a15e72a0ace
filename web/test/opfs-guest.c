// What the tests of stored files do in /s: a behaviour for each argument. Prints what it found; exits with 1 at an error.
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK(what)                                                  \
  do {                                                               \
    if (!(what)) {                                                   \
      printf("line %d: %s (errno %d)\n", __LINE__, #what, errno);    \
      exit(1);                                                       \
    }                                                                \
  } while (0)

static char block[1 << 20];

static void say(const char *text) {
  puts(text);
  fflush(stdout);
}

static void pattern(char *into, size_t length, unsigned seed) {
  for (size_t i = 0; i < length; i++) into[i] = (char)((i * 31 + seed * 17) % 251);
}

// Contents that belong to a path and are the same in every run.
static void put(const char *path, size_t length, unsigned seed) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  CHECK(fd >= 0);
  pattern(block, length, seed);
  CHECK(write(fd, block, length) == (ssize_t)length);
  CHECK(close(fd) == 0);
}

static void expect(const char *path, size_t length, unsigned seed) {
  static char found[1 << 20];
  int fd = open(path, O_RDONLY);
  CHECK(fd >= 0);
  ssize_t count = 0, got;
  while ((got = read(fd, found + count, sizeof found - (size_t)count)) > 0) count += got;
  CHECK(count == (ssize_t)length);
  pattern(block, length, seed);
  CHECK(memcmp(found, block, length) == 0);
  CHECK(close(fd) == 0);
}

static const char *numbered(const char *folder, int index) {
  static char path[64];
  snprintf(path, sizeof path, "/s/%s/f%d", folder, index);
  return path;
}

// Files in two directories; a third of them moves to the other one and a third goes.
static void many(int count) {
  CHECK(mkdir("/s/one", 0777) == 0 && mkdir("/s/two", 0777) == 0);
  for (int i = 0; i < count; i++) put(numbered("one", i), (size_t)(i % 7) * 1000 + 1, (unsigned)i);
  for (int i = 0; i < count; i++) {
    char from[64];
    strcpy(from, numbered("one", i));
    if (i % 3 == 0) CHECK(rename(from, numbered("two", i)) == 0);
    if (i % 3 == 1) CHECK(unlink(from) == 0);
  }
  CHECK(rename("/s/two", "/s/one/below") == 0);
  CHECK(link(numbered("one/below", 0), "/s/hard") == 0);
  CHECK(symlink("one/below/f3", "/s/soft") == 0);
  put("/s/big", 1 << 20, 9);
}

static void check_many(int count) {
  for (int i = 0; i < count; i++) {
    if (i % 3 == 1) {
      CHECK(access(numbered("one", i), F_OK) < 0 && errno == ENOENT);
      continue;
    }
    expect(numbered(i % 3 == 0 ? "one/below" : "one", i), (size_t)(i % 7) * 1000 + 1, (unsigned)i);
  }
  struct stat status;
  CHECK(stat("/s/hard", &status) == 0 && status.st_nlink == 2 && status.st_mtime > 1600000000);
  expect("/s/soft", 3001, 3);
  expect("/s/big", 1 << 20, 9);
}

static void shapes(void) {
  int fd = open("/s/shape", O_RDWR | O_CREAT | O_EXCL, 0666);
  CHECK(fd >= 0);
  CHECK(pwrite(fd, "end", 3, 5000000000) == 3);
  CHECK(pwrite(fd, "middle", 6, 70000) == 6);
  CHECK(fsync(fd) == 0);
  CHECK(ftruncate(fd, 70003) == 0);
  CHECK(ftruncate(fd, 80000) == 0);
  CHECK(posix_fallocate(fd, 0, 100000) == 0);
  CHECK(unlink("/s/shape") == 0);
  CHECK(pread(fd, block, 100001, 0) == 100000);
  CHECK(memcmp(block + 70000, "mid", 3) == 0);
  for (int i = 0; i < 100000; i++) CHECK((i >= 70000 && i < 70003) || block[i] == 0);
  CHECK(close(fd) == 0);
  fd = open("/s/log", O_WRONLY | O_CREAT | O_APPEND, 0666);
  int other = open("/s/log", O_WRONLY | O_APPEND);
  CHECK(fd >= 0 && other >= 0);
  CHECK(write(fd, "a", 1) == 1 && write(other, "b", 1) == 1 && write(fd, "c", 1) == 1);
  CHECK(fdatasync(other) == 0);
}

// More open at once than an engine would give handles.
static void open_many(int count) {
  int *fds = malloc(sizeof(int) * (size_t)count);
  for (int i = 0; i < count; i++) {
    char path[64];
    snprintf(path, sizeof path, "/s/open%d", i);
    fds[i] = open(path, O_RDWR | O_CREAT, 0666);
    CHECK(fds[i] >= 0);
    CHECK(write(fds[i], path, strlen(path)) > 0);
  }
  for (int i = 0; i < count; i++) {
    char path[64], found[64] = {0};
    snprintf(path, sizeof path, "/s/open%d", i);
    CHECK(pread(fds[i], found, sizeof found, 0) == (ssize_t)strlen(path) && !strcmp(path, found));
    CHECK(unlink(path) == 0);
    CHECK(close(fds[i]) == 0);
  }
}

// Writes until there is no room, and says why and how much there was.
static void fill(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  CHECK(fd >= 0);
  memset(block, 'f', sizeof block);
  long long total = 0;
  for (;;) {
    ssize_t written = write(fd, block, 65536);
    if (written < 0) break;
    total += written;
  }
  printf("%lld %s\n", total, errno == EDQUOT ? "EDQUOT" : errno == ENOSPC ? "ENOSPC" : strerror(errno));
  CHECK(fsync(fd) == 0);
  CHECK(pwrite(fd, "over", 4, 0) == 4);
  CHECK(close(fd) == 0);
  CHECK(unlink(path) == 0);
  put(path, 100000, 1);
}

// Everything before the word `synced` must survive, whatever happens then.
static void synced(const char *how) {
  put("/s/kept", 300000, 5);
  CHECK(rename("/s/kept", "/s/kept2") == 0);
  int fd = open("/s/kept3", O_WRONLY | O_CREAT, 0666);
  pattern(block, 1 << 20, 6);
  for (int at = 0; at < 1 << 20; at += 4096) CHECK(write(fd, block + at, 4096) == 4096);
  CHECK(fsync(fd) == 0);
  say("synced");
  if (!strcmp(how, "spin"))
    for (volatile unsigned i = 0;; i++) (void)i;
  for (unsigned i = 0;; i++) put("/s/unsynced", 1 << 20, i);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

// Prints milliseconds: writing, syncing, reading.
static void bench(size_t size, size_t total) {
  pattern(block, size, 3);
  int fd = open("/s/bench", O_RDWR | O_CREAT | O_TRUNC, 0666);
  CHECK(fd >= 0);
  double begun = now();
  for (size_t at = 0; at < total; at += size) CHECK(write(fd, block, size) == (ssize_t)size);
  double written = now();
  CHECK(fsync(fd) == 0);
  double kept = now();
  CHECK(lseek(fd, 0, SEEK_SET) == 0);
  for (size_t at = 0; at < total; at += size) CHECK(read(fd, block, size) == (ssize_t)size);
  double read = now();
  printf("%.3f %.3f %.3f\n", written - begun, kept - written, read - kept);
  CHECK(close(fd) == 0);
  CHECK(unlink("/s/bench") == 0);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  int number = argc > 2 ? atoi(argv[2]) : 0;
  if (!strcmp(what, "many")) many(number);
  else if (!strcmp(what, "check-many")) check_many(number);
  else if (!strcmp(what, "shapes")) shapes();
  else if (!strcmp(what, "open-many")) open_many(number);
  else if (!strcmp(what, "fill")) fill(argc > 2 ? argv[2] : "/s/full");
  else if (!strcmp(what, "check-fill")) expect("/s/full", 100000, 1);
  else if (!strcmp(what, "synced")) synced(argv[2]);
  else if (!strcmp(what, "check-synced")) {
    expect("/s/kept2", 300000, 5);
    expect("/s/kept3", 1 << 20, 6);
  } else if (!strcmp(what, "put")) put("/s/put", (size_t)number, 1);
  else if (!strcmp(what, "expect")) expect("/s/put", (size_t)number, 1);
  else if (!strcmp(what, "try")) {
    int fd = open("/s/try", O_WRONLY | O_CREAT, 0666);
    puts(fd >= 0 ? "made" : errno == EBUSY ? "EBUSY" : errno == EIO ? "EIO" : strerror(errno));
  } else if (!strcmp(what, "quota")) {
    int fd = open("/s/quota", O_RDONLY);
    CHECK(fd >= 0);
    ssize_t count = read(fd, block, sizeof block);
    CHECK(count > 0 && write(1, block, (size_t)count) == count);
  } else if (!strcmp(what, "hold")) {
    put("/s/held", 10, 1);
    say("holding");
    while (read(0, block, sizeof block) > 0) {}
  } else if (!strcmp(what, "bench")) bench((size_t)number, (size_t)atoi(argv[3]) << 20);
  else return 99;
  puts("ok");
  return 0;
}
