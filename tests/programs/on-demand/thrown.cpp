// Exceptions as C++ programs use them. Without the standard library of C++, which is there for WASI without exceptions alone.

#include <cstdio>
#include <cstdlib>
#include <cxxabi.h>
#include <exception>
#include <new>
#include <typeinfo>

namespace {

struct Failure : std::exception {
  explicit Failure(int number) : number(number) {}
  const char *what() const noexcept override { return "a failure"; }
  int number;
};
struct Worse : Failure {
  using Failure::Failure;
  const char *what() const noexcept override { return "a worse one"; }
};
struct Other {
  virtual ~Other() = default;
};
struct Both : Other, Worse {
  Both() : Worse(77) {}
};

/// Says when it goes.
struct Guard {
  explicit Guard(const char *name) : name(name) {}
  ~Guard() { std::printf("  %s goes, %u under way\n", name, abi::__cxa_uncaught_exceptions()); }
  const char *name;
};

[[gnu::noinline]] int deep(int depth, int kind) {
  Guard guard(depth % 2 ? "odd" : "even");
  if (depth > 0) return deep(depth - 1, kind) + 1;
  switch (kind) {
  case 0: throw 42;
  case 1: throw Failure(1);
  case 2: throw Worse(2);
  case 3: throw "words";
  case 4: throw Both();
  case 5: throw 1.5;
  case 6: throw 1LL << 40;
  default: return 100;
  }
}

void kinds(int kind) {
  try {
    std::printf("  returned %d\n", deep(2, kind));
  } catch (const Worse &worse) {
    std::printf("  %s, %d\n", worse.what(), worse.number);
  } catch (const Failure &failure) {
    std::printf("  %s, %d\n", failure.what(), failure.number);
  } catch (int number) {
    std::printf("  the number %d\n", number);
  } catch (const char *words) {
    std::printf("  %s\n", words);
  } catch (double number) {
    std::printf("  the number %.2f\n", number);
  } catch (...) {
    std::printf("  something\n");
  }
}

/// Thrown on, out of handlers in handlers.
void onward() {
  try {
    Guard outer("outer");
    try {
      Guard inner("inner");
      try {
        throw Worse(3);
      } catch (Failure &failure) {
        failure.number += 1;
        throw;
      }
    } catch (Worse &worse) {
      worse.number += 1;
      try {
        throw 5;
      } catch (int number) {
        std::printf("  a number in a handler: %d\n", number);
      }
      throw;
    }
  } catch (const std::exception &end) {
    std::printf("  %s, %d\n", end.what(), static_cast<const Failure &>(end).number);
  }
}

struct Part {
  explicit Part(int number) : number(number) {
    if (number == 3) throw Failure(number);
  }
  ~Part() { std::printf("  part %d goes\n", number); }
  int number;
};
struct Whole {
  Part one{1}, two{2}, three{3};
};

/// A constructor that fails takes down what was made, and no more.
void parts() {
  try {
    Whole whole;
  } catch (const Failure &failure) {
    std::printf("  part %d failed\n", failure.number);
  }
}

struct Tried {
  Tried() try : part(3) { std::printf("  never\n"); } catch (const Failure &) { std::printf("  in the function's own handler\n"); }
  Part part;
};

[[gnu::noinline]] int loop(int count) {
  int sum = 0;
  for (int at = 0; at < count; ++at) {
    try {
      if (at % 3 == 0) continue;
      if (at % 7 == 0) throw at;
      if (at == 95) break;
      sum += 1;
    } catch (int thrown) {
      sum += thrown;
      if (thrown == 70) return -sum;
    }
  }
  return sum;
}

[[gnu::noinline]] void throws() { throw Failure(9); }
[[gnu::noinline]] void quiet() noexcept { throws(); }

} // namespace

int main(int argc, char **argv) {
  if (argc > 1) {
    std::set_terminate([] {
      std::printf("terminated\n");
      std::fflush(stdout);
      std::_Exit(3);
    });
    if (argv[1][0] == 'q') quiet();
    throw Failure(8);
  }
  for (int kind = 0; kind < 8; ++kind) {
    std::printf("kind %d\n", kind);
    kinds(kind);
  }
  std::printf("onward\n");
  onward();
  std::printf("parts\n");
  parts();
  std::printf("tried\n");
  try {
    Tried tried;
  } catch (const Failure &failure) {
    std::printf("  and on: %d\n", failure.number);
  }
  std::printf("loops: %d %d\n", loop(60), loop(200));
  std::printf("many\n");
  long sum = 0;
  for (int at = 0; at < 20000; ++at) {
    try {
      throw Failure(at);
    } catch (const Failure &failure) {
      sum += failure.number;
    }
  }
  std::printf("  %ld\n", sum);
}
