#pragma once

// Finds out whether an HTTP/2 peer that is silent while streams are open is still there: it sends a
// PING and, when no byte arrives for too long, ends the connection, and its streams with it. Owned,
// beside the codec, by the owner of the connection; the worker's thread.
//
//   keepalive.stream_opened()   the first of several streams; arms the timer
//   keepalive.heard()           bytes have arrived: any of them proves that the peer is alive
//
// A connection without streams has no timer armed. When the deadline moves, the timer stays: it
// checks again when it fires.
//
// PINGs to servers are limited. gRPC servers count a PING that arrives within five minutes of the
// previous one without HEADERS or DATA in between, and end the connection at the third
// ("too_many_pings"). A stream may be silent for hours, so after one acknowledgement the next PING
// waits for `again`, or for the server's next HEADERS or DATA.

#include <cstdint>

#include "base/time.h"
#include "http/codec.h"
#include "net/connection.h"

namespace outrigger::http {

// As config::Http2Ping, which explains them to users.
struct KeepaliveTimes {
  Duration after = seconds(30);    // silence before a PING; zero: no PINGs
  Duration timeout = seconds(10);  // to wait for the acknowledgement
  Duration again = seconds(310);   // as a client, while the server sends only acknowledgements
};

class H2Keepalive {
 public:
  enum class Towards : std::uint8_t { client, server };

  H2Keepalive(Towards towards, net::Connection& connection, Codec& codec,
              const KeepaliveTimes& times, CodecCounters& counters);

  void heard() {
    heard_ = connection_.loop().now();
    state_ = State::quiet;
  }
  void stream_opened();

  // A drain sends a PING of its own, and its acknowledgement is waited for until then; the latest
  // possible time when there is none to wait for.
  TimePoint last_word_by() const { return last_word_by_; }
  void drain_began() { last_word_by_ = connection_.loop().now() + times_.timeout; }
  void drain_has_waited() { last_word_by_ = TimePoint::max(); }

 private:
  enum class State : std::uint8_t { quiet, asked };

  void look();
  void ask();
  void give_up_or_wait();
  TimePoint due() const;
  std::uint64_t delivered() const;

  const Towards towards_;
  State state_ = State::quiet;
  net::Connection& connection_;
  Codec& codec_;
  const KeepaliveTimes times_;
  CodecCounters& counters_;
  net::Timer timer_;
  TimePoint heard_;
  TimePoint asked_{};
  TimePoint last_word_by_ = TimePoint::max();
  bool ever_asked_ = false;
  std::uint64_t delivered_ = 0;  // to the peer's kernel, when the PING was sent
  std::uint64_t messages_ = 0;   // Codec::message_frames(), when the PING was sent
};

}  // namespace outrigger::http
