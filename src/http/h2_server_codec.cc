#include <array>

#include "base/check.h"
#include "http/h2_codec.h"
#include "http/h2_session.h"

namespace outrigger::http {

class H2ServerSession final : public H2Session {
 public:
  H2ServerSession(ServerEvents& events, const Parts& parts);

  void drain();
  void stop_waiting();

 private:
  // Progress of the two-step drain.
  static constexpr std::uint32_t no_limit = 0x7fffffff;  // what nghttp2 is told
  enum class Drain : std::uint8_t { none, announced, final };
  static constexpr std::uint64_t drain_ping = 0x647261696e000001;

  H2Stream* peer_opened(std::int32_t id) override;
  void head_received(H2Stream& stream, bool end) override;
  void submit_head(H2Stream& stream, const Head& head, bool end) override;
  void write_head(H2HeadWriter& writer, const H2Stream& stream, const Head& head) override;
  void peer_retires() override;
  void settled(bool freed) override;
  void queueing() override { events_.on_output_queued(); }
  bool ping_answered(std::uint64_t opaque) override;
  StreamEnd end_of_connection() const override { return StreamEnd::cancelled; }
  bool may_finish() const override { return drain_ == Drain::final; }
  void announce_settings();
  bool limit_acknowledged() const {
    return nghttp2_session_get_local_settings(library(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS) ==
           no_limit;
  }
  void refuse(H2Stream& stream, H2HeadReader::Verdict verdict);
  void refuse(H2Stream& stream, int status, std::string_view detail);
  void announce_last();

  ServerEvents& events_;
  Drain drain_ = Drain::none;
  bool overrun_ = false;  // the client has acknowledged the limit on streams and exceeded it
};

H2ServerSession::H2ServerSession(ServerEvents& events, const Parts& parts)
    : H2Session(true, parts), events_(events) {
  const std::array<nghttp2_settings_entry, 5> settings{{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, no_limit},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits_.head_bytes)},
      {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, limits_.upgrades->empty() ? 0U : 1U},
      // Keeps nghttp2 from remembering closed streams for the old priority tree.
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  }};
  nghttp2_submit_settings(library(), NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(library(), NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(limits_.connection_window));
  announce_settings();
  pump();
  wire_.flush_soon();
}

// nghttp2 ends the connection of a client that opens too many streams; RFC 9113 section 5.1.2 has
// only those streams refused. So nghttp2 knows of no limit, the client is told of ours, and
// head_received() enforces it.
void H2ServerSession::announce_settings() {
  constexpr std::size_t first_value = H2FrameHeader::size + 2;
  const std::uint8_t* data = nullptr;
  const ssize_t size = nghttp2_session_mem_send(library(), &data);
  check(size > static_cast<ssize_t>(first_value + 4) &&
            data[first_value - 1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
        "SETTINGS that do not begin with the number of streams");
  std::string frame(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < 4; ++i)
    frame[first_value + i] = static_cast<char>(limits_.streams >> (24 - 8 * i));
  wire_.output().append(frame);
}

H2Stream* H2ServerSession::peer_opened(std::int32_t id) {
  H2Stream& stream = make_stream(id, nullptr);
  nghttp2_session_set_stream_user_data(library(), id, &stream);
  // Streams take turns; by default nghttp2 would serve one until it has nothing left.
  const nghttp2_extpri turns{NGHTTP2_EXTPRI_DEFAULT_URGENCY, 1};
  nghttp2_session_change_extpri_stream_priority(library(), id, &turns, 1);
  stream.head = new (stream.arena.allocate(sizeof(Head), alignof(Head))) Head(stream.arena);
  return &stream;
}

void H2ServerSession::head_received(H2Stream& stream, bool end) {
  Head& head = *stream.head;
  const H2HeadReader::Verdict verdict = reader_.finish();
  // A refused head is held too, until the client takes the response.
  stream.head_bytes = stream.arena.total();
  heads_held_ += stream.head_bytes;
  if (heads_held_ > limits_.connection_heads) {
    counters_.too_large.add();
    events_.on_refused({.head = head});
    return fault(stream, H2Error::refused_stream, StreamEnd::too_large);
  }
  if (open_streams() > limits_.streams) {
    events_.on_refused({.head = head});
    // Some clients overshoot while a connection is new, so that this is not counted as abuse at
    // once.
    glitch();
    overrun_ = overrun_ || limit_acknowledged();
    return end_stream(stream, H2Error::refused_stream, StreamEnd::refused);
  }
  const bool short_body = end && head.content_length.value_or(0) > 0;
  if (verdict != H2HeadReader::Verdict::ok || short_body) {
    if (end) stream.receive.on(H2ReceiveEvent::head_and_end);
    return refuse(
        stream, verdict == H2HeadReader::Verdict::ok ? H2HeadReader::Verdict::malformed : verdict);
  }
  stream.declared = head.content_length;
  stream.head_request = head.method == Method::head;
  stream.upgrade = !head.protocol.empty();
  stream.connect = head.method == Method::connect;
  stream.tunnel = stream.upgrade || stream.connect;
  stream.receive.on(end ? H2ReceiveEvent::head_and_end : H2ReceiveEvent::head);
  StreamSink& sink = events_.on_stream(stream);
  stream.sink = &sink;
  sink.on_head(head, end);
}

void H2ServerSession::refuse(H2Stream& stream, H2HeadReader::Verdict verdict) {
  Head& head = *stream.head;
  switch (verdict) {
    case H2HeadReader::Verdict::too_large:
      counters_.too_large.add();
      return refuse(stream, 431, "the request head or a part of it is too large");
    case H2HeadReader::Verdict::bad_expectation:
      counters_.malformed.add();
      return refuse(stream, 417, "the expectation cannot be met");
    default:
      counters_.malformed.add();
      events_.on_refused({.head = head});
      return fault(stream, H2Error::protocol_error, StreamEnd::protocol_error);
  }
}

void H2ServerSession::refuse(H2Stream& stream, int status, std::string_view detail) {
  const Head& head = *stream.head;
  const LocalReply reply =
      make_local_reply(stream.arena, status, Flag::DPE, detail, head.is_grpc());
  Refusal refusal{.head = head};
  refusal.status = reply.status;
  refusal.grpc_status = reply.grpc_status;
  if (head.method != Method::head) refusal.bytes_out = reply.body.size();
  events_.on_refused(refusal);
  answer(stream, reply, Flag::DPE);
}

void H2ServerSession::submit_head(H2Stream& stream, const Head&, bool end) {
  const nghttp2_data_provider provider = provider_of(stream);
  nghttp2_submit_response(library(), stream.id, nullptr, 0, end ? nullptr : &provider);
}

void H2ServerSession::write_head(H2HeadWriter& writer, const H2Stream& stream, const Head& head) {
  using Request = H2HeadWriter::Request;
  writer.response(head, stream.upgrade   ? Request::upgrade
                        : stream.connect ? Request::connect
                                         : Request::plain);
}

void H2ServerSession::drain() {
  if (!phase_.is(H2Phase::open)) return;
  phase_.on(H2PhaseEvent::drain);
  drain_ = Drain::announced;
  nghttp2_submit_shutdown_notice(library());
  // The PING acknowledgement must imply that GOAWAY was read, and nghttp2 sends PING first.
  pump();
  submit_ping(drain_ping);
}

bool H2ServerSession::ping_answered(std::uint64_t opaque) {
  if (opaque != drain_ping || drain_ != Drain::announced) return false;
  // Everything the client sent before it read GOAWAY has arrived.
  announce_last();
  return true;
}

// A client that does not answer the PING is gone, or too slow to wait for.
void H2ServerSession::stop_waiting() {
  if (drain_ != Drain::announced || !running()) return;
  announce_last();
  schedule();
}

void H2ServerSession::announce_last() {
  drain_ = Drain::final;
  submit_goaway();
}

// The client opens no more streams.
void H2ServerSession::peer_retires() {
  phase_.on(H2PhaseEvent::drain);
  drain_ = Drain::final;
}

// grpc-java over okhttp may ignore the limit for as long as a connection lasts, and repeats a refused
// call only once. On a new connection it mostly obeys.
void H2ServerSession::settled(bool freed) {
  if (overrun_ && drain_ != Drain::final) {
    if (phase_.is(H2Phase::open)) phase_.on(H2PhaseEvent::drain);
    announce_last();
    schedule();
  }
  if (freed && open_streams() == 0) events_.on_idle();
}

H2ServerCodec::H2ServerCodec(Wire& wire, ServerEvents& events, const CodecLimits& limits,
                             CodecCounters& counters, BlockPool& blocks, net::BufferPool& buffers,
                             H2Memory& memory)
    : session_(std::make_unique<H2ServerSession>(
          events, H2Session::Parts{wire, limits, counters, blocks, buffers, memory})) {}

H2ServerCodec::~H2ServerCodec() = default;

std::size_t H2ServerCodec::feed(std::string_view bytes, std::uint64_t now_ms) {
  return session_->feed(bytes, now_ms);
}
void H2ServerCodec::input_ended() {
  session_->input_ended();
}
void H2ServerCodec::connection_lost(bool) {
  session_->connection_lost();
}
void H2ServerCodec::output_drained() {
  session_->output_drained();
}
void H2ServerCodec::produce() {
  session_->produce();
}
void H2ServerCodec::rest() {
  session_->rest();
}
void H2ServerCodec::drain() {
  session_->drain();
}
std::size_t H2ServerCodec::open_streams() const {
  return session_->open_streams();
}
void H2ServerCodec::head_late(std::string_view) {
  session_->head_late();
}
bool H2ServerCodec::receiving_head() const {
  return session_->receiving_head();
}
void H2ServerCodec::stop_waiting() {
  session_->stop_waiting();
}
void H2ServerCodec::end_stalled(std::uint64_t now_ms, std::uint64_t most_ms) {
  session_->end_stalled(now_ms, most_ms);
}
bool H2ServerCodec::output_queued() const {
  return session_->output_queued();
}
void H2ServerCodec::ping() {
  session_->ping();
}
std::uint64_t H2ServerCodec::answered_pings() const {
  return session_->answered_pings();
}
std::uint64_t H2ServerCodec::message_frames() const {
  return session_->message_frames();
}

}  // namespace outrigger::http
