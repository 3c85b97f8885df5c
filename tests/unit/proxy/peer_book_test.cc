#include <gtest/gtest.h>

#include <vector>

#include "proxy/http_connection.h"
#include "proxy/peer.h"

namespace outrigger::proxy {
namespace {

TEST(PeerBook, connections_of_one_peer_share_it) {
  PeerBook book;
  int filled = 0;
  const auto hold = [&](const std::string& key) {
    return book.hold(key, [&](Peer& peer) {
      ++filled;
      peer.address = key;
    });
  };
  const PeerBook::Hold first = hold("10.0.0.1");
  const PeerBook::Hold second = hold("10.0.0.1");
  const PeerBook::Hold other = hold("10.0.0.2");
  EXPECT_EQ(&*first, &*second);
  EXPECT_NE(&*first, &*other);
  EXPECT_EQ(other->address, "10.0.0.2");
  EXPECT_EQ(filled, 2);
}

TEST(PeerBook, only_so_many_are_remembered_without_a_connection) {
  PeerBook book;
  const auto nothing = [](Peer&) {};
  std::vector<PeerBook::Hold> holds;
  for (int i = 0; i < 1000; ++i) holds.push_back(book.hold(std::to_string(i), nothing));
  EXPECT_EQ(book.size(), 1000U);
  holds.clear();
  EXPECT_EQ(book.size(), PeerBook::idle_max);
  // A remembered peer counts as in use again, and one more may be remembered after it.
  for (int i = 0; i < 1000; ++i) holds.push_back(book.hold(std::to_string(i), nothing));
  EXPECT_EQ(book.size(), 1000U);
  holds.clear();
  EXPECT_EQ(book.size(), PeerBook::idle_max);
}

TEST(PeerBook, a_connection_is_small) {
  EXPECT_LE(sizeof(HttpConnection), 200U);
}

}  // namespace
}  // namespace outrigger::proxy
