#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "http/h2_codec.h"
#include "http/h2_session.h"

namespace outrigger::http {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// A response that HTTP/2 could not express as it was; see http/upgrades.h.
void restore_answer(bool upgrade, Head& head) {
  if (head.status == 426) {
    head.protocol = head.fields.value(demanded_name);
    head.fields.remove(demanded_name);
  } else if (upgrade && head.status == 502) {
    const std::string_view text = head.fields.value(declined_name);
    if (text.size() == 3 && text[0] == '2' && is_digit(text[1]) && is_digit(text[2])) {
      head.status = 200 + 10 * (text[1] - '0') + (text[2] - '0');
    }
    head.fields.remove(declined_name);
  }
}

constexpr std::size_t no_list_max = 0xffffffff;  // nghttp2's value for a server that sets none
// A larger head is not sent before SETTINGS have said that the server accepts it.
constexpr std::size_t small_list = 4096;

// RFC 9113 section 10.5.1, of what H2HeadWriter writes.
std::size_t list_size_of(const Head& head) {
  constexpr std::size_t overhead = 32;
  // :method, :scheme, :authority and :path, with "https".
  constexpr std::size_t pseudo = 4 * overhead + 29 + 5;
  constexpr std::size_t connect = 7;  // which an upgrade's method becomes
  std::size_t size = pseudo + std::max(head.method_text.size(), connect) + head.authority.size() +
                     head.path.size();
  if (!head.protocol.empty()) size += overhead + 9 + head.protocol.size();
  if (head.te_trailers) size += overhead + 2 + 8;
  if (head.content_length) size += overhead + 14 + 20;
  for (const Field& field : head.fields) size += overhead + field.name.size() + field.value.size();
  return size;
}

}  // namespace

class H2ClientSession final : public H2Session {
 public:
  H2ClientSession(ClientEvents& events, const Parts& parts);

  Stream& open(StreamSink& sink);
  std::size_t capacity() const;
  void drain();

 private:
  H2Stream* peer_opened(std::int32_t) override { return nullptr; }
  void head_received(H2Stream& stream, bool end) override;
  void submit_head(H2Stream& stream, const Head& head, bool end) override;
  void write_head(H2HeadWriter& writer, const H2Stream&, const Head& head) override {
    writer.request(head);
  }
  void settings_received() override;
  void peer_retires() override;
  void ending() override { retire(); }
  void settled(bool freed) override;
  StreamEnd end_of_connection() const override { return StreamEnd::connection_lost; }
  bool may_finish() const override { return true; }
  void retire();
  void settings_apply(H2Stream& stream);
  void keep_back(H2Stream& stream, StreamEnd why);
  void note_answer(H2Stream& stream, Head& head);

  ClientEvents& events_;
  std::size_t list_max_ = no_list_max;  // of the server
  bool settings_known_ = false;
  bool retiring_ = false;  // no more streams
  bool told_ = false;      // and the pool knows
};

H2ClientSession::H2ClientSession(ClientEvents& events, const Parts& parts)
    : H2Session(false, parts), events_(events) {
  const std::array<nghttp2_settings_entry, 3> settings{{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits_.stream_window},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, static_cast<std::uint32_t>(limits_.head_bytes)},
  }};
  nghttp2_submit_settings(library(), NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(library(), NGHTTP2_FLAG_NONE, 0,
                                        static_cast<std::int32_t>(limits_.connection_window));
  pump();
  wire_.flush_soon();
}

Stream& H2ClientSession::open(StreamSink& sink) {
  check(capacity() > 0, "a stream beyond the connection's capacity");
  return make_stream(0, &sink);
}

std::size_t H2ClientSession::capacity() const {
  if (retiring_ || !phase_.is(H2Phase::open)) return 0;
  const std::size_t peer =
      nghttp2_session_get_remote_settings(library(), NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  const std::size_t most = std::min<std::size_t>(peer, limits_.streams);
  return most > open_streams() ? most - open_streams() : 0;
}

void H2ClientSession::submit_head(H2Stream& stream, const Head& head, bool end) {
  const nghttp2_data_provider provider = provider_of(stream);
  const std::int32_t id =
      nghttp2_submit_request(library(), nullptr, nullptr, 0, end ? nullptr : &provider, &stream);
  check(id > 0, "no stream id left on a connection that had capacity");
  stream.id = id;
  stream.head_request = head.method == Method::head;
  stream.connect = head.method == Method::connect;
  stream.upgrade = !head.protocol.empty();
  scanner_.stream_opened(static_cast<std::uint32_t>(id));
  if (stream.upgrade) stream.protocol = stream.arena.copy(head.protocol);
  if (!settings_known_ || list_max_ != no_list_max) stream.list_size = list_size_of(head);
  if (settings_known_) {
    settings_apply(stream);
  } else if (stream.upgrade || stream.list_size > small_list) {
    hold_output_ = true;
  }
  if (static_cast<std::uint32_t>(id) + 2 > limits_.stream_id_max) retiring_ = true;
}

void H2ClientSession::head_received(H2Stream& stream, bool end) {
  Head& head = block_head_;
  const H2HeadReader::Verdict verdict = reader_.finish();
  if (verdict == H2HeadReader::Verdict::too_large) {
    counters_.too_large.add();
    return fault(stream, H2Error::enhance_your_calm, StreamEnd::too_large);
  }
  bool good = verdict == H2HeadReader::Verdict::ok;
  if (good && head.status < 200) {
    good = !end && ++stream.interims <= limits_.interims;
    if (good) return stream.sink->on_interim(head);
  }
  if (good) {
    note_answer(stream, head);
    good = !end || stream.declared.value_or(0) == 0;
  }
  if (!good) {
    counters_.malformed.add();
    return fault(stream, H2Error::protocol_error, StreamEnd::protocol_error);
  }
  StreamSink& sink = *stream.sink;
  stream.receive.on(end ? H2ReceiveEvent::head_and_end : H2ReceiveEvent::head);
  if (end) received_end(stream);
  sink.on_head(head, end);
}

// What the response's head says about what follows.
void H2ClientSession::note_answer(H2Stream& stream, Head& head) {
  const bool success = head.status >= 200 && head.status < 300;
  stream.tunnel = success && (stream.upgrade || stream.connect);
  restore_answer(stream.upgrade, head);
  if (stream.tunnel) head.content_length.reset();
  if (stream.tunnel && stream.upgrade) {
    head.status = 101;
    head.protocol = stream.protocol;
  }
  stream.no_body = stream.head_request || head.status == 204 || head.status == 304;
  if (!stream.no_body) stream.declared = head.content_length;
}

void H2ClientSession::settings_received() {
  hold_output_ = false;
  list_max_ = nghttp2_session_get_remote_settings(library(), NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE);
  if (!std::exchange(settings_known_, true)) {
    for (H2Stream& stream : streams()) settings_apply(stream);
  }
  if (!retiring_) events_.on_capacity();
}

// Only SETTINGS tell whether the server supports extended CONNECT (RFC 8441 section 3), and how
// large a head it accepts (RFC 9113 section 6.5.2): many end the connection, and every other request
// on it, because of a larger one.
void H2ClientSession::settings_apply(H2Stream& stream) {
  // What left before SETTINGS came is the server's to refuse; what was cancelled is not sent.
  if (stream.id == 0 || stream.head_framed || stream.our_reset) return;
  if (stream.upgrade && nghttp2_session_get_remote_settings(
                            library(), NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 0) {
    keep_back(stream, StreamEnd::no_tunnel);
  } else if (stream.list_size > list_max_) {
    keep_back(stream, StreamEnd::head_refused);
  }
}

// Its head is still in nghttp2, which drops it.
void H2ClientSession::keep_back(H2Stream& stream, StreamEnd why) {
  stream.not_sent = why;
  nghttp2_submit_rst_stream(library(), NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_REFUSED_STREAM);
  stream.our_reset = true;
}

void H2ClientSession::settled(bool freed) {
  if (retiring_) retire();
  if (freed && !retiring_) events_.on_capacity();
}

// No callback runs inside a Stream's methods: those only set `retiring_`.
void H2ClientSession::retire() {
  retiring_ = true;
  if (phase_.is(H2Phase::open)) phase_.on(H2PhaseEvent::drain);
  if (!std::exchange(told_, true)) events_.on_retiring();
}

void H2ClientSession::drain() {
  if (!phase_.is(H2Phase::open)) return;
  retiring_ = true;
  phase_.on(H2PhaseEvent::drain);
  schedule();
}

// GOAWAY: nghttp2 has closed the streams above its last stream ID as refused.
void H2ClientSession::peer_retires() {
  retire();
}

H2ClientCodec::H2ClientCodec(Wire& wire, ClientEvents& events, const CodecLimits& limits,
                             CodecCounters& counters, BlockPool& blocks, net::BufferPool& buffers,
                             H2Memory& memory)
    : session_(std::make_unique<H2ClientSession>(
          events, H2Session::Parts{wire, limits, counters, blocks, buffers, memory})) {}

H2ClientCodec::~H2ClientCodec() = default;

std::size_t H2ClientCodec::feed(std::string_view bytes, std::uint64_t now_ms) {
  return session_->feed(bytes, now_ms);
}
void H2ClientCodec::input_ended() {
  session_->input_ended();
}
void H2ClientCodec::connection_lost(bool) {
  session_->connection_lost();
}
void H2ClientCodec::output_drained() {
  session_->output_drained();
}
void H2ClientCodec::produce() {
  session_->produce();
}
void H2ClientCodec::rest() {
  session_->rest();
}
void H2ClientCodec::drain() {
  session_->drain();
}
std::size_t H2ClientCodec::open_streams() const {
  return session_->open_streams();
}
bool H2ClientCodec::receiving_head() const {
  return session_->receiving_head();
}
Stream& H2ClientCodec::open(StreamSink& sink) {
  return session_->open(sink);
}
std::size_t H2ClientCodec::capacity() const {
  return session_->capacity();
}
void H2ClientCodec::ping() {
  session_->ping();
}
std::uint64_t H2ClientCodec::answered_pings() const {
  return session_->answered_pings();
}
std::uint64_t H2ClientCodec::message_frames() const {
  return session_->message_frames();
}

}  // namespace outrigger::http
