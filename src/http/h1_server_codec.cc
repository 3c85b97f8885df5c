#include "http/h1_server_codec.h"

#include <new>
#include <type_traits>

#include "base/check.h"
#include "http/h1_encoder.h"
#include "http/h1_websocket.h"

namespace outrigger::http {
namespace {

int status_of(H1Verdict verdict) {
  switch (verdict) {
    case H1Verdict::too_large:
      return 431;
    case H1Verdict::unsupported:
      return 505;
    case H1Verdict::expectation:
      return 417;
    case H1Verdict::late:
      return 408;
    default:
      return 400;
  }
}

std::string_view detail_of(H1Verdict verdict) {
  switch (verdict) {
    case H1Verdict::too_large:
      return "the request head or a part of it is too large";
    case H1Verdict::unsupported:
      return "the version is neither HTTP/1.0 nor HTTP/1.1";
    case H1Verdict::expectation:
      return "the expectation cannot be met";
    case H1Verdict::late:
      return "the request head did not arrive in time";
    default:
      return "the request is malformed";
  }
}

}  // namespace

H1ServerCodec::H1ServerCodec(Wire& wire, ServerEvents& events, const CodecLimits& limits,
                             CodecCounters& counters, BlockPool& blocks, std::string_view scheme)
    : wire_(wire),
      events_(events),
      limits_(limits),
      counters_(counters),
      scheme_(scheme),
      arena_(blocks),
      writer_(wire) {}

Version H1ServerCodec::version() const {
  return request_ == nullptr ? Version::http11 : request_->head.version;
}

// --- Reading -------------------------------------------------------------------------------------

std::size_t H1ServerCodec::feed(std::string_view bytes, std::uint64_t) {
  std::string_view in = bytes;
  feeding_ = true;
  stall_ = Stall::none;
  heads_ = 0;
  writer_.hold();
  while (step(in)) {
  }
  left_over_ = in.size();
  feeding_ = false;
  finish_input();
  // What finish() and abort() have closed is not flushed again.
  writer_.release(!reading_.is(H1Reading::over));
  if (stall_ == Stall::output && !wire_.above_high()) stall_ = Stall::turn;
  if (stall_ == Stall::turn) wire_.redeliver();
  return bytes.size() - in.size();
}

// One message part. False when nothing can be done with what there is.
bool H1ServerCodec::step(std::string_view& in) {
  switch (reading_.state()) {
    case H1Reading::head:
      return read_head(in);
    case H1Reading::body:
    case H1Reading::tunnel:
      return read_body(in);
    case H1Reading::drain:
      return read_rest(in);
    case H1Reading::held:
      return hold(in);
    case H1Reading::whole:
      return false;
    case H1Reading::over:
      in = {};
      return false;
  }
  return false;
}

// An empty line before the request line is skipped, once (RFC 9112 section 2.2).
bool H1ServerCodec::skip_empty_line(std::string_view& in) {
  if (empty_line_ || head_begun() || !in.starts_with("\r\n")) return false;
  empty_line_ = true;
  in.remove_prefix(2);
  return true;
}

bool H1ServerCodec::may_begin_head() {
  if (wire_.above_high()) {
    stall_ = Stall::output;
  } else if (heads_ == heads_a_feed) {
    stall_ = Stall::turn;
  }
  return stall_ == Stall::none;
}

bool H1ServerCodec::read_head(std::string_view& in) {
  if (in.empty() || (!head_begun() && !may_begin_head())) return false;
  if (in == "\r" && !empty_line_) return false;
  if (skip_empty_line(in)) return true;
  H1Verdict verdict = request().parser.feed(in);
  if (verdict == H1Verdict::need_more) return false;
  std::string_view text = in;
  if (verdict == H1Verdict::complete) {
    text = arena_.copy(in.substr(0, request_->parser.size()));
    in.remove_prefix(text.size());
    verdict = read_request(request_->parser, text, scheme_, *limits_.upgrades, request_->head,
                           request_->framing);
    if (request_->framing.twins > 0) counters_.twins.add(request_->framing.twins);
  }
  if (verdict == H1Verdict::complete) {
    begin_exchange();
  } else {
    refuse(verdict, text);
  }
  return true;
}

H1ServerCodec::Request& H1ServerCodec::request() {
  if (request_ == nullptr) {
    request_ = new (arena_.allocate(sizeof(Request), alignof(Request))) Request(arena_, limits_);
  }
  return *request_;
}

void H1ServerCodec::begin_exchange() {
  const bool bodyless = request_->framing.body == H1Body::none;
  continue_sent_ = empty_line_ = false;
  asked_ = true;
  ++heads_;
  if (bodyless) {
    reading_.on(H1ReadEvent::bodyless);
  } else if (request_->framing.body == H1Body::tunnel) {
    reading_.on(H1ReadEvent::with_hold);
  } else {
    reading_.on(H1ReadEvent::with_body);
    request_->reader.begin(request_->framing);
  }
  answering_.on(H1AnswerEvent::asked);
  sink_ = &events_.on_stream(*this);
  sink_->on_head(request_->head, bodyless);
}

bool H1ServerCodec::read_body(std::string_view& in) {
  using Kind = H1BodyReader::Step::Kind;
  const H1BodyReader::Step part = request_->reader.next(in);
  switch (part.kind) {
    case Kind::need_more:
      return false;
    case Kind::data: {
      const bool tunnel_follows = part.end && request_->framing.upgrade;
      if (tunnel_follows) {
        reading_.on(H1ReadEvent::with_hold);
      } else if (part.end) {
        reading_.on(H1ReadEvent::body_ended);
      }
      sink_->on_data(part.data, part.end && !tunnel_follows);
      return true;
    }
    case Kind::trailers: {
      reading_.on(H1ReadEvent::body_ended);
      Fields trailers(arena_);
      counters_.twins.add(read_trailers(request_->parser, part.data, trailers));
      sink_->on_trailers(trailers);
      return true;
    }
    case Kind::malformed:
      break_off(StreamEnd::protocol_error, H1Verdict::malformed);
      return true;
    case Kind::too_large:
      break_off(StreamEnd::too_large, H1Verdict::too_large);
      return true;
  }
  return false;
}

// The answer is out; what is left of the request is dropped, up to a limit.
bool H1ServerCodec::read_rest(std::string_view& in) {
  using Kind = H1BodyReader::Step::Kind;
  const std::size_t before = in.size();
  const H1BodyReader::Step part = request_->reader.next(in);
  drained_ += before - in.size();
  const bool broken = part.kind == Kind::malformed || part.kind == Kind::too_large;
  if (broken) counters_.malformed.add();
  if (broken || drained_ > limits_.drain_bytes) {
    stop();
    wire_.finish();
    return true;
  }
  if (part.end) {
    reading_.on(H1ReadEvent::body_ended);
    release();
  }
  return part.kind != Kind::need_more;
}

bool H1ServerCodec::hold(std::string_view in) {
  if (in.size() > limits_.upgrade_hold && !hold_paused_) {
    hold_paused_ = true;
    wire_.pause_reading(true);
  }
  return false;
}

// What follows from the end of the input once everything before it has been consumed.
void H1ServerCodec::finish_input() {
  if (!input_ended_ || feeding_) return;
  if (reading_.is(H1Reading::tunnel) && left_over_ == 0) {
    reading_.on(H1ReadEvent::body_ended);
    sink_->on_data({}, true);
  } else if (reading_.is(H1Reading::body) && stall_ == Stall::none) {
    // Of a request that waited behind another one: the rest of its body never comes.
    give_up(StreamEnd::cancelled, true);
  } else if ((reading_.is(H1Reading::head) && stall_ == Stall::none) ||
             reading_.is(H1Reading::drain)) {
    stop();
    wire_.finish();
  }
}

void H1ServerCodec::input_ended() {
  input_ended_ = true;
  // Half a request; or a caller that has gone while its answer is being made: a client that only
  // closes its sending side looks the same, and doing work for nobody is the worse mistake.
  const bool abandoned = reading_.is(H1Reading::whole) && left_over_ == 0;
  if (reading_.is(H1Reading::body) || abandoned) {
    give_up(StreamEnd::cancelled, true);
  } else {
    finish_input();
  }
}

void H1ServerCodec::input_ends_within(std::size_t most) {
  if (reading_.is(H1Reading::body) && request_->reader.left() > most)
    give_up(StreamEnd::cancelled, true);
}

bool H1ServerCodec::reader_may_stall() const {
  return answering_.is(H1Answering::tunnel) || (sink_ != nullptr && request_->head.is_grpc());
}

void H1ServerCodec::connection_lost(bool) {
  stop();
  StreamSink* const sink = detach();
  if (sink == nullptr) return;
  sink->on_reset(StreamEnd::cancelled);
  release();
  events_.on_idle();
}

void H1ServerCodec::produce() {
  if (answering_.is(H1Answering::refused) || answering_.is(H1Answering::cut)) {
    give_up(StreamEnd::local, true);
  } else {
    finish_input();
  }
}

void H1ServerCodec::output_drained() {
  if (sink_ != nullptr) sink_->on_drained();
  if (stall_ == Stall::output) wire_.redeliver();
}

void H1ServerCodec::drain() {
  draining_ = true;
  const bool idle = reading_.is(H1Reading::head) && !head_begun() && left_over_ == 0;
  if (!idle && !reading_.is(H1Reading::drain)) return;
  stop();
  wire_.finish();
}

// --- Refusing ------------------------------------------------------------------------------------

// A head that reaches no sink. `text` is what has arrived of it.
void H1ServerCodec::refuse(H1Verdict verdict, std::string_view text) {
  (verdict == H1Verdict::too_large ? counters_.too_large : counters_.malformed).add();
  stop();
  Head& head = request().head;
  if (head.method_text.empty()) {
    head.method_text = request_->parser.method().in(text);
    head.method = parse_method(head.method_text);
  }
  if (head.path.empty()) head.path = request_->parser.target().in(text);
  Refusal refusal{.head = head};
  if (asked_ || looks_like_http1(text)) {
    const LocalReply reply = write_own_answer(status_of(verdict), Flag::DPE, detail_of(verdict));
    refusal.status = reply.status;
    refusal.grpc_status = reply.grpc_status;
    if (head.method != Method::head) refusal.bytes_out = reply.body.size();
  }
  events_.on_refused(refusal);
  release();
  wire_.finish();
}

// Not so: three words like a request line's, with no method that anybody knows, no target and no
// version of HTTP. That is a client that speaks HTTP/2, say, and has its preface wrong; it could
// not read our answer (RFC 9113 section 3.4).
bool H1ServerCodec::looks_like_http1(std::string_view text) const {
  const H1Parser::Slice target = request_->parser.target();
  if (request_->head.method != Method::other || target.size == 0) return true;
  const char first = text[target.at];
  const std::size_t end = target.at + target.size;
  if (first == '/' || first == '*' || end == text.size() || text[end] != ' ') return true;
  return text.substr(end, text.find('\r') - end).find("HTTP/") != text.npos;
}

// Instead of an answer that somebody else would give, and the connection's last.
LocalReply H1ServerCodec::write_own_answer(int status, Flag flag, std::string_view detail) {
  Head& asked = request_->head;
  const LocalReply reply = make_local_reply(arena_, status, flag, detail, asked.is_grpc());
  Head head(arena_);
  fill_reply_head(head, reply, flag, wire_.date());
  H1HeadExtras extras;
  extras.length = reply.body.size();
  extras.close = true;
  check(write_answer_head(wire_.output(), head, extras), "our own answer can't be written");
  if (asked.method != Method::head) wire_.output().append(reply.body);
  return reply;
}

void H1ServerCodec::head_late(std::string_view kept) {
  if (reading_.is(H1Reading::head)) refuse(H1Verdict::late, kept);
}

// A malformed body: the stream ends, with an error response if nothing has been sent yet.
void H1ServerCodec::break_off(StreamEnd reason, H1Verdict verdict) {
  (verdict == H1Verdict::too_large ? counters_.too_large : counters_.malformed).add();
  if (answering_.is(H1Answering::awaited)) {
    write_own_answer(status_of(verdict), Flag::DPE, detail_of(verdict));
    answering_.on(H1AnswerEvent::failed);
  }
  give_up(reason, true);
}

// --- Answering -----------------------------------------------------------------------------------

void H1ServerCodec::send_interim(const Head& head) {
  if (!answering_.is(H1Answering::awaited) || request_->head.version == Version::http10) return;
  if (!is_bodyless(head.status) || head.status >= 200 || head.status == 101) return;
  if (!write_answer_head(wire_.output(), head, {})) return;
  if (head.status == 100) continue_sent_ = true;
  writer_.send();
}

// Whether the connection ends with this answer: somebody wants it, or the rest of the request is
// too long to be dropped, or might never come (a client that waits for its 100).
bool H1ServerCodec::must_close() const {
  if (!request_->framing.keep_alive || draining_ || request_->head.method == Method::connect)
    return true;
  if (!reading_.is(H1Reading::body)) return false;
  return (request_->head.expect_continue && !continue_sent_) ||
         request_->reader.left() > limits_.drain_bytes;
}

bool H1ServerCodec::opens_tunnel(const Head& answer) const {
  if (request_->head.method == Method::connect) return answer.status / 100 == 2;
  return answer.status == 101 && !request_->head.protocol.empty();
}

void H1ServerCodec::send_head(const Head& head, bool end) {
  if (!answering_.is(H1Answering::awaited)) return;
  const bool tunnel = opens_tunnel(head);
  // Nobody may switch in the middle of the request.
  if (tunnel && !reading_.is(H1Reading::held)) return answer_failed(end);
  if (reading_.is(H1Reading::held) && !tunnel) reading_.on(H1ReadEvent::declined);
  if (!(tunnel ? write_switch(head) : write_head(head, end))) return answer_failed(end);
  if (end) {
    writer_.send();
    answer_ended();
  } else if (!tunnel) {
    wire_.flush_soon();
  }
}

// An answer that stays HTTP: how long it is, and whether the connection ends with it.
bool H1ServerCodec::write_head(const Head& head, bool end) {
  if (head.status < 200) return false;
  const bool describes = request_->head.method == Method::head || head.status == 304;
  H1Body body = H1Body::none;
  H1HeadExtras extras;
  if (describes) {
    extras.length = head.content_length;
  } else if (head.status == 204) {
    // Nothing to declare.
  } else if (end) {
    if (head.content_length.value_or(0) != 0) return false;
    extras.length = 0;
  } else if (head.content_length) {
    body = H1Body::length;
    extras.length = head.content_length;
  } else {
    extras.chunked = request_->head.version == Version::http11;
    body = extras.chunked ? H1Body::chunked : H1Body::until_close;
  }
  extras.close = must_close() || body == H1Body::until_close;
  extras.keep_alive = !extras.close && request_->head.version == Version::http10;
  if (head.status == 426) extras.protocol = head.protocol;
  if (!write_answer_head(wire_.output(), head, extras)) return false;
  closing_ = extras.close;
  trailers_wanted_ = request_->head.te_trailers || head.is_grpc();
  writer_.begin(body, head.content_length.value_or(0), closing_);
  answering_.on(H1AnswerEvent::head);
  return true;
}

// An answer that opens the tunnel. The bytes held back come with the next feed, not from inside
// send_head().
bool H1ServerCodec::write_switch(const Head& head) {
  H1HeadExtras extras;
  WebsocketAccept accept;
  if (head.status == 101) {
    extras.protocol = head.protocol.empty() ? request_->head.protocol : head.protocol;
    // An answer that came over HTTP/2 has not proved that it understood the key.
    if (!request_->framing.websocket_key.empty() && head.version == Version::http2 &&
        !head.fields.has(Known::sec_websocket_accept)) {
      accept = websocket_accept(request_->framing.websocket_key);
      extras.websocket = {accept.data(), accept.size()};
    }
  }
  if (!write_answer_head(wire_.output(), head, extras)) return false;
  writer_.begin(H1Body::tunnel, 0);
  writer_.send();
  answering_.on(H1AnswerEvent::switched);
  reading_.on(H1ReadEvent::switched);
  request_->framing.body = H1Body::tunnel;
  request_->framing.upgrade = false;
  request_->reader.begin(request_->framing);
  if (hold_paused_ && !paused_) wire_.pause_reading(false);
  hold_paused_ = false;
  if (left_over_ > 0 && !feeding_) wire_.redeliver();
  if (input_ended_) wire_.want_write();  // produce() reports the end
  return true;
}

void H1ServerCodec::send_data(std::string_view bytes, bool end) {
  if (answering_.is(H1Answering::idle) || answering_.is(H1Answering::awaited)) return;
  const bool dropped = answering_.is(H1Answering::refused) || answering_.is(H1Answering::cut);
  if (!dropped && !writer_.data(bytes, end)) return answer_failed(end);
  if (end) answer_ended();
}

void H1ServerCodec::send_trailers(const Fields& trailers) {
  if (answering_.is(H1Answering::idle) || answering_.is(H1Answering::awaited)) return;
  if (answering_.is(H1Answering::body)) {
    const bool sent = trailers_wanted_ ? writer_.trailers(trailers) : writer_.data({}, true);
    if (!sent) return answer_failed(true);
  }
  answer_ended();
}

// Nothing has been sent yet: our own answer goes instead. Otherwise the answer must look cut short.
void H1ServerCodec::answer_failed(bool end) {
  counters_.malformed.add();
  if (answering_.is(H1Answering::awaited))
    write_own_answer(500, Flag::UPE, "the response cannot be forwarded");
  answering_.on(H1AnswerEvent::failed);
  if (end) {
    answer_ended();
  } else {
    wire_.want_write();  // produce() notifies the sink
  }
}

void H1ServerCodec::answer_ended() {
  const bool failed = answering_.is(H1Answering::refused) || answering_.is(H1Answering::cut);
  if (failed) return give_up(StreamEnd::local, false);
  const bool last = closing_ || draining_ || answering_.is(H1Answering::tunnel);
  const bool asked_for = !request_->framing.keep_alive && reading_.is(H1Reading::whole) &&
                         left_over_ == 0 && !feeding_;
  detach();
  if (last) {
    stop();
    release();
    asked_for ? wire_.finish_at_once() : wire_.finish();
  } else if (reading_.is(H1Reading::body)) {
    reading_.on(H1ReadEvent::answered);
    drained_ = 0;
  } else {
    reading_.on(H1ReadEvent::answered);
    release();
    if (left_over_ > 0 && !feeding_) wire_.redeliver();
    if (left_over_ == 0) finish_input();
  }
  events_.on_idle();
}

// What was sent before the cut still arrives, since a reset would overtake it: where the framing
// shows that the message is short, the connection ends in order.
void H1ServerCodec::reset(StreamEnd) {
  if (sink_ == nullptr) return;
  const bool shows = answering_.is(H1Answering::body) && writer_.body() != H1Body::until_close;
  if (!shows) wire_.flush();
  give_up(StreamEnd::local, false, shows ? Cut::in_order : Cut::by_reset);
}

// Ends the stream and the connection with it. Nobody may take an answer under way for complete; our
// own answer is sent first.
void H1ServerCodec::give_up(StreamEnd reason, bool tell, Cut cut) {
  const bool in_order = answering_.is(H1Answering::refused) || cut == Cut::in_order;
  stop();
  StreamSink* const sink = detach();
  if (tell) sink->on_reset(reason);
  release();
  in_order ? wire_.finish() : wire_.abort(true);
  events_.on_idle();
}

void H1ServerCodec::pause(bool paused) {
  if (sink_ == nullptr || paused_ == paused) return;
  paused_ = paused;
  if (!hold_paused_) wire_.pause_reading(paused);
}

// --- Endings -------------------------------------------------------------------------------------

// The stream is over: its calls do nothing any more. Returns its sink, or null.
StreamSink* H1ServerCodec::detach() {
  if (sink_ == nullptr) return nullptr;
  answering_.on(H1AnswerEvent::ended);
  if (paused_ || hold_paused_) wire_.pause_reading(false);
  paused_ = hold_paused_ = false;
  return std::exchange(sink_, nullptr);
}

// Releases what the request held, once nothing can refer to it any more.
void H1ServerCodec::release() {
  static_assert(std::is_trivially_destructible_v<Request>);
  request_ = nullptr;
  arena_.reset();
}

}  // namespace outrigger::http
