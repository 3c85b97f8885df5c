#pragma once

// What has arrived of a request's body and is held here: all of it while there is no upstream
// stream to take it, and a copy of it afterwards while another try may need it. Part of an
// exchange; the worker's thread.
//
//   arrived(bytes)         a piece has come; then one of
//   hold(piece)            no stream yet; beyond(limit) says when the caller has to wait
//   sent(keep, limit)      all that is held has been sent: it stays as a copy, or goes
//   copy(piece, limit)     a piece that was sent at once
//   whole()                all that has come so far is here, so that another try can begin

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "net/buffer.h"

namespace outrigger::proxy {

// Bytes that the requests of one downstream connection hold together; small, since there is one in
// each idle connection too.
struct HeldBodies {
  // Copies that would bring it beyond this are not kept: one connection that nobody vouches for
  // must not cost much, however many streams it has.
  static constexpr std::size_t copies_max = 1024 * 1024;
  static constexpr std::size_t trusted_copies_max = 16 * copies_max;

  std::uint32_t bytes = 0;
};

class RequestBody {
 public:
  // `share`: of its connection, which holds `most` at the most.
  RequestBody(net::BufferPool& pool, HeldBodies& share, std::size_t most)
      : held_(pool), share_(share), share_max_(most) {}
  RequestBody(const RequestBody&) = delete;
  RequestBody& operator=(const RequestBody&) = delete;
  ~RequestBody() { clear(); }

  std::string_view view() const { return held_.view(); }
  bool empty() const { return held_.empty(); }
  // Of all that has come, held or not.
  std::uint64_t received() const { return received_; }
  bool whole() const { return held_.size() == received_; }
  bool beyond(std::size_t limit) const { return held_.size() > limit || !has_room(0); }

  void arrived(std::size_t bytes) { received_ += bytes; }
  void hold(std::string_view piece) { append(piece); }
  // False when a copy was wanted and could not be kept.
  bool sent(bool keep, std::size_t limit) {
    const bool room = !beyond(limit);
    if (!keep || !room) clear();
    copying_ = keep && room;
    return copying_ || !keep;
  }
  // The same for a piece that goes straight through.
  bool copy(std::string_view piece, std::size_t limit) {
    if (!copying_) return true;
    if (held_.size() + piece.size() <= limit && has_room(piece.size())) {
      append(piece);
      return true;
    }
    clear();
    return false;
  }
  // Nothing of it is needed any more.
  void clear() {
    copying_ = false;
    if (held_.capacity() == 0) return;  // its connection may be gone
    share_.bytes -= static_cast<std::uint32_t>(held_.capacity());
    held_.clear();
  }

 private:
  bool has_room(std::size_t more) const { return share_.bytes + more <= share_max_; }
  void append(std::string_view piece) {
    const std::size_t before = held_.capacity();
    held_.append(piece);
    share_.bytes += static_cast<std::uint32_t>(held_.capacity() - before);
  }

  net::Buffer held_;
  HeldBodies& share_;
  const std::size_t share_max_;
  std::uint64_t received_ = 0;
  bool copying_ = false;  // a stream takes the pieces, and a copy of each is kept
};

}  // namespace outrigger::proxy
