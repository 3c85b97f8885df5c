#pragma once

// A small HTTP/1 server for one PageHandler: the admin port, the probes, the metrics listener. Runs
// on the loop of the back thread, never on a worker's. Owned by the server room; destroying it
// closes its listeners at once and its connections after the turn. Handler and loop outlive it.
//
//   PageServer admin(loop, handler, {});
//   admin.listen(std::move(fd));           // again for more addresses
//
// A request is gathered whole (64 KiB of body at most), handled in one call, and answered whole.
// Connections are few: when all are in use, a new one replaces the one that has been idle longest;
// if none is idle, the one that has been waiting longest, for the rest of its request or for its
// reader. So nobody can shut others out with requests that never end; connections that come faster
// than they are read replace one another.

#include <cstddef>
#include <memory>
#include <vector>

#include "admin/page_handler.h"
#include "base/time.h"
#include "http/codec.h"
#include "net/channel.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/loop.h"

namespace outrigger::admin {

class PageServer final : private net::ListenerHandler {
 public:
  struct Options {
    std::size_t connections_max = 16;  // at least 1
    std::size_t body_max = 64 * 1024;
    Duration idle = seconds(60);     // between requests
    Duration receive = seconds(10);  // for a whole request, from its first byte
    Duration stall = seconds(30);    // for an answer of which nothing more is taken
  };

  PageServer(net::Loop& loop, PageHandler& handler, const Options& options);
  PageServer(net::Loop& loop, PageHandler& handler) : PageServer(loop, handler, Options{}) {}
  ~PageServer();
  PageServer(const PageServer&) = delete;
  PageServer& operator=(const PageServer&) = delete;

  // Accepts on this listening socket from now on.
  void listen(net::Fd fd);
  // A connection that is there already.
  void accept(std::unique_ptr<net::Channel> channel);
  std::size_t connections() const { return clients_.size(); }

 private:
  class Client;

  void on_accept(net::Fd fd, const net::SocketAddress& peer) override;
  void make_room();
  void remove(Client& client);

  net::Loop& loop_;
  PageHandler& handler_;
  const Options options_;
  http::CodecLimits limits_;
  net::ConnectionLimits connection_limits_;
  http::CodecCounters counters_;
  std::vector<std::unique_ptr<net::Listener>> listeners_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace outrigger::admin
