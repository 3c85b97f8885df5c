#include "http/h2_session.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

#include "base/check.h"

namespace outrigger::http {
namespace {

// What RST_STREAM says about the peer's reasons.
StreamEnd reason_of(std::uint32_t code) {
  switch (static_cast<H2Error>(code)) {
    case H2Error::refused_stream:
      return StreamEnd::refused;
    case H2Error::cancel:
      return StreamEnd::cancelled;
    default:
      return StreamEnd::peer_reset;
  }
}

// The stream that a priority depends on.
std::uint32_t depends_on(std::string_view priority) {
  std::uint32_t id = 0;
  for (const char c : priority) id = id << 8 | static_cast<unsigned char>(c);
  return id & 0x7fffffff;
}

}  // namespace

H2Session::H2Session(bool server, const Parts& parts)
    : server_(server),
      wire_(parts.wire),
      limits_(parts.limits),
      counters_(parts.counters),
      blocks_(parts.blocks),
      scanner_(server, limits_),
      reader_(limits_),
      block_arena_(parts.blocks),
      block_head_(block_arena_),
      block_trailers_(block_arena_),
      buffers_(parts.buffers),
      memory_(parts.memory),
      own_resets_(limits_.own_reset_burst, limits_.own_reset_rate),
      glitches_(limits_.glitch_burst, limits_.glitch_rate),
      encoder_(parts.memory),
      decoder_(parts.memory),
      block_(parts.buffers),
      library_(make_h2_session(server, *this, parts.memory, stream_table_)) {}

H2Session::~H2Session() {
  // No callbacks: the owner has called connection_lost() or wants none.
  while (!streams_.empty()) free_stream(streams_.front());
}

void H2Session::rest() {
  if (stream_count_ == 0) memory_.rest(stream_table_);
}

// ---- Input --------------------------------------------------------------------------------------

std::size_t H2Session::feed(std::string_view bytes, std::uint64_t now_ms) {
  now_ms_ = now_ms;
  if (phase_.is(H2Phase::over)) return bytes.size();
  std::string_view rest = bytes;
  scanner_.begin_feed();
  if (!scanner_.magic_whole() && !scanner_.take_magic(rest)) {
    doom(H2Error::protocol_error, StreamEnd::protocol_error);
  }
  while (!rest.empty() && running() && step(rest)) {
  }
  if (doom_) terminate();
  if (phase_.is(H2Phase::over)) return bytes.size();
  finish_if_done();
  if (!wire_.output().empty() || nghttp2_session_want_write(library())) schedule();
  return bytes.size() - rest.size();
}

// One frame header and as much of its payload as is available. False: no more in this feed.
bool H2Session::step(std::string_view& rest) {
  const char* begin = rest.data();
  std::size_t header = 0;
  if (!scanner_.in_payload()) {
    header = scanner_.take_header(rest);
    rest.remove_prefix(header);
    if (!scanner_.header_whole()) return true;
    const H2FrameScanner::Verdict verdict = scanner_.judge(view(scanner_.header().stream), now_ms_);
    if (verdict.action == H2FrameScanner::Action::hold) {
      scanner_.put_back(header);
      rest = {begin, header + rest.size()};
      wire_.redeliver();
      return false;
    }
    if (!accept(verdict)) return false;
    data_in_frame_ = false;
    if (scanner_.header().type == H2FrameType::headers) block_headers_ = scanner_.header();
  }
  const H2FrameType type = scanner_.header().type;
  const bool pass = !scanner_.dropping();
  const std::size_t size = std::min(rest.size(), scanner_.payload_left());
  if (size > 0) {
    const std::string_view payload = rest.substr(0, size);
    rest.remove_prefix(size);
    if (!accept(scanner_.take_payload(payload))) return false;
  }
  if (!pass) return true;
  if (type == H2FrameType::headers || type == H2FrameType::continuation) {
    take_block({rest.data() - size, size});
    return true;
  }
  if (header > 0 && header < H2FrameHeader::size) {
    // The header arrived in pieces: its first part is only in the scanner's memory.
    receive(scanner_.header_bytes());
    header = 0;
    begin = rest.data() - size;
    if (size == 0 || !running()) return true;
  }
  receive({begin, header + size});
  return true;
}

H2FrameScanner::StreamView H2Session::view(std::uint32_t id) const {
  const auto signed_id = static_cast<std::int32_t>(id);
  if (id == 0 || find(signed_id) == nullptr) return {};
  if (scanner_.header().type != H2FrameType::data) return {.open = true};
  return {.open = true,
          .receive_window = nghttp2_session_get_stream_local_window_size(library(), signed_id)};
}

bool H2Session::accept(const H2FrameScanner::Verdict& verdict) {
  if (verdict.odd) glitch();
  if (verdict.stream_closed) {
    nghttp2_submit_rst_stream(library(), NGHTTP2_FLAG_NONE,
                              static_cast<std::int32_t>(scanner_.header().stream),
                              NGHTTP2_STREAM_CLOSED);
  }
  if (verdict.action != H2FrameScanner::Action::fail) return running();
  doom(verdict.code, verdict.reason);
  return false;
}

void H2Session::receive(std::string_view bytes) {
  event_ = {};
  feed_library(bytes);
  dispatch();
}

void H2Session::feed_library(std::string_view bytes) {
  const ssize_t taken = nghttp2_session_mem_recv(
      library(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  if (taken < 0) doom(H2Error::internal_error, StreamEnd::protocol_error);
}

// A piece of the payload of a HEADERS or CONTINUATION frame. A block that arrives in one piece is
// not copied.
void H2Session::take_block(std::string_view payload) {
  if (scanner_.in_payload()) return block_.append(payload);
  if (!block_.empty()) {
    block_.append(payload);
    payload = block_.view();
  }
  const H2FrameHeader& frame = scanner_.header();
  if (frame.type == H2FrameType::headers && !unpad(payload)) return;
  if (!frame.has(H2FrameHeader::end_headers)) {
    if (block_.empty()) block_.append(payload);
    return;
  }
  block_whole(payload);
  block_.clear();
}

// Removes what may surround a HEADERS frame's part of the block: padding, and a priority (RFC 9113
// section 6.2), which is obsolete. False: the connection ends.
bool H2Session::unpad(std::string_view& payload) {
  const bool padded = block_headers_.has(H2FrameHeader::padded);
  const bool priority = block_headers_.has(H2FrameHeader::priority);
  const std::size_t front = (padded ? 1U : 0U) + (priority ? 5U : 0U);
  if (payload.size() < front) {
    doom(H2Error::frame_size_error, StreamEnd::protocol_error);
    return false;
  }
  const std::size_t back = padded ? static_cast<unsigned char>(payload[0]) : 0;
  const bool circular =
      server_ && priority && depends_on(payload.substr(front - 5, 4)) == block_headers_.stream;
  if (circular || back > payload.size() - front) {
    doom(H2Error::protocol_error, StreamEnd::protocol_error);
    return false;
  }
  payload = payload.substr(front, payload.size() - front - back);
  if (!block_.empty()) {
    block_.consume(front);
    block_.drop_back(back);
  }
  return true;
}

// nghttp2 tracks the stream's state and opens it, which tells whose fields these are.
void H2Session::block_whole(std::string_view block) {
  event_ = {};
  block_stream_ = nullptr;
  reader_.begin_discarding();
  const std::uint32_t id = block_headers_.stream;
  const std::array<std::uint8_t, H2FrameHeader::size> frame{
      0,
      0,
      0,
      static_cast<std::uint8_t>(H2FrameType::headers),
      static_cast<std::uint8_t>(H2FrameHeader::end_headers |
                                (block_headers_.flags & H2FrameHeader::end_stream)),
      static_cast<std::uint8_t>(id >> 24),
      static_cast<std::uint8_t>(id >> 16),
      static_cast<std::uint8_t>(id >> 8),
      static_cast<std::uint8_t>(id)};
  feed_library({reinterpret_cast<const char*>(frame.data()), frame.size()});
  if (!decode(block)) event_ = {};
  dispatch();
}

bool H2Session::decode(std::string_view block) {
  decoder_.begin(block);
  HpackField field;
  for (;;) {
    switch (decoder_.next(field)) {
      case HpackDecoder::Step::field:
        reader_.field(field.name, field.value);
        if (reader_.verdict() != H2HeadReader::Verdict::flood) break;
        doom(H2Error::enhance_your_calm, StreamEnd::flood);
        return false;
      case HpackDecoder::Step::end:
        if (reader_.twins() > 0) counters_.twins.add(reader_.twins());
        return true;
      case HpackDecoder::Step::malformed:
        doom(H2Error::compression_error, StreamEnd::protocol_error);
        return false;
    }
  }
}

// Reports what nghttp2 has made of one piece of input.
void H2Session::dispatch() {
  const Event event = std::exchange(event_, {});
  if (event.stream != nullptr) {
    H2Stream& stream = *event.stream;
    if (event.invalid) {
      fault(stream, H2Error::flow_control_error, StreamEnd::protocol_error);
    } else if (event.block) {
      block_received(stream, event.end);
    } else {
      data_received(stream, event.chunk, event.end);
    }
  }
  data_in_frame_ |= !event.chunk.empty();
  if (event.data && !event.end && scanner_.header().length > 0) {
    accept(scanner_.data_seen(data_in_frame_));
  }
  if (event.settings) settings_received();
  if (event.goaway) peer_retires();
  // Replies to control frames leave nghttp2 at once, so that its own GOAWAY never goes unnoticed.
  if (nghttp2_session_get_outbound_queue_size(library()) > 0) pump();
  if (!doom_) settle();
}

void H2Session::on_begin_headers(const nghttp2_frame& frame) {
  block_head_.clear();
  block_trailers_.release();
  block_arena_.reset();
  const bool opens = server_ && frame.headers.cat == NGHTTP2_HCAT_REQUEST;
  block_stream_ = opens ? peer_opened(frame.hd.stream_id) : find(frame.hd.stream_id);
  if (block_stream_ == nullptr || !(opens || block_stream_->held_by_user()) ||
      block_stream_->receive.is(H2Receive::ended)) {
    reader_.begin_discarding();
  } else if (block_stream_->receive.is(H2Receive::body)) {
    reader_.begin_trailers(block_trailers_, block_arena_);
  } else if (opens) {
    reader_.begin_request(*block_stream_->head);
  } else {
    reader_.begin_response(block_head_);
  }
}

void H2Session::on_data_chunk(std::int32_t id, std::string_view bytes) {
  event_.stream = find(id);
  event_.chunk = bytes;
}

void H2Session::on_frame_received(const nghttp2_frame& frame) {
  const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
      event_.stream = block_stream_;
      event_.block = true;
      event_.end = end;
      break;
    case NGHTTP2_DATA:
      event_.stream = find(frame.hd.stream_id);
      event_.data = true;
      event_.end = end;
      break;
    case NGHTTP2_SETTINGS:
      event_.settings = (frame.hd.flags & NGHTTP2_FLAG_ACK) == 0;
      for (std::size_t i = 0; event_.settings && i < frame.settings.niv; ++i) {
        const nghttp2_settings_entry& entry = frame.settings.iv[i];
        if (entry.settings_id == NGHTTP2_SETTINGS_HEADER_TABLE_SIZE)
          encoder_.peer_allows(entry.value);
      }
      break;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) pong_received(frame.ping.opaque_data);
      break;
    case NGHTTP2_GOAWAY:
      counters_.goaways_received.add();
      event_.goaway = true;
      break;
    case NGHTTP2_RST_STREAM:
      counters_.resets_received.add();
      break;
    default:
      break;
  }
}

void H2Session::pong_received(const std::uint8_t* opaque) {
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | opaque[i];
  if (value > answered_pings_ && value <= sent_pings_) {
    answered_pings_ = value;
  } else if (!ping_answered(value)) {
    counters_.glitches.add();
  }
}

// A window was increased beyond its maximum; nghttp2 has queued RST_STREAM. If the connection's
// window overflowed, GOAWAY follows anyway.
void H2Session::on_invalid_frame(const nghttp2_frame& frame) {
  H2Stream* stream = find(frame.hd.stream_id);
  if (stream == nullptr || stream->our_reset) return;
  stream->our_reset = true;
  event_.stream = stream;
  event_.invalid = true;
}

void H2Session::block_received(H2Stream& stream, bool end) {
  if (!stream.held_by_user() || reader_.verdict() == H2HeadReader::Verdict::flood) return;
  if (stream.receive.is(H2Receive::head)) {
    head_received(stream, end);
  } else if (stream.receive.is(H2Receive::body)) {
    trailers_received(stream, end);
  }
  block_head_.clear();
  block_trailers_.release();
  block_arena_.reset();
}

void H2Session::trailers_received(H2Stream& stream, bool end) {
  const H2HeadReader::Verdict verdict = reader_.finish();
  const bool short_body = stream.declared && *stream.declared != stream.received;
  if (verdict == H2HeadReader::Verdict::too_large) {
    counters_.too_large.add();
    return fault(stream, H2Error::enhance_your_calm, StreamEnd::too_large);
  }
  if (verdict != H2HeadReader::Verdict::ok || !end || short_body || stream.tunnel) {
    counters_.malformed.add();
    return fault(stream, H2Error::protocol_error, StreamEnd::protocol_error);
  }
  StreamSink& sink = *stream.sink;
  stream.receive.on(H2ReceiveEvent::end);
  received_end(stream);
  sink.on_trailers(block_trailers_);
}

void H2Session::data_received(H2Stream& stream, std::string_view bytes, bool end) {
  const std::int32_t id = stream.id;
  const bool wanted = stream.held_by_user() && stream.sink != nullptr && !stream.our_reset;
  if (wanted && (!bytes.empty() || end)) {
    stream.received += bytes.size();
    const bool misplaced =
        !stream.receive.is(H2Receive::body) || (stream.no_body && !bytes.empty());
    const bool wrong_length = stream.declared && (stream.received > *stream.declared ||
                                                  (end && stream.received < *stream.declared));
    if (misplaced || wrong_length) {
      counters_.malformed.add();
      fault(stream, H2Error::protocol_error, StreamEnd::protocol_error);
    } else {
      StreamSink& sink = *stream.sink;
      if (end) {
        stream.receive.on(H2ReceiveEvent::end);
        received_end(stream);
      }
      sink.on_data(bytes, end);
      // If the user has not paused the stream, the bytes may be replaced at once; otherwise they
      // keep the window closed.
      if (stream.read_paused) {
        if (stream.held_by_user()) {
          stream.unconsumed += bytes.size();
          parked_ += bytes.size();
        }
      } else if (!bytes.empty() && !end) {
        nghttp2_session_consume_stream(library(), id, bytes.size());
      }
    }
  }
  if (!bytes.empty()) give_back(bytes.size());
}

void H2Session::received_end(H2Stream& stream) {
  if (!server_ && stream.sent_all()) user_done(stream);
}

// ---- Streams ------------------------------------------------------------------------------------

H2Stream& H2Session::make_stream(std::int32_t id, StreamSink* sink) {
  auto* stream =
      new (memory_.allocate(sizeof(H2Stream))) H2Stream(*this, id, sink, blocks_, buffers_);
  streams_.push_back(*stream);
  ++stream_count_;
  return *stream;
}

H2Stream* H2Session::find(std::int32_t id) const {
  return static_cast<H2Stream*>(nghttp2_session_get_stream_user_data(library(), id));
}

void H2Session::free_stream(H2Stream& stream) {
  discard_queue(stream);
  heads_held_ -= stream.head_bytes;
  --stream_count_;
  freed_ = true;
  stream.~H2Stream();
  memory_.release(&stream);
}

void H2Session::user_done(H2Stream& stream) {
  stream.sink = nullptr;
  stream.was_high = false;
  if (!stream.held_by_user()) return;
  if (stream.unconsumed > 0) unpark(stream);
  stream.holders.on(H2HoldersEvent::user_done);
  if (stream.holders.is(H2Holders::nobody)) {
    // nghttp2 was done before: only now may the stream be freed.
    ListLink<H2ClosedTag>& link = stream;
    if (!link.linked()) closed_.push_back(stream);
    schedule();
  }
}

// Not more of these than own_resets_ allows.
void H2Session::fault(H2Stream& stream, H2Error code, StreamEnd reason) {
  if (!own_resets_.take(now_ms_)) doom(H2Error::enhance_your_calm, StreamEnd::flood);
  end_stream(stream, code, reason);
}

void H2Session::end_stream(H2Stream& stream, H2Error code, StreamEnd reason) {
  if (!stream.held_by_library() && !stream.our_reset) {
    // Its last frame was the bad one: nghttp2 has closed the stream, but the peer is still told
    // (section 5.4.2).
    nghttp2_submit_rst_stream(library(), NGHTTP2_FLAG_NONE, stream.id,
                              static_cast<std::uint32_t>(code));
  }
  rst(stream, code);
  StreamSink* sink = stream.sink;
  user_done(stream);
  if (sink != nullptr) sink->on_reset(reason);
}

void H2Session::rst(H2Stream& stream, H2Error code) {
  discard_queue(stream);
  if (stream.held_by_library() && !stream.our_reset) {
    nghttp2_submit_rst_stream(library(), NGHTTP2_FLAG_NONE, stream.id,
                              static_cast<std::uint32_t>(code));
  }
  stream.our_reset = true;
}

void H2Session::on_stream_closed(std::int32_t id, std::uint32_t code) {
  H2Stream* stream = find(id);
  if (stream == nullptr) return;
  stream->close_code = code;
  stream->holders.on(H2HoldersEvent::library_done);
  ListLink<H2EarlyTag>& early = *stream;
  early.unlink();
  discard_queue(*stream);
  ListLink<H2ClosedTag>& link = *stream;
  if (!link.linked()) closed_.push_back(*stream);
}

// Reports what has been recorded and frees streams without holders.
void H2Session::settle() {
  while (!closed_.empty()) {
    H2Stream& stream = closed_.pop_front();
    if (stream.held_by_user()) tell_closed(stream);
    if (stream.holders.is(H2Holders::nobody)) free_stream(stream);
  }
  tell_drained();
  if (running()) settled(std::exchange(freed_, false));
}

void H2Session::tell_closed(H2Stream& stream) {
  if (!server_ && stream.receive.is(H2Receive::ended)) {
    // The response is complete; what the user still sends is discarded, as it would have been
    // anyway.
    return;
  }
  StreamSink* sink = stream.sink;
  user_done(stream);
  ListLink<H2ClosedTag>& link = stream;
  link.unlink();
  if (sink == nullptr) return;
  const bool sent = stream.not_sent == StreamEnd::complete;
  sink->on_reset(sent ? reason_of(stream.close_code) : stream.not_sent);
}

void H2Session::tell_drained() {
  while (!drained_.empty()) {
    H2Stream& stream = drained_.pop_front();
    if (!std::exchange(stream.was_high, false) || stream.sink == nullptr) continue;
    stream.sink->on_drained();
  }
}

// ---- The end ------------------------------------------------------------------------------------

void H2Session::doom(H2Error code, StreamEnd reason) {
  if (!doom_) doom_ = Doom{code, reason};
}

void H2Session::head_late() {
  if (phase_.is(H2Phase::over)) return;
  counters_.malformed.add();
  doom(H2Error::enhance_your_calm, StreamEnd::idle);
  terminate();
}

void H2Session::glitch() {
  counters_.glitches.add();
  if (!glitches_.take(now_ms_)) doom(H2Error::enhance_your_calm, StreamEnd::flood);
}

void H2Session::terminate() {
  if (phase_.is(H2Phase::over)) return;
  const Doom end = *doom_;
  if (end.reason == StreamEnd::flood) counters_.floods.add();
  if (!library_ended_) {
    nghttp2_session_terminate_session(library(), static_cast<std::uint32_t>(end.code));
  }
  hold_output_ = false;
  pump();
  phase_.on(H2PhaseEvent::end);
  ending();
  end_all(end.reason, false);
  wire_.finish();
}

// `output_lost`: what is in the output now is never sent.
void H2Session::end_all(StreamEnd reason, bool output_lost) {
  while (!streams_.empty()) {
    H2Stream& stream = streams_.front();
    // A complete response stays complete; its user just must not use the stream any more.
    const bool answered = !server_ && stream.receive.is(H2Receive::ended);
    StreamSink* sink = stream.sink;
    stream.sink = nullptr;
    ListLink<H2Stream>& link = stream;
    link.unlink();
    // A request that was never sent has certainly not been processed.
    const bool kept = !stream.head_framed || (output_lost && head_in_output(stream));
    const StreamEnd end = !server_ && kept ? StreamEnd::refused : reason;
    if (sink != nullptr) sink->on_reset(answered ? StreamEnd::complete : end);
    free_stream(stream);
  }
}

bool H2Session::head_in_output(const H2Stream& stream) const {
  return !server_ && stream.head_framed && stream.head_write == wire_.writes();
}

void H2Session::disconnected(bool orderly) {
  if (phase_.is(H2Phase::over)) return;
  phase_.on(H2PhaseEvent::end);
  ending();
  // A request that is still in the output may be retried elsewhere, so it must not be sent here any
  // more.
  const bool kept = std::any_of(streams_.begin(), streams_.end(),
                                [this](const H2Stream& s) { return head_in_output(s); });
  end_all(end_of_connection(), true);
  if (orderly) kept ? wire_.abort(false) : wire_.finish();
}

void H2Session::finish_if_done() {
  if (stream_count_ > 0 || !phase_.is(H2Phase::draining) || !may_finish()) return;
  if (!goaway_sent_) submit_goaway();
  pump();
  phase_.on(H2PhaseEvent::end);
  ending();
  wire_.finish();
}

}  // namespace outrigger::http
