#pragma once

// A fresh connection on a port for both HTTP and opaque bytes (`protocol: [http, tcp]`), until ALPN
// or its first bytes tell which it is; then the owner makes an HTTP connection or a TCP session of
// it. Until it has said something it is an idle HTTP connection: silence never makes it opaque.
// Listed by the worker; retires itself.

#include <memory>

#include "base/intrusive_list.h"
#include "net/connection.h"
#include "proxy/scope.h"

namespace outrigger::proxy {

class IncomingOwner {
 public:
  // The connection is open; bytes that were looked at are kept in it and come again.
  virtual void on_incoming_http(Scope& scope, std::unique_ptr<net::Connection> connection) = 0;
  virtual void on_incoming_tcp(Scope& scope, std::unique_ptr<net::Connection> connection) = 0;
  virtual void on_incoming_closed(Scope& scope, net::Connection& connection,
                                  net::CloseReason reason) = 0;

 protected:
  ~IncomingOwner() = default;
};

class Incoming final : public net::Retirable,
                       public ListLink<Incoming>,
                       private net::ConnectionHandler {
 public:
  Incoming(Scope& scope, std::unique_ptr<net::Connection> connection, IncomingOwner& owner);
  const Scope& scope() const { return scope_; }
  void start() { connection_->start(*this); }
  void close() { connection_->kill(false); }
  // Who has said nothing gets a moment more to say it.
  void drain();

 private:
  void on_open() override;
  std::size_t on_bytes(std::string_view bytes) override;
  void on_end_of_input() override;
  void on_drained() override {}
  void on_closed(net::CloseReason reason) override;
  void decide(bool http);
  void hand_over();
  void on_timer() { connection_->finish(); }

  // A connection may not change hands inside its own callback; it does so at the turn's end.
  struct HandOver final : net::TurnHook {
    explicit HandOver(Incoming& i) : incoming(i) {}
    void on_turn_end() override { incoming.hand_over(); }
    Incoming& incoming;
  };

  Scope& scope_;
  IncomingOwner& owner_;
  std::unique_ptr<net::Connection> connection_;
  net::Timer timer_;
  HandOver hook_;
  Duration silence_max_;  // how long it may stay without a word
  enum class Verdict { none, begun, http, tcp } verdict_ = Verdict::none;
};

}  // namespace outrigger::proxy
