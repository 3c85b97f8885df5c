#pragma once

// Names to addresses, by c-ares on the loop: /etc/hosts and the system's resolvers, IPv4 and IPv6.
// For the control plane; the request path never waits for a name. One thread.
//
//   auto query = resolver.resolve("orders.internal", [](const Resolved& r) { … });
//   query.reset();      // cancels: the callback does not run any more

#include <functional>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "net/loop.h"

struct ares_channeldata;
struct ares_addrinfo;

namespace outrigger::net {

struct Resolved {
  std::vector<std::string> addresses;  // IP literals, sorted, each once
  Duration ttl{};                      // the shortest of the records'; 0 for /etc/hosts
  std::string error;                   // why there are none; empty on success
};

class Resolver final {
 public:
  using Callback = std::function<void(const Resolved&)>;
  // A name look-up under way; dropping it cancels.
  class Query {
   public:
    virtual ~Query() = default;
  };

  explicit Resolver(Loop& loop);
  ~Resolver();
  Resolver(const Resolver&) = delete;
  Resolver& operator=(const Resolver&) = delete;

  // The callback comes in a later turn, once. Five seconds and two tries a server, then an error.
  std::unique_ptr<Query> resolve(const std::string& name, Callback callback);

 private:
  class Watched;
  struct Pending;
  class Handle;
  static void on_socket(void* self, int fd, int readable, int writable);
  static void on_answer(void* argument, int status, int timeouts, ::ares_addrinfo* result);
  void process(int readable_fd, int writable_fd);
  void arm();
  void on_timer();

  Loop& loop_;
  ares_channeldata* channel_ = nullptr;
  std::unordered_map<int, std::unique_ptr<Watched>> sockets_;
  Timer timer_;
};

}  // namespace outrigger::net
