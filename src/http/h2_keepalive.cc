#include "http/h2_keepalive.h"

#include <algorithm>
#include <utility>

namespace outrigger::http {

H2Keepalive::H2Keepalive(Towards towards, net::Connection& connection, Codec& codec,
                         const KeepaliveTimes& times, CodecCounters& counters)
    : towards_(towards),
      connection_(connection),
      codec_(codec),
      times_(times),
      counters_(counters),
      timer_(net::Timer::to<&H2Keepalive::look>(*this)),
      heard_(connection.loop().now()) {}

void H2Keepalive::stream_opened() {
  if (timer_.armed() || times_.after <= Duration::zero()) return;
  // What arrived while no stream was open does not matter.
  heard();
  connection_.loop().timers().arm(timer_, times_.after);
}

TimePoint H2Keepalive::due() const {
  const TimePoint quiet = heard_ + times_.after;
  const bool scarce =
      towards_ == Towards::server && ever_asked_ && messages_ == codec_.message_frames();
  return scarce ? std::max(quiet, asked_ + times_.again) : quiet;
}

void H2Keepalive::look() {
  // The next stream starts over.
  if (!connection_.open() || codec_.open_streams() == 0) return;
  const TimePoint now = connection_.loop().now();
  if (state_ == State::asked) return give_up_or_wait();
  if (due() <= now) return ask();
  connection_.loop().timers().arm(timer_, due() - now);
}

void H2Keepalive::ask() {
  state_ = State::asked;
  ever_asked_ = true;
  asked_ = connection_.loop().now();
  delivered_ = delivered();
  messages_ = codec_.message_frames();
  codec_.ping();
  counters_.keepalive_pings.add();
  connection_.loop().timers().arm(timer_, times_.timeout);
}

// What the peer's kernel has acknowledged.
std::uint64_t H2Keepalive::delivered() const {
  return connection_.bytes_written() - connection_.channel().unacknowledged();
}

void H2Keepalive::give_up_or_wait() {
  // A PING behind megabytes on a slow link is still on its way as long as they make progress.
  const bool on_its_way = connection_.unsent() + connection_.channel().unacknowledged() > 0;
  const std::uint64_t before = std::exchange(delivered_, delivered());
  if (on_its_way && delivered_ > before) {
    return connection_.loop().timers().arm(timer_, times_.timeout);
  }
  counters_.keepalive_timeouts.add();
  connection_.kill(true);
}

}  // namespace outrigger::http
