/* Writes files through mappings, as `cargo xtask soak verdicts` tells it: `hold PATH` maps a file and dirties the page,
   `store PATH` puts the content of argv[1] at the beginning, through the mapping that is held or else a new one. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct held {
    struct held *next;
    char *path;
    volatile char *bytes;
};

static volatile char *map(const char *path) {
    struct stat stat;
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0 || fstat(file, &stat) != 0)
        return NULL;
    void *bytes = mmap(NULL, (size_t)stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return bytes == MAP_FAILED ? NULL : bytes;
}

int main(int argc, char **argv) {
    static char payload[4096], line[8192];
    struct held *all = NULL;
    FILE *file = argc > 1 ? fopen(argv[1], "rb") : NULL;
    size_t length = file ? fread(payload, 1, sizeof payload, file) : 0;
    if (length == 0)
        return 2;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        char *path = strchr(line, ' ');
        if (!path)
            return 2;
        *path++ = 0;
        struct held *held = all;
        while (held && strcmp(held->path, path) != 0)
            held = held->next;
        volatile char *bytes = held ? held->bytes : map(path);
        if (!bytes) {
            perror(path);
            return 1;
        }
        if (strcmp(line, "hold") == 0) {
            held = malloc(sizeof *held);
            if (!held)
                return 1;
            *held = (struct held){all, strdup(path), bytes};
            all = held;
            bytes[0] = bytes[0];
        } else {
            for (size_t at = 0; at < length; at++)
                bytes[at] = payload[at];
        }
        puts("done");
        fflush(stdout);
    }
    return 0;
}
