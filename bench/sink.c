/*
 * An HTTP server that takes everything and keeps nothing. Prints its port.
 *
 *   sink copy|drop [bytes per second]      without a rate it takes what comes
 *
 * `copy`: bodies are read as a server on the same machine reads them, at its cost, into a buffer of usual size.
 * `drop`: they end inside the kernel (MSG_TRUNC, tcp(7)), so neither side of a comparison pays for the other end of the line.
 *
 * PUT, DELETE: 200. GET: body bytes of all PUTs so far. And the calls of an S3 multipart upload: the ETags are no MD5, so
 * nobody compares them; HEAD answers 403, which S3 gives to those who may write and not read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_BYTES = 64 * 1024, TAKE_BYTES = 64 * 1024 };

static double rate; /* bytes per second, 0: no limit */
static int take_flags; /* MSG_TRUNC or 0 */
static uint64_t received;
static double next_due;
static pthread_mutex_t bucket = PTHREAD_MUTEX_INITIALIZER;

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

/* Waits until the line, shared by all connections, would have carried these bytes. */
static void pace(size_t bytes) {
  if (rate == 0) return;
  pthread_mutex_lock(&bucket);
  double at = now();
  if (next_due < at - 0.01) next_due = at - 0.01; /* nothing is saved up, but for the timer's own slack */
  next_due += bytes / rate;
  double wait = next_due - at;
  pthread_mutex_unlock(&bucket);
  if (wait > 0.001) usleep((useconds_t)(wait * 1e6));
}

static int reply(int socket, const char *status, const char *headers, const char *body) {
  char text[1024];
  int length = snprintf(text, sizeof text, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers, strlen(body), body);
  return send(socket, text, length, MSG_NOSIGNAL) == length;
}

static int answer(int socket, const char *head) {
  const char *xml = "Content-Type: application/xml\r\n";
  const char *line_end = strstr(head, "\r\n");
  const char *query = strchr(head, '?');
  if (query > line_end) query = NULL;
  if (!strncmp(head, "HEAD", 4)) return reply(socket, "403 Forbidden", "", "");
  if (!strncmp(head, "GET", 3) && query && strstr(query, "uploads"))
    return reply(socket, "200 OK", xml, "<?xml version=\"1.0\"?><ListMultipartUploadsResult><Bucket>bench</Bucket></ListMultipartUploadsResult>");
  if (!strncmp(head, "GET", 3)) {
    char total[32];
    snprintf(total, sizeof total, "%llu", (unsigned long long)__atomic_load_n(&received, __ATOMIC_RELAXED));
    return reply(socket, "200 OK", "", total);
  }
  if (!strncmp(head, "POST", 4)) {
    if (query && strstr(query, "uploadId="))
      return reply(socket, "200 OK", xml, "<?xml version=\"1.0\"?><CompleteMultipartUploadResult><Bucket>bench</Bucket></CompleteMultipartUploadResult>");
    return reply(socket, "200 OK", xml, "<?xml version=\"1.0\"?><InitiateMultipartUploadResult><UploadId>bench</UploadId></InitiateMultipartUploadResult>");
  }
  return reply(socket, "200 OK", "ETag: \"dropped\"\r\n", "");
}

static void *serve(void *argument) {
  int socket = (int)(intptr_t)argument;
  char head[HEAD_BYTES + 1];
  char *taken = malloc(TAKE_BYTES);
  for (;;) {
    size_t filled = 0;
    char *end = NULL;
    while (!end) {
      ssize_t got = filled < HEAD_BYTES ? recv(socket, head + filled, HEAD_BYTES - filled, 0) : 0;
      if (got <= 0) goto out;
      filled += got;
      head[filled] = 0;
      end = strstr(head, "\r\n\r\n");
    }
    char *body = end + 4;
    *end = 0;
    char *field = strcasestr(head, "\r\ncontent-length:");
    uint64_t length = field ? strtoull(field + 17, NULL, 10) : 0;
    uint64_t left = length - (filled - (body - head));
    if (strcasestr(head, "\r\nexpect: 100-continue") && left == length)
      send(socket, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    while (left > 0) {
      ssize_t got = recv(socket, taken, left < TAKE_BYTES ? left : TAKE_BYTES, take_flags);
      if (got <= 0) goto out;
      left -= got;
      pace(got);
    }
    if (!strncmp(head, "PUT", 3)) __atomic_add_fetch(&received, length, __ATOMIC_RELAXED);
    if (!answer(socket, head)) goto out;
  }
out:
  free(taken);
  close(socket);
  return NULL;
}

int main(int count, char **arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (count < 2) return fputs("usage: sink copy|drop [bytes per second]\n", stderr), 2;
  take_flags = strcmp(arguments[1], "copy") ? MSG_TRUNC : 0;
  rate = count > 2 ? atof(arguments[2]) : 0;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 64)) return perror("sink"), 1;
  getsockname(listener, (struct sockaddr *)&address, &size);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    pthread_t thread;
    if (connection < 0 || pthread_create(&thread, NULL, serve, (void *)(intptr_t)connection)) return perror("sink"), 1;
    pthread_detach(thread);
  }
}
