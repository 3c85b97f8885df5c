#pragma once

// One attempt of an exchange at one endpoint: the pick, the pool's ticket, the stream. Embedded in
// its exchange and reused for the next attempt; the worker's thread.
//
//   start() -> on_attempt_stream()                       a stream is there: head, body, trailers
//           -> on_attempt_head() …data… / trailers       the answer; ends with `end` or trailers
//           -> on_attempt_failed()                       instead, at any time, once and last
//   cancel() at any time: no callback follows.

#include <array>
#include <cstdint>
#include <string>

#include "http/stream.h"
#include "upstream/cluster.h"

namespace outrigger::proxy {

enum class AttemptFailure : std::uint8_t {
  no_endpoint,  // nothing eligible
  overflow,     // the breaker, or the pool's queue
  connect_refused,
  connect_timeout,
  handshake,
  timeout,  // the time for one attempt is over
  stream,   // see the StreamEnd
};

class AttemptOwner {
 public:
  virtual void on_attempt_stream() = 0;
  virtual void on_attempt_head(http::Head& head, bool end) = 0;
  virtual void on_attempt_interim(http::Head& head) = 0;
  virtual void on_attempt_data(std::string_view bytes, bool end) = 0;
  virtual void on_attempt_trailers(http::Fields& trailers) = 0;
  // The attempt is over; `detail` is for humans.
  virtual void on_attempt_failed(AttemptFailure failure, http::StreamEnd end,
                                 const std::string& detail) = 0;
  virtual void on_attempt_drained() = 0;
  virtual std::size_t attempt_piece_max() = 0;

 protected:
  ~AttemptOwner() = default;
};

class Attempt final : private http::StreamSink, private upstream::PoolTicket {
 public:
  static constexpr std::size_t tried_max = 8;

  explicit Attempt(AttemptOwner& owner) : owner_(owner) {}
  Attempt(const Attempt&) = delete;
  Attempt& operator=(const Attempt&) = delete;
  ~Attempt() { cancel(http::StreamEnd::local); }

  // Picks an endpoint and asks the pool. Callbacks come later, but a stream that is available at
  // once is reported by the return value: `streaming`. Failures are returned too, not called back.
  enum class Started : std::uint8_t { streaming, waiting, no_endpoint, overflow };
  Started start(upstream::Cluster& cluster, upstream::Offer offer,
                std::optional<std::uint64_t> hash, TimePoint now);

  bool streaming() const { return stream_ != nullptr; }
  bool waiting() const { return PoolTicket::waiting(); }
  // An endpoint has been chosen, and its outcome has not been reported yet.
  bool engaged() const { return static_cast<bool>(chosen_); }
  bool active() const { return streaming() || waiting(); }
  // The stream, until both ends have passed.
  http::Stream* stream() { return stream_; }
  // The request's end has been sent.
  void request_sent();

  // Ends it: gives up the ticket or the stream.
  void cancel(http::StreamEnd reason);
  // Reports the outcome to the balancer; once per started attempt, before cancel() or the next
  // start().
  void report(const Outcome& outcome);

  // The name of the endpoint of the newest attempt; empty before the first.
  std::string_view endpoint() const {
    return endpoint_ != nullptr ? std::string_view(*endpoint_) : std::string_view();
  }
  // It has had a stream, so the endpoint may have read something.
  bool sent() const { return sent_; }
  bool on_reused_connection() const { return reused_; }
  bool upstream_http2() const { return http2_; }
  TimePoint started_at() const { return started_at_; }
  int count() const { return count_; }
  // Identities of the endpoints tried so far: avoided while others are eligible.
  std::span<const std::uint64_t> tried() const { return {tried_.data(), tried_count_}; }

 private:
  void on_head(http::Head& head, bool end) override;
  void on_interim(http::Head& head) override { owner_.on_attempt_interim(head); }
  void on_data(std::string_view bytes, bool end) override;
  void on_trailers(http::Fields& trailers) override;
  void on_reset(http::StreamEnd reason) override;
  void on_drained() override { owner_.on_attempt_drained(); }
  std::size_t piece_max() override { return owner_.attempt_piece_max(); }
  void on_pool_ready(upstream::ClientConnection& connection) override;
  void on_pool_failure(upstream::ConnectFailure failure, const std::string& detail) override;
  void take(upstream::ClientConnection& connection);
  void answer_ended();

  AttemptOwner& owner_;
  upstream::Cluster* cluster_ = nullptr;
  upstream::Cluster::Chosen chosen_;
  http::Stream* stream_ = nullptr;
  TimePoint started_at_{};
  std::array<std::uint64_t, tried_max> tried_{};
  std::size_t tried_count_ = 0;
  int count_ = 0;
  bool sent_ = false;
  bool reused_ = false;
  bool http2_ = false;
  bool request_ended_ = false;
  enum class Answer : std::uint8_t { none, begun, ended } answer_ = Answer::none;
  policy::Permit slot_;  // of the breaker's requests, while the attempt lives
  const std::string* endpoint_ = nullptr;
};

}  // namespace outrigger::proxy
