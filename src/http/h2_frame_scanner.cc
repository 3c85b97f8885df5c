#include "http/h2_frame_scanner.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace outrigger::http {
namespace {

constexpr std::string_view magic = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

using Verdict = H2FrameScanner::Verdict;
using Action = H2FrameScanner::Action;

constexpr Verdict pass{};
constexpr Verdict drop{.action = Action::drop};

constexpr Verdict fail(H2Error code) {
  return {.action = Action::fail, .code = code, .reason = StreamEnd::protocol_error};
}

constexpr Verdict wrong_version() {
  return {
      .action = Action::fail, .code = H2Error::protocol_error, .reason = StreamEnd::wrong_version};
}

constexpr Verdict flood() {
  return {.action = Action::fail, .code = H2Error::enhance_your_calm, .reason = StreamEnd::flood};
}

std::uint32_t big_endian(const char* from, std::size_t size) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < size; ++i) {
    value = value << 8 | static_cast<unsigned char>(from[i]);
  }
  return value;
}

}  // namespace

bool TokenBucket::take(std::uint64_t now_ms) {
  if (now_ms > last_ms_) {
    // A bucket is full again after burst / rate seconds; it never holds more.
    const std::uint64_t elapsed = std::min<std::uint64_t>(now_ms - last_ms_, 1'000'000'000);
    tokens_ = std::min(burst_, tokens_ + elapsed * rate_);
    last_ms_ = now_ms;
  }
  if (tokens_ < 1000) return false;
  tokens_ -= 1000;
  return true;
}

H2FrameScanner::H2FrameScanner(bool server, const CodecLimits& limits)
    : server_(server),
      limits_(limits),
      magic_left_(server ? static_cast<std::uint8_t>(magic.size()) : 0),
      pings_(limits.ping_burst, limits.ping_rate),
      resets_received_(limits.reset_burst, limits.reset_rate) {}

bool H2FrameScanner::take_magic(std::string_view& bytes) {
  const std::string_view expected = magic.substr(magic.size() - magic_left_);
  const std::size_t size = std::min(bytes.size(), expected.size());
  if (bytes.substr(0, size) != expected.substr(0, size)) return false;
  magic_left_ = static_cast<std::uint8_t>(magic_left_ - size);
  bytes.remove_prefix(size);
  return true;
}

std::size_t H2FrameScanner::take_header(std::string_view bytes) {
  check(!in_payload_, "a frame header inside a payload");
  const std::size_t size = std::min(bytes.size(), held_.size() - held_size_);
  if (size == 0) return 0;
  std::memcpy(held_.data() + held_size_, bytes.data(), size);
  held_size_ = static_cast<std::uint8_t>(held_size_ + size);
  if (header_whole()) {
    header_.length = big_endian(held_.data(), 3);
    header_.type = static_cast<H2FrameType>(held_[3]);
    header_.flags = static_cast<std::uint8_t>(held_[4]);
    header_.stream = big_endian(held_.data() + 5, 4) & 0x7fffffff;
  }
  return size;
}

Verdict H2FrameScanner::judge(StreamView stream, std::uint64_t now_ms) {
  check(header_whole(), "judging half a frame header");
  const Verdict verdict = judge_frame(stream, now_ms);
  if (verdict.action == Action::hold || verdict.action == Action::fail) return verdict;
  held_size_ = 0;
  payload_left_ = header_.length;
  in_payload_ = payload_left_ > 0;
  dropping_ = verdict.action == Action::drop;
  dependency_ = 0;
  return verdict;
}

Verdict H2FrameScanner::judge_frame(StreamView stream, std::uint64_t now_ms) {
  using enum H2FrameType;
  const H2FrameHeader& h = header_;
  if (!settings_seen_) {
    if (met_http1()) return wrong_version();
    if (h.type != settings || h.has(H2FrameHeader::ack)) return fail(H2Error::protocol_error);
    settings_seen_ = true;
  }
  if (h.length > frame_max) return fail(H2Error::frame_size_error);
  if (h.type == continuation || block_stream_ != 0) return judge_continuation();

  switch (h.type) {
    case data:
      return judge_data(stream);
    case headers:
      return judge_headers(stream);
    case priority:
      if (h.stream == 0) return fail(H2Error::protocol_error);
      if (h.length != 5) return fail(H2Error::frame_size_error);
      return count_churn();
    case rst_stream:
      if (h.stream == 0 || is_idle(h.stream)) return fail(H2Error::protocol_error);
      if (h.length != 4) return fail(H2Error::frame_size_error);
      if (!resets_received_.take(now_ms)) return flood();
      remember_reset(h.stream | by_peer);
      return stream.open ? pass : drop;
    case settings:
      return judge_settings(now_ms);
    case push_promise:
      // We never accept pushes, and a server learns that before it sees the first request.
      return fail(H2Error::protocol_error);
    case ping:
      if (h.stream != 0) return fail(H2Error::protocol_error);
      if (h.length != 8) return fail(H2Error::frame_size_error);
      return judge_ping(now_ms);
    case goaway:
      if (h.stream != 0) return fail(H2Error::protocol_error);
      if (h.length < 8) return fail(H2Error::frame_size_error);
      return pings_.take(now_ms) ? pass : flood();
    case window_update:
      if (h.stream != 0 && is_idle(h.stream)) return fail(H2Error::protocol_error);
      if (h.length != 4) return fail(H2Error::frame_size_error);
      if (++window_updates_ > 5 + 2 * (streams_ + 10 * data_sent_)) return flood();
      return h.stream == 0 || stream.open ? pass : drop;
    default:
      return count_churn();
  }
}

Verdict H2FrameScanner::judge_data(StreamView stream) {
  const H2FrameHeader& h = header_;
  if (h.stream == 0 || is_idle(h.stream)) return fail(H2Error::protocol_error);
  if (h.has(H2FrameHeader::end_stream)) {
    empty_in_row_ = 0;
    if (h.length > 0) ++data_received_;
  } else if (h.length == 0) {
    if (const Verdict v = count_empty(); v.action == Action::fail) return v;
  }  // else data_seen() tells
  if (!stream.open) return judge_closed();
  // nghttp2 would only send RST_STREAM; a peer that ignores windows gets no second chance.
  if (h.length > stream.receive_window) return fail(H2Error::flow_control_error);
  return pass;
}

Verdict H2FrameScanner::judge_headers(StreamView stream) {
  const H2FrameHeader& h = header_;
  if (h.stream == 0 || h.stream % 2 == 0) return fail(H2Error::protocol_error);
  if (!server_ && h.stream > highest_) return fail(H2Error::protocol_error);
  const bool opens = server_ && h.stream > highest_;
  if (opens && new_streams_ >= limits_.new_streams_per_feed) return {.action = Action::hold};
  Verdict verdict = pass;
  if (opens) {
    ++new_streams_;
    ++streams_;
    const std::uint32_t next = highest_ == 0 ? 1 : highest_ + 2;
    if (h.stream > next) {
      skipped_[next_skipped_] = {next, h.stream - 2};
      next_skipped_ = (next_skipped_ + 1) % skipped_max;
    }
    highest_ = h.stream;
  } else if (!stream.open) {
    verdict = judge_closed();
    if (verdict.action == Action::fail) return verdict;
  }
  if (h.length == 0 && !h.has(H2FrameHeader::end_stream)) {
    if (const Verdict v = count_empty(); v.action == Action::fail) return v;
  } else {
    empty_in_row_ = 0;
  }
  ++heads_received_;
  if (!h.has(H2FrameHeader::end_headers)) {
    block_stream_ = h.stream;
    continuations_ = 0;
  }
  return verdict;
}

Verdict H2FrameScanner::judge_continuation() {
  const H2FrameHeader& h = header_;
  // Nothing else may appear inside a block (RFC 9113 section 6.10), and CONTINUATION only inside
  // one.
  if (h.type != H2FrameType::continuation || block_stream_ == 0 || h.stream != block_stream_) {
    return fail(H2Error::protocol_error);
  }
  if (++continuations_ > limits_.continuations) return flood();
  if (h.has(H2FrameHeader::end_headers)) {
    block_stream_ = 0;
  } else if (h.length == 0) {
    return count_empty();
  }
  if (h.length > 0) empty_in_row_ = 0;
  return pass;
}

// A peer that measures bandwidth sends a PING per round trip while data flows (as gRPC does), so
// each DATA frame, in either direction, justifies one. Acknowledgements of our own PINGs are free.
Verdict H2FrameScanner::judge_ping(std::uint64_t now_ms) {
  if (header_.has(H2FrameHeader::ack) && pings_out_ > 0) {
    --pings_out_;
    return pass;
  }
  if (pings_on_data_ < data_sent_ + data_received_) {
    ++pings_on_data_;
    return pass;
  }
  return pings_.take(now_ms) ? pass : flood();
}

Verdict H2FrameScanner::judge_settings(std::uint64_t now_ms) {
  const H2FrameHeader& h = header_;
  if (h.stream != 0) return fail(H2Error::protocol_error);
  if (h.length % 6 != 0 || (h.has(H2FrameHeader::ack) && h.length != 0)) {
    return fail(H2Error::frame_size_error);
  }
  if (h.length / 6 > limits_.settings_per_frame) return flood();
  // nghttp2 ends the connection on an acknowledgement of SETTINGS that we have not sent.
  if (h.has(H2FrameHeader::ack)) return pass;
  return pings_.take(now_ms) ? pass : flood();
}

// HEADERS or DATA on a stream that is not open.
Verdict H2FrameScanner::judge_closed() const {
  if (may_be_late(header_.stream)) return {.odd = true};
  if (was_reset(header_.stream | by_peer)) return {.odd = true, .stream_closed = true};
  // "An endpoint that receives an unexpected stream identifier MUST respond with a connection error
  // of type PROTOCOL_ERROR" (section 5.1.1), as opposed to one that was open once.
  const bool unexpected = header_.type == H2FrameType::headers && was_skipped(header_.stream);
  return fail(unexpected ? H2Error::protocol_error : H2Error::stream_closed);
}

Verdict H2FrameScanner::take_payload(std::string_view bytes) {
  check(in_payload_ && bytes.size() <= payload_left_, "more payload than the frame has");
  if (dropping_ && header_.type == H2FrameType::priority) {
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const std::size_t at = header_.length - payload_left_ + i;
      if (at < 4) dependency_ = dependency_ << 8 | static_cast<unsigned char>(bytes[i]);
    }
  }
  payload_left_ -= bytes.size();
  if (payload_left_ > 0) return pass;
  in_payload_ = false;
  if (dropping_ && header_.type == H2FrameType::priority &&
      (dependency_ & 0x7fffffff) == header_.stream) {
    return fail(H2Error::protocol_error);  // depends on itself (RFC 7540 section 5.3.1)
  }
  return pass;
}

void H2FrameScanner::stream_opened(std::uint32_t id) {
  ++streams_;
  highest_ = std::max(highest_, id);
}

void H2FrameScanner::reset_sent(std::uint32_t id) {
  remember_reset(id);
}

void H2FrameScanner::remember_reset(std::uint32_t slot) {
  std::uint32_t& oldest = resets_[next_reset_];
  reset_forgotten_ = std::max(reset_forgotten_, oldest & ~by_peer);
  oldest = slot;
  next_reset_ = (next_reset_ + 1) % resets_max;
}

Verdict H2FrameScanner::data_seen(bool any) {
  if (!any) return count_empty();
  empty_in_row_ = 0;
  ++data_received_;
  return pass;
}

bool H2FrameScanner::in_head() const {
  if (!magic_whole() || !settings_seen_) return held_size_ > 0 || magic_left_ < magic.size();
  return block_stream_ != 0 || (in_payload_ && header_.type == H2FrameType::headers);
}

Verdict H2FrameScanner::count_empty() {
  return ++empty_in_row_ > limits_.empty_frames ? flood() : pass;
}

// Frames that mean nothing to us: priorities and unknown types.
Verdict H2FrameScanner::count_churn() {
  return ++churn_ > 100 * (1 + streams_) ? flood() : drop;
}

bool H2FrameScanner::is_idle(std::uint32_t id) const {
  return id % 2 == 0 || id > highest_;
}

bool H2FrameScanner::was_skipped(std::uint32_t id) const {
  return std::any_of(skipped_.begin(), skipped_.end(),
                     [id](const Range& r) { return id >= r.first && id <= r.last; });
}

bool H2FrameScanner::may_be_late(std::uint32_t id) const {
  return id <= reset_forgotten_ || id > last_accepted_ || was_reset(id);
}

bool H2FrameScanner::was_reset(std::uint32_t slot) const {
  return std::find(resets_.begin(), resets_.end(), slot) != resets_.end();
}

}  // namespace outrigger::http
