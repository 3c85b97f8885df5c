/* The floor of the benchmarks: a relay that copies bytes between two sockets and looks at none of
 * them. One upstream connection per client, level-triggered epoll, two reads and two writes a
 * request: whatever a proxy costs beyond this, it costs by its own work.
 * Usage: floor LISTEN_PORT TARGET_PORT (both on loopback). */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
  int fd;
  struct end* other;
  struct end* next_dead;
};

static int epoll_fd;
static struct end* dead; /* freed once no event of this turn can point at them */

static struct sockaddr_in loopback(const char* port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

static struct end* watch(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct end* e = calloc(1, sizeof *e);
  e->fd = fd;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = e};
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
  return e;
}

static void join(int listener, const struct sockaddr_in* target) {
  int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
  if (client < 0) return;
  int upstream = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(upstream, (const struct sockaddr*)target, sizeof *target) != 0) {
    close(client);
    close(upstream);
    return;
  }
  struct end* a = watch(client);
  struct end* b = watch(upstream);
  a->other = b;
  b->other = a;
}

static void part(struct end* e) {
  struct end* pair[] = {e, e->other};
  for (int i = 0; i < 2; i++) {
    close(pair[i]->fd);
    pair[i]->fd = -1;
    pair[i]->next_dead = dead;
    dead = pair[i];
  }
}

static int send_all(int fd, const char* data, ssize_t size) {
  while (size > 0) {
    ssize_t sent = send(fd, data, (size_t)size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EAGAIN) {
      struct pollfd wait = {.fd = fd, .events = POLLOUT};
      poll(&wait, 1, -1);
      continue;
    }
    if (sent <= 0) return -1;
    data += sent;
    size -= sent;
  }
  return 0;
}

static void copy(struct end* e) {
  static char buffer[65536];
  if (e->fd < 0) return;
  ssize_t got = recv(e->fd, buffer, sizeof buffer, MSG_DONTWAIT);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0 || send_all(e->other->fd, buffer, got) != 0) part(e);
}

int main(int argc, char** argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: floor LISTEN_PORT TARGET_PORT\n");
    return 64;
  }
  struct sockaddr_in here = loopback(argv[1]), target = loopback(argv[2]);
  int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr*)&here, sizeof here) != 0 || listen(listener, 4096) != 0) {
    perror("floor");
    return 1;
  }
  epoll_fd = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
  epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
  for (;;) {
    int count = epoll_wait(epoll_fd, ready, 256, -1);
    for (int i = 0; i < count; i++) {
      if (ready[i].data.ptr == NULL) {
        join(listener, &target);
      } else {
        copy(ready[i].data.ptr);
      }
    }
    while (dead != NULL) {
      struct end* e = dead;
      dead = e->next_dead;
      free(e);
    }
  }
}
