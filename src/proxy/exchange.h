#pragma once

// One request and its response, from the head that came in to the last byte that went out: the sink
// of the downstream stream and the owner of the attempts upstream. Made by its HttpConnection on
// the worker's thread; storage is recycled. It is in one state of `exchange_table`; on_head() is
// the entry point, finish() the only exit, after which it belongs to Loop::retire().
//
//   on_head → find_destination → prepare_head → start_attempt → [wait for a connection]
//           → send_request → on_attempt_head → (another attempt | answer)
//           → on_attempt_data … → finish

#include <cstdint>
#include <memory>
#include <string>

#include "base/flags.h"
#include "base/recycled.h"
#include "base/state_table.h"
#include "http/stream.h"
#include "net/buffer.h"
#include "net/loop.h"
#include "policy/retry.h"
#include "policy/timeout.h"
#include "proxy/attempt.h"
#include "proxy/deadlines.h"
#include "proxy/request_body.h"
#include "proxy/scope.h"
#include "proxy/tries.h"

namespace outrigger::proxy {

enum class ExchangeState : std::uint8_t {
  begun,        // nothing decided
  attempting,   // an attempt is waiting for a connection or for its response
  backing_off,  // between two attempts
  answering,    // the response's head has been sent downstream
  done,
};
enum class ExchangeEvent : std::uint8_t { attempt, back_off, answer, end };

inline constexpr StateTable<ExchangeState, ExchangeEvent, 11> exchange_table{{{
    {ExchangeState::begun, ExchangeEvent::attempt, ExchangeState::attempting},
    {ExchangeState::begun, ExchangeEvent::answer, ExchangeState::answering},
    {ExchangeState::begun, ExchangeEvent::end, ExchangeState::done},
    {ExchangeState::attempting, ExchangeEvent::attempt, ExchangeState::attempting},
    {ExchangeState::attempting, ExchangeEvent::back_off, ExchangeState::backing_off},
    {ExchangeState::attempting, ExchangeEvent::answer, ExchangeState::answering},
    {ExchangeState::attempting, ExchangeEvent::end, ExchangeState::done},
    {ExchangeState::backing_off, ExchangeEvent::attempt, ExchangeState::attempting},
    {ExchangeState::backing_off, ExchangeEvent::answer, ExchangeState::answering},
    {ExchangeState::backing_off, ExchangeEvent::end, ExchangeState::done},
    {ExchangeState::answering, ExchangeEvent::end, ExchangeState::done},
}}};

class Exchange final : public net::Retirable,
                       public Recycled<Exchange>,
                       public http::StreamSink,
                       private AttemptOwner {
 public:
  // `bodies`: the bodies held for all requests of its connection; outlives it.
  Exchange(Scope& scope, const Peer& peer, http::Stream& stream, HeldBodies& bodies);

  // http::StreamSink: the downstream side.
  void on_head(http::Head& head, bool end) override;
  void on_interim(http::Head&) override {}
  void on_data(std::string_view bytes, bool end) override;
  void on_trailers(http::Fields& trailers) override;
  void on_reset(http::StreamEnd reason) override;
  void on_drained() override;

 private:
  // AttemptOwner: the upstream side.
  void on_attempt_stream() override { send_request(); }
  void on_attempt_head(http::Head& head, bool end) override;
  void on_attempt_interim(http::Head& head) override;
  void on_attempt_data(std::string_view bytes, bool end) override;
  void on_attempt_trailers(http::Fields& trailers) override;
  void on_attempt_failed(AttemptFailure failure, http::StreamEnd end,
                         const std::string& detail) override;
  void on_attempt_drained() override;
  std::size_t attempt_piece_max() override;

  // The request.
  bool find_destination();
  bool admit_tunnel();
  bool needs_http1() const;
  bool apply_route();
  void prepare_head();
  void request_complete();
  policy::RetryState spent() const;
  void expect_body();
  void copy_kept(bool kept);
  void pause_caller(bool paused);
  void start_attempt();
  void send_request();
  policy::TimeAllowed time_left() const;
  upstream::Offer offer() const;
  upstream::Offer plain_offer() const;
  const config::Service& service() const { return destination_->cluster->service(); }
  const config::Retry& retry() const;
  config::Millis timeout() const;

  // The end of an attempt whose response is not passed downstream.
  void attempt_failed(AttemptFailure failure, http::StreamEnd end, const std::string& detail);
  bool try_again(const policy::AttemptEnd& end);
  void report_attempt(Outcome::Kind kind);

  // The response.
  http::Stream& complete();
  void redirect();
  void reply(int status, std::string_view content_type, std::string_view body, http::Fields* extra,
             const HeaderEdits* edits = nullptr);
  void local_reply(int status, Flag flag, std::string_view detail);
  void fail_answer(Flag flag, http::StreamEnd reason);

  // Time.
  void watch_deadlines();
  void on_timer();
  void out_of_time();
  void end_grpc(int status, Flag flag, std::string_view detail);
  void fell_idle();

  void finish();
  void write_log(Duration duration) const;

  Scope& scope_;
  const Peer& peer_;
  net::Loop& loop_;
  http::Stream* stream_;  // null once it has ended
  Pin<Routing> routing_;
  Destination* destination_ = nullptr;  // where attempts go
  const Route* route_ = nullptr;
  telemetry::RequestCells* cells_ = nullptr;
  http::Head* request_ = nullptr;     // the codec's, until the stream has ended
  http::Fields* trailers_ = nullptr;  // the request's, copied to its arena
  Attempt attempt_;
  RequestBody body_;
  Tries tries_;
  Deadlines deadlines_;
  net::Timer timer_;  // at the next deadline or earlier: they are checked again when it fires
  const TimePoint started_at_;
  TimePoint answered_at_{};  // when the newest attempt's head arrived; otherwise the epoch
  Duration pause_asked_{};   // requested by the newest attempt's response
  std::optional<telemetry::RetryReason> retry_reason_;  // of the next attempt
  policy::TimeAllowed allowed_;
  std::uint64_t bytes_out_ = 0;
  std::string_view endpoint_;  // of the newest attempt, in the request's arena
  std::string_view request_id_;
  int status_ = 0;
  int grpc_status_ = -1;
  Flag flag_ = Flag::none;
  Machine<exchange_table> state_{ExchangeState::begun};
  // Facts about the request, not a state.
  bool grpc_ = false;
  bool request_ended_ = false;  // it has arrived completely
  bool downstream_paused_ = false;
  bool http1_tunnel_ = false;  // the upgrade met an HTTP/2 endpoint that cannot carry it
};

}  // namespace outrigger::proxy
