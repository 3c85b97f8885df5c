#pragma once

// The client's side of one HTTP/1 connection: one exchange at a time, and another only when both
// messages ended cleanly and not a byte was left over. Owned by the connection's owner, one thread.
// See http/codec.h for the order of calls.
//
// Two machines move side by side. What is read:
//   idle -> head -> body -> done -> idle …     or tunnel; done: the request has not ended yet
// and what is sent:
//   idle -> owed -> body -> done -> idle …     or failed, when the request could not be sent
// What is sent into a tunnel before the peer has agreed to it waits here: the peer would read it as
// another request.
// It ends with Wire::finish() after an answer that says close, after an upgrade or an early answer,
// or when draining; with Wire::abort() on whatever breaks the protocol, and when a stream is reset.

#include "base/arena.h"
#include "base/random.h"
#include "base/state_table.h"
#include "http/codec.h"
#include "http/h1_body.h"
#include "http/h1_message.h"
#include "http/h1_parser.h"
#include "http/h1_websocket.h"

namespace outrigger::http {

enum class H1ClientReading : std::uint8_t { idle, head, body, tunnel, done, over };
enum class H1ClientReadEvent : std::uint8_t {
  opened,    // a stream
  bodyless,  // the answer's head, and that was all
  with_body,
  switched,  // the answer's head opens a tunnel
  ended,     // the answer
  closed,    // the stream, and the connection may be used again
  stopped,   // nothing more is read
};
inline constexpr StateTable<H1ClientReading, H1ClientReadEvent, 14> h1_client_reading{{{
    {H1ClientReading::idle, H1ClientReadEvent::opened, H1ClientReading::head},
    {H1ClientReading::head, H1ClientReadEvent::with_body, H1ClientReading::body},
    {H1ClientReading::body, H1ClientReadEvent::ended, H1ClientReading::done},
    {H1ClientReading::done, H1ClientReadEvent::closed, H1ClientReading::idle},
    {H1ClientReading::head, H1ClientReadEvent::bodyless, H1ClientReading::done},
    {H1ClientReading::head, H1ClientReadEvent::switched, H1ClientReading::tunnel},
    {H1ClientReading::tunnel, H1ClientReadEvent::ended, H1ClientReading::done},
    {H1ClientReading::head, H1ClientReadEvent::closed, H1ClientReading::idle},
    {H1ClientReading::idle, H1ClientReadEvent::stopped, H1ClientReading::over},
    {H1ClientReading::head, H1ClientReadEvent::stopped, H1ClientReading::over},
    {H1ClientReading::body, H1ClientReadEvent::stopped, H1ClientReading::over},
    {H1ClientReading::tunnel, H1ClientReadEvent::stopped, H1ClientReading::over},
    {H1ClientReading::done, H1ClientReadEvent::stopped, H1ClientReading::over},
    {H1ClientReading::over, H1ClientReadEvent::stopped, H1ClientReading::over},
}}};

// unsent: refused before a byte was written, the connection is as good as before; failed: in the
// middle. Both end with on_reset() in the same turn.
enum class H1Asking : std::uint8_t { idle, owed, body, done, unsent, failed };
enum class H1AskEvent : std::uint8_t { opened, head, ended, refused, broken, closed };
inline constexpr StateTable<H1Asking, H1AskEvent, 12> h1_client_asking{{{
    {H1Asking::idle, H1AskEvent::opened, H1Asking::owed},
    {H1Asking::owed, H1AskEvent::head, H1Asking::body},
    {H1Asking::body, H1AskEvent::ended, H1Asking::done},
    {H1Asking::done, H1AskEvent::closed, H1Asking::idle},
    {H1Asking::owed, H1AskEvent::refused, H1Asking::unsent},
    {H1Asking::body, H1AskEvent::broken, H1Asking::failed},
    {H1Asking::idle, H1AskEvent::closed, H1Asking::idle},
    {H1Asking::owed, H1AskEvent::closed, H1Asking::idle},
    {H1Asking::body, H1AskEvent::closed, H1Asking::idle},
    {H1Asking::unsent, H1AskEvent::closed, H1Asking::idle},
    {H1Asking::failed, H1AskEvent::closed, H1Asking::idle},
    {H1Asking::done, H1AskEvent::ended, H1Asking::done},
}}};

class H1ClientCodec final : public ClientCodec, private Stream {
 public:
  // `seed`: for the WebSocket keys that HTTP/2 clients do not bring. All references outlive the
  // codec.
  H1ClientCodec(Wire& wire, ClientEvents& events, const CodecLimits& limits,
                CodecCounters& counters, BlockPool& blocks, std::uint64_t seed = 0);

  Stream& open(StreamSink& sink) override;
  std::size_t capacity() const override;
  std::size_t read_max() override { return sink_ != nullptr ? sink_->piece_max() : any_piece; }
  std::size_t feed(std::string_view bytes, std::uint64_t now_ms) override;
  void input_ended() override;
  void connection_lost(bool reset) override;
  void output_drained() override;
  void produce() override;
  void drain() override;
  Version version() const override { return Version::http11; }
  std::size_t open_streams() const override { return sink_ == nullptr ? 0 : 1; }
  bool receiving_head() const override { return false; }
  bool met_http2() const override { return met_http2_; }

 private:
  void send_interim(const Head&) override {}
  void send_head(const Head& head, bool end) override;
  void send_data(std::string_view bytes, bool end) override;
  void send_trailers(const Fields& trailers) override;
  void reset(StreamEnd reason) override;
  void pause(bool paused) override;
  bool above_high() const override { return wire_.above_high() || !early_.empty(); }

  bool write_head(const Head& head, bool end);
  bool asks_for_tunnel() const { return asked_.connect || !asked_.protocol.empty(); }
  bool send_early(std::string_view bytes, bool end);
  void send_held();
  void ask_ended();
  void ask_failed();

  bool step(std::string_view& in);
  bool begins_http2(std::string_view in) const;
  bool read_head(std::string_view& in);
  bool begin_answer(std::string_view rest);
  bool read_body(std::string_view& in);
  bool proves_websocket(Head& head) const;
  void judge_reuse(std::string_view rest);
  void answer_ended();
  void unsolicited();

  void close_stream();
  void break_off(StreamEnd reason);
  StreamEnd lost_reason() const;
  StreamSink* detach();
  void forget();
  void retire();

  Wire& wire_;
  ClientEvents& events_;
  const CodecLimits& limits_;
  CodecCounters& counters_;
  StreamSink* sink_ = nullptr;
  Arena arena_;
  Head head_;
  H1Parser parser_;
  H1BodyReader reader_;
  H1BodyWriter writer_;
  H1Framing framing_;  // of the answer
  H1Asked asked_;
  std::uint64_t upgrade_body_left_ = 0;  // of the body in front of a tunnel
  net::Buffer early_;                    // for the tunnel, until the peer has agreed to it
  Random random_;
  WebsocketKey key_{};  // the one we made
  Machine<h1_client_reading> reading_{H1ClientReading::idle};
  Machine<h1_client_asking> asking_{H1Asking::idle};
  std::uint32_t interims_ = 0;
  bool feeding_ = false;  // a callback may be looking at the answer's head or trailers
  bool key_made_ = false;
  bool used_ = false;  // an exchange has ended on this connection
  bool met_http2_ = false;
  bool reusable_ = true;
  bool retired_ = false;
  bool input_ended_ = false;
  bool paused_ = false;
};

}  // namespace outrigger::http
