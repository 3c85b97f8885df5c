#include "http/h1_client_codec.h"

#include <algorithm>

#include "base/check.h"
#include "http/h1_encoder.h"

namespace outrigger::http {
namespace {

// Methods whose requests have a body so often that its absence is worth a Content-Length: 0
// (RFC 9110 section 8.6).
bool expects_body(Method method) {
  return method == Method::post || method == Method::put || method == Method::patch;
}

}  // namespace

H1ClientCodec::H1ClientCodec(Wire& wire, ClientEvents& events, const CodecLimits& limits,
                             CodecCounters& counters, BlockPool& blocks, std::uint64_t seed)
    : wire_(wire),
      events_(events),
      limits_(limits),
      counters_(counters),
      arena_(blocks),
      head_(arena_),
      parser_(H1Parser::Kind::response, limits, arena_),
      reader_(limits, parser_),
      writer_(wire),
      early_(wire.output().pool()),
      random_(seed ^ reinterpret_cast<std::uintptr_t>(this)) {}

std::size_t H1ClientCodec::capacity() const {
  return reading_.is(H1ClientReading::idle) && !retired_ ? 1 : 0;
}

Stream& H1ClientCodec::open(StreamSink& sink) {
  check(capacity() > 0, "a stream on a connection that has no room");
  reading_.on(H1ClientReadEvent::opened);
  asking_.on(H1AskEvent::opened);
  sink_ = &sink;
  asked_.head = asked_.connect = false;
  asked_.protocol.clear();
  upgrade_body_left_ = 0;
  framing_ = {};
  interims_ = 0;
  key_made_ = false;
  return *this;
}

// --- Asking --------------------------------------------------------------------------------------

void H1ClientCodec::send_head(const Head& head, bool end) {
  if (!asking_.is(H1Asking::owed)) return;
  if (!write_head(head, end)) {
    asking_.on(H1AskEvent::refused);
    return ask_failed();
  }
  asking_.on(H1AskEvent::head);
  if (end) {
    writer_.send();
    ask_ended();
  } else {
    wire_.flush_soon();
  }
}

bool H1ClientCodec::write_head(const Head& head, bool end) {
  asked_.head = head.method == Method::head;
  asked_.connect = head.method == Method::connect;
  if (!asked_.connect && !head.protocol.empty()) asked_.protocol = head.protocol;
  H1HeadExtras extras;
  H1Body body = H1Body::none;
  if (asks_for_tunnel()) {
    body = H1Body::tunnel;
    if (!asked_.connect) extras.length = head.content_length;
    upgrade_body_left_ = extras.length.value_or(0);
  } else if (end) {
    if (head.content_length.value_or(0) != 0) return false;
    if (head.content_length || expects_body(head.method)) extras.length = 0;
  } else if (head.content_length) {
    body = H1Body::length;
    extras.length = head.content_length;
  } else {
    body = H1Body::chunked;
    extras.chunked = true;
  }
  if (!asked_.protocol.empty()) {
    extras.protocol = asked_.protocol;
    // An HTTP/2 client brings no key. One of HTTP/1 that has none gets none: what it asks for is
    // the server's to refuse.
    if (head.version == Version::http2 && equal_ignoring_case(head.protocol, "websocket") &&
        !head.fields.has(Known::sec_websocket_key)) {
      key_ = websocket_key(random_);
      key_made_ = true;
      extras.websocket = {key_.data(), key_.size()};
    }
  }
  extras.te_trailers = head.te_trailers;
  if (!write_request_head(wire_.output(), head, extras)) return false;
  writer_.begin(body, head.content_length.value_or(0));
  return true;
}

void H1ClientCodec::send_data(std::string_view bytes, bool end) {
  if (!asking_.is(H1Asking::body)) return;
  const bool too_soon = writer_.body() == H1Body::tunnel && framing_.body != H1Body::tunnel;
  if (!(too_soon ? send_early(bytes, end) : writer_.data(bytes, end))) {
    asking_.on(H1AskEvent::broken);
    return ask_failed();
  }
  if (end) ask_ended();
}

// The body in front of a tunnel leaves; what follows it waits for the answer. False when the body
// is cut short.
bool H1ClientCodec::send_early(std::string_view bytes, bool end) {
  const auto body =
      static_cast<std::size_t>(std::min<std::uint64_t>(upgrade_body_left_, bytes.size()));
  upgrade_body_left_ -= body;
  if (end && upgrade_body_left_ > 0) return false;
  if (body > 0) writer_.data(bytes.substr(0, body), false);
  // An answer that does not open the tunnel leaves nothing to wait for.
  if (reading_.is(H1ClientReading::head)) early_.append(bytes.substr(body));
  return true;
}

// The tunnel is open.
void H1ClientCodec::send_held() {
  if (early_.empty()) return;
  writer_.data(early_.view(), false);
  early_.clear();
}

void H1ClientCodec::send_trailers(const Fields& trailers) {
  if (!asking_.is(H1Asking::body)) return;
  if (!writer_.trailers(trailers)) {
    asking_.on(H1AskEvent::broken);
    return ask_failed();
  }
  ask_ended();
}

void H1ClientCodec::ask_ended() {
  asking_.on(H1AskEvent::ended);
  if (reading_.is(H1ClientReading::tunnel)) wire_.end_output();
  if (reading_.is(H1ClientReading::done)) close_stream();
}

// produce() notifies the sink: not from inside one of its calls.
void H1ClientCodec::ask_failed() {
  counters_.malformed.add();
  wire_.want_write();
}

void H1ClientCodec::reset(StreamEnd) {
  if (sink_ == nullptr) return;
  const bool untouched = asking_.is(H1Asking::owed) || asking_.is(H1Asking::unsent);
  if (untouched && reading_.is(H1ClientReading::head)) return close_stream();
  // A request cut short must look cut short; after a whole one a plain close says enough.
  const bool cut = !asking_.is(H1Asking::done);
  detach();
  reading_.on(H1ClientReadEvent::stopped);
  wire_.abort(cut);
  retire();
  events_.on_capacity();
}

void H1ClientCodec::pause(bool paused) {
  if (sink_ == nullptr || paused_ == paused) return;
  paused_ = paused;
  wire_.pause_reading(paused);
}

// --- Reading -------------------------------------------------------------------------------------

std::size_t H1ClientCodec::feed(std::string_view bytes, std::uint64_t) {
  std::string_view in = bytes;
  feeding_ = true;
  while (step(in)) {
  }
  feeding_ = false;
  if (sink_ == nullptr) forget();
  return bytes.size() - in.size();
}

bool H1ClientCodec::step(std::string_view& in) {
  if (in.empty()) return false;
  switch (reading_.state()) {
    case H1ClientReading::idle:
      met_http2_ = begins_http2(in);
      unsolicited();
      return true;
    case H1ClientReading::head:
      return read_head(in);
    case H1ClientReading::body:
    case H1ClientReading::tunnel:
      return read_body(in);
    case H1ClientReading::done:
    case H1ClientReading::over:
      in = {};
      return false;
  }
  return false;
}

// Bytes that answer nothing: whatever they are, the next answer could not be trusted.
void H1ClientCodec::unsolicited() {
  counters_.glitches.add();
  reading_.on(H1ClientReadEvent::stopped);
  wire_.abort(false);
  retire();
}

// A server of HTTP/2 says SETTINGS first, whatever it is sent (RFC 9113 section 3.4), or nothing
// but GOAWAY. No answer of HTTP/1 begins with the zero of a frame's length.
bool H1ClientCodec::begins_http2(std::string_view in) const {
  constexpr char settings = 4, goaway = 7;
  return !used_ && in.size() >= 4 && in[0] == '\0' && (in[3] == settings || in[3] == goaway);
}

bool H1ClientCodec::read_head(std::string_view& in) {
  // Whether it does shows with the fourth byte.
  if (!used_ && in[0] == '\0' && in.size() < 4) return false;
  if (begins_http2(in)) {
    met_http2_ = true;
    break_off(StreamEnd::wrong_version);
    return true;
  }
  // An answer to a request that is not out.
  if (asking_.is(H1Asking::owed) || asking_.is(H1Asking::unsent)) {
    counters_.glitches.add();
    break_off(StreamEnd::protocol_error);
    return true;
  }
  if (asking_.is(H1Asking::failed)) {
    break_off(StreamEnd::local);
    return true;
  }
  H1Verdict verdict = parser_.feed(in);
  if (verdict == H1Verdict::need_more) return false;
  if (verdict == H1Verdict::complete) {
    const std::string_view text = in.substr(0, parser_.size());
    in.remove_prefix(text.size());
    verdict = read_answer(parser_, text, asked_, head_, framing_);
    if (verdict == H1Verdict::complete) return begin_answer(in);
  }
  const bool large = verdict == H1Verdict::too_large;
  (large ? counters_.too_large : counters_.malformed).add();
  break_off(large ? StreamEnd::too_large : StreamEnd::protocol_error);
  return true;
}

bool H1ClientCodec::begin_answer(std::string_view rest) {
  if (head_.status < 200 && head_.status != 101) {
    if (++interims_ > limits_.interims) {
      counters_.floods.add();
      break_off(StreamEnd::flood);
      return true;
    }
    sink_->on_interim(head_);
    forget();
    return true;
  }
  if (head_.status == 101 && !proves_websocket(head_)) {
    counters_.malformed.add();
    break_off(StreamEnd::protocol_error);
    return true;
  }
  const bool bodyless = framing_.body == H1Body::none;
  if (bodyless) {
    reading_.on(H1ClientReadEvent::bodyless);
    judge_reuse(rest);
  } else {
    reading_.on(framing_.body == H1Body::tunnel ? H1ClientReadEvent::switched
                                                : H1ClientReadEvent::with_body);
    reader_.begin(framing_);
  }
  const bool held = !early_.empty();
  if (reading_.is(H1ClientReading::tunnel)) {
    send_held();
    if (asking_.is(H1Asking::done)) wire_.end_output();
  }
  sink_->on_head(head_, bodyless);
  // A user that saw above_high() while bytes were waiting is owed this.
  if (held && reading_.is(H1ClientReading::tunnel) && sink_ != nullptr) sink_->on_drained();
  forget();
  if (bodyless) answer_ended();
  return true;
}

// The proof of a key that we made stays here; one of a client's own key is the client's to check.
bool H1ClientCodec::proves_websocket(Head& head) const {
  if (!key_made_) return true;
  const WebsocketAccept accept = websocket_accept({key_.data(), key_.size()});
  const bool proves = head.fields.value(Known::sec_websocket_accept) ==
                      std::string_view(accept.data(), accept.size());
  head.fields.remove(Known::sec_websocket_accept);
  return proves;
}

bool H1ClientCodec::read_body(std::string_view& in) {
  using Kind = H1BodyReader::Step::Kind;
  const H1BodyReader::Step part = reader_.next(in);
  switch (part.kind) {
    case Kind::need_more:
      return false;
    case Kind::data:
    case Kind::trailers:
      break;
    case Kind::malformed:
      counters_.malformed.add();
      break_off(StreamEnd::protocol_error);
      return true;
    case Kind::too_large:
      counters_.too_large.add();
      break_off(StreamEnd::too_large);
      return true;
  }
  if (part.end) {
    reading_.on(H1ClientReadEvent::ended);
    judge_reuse(in);
  }
  if (part.kind == Kind::data) {
    sink_->on_data(part.data, part.end);
  } else {
    Fields trailers(arena_);
    counters_.twins.add(read_trailers(parser_, part.data, trailers));
    sink_->on_trailers(trailers);
  }
  if (part.end) answer_ended();
  return true;
}

// At the end of the answer, before it is reported: another exchange may follow only if both
// messages agree to it, the request was out before the answer ended, and nothing is left over.
void H1ClientCodec::judge_reuse(std::string_view rest) {
  if (!rest.empty()) counters_.glitches.add();
  reusable_ = framing_.keep_alive && rest.empty() && asking_.is(H1Asking::done) &&
              !asks_for_tunnel() && !input_ended_;
}

// After the sink has heard of the answer's end; it may have reset the stream meanwhile.
void H1ClientCodec::answer_ended() {
  if (reading_.is(H1ClientReading::done) && asking_.is(H1Asking::done)) close_stream();
}

void H1ClientCodec::input_ended() {
  input_ended_ = true;
  switch (reading_.state()) {
    case H1ClientReading::idle:
      reading_.on(H1ClientReadEvent::stopped);
      wire_.finish();
      return retire();
    case H1ClientReading::head:
      return break_off(lost_reason());
    case H1ClientReading::body:
      if (framing_.body != H1Body::until_close) return break_off(StreamEnd::connection_lost);
      [[fallthrough]];
    case H1ClientReading::tunnel:
      reading_.on(H1ClientReadEvent::ended);
      reusable_ = false;
      sink_->on_data({}, true);
      return answer_ended();
    case H1ClientReading::done:
    case H1ClientReading::over:
      return;
  }
}

// A reused connection that ends before the answer's first byte was most likely closed by the peer
// while the request was on its way.
StreamEnd H1ClientCodec::lost_reason() const {
  const bool silent = reading_.is(H1ClientReading::head) && !parser_.begun() && interims_ == 0;
  return silent && used_ ? StreamEnd::stale : StreamEnd::connection_lost;
}

void H1ClientCodec::connection_lost(bool) {
  const StreamEnd reason = lost_reason();
  reading_.on(H1ClientReadEvent::stopped);
  if (StreamSink* const sink = detach()) sink->on_reset(reason);
}

void H1ClientCodec::output_drained() {
  if (sink_ != nullptr) sink_->on_drained();
}

void H1ClientCodec::produce() {
  if (asking_.is(H1Asking::failed)) return break_off(StreamEnd::local);
  if (!asking_.is(H1Asking::unsent)) return;
  std::exchange(sink_, nullptr)->on_reset(StreamEnd::local);
  close_stream();
}

void H1ClientCodec::drain() {
  retired_ = true;
  if (!reading_.is(H1ClientReading::idle)) return;
  reading_.on(H1ClientReadEvent::stopped);
  wire_.finish();
}

// --- Endings -------------------------------------------------------------------------------------

// Both messages have ended, or none has begun.
void H1ClientCodec::close_stream() {
  detach();
  if (reusable_ && !retired_) {
    used_ = used_ || reading_.is(H1ClientReading::done);
    reading_.on(H1ClientReadEvent::closed);
  } else {
    reading_.on(H1ClientReadEvent::stopped);
    wire_.finish();
    retire();
  }
  events_.on_capacity();
}

// The stream can't go on, and neither can the connection.
void H1ClientCodec::break_off(StreamEnd reason) {
  reading_.on(H1ClientReadEvent::stopped);
  if (StreamSink* const sink = detach()) sink->on_reset(reason);
  wire_.abort(true);
  retire();
  events_.on_capacity();
}

StreamSink* H1ClientCodec::detach() {
  asking_.on(H1AskEvent::closed);
  if (paused_) wire_.pause_reading(false);
  paused_ = false;
  if (!early_.empty()) early_.clear();
  if (!feeding_) forget();
  return std::exchange(sink_, nullptr);
}

// Gives back what the answer's head or trailers held.
void H1ClientCodec::forget() {
  head_.clear();
  parser_.restart(H1Parser::Kind::response);
  arena_.reset();
}

void H1ClientCodec::retire() {
  if (!std::exchange(retired_, true)) events_.on_retiring();
}

}  // namespace outrigger::http
