/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The userspace alternative that the bench compares with: a TCP relay that scans
 * what passes with Hyperscan in stream mode. One direction, one thread for each
 * connection, threads spread over the processors: nothing that a real proxy also
 * has to do (TLS, policy, logging, the way back) is charged to it.
 *
 * usage: relay PATTERNS PORT ADDRESS PORT
 *
 * PATTERNS: one regex a line, numbered from 0. A regex that Hyperscan cannot take
 * is compiled as a prefilter; one that it cannot take even so is left out. Both
 * are counted in the line that says the relay listens:
 *     ready <patterns> <prefilters> <left out>
 * Each closed connection prints the numbers of matches by pattern:
 *     closed <bytes> <pattern>=<count> ...
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <hs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_PATTERNS 4096
#define BUFFER (256 * 1024)

struct patterns {
	const char *regex[MAX_PATTERNS];
	unsigned int flags[MAX_PATTERNS];
	unsigned int id[MAX_PATTERNS];
	unsigned int count;
	unsigned int prefilters;
	unsigned int left_out;
};

struct connection {
	int client;
	int cpu;
	unsigned long bytes;
	unsigned long matches[MAX_PATTERNS];
};

static hs_database_t *database;
static struct sockaddr_in upstream;
static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static bool compiles(const char *regex, unsigned int flags)
{
	hs_compile_error_t *error = NULL;
	hs_database_t *one = NULL;

	if (hs_compile(regex, flags, HS_MODE_STREAM, NULL, &one, &error) != HS_SUCCESS) {
		hs_free_compile_error(error);
		return false;
	}
	hs_free_database(one);
	return true;
}

static void read_patterns(const char *path, struct patterns *out)
{
	FILE *file = fopen(path, "r");
	char line[4096];

	if (!file)
		die(path);
	for (unsigned int id = 0; fgets(line, sizeof(line), file) && id < MAX_PATTERNS; id++) {
		unsigned int flags = 0;

		line[strcspn(line, "\n")] = 0;
		if (!compiles(line, flags)) {
			flags = HS_FLAG_PREFILTER;
			if (!compiles(line, flags)) {
				out->left_out++;
				continue;
			}
			out->prefilters++;
		}
		out->regex[out->count] = strdup(line);
		out->flags[out->count] = flags;
		out->id[out->count++] = id;
	}
	fclose(file);
}

static int on_match(unsigned int id, unsigned long long from, unsigned long long to,
		    unsigned int flags, void *context)
{
	struct connection *connection = context;

	(void)from;
	(void)to;
	(void)flags;
	connection->matches[id]++;
	return 0;
}

static bool write_all(int fd, const char *data, size_t length)
{
	while (length) {
		ssize_t n = write(fd, data, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		data += n;
		length -= (size_t)n;
	}
	return true;
}

static void relay(struct connection *connection, int server, char *buffer, hs_scratch_t *scratch)
{
	hs_stream_t *stream;
	ssize_t n;

	if (hs_open_stream(database, 0, &stream) != HS_SUCCESS)
		return;
	while ((n = read(connection->client, buffer, BUFFER)) > 0) {
		hs_scan_stream(stream, buffer, (unsigned int)n, 0, scratch, on_match, connection);
		connection->bytes += (unsigned long)n;
		if (!write_all(server, buffer, (size_t)n))
			break;
	}
	hs_close_stream(stream, scratch, on_match, connection);
}

static void *serve(void *argument)
{
	struct connection *connection = argument;
	hs_scratch_t *scratch = NULL;
	char *buffer = malloc(BUFFER);
	int server = socket(AF_INET, SOCK_STREAM, 0);
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(connection->cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	if (!buffer || hs_alloc_scratch(database, &scratch) != HS_SUCCESS)
		die("scratch");
	if (server < 0 || connect(server, (struct sockaddr *)&upstream, sizeof(upstream)))
		die("connect");
	relay(connection, server, buffer, scratch);
	close(connection->client);
	pthread_mutex_lock(&printing);
	printf("closed %lu", connection->bytes);
	for (unsigned int id = 0; id < MAX_PATTERNS; id++)
		if (connection->matches[id])
			printf(" %u=%lu", id, connection->matches[id]);
	printf("\n");
	fflush(stdout);
	pthread_mutex_unlock(&printing);
	/* Last, so that whoever sees the end of the stream can read the counts. */
	close(server);
	hs_free_scratch(scratch);
	free(buffer);
	free(connection);
	return NULL;
}

static int listener(unsigned short port)
{
	struct sockaddr_in here = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(fd, (struct sockaddr *)&here, sizeof(here)) || listen(fd, 64))
		die("listen");
	return fd;
}

int main(int argc, char **argv)
{
	static struct patterns patterns;
	hs_compile_error_t *error;
	int fd;

	if (argc != 5) {
		fprintf(stderr, "usage: relay PATTERNS PORT ADDRESS PORT\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	read_patterns(argv[1], &patterns);
	upstream.sin_family = AF_INET;
	upstream.sin_port = htons((unsigned short)atoi(argv[4]));
	if (inet_pton(AF_INET, argv[3], &upstream.sin_addr) != 1)
		die(argv[3]);
	if (hs_compile_multi(patterns.regex, patterns.flags, patterns.id, patterns.count,
			     HS_MODE_STREAM, NULL, &database, &error) != HS_SUCCESS) {
		fprintf(stderr, "relay: %s\n", error->message);
		return 1;
	}
	fd = listener((unsigned short)atoi(argv[2]));
	printf("ready %u %u %u\n", patterns.count, patterns.prefilters, patterns.left_out);
	fflush(stdout);
	for (int number = 0;; number++) {
		struct connection *connection = calloc(1, sizeof(*connection));
		pthread_t thread;

		if (!connection)
			die("calloc");
		connection->cpu = number % (int)sysconf(_SC_NPROCESSORS_ONLN);
		connection->client = accept(fd, NULL, NULL);
		if (connection->client < 0 || pthread_create(&thread, NULL, serve, connection))
			die("accept");
		pthread_detach(thread);
	}
}
