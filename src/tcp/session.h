#pragma once

// Opaque bytes between two connections: one that was accepted and one to an endpoint. Half-close is
// kept, a slow reader slows its writer down (watermarks), an idle session ends. Owns both
// connections; on the worker's thread; listed and owned by the worker until it retires itself.
//
//   start() -> connects (up to three other endpoints when one does not open) -> bytes both ways ->
//   each side's FIN is passed on -> both closed -> done callback, retire.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/flags.h"
#include "base/intrusive_list.h"
#include "net/connection.h"
#include "upstream/cluster.h"

namespace outrigger::tcp {

struct SessionReport {
  Flag flag = Flag::none;
  Duration duration{};
  std::uint64_t bytes_in = 0;   // from the downstream
  std::uint64_t bytes_out = 0;  // to the downstream
  std::string endpoint;
  int attempts = 0;
  net::CloseReason downstream_closed = net::CloseReason::finished;
};

class Session;

class SessionOwner {
 public:
  // The session is over; it retires itself after this call.
  virtual void on_session_done(Session& session, const SessionReport& report) = 0;

 protected:
  ~SessionOwner() = default;
};

class Session final : public net::Retirable, public ListLink<Session> {
 public:
  static constexpr int connect_tries = 4;
  // An endpoint that ends the session this soon, before it has said a word and before the client
  // has ended, was of no use.
  static constexpr Duration at_once = seconds(1);

  // `downstream` has not been started, or is open with another handler (protocol detection): then
  // its kept input is the first to be sent.
  Session(net::Loop& loop, upstream::Cluster& cluster, std::unique_ptr<net::Connection> downstream,
          Duration idle_timeout, SessionOwner& owner, void* context);
  ~Session() override;

  void start();
  // Closes both sides at once (the drain's end).
  void abort();
  net::Connection& downstream() { return *down_.connection; }
  // Counts what there is to count of an open connection to an endpoint: its bytes, and its handshake
  // once the endpoint has said a word or has let a second pass, since in TLS 1.3 it may still refuse
  // us afterwards. From time to time.
  void count_upstream();
  // The owner's own, given back as it came.
  void* context() const { return context_; }

 private:
  struct Side final : net::ConnectionHandler {
    explicit Side(Session& s) : session(s) {}
    void on_open() override { session.opened(*this); }
    std::size_t on_bytes(std::string_view bytes) override { return session.forward(*this, bytes); }
    void on_end_of_input() override { session.input_ended(*this); }
    bool on_bulk(net::Channel& from, net::IoResult& result) override {
      return session.splice(*this, from, result);
    }
    void on_drained() override;
    // A client that has gone has gone; what an endpoint said before is still passed on.
    bool ends_on_unread_reset() const override { return &session.down_ == this; }
    void on_closed(net::CloseReason reason) override { session.closed(*this, reason); }

    Session& session;
    std::unique_ptr<net::Connection> connection;
    bool is_open = false;
  };

  Side& other(const Side& side) { return &side == &down_ ? up_ : down_; }
  void connect();
  void opened(Side& side);
  std::size_t forward(Side& from, std::string_view bytes);
  bool splice(Side& from, net::Channel& channel, net::IoResult& result);
  // So many bytes have gone on from one side to the other.
  void count(Side& from, std::size_t bytes);
  void input_ended(Side& side);
  void closed(Side& side, net::CloseReason reason);
  // The books of the connection to an endpoint, once for each.
  void left_endpoint(net::CloseReason reason);
  void upstream_failed(net::CloseReason reason);
  void on_idle();
  void report_endpoint(Outcome::Kind kind);
  void done();

  net::Loop& loop_;
  upstream::Cluster& cluster_;
  SessionOwner& owner_;
  void* const context_;
  const Duration idle_timeout_;
  Side down_;
  Side up_;
  net::Timer idle_timer_;
  TimePoint started_at_;
  TimePoint moved_at_;
  TimePoint dialled_at_;        // the endpoint
  Duration connected_after_{};  // it took so long to answer that; 0 while it has not
  std::vector<std::uint64_t> tried_;
  upstream::Cluster::Chosen chosen_;
  SessionReport report_;
  policy::Permit permit_;  // of the cluster's connections
  bool finished_ = false;
  bool counted_ = false;            // the connection to an endpoint, among those that are open
  bool handshake_counted_ = false;  // its own
};

}  // namespace outrigger::tcp
