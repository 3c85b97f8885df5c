// What goes in comes out: a seeded world of clients, endpoints and faults, in memory and in
// simulated time. Whatever happens, each request has exactly one outcome, a message that was cut
// never looks whole, a POST that an endpoint may have worked on is not sent again, and nothing is
// left of anybody: no permits, connections, streams or bytes. A failure names its seed;
// OUTRIGGER_SEED=N runs that one alone.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "support/proxy_world.h"

namespace outrigger::proxy {
namespace {

using telemetry::Family;
using test::FakeEndpoint;
using test::MemoryChannel;
using test::Peer;
using test::ProxyWorld;

constexpr std::uint64_t seeds = 600;
constexpr std::size_t clients_max = 6;

class Chaos {
 public:
  explicit Chaos(std::uint64_t seed) : random_(seed), world_(seed) {}
  void run();

 private:
  struct Call {
    Peer* client;
    Peer::Sink* sink;
    std::string method;
    std::size_t unsent = 0;  // of the body
    bool sending = false;
  };
  // A request at an endpoint that has not been answered to its end.
  struct Job {
    Peer* endpoint;
    Peer::Sink* sink;
    std::size_t left = 0;  // of the answer's body
    bool begun = false;
  };
  // How often an endpoint may have begun to work on a request.
  struct Sightings {
    int seen = 0;
    int refused = 0;
  };

  bool chance(std::uint32_t percent) { return random_.below(100) < percent; }
  template <typename T>
  T one_of(const std::vector<T>& list) {
    return list[random_.below(static_cast<std::uint32_t>(list.size()))];
  }
  std::size_t some_size() {
    return random_.below(fine_ ? one_of<std::uint32_t>({1, 40, 300})
                               : one_of<std::uint32_t>({1, 300, 70'000, 600'000}));
  }
  MemoryChannel::Options some_pipe() {
    if (fine_) return {one_of<std::size_t>({17, 200}), one_of<std::size_t>({1, 3, 50})};
    return {one_of<std::size_t>({3'000, 64 * 1024}), one_of<std::size_t>({1'000, 64 * 1024})};
  }
  FakeEndpoint& some_endpoint() {
    return world_.endpoint(static_cast<int>(random_.below(endpoints_)) + 1);
  }

  void configure();
  void step();
  // Clients.
  Peer& some_client();
  void call();
  void continue_call(Call& call);
  void give_up(Call& call);
  void trouble_a_client();
  // Endpoints.
  void request_seen(Peer& endpoint, Peer::Sink& sink);
  void answer_begins(Job& job);
  void answer_continues(Job& job);
  void work_on(Job& job);
  void trouble_an_endpoint();
  // The end.
  void calm_down();
  void judge();
  static std::string describe(const Call& call);

  Random random_;
  ProxyWorld world_;
  bool fine_ = false;  // small bodies, cut into single bytes
  bool calm_ = false;  // no more faults
  bool bold_ = false;  // a POST may be sent again after an error status: configured so
  std::uint32_t endpoints_ = 1;
  std::list<Call> calls_;
  std::list<Job> jobs_;
  std::vector<Peer::Sink*> at_endpoints_;
  std::map<std::string, Sightings> posts_;  // by the call's number
};

std::string field_of(const std::string& head, const std::string& name) {
  const std::size_t at = head.find("\n" + name + ": ");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + name.size() + 3;
  return head.substr(begin, head.find('\n', begin) - begin);
}

void Chaos::configure() {
  fine_ = chance(40);
  endpoints_ = 1 + random_.below(4);
  config::Service& service = world_.add_service("orders", static_cast<int>(endpoints_));
  service.wire = chance(50) ? config::Wire::http2 : config::Wire::http1;
  service.timeout = seconds(10);
  service.idle_timeout = seconds(20);
  service.retry.max = static_cast<int>(random_.below(4));
  service.retry.body_max = one_of<std::uint64_t>({0, 100, 64 * 1024});
  if (chance(30)) service.retry.per_try = milliseconds(500);
  bold_ = chance(20);
  if (bold_) service.retry.retry_on.push_back(config::RetryOn::gateway_error);
  service.breaker.connections = one_of<std::uint32_t>({1, 3, 1024});
  service.breaker.pending = one_of<std::uint32_t>({1, 5, 1024});
  service.breaker.requests = one_of<std::uint32_t>({5, 4096});
  service.breaker.retries = one_of<std::uint32_t>({1, 64});
  world_.start();
  if (chance(20)) world_.scope->body_max = 50'000;
  for (std::uint32_t i = 1; i <= endpoints_; ++i) {
    FakeEndpoint& endpoint = world_.endpoint(static_cast<int>(i));
    endpoint.speaks =
        service.wire == config::Wire::http2 ? Peer::Speaks::h2_server : Peer::Speaks::h1_server;
    endpoint.pipe = some_pipe();
    endpoint.on_head = [this](Peer& peer, Peer::Sink& sink) { request_seen(peer, sink); };
    endpoint.on_request = [](Peer&, Peer::Sink&) {};
  }
}

// --- Clients -------------------------------------------------------------------------------------

Peer& Chaos::some_client() {
  std::vector<Peer*> open;
  for (auto& client : world_.clients) {
    if (client->open() && !client->input_ended) open.push_back(client.get());
  }
  if (!open.empty() && (open.size() >= clients_max || chance(80))) return *one_of(open);
  ProxyWorld::Access access;
  access.speaks = chance(50) ? Peer::Speaks::h2_client : Peer::Speaks::h1_client;
  access.pipe = some_pipe();
  if (!calm_ && chance(10))
    access.cut = {.read_max = 20 + some_size(), .write_max = 20 + some_size(), .reset = chance(50)};
  return world_.connect(access);
}

void Chaos::call() {
  Peer& client = some_client();
  test::Request request;
  request.method = one_of<std::string>({"GET", "POST", "PUT", "DELETE", "HEAD"});
  const bool has_body = request.method == "POST" || request.method == "PUT";
  const std::size_t size = has_body ? some_size() : 0;
  const std::size_t first = chance(50) ? size : size / 3;
  request.path = "/" + std::to_string(calls_.size());
  request.fields = {{"x-call", std::to_string(calls_.size())}, {"x-size", std::to_string(size)}};
  request.body = std::string(first, 'q');
  request.end = first == size;
  request.has_length = chance(50);
  if (request.end && has_body && chance(20)) request.trailers = {{"x-sum", "1"}};
  Peer::Sink& sink = client.call(request);
  calls_.push_back({&client, &sink, request.method, size - first, !request.end});
}

void Chaos::continue_call(Call& call) {
  if (call.sink->was_reset) call.sending = false;
  if (!call.sending || call.client->closed) return;
  // An answer that ended early leaves the rest to be sent, or the stream to be given up.
  if (chance(call.sink->ended ? 50 : 10)) {
    return give_up(call);
  }
  const std::size_t part = calm_ || chance(50) ? call.unsent : call.unsent / 2;
  call.unsent -= part;
  call.sending = call.unsent > 0;
  call.sink->stream->send_data(std::string(part, 'q'), !call.sending);
}

// Nothing is told any more to whoever resets.
void Chaos::give_up(Call& call) {
  call.sending = false;
  call.sink->was_reset = true;
  call.sink->reset = http::StreamEnd::local;
  call.sink->stream->reset(http::StreamEnd::cancelled);
}

void Chaos::trouble_a_client() {
  if (world_.clients.empty()) return;
  Peer& client = *world_.clients[random_.below(static_cast<std::uint32_t>(world_.clients.size()))];
  if (!client.open()) return;
  switch (random_.below(5)) {
    case 0:
      return client.reset();
    case 1:
      return client.finish();
    case 2:
      return client.stall(chance(50));
    case 3:
      return client.drain();
    default:
      for (Call& call : calls_) {
        if (call.client != &client || call.sink->over() || call.sink->stream == nullptr) continue;
        return give_up(call);
      }
  }
}

// --- Endpoints -----------------------------------------------------------------------------------

void Chaos::request_seen(Peer& endpoint, Peer::Sink& sink) {
  at_endpoints_.push_back(&sink);
  Sightings* post = nullptr;
  if (sink.head.starts_with("POST")) post = &posts_[field_of(sink.head, "x-call")];
  if (post != nullptr) ++post->seen;
  if (!calm_ && endpoint.codec()->version() == http::Version::http2 && chance(10)) {
    if (post != nullptr) ++post->refused;
    sink.was_reset = true;
    return sink.stream->reset(http::StreamEnd::refused);
  }
  jobs_.push_back({&endpoint, &sink});
  if (calm_ || chance(50)) work_on(jobs_.back());
}

void Chaos::answer_begins(Job& job) {
  job.begun = true;
  job.left = some_size();
  const bool bare = job.sink->head.starts_with("HEAD") || chance(10);
  const bool whole = !bare && chance(30);
  if (bare) job.left = 0;
  const test::FieldList fields{{"x-size", std::to_string(job.left)}};
  const int status = one_of<int>({200, 200, 200, 404, 500, 503});
  if (whole) {
    job.endpoint->answer(*job.sink, status, std::string(job.left, 'a'), fields,
                         chance(30) ? test::FieldList{{"x-sum", "1"}} : test::FieldList{});
    job.left = 0;
    return;
  }
  BlockPool blocks;
  Arena arena(blocks);
  http::Head head(arena);
  head.status = status;
  for (const auto& [name, value] : fields) head.fields.add(name, value);
  if (job.left > 0 && chance(50)) head.content_length = job.left;
  job.sink->stream->send_head(head, job.left == 0);
}

void Chaos::answer_continues(Job& job) {
  const std::size_t part = calm_ || chance(40) ? job.left : job.left / 2;
  job.left -= part;
  job.sink->stream->send_data(std::string(part, 'a'), job.left == 0);
}

void Chaos::work_on(Job& job) {
  if (job.sink->was_reset || job.endpoint->closed) return;
  if (!calm_ && chance(10)) {
    job.sink->was_reset = true;
    return job.sink->stream->reset(
        one_of<http::StreamEnd>({http::StreamEnd::cancelled, http::StreamEnd::local}));
  }
  job.begun ? answer_continues(job) : answer_begins(job);
}

void Chaos::trouble_an_endpoint() {
  FakeEndpoint& endpoint = some_endpoint();
  using Accepts = FakeEndpoint::Accepts;
  if (chance(40)) {
    endpoint.accepts = one_of<Accepts>(
        {Accepts::yes, Accepts::yes, Accepts::refuses, Accepts::refuses_at_once, Accepts::never});
    endpoint.cut.reset();
    if (chance(20))
      endpoint.cut = {
          .read_max = 20 + some_size(), .write_max = 20 + some_size(), .reset = chance(50)};
    return;
  }
  if (endpoint.connections.empty()) return;
  Peer& peer =
      *endpoint.connections[random_.below(static_cast<std::uint32_t>(endpoint.connections.size()))];
  if (!peer.open()) return;
  switch (random_.below(4)) {
    case 0:
      return peer.reset();
    case 1:
      return peer.finish();
    case 2:
      return peer.stall(chance(50));
    default:
      return peer.drain();
  }
}

void Chaos::step() {
  switch (random_.below(10)) {
    case 0:
    case 1:
    case 2:
      call();
      break;
    case 3:
    case 4:
      for (Call& c : calls_) {
        if (chance(50)) continue_call(c);
      }
      break;
    case 5:
      trouble_a_client();
      break;
    case 6:
      trouble_an_endpoint();
      break;
    case 7:
      world_.advance(milliseconds(random_.below(one_of<std::uint32_t>({5, 300, 3'000}))));
      break;
    default:
      for (Job& job : jobs_) {
        if (chance(60)) work_on(job);
      }
  }
  // Sometimes several things happen in one turn.
  if (chance(60)) world_.settle();
  jobs_.remove_if(
      [](const Job& job) { return job.sink->was_reset || (job.begun && job.left == 0); });
}

// --- The end -------------------------------------------------------------------------------------

// From here on endpoints do what they should and clients read; uploads that were left lying stay
// so.
void Chaos::calm_down() {
  calm_ = true;
  for (auto& client : world_.clients) {
    if (client->open()) client->stall(false);
  }
  for (std::uint32_t i = 1; i <= endpoints_; ++i) {
    FakeEndpoint& endpoint = world_.endpoint(static_cast<int>(i));
    endpoint.accepts = FakeEndpoint::Accepts::yes;
    endpoint.cut.reset();
    for (auto& peer : endpoint.connections) {
      if (peer->open()) peer->stall(false);
    }
  }
  for (Call& call : calls_) {
    if (chance(50)) continue_call(call);
  }
  world_.settle();
  for (int i = 0; i < 3; ++i) {
    for (Job& job : jobs_) {
      if (!job.begun || job.left > 0) work_on(job);
    }
    world_.settle();
  }
}

std::string Chaos::describe(const Call& call) {
  std::string text =
      call.method +
      (call.client->codec()->version() == http::Version::http2 ? " over HTTP/2" : " over HTTP/1");
  text += call.client->open() ? ", connection open" : ", connection closed";
  if (call.client->input_ended) text += " by the proxy";
  text += ", unsent " + std::to_string(call.unsent) + (call.sending ? " and more to come" : "");
  return text + "; has no outcome but: " + call.sink->story().substr(0, 300);
}

void Chaos::judge() {
  EXPECT_EQ(world_.metric(Family::requests_active), 0);
  EXPECT_EQ(world_.metric(Family::pool_pending), 0);
  std::size_t answered = 0;
  for (Call& call : calls_) {
    const Peer::Sink& sink = *call.sink;
    EXPECT_EQ(sink.misuse, "");
    EXPECT_TRUE(sink.over()) << describe(call);
    answered += sink.heads > 0 ? 1 : 0;
    const std::string size = field_of(sink.head, "x-size");
    if (sink.ended && !size.empty()) {
      EXPECT_EQ(std::to_string(sink.body.size()), size)
          << "a cut answer looks whole: " << sink.story().substr(0, 300);
    }
  }
  for (const Peer::Sink* sink : at_endpoints_) {
    EXPECT_EQ(sink->misuse, "");
    if (sink->ended && !sink->was_reset) {
      EXPECT_EQ(std::to_string(sink->body.size()), field_of(sink->head, "x-size"))
          << "a cut request looks whole";
    }
  }
  for (const auto& [number, post] : posts_)
    EXPECT_TRUE(bold_ || post.seen - post.refused <= 1)
        << "POST number " << number << " was sent twice";
  const auto outcomes = static_cast<std::size_t>(world_.metric(Family::requests));
  EXPECT_GE(outcomes, answered);
  EXPECT_LE(outcomes, calls_.size());
}

void Chaos::run() {
  configure();
  for (int i = 0; i < 80; ++i) step();
  calm_down();
  world_.advance(minutes(1));
  judge();
  jobs_.clear();
  world_.expect_quiet();
}

TEST(Conservation, each_request_has_one_outcome_and_nothing_is_left) {
  const char* one = std::getenv("OUTRIGGER_SEED");
  const std::uint64_t first = one != nullptr ? std::strtoull(one, nullptr, 10) : 1;
  const std::uint64_t last = one != nullptr ? first : seeds;
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Chaos(seed).run();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace outrigger::proxy
