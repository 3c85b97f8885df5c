#pragma once

// The people of a simulation: callers that send requests and endpoints that answer them, each with
// a mind of its own, and the record of what every one of them sent and saw. HTTP/1 is spoken here
// in raw bytes and read by a reader of its own (h1_reader.h); HTTP/2 by our codec. An oracle then
// compares the records; nothing in here judges but what a peer can see for itself.

#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "support/h1_reader.h"
#include "support/proxy_world.h"

namespace outrigger::test::sim {

// What an endpoint does with one request.
struct Plan {
  // When its answer begins: `delay` after the request's head, a part of its body, or its end.
  enum class When { at_head, at_part, at_end, never } when = When::at_end;
  enum class Framing { bare, length, chunked, until_close } framing = Framing::length;
  enum class Fault { none, refuse, reset_stream, reset_connection, fin, garbage, stall };
  std::size_t part = 0;
  Duration delay{};
  int interims = 0;
  int status = 200;
  std::size_t size = 0;  // of the answer's body
  std::size_t pieces = 1;
  Duration gap{};  // between two pieces
  bool trailers = false;
  bool says_close = false;
  int retry_after = 0;   // seconds
  int grpc_status = -1;  // in trailers, or in the head of an answer without a body
  Fault fault = Fault::none;
  bool before_head = false;  // the fault
  std::size_t fault_at = 0;  // or after so much of the body
  std::string describe() const;
};

// A request as one endpoint saw it.
struct Sighting {
  int id = 0;
  int call = 0;
  int endpoint = 0;
  bool http2 = false;
  bool tunnel = false;  // accepted
  TimePoint at{};
  Plan plan;
  std::size_t received = 0;
  bool request_whole = false;
  bool request_cut = false;
  bool refused = false;  // by REFUSED_STREAM
  bool head_sent = false;
  TimePoint head_at{};
  std::size_t sent = 0;
  bool answered = false;  // to its end
  bool over = false;
  bool troubled = false;  // something was done to the endpoint or to this connection
};

// A request as its caller sent it, and what came back.
struct Call {
  int id = 0;
  int caller = 0;
  std::string method = "GET";
  bool http2 = false;
  bool grpc = false;
  bool http10 = false;
  std::string protocol;  // of an upgrade
  bool tunnel() const { return !protocol.empty() || method == "CONNECT"; }
  std::size_t size = 0;  // of the body, or of what goes through the tunnel
  bool has_length = true;
  bool trailers = false;

  bool begun = false;  // a byte has left
  TimePoint at{};
  std::size_t sent = 0;
  bool sent_all = false;
  TimePoint last_sent{};
  TimePoint sent_at{};  // all of it
  Duration longest_pause{};

  int interims = 0;
  int status = 0;  // 0: no head
  Lines fields;
  Lines last_fields;
  std::size_t received = 0;
  bool whole = false;
  bool cut = false;
  TimePoint head_at{};
  TimePoint over_at{};
  std::string trouble;  // what the caller did to it, or what was done to the caller
  std::string fault;    // what the caller found wrong with what it got

  bool over() const { return whole || cut; }
};

class Sim {
 public:
  Sim(std::uint64_t seed, ProxyWorld& w);
  ~Sim();
  Sim(const Sim&) = delete;
  Sim& operator=(const Sim&) = delete;

  bool chance(std::uint32_t percent) { return random.below(100) < percent; }
  template <typename T>
  T one_of(std::initializer_list<T> list) {
    return list.begin()[random.below(static_cast<std::uint32_t>(list.size()))];
  }
  TimePoint now() const { return world.loop.now(); }
  void after(Duration delay, std::function<void()> what);
  // Everything planned is forgotten.
  void quit();
  void tell(int call, std::string what);
  std::string trace(int call, std::size_t lines_max) const;
  void violation(int call, std::string what);

  ProxyWorld& world;
  Random random;
  std::function<Plan(Call&, bool http2)> make_plan;
  std::deque<Call> calls;
  std::deque<Sighting> sightings;
  std::set<int> touched;  // calls of which an endpoint saw a path
  std::vector<std::pair<int, std::string>> violations;

 private:
  struct Alarm;
  struct Event {
    TimePoint at;
    int call;
    std::string what;
  };
  std::list<std::unique_ptr<Alarm>> alarms_;
  std::deque<Event> events_;
};

// Bytes that belong to one message and to no other.
std::string_view noise(int id, std::size_t size);

// --- Endpoints -----------------------------------------------------------------------------------

// One request at an endpoint.
class Job {
 public:
  // The message side of it, in one version of HTTP.
  class Out {
   public:
    virtual void interim(int status) = 0;
    virtual void head(const Job& job, bool end) = 0;
    virtual void data(std::string_view bytes, bool end) = 0;
    virtual void trailers(const Job& job) = 0;
    virtual void fault(Plan::Fault what) = 0;
    virtual void answered(bool says_close) = 0;

   protected:
    ~Out() = default;
  };

  Job(Sim& sim, Out& out, Sighting& sighting, Call& call);
  void begin();  // after construction: the head is there
  void on_tunnel();
  void on_body(std::string_view bytes);
  void on_last();
  void on_cut();  // by the proxy, or with the connection

  Sim& sim;
  Sighting& seen;
  Call& call;

 private:
  void due();
  void answer();
  void next_piece();
  void fail();
  void finish(std::string_view last);

  Out& out_;
  bool scheduled_ = false;
};

// All connections to one endpoint.
class App {
 public:
  App(Sim& sim, FakeEndpoint& endpoint, int number);
  ~App();
  App(const App&) = delete;
  // Whatever is under way here may fail now, and it is not the proxy's doing.
  void trouble();
  void trouble(Peer& peer);
  FakeEndpoint& endpoint() { return endpoint_; }
  int number() const { return number_; }

 private:
  class H1;
  class H2;
  void accept(Peer& peer);

  Sim& sim_;
  FakeEndpoint& endpoint_;
  const int number_;
  std::map<Peer*, std::shared_ptr<H1>> h1_;
  std::deque<std::shared_ptr<H2>> h2_;
};

// --- Callers -------------------------------------------------------------------------------------

class Caller {
 public:
  Caller(Sim& sim, Peer& peer, int number) : sim_(sim), peer_(peer), number_(number) {}
  virtual ~Caller() = default;
  Caller(const Caller&) = delete;

  // May another call begin here?
  virtual bool ready() const = 0;
  virtual void begin(Call& call) = 0;
  // Sends so much more of what is there to be sent.
  virtual void send(std::size_t bytes) = 0;
  virtual bool has_more() const = 0;
  virtual bool http2() const = 0;
  // Gives up the calls that are open, as its version can.
  virtual void give_up() = 0;
  // Calls that are open here have had this done to them.
  void trouble(const std::string& what);
  void stall(bool stalled);
  Peer& peer() { return peer_; }
  int number() const { return number_; }
  bool open() const { return peer_.open() && !peer_.input_ended; }
  bool faulty = false;    // something has been done to it: later calls suffer too
  bool draining = false;  // the proxy closes it

 protected:
  void note_sent(Call& call, std::size_t bytes, bool last);
  void note_head(Call& call, int status, const Lines& fields);
  void note_body(Call& call, std::string_view bytes);
  void note_end(Call& call, bool whole, const char* how);

  Sim& sim_;
  Peer& peer_;
  const int number_;
  std::vector<Call*> open_;
  TimePoint stalled_at_ = TimePoint::max();
};

std::unique_ptr<Caller> make_caller(Sim& sim, Peer& peer, int number, bool http2);

}  // namespace outrigger::test::sim
