#pragma once

// Sees every byte of an HTTP/2 connection before nghttp2 does and judges the nine-byte frame
// headers, in this one place: floods, frames for closed streams, stream IDs that go backwards,
// frames larger than agreed. Knows frames, not fields; what is inside a frame is left to nghttp2
// and the session. Owned by its session; no I/O, no clock, no allocation.
//
// For each feed: begin_feed(), then repeatedly
//   take_header(bytes)            until header_whole(); the header may come in pieces
//   judge(what the session knows) pass: the header goes to nghttp2, and so does the payload
//                                 drop: neither does; hold: put_back(), it comes again next feed
//                                 fail: the connection ends with this code
//   take_payload(bytes)           until payload_left() is 0
//
// RFC 9113 section 5.1 on frames for closed streams: after END_STREAM from the peer they are a
// connection error, STREAM_CLOSED; after the peer's own RST_STREAM, an error of the stream (netty
// sends what it had queued). A stream that this side has reset is different, since the peer may not
// know yet: its frames are ignored. Streams that were reset are remembered for a while; older ones
// are treated as reset by this side.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/codec.h"

namespace outrigger::http {

// RFC 9113 section 7.
enum class H2Error : std::uint32_t {
  no_error = 0x0,
  protocol_error = 0x1,
  internal_error = 0x2,
  flow_control_error = 0x3,
  settings_timeout = 0x4,
  stream_closed = 0x5,
  frame_size_error = 0x6,
  refused_stream = 0x7,
  cancel = 0x8,
  compression_error = 0x9,
  connect_error = 0xa,
  enhance_your_calm = 0xb,
};

enum class H2FrameType : std::uint8_t {
  data = 0,
  headers = 1,
  priority = 2,
  rst_stream = 3,
  settings = 4,
  push_promise = 5,
  ping = 6,
  goaway = 7,
  window_update = 8,
  continuation = 9,
};

struct H2FrameHeader {
  static constexpr std::size_t size = 9;
  static constexpr std::uint8_t end_stream = 0x1;  // and ACK
  static constexpr std::uint8_t ack = 0x1;
  static constexpr std::uint8_t end_headers = 0x4;
  static constexpr std::uint8_t padded = 0x8;
  static constexpr std::uint8_t priority = 0x20;

  std::uint32_t length = 0;
  H2FrameType type = H2FrameType::data;
  std::uint8_t flags = 0;
  std::uint32_t stream = 0;

  bool has(std::uint8_t flag) const { return (flags & flag) != 0; }
};

// A burst of so many, then so many a second.
class TokenBucket {
 public:
  TokenBucket(std::size_t burst, std::size_t rate)
      : burst_(burst * 1000), rate_(rate), tokens_(burst * 1000) {}
  // False when there is none left.
  bool take(std::uint64_t now_ms);

 private:
  std::uint64_t burst_;  // in thousandths, as the tokens
  std::uint64_t rate_;
  std::uint64_t tokens_;
  std::uint64_t last_ms_ = 0;
};

class H2FrameScanner {
 public:
  // The largest frame we accept: the default, which we never raise.
  static constexpr std::uint32_t frame_max = 16384;

  enum class Action : std::uint8_t { pass, drop, hold, fail };
  struct Verdict {
    Action action = Action::pass;
    H2Error code = H2Error::no_error;
    StreamEnd reason = StreamEnd::protocol_error;
    bool odd = false;            // tolerated, but worth counting
    bool stream_closed = false;  // answered by RST_STREAM with that code
  };

  // `server`: the peer is a client; its magic is expected first.
  H2FrameScanner(bool server, const CodecLimits& limits);

  // Checks the client's magic; true while `bytes` matches. Consumes the part that belongs to it.
  bool take_magic(std::string_view& bytes);
  bool magic_whole() const { return magic_left_ == 0; }

  void begin_feed() { new_streams_ = 0; }

  // Takes the missing bytes of the next frame header; returns how many it took.
  std::size_t take_header(std::string_view bytes);
  bool header_whole() const { return held_size_ == H2FrameHeader::size; }
  const H2FrameHeader& header() const { return header_; }
  // Of the header judged last.
  std::string_view header_bytes() const { return {held_.data(), held_.size()}; }
  // A server's first bytes are those of an HTTP/1 response.
  bool met_http1() const { return header_bytes().starts_with("HTTP/1."); }
  // Undoes the last take_header(), after `hold`.
  void put_back(std::size_t size) { held_size_ = static_cast<std::uint8_t>(held_size_ - size); }

  // What the session knows about the frame's stream: whether it exists (still, or with our
  // RST_STREAM pending), and how many bytes the peer may send on it.
  struct StreamView {
    bool open = false;
    std::int64_t receive_window = 0;
  };
  // REQUIRES: header_whole()
  Verdict judge(StreamView stream, std::uint64_t now_ms);

  bool in_payload() const { return in_payload_; }
  std::size_t payload_left() const { return payload_left_; }
  bool dropping() const { return dropping_; }
  // REQUIRES: in_payload(), at most payload_left() bytes. Only a dropped frame can fail here.
  Verdict take_payload(std::string_view bytes);

  // Reported by the session.
  void stream_opened(std::uint32_t id);  // ours, as a client
  void data_sent() { ++data_sent_; }
  void ping_sent() { ++pings_out_; }
  void reset_sent(std::uint32_t id);
  // Streams above this one are ignored from now on.
  void goaway_sent(std::uint32_t last_stream) {
    if (server_) last_accepted_ = last_stream;
  }
  // A DATA frame without END_STREAM is complete; `any`: it was more than padding.
  Verdict data_seen(bool any);

  // A head has begun and is not complete.
  bool in_head() const;
  // HEADERS and DATA frames that carried something.
  std::uint64_t message_frames() const { return heads_received_ + data_received_; }
  // The highest stream that the peer (or we, as a client) has opened.
  std::uint32_t highest_stream() const { return highest_; }

 private:
  Verdict judge_frame(StreamView stream, std::uint64_t now_ms);
  Verdict judge_data(StreamView stream);
  Verdict judge_headers(StreamView stream);
  Verdict judge_continuation();
  Verdict judge_settings(std::uint64_t now_ms);
  Verdict judge_ping(std::uint64_t now_ms);
  Verdict judge_closed() const;
  Verdict count_empty();
  Verdict count_churn();
  bool is_idle(std::uint32_t id) const;
  bool was_skipped(std::uint32_t id) const;
  bool may_be_late(std::uint32_t id) const;
  bool was_reset(std::uint32_t slot) const;
  void remember_reset(std::uint32_t slot);

  const bool server_;
  const CodecLimits& limits_;

  // The current frame.
  std::array<char, H2FrameHeader::size> held_{};
  std::uint8_t held_size_ = 0;
  std::uint8_t magic_left_;
  bool in_payload_ = false;
  bool dropping_ = false;
  bool settings_seen_ = false;
  H2FrameHeader header_;
  std::size_t payload_left_ = 0;
  std::uint32_t dependency_ = 0;  // of a PRIORITY frame, as it arrives

  // The current block: its stream, or 0.
  std::uint32_t block_stream_ = 0;
  std::size_t continuations_ = 0;

  // Stream IDs. Skipped ones were never opened; the oldest are forgotten.
  struct Range {
    std::uint32_t first = 0, last = 0;
  };
  static constexpr std::size_t skipped_max = 4;
  static constexpr std::size_t resets_max = 32;
  std::uint32_t highest_ = 0;
  std::uint32_t last_accepted_ = 0x7fffffff;
  std::uint32_t reset_forgotten_ = 0;  // all streams up to here may have been reset
  std::array<Range, skipped_max> skipped_{};
  static constexpr std::uint32_t by_peer = 0x80000000;  // in a slot, beside the stream's id
  std::array<std::uint32_t, resets_max> resets_{};
  std::uint8_t next_skipped_ = 0;
  std::uint8_t next_reset_ = 0;

  // Floods.
  TokenBucket pings_;  // and other control frames that no data justifies
  TokenBucket resets_received_;
  std::size_t new_streams_ = 0;
  std::size_t empty_in_row_ = 0;
  std::uint64_t streams_ = 0;
  std::uint64_t data_sent_ = 0;
  std::uint64_t data_received_ = 0;  // frames that carried something
  std::uint64_t heads_received_ = 0;
  std::uint64_t pings_on_data_ = 0;
  std::uint64_t pings_out_ = 0;  // ours, not acknowledged yet
  std::uint64_t window_updates_ = 0;
  std::uint64_t churn_ = 0;  // priorities and frames of unknown types
};

}  // namespace outrigger::http
