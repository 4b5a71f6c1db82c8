// SPDX-License-Identifier: Apache-2.0
/*
 * insula-checkpoint: checkpoints of a running guest, and back from the last.
 */
#include "checkpoint.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char usage[] = "usage: insula-checkpoint save [-i MS] [-n COUNT] DOMAIN TARGET\n"
                            "       insula-checkpoint receive PORT FILE\n"
                            "       insula-checkpoint restore FILE [XL-OPTION...]\n"
                            "       insula-checkpoint image FILE          (to standard output)\n"
                            "       insula-checkpoint resume DOMAIN\n"
                            "TARGET is a file, HOST:PORT (of a receive), or - (standard output).\n";

static int receive(const char *port, const char *file)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)strtoul(port, NULL, 10))};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = any.sin6_port};
    int one = 1, from, listener = socket(AF_INET6, SOCK_STREAM, 0);

    if (listener < 0) listener = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (void *)&any, sizeof(any)) && bind(listener, (void *)&any4, sizeof(any4)))
        return perror("insula-checkpoint: bind"), 1;
    if (listen(listener, 1) || (from = accept(listener, NULL, NULL)) < 0)
        return perror("insula-checkpoint: accept"), 1;
    if (!sink_open(file)) return 1;
    sink_run(from);
    fprintf(stderr, "insula-checkpoint: %u checkpoints received\n", sink_wait(0).checkpoints);
    return sink_wait(0).checkpoints == 0;
}

/* xl reads the folded image from a pipe. */
static int restore(const char *file, char *const options[], int number)
{
    char **argv;
    int ends[2], status = 1;
    long pages;
    pid_t pid;

    if (pipe(ends) || !(argv = calloc((size_t)number + 4, sizeof(*argv)))) return 1;
    argv[0] = "xl", argv[1] = "restore";
    memcpy(argv + 2, options, (size_t)number * sizeof(*argv));
    argv[number + 2] = "/dev/stdin";
    if ((pid = fork()) == 0) {
        dup2(ends[0], STDIN_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(argv[0], argv);
        _exit(127);
    }
    free(argv);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    pages = fold(file, ends[1], true);
    close(ends[1]);
    if (pid < 0 || waitpid(pid, &status, 0) < 0 || status || pages < 0) return 1;
    fprintf(stderr, "insula-checkpoint: restored, %ld pages\n", pages);
    return 0;
}

int main(int argc, char *argv[])
{
    unsigned int interval = 1000, count = 0;
    int option;

    if (argc < 2) return fputs(usage, stderr), 2;
    if (!strcmp(argv[1], "image") && argc == 3) return fold(argv[2], STDOUT_FILENO, true) < 0;
    if (!strcmp(argv[1], "restore") && argc >= 3) return restore(argv[2], argv + 3, argc - 3);
    if (!strcmp(argv[1], "receive") && argc == 4) return receive(argv[2], argv[3]);
    if (!strcmp(argv[1], "resume") && argc == 3) return resume(argv[2]);
    if (strcmp(argv[1], "save")) return fputs(usage, stderr), 2;
    argc--, argv++;
    while ((option = getopt(argc, argv, "i:n:")) != -1) {
        if (option == 'i')
            interval = (unsigned int)strtoul(optarg, NULL, 10);
        else if (option == 'n')
            count = (unsigned int)strtoul(optarg, NULL, 10);
        else
            return fputs(usage, stderr), 2;
    }
    if (argc - optind != 2) return fputs(usage, stderr), 2;
    return save(argv[optind], interval, count, argv[optind + 1]);
}
