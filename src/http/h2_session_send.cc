// The sending half of H2Session.

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"
#include "http/h2_session.h"

namespace outrigger::http {
namespace {

// From this size on, a piece is framed from where it is instead of being queued first; for smaller
// ones, waiting for the end of the turn lets them share a frame.
constexpr std::size_t direct_min = 2048;
// A larger response head ends its stream: the block would be taken for a CONTINUATION flood.
constexpr std::size_t answer_head_max = 128 * 1024;

H2Error code_of(StreamEnd reason) {
  switch (reason) {
    case StreamEnd::complete:
      return H2Error::no_error;
    case StreamEnd::refused:
      return H2Error::refused_stream;
    case StreamEnd::cancelled:
    case StreamEnd::idle:
    case StreamEnd::local:
      return H2Error::cancel;
    case StreamEnd::protocol_error:
      return H2Error::protocol_error;
    case StreamEnd::too_large:
    case StreamEnd::flood:
      return H2Error::enhance_your_calm;
    case StreamEnd::peer_reset:
    case StreamEnd::connection_lost:
    case StreamEnd::wrong_version:
    case StreamEnd::no_tunnel:
    case StreamEnd::head_refused:
    case StreamEnd::stale:
      break;
  }
  return H2Error::internal_error;
}

ssize_t read_data(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t room,
                  std::uint32_t* flags, nghttp2_data_source* source, void*) {
  auto& stream = *static_cast<H2Stream*>(source->ptr);
  return stream.session.on_read_data(stream, room, flags);
}

}  // namespace

void H2Stream::send_interim(const Head& h) {
  session.send_interim(*this, h);
}
void H2Stream::send_head(const Head& h, bool end) {
  session.send_head(*this, h, end);
}
void H2Stream::send_data(std::string_view bytes, bool end) {
  session.send_data(*this, bytes, end);
}
void H2Stream::send_trailers(const Fields& fields) {
  session.send_trailers(*this, fields);
}
void H2Stream::reset(StreamEnd reason) {
  session.reset(*this, reason);
}
void H2Stream::pause(bool paused) {
  session.pause(*this, paused);
}
bool H2Stream::above_high() const {
  // The question is recorded: a user that gets "yes" is owed an on_drained().
  return session.above_high(const_cast<H2Stream&>(*this));
}

const Head* H2Stream::next_head() {
  if (saved_heads == nullptr) return std::exchange(head_at_hand, nullptr);
  return &std::exchange(saved_heads, saved_heads->next)->head;
}

// The current head goes to the end of the waiting ones.
void H2Stream::save_head() {
  if (head_at_hand == nullptr) return;
  auto* saved = new (arena.allocate(sizeof(H2SavedHead), alignof(H2SavedHead))) H2SavedHead(arena);
  copy_head(*std::exchange(head_at_hand, nullptr), saved->head);
  H2SavedHead** last = &saved_heads;
  while (*last != nullptr) last = &(*last)->next;
  *last = saved;
}

std::size_t H2Stream::piece_max() const {
  return above_high() ? 0 : session.piece_max();
}

// ---- Calls from users ---------------------------------------------------------------------------

// False when the stream has ended but its user has not been notified yet; what the user sends until
// then is discarded.
bool H2Session::writable(const H2Stream& stream) const {
  return stream.held_by_library() && !stream.our_reset && !phase_.is(H2Phase::over);
}

void H2Session::send_interim(H2Stream& stream, const Head& head) {
  check(server_ && stream.send.is(H2Send::head), "an interim answer after the answer");
  if (!writable(stream)) return;
  nghttp2_submit_headers(library(), NGHTTP2_FLAG_NONE, stream.id, nullptr, nullptr, 0, nullptr);
  pump_head(stream, head);
  schedule();
}

void H2Session::send_head(H2Stream& stream, const Head& head, bool end) {
  stream.send.on(end ? H2SendEvent::head_and_end : H2SendEvent::head);
  if (writable(stream)) {
    if (server_ && H2HeadWriter::text_of(head.fields) > answer_head_max) {
      rst(stream, H2Error::internal_error);
    } else {
      submit_head(stream, head, end);
      pump_head(stream, head);
    }
    schedule();
  }
  if (end && (server_ || stream.receive.is(H2Receive::ended))) user_done(stream);
}

void H2Session::send_data(H2Stream& stream, std::string_view bytes, bool end) {
  check(stream.send.is(H2Send::body), "data before the head or after the end");
  if (end) stream.send.on(H2SendEvent::end);
  if (writable(stream)) {
    // The end of a message cannot share a frame with what follows.
    if (bytes.size() >= direct_min || end) {
      stream.borrowed = bytes;
      wake(stream);
      pump();
      bytes = std::exchange(stream.borrowed, {});
    }
    // The stream may have ended in pump().
    if (writable(stream)) {
      enqueue(stream, bytes);
      wake(stream);
    }
    schedule();
  }
  if (end && (server_ || stream.receive.is(H2Receive::ended))) user_done(stream);
}

void H2Session::send_trailers(H2Stream& stream, const Fields& fields) {
  stream.send.on(H2SendEvent::trailers);
  if (writable(stream)) {
    for (const Field& field : fields) {
      stream.trailers.add(
          Field{stream.arena.copy(field.name), stream.arena.copy(field.value), field.known});
    }
    wake(stream);
    schedule();
  }
  if (server_ || stream.receive.is(H2Receive::ended)) user_done(stream);
}

void H2Session::reset(H2Stream& stream, StreamEnd reason) {
  if (phase_.is(H2Phase::over)) {
    stream.sink = nullptr;
    return;
  }
  // What the user has sent so far leaves first, as far as the windows allow: the client of a
  // truncated response gets its beginning.
  if (server_ && stream.unsent() > 0 && writable(stream)) {
    wake(stream);
    pump();
  }
  rst(stream, code_of(reason));
  if (stream.id == 0 && stream.held_by_library()) {
    stream.holders.on(H2HoldersEvent::library_done);  // which never knew of it
  }
  user_done(stream);
  schedule();
}

void H2Session::pause(H2Stream& stream, bool paused) {
  if (stream.read_paused == paused) return;
  stream.read_paused = paused;
  if (paused || stream.unconsumed == 0 || !writable(stream)) return;
  nghttp2_session_consume_stream(library(), stream.id, stream.unconsumed);
  unpark(stream);
  schedule();
}

// What the stream received while it was paused has been forwarded or is no longer needed.
void H2Session::unpark(H2Stream& stream) {
  parked_ -= std::exchange(stream.unconsumed, 0);
  give_back(0);
}

// One paused stream must not block the others, and many paused ones must not hold a lot of memory:
// beyond the limit, as much of the connection's window stays closed as there are parked bytes.
void H2Session::give_back(std::size_t received) {
  const std::size_t keep = parked_ > limits_.parked ? parked_ - limits_.parked : 0;
  withheld_ += received;
  if (withheld_ <= keep) return;
  nghttp2_session_consume_connection(library(), withheld_ - keep);
  withheld_ = keep;
}

// A stream may queue up to its watermark. Once all streams together hold too much, none may queue
// anything, but those that can send continue piece by piece.
bool H2Session::above_high(H2Stream& stream) {
  if (!writable(stream)) return false;
  const std::size_t queued = stream.queue.size();
  const bool high =
      queued > limits_.stream_high || (queued_ > limits_.connection_queue && queued > 0);
  stream.was_high |= high;
  return high;
}

// At first each stream takes everything from one read. A full read for every stream would be too
// much, so pieces shrink long before there are many streams: all streams together then stay near
// the limit.
std::size_t H2Session::piece_max() const {
  if (queued_ + wire_.unsent() <= limits_.connection_queue / 4) return any_piece;
  return limits_.connection_queue / 128;
}

// ---- Queues -------------------------------------------------------------------------------------

void H2Session::enqueue(H2Stream& stream, std::string_view bytes) {
  const std::size_t before = stream.queue.capacity();
  stream.queue.append(bytes);
  if (queued_ == 0) queueing();
  queued_ += stream.queue.capacity() - before;
  above_high(stream);
}

// Output is stuck because the peer does not open the window, not because of its turn or the wire.
bool H2Session::is_shut(const H2Stream& stream) const {
  if (stream.queue.empty() || !writable(stream)) return false;
  return nghttp2_session_get_stream_remote_window_size(library(), stream.id) <= 0 ||
         nghttp2_session_get_remote_window_size(library()) <= 0;
}

void H2Session::end_stalled(std::uint64_t now_ms, std::uint64_t most_ms) {
  const auto now = static_cast<std::uint32_t>(now_ms);
  for (H2Stream& stream : streams_) {
    const bool slow_by_nature = stream.tunnel || (stream.head != nullptr && stream.head->is_grpc());
    if (slow_by_nature || !is_shut(stream)) {
      stream.shut_since = 0;
    } else if (stream.shut_since == 0) {
      stream.shut_since = std::max(now, 1U);
    } else if (now - stream.shut_since >= most_ms) {
      counters_.stalled.add();
      rst(stream, H2Error::cancel);
      StreamSink* sink = stream.sink;
      user_done(stream);
      if (sink != nullptr) sink->on_reset(StreamEnd::idle);
      schedule();
    }
  }
}

void H2Session::discard_queue(H2Stream& stream) {
  took_from_queue(stream, stream.queue.size());
  stream.queue.clear();
}

void H2Session::took_from_queue(H2Stream& stream, std::size_t count) {
  const bool was_crowded = queued_ > limits_.connection_queue;
  // The block is released with its last byte.
  if (count == stream.queue.size()) queued_ -= stream.queue.capacity();
  const bool crowded = queued_ > limits_.connection_queue;
  const auto note = [this, crowded](H2Stream& s, std::size_t left) {
    ListLink<H2DrainedTag>& link = s;
    const bool low = left == 0 || (!crowded && left < limits_.stream_low);
    if (s.was_high && s.sink != nullptr && low && !link.linked()) drained_.push_back(s);
  };
  note(stream, stream.queue.size() - count);
  if (was_crowded && !crowded) {
    for (H2Stream& other : streams_) {
      if (&other != &stream) note(other, other.queue.size());
    }
  }
}

// nghttp2 asked for data when there was none; now there is some.
void H2Session::wake(H2Stream& stream) {
  const bool something = stream.unsent() > 0 || stream.sent_all();
  if (stream.waiting && something) {
    stream.waiting = false;
    nghttp2_session_resume_data(library(), stream.id);
  }
}

// ---- Frames -------------------------------------------------------------------------------------

nghttp2_data_provider H2Session::provider_of(H2Stream& stream) {
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream;
  provider.read_callback = read_data;
  return provider;
}

void H2Session::pump() {
  while (pump_frame()) {
  }
}

// False: nghttp2 has no frame that may be sent now.
bool H2Session::pump_frame() {
  if (hold_output_) return false;
  const std::uint8_t* data = nullptr;
  block_written_ = false;
  const ssize_t size = nghttp2_session_mem_send(library(), &data);
  if (size < 0) doom(H2Error::internal_error, StreamEnd::protocol_error);
  if (size <= 0) return false;
  if (!block_written_) {
    wire_.output().append({reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)});
  }
  return true;
}

void H2Session::pump_head(H2Stream& stream, const Head& head) {
  stream.head_at_hand = &head;
  while (stream.head_at_hand != nullptr && pump_frame()) {
  }
  stream.save_head();
}

// nghttp2 sends a field block now: the block encoded here is the next one to be sent.
void H2Session::block_due(const nghttp2_frame& frame) {
  H2Stream* stream = find(frame.hd.stream_id);
  check(stream != nullptr, "a field block of no stream");
  H2HeadWriter writer(encoder_, wire_.output(), stream->id,
                      (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
  if (const Head* head = stream->next_head()) {
    write_head(writer, *stream, *head);
  } else {
    writer.trailers(stream->trailers);
  }
  stream->head_framed = true;
  stream->head_write = wire_.writes();
  block_written_ = true;
}

// Requests that have been answered but have not ended by the end of the turn: nobody needs the rest
// (RFC 9113 section 8.1).
void H2Session::cut_requests() {
  while (!early_.empty()) rst(early_.pop_front(), H2Error::no_error);
}

void H2Session::produce() {
  if (phase_.is(H2Phase::over)) return;
  if (!doom_) pump();
  if (!doom_ && !early_.empty()) {
    cut_requests();
    pump();
  }
  if (!doom_) settle();
  if (doom_) return terminate();
  finish_if_done();
}

void H2Session::output_drained() {
  if (phase_.is(H2Phase::over)) return;
  blocked_controls_ = 0;
  if (std::exchange(reading_paused_, false)) wire_.pause_reading(false);
  schedule();
}

// How much of its queue goes into the stream's next DATA frame.
ssize_t H2Session::on_read_data(H2Stream& stream, std::size_t room, std::uint32_t* flags) {
  if (wire_.above_high()) return NGHTTP2_ERR_PAUSE;
  const std::size_t unsent = stream.unsent();
  const std::size_t size = std::min(room, unsent);
  const bool last = size == unsent && stream.sent_all();
  if (size == 0 && !last) {
    stream.waiting = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (last) *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (last && stream.send.is(H2Send::trailers)) {
    if (H2HeadWriter::any_trail(stream.trailers)) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      nghttp2_submit_trailer(library(), stream.id, nullptr, 0);
    }
  }
  stream.frame_bytes = size;
  return static_cast<ssize_t>(size);
}

void H2Session::on_send_data(H2Stream& stream, const nghttp2_frame& frame,
                             std::string_view header) {
  check(frame.hd.length == stream.frame_bytes, "a DATA frame of another length");
  net::Buffer& out = wire_.output();
  stream.shut_since = 0;
  out.append(header);
  const std::size_t queued = std::min(stream.frame_bytes, stream.queue.size());
  if (queued > 0) {
    out.append(stream.queue.view().substr(0, queued));
    took_from_queue(stream, queued);
    stream.queue.consume(queued);
  }
  const std::size_t direct = stream.frame_bytes - queued;
  out.append(stream.borrowed.substr(0, direct));
  stream.borrowed.remove_prefix(direct);
}

void H2Session::on_frame_sent(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_DATA:
      scanner_.data_sent();
      break;
    case NGHTTP2_HEADERS:
      block_due(frame);
      break;
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) scanner_.ping_sent();
      break;
    case NGHTTP2_RST_STREAM: {
      counters_.resets_sent.add();
      if (server_ && frame.rst_stream.error_code == NGHTTP2_REFUSED_STREAM) counters_.refused.add();
      scanner_.reset_sent(static_cast<std::uint32_t>(frame.hd.stream_id));
      // nghttp2's own RST_STREAM: a change of SETTINGS made a window overflow, which is a
      // connection error (RFC 9113 section 6.9.2).
      const H2Stream* stream = find(frame.hd.stream_id);
      if (stream != nullptr && !stream->our_reset && !library_ended_) {
        doom(H2Error::flow_control_error, StreamEnd::protocol_error);
      }
      break;
    }
    case NGHTTP2_GOAWAY:
      counters_.goaways_sent.add();
      goaway_sent_ = goaway_sent_ || frame.goaway.last_stream_id != 0x7fffffff;
      if (frame.goaway.error_code != NGHTTP2_NO_ERROR) {
        library_ended_ = true;
        doom(static_cast<H2Error>(frame.goaway.error_code), StreamEnd::protocol_error);
      }
      break;
    default:
      break;
  }
  const bool ends = (frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS) &&
                    (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (ends && server_) {
    H2Stream* stream = find(frame.hd.stream_id);
    if (stream != nullptr && !stream->receive.is(H2Receive::ended)) early_.push_back(*stream);
  }
  if (frame.hd.type != NGHTTP2_DATA && wire_.above_high()) {
    // Control frames are written even when the wire is full, up to a limit; reading pauses well
    // before it, so that no more are provoked.
    const std::size_t most = limits_.queued_control_frames + 3 * std::size_t{limits_.streams};
    if (++blocked_controls_ > most) doom(H2Error::enhance_your_calm, StreamEnd::flood);
    if (blocked_controls_ > most / 2 && !std::exchange(reading_paused_, true)) {
      wire_.pause_reading(true);
    }
  }
}

// A head that nghttp2 could not send: its stream is gone, or the head exceeds all limits.
void H2Session::on_frame_not_sent(const nghttp2_frame& frame) {
  if (frame.hd.type != NGHTTP2_HEADERS || phase_.is(H2Phase::over)) return;
  H2Stream* stream = find(frame.hd.stream_id);
  if (stream != nullptr && server_) rst(*stream, H2Error::internal_error);
}

void H2Session::submit_ping(std::uint64_t opaque) {
  std::uint8_t bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<std::uint8_t>(opaque >> (56 - 8 * i));
  nghttp2_submit_ping(library(), NGHTTP2_FLAG_NONE, bytes);
  schedule();
}

void H2Session::ping() {
  if (running()) submit_ping(++sent_pings_);
}

void H2Session::submit_goaway() {
  const std::int32_t last = nghttp2_session_get_last_proc_stream_id(library());
  nghttp2_submit_goaway(library(), NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
  scanner_.goaway_sent(static_cast<std::uint32_t>(last));
}

void H2Session::answer(H2Stream& stream, const LocalReply& reply, Flag flag) {
  Head head(stream.arena);
  fill_reply_head(head, reply, flag, wire_.date());
  const bool bare = reply.body.empty() || stream.head->method == Method::head;
  send_head(stream, head, bare);
  if (!bare) send_data(stream, reply.body, true);
}

}  // namespace outrigger::http
