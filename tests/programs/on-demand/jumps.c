/* setjmp and longjmp as C programs use them. */

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static jmp_buf top;

__attribute__((noinline)) static void leap(int depth, int value) {
  if (depth == 0) longjmp(top, value);
  leap(depth - 1, value);
}

/* An interpreter's protected calls: a stack of handlers. */
struct handler {
  jmp_buf place;
  struct handler *outer;
  const char *message;
};
static struct handler *handlers;

__attribute__((noinline, noreturn)) static void raise_error(const char *message) {
  struct handler *inner = handlers;
  inner->message = message;
  handlers = inner->outer;
  longjmp(inner->place, 1);
}

static int protect(int (*call)(int), int argument, const char **message) {
  struct handler own = {.outer = handlers};
  handlers = &own;
  volatile int before = argument * 10;
  if (setjmp(own.place) == 0) {
    int result = call(argument);
    handlers = own.outer;
    return result;
  }
  *message = own.message;
  return -before;
}

static int fails_on_odd(int number) {
  if (number % 2) raise_error("odd");
  return number;
}

static int nested(int number) {
  const char *message = "nothing";
  int result = protect(fails_on_odd, number, &message);
  if (result < -20) raise_error("from the inside");
  printf("  inside: %d, %s\n", result, message);
  return result;
}

/* One function with two places to come back to. */
static int two_places(int which) {
  jmp_buf first, second;
  volatile int trace = 1;
  if (setjmp(first)) {
    trace = trace * 10 + 2;
    if (which == 2) longjmp(second, 1);
    return trace;
  }
  if (setjmp(second)) return trace * 10 + 3;
  if (which == 0) return trace;
  if (which == 3) longjmp(second, 7);
  longjmp(first, 1);
}

static int compare(const void *left, const void *right) {
  int a = *(const int *)left, b = *(const int *)right;
  if (a == 13 || b == 13) longjmp(top, 13);
  return a - b;
}

int main(void) {
  for (volatile int value = 0; value < 4; value = value + 1) {
    int came = setjmp(top);
    if (came == 0) leap(5, value);
    printf("came back with %d for %d\n", came, value);
  }
  volatile int count = 0;
  if (setjmp(top) < 1000 && count < 1000) {
    count = count + 1;
    longjmp(top, count);
  }
  printf("%d times\n", count);
  for (int number = 0; number < 5; number++) {
    const char *message = "nothing";
    int result = protect(nested, number, &message);
    printf("outside: %d, %s\n", result, message);
  }
  for (int which = 0; which < 4; which++) printf("two places, %d: %d\n", which, two_places(which));
  int numbers[] = {5, 3, 13, 1};
  if (setjmp(top) == 0) qsort(numbers, 4, sizeof *numbers, compare);
  else printf("left the middle of qsort\n");
  return 0;
}
