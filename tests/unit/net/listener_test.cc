// A listener on real loopback sockets, with a loop driven by hand.

#include "net/listener.h"

#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "support/manual_loop.h"

namespace outrigger::net {
namespace {

struct Accepting final : ListenerHandler {
  void on_accept(Fd fd, const SocketAddress& peer) override {
    peers.push_back(peer.to_string());
    taken.push_back(std::move(fd));
    if (after) after();
  }
  std::vector<Fd> taken;
  std::vector<std::string> peers;
  std::function<void()> after;
};

struct ListenerTest : testing::Test {
  ListenerTest() {
    Result<Fd> made =
        listen_on(SocketAddress::ip("127.0.0.1", 0), {.reuse_port = false, .backlog = 128});
    EXPECT_TRUE(made.ok());
    Fd fd = std::move(*made);
    sockaddr_storage storage{};
    socklen_t length = sizeof storage;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&storage), &length);
    address = SocketAddress(reinterpret_cast<sockaddr*>(&storage), length);
    listener = std::make_unique<Listener>(loop, std::move(fd), handler);
  }
  // Connected when this returns, accepted or not: loopback needs no third party.
  Fd connect() {
    Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(fd.get(), address.get(), address.length()), 0);
    return fd;
  }
  // 0 is an orderly close, -1 a reset.
  static ssize_t read_end(const Fd& fd) {
    char byte = 0;
    return ::recv(fd.get(), &byte, 1, 0);
  }

  test::ManualLoop loop;
  Accepting handler;
  SocketAddress address;
  std::unique_ptr<Listener> listener;
};

TEST_F(ListenerTest, accepts_and_tells_who_it_is) {
  const Fd client = connect();
  loop.turn();
  ASSERT_EQ(handler.taken.size(), 1U);
  EXPECT_TRUE(handler.peers[0].starts_with("127.0.0.1:"));
  EXPECT_EQ(::send(handler.taken[0].get(), "x", 1, 0), 1);
  EXPECT_EQ(read_end(client), 1);
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t length = sizeof value;
  EXPECT_EQ(::getsockopt(fd, level, name, &value, &length), 0);
  return value;
}

// An unused port; the kernel does not assign it again for a while.
SocketAddress free_address() {
  auto made = listen_on(SocketAddress::ip("127.0.0.1", 0), {});
  EXPECT_TRUE(made.ok());
  sockaddr_in name{};
  socklen_t length = sizeof name;
  ::getsockname(made->get(), reinterpret_cast<sockaddr*>(&name), &length);
  return SocketAddress::ip("127.0.0.1", ntohs(name.sin_port));
}

// 0, or the errno.
int connect_error(const SocketAddress& address) {
  const Fd fd(::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  return ::connect(fd.get(), address.get(), address.length()) == 0 ? 0 : errno;
}

TEST(ListenLater, a_port_is_nobody_elses_before_it_listens) {
  const SocketAddress address = free_address();
  {
    const auto mine = listen_on(address, {.peer_silence = seconds(30), .later = true});
    ASSERT_TRUE(mine) << mine.error().message;
    for (const ListenOptions& how : {ListenOptions{}, ListenOptions{.later = true}}) {
      const auto other = listen_on(address, how);
      ASSERT_FALSE(other);
      EXPECT_NE(other.error().message.find("in use"), std::string::npos) << other.error().message;
    }
    EXPECT_EQ(connect_error(address), ECONNREFUSED);
    ASSERT_TRUE(begin_listening(*mine));
    EXPECT_EQ(connect_error(address), 0);
    EXPECT_EQ(option(mine->get(), IPPROTO_TCP, TCP_NODELAY), 1);
    EXPECT_EQ(option(mine->get(), IPPROTO_TCP, TCP_USER_TIMEOUT), 30'000);
    // We close first, so that the connection stays in TIME_WAIT for a minute.
    const Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::connect(client.get(), address.get(), address.length()), 0);
    for (int i = 0; i < 2; ++i) Fd(::accept(mine->get(), nullptr, nullptr)).reset();
  }
  EXPECT_TRUE(listen_on(address, {.later = true})) << "what is left of connections is no obstacle";
}

TEST(ListenLater, several_sockets_of_one_owner_share_a_port) {
  const SocketAddress address = free_address();
  auto first = listen_on(address, {.later = true});
  ASSERT_TRUE(first);
  share_port(*first);
  auto second = listen_on(address, {.reuse_port = true, .later = true});
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_FALSE(listen_on(address, {.later = true}));
  ASSERT_TRUE(begin_listening(*first));
  ASSERT_TRUE(begin_listening(*second));
  EXPECT_EQ(connect_error(address), 0);
  first->reset();
  EXPECT_EQ(connect_error(address), 0);
}

TEST(ListenLater, a_unix_socket_is_stale_only_when_nobody_has_it) {
  const std::string path = testing::TempDir() + "later-" + std::to_string(::getpid()) + ".sock";
  const SocketAddress address = *SocketAddress::unix_path(path);
  {
    const auto mine = listen_on(address, {.later = true});
    ASSERT_TRUE(mine);
    EXPECT_FALSE(listen_on(address, {.later = true})) << "it does not listen yet";
    ASSERT_TRUE(begin_listening(*mine));
    EXPECT_FALSE(listen_on(address, {.later = true}));
    EXPECT_EQ(connect_error(address), 0) << "the file is still mine";
  }
  EXPECT_TRUE(listen_on(address, {})) << "what a crash left behind";
  ::unlink(path.c_str());
}

TEST(PeerSilence, both_ends_of_a_connection_are_bound_and_may_be_released) {
  test::ManualLoop loop;
  auto made = listen_on(SocketAddress::ip("127.0.0.1", 0), {.peer_silence = seconds(30)});
  ASSERT_TRUE(made.ok());
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  ::getsockname(made->get(), reinterpret_cast<sockaddr*>(&storage), &length);
  const SocketAddress address(reinterpret_cast<sockaddr*>(&storage), length);
  int error = 0;
  SocketChannel client(loop, connect_to(address, error), address);
  client.bound_silence(seconds(30));
  const Fd accepted(::accept(made->get(), nullptr, nullptr));
  for (const int fd : {client.fd(), accepted.get()}) {
    EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 30'000);
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
    EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 15);
    EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 5);
  }
  client.bound_silence(hours(20));
  EXPECT_EQ(option(client.fd(), IPPROTO_TCP, TCP_KEEPIDLE), 32'767) << "all that the kernel takes";
  client.bound_silence(hours(1'000));
  EXPECT_EQ(option(client.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT), std::numeric_limits<int>::max());
  EXPECT_EQ(option(client.fd(), IPPROTO_TCP, TCP_KEEPIDLE), 32'767);
  EXPECT_EQ(option(client.fd(), IPPROTO_TCP, TCP_KEEPINTVL), 32'767);
  client.bound_silence(Duration(0));
  EXPECT_EQ(option(client.fd(), IPPROTO_TCP, TCP_USER_TIMEOUT), 0);
  EXPECT_FALSE(client.silent_for(Duration(0))) << "nothing was left unanswered";
}

TEST(SocketChannelTest, a_reset_is_seen_without_reading) {
  test::ManualLoop loop;
  auto made = listen_on(SocketAddress::ip("127.0.0.1", 0), {});
  ASSERT_TRUE(made.ok());
  sockaddr_storage storage{};
  socklen_t length = sizeof storage;
  ::getsockname(made->get(), reinterpret_cast<sockaddr*>(&storage), &length);
  const SocketAddress address(reinterpret_cast<sockaddr*>(&storage), length);
  int error = 0;
  SocketChannel client(loop, connect_to(address, error), address);
  SocketChannel server(loop, Fd(::accept(made->get(), nullptr, nullptr)), address);
  EXPECT_FALSE(server.was_reset());
  ASSERT_EQ(::send(client.fd(), "unread", 6, 0), 6);
  EXPECT_EQ(server.unread(), 6U);
  ::shutdown(client.fd(), SHUT_WR);
  EXPECT_FALSE(server.was_reset()) << "FIN is none";
  client.close(true);
  EXPECT_TRUE(server.was_reset());
}

// The backlog never becomes empty here: the number accepted per turn doubles every `patience`
// turns, up to a limit.
TEST_F(ListenerTest, a_turn_accepts_one_and_more_when_many_keep_coming) {
  std::vector<Fd> clients;
  std::vector<std::size_t> batches;
  for (int turn = 0; turn < 6 * Listener::patience; ++turn) {
    while (clients.size() < handler.taken.size() + 2 * Listener::batch_max)
      clients.push_back(connect());
    const std::size_t before = handler.taken.size();
    loop.turn();
    batches.push_back(handler.taken.size() - before);
  }
  for (std::size_t turn = 0; turn < batches.size(); ++turn) {
    const std::size_t expected = std::size_t{1} << (turn / Listener::patience);
    ASSERT_EQ(batches[turn], std::min<std::size_t>(expected, Listener::batch_max)) << turn;
  }
}

TEST_F(ListenerTest, a_dry_backlog_makes_the_batch_one_again) {
  std::vector<Fd> clients;
  for (int i = 0; i < Listener::patience + 1; ++i) {
    clients.push_back(connect());
    loop.turn();
    ASSERT_EQ(handler.taken.size(), clients.size());
  }
  for (int i = 0; i < 3; ++i) clients.push_back(connect());
  loop.turn();
  EXPECT_EQ(clients.size() - handler.taken.size(), 2U);
}

TEST_F(ListenerTest, paused_it_accepts_nobody_and_loses_nobody) {
  listener->pause(true);
  const Fd client = connect();
  loop.turn();
  EXPECT_TRUE(handler.taken.empty());
  listener->pause(false);
  loop.turn();
  EXPECT_EQ(handler.taken.size(), 1U);
}

TEST_F(ListenerTest, a_handler_may_pause_it_in_the_middle_of_a_batch) {
  std::vector<Fd> clients;
  for (int i = 0; i < 5; ++i) clients.push_back(connect());
  handler.after = [this] {
    if (handler.taken.size() == 2) listener->pause(true);
  };
  listener->accept_all();
  EXPECT_EQ(handler.taken.size(), 2U);
  listener->accept_all();
  EXPECT_EQ(handler.taken.size(), 2U) << "paused is paused";
  listener->pause(false);
  listener->accept_all();
  EXPECT_EQ(handler.taken.size(), 5U);
}

TEST_F(ListenerTest, before_its_end_it_takes_all_who_have_connected) {
  std::vector<Fd> clients;
  for (int i = 0; i < 3 * Listener::batch_max; ++i) clients.push_back(connect());
  listener->accept_all();
  listener.reset();
  EXPECT_EQ(handler.taken.size(), clients.size());
  for (const Fd& accepted : handler.taken) EXPECT_EQ(::send(accepted.get(), "x", 1, 0), 1);
  for (const Fd& client : clients) EXPECT_EQ(read_end(client), 1);
}

TEST_F(ListenerTest, destroying_it_refuses_who_comes) {
  listener.reset();
  const Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::connect(fd.get(), address.get(), address.length()), -1);
}

// At the descriptor limit a client is refused at once, and accepting pauses instead of spinning.
TEST_F(ListenerTest, out_of_descriptors_it_refuses_politely_and_comes_back) {
  // A sanitizer needs a descriptor when it first encounters a type: let it encounter all of them
  // now.
  log::warn("net", "this test is about to use up all descriptors");
  const Fd before_the_limit = connect();
  loop.turn();
  ASSERT_EQ(handler.taken.size(), 1U);
  handler.taken.clear();
  listener->pause(true);
  listener->pause(false);
  const Fd first = connect();
  const Fd second = connect();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // The next descriptor would get the lowest free number.
  const int next = ::dup(0);
  ASSERT_GE(next, 0);
  ::close(next);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  loop.turn();
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_TRUE(handler.taken.empty());
  EXPECT_EQ(listener->at_limit().value(), 1U);
  EXPECT_LE(read_end(first), 0) << "turned away, not left hanging";
  loop.turn();
  EXPECT_TRUE(handler.taken.empty()) << "paused";
  loop.advance(Listener::pause_at_limit + milliseconds(20));
  EXPECT_EQ(handler.taken.size(), 1U) << "the second client";
}

}  // namespace
}  // namespace outrigger::net
