#pragma once

// The server's side of one HTTP/1 connection: requests in, answers out, one at a time. Owned by the
// connection's owner, one thread. See http/codec.h for the order of calls.
//
// Two machines move side by side. What is read:
//   head -> body -> whole -> head …        whole: nothing is consumed until the answer has ended
//   head -> held -> tunnel -> whole        held: an upgrade or CONNECT, bytes wait for the answer;
//                                          an upgrade may have a body before that
//   body -> drain -> head                  the answer ended first: the rest is read and dropped
// and what is sent:
//   idle -> awaited -> body -> idle …      or tunnel; or refused and cut, when it could not be sent
// No head is begun while the output is above its high watermark, and no more than `heads_a_feed` in
// one feed: a client that pipelines and never reads costs no more than one that does, and one that
// does lets others have their turn.
// It ends with Wire::finish() after an answer that says close, after a malformed request (answered
// here, see ServerEvents::on_refused()) or when draining; with Wire::abort() when an answer is cut
// short.

#include "base/arena.h"
#include "base/state_table.h"
#include "http/codec.h"
#include "http/h1_body.h"
#include "http/h1_message.h"
#include "http/h1_parser.h"
#include "http/local_reply.h"

namespace outrigger::http {

enum class H1Reading : std::uint8_t { head, body, whole, held, tunnel, drain, over };
enum class H1ReadEvent : std::uint8_t {
  bodyless,    // a head, and that was the request
  with_body,   // a head
  with_hold,   // a head, or its body's end, that asks for a tunnel
  body_ended,  // also: the peer ended its side of the tunnel
  switched,    // the answer opens the tunnel
  declined,    // it does not
  answered,    // the answer has ended
  stopped,     // nothing more is read
};
inline constexpr StateTable<H1Reading, H1ReadEvent, 18> h1_server_reading{{{
    {H1Reading::head, H1ReadEvent::bodyless, H1Reading::whole},
    {H1Reading::whole, H1ReadEvent::answered, H1Reading::head},
    {H1Reading::head, H1ReadEvent::with_body, H1Reading::body},
    {H1Reading::body, H1ReadEvent::body_ended, H1Reading::whole},
    {H1Reading::body, H1ReadEvent::answered, H1Reading::drain},
    {H1Reading::drain, H1ReadEvent::body_ended, H1Reading::head},
    {H1Reading::head, H1ReadEvent::with_hold, H1Reading::held},
    {H1Reading::body, H1ReadEvent::with_hold, H1Reading::held},
    {H1Reading::held, H1ReadEvent::switched, H1Reading::tunnel},
    {H1Reading::held, H1ReadEvent::declined, H1Reading::whole},
    {H1Reading::tunnel, H1ReadEvent::body_ended, H1Reading::whole},
    {H1Reading::head, H1ReadEvent::stopped, H1Reading::over},
    {H1Reading::body, H1ReadEvent::stopped, H1Reading::over},
    {H1Reading::whole, H1ReadEvent::stopped, H1Reading::over},
    {H1Reading::held, H1ReadEvent::stopped, H1Reading::over},
    {H1Reading::tunnel, H1ReadEvent::stopped, H1Reading::over},
    {H1Reading::drain, H1ReadEvent::stopped, H1Reading::over},
    {H1Reading::over, H1ReadEvent::stopped, H1Reading::over},
}}};

// refused: the answer could not be written and ours was instead; cut: it broke off in the middle.
// In both what the user still sends is dropped, and the stream ends with its end or ours.
enum class H1Answering : std::uint8_t { idle, awaited, body, tunnel, refused, cut };
enum class H1AnswerEvent : std::uint8_t { asked, head, switched, failed, ended };
inline constexpr StateTable<H1Answering, H1AnswerEvent, 11> h1_server_answering{{{
    {H1Answering::idle, H1AnswerEvent::asked, H1Answering::awaited},
    {H1Answering::awaited, H1AnswerEvent::head, H1Answering::body},
    {H1Answering::body, H1AnswerEvent::ended, H1Answering::idle},
    {H1Answering::awaited, H1AnswerEvent::ended, H1Answering::idle},
    {H1Answering::awaited, H1AnswerEvent::switched, H1Answering::tunnel},
    {H1Answering::tunnel, H1AnswerEvent::ended, H1Answering::idle},
    {H1Answering::awaited, H1AnswerEvent::failed, H1Answering::refused},
    {H1Answering::body, H1AnswerEvent::failed, H1Answering::cut},
    {H1Answering::refused, H1AnswerEvent::ended, H1Answering::idle},
    {H1Answering::cut, H1AnswerEvent::ended, H1Answering::idle},
    {H1Answering::tunnel, H1AnswerEvent::failed, H1Answering::cut},
}}};

class H1ServerCodec final : public ServerCodec, private Stream {
 public:
  // `scheme`: "http" or "https", as the connection is. All references outlive the codec.
  H1ServerCodec(Wire& wire, ServerEvents& events, const CodecLimits& limits,
                CodecCounters& counters, BlockPool& blocks, std::string_view scheme);

  static constexpr int heads_a_feed = 128;

  std::size_t feed(std::string_view bytes, std::uint64_t now_ms) override;
  void input_ended() override;
  void input_ends_within(std::size_t most) override;
  void connection_lost(bool reset) override;
  void output_drained() override;
  void produce() override;
  void drain() override;
  Version version() const override;
  std::size_t open_streams() const override { return sink_ == nullptr ? 0 : 1; }
  // Any byte counts, whether it begins a head or not, as long as it is the peer who is waited for.
  bool receiving_head() const override {
    return reading_.is(H1Reading::head) && stall_ == Stall::none &&
           (head_begun() || left_over_ > 0);
  }
  bool reader_may_stall() const override;
  void head_late(std::string_view kept) override;

 private:
  // What only a request under way needs. It lives in the arena, so that an idle connection is
  // small.
  struct Request {
    Request(Arena& arena, const CodecLimits& limits)
        : head(arena), parser(H1Parser::Kind::request, limits, arena), reader(limits, parser) {}
    Head head;
    H1Parser parser;
    H1BodyReader reader;
    H1Framing framing;
  };

  void send_interim(const Head& head) override;
  void send_head(const Head& head, bool end) override;
  void send_data(std::string_view bytes, bool end) override;
  void send_trailers(const Fields& trailers) override;
  void reset(StreamEnd reason) override;
  void pause(bool paused) override;
  bool above_high() const override { return wire_.above_high(); }

  bool step(std::string_view& in);
  bool skip_empty_line(std::string_view& in);
  bool head_begun() const { return request_ != nullptr && request_->parser.begun(); }
  bool may_begin_head();
  bool read_head(std::string_view& in);
  void begin_exchange();
  bool read_body(std::string_view& in);
  bool read_rest(std::string_view& in);
  bool hold(std::string_view in);
  void finish_input();
  Request& request();
  void refuse(H1Verdict verdict, std::string_view text);
  LocalReply write_own_answer(int status, Flag flag, std::string_view detail);
  bool looks_like_http1(std::string_view text) const;
  void break_off(StreamEnd reason, H1Verdict verdict);

  bool must_close() const;
  bool opens_tunnel(const Head& answer) const;
  bool write_head(const Head& head, bool end);
  bool write_switch(const Head& head);
  void answer_failed(bool end);
  void answer_ended();
  enum class Cut : std::uint8_t { by_reset, in_order };
  void give_up(StreamEnd reason, bool tell, Cut cut = Cut::by_reset);

  StreamSink* detach();
  void release();
  void stop() { reading_.on(H1ReadEvent::stopped); }

  Wire& wire_;
  ServerEvents& events_;
  const CodecLimits& limits_;
  CodecCounters& counters_;
  const std::string_view scheme_;
  StreamSink* sink_ = nullptr;  // of the open stream
  Arena arena_;
  Request* request_ = nullptr;  // from a head's first byte until the request and its answer ended
  H1BodyWriter writer_;
  std::size_t left_over_ = 0;  // fed and not consumed
  std::size_t drained_ = 0;
  Machine<h1_server_reading> reading_{H1Reading::head};
  Machine<h1_server_answering> answering_{H1Answering::idle};
  // What the next head waits for, though bytes of it are here.
  enum class Stall : std::uint8_t { none, output, turn } stall_ = Stall::none;
  std::uint8_t heads_ = 0;  // begun in this feed
  bool feeding_ = false;
  bool closing_ = false;   // after this answer
  bool draining_ = false;  // no more requests
  bool input_ended_ = false;
  bool paused_ = false;
  bool hold_paused_ = false;  // too much held: reading waits for the answer
  bool empty_line_ = false;   // one before the request line has been skipped
  bool continue_sent_ = false;
  bool trailers_wanted_ = false;
  bool asked_ = false;  // a request has come: the peer speaks HTTP/1
};

}  // namespace outrigger::http
