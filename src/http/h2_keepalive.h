#pragma once

// Finds out whether an HTTP/2 peer that says nothing while streams are open is still there: a PING,
// and when no byte comes for too long, the end of the connection, whose streams end with it. Owned
// beside the codec by whoever owns the connection; the worker's thread.
//
//   keepalive.stream_opened()   the first stream of several; arms the timer
//   keepalive.heard()           bytes have come: each of them proves that the peer lives
//
// A connection without streams has no timer armed. A deadline that moves does not move it: the
// timer looks again when it fires.
//
// Towards servers PINGs are scarce. Those of gRPC count a PING that comes within five minutes of
// the one before, with nothing sent in between that a client would have waited for, and end the
// connection at the third ("too_many_pings"). A stream may be silent for hours, so that after one
// answer the next PING waits for `again`, or for the server's next HEADERS or DATA.

#include <cstdint>

#include "base/time.h"
#include "http/codec.h"
#include "net/connection.h"

namespace outrigger::http {

// As config::Http2Ping, which says what they mean to a user.
struct KeepaliveTimes {
  Duration after = seconds(30);    // nothing heard for so long; zero: never ask
  Duration timeout = seconds(10);  // for the answer
  Duration again = seconds(310);   // towards a server, as long as only answers come
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

  // A drain sends a PING of its own, whose answer is waited for until then; TimePoint::max() when
  // none is.
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
  std::uint64_t delivered_ = 0;  // to the peer's kernel, when it was asked
  std::uint64_t messages_ = 0;   // Codec::message_frames(), when it was asked
};

}  // namespace outrigger::http
