/*
 * websum: digests of what URLs answer with, printed and checked as sha256sum(1) does for files.
 *
 * It asks by /cap/fetch and hashes by /cap/crypto, which are files: opening `clone` begins a conversation, commands are
 * lines written to it, and `body` beside it is the answer; what is written to `hash/sha256` reads back as its digest.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define FETCH "/cap/fetch"
#define HASH "/cap/crypto/hash"

/* Bytes of a URL; the device takes no longer ones. */
#define URL_SIZE 8192
#define PATH_SIZE 4096
#define TEXT_SIZE 512
/* Hexadecimal digits of the longest digest, and a zero. */
#define DIGEST_SIZE 129
#define BUFFER_SIZE 65536

static const char usage[] =
    "usage: websum [-a ALGORITHM] URL…    prints the digest of what each URL answers with\n"
    "       websum -c [-q] [FILE]…        checks lines of DIGEST and URL, from files or the input\n"
    "       websum -o FILE URL DIGEST     keeps the answer in FILE, if it has this digest\n"
    "  -a sha256|sha384|sha512   the algorithm, sha256 unless told; where a digest is given its length tells\n"
    "  -q                        says nothing about what is right\n"
    "  -h, --help                shows this\n"
    "Answers are hashed as they are after decompression. It needs /cap/fetch for the servers and /cap/crypto:\n"
    "  --grant fetch,origin=https://example.com --grant crypto,persist=no\n";

/* The algorithms and how many hexadecimal digits their digests have. */
static const struct algorithm {
    const char *name;
    size_t digits;
} algorithms[] = {{"sha256", 64}, {"sha384", 96}, {"sha512", 128}};
#define ALGORITHMS (sizeof algorithms / sizeof *algorithms)

/* Says what is wrong; what was printed before comes before. */
__attribute__((format(printf, 1, 2))) static void complain(const char *format, ...) {
    va_list arguments;
    fflush(stdout);
    fputs("websum: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static int misused(void) {
    fputs(usage, stderr);
    return 2;
}

/* Whether a text can be shown on a terminal and be a URL: neither blanks nor control characters. */
static bool presentable(const char *url) {
    for (const unsigned char *at = (const unsigned char *)url; *at; at++) {
        if (*at <= ' ' || *at == 0x7f) return false;
    }
    return *url != 0;
}

/* The algorithm of which this is a digest, in either case of letters; none if it is no digest. */
static const struct algorithm *algorithm_of(const char *digest) {
    const size_t digits = strspn(digest, "0123456789abcdefABCDEF");
    for (size_t i = 0; i < ALGORITHMS; i++) {
        if (algorithms[i].digits == digits && digest[digits] == 0) return &algorithms[i];
    }
    return NULL;
}

/* Reads a short text file, without its newline; empty where there is none. */
static void read_text(const char *path, char *text, size_t size) {
    text[0] = 0;
    const int file = open(path, O_RDONLY);
    if (file < 0) return;
    const ssize_t length = read(file, text, size - 1);
    close(file);
    text[length < 0 ? 0 : length] = 0;
    text[strcspn(text, "\n")] = 0;
}

static bool write_all(int file, const char *bytes, size_t length) {
    while (length > 0) {
        const ssize_t written = write(file, bytes, length);
        if (written < 0) return false;
        bytes += written;
        length -= (size_t)written;
    }
    return true;
}

/* Says that a capability was not granted, if that is so. */
static bool granted(const char *device, const char *grant) {
    struct stat attributes;
    if (stat(device, &attributes) == 0) return true;
    complain("%s is not granted; it needs --grant %s", device, grant);
    return false;
}

/* Both capabilities, or a complaint. */
static bool all_granted(void) {
    return granted(FETCH, "fetch,origin=https://example.com") && granted(HASH, "crypto,persist=no");
}

/* A request: the conversation that is its `ctl`, and its directory. */
struct request {
    int ctl;
    char directory[64];
};

/* Complains about a URL, in the words of the conversation's `error` where it has some. */
static void refused(const struct request *request, const char *url) {
    const int code = errno;
    char path[PATH_SIZE], words[TEXT_SIZE];
    snprintf(path, sizeof path, "%s/error", request->directory);
    read_text(path, words, sizeof words);
    complain("%s: %s", url, words[0] ? words : strerror(code));
}

/* Begins a request; it lasts until its `ctl` is closed. */
static bool begin(struct request *request) {
    char number[32];
    request->ctl = open(FETCH "/clone", O_RDWR);
    const ssize_t length = request->ctl < 0 ? -1 : read(request->ctl, number, sizeof number - 1);
    if (length <= 0) {
        complain("%s: %s", FETCH "/clone", strerror(errno));
        if (request->ctl >= 0) close(request->ctl);
        return false;
    }
    number[length] = 0;
    number[strcspn(number, "\n")] = 0;
    snprintf(request->directory, sizeof request->directory, FETCH "/%s", number);
    return true;
}

/* Asks for a URL and opens what the server answers; only 2xx is an answer. */
static int ask(const struct request *request, const char *url) {
    char line[URL_SIZE + 8], path[PATH_SIZE], status[TEXT_SIZE];
    const int length = snprintf(line, sizeof line, "url %s\n", url);
    if (length >= (int)sizeof line) {
        complain("a URL has more than %d bytes", URL_SIZE);
        return -1;
    }
    snprintf(path, sizeof path, "%s/body", request->directory);
    int body = -1;
    if (!write_all(request->ctl, line, (size_t)length) || (body = open(path, O_RDONLY)) < 0) {
        refused(request, url);
        return -1;
    }
    snprintf(path, sizeof path, "%s/status", request->directory);
    read_text(path, status, sizeof status);
    if (status[0] != '2') {
        // The number alone: the words behind it are the server's.
        complain("%s: the server says %.3s", url, status);
        close(body);
        return -1;
    }
    return body;
}

/* Hands all of `body` to `hash`, and to `copy` where there is one. */
static bool pass_on(const struct request *request, const char *url, int body, int hash, int copy, const char *copy_name) {
    static char buffer[BUFFER_SIZE];
    ssize_t length;
    while ((length = read(body, buffer, sizeof buffer)) > 0) {
        if (!write_all(hash, buffer, (size_t)length)) {
            complain("%s: %s", HASH, strerror(errno));
            return false;
        }
        if (copy >= 0 && !write_all(copy, buffer, (size_t)length)) {
            complain("%s: %s", copy_name, strerror(errno));
            return false;
        }
    }
    if (length < 0) refused(request, url);
    return length == 0;
}

/* Fetches a URL and works its digest out; complains and fails where that can't be. */
static bool digest(const char *url, const struct algorithm *algorithm, char result[DIGEST_SIZE], int copy,
                   const char *copy_name) {
    char path[PATH_SIZE];
    struct request request;
    bool done = false;
    if (!begin(&request)) return false;
    const int body = ask(&request, url);
    if (body >= 0) {
        snprintf(path, sizeof path, HASH "/%s", algorithm->name);
        const int hash = open(path, O_RDWR);
        if (hash < 0) {
            complain("%s: %s", path, strerror(errno));
        } else {
            if (pass_on(&request, url, body, hash, copy, copy_name)) {
                const ssize_t length = read(hash, result, DIGEST_SIZE - 1);
                done = length >= (ssize_t)algorithm->digits;
                if (done) result[algorithm->digits] = 0;
                else complain("%s: %s", path, length < 0 ? strerror(errno) : "it gave no digest");
            }
            close(hash);
        }
        close(body);
    }
    close(request.ctl);
    return done;
}

/* What came of a list of digests. */
struct tally {
    unsigned long right, wrong, unread, malformed;
};

/* Takes a line of a list apart: the digest, two blanks (or one and `*`, as for binary files), the URL. */
static const struct algorithm *parse(char *line, char **url) {
    line[strcspn(line, "\r\n")] = 0;
    char *const blank = strchr(line, ' ');
    if (!blank || (blank[1] != ' ' && blank[1] != '*') || !presentable(blank + 2)) return NULL;
    *blank = 0;
    *url = blank + 2;
    return algorithm_of(line);
}

static void check_line(char *line, bool quiet, struct tally *tally) {
    char *url, result[DIGEST_SIZE];
    const struct algorithm *const algorithm = parse(line, &url);
    if (!algorithm) {
        tally->malformed++;
    } else if (!digest(url, algorithm, result, -1, NULL)) {
        printf("%s: FAILED to fetch\n", url);
        tally->unread++;
    } else if (strcasecmp(line, result) != 0) {
        printf("%s: FAILED\n", url);
        tally->wrong++;
    } else {
        if (!quiet) printf("%s: OK\n", url);
        tally->right++;
    }
}

static void warn(unsigned long count, const char *one, const char *many) {
    if (count > 0) complain("WARNING: %lu %s", count, count == 1 ? one : many);
}

/* Checks a list; whether all of it is right. A line too long to be one is malformed, as are others that are none. */
static bool check(FILE *list, const char *name, bool quiet) {
    static char line[DIGEST_SIZE + URL_SIZE];
    struct tally tally = {0};
    while (fgets(line, sizeof line, list)) {
        const bool whole = strchr(line, '\n') || feof(list);
        if (whole) {
            if (line[strspn(line, " \t\r\n")] == 0 || line[0] == '#') continue;
            check_line(line, quiet, &tally);
        } else {
            int letter;
            while ((letter = getc(list)) != EOF && letter != '\n') {}
            tally.malformed++;
        }
    }
    if (ferror(list)) {
        complain("%s: %s", name, strerror(errno));
        return false;
    }
    if (tally.right + tally.wrong + tally.unread == 0) {
        complain("%s: no line has a digest and a URL", name);
        return false;
    }
    warn(tally.malformed, "line is not formatted as it must be", "lines are not formatted as they must be");
    warn(tally.unread, "URL could not be fetched", "URLs could not be fetched");
    warn(tally.wrong, "computed digest did NOT match", "computed digests did NOT match");
    return tally.wrong + tally.unread == 0;
}

static bool check_files(char **names, int count, bool quiet) {
    if (count == 0) return check(stdin, "input", quiet);
    bool right = true;
    for (int i = 0; i < count; i++) {
        FILE *const list = strcmp(names[i], "-") == 0 ? stdin : fopen(names[i], "r");
        if (!list) {
            complain("%s: %s", names[i], strerror(errno));
            right = false;
            continue;
        }
        right &= check(list, names[i], quiet);
        if (list != stdin) fclose(list);
    }
    return right;
}

/* Fetches into a file beside `name` that takes its place only when it is whole and right. */
static bool keep(const char *name, const char *url, const char *wanted, const struct algorithm *algorithm, bool quiet) {
    char part[PATH_SIZE], result[DIGEST_SIZE];
    if (snprintf(part, sizeof part, "%s.part", name) >= (int)sizeof part) {
        complain("%s: %s", name, strerror(ENAMETOOLONG));
        return false;
    }
    const int copy = open(part, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (copy < 0) {
        complain("%s: %s", part, strerror(errno));
        return false;
    }
    bool done = digest(url, algorithm, result, copy, part);
    if (done && strcasecmp(wanted, result) != 0) {
        complain("%s: its digest is %s; %s is not written", url, result, name);
        done = false;
    }
    if (done && fsync(copy) < 0) {
        complain("%s: %s", part, strerror(errno));
        done = false;
    }
    close(copy);
    if (done && rename(part, name) < 0) {
        complain("%s: %s", name, strerror(errno));
        done = false;
    }
    if (!done) unlink(part);
    else if (!quiet) printf("%s: OK\n", name);
    return done;
}

/* Prints the digests; whether there were any for all of them. */
static bool print(char **urls, int count, const struct algorithm *algorithm) {
    bool all = true;
    for (int i = 0; i < count; i++) {
        char result[DIGEST_SIZE];
        if (!presentable(urls[i])) {
            complain("a URL has no blanks and control characters");
            all = false;
        } else if (digest(urls[i], algorithm, result, -1, NULL)) {
            printf("%s  %s\n", result, urls[i]);
        } else {
            all = false;
        }
    }
    return all;
}

int main(int argc, char **argv) {
    static const struct option long_options[] = {{"help", no_argument, NULL, 'h'}, {0}};
    const struct algorithm *algorithm = &algorithms[0];
    const char *output = NULL;
    bool checks = false, quiet = false;
    int option;
    while ((option = getopt_long(argc, argv, "a:co:qh", long_options, NULL)) != -1) {
        switch (option) {
        case 'a':
            algorithm = NULL;
            for (size_t i = 0; i < ALGORITHMS; i++) {
                if (strcmp(algorithms[i].name, optarg) == 0) algorithm = &algorithms[i];
            }
            if (!algorithm) {
                complain("%s is none of sha256, sha384, sha512", optarg);
                return 2;
            }
            break;
        case 'c': checks = true; break;
        case 'o': output = optarg; break;
        case 'q': quiet = true; break;
        case 'h': return fputs(usage, stdout) < 0;
        default: return misused();
        }
    }
    char **const words = argv + optind;
    const int count = argc - optind;
    if (checks && output) return misused();
    if (output) {
        if (count != 2) return misused();
        algorithm = algorithm_of(words[1]);
        if (!algorithm || !presentable(words[0])) {
            complain("-o FILE expects a URL and its digest, of 64, 96 or 128 hexadecimal digits");
            return 2;
        }
        return !(all_granted() && keep(output, words[0], words[1], algorithm, quiet));
    }
    if (checks) return !(all_granted() && check_files(words, count, quiet));
    if (count == 0) return misused();
    return !(all_granted() && print(words, count, algorithm));
}
