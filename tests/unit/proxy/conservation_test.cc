// What goes in comes out: a seeded world of callers, endpoints and faults, in memory and in
// simulated time, and an oracle that knows which ends are acceptable for each request. The world is
// played by tests/support/sim.h; here it is set up, disturbed, brought to rest and judged.
//
//   OUTRIGGER_SEED=N     only that seed
//   OUTRIGGER_SEEDS=N    the number of seeds
//   OUTRIGGER_SURVEY=1   continues after a failure, with one line for each
//   OUTRIGGER_TRACE=1    prints what happened to all requests, not only to the one at fault
//
// A failure names its seed, the rule that was broken and what happened to the request.
//
// What the oracle checks, and in which function:
//
//   judge(Call)         every request that has begun ends; the caller's parser finds no error
//   judge_answer        status, length, body and trailers are its endpoint's; a truncated response
//                       looks truncated
//   judge_delivery      a response is truncated only by its endpoint, a deadline, a limit or its
//                       caller; an HTTP/1 caller gets everything sent before its endpoint's FIN
//   judge_loss          a request gets a response, or its connection had a reason to end before; an
//                       endpoint's sound response is not replaced by a sidecar's own
//   judge_own_answer    a sidecar's own response has a status and a flag with a reason: UF only
//                       where no endpoint that reliably accepted connections could have been tried
//   judge_attestation   "not processed" is said where it is true, only there, only to sidecars
//   judge_sightings     retries respect limits and methods; a truncated request looks truncated
//   judge_outcomes      a balancer is told of each attempt once, and nothing bad of a healthy
//                       endpoint; a latency ends with the response's head
//   judge_metrics       requests, attempts and retries add up
//   watch               retry permits are returned when the response has begun; what is held for a
//                       client that does not read stays near the high watermark
//   expect_quiet        no connection, permit, byte, block or timer is left

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "proxy/local_reply.h"
#include "support/proxy_world.h"
#include "support/sim.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::FakeEndpoint;
using test::field_of;
using test::has_field;
using test::MemoryChannel;
using test::Peer;
using test::ProxyWorld;
using namespace test::sim;

constexpr std::uint64_t seeds_by_default = 300;
constexpr std::size_t callers_max = 6;
constexpr std::uint32_t endpoints_max = 4;
constexpr Duration timeout = seconds(10);
constexpr Duration idle = seconds(20);
// A response that begins this soon must always arrive.
constexpr Duration prompt = milliseconds(250);

// --- Balancers that remember ---------------------------------------------------------------------

struct Reported {
  Outcome outcome;
  std::string host;
  TimePoint started;
  TimePoint at;
  int times = 0;
};

class Witness final : public LoadBalancer {
 public:
  Witness(std::unique_ptr<LoadBalancer> inner, std::deque<Reported>& book, ProxyWorld& world)
      : inner_(std::move(inner)), book_(book), world_(world) {}

  void update(std::span<const BalancedEndpoint> endpoints, std::chrono::nanoseconds now) override {
    names_.clear();
    for (const BalancedEndpoint& e : endpoints)
      names_.push_back(std::string(e.host) + ":" + std::to_string(e.port));
    inner_->update(endpoints, now);
  }
  std::optional<std::uint32_t> pick(const PickContext& context) override {
    return inner_->pick(context);
  }
  Ticket started(std::uint32_t index, std::chrono::nanoseconds now) override {
    book_.push_back({{}, names_.at(index), world_.loop.now(), {}, 0});
    tickets_.push_back(inner_->started(index, now));
    numbers_.push_back(book_.size() - 1);
    return {static_cast<std::uint32_t>(numbers_.size() - 1)};
  }
  void finished(Ticket ticket, const Outcome& outcome, std::chrono::nanoseconds now) override {
    Reported& reported = book_[numbers_.at(ticket.value)];
    ++reported.times;
    reported.outcome = outcome;
    reported.at = world_.loop.now();
    inner_->finished(tickets_.at(ticket.value), outcome, now);
  }

 private:
  std::unique_ptr<LoadBalancer> inner_;
  std::deque<Reported>& book_;
  ProxyWorld& world_;
  std::vector<std::string> names_;
  std::vector<Ticket> tickets_;
  std::vector<std::size_t> numbers_;
};

// --- The world -----------------------------------------------------------------------------------

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed);
  void run();
  std::string trace(int call) { return sim_.trace(call, call < 0 ? 400 : 40); }

  struct Finding {
    std::string rule;
    int call;
    std::string text;
  };
  std::vector<Finding> findings;

 private:
  // The proxy's role: a caller's sidecar, a callee's, or one of each in a row.
  enum class Place { caller, callee, both };

  bool chance(std::uint32_t percent) { return sim_.chance(percent); }
  template <typename T>
  T one_of(std::initializer_list<T> list) {
    return sim_.one_of(list);
  }
  std::size_t some_size();
  MemoryChannel::Options some_pipe();
  Duration some_delay();

  void configure();
  void describe();
  config::Service& add_app(const std::string& name);
  Plan plan(Call& call, bool http2);
  void add_fault(Plan& plan, bool http2);
  void step();
  Caller* some_caller();
  void begin_call();
  void trouble_a_caller();
  void trouble_an_endpoint();
  void watch();
  void calm_down();

  // The oracle.
  void judge();
  void judge(const Call& call);
  void judge_own_answer(const Call& call);
  void judge_delivery(const Call& call, const Sighting& seen);
  void judge_loss(const Call& call);
  void judge_answer(const Call& call, const Sighting& seen);
  void judge_attestation(const Call& call);
  void judge_sightings(const Call& call);
  void judge_outcomes();
  void judge_metrics();
  bool is_sound(const Call& call, const Sighting& seen) const;
  bool hurt(const Sighting& seen) const;
  bool may_be_late(const Call& call) const;
  bool may_be_unconnected(const Call& call) const;
  std::vector<const Sighting*> sightings_of(const Call& call) const;
  void find(const char* rule, int call, std::string text) {
    findings.push_back({rule, call, std::move(text)});
  }

  // Callers and apps outlive the connections, which call them.
  std::deque<std::unique_ptr<Caller>> callers_;
  std::deque<std::unique_ptr<App>> apps_;
  std::deque<Reported> reported_;
  Sim sim_;
  ProxyWorld world_;

  Place place_ = Place::caller;
  bool fine_ = false;    // small bodies, cut into single bytes
  bool calm_ = false;    // no more faults
  bool bold_ = false;    // a POST may be sent again after an error, as configured
  bool faults_ = false;  // endpoints misbehave
  bool rough_ = false;   // connections to endpoints break
  bool rude_ = false;    // callers reset, stall, disconnect
  bool drains_ = false;
  bool limited_ = false;  // breakers that may trip
  bool known_ = false;    // callers are authenticated
  std::uint32_t endpoints_ = 1;
  std::set<int> unsteady_;  // endpoints that have not always accepted connections
  std::set<int> broken_;    // endpoints whose connections were broken
  proxy::Scope* door_ = nullptr;
  config::Service* service_ = nullptr;
  std::vector<std::string> app_names_;
};

Chaos::Chaos(std::uint64_t seed) : sim_(seed, world_), world_(seed) {
  sim_.make_plan = [this](Call& call, bool http2) { return plan(call, http2); };
}

std::size_t Chaos::some_size() {
  return fine_ ? one_of<std::size_t>({1, 40, 300})
               : one_of<std::size_t>({1, 300, 300, 5'000, 5'000, 70'000, 300'000});
}

MemoryChannel::Options Chaos::some_pipe() {
  if (fine_) return {one_of<std::size_t>({17, 200}), one_of<std::size_t>({1, 3, 50})};
  return {one_of<std::size_t>({3'000, 64 * 1024}), one_of<std::size_t>({1'000, 64 * 1024})};
}

Duration Chaos::some_delay() {
  if (chance(60)) return Duration(0);
  return milliseconds(sim_.random.below(one_of<std::uint32_t>({5, 50, 220})));
}

config::Service& Chaos::add_app(const std::string& name) {
  config::Service& app = world_.add_service(name, 1);
  app.retry.max = 0;  // as the server compiles it
  app.wire = chance(50) ? config::Wire::http2 : config::Wire::http1;
  app.timeout = std::chrono::duration_cast<config::Millis>(timeout);
  app.idle_timeout = std::chrono::duration_cast<config::Millis>(idle);
  app_names_.push_back(name);
  return app;
}

void Chaos::configure() {
  fine_ = chance(30);
  faults_ = chance(60);
  rough_ = chance(50);
  rude_ = chance(50);
  drains_ = chance(30);
  limited_ = chance(30);
  place_ = one_of({Place::caller, Place::caller, Place::callee, Place::both, Place::both});
  known_ = place_ == Place::callee && chance(70);
  endpoints_ = place_ == Place::callee ? 1 : 1 + sim_.random.below(endpoints_max);
  world_.wrap_balancer = [this](const std::string&, std::unique_ptr<LoadBalancer> inner) {
    return std::make_unique<Witness>(std::move(inner), reported_, world_);
  };

  const bool http2 = chance(50);
  if (place_ == Place::callee) {
    service_ = &add_app("app1");
    service_->wire = http2 ? config::Wire::http2 : config::Wire::http1;
  } else {
    config::Service& service = world_.add_service("orders", static_cast<int>(endpoints_));
    service_ = &service;
    service.wire = http2 ? config::Wire::http2 : config::Wire::http1;
    service.timeout = std::chrono::duration_cast<config::Millis>(timeout);
    service.idle_timeout = std::chrono::duration_cast<config::Millis>(idle);
    config::Retry& retry = service.retry;
    retry.max = static_cast<int>(sim_.random.below(4));
    retry.body_max = one_of<std::uint64_t>({0, 100, 64 * 1024});
    retry.budget = one_of({0.0, 0.2, 1.0});
    if (chance(40)) retry.per_try = one_of({milliseconds(300), milliseconds(500)});
    if (chance(50)) retry.backoff_base = retry.backoff_max = milliseconds(0);
    if (chance(30)) {
      retry.backoff_base = milliseconds(250);
      retry.backoff_max = milliseconds(500);
    }
    bold_ = chance(20);
    if (bold_) {
      retry.retry_on.push_back(
          one_of({config::RetryOn::gateway_error, config::RetryOn::server_error,
                  config::RetryOn::reset, config::RetryOn::grpc_unavailable}));
    }
  }
  if (place_ == Place::both) {
    service_->wire = config::Wire::auto_;
    world_.sealed_services["orders"] = http2 ? "h2" : "http/1.1";
    for (std::uint32_t i = 1; i <= endpoints_; ++i) add_app("app" + std::to_string(i));
    service_ = &world_.config.services["orders"];
  }
  if (limited_) {
    config::Breaker& breaker = service_->breaker;
    breaker.connections = one_of<std::uint32_t>({1, 3, 1024});
    breaker.pending = one_of<std::uint32_t>({1, 5, 1024});
    breaker.requests = one_of<std::uint32_t>({5, 4096});
    breaker.retries = one_of<std::uint32_t>({1, 64});
  }
  describe();
  world_.start(place_ == Place::callee ? "app1" : "orders");
  if (chance(20)) world_.scope->body_max = 50'000;
  if (chance(40)) {
    world_.scope->connection.output_high = 20'000;
    world_.scope->connection.output_low = 5'000;
  }
  for (std::uint32_t i = 1; i <= endpoints_; ++i) {
    const int number = static_cast<int>(i);
    FakeEndpoint* endpoint = &world_.endpoint(number);
    bool speaks_http2 = http2;
    if (place_ == Place::both) {
      const std::string name = "app" + std::to_string(i);
      endpoint->sidecar = &world_.add_inbound(name);
      endpoint->pipe = some_pipe();
      speaks_http2 = world_.config.services[name].wire == config::Wire::http2;
      endpoint = &world_.endpoint("10.0." + std::to_string(i) + ".1:80");
    }
    endpoint->speaks = speaks_http2 ? Peer::Speaks::h2_server : Peer::Speaks::bytes;
    endpoint->pipe = some_pipe();
    apps_.push_back(std::make_unique<App>(sim_, *endpoint, number));
  }
  door_ = world_.scope.get();
  if (place_ != Place::callee) return;
  door_ = &world_.add_inbound("app1");
  door_->body_max = world_.scope->body_max;
  door_->connection = world_.scope->connection;
}

// For readers of a trace.
void Chaos::describe() {
  const config::Retry& retry = service_->retry;
  const char* where = place_ == Place::caller   ? "a caller's sidecar"
                      : place_ == Place::callee ? "a callee's sidecar"
                                                : "two sidecars in a row";
  std::string text = std::string(where) + ", " + std::to_string(endpoints_) + " endpoints, " +
                     std::to_string(retry.max) + " retries within " + std::to_string(retry.budget) +
                     " and " + std::to_string(retry.body_max) + " B";
  if (retry.per_try) text += ", " + std::to_string(retry.per_try->count()) + " ms each";
  for (const auto& [on, name] : {std::pair(fine_, "cut fine"),
                                 {faults_, "faults"},
                                 {rough_, "rough endpoints"},
                                 {rude_, "rude callers"},
                                 {drains_, "drains"},
                                 {bold_, "bold retries"}}) {
    if (on) text += std::string(", ") + name;
  }
  if (limited_) {
    const config::Breaker& breaker = service_->breaker;
    text += ", breaker " + std::to_string(breaker.connections) + "/" +
            std::to_string(breaker.pending) + "/" + std::to_string(breaker.requests) + "/" +
            std::to_string(breaker.retries);
  }
  sim_.tell(-1, text);
}

// --- Endpoints -----------------------------------------------------------------------------------

Plan Chaos::plan(Call& call, bool http2) {
  using When = Plan::When;
  using Framing = Plan::Framing;
  Plan plan;
  plan.when = one_of({When::at_end, When::at_end, When::at_end, When::at_head, When::at_part});
  plan.part = call.size > 1 ? 1 + sim_.random.below(static_cast<std::uint32_t>(call.size)) : 0;
  if (plan.part == 0 && plan.when == When::at_part) plan.when = When::at_end;
  plan.delay = some_delay();
  plan.interims = chance(15) ? 1 + static_cast<int>(sim_.random.below(2)) : 0;
  plan.status = one_of({200, 200, 200, 201, 204, 304, 401, 404, 413, 500, 503});
  plan.framing = one_of({Framing::bare, Framing::length, Framing::chunked, Framing::chunked});
  if (!http2 && !faults_ && !rough_ && chance(10)) plan.framing = Framing::until_close;
  plan.size = plan.framing == Framing::bare ? 0 : some_size();
  plan.pieces = one_of<std::size_t>({1, 1, 2, 5});
  if (plan.pieces > 1) plan.gap = some_delay();
  plan.trailers = (plan.framing == Framing::chunked) && chance(30);
  plan.says_close = chance(10);
  if (plan.status == 503 && chance(30)) plan.retry_after = 1;
  if (call.grpc) {
    plan.status = 200;
    plan.grpc_status = one_of({0, 0, 0, 4, 13, 14});
    if (plan.framing == Framing::length) plan.framing = Framing::chunked;
    if (plan.framing == Framing::until_close) plan.framing = Framing::chunked;
    plan.trailers = plan.framing == Framing::chunked;
  }
  if (call.tunnel()) {
    const bool agrees = chance(70);
    plan.status = !agrees ? one_of({403, 404, 426, 503}) : call.protocol.empty() ? 200 : 101;
    if (agrees) plan.trailers = false;
    if (plan.framing == Framing::until_close) plan.framing = Framing::length;
  }
  if (faults_ && !calm_ && chance(25)) add_fault(plan, http2);
  return plan;
}

void Chaos::add_fault(Plan& plan, bool http2) {
  using Fault = Plan::Fault;
  plan.fault =
      http2 ? one_of({Fault::refuse, Fault::reset_stream, Fault::reset_connection, Fault::stall})
            : one_of({Fault::reset_connection, Fault::fin, Fault::garbage, Fault::stall});
  plan.before_head = plan.fault == Fault::refuse || plan.size == 0 || chance(50);
  plan.fault_at = plan.size > 0 ? sim_.random.below(static_cast<std::uint32_t>(plan.size)) : 0;
  if (chance(15)) plan.when = Plan::When::never;
}

void Chaos::trouble_an_endpoint() {
  if (!rough_ || calm_) return;
  App& app = *apps_[sim_.random.below(static_cast<std::uint32_t>(apps_.size()))];
  FakeEndpoint& endpoint = app.endpoint();
  using Accepts = FakeEndpoint::Accepts;
  if (chance(40)) {
    endpoint.accepts = one_of(
        {Accepts::yes, Accepts::yes, Accepts::refuses, Accepts::refuses_at_once, Accepts::never});
    endpoint.cut.reset();
    if (chance(20)) {
      endpoint.cut = {
          .read_max = 20 + some_size(), .write_max = 20 + some_size(), .reset = chance(50)};
    }
    sim_.tell(-1, "endpoint " + std::to_string(app.number()) +
                      " takes connections: " + std::to_string(static_cast<int>(endpoint.accepts)) +
                      (endpoint.cut ? ", which break" : ""));
    unsteady_.insert(app.number());
    if (endpoint.cut) broken_.insert(app.number());
    return;
  }
  if (endpoint.connections.empty()) return;
  Peer& peer =
      *endpoint
           .connections[sim_.random.below(static_cast<std::uint32_t>(endpoint.connections.size()))];
  if (!peer.open()) return;
  const std::uint32_t what = sim_.random.below(4);
  if (what == 3 && peer.codec() != nullptr) {
    // A server that drains in good order breaks nothing.
    sim_.tell(-1, "endpoint " + std::to_string(app.number()) + " says GOAWAY");
    return peer.drain();
  }
  app.trouble(peer);
  broken_.insert(app.number());
  unsteady_.insert(app.number());
  sim_.tell(-1, "endpoint " + std::to_string(app.number()) + ": " +
                    (what == 0   ? "resets"
                     : what == 1 ? "closes"
                                 : "stops or goes on reading") +
                    " a connection");
  if (what == 0) return peer.reset();
  if (what == 1) return peer.finish();
  peer.stall(chance(50));
}

// --- Callers -------------------------------------------------------------------------------------

Caller* Chaos::some_caller() {
  std::vector<Caller*> ready;
  std::size_t open = 0;
  for (auto& caller : callers_) {
    if (caller->open()) ++open;
    if (caller->ready()) ready.push_back(caller.get());
  }
  if (!ready.empty() && (open >= callers_max || chance(80)))
    return ready[sim_.random.below(static_cast<std::uint32_t>(ready.size()))];
  if (open >= callers_max) return nullptr;
  const bool http2 = chance(50);
  ProxyWorld::Access access;
  access.speaks = http2 ? Peer::Speaks::h2_client : Peer::Speaks::bytes;
  access.pipe = some_pipe();
  access.listener = door_;
  const bool breaks = rude_ && !calm_ && chance(10);
  if (known_) {
    access.sealed = true;
    access.tls.emplace();
    access.tls->alpn = http2 ? "h2" : "http/1.1";
    access.tls->version = "TLSv1.3";
    access.tls->peer_identity = "spiffe://mesh/caller";
  } else if (!breaks && chance(30)) {
    // A partial preface and then FIN would be opaque bytes, which are not tested here.
    access.as = ProxyWorld::Access::As::detected;
  }
  if (breaks) {
    access.cut = {.read_max = 20 + some_size(), .write_max = 20 + some_size(), .reset = chance(50)};
  }
  const int number = static_cast<int>(callers_.size());
  sim_.tell(-1, "caller " + std::to_string(number) + " connects over " +
                    (http2 ? "HTTP/2" : "HTTP/1") + (breaks ? ", will break" : ""));
  Peer& peer = world_.connect(access);
  callers_.push_back(make_caller(sim_, peer, number, http2));
  callers_.back()->faulty = breaks;
  return callers_.back()->ready() ? callers_.back().get() : nullptr;
}

void Chaos::begin_call() {
  Caller* caller = some_caller();
  if (caller == nullptr) return;
  sim_.calls.emplace_back();
  Call& call = sim_.calls.back();
  call.id = static_cast<int>(sim_.calls.size()) - 1;
  call.caller = caller->number();
  call.http2 = caller->http2();
  call.method = one_of<std::string>({"GET", "GET", "POST", "POST", "PUT", "DELETE", "HEAD"});
  const std::uint32_t kind = sim_.random.below(100);
  if (kind < 8) {
    call.method = "GET";
    call.protocol = "websocket";
    call.size = some_size();
  } else if (kind < 12) {
    call.method = "CONNECT";
    call.size = some_size();
  } else if (kind < 25 && call.http2) {
    call.method = "POST";
    call.grpc = true;
    call.size = some_size();
    call.has_length = false;
  } else {
    if (call.method == "POST" || call.method == "PUT") call.size = chance(80) ? some_size() : 0;
    call.has_length = chance(50);
    call.trailers = call.size > 0 && !call.has_length && chance(30);
    call.http10 = !call.http2 && call.has_length && chance(8);
  }
  sim_.tell(call.id, "caller " + std::to_string(call.caller) + " over " +
                         (call.http2    ? "HTTP/2"
                          : call.http10 ? "HTTP/1.0"
                                        : "HTTP/1.1") +
                         ": " + (call.protocol.empty() ? call.method : call.protocol) + " of " +
                         std::to_string(call.size) + " B" + (call.grpc ? ", gRPC" : "") +
                         (call.trailers ? ", trailers" : "") +
                         (call.has_length ? "" : ", no length"));
  caller->begin(call);
  if (chance(70)) caller->send(chance(50) ? 1U << 20 : 1 + sim_.random.below(3'000));
}

void Chaos::trouble_a_caller() {
  if (callers_.empty() || calm_) return;
  Caller& caller = *callers_[sim_.random.below(static_cast<std::uint32_t>(callers_.size()))];
  if (!caller.open()) return;
  if (drains_ && chance(30)) {
    if (chance(30)) {
      int left = static_cast<int>(sim_.random.below(6));
      for (auto& one : callers_) one->draining = true;
      sim_.tell(-1, "connections drain");
      world_.for_each_http([&left](HttpConnection& c) {
        if (left-- > 0) c.drain();
      });
    } else if (caller.http2()) {
      sim_.tell(-1, "caller " + std::to_string(caller.number()) + " says GOAWAY");
      caller.peer().drain();
    }
    return;
  }
  if (!rude_) return;
  switch (sim_.random.below(6)) {
    case 0:
      caller.trouble("resets the connection");
      return caller.peer().reset();
    case 1:
      caller.trouble("closes the connection");
      return caller.peer().finish();
    case 2:
      return caller.give_up();
    default:
      return caller.stall(chance(60));
  }
}

void Chaos::step() {
  switch (sim_.random.below(12)) {
    case 0:
    case 1:
    case 2:
      begin_call();
      break;
    case 3:
    case 4:
    case 5:
    case 6:
      for (auto& caller : callers_) {
        if (chance(70) && caller->has_more())
          caller->send(chance(40) ? 1U << 20 : 1 + sim_.random.below(30'000));
      }
      break;
    case 7:
      trouble_a_caller();
      break;
    case 8:
      trouble_an_endpoint();
      break;
    case 9:
      world_.advance(milliseconds(sim_.random.below(one_of<std::uint32_t>({5, 300, 3'000}))));
      break;
    default:
      world_.advance(milliseconds(sim_.random.below(20)));
  }
  if (chance(30)) {
    world_.loop.turn();
  } else if (chance(70)) {
    world_.settle();
    watch();
  }
}

// What must hold whenever nothing is in flight.
void Chaos::watch() {
  // If a client does not read, production for it stops at the high watermark. What is in flight by
  // then comes on top: one HTTP/2 window, or one read, from each stream's endpoint.
  http::CodecLimits upstream;
  upstream.raise_for_trusted();
  world_.for_each_http([&](HttpConnection& c) {
    const std::size_t streams = std::max<std::size_t>(c.open_streams(), 1);
    const std::size_t most = c.connection().limits().output_high + upstream.stream_window * streams;
    if (c.connection().unsent() > most)
      find("what a client does not read is bounded", -1,
           std::to_string(c.connection().unsent()) + " B held, " + std::to_string(most) +
               " allowed");
  });
  std::size_t waiting = 0;
  for (const Call& call : sim_.calls) waiting += call.begun && !call.over() && call.status == 0;
  if (place_ != Place::callee) {
    const std::size_t held = world_.cluster("orders").breaker().retries.used();
    if (held > waiting + 2) {
      find("a retry's permit goes back when its answer has begun", -1,
           std::to_string(held) + " held, " + std::to_string(waiting) + " calls without an answer");
    }
  }
}

// --- The end -------------------------------------------------------------------------------------

// From here on endpoints behave, callers read, and most of them send the rest.
void Chaos::calm_down() {
  calm_ = true;
  sim_.tell(-1, "calm");
  for (auto& caller : callers_) caller->stall(false);
  for (auto& app : apps_) {
    FakeEndpoint& endpoint = app->endpoint();
    endpoint.accepts = FakeEndpoint::Accepts::yes;
    endpoint.cut.reset();
    for (auto& peer : endpoint.connections) {
      if (peer->open()) peer->stall(false);
    }
  }
  for (int i = 0; i < 40; ++i) {
    for (auto& caller : callers_) {
      if (caller->has_more() && caller->number() % 5 != 4) caller->send(64U << 10);
    }
    world_.advance(milliseconds(20));
  }
}

std::vector<const Sighting*> Chaos::sightings_of(const Call& call) const {
  std::vector<const Sighting*> list;
  for (const Sighting& seen : sim_.sightings) {
    if (seen.call == call.id) list.push_back(&seen);
  }
  return list;
}

// Time alone may have ended the request: a pause of its caller or of an endpoint.
bool Chaos::may_be_late(const Call& call) const {
  const TimePoint end = call.over() ? call.over_at : world_.loop.now();
  if (call.longest_pause > seconds(8)) return true;
  if (!call.sent_all && end - call.last_sent > seconds(8)) return true;
  const TimePoint head = call.status != 0 ? call.head_at : end;
  if (service_->retry.per_try && head - call.at >= *service_->retry.per_try) return true;
  // The deadline for the response runs from the head for a tunnel and for a gRPC call, and from the
  // end of the request for all others.
  return head - (call.sent_all && !call.grpc && !call.tunnel() ? call.sent_at : call.at) >=
         timeout - seconds(1);
}

// Its endpoint, or the connection to it, may have broken off.
bool Chaos::hurt(const Sighting& seen) const {
  return seen.troubled || seen.plan.fault != Plan::Fault::none || broken_.count(seen.endpoint) > 0;
}

// Connecting elsewhere costs no retry, and there are never more endpoints than such tries. But a
// callee's sidecar has only its own app to connect to: what it attests takes a retry of the
// caller's sidecar, which may have none left or may have spent them on other failures.
bool Chaos::may_be_unconnected(const Call& call) const {
  static_assert(endpoints_max <= 1 + policy::free_tries_max);
  if (unsteady_.size() == endpoints_) return true;
  if (place_ != Place::both || unsteady_.empty()) return false;
  const config::Retry& retry = service_->retry;
  const std::size_t spent = unsteady_.size() + sightings_of(call).size();
  return static_cast<std::size_t>(retry.max) < spent || retry.budget < 1 || limited_ ||
         call.size > retry.body_max;
}

// A response that nothing prevents from arriving.
bool Chaos::is_sound(const Call& call, const Sighting& seen) const {
  const Plan& plan = seen.plan;
  if (!call.trouble.empty() || hurt(seen)) return false;
  if (!seen.head_sent || seen.head_at - seen.at > prompt) return false;
  if (plan.status == 409 || plan.status == 429 || plan.status >= 500 || plan.grpc_status > 0)
    return false;
  if (call.size > 50'000 && door_->body_max) return false;
  return call.longest_pause < seconds(8) && (call.sent_all || seen.answered);
}

void Chaos::judge_own_answer(const Call& call) {
  const std::string flag = field_of(call.fields, "x-outrigger-flag");
  const auto seen = sightings_of(call);
  const bool bad =
      std::any_of(seen.begin(), seen.end(), [this](const Sighting* s) { return hurt(*s); });
  const std::string what = std::to_string(call.status) + " " + flag;
  static const std::set<int> statuses{408, 413, 502, 503, 504};
  if (call.tunnel() && call.status == 501) return;  // not among the listener's upgrades
  if (call.grpc ? call.status != 200 : statuses.count(call.status) == 0)
    find("a sidecar's own answer has a status that fits", call.id, what);
  const bool large = door_->body_max && call.size > *door_->body_max;
  const bool broken = !broken_.empty() || !unsteady_.empty();
  const auto why = [&](bool ok, const char* text) {
    if (!ok) find("a sidecar's own answer has a reason", call.id, what + ": " + text);
  };
  if (flag == "UO") {
    why(limited_, "no limit is that low");
  } else if (flag == "UF") {
    why(may_be_unconnected(call), "an endpoint always took connections");
  } else if (flag == "UC") {
    why(bad || broken || faults_, "no endpoint broke off");
  } else if (flag == "URX") {
    why(bad || broken || faults_ || bold_ || may_be_late(call), "no endpoint broke off");
  } else if (flag == "UPE") {
    why(bad, "no endpoint broke the protocol");
  } else if (flag == "UT" || flag == "SI") {
    why(may_be_late(call), "nothing was late");
  } else {
    why(large || (call.status == 408 && may_be_late(call)), "none that shows");
  }
}

void Chaos::judge_answer(const Call& call, const Sighting& seen) {
  const Plan& plan = seen.plan;
  if (seen.call != call.id)
    return find("an answer goes to who asked", call.id, "answer " + std::to_string(seen.id));
  if (call.status != plan.status &&
      !(seen.tunnel && call.status / 100 == (plan.status == 101 ? 1 : 2)))
    find("a status arrives as it was sent", call.id,
         std::to_string(call.status) + " for " + std::to_string(plan.status));
  const bool bodyless = call.method == "HEAD" || plan.status == 204 || plan.status == 304;
  const std::string length = field_of(call.fields, "content-length");
  if (bodyless && plan.framing == Plan::Framing::length && plan.status != 204 &&
      length != std::to_string(plan.size)) {
    find("a length without a body arrives as it was sent", call.id,
         "\"" + length + "\" for " + std::to_string(plan.size));
  }
  const std::size_t size = bodyless ? 0 : seen.tunnel ? call.size : plan.size;
  if (call.whole && !seen.tunnel) {
    if (call.received != size || !seen.answered)
      find("a cut answer looks cut", call.id,
           std::to_string(call.received) + " of " + std::to_string(size) + " B look whole");
    const bool trailers = plan.trailers && !bodyless && call.http2;
    if (trailers && field_of(call.last_fields, "x-sum") != std::to_string(seen.id))
      find("trailers arrive as they were sent", call.id, field_of(call.last_fields, "x-sum"));
    if (!plan.trailers && !call.last_fields.empty())
      find("trailers arrive as they were sent", call.id, "there were none");
  }
  if (call.whole && seen.tunnel && seen.answered && call.sent_all && call.trouble.empty() &&
      call.received != size && is_sound(call, seen))
    find("what goes into a tunnel comes out", call.id,
         std::to_string(call.received) + " of " + std::to_string(size) + " B");
}

void Chaos::judge_attestation(const Call& call) {
  const bool marked = has_field(call.fields, std::string(not_processed_name));
  const auto seen = sightings_of(call);
  const bool refused_only =
      std::all_of(seen.begin(), seen.end(), [](const Sighting* s) { return s->refused; });
  const bool untouched = sim_.touched.count(call.id) == 0 || (refused_only && !seen.empty());
  if (marked && !known_)
    find("the mark stays between sidecars", call.id, std::to_string(call.status));
  if (marked && !untouched)
    find("what is attested is true", call.id, "the app has seen the request");
  if (!known_ || marked || !untouched || broken_.count(1) > 0 || !call.whole) return;
  // A connection that died with the request may have delivered it.
  if (seen.empty() && field_of(call.fields, "x-outrigger-flag") == "UC") return;
  const bool unavailable =
      call.grpc ? field_of(call.fields, "grpc-status") == "14" : call.status == 503;
  if (unavailable && !has_field(call.fields, "x-answer"))
    find("what never reached the app is attested", call.id,
         field_of(call.fields, "x-outrigger-flag"));
}

void Chaos::judge_sightings(const Call& call) {
  const auto seen = sightings_of(call);
  const auto processed =
      std::count_if(seen.begin(), seen.end(), [](const Sighting* s) { return !s->refused; });
  const bool idempotent = call.method != "POST" && call.method != "CONNECT";
  if (!idempotent && !bold_ && processed > 1)
    find("what may not be repeated is sent once", call.id, std::to_string(processed) + " times");
  const int most = 1 + service_->retry.max + policy::free_tries_max;
  if (static_cast<int>(seen.size()) >
      most * (place_ == Place::both ? 1 + policy::free_tries_max : 1))
    find("retries keep to their limit", call.id, std::to_string(seen.size()) + " tries");
  for (const Sighting* s : seen) {
    // Data sent early into a tunnel that was refused may have been received.
    if (s->request_whole && !call.tunnel() && s->received != call.size)
      find("a cut request looks cut", call.id,
           std::to_string(s->received) + " of " + std::to_string(call.size) + " B look whole");
  }
}

void Chaos::judge(const Call& call) {
  if (!call.begun) return;
  if (!call.fault.empty()) find("what a caller gets is in order", call.id, call.fault);
  if (!call.over()) return find("everything ends", call.id, "it has no outcome");
  judge_sightings(call);
  judge_attestation(call);
  const std::string answer = field_of(call.fields, "x-answer");
  if (!answer.empty()) {
    const auto id = static_cast<std::size_t>(std::stoi(answer));
    judge_answer(call, sim_.sightings[id]);
    judge_delivery(call, sim_.sightings[id]);
  } else if (call.status != 0 && call.trouble.empty()) {
    judge_own_answer(call);
  }
  if (answer.empty()) judge_loss(call);
}

// For any status, whether or not the endpoint finished the response.
void Chaos::judge_delivery(const Call& call, const Sighting& seen) {
  const bool large = door_->body_max && call.size > *door_->body_max;
  if (call.cut && call.trouble.empty() && !hurt(seen) && !large && !may_be_late(call))
    find("an answer is not cut short for nothing", call.id,
         std::to_string(call.received) + " of " + std::to_string(seen.plan.size) + " B");
  // What an endpoint sent before its FIN arrives before its caller sees the truncation. Not in
  // HTTP/2, nor between sidecars, where RST_STREAM discards what waits for a window.
  const bool ended = place_ != Place::both && seen.plan.fault == Plan::Fault::fin && !seen.tunnel &&
                     !seen.troubled && broken_.count(seen.endpoint) == 0;
  if (call.cut && call.trouble.empty() && ended && !call.http2 && !call.http10 &&
      call.method != "HEAD" && !large && !may_be_late(call) && call.received != seen.sent)
    find("what came before the end arrives before it", call.id,
         std::to_string(call.received) + " of " + std::to_string(seen.sent) + " B");
}

// No endpoint's response: there was none, or something prevented it.
void Chaos::judge_loss(const Call& call) {
  // The connection of an HTTP/1.0 caller ends with the response: by a reset when the response was
  // truncated, or when the caller sends more. A tunnel that is cut is reset as well, with the
  // response.
  const auto seen = sightings_of(call);
  const bool cut_tunnel = call.tunnel() && std::any_of(seen.begin(), seen.end(), [](auto* s) {
                            return s->head_sent && s->troubled;
                          });
  if (call.status == 0 && call.trouble.empty() && !call.http10 && !cut_tunnel)
    find("a request is answered", call.id, "its connection ended without a word");
  if (!call.trouble.empty() || call.status == 0 || may_be_late(call)) return;
  for (const Sighting* s : seen) {
    if (s->answered && is_sound(call, *s))
      find("an endpoint's answer reaches its caller", call.id,
           "answer " + std::to_string(s->id) + " became " + std::to_string(call.status) + " " +
               field_of(call.fields, "x-outrigger-flag"));
  }
}

void Chaos::judge_outcomes() {
  const bool healthy = !faults_ && !rough_;
  for (const Reported& r : reported_) {
    if (r.times != 1)
      find("each attempt is reported once", -1, r.host + ": " + std::to_string(r.times) + " times");
    if (healthy && r.outcome.kind == Outcome::Kind::failed)
      find("an endpoint does not pay for what others did", -1,
           r.host + " is said to have failed, and has not");
    if (r.outcome.latency < Duration(0) || r.outcome.latency > r.at - r.started)
      find("a latency is one", -1, std::to_string(r.outcome.latency / milliseconds(1)) + " ms");
    if (r.outcome.kind != Outcome::Kind::answered) continue;
    if (r.outcome.status == 0) find("an answer that is reported has a status", -1, r.host);
    if (place_ == Place::both || rough_ || rude_) continue;
    // Its latency ends with the response's head, however long the body takes.
    const TimePoint head_at = r.started + r.outcome.latency;
    const bool known =
        std::any_of(sim_.sightings.begin(), sim_.sightings.end(), [&](const Sighting& s) {
          return s.head_sent && s.plan.status == r.outcome.status && s.at >= r.started &&
                 head_at >= s.head_at && head_at - s.head_at <= milliseconds(5);
        });
    if (!known)
      find("a latency ends with the answer's head", -1,
           r.host + ": " + std::to_string(r.outcome.latency / milliseconds(1)) + " ms to a " +
               std::to_string(r.outcome.status));
  }
}

void Chaos::judge_metrics() {
  const auto count = [this](Family family, const char* direction) {
    return static_cast<std::size_t>(world_.metric(family, {direction}));
  };
  if (world_.metric(Family::requests_active) != 0)
    find("every request is finished", -1,
         std::to_string(world_.metric(Family::requests_active)) + " are not");
  if (world_.metric(Family::pool_pending) != 0) find("nobody waits in a pool", -1, "");
  std::size_t answered = 0;
  std::size_t begun = 0;
  for (const Call& call : sim_.calls) {
    answered += call.status != 0;
    begun += call.begun;
  }
  const char* direction = place_ == Place::callee ? "inbound" : "outbound";
  const std::size_t outcomes = count(Family::requests, direction);
  if (outcomes < answered || outcomes > begun)
    find("each request is counted once", -1,
         std::to_string(outcomes) + " of " + std::to_string(begun) + ", " +
             std::to_string(answered) + " answered");
  const auto attempts = static_cast<std::size_t>(world_.metric(Family::upstream_attempts));
  if (attempts < reported_.size())
    find("each attempt is counted", -1,
         std::to_string(attempts) + " of " + std::to_string(reported_.size()));
  const auto all = static_cast<std::size_t>(world_.metric(Family::requests));
  const auto retries = static_cast<std::size_t>(world_.metric(Family::retries));
  if (attempts > all + retries)
    find("an attempt is the first or a retry", -1,
         std::to_string(attempts) + " > " + std::to_string(all) + " + " + std::to_string(retries));
}

void Chaos::judge() {
  for (const auto& [call, text] : sim_.violations) find("what a peer sees is in order", call, text);
  for (const Call& call : sim_.calls) judge(call);
  judge_outcomes();
  judge_metrics();
}

void Chaos::run() {
  configure();
  for (int i = 0; i < 70; ++i) step();
  calm_down();
  // Abandoned uploads end with their idle timeout, everything else with its own timeout. Pipelined
  // ones end one after another.
  world_.advance(minutes(3));
  judge();
  sim_.quit();
  for (auto& app : apps_) app->trouble();
  world_.expect_quiet();
}

// --- Running it ----------------------------------------------------------------------------------

Chaos* running = nullptr;
std::uint64_t running_seed = 0;

// A crash prints its seed too.
void on_crash(int number) {
  std::fprintf(stderr, "\nOUTRIGGER_SEED=%llu: ended by signal %d\n%s",
               static_cast<unsigned long long>(running_seed), number,
               running != nullptr ? running->trace(-1).c_str() : "");
  std::signal(number, SIG_DFL);
  std::raise(number);
}

std::uint64_t number_of(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

TEST(Conservation, each_request_has_one_acceptable_end_and_nothing_is_left) {
  for (const int number : {SIGABRT, SIGALRM, SIGSEGV}) std::signal(number, on_crash);
  const bool survey = std::getenv("OUTRIGGER_SURVEY") != nullptr;
  const bool one = std::getenv("OUTRIGGER_SEED") != nullptr;
  const std::uint64_t first = number_of("OUTRIGGER_SEED", 1);
  const std::uint64_t count = number_of("OUTRIGGER_SEEDS", one ? 1 : seeds_by_default);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    SCOPED_TRACE("OUTRIGGER_SEED=" + std::to_string(seed));
    Chaos chaos(seed);
    running = &chaos;
    running_seed = seed;
    alarm(120);  // for a turn that never ends
    chaos.run();
    running = nullptr;
    for (const Chaos::Finding& found : chaos.findings) {
      if (survey) {
        std::printf("SEED %llu %s | call %d | %s\n", static_cast<unsigned long long>(seed),
                    found.rule.c_str(), found.call, found.text.c_str());
        continue;
      }
      ADD_FAILURE() << "OUTRIGGER_SEED=" << seed << ": " << found.rule << "\ncall " << found.call
                    << ": " << found.text << "\n"
                    << chaos.trace(std::getenv("OUTRIGGER_TRACE") != nullptr ? -1 : found.call);
      break;
    }
    if (!survey && testing::Test::HasFailure()) break;
  }
  alarm(0);
}

}  // namespace
}  // namespace outrigger::proxy
