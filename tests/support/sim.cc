#include "support/sim.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "http/h1_websocket.h"

namespace outrigger::test::sim {
namespace {

constexpr std::string_view websocket_nonce = "dGhlIHNhbXBsZSBub25jZQ==";  // of RFC 6455 section 1.3
constexpr std::string_view websocket_proof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const char* name_of(Plan::Fault fault) {
  switch (fault) {
    case Plan::Fault::none:
      return "none";
    case Plan::Fault::refuse:
      return "REFUSED_STREAM";
    case Plan::Fault::reset_stream:
      return "RST_STREAM";
    case Plan::Fault::reset_connection:
      return "RST";
    case Plan::Fault::fin:
      return "FIN";
    case Plan::Fault::garbage:
      return "garbage";
    case Plan::Fault::stall:
      return "stall";
  }
  return "?";
}

bool is_bodyless(const std::string& method, int status) {
  return method == "HEAD" || status == 204 || status == 304;
}

bool opens_tunnel(const Call& call, int status) {
  return call.protocol.empty() ? call.method == "CONNECT" && status / 100 == 2 : status == 101;
}

std::string seconds_of(Duration d) {
  return std::to_string(d / milliseconds(1)) + " ms";
}

}  // namespace

std::string_view noise(int id, std::size_t size) {
  static const std::string all = [] {
    std::string text(1 << 20, ' ');
    Random random(7);
    for (char& c : text) c = static_cast<char>('a' + random.below(26));
    return text;
  }();
  return std::string_view(all).substr(static_cast<std::size_t>(id) * 7919 % 65536, size);
}

std::string Plan::describe() const {
  std::string text = std::to_string(status) + " of " + std::to_string(size) + " B ";
  text += framing == Framing::bare      ? "bare"
          : framing == Framing::length  ? "with a length"
          : framing == Framing::chunked ? "chunked"
                                        : "until close";
  text += when == When::at_head   ? ", at the head"
          : when == When::at_part ? ", at " + std::to_string(part) + " B of the request"
          : when == When::at_end  ? ", at the request's end"
                                  : ", never";
  if (delay > Duration(0)) text += " + " + seconds_of(delay);
  if (interims > 0) text += ", " + std::to_string(interims) + " interim";
  if (pieces > 1) text += ", " + std::to_string(pieces) + " pieces every " + seconds_of(gap);
  if (trailers) text += ", trailers";
  if (says_close) text += ", close";
  if (retry_after > 0) text += ", Retry-After " + std::to_string(retry_after);
  if (grpc_status >= 0) text += ", grpc-status " + std::to_string(grpc_status);
  if (fault == Fault::none) return text;
  return text + ", " + name_of(fault) +
         (before_head ? " before the head" : " after " + std::to_string(fault_at) + " B");
}

// --- Sim -----------------------------------------------------------------------------------------

struct Sim::Alarm {
  Alarm(Sim& s, std::function<void()> w)
      : sim(s), what(std::move(w)), timer(net::Timer::to<&Alarm::fire>(*this)) {}
  void fire() {
    std::function<void()> todo = std::move(what);
    sim.alarms_.erase(self);  // this is gone
    todo();
  }
  Sim& sim;
  std::function<void()> what;
  std::list<std::unique_ptr<Alarm>>::iterator self;
  net::Timer timer;
};

Sim::Sim(std::uint64_t seed, ProxyWorld& w) : world(w), random(seed) {}

Sim::~Sim() = default;

void Sim::quit() {
  alarms_.clear();
}

void Sim::after(Duration delay, std::function<void()> what) {
  alarms_.push_back(std::make_unique<Alarm>(*this, std::move(what)));
  Alarm& alarm = *alarms_.back();
  alarm.self = std::prev(alarms_.end());
  world.loop.timers().arm(alarm.timer, delay);
}

void Sim::tell(int call, std::string what) {
  events_.push_back({now(), call, std::move(what)});
}

void Sim::violation(int call, std::string what) {
  tell(call, "WRONG: " + what);
  violations.emplace_back(call, std::move(what));
}

std::string Sim::trace(int call, std::size_t lines_max) const {
  std::vector<std::string> lines;
  for (const Event& event : events_) {
    if (event.call >= 0 && call >= 0 && event.call != call) continue;
    lines.push_back("  " +
                    std::to_string((event.at.time_since_epoch() - hours(1)) / milliseconds(1)) +
                    " ms  " + event.what);
  }
  std::string text;
  const std::size_t from = lines.size() > lines_max ? lines.size() - lines_max : 0;
  for (std::size_t i = from; i < lines.size(); ++i) text += lines[i] + "\n";
  return text;
}

// --- Job -----------------------------------------------------------------------------------------

Job::Job(Sim& s, Out& out, Sighting& sighting, Call& c)
    : sim(s), seen(sighting), call(c), out_(out) {}

void Job::begin() {
  sim.tell(call.id, "endpoint " + std::to_string(seen.endpoint) + " sees it, answer " +
                        std::to_string(seen.id) + ": " + seen.plan.describe());
  if (seen.plan.when == Plan::When::at_head) due();
}

void Job::on_body(std::string_view bytes) {
  if (seen.tunnel && !seen.head_sent && !seen.http2)
    sim.violation(call.id, "bytes for a tunnel before the endpoint agreed to it");
  if (noise(call.id, call.size).substr(std::min(seen.received, call.size), bytes.size()) != bytes)
    sim.violation(call.id, "the endpoint got bytes that were not sent");
  seen.received += bytes.size();
  if (seen.tunnel && !seen.over && seen.head_sent) {
    seen.sent += bytes.size();
    if (seen.plan.fault != Plan::Fault::none && seen.sent >= seen.plan.fault_at) return fail();
    out_.data(bytes, false);
    return;
  }
  if (seen.plan.when == Plan::When::at_part && seen.received >= seen.plan.part) due();
}

void Job::on_last() {
  seen.request_whole = true;
  sim.tell(call.id, "endpoint has the whole request, " + std::to_string(seen.received) + " B");
  if (seen.tunnel && seen.head_sent) {
    if (!seen.over) finish({});
    return;
  }
  if (seen.plan.when != Plan::When::never) due();
}

void Job::on_cut() {
  if (!seen.request_whole) seen.request_cut = true;
  if (seen.over) return;
  sim.tell(call.id, "endpoint sees it broken off");
  seen.over = true;
}

// The head was all of a request for a tunnel.
void Job::on_tunnel() {
  if (seen.plan.when != Plan::When::never) due();
}

void Job::due() {
  if (std::exchange(scheduled_, true)) return;
  if (seen.plan.delay == Duration(0)) return answer();
  sim.after(seen.plan.delay, [this] { answer(); });
}

void Job::answer() {
  if (seen.over) return;
  const Plan& plan = seen.plan;
  if (plan.fault != Plan::Fault::none && plan.before_head) return fail();
  for (int i = 0; i < plan.interims; ++i) out_.interim(i == 0 ? 103 : 102);
  seen.head_sent = true;
  seen.head_at = sim.now();
  sim.tell(call.id, "endpoint sends the head");
  if (seen.tunnel) {
    out_.head(*this, false);
    // What was sent ahead of the answer, in HTTP/2.
    seen.sent = seen.received;
    if (seen.received > 0) out_.data(noise(call.id, call.size).substr(0, seen.received), false);
    if (seen.request_whole) finish({});
    return;
  }
  const bool bare = plan.framing == Plan::Framing::bare || is_bodyless(call.method, plan.status);
  if (bare) {
    seen.over = seen.answered = true;
    out_.head(*this, true);
    out_.answered(plan.says_close);
    return;
  }
  out_.head(*this, false);
  next_piece();
}

void Job::next_piece() {
  if (seen.over) return;
  const Plan& plan = seen.plan;
  const std::size_t most = std::max<std::size_t>(1, plan.size / plan.pieces);
  std::size_t piece = std::min(most, plan.size - seen.sent);
  const bool fails = plan.fault != Plan::Fault::none;
  if (fails) piece = std::min(piece, plan.fault_at - std::min(plan.fault_at, seen.sent));
  if (fails && piece == 0) return fail();
  const std::string_view bytes = noise(100'000 + seen.id, plan.size).substr(seen.sent, piece);
  seen.sent += piece;
  if (seen.sent == plan.size && !fails) return finish(bytes);
  if (piece > 0) out_.data(bytes, false);
  if (plan.gap == Duration(0)) return next_piece();
  sim.after(plan.gap, [this] { next_piece(); });
}

// From here on nothing may be done to the stream.
void Job::finish(std::string_view last) {
  seen.over = seen.answered = true;
  sim.tell(call.id, "endpoint has answered, " + std::to_string(seen.sent) + " B");
  if (seen.tunnel) return out_.data({}, true);
  if (seen.plan.trailers) {
    if (!last.empty()) out_.data(last, false);
    out_.trailers(*this);
  } else {
    out_.data(last, true);
  }
  out_.answered(seen.plan.says_close);
}

void Job::fail() {
  seen.over = true;
  seen.refused = seen.plan.fault == Plan::Fault::refuse;
  sim.tell(call.id, std::string("endpoint: ") + name_of(seen.plan.fault));
  out_.fault(seen.plan.fault);
}

// --- App -----------------------------------------------------------------------------------------

namespace {

Sighting& see(Sim& sim, App& app, Call& call, bool http2) {
  sim.sightings.emplace_back();
  Sighting& seen = sim.sightings.back();
  seen.id = static_cast<int>(sim.sightings.size()) - 1;
  seen.call = call.id;
  seen.endpoint = app.number();
  seen.http2 = http2;
  seen.at = sim.now();
  seen.plan = sim.make_plan(call, http2);
  seen.tunnel = call.tunnel() && opens_tunnel(call, seen.plan.status);
  sim.touched.insert(call.id);
  return seen;
}

FieldList answer_fields(const Job& job) {
  const Plan& plan = job.seen.plan;
  FieldList fields{{"x-answer", std::to_string(job.seen.id)},
                   {"x-size", std::to_string(plan.size)}};
  if (plan.retry_after > 0) fields.emplace_back("retry-after", std::to_string(plan.retry_after));
  if (job.call.grpc) fields.emplace_back("content-type", "application/grpc");
  if (job.call.grpc && !plan.trailers)
    fields.emplace_back("grpc-status", std::to_string(std::max(plan.grpc_status, 0)));
  return fields;
}

FieldList answer_trailers(const Job& job) {
  FieldList fields{{"x-sum", std::to_string(job.seen.id)}};
  if (job.call.grpc)
    fields.emplace_back("grpc-status", std::to_string(std::max(job.seen.plan.grpc_status, 0)));
  return fields;
}

}  // namespace

// One HTTP/1 connection at an endpoint.
class App::H1 final : private H1Reader::Listener, private Job::Out {
 public:
  H1(App& app, Peer& peer) : app_(app), peer_(peer), reader_(*this, false) {
    peer.on_raw = [this](std::string_view bytes) { feed(bytes); };
    peer.on_input_ended = [this] { ended(); };
    peer.on_gone = [this] { cut(); };
  }
  void trouble() {
    if (job_ != nullptr) job_->seen.troubled = true;
  }

 private:
  void feed(std::string_view bytes) {
    reader_.feed(bytes);
    if (!reader_.broken.empty() && !told_) {
      told_ = true;
      app_.sim_.violation(job_ != nullptr ? job_->call.id : -1,
                          "malformed bytes at an endpoint: " + reader_.broken);
    }
    const std::string& rest = reader_.pending();
    const std::size_t at = rest.find(" /c");
    if (reader_.in_message() || at == std::string::npos ||
        rest.find('/', at + 3) == std::string::npos)
      return;
    app_.sim_.touched.insert(std::atoi(rest.c_str() + at + 3));
  }

  H1Reader::Follows on_message(const std::string& start, const Lines& fields) override {
    Sim& sim = app_.sim_;
    const int id = has_field(fields, "x-call") ? std::stoi(field_of(fields, "x-call")) : -1;
    if (id < 0 || id >= static_cast<int>(sim.calls.size())) {
      sim.violation(-1, "an endpoint got a request of nobody: " + start);
      return H1Reader::Follows::body;
    }
    Call& call = sim.calls[static_cast<std::size_t>(id)];
    if (job_ != nullptr && (!job_->seen.over || !job_->seen.request_whole))
      sim.violation(id, "a request on a connection that is busy with another one");
    if (!start.starts_with(call.method + " "))
      sim.violation(id, "the endpoint got another method: " + start);
    if (has_field(fields, "x-outrigger-not-processed"))
      sim.violation(id, "the endpoint got a mark that is between sidecars");
    Job::Out& out = *this;
    jobs_.push_back(std::make_unique<Job>(sim, out, see(sim, app_, call, false), call));
    job_ = jobs_.back().get();
    job_->seen.troubled = !peer_.open();  // read before it was closed, answered into nothing
    key_ = field_of(fields, "sec-websocket-key");
    const bool asks = call.method == "CONNECT" || has_field(fields, "upgrade");
    if (call.tunnel() && !asks) job_->seen.tunnel = false;  // the upgrade was left out on the way
    if (!job_->seen.tunnel && job_->seen.plan.status == 101) job_->seen.plan.status = 200;
    job_->begin();
    if (asks && call.tunnel()) {
      if (job_->seen.tunnel) {
        // Nothing more comes before the answer; a tunnel begins with it.
        if (!job_->seen.request_whole) job_->on_tunnel();
        return H1Reader::Follows::tunnel;
      }
      return H1Reader::Follows::nothing;
    }
    return H1Reader::Follows::body;
  }
  void on_body(std::string_view bytes) override {
    if (job_ != nullptr) job_->on_body(bytes);
  }
  void on_last(const Lines& trailers) override {
    if (job_ == nullptr) return;
    if (!trailers.empty() != (job_->call.trailers))
      app_.sim_.violation(job_->call.id, "trailers were lost or invented on the way");
    job_->on_last();
  }

  void ended() {
    reader_.end();
    const bool busy = job_ != nullptr && (!job_->seen.over || !job_->seen.request_whole);
    if (busy) job_->on_cut();
    if (peer_.open()) peer_.finish();
  }
  void cut() {
    if (job_ != nullptr) job_->on_cut();
  }

  // Job::Out
  void interim(int status) override {
    send("HTTP/1.1 " + std::to_string(status) + " Early\r\nx-early: 1\r\n\r\n");
  }
  void head(const Job& job, bool end) override {
    const Plan& plan = job.seen.plan;
    std::string text = "HTTP/1.1 " + std::to_string(plan.status) + " Said\r\n";
    for (const auto& [name, value] : answer_fields(job)) text += name + ": " + value + "\r\n";
    if (job.seen.tunnel && !job.call.protocol.empty()) {
      text += "connection: upgrade\r\nupgrade: " + job.call.protocol + "\r\n";
      if (!key_.empty()) {
        const auto proof = http::websocket_accept(key_);
        text += "sec-websocket-accept: " + std::string(proof.data(), proof.size()) + "\r\n";
      }
    } else if (plan.says_close) {
      text += "connection: close\r\n";
    }
    const bool declared = plan.framing == Plan::Framing::length;
    if (!job.seen.tunnel && plan.status != 204) {
      if (end && declared) {
        text += "content-length: " + std::to_string(plan.size) + "\r\n";  // HEAD and 304
      } else if (end && !is_bodyless(job.call.method, plan.status)) {
        text += "content-length: 0\r\n";
      } else if (!end && declared) {
        text += "content-length: " + std::to_string(plan.size) + "\r\n";
      } else if (!end && plan.framing == Plan::Framing::chunked) {
        text += "transfer-encoding: chunked\r\n";
      }
    }
    send(text + "\r\n");
  }
  void data(std::string_view bytes, bool end) override {
    const Plan& plan = job_->seen.plan;
    if (job_->seen.tunnel) {
      if (!bytes.empty()) send(bytes);
      if (end && peer_.open()) peer_.end_output();
      return;
    }
    if (plan.framing != Plan::Framing::chunked) return send(bytes);
    if (!bytes.empty()) chunk(bytes);
    if (end) send("0\r\n\r\n");
  }
  void chunk(std::string_view bytes) {
    std::array<char, 20> size{};
    std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
    send(std::string(size.data()) + std::string(bytes) + "\r\n");
  }
  void trailers(const Job& job) override {
    std::string text = "0\r\n";
    for (const auto& [name, value] : answer_trailers(job)) text += name + ": " + value + "\r\n";
    send(text + "\r\n");
  }
  void fault(Plan::Fault what) override {
    switch (what) {
      case Plan::Fault::fin:
        if (peer_.open()) peer_.finish();
        return;
      case Plan::Fault::garbage:
        // Inside a body that is counted these would be its bytes.
        if (job_->seen.head_sent &&
            (job_->seen.tunnel || job_->seen.plan.framing != Plan::Framing::chunked))
          return peer_.kill();
        send(job_->seen.head_sent ? "zz\r\nx\r\n" : "HTTP/1.1 2x0 Bad\r\nno field\r\n\r\n");
        return;
      case Plan::Fault::stall:
        return;
      default:
        return peer_.kill();
    }
  }
  void answered(bool says_close) override {
    if (job_->seen.tunnel) return;
    if ((says_close || job_->seen.plan.framing == Plan::Framing::until_close) && peer_.open())
      peer_.finish();
  }
  void send(std::string_view bytes) {
    if (peer_.open()) peer_.send(bytes);
  }

  App& app_;
  Peer& peer_;
  H1Reader reader_;
  std::deque<std::unique_ptr<Job>> jobs_;
  Job* job_ = nullptr;
  std::string key_;
  bool told_ = false;
};

// One HTTP/2 stream at an endpoint.
class App::H2 final : private Job::Out {
 public:
  H2(App& app, Peer& peer, Peer::Sink& sink) : app_(app), peer_(peer), sink_(sink) {}

  void on_head(http::Head& head, bool end) {
    Sim& sim = app_.sim_;
    const http::Field* field = head.fields.find("x-call");
    const int id = field != nullptr ? std::atoi(std::string(field->value).c_str()) : -1;
    if (id < 0 || id >= static_cast<int>(sim.calls.size()))
      return sim.violation(-1, "an endpoint got a request of nobody");
    Call& call = sim.calls[static_cast<std::size_t>(id)];
    if (head.fields.has(http::recognise("x-outrigger-not-processed")) &&
        head.fields.find("x-outrigger-not-processed") != nullptr)
      sim.violation(id, "the endpoint got a mark that is between sidecars");
    if (call.protocol.empty() && head.method_text != call.method)
      sim.violation(id, "the endpoint got another method: " + std::string(head.method_text));
    Job::Out& out = *this;
    job_ = std::make_unique<Job>(sim, out, see(sim, app_, call, true), call);
    job_->seen.troubled = !peer_.open();
    job_->begin();
    if (job_->seen.tunnel) job_->on_tunnel();
    if (end) job_->on_last();
  }
  void on_data(std::string_view bytes, bool end) {
    if (job_ == nullptr || !alive("data")) return;
    if (!bytes.empty()) job_->on_body(bytes);
    if (end && !stream_over_) job_->on_last();
    if (end) job_->seen.request_whole = true;
  }
  void on_trailers() {
    if (job_ == nullptr || !alive("trailers")) return;
    trailers_came_ = true;
    job_->on_last();
  }
  void on_reset() {
    if (job_ == nullptr || !alive("a reset")) return;
    stream_over_ = true;
    job_->on_cut();
  }
  bool trailers_came() const { return trailers_came_; }
  Job* job() { return job_.get(); }
  Peer& peer() { return peer_; }

 private:
  // A server's stream is over when its answer has been sent.
  bool alive(const char* what) {
    if (stream_over_)
      app_.sim_.violation(job_->call.id, std::string("a stream that ended hears of ") + what);
    return !stream_over_;
  }

  void interim(int status) override {
    BlockPool blocks;
    Arena arena(blocks);
    http::Head head(arena);
    head.status = status;
    sink_.stream->send_interim(head);
  }
  void head(const Job& job, bool end) override {
    const Plan& plan = job.seen.plan;
    BlockPool blocks;
    Arena arena(blocks);
    http::Head head(arena);
    head.status = plan.status;
    const FieldList fields = answer_fields(job);
    for (const auto& [name, value] : fields) head.fields.add(name, value);
    if (job.seen.tunnel) {
      head.protocol = job.call.protocol;
    } else if (plan.framing == Plan::Framing::length &&
               (!end || is_bodyless(job.call.method, plan.status))) {
      if (plan.status != 204) head.content_length = plan.size;
    }
    stream_over_ = end;
    sink_.stream->send_head(head, end);
  }
  void data(std::string_view bytes, bool end) override {
    stream_over_ = end;
    sink_.stream->send_data(bytes, end);
  }
  void trailers(const Job& job) override {
    BlockPool blocks;
    Arena arena(blocks);
    http::Fields fields(arena);
    const FieldList list = answer_trailers(job);
    for (const auto& [name, value] : list) fields.add(name, value);
    stream_over_ = true;
    sink_.stream->send_trailers(fields);
  }
  void fault(Plan::Fault what) override {
    switch (what) {
      case Plan::Fault::none:
      case Plan::Fault::stall:
        return;
      case Plan::Fault::reset_connection:
        app_.trouble(peer_);  // its other streams go with it
        return peer_.kill();
      case Plan::Fault::refuse:
        stream_over_ = true;
        return sink_.stream->reset(http::StreamEnd::refused);
      default:
        stream_over_ = true;
        return sink_.stream->reset(app_.sim_.chance(50) ? http::StreamEnd::cancelled
                                                        : http::StreamEnd::local);
    }
  }
  void answered(bool says_close) override {
    if (says_close && peer_.open()) peer_.drain();
  }

  App& app_;
  Peer& peer_;
  Peer::Sink& sink_;
  std::unique_ptr<Job> job_;
  bool stream_over_ = false;
  bool trailers_came_ = false;
};

App::App(Sim& sim, FakeEndpoint& endpoint, int number)
    : sim_(sim), endpoint_(endpoint), number_(number) {
  endpoint.on_peer = [this](Peer& peer) { accept(peer); };
}

App::~App() = default;

void App::accept(Peer& peer) {
  sim_.tell(-1, "endpoint " + std::to_string(number_) + " accepts a connection");
  if (endpoint_.speaks == Peer::Speaks::bytes) {
    h1_[&peer] = std::make_shared<H1>(*this, peer);
    return;
  }
  peer.server.stream_hook = [this, &peer](Peer::Sink& sink) {
    h2_.push_back(std::make_shared<H2>(*this, peer, sink));
    H2* stream = h2_.back().get();
    sink.head_hook = [stream](http::Head& head, bool end) { stream->on_head(head, end); };
    sink.data_hook = [stream](std::string_view bytes, bool end) { stream->on_data(bytes, end); };
    sink.trailers_hook = [stream](http::Fields&) { stream->on_trailers(); };
    sink.reset_hook = [stream](http::StreamEnd) { stream->on_reset(); };
  };
}

void App::trouble(Peer& peer) {
  const auto one = h1_.find(&peer);
  if (one != h1_.end()) one->second->trouble();
  for (auto& stream : h2_) {
    if (&stream->peer() == &peer && stream->job() != nullptr) stream->job()->seen.troubled = true;
  }
}

void App::trouble() {
  for (auto& peer : endpoint_.connections) trouble(*peer);
}

// --- Caller --------------------------------------------------------------------------------------

void Caller::trouble(const std::string& what) {
  for (Call* call : open_) {
    if (call->trouble.empty()) call->trouble = what;
    sim_.tell(call->id, "caller: " + what);
  }
}

void Caller::stall(bool stalled) {
  const bool was = stalled_at_ != TimePoint::max();
  if (was == stalled) return;
  // Longer than a closing connection lingers: it may lose what was not read.
  if (was && sim_.now() - stalled_at_ > milliseconds(1500)) trouble("did not read for long");
  stalled_at_ = stalled ? sim_.now() : TimePoint::max();
  sim_.tell(-1, "caller " + std::to_string(number_) + (stalled ? " stops reading" : " reads on"));
  if (peer_.open()) peer_.stall(stalled);
}

void Caller::note_sent(Call& call, std::size_t bytes, bool last) {
  const TimePoint now = sim_.now();
  if (!std::exchange(call.begun, true)) call.at = call.last_sent = now;
  call.longest_pause = std::max(call.longest_pause, now - call.last_sent);
  call.last_sent = now;
  call.sent += bytes;
  if (!last || call.sent_all) return;
  call.sent_all = true;
  call.sent_at = now;
  sim_.tell(call.id, "caller has sent all, " + std::to_string(call.sent) + " B");
}

void Caller::note_head(Call& call, int status, const Lines& fields) {
  if (call.status != 0) call.fault = "two heads";
  if (call.over()) call.fault = "a head behind the end";
  call.status = status;
  call.fields = fields;
  call.head_at = sim_.now();
  sim_.tell(call.id, "caller gets " + std::to_string(status) + ' ' +
                         field_of(fields, "x-outrigger-flag") +
                         (has_field(fields, "x-answer") ? "answer " + field_of(fields, "x-answer")
                                                        : std::string("of a sidecar")));
}

void Caller::note_body(Call& call, std::string_view bytes) {
  const std::string answer = field_of(call.fields, "x-answer");
  if (call.over()) call.fault = "bytes behind the end";
  if (!answer.empty()) {
    const auto id = static_cast<std::size_t>(std::stoi(answer));
    const bool tunnel = opens_tunnel(call, call.status);
    const std::size_t size = tunnel ? call.size : sim_.sightings[id].plan.size;
    const std::string_view all = noise(tunnel ? call.id : 100'000 + static_cast<int>(id), size);
    if (all.substr(std::min(call.received, size), bytes.size()) != bytes)
      call.fault = "bytes that its endpoint did not send";
  }
  call.received += bytes.size();
}

void Caller::note_end(Call& call, bool whole, const char* how) {
  if (call.over()) return;
  call.whole = whole;
  call.cut = !whole;
  call.over_at = sim_.now();
  std::erase(open_, &call);
  sim_.tell(call.id, std::string("caller: ") + (whole ? "whole" : "cut") + " after " +
                         std::to_string(call.received) + " B, " + how);
}

namespace {

class H1Caller final : public Caller, private H1Reader::Listener {
 public:
  H1Caller(Sim& sim, Peer& peer, int number) : Caller(sim, peer, number), reader_(*this, true) {
    peer.on_raw = [this](std::string_view bytes) { feed(bytes); };
    peer.on_input_ended = [this] {
      reader_.end();
      cut("FIN");
      if (peer_.open()) peer_.finish();
    };
    peer.on_gone = [this] { cut("gone"); };
    pipelines_ = sim.chance(40);
  }

  bool http2() const override { return false; }
  bool ready() const override {
    if (!open() || closing_ || (!asked_.empty() && asked_.back()->tunnel())) return false;
    return pipelines_ ? asked_.size() < 12 : asked_.empty() && parts_.empty();
  }
  bool has_more() const override { return open() && !parts_.empty(); }

  void begin(Call& call) override {
    call.at = call.last_sent = sim_.now();
    open_.push_back(&call);
    asked_.push_back(&call);
    if (faulty) call.trouble = "on a connection that something was done to";
    std::string target = "/c" + std::to_string(call.id) + "/";
    if (call.method == "CONNECT") target = "c" + std::to_string(call.id) + ":443";
    std::string text =
        call.method + " " + target + (call.http10 ? " HTTP/1.0" : " HTTP/1.1") + "\r\n";
    const std::string host = call.method == "CONNECT" ? target : std::string("orders");
    if (!call.http10 || sim_.chance(50)) text += "Host: " + host + "\r\n";
    text += "X-Call: " + std::to_string(call.id) + "\r\n";
    if (call.trailers || sim_.chance(20)) text += "TE: trailers\r\nConnection: TE\r\n";
    if (!call.protocol.empty()) {
      text += "Upgrade: " + call.protocol + "\r\nConnection: Upgrade\r\n";
      text += "Sec-WebSocket-Key: " + std::string(websocket_nonce) +
              "\r\nSec-WebSocket-Version: 13\r\n";
    }
    const bool body = call.size > 0 && !call.tunnel();
    if (body && call.has_length) text += "Content-Length: " + std::to_string(call.size) + "\r\n";
    if (body && !call.has_length) text += "Transfer-Encoding: chunked\r\n";
    add(call, text + "\r\n", 0, !body && !call.tunnel());
    if (body) add_body(call);
  }

  void send(std::size_t bytes) override {
    while (bytes > 0 && has_more()) {
      Part& part = parts_.front();
      const std::size_t n = std::min(bytes, part.text.size() - part.gone);
      const std::string piece = part.text.substr(part.gone, n);
      part.gone += n;
      bytes -= n;
      Call& call = *part.call;
      const bool done = part.gone == part.text.size();
      // The framing of a chunk counts for nothing.
      note_sent(call, done ? part.body : 0, done && part.last);
      const bool fin = part.fin && done;
      if (done) parts_.pop_front();
      if (!piece.empty()) peer_.send(piece);
      if (fin && peer_.open()) peer_.end_output();
    }
  }

  void give_up() override {
    trouble("gives up, by a reset");
    peer_.reset();
  }

 private:
  struct Part {
    Call* call;
    std::string text;
    std::size_t body;
    bool last;
    bool fin = false;
    std::size_t gone = 0;
  };
  void add(Call& call, std::string text, std::size_t body, bool last) {
    parts_.push_back({&call, std::move(text), body, last});
  }
  void add_body(Call& call) {
    std::string_view rest = noise(call.id, call.size);
    while (!rest.empty()) {
      const std::size_t n = std::min<std::size_t>(rest.size(), 1 + sim_.random.below(20'000));
      const std::string piece(rest.substr(0, n));
      rest.remove_prefix(n);
      if (call.has_length) {
        add(call, piece, n, rest.empty());
        continue;
      }
      std::array<char, 20> size{};
      std::snprintf(size.data(), size.size(), "%zx\r\n", n);
      add(call, size.data() + piece + "\r\n", n, false);
    }
    if (call.has_length) return;
    add(call, call.trailers ? "0\r\nx-sum: 1\r\n\r\n" : "0\r\n\r\n", 0, true);
  }

  void feed(std::string_view bytes) {
    reader_.feed(bytes);
    if (reader_.broken.empty() || told_) return;
    told_ = true;
    sim_.violation(asked_.empty() ? -1 : asked_.front()->id,
                   "malformed bytes at a caller: " + reader_.broken);
  }

  H1Reader::Follows on_message(const std::string& start, const Lines& fields) override {
    const int status = std::atoi(start.c_str() + 9);
    if (asked_.empty() || !asked_.front()->begun) {
      sim_.violation(-1, "an answer nobody asked for: " + start);
      return H1Reader::Follows::body;
    }
    Call& call = *asked_.front();
    if (status < 200 && status != 101) {
      ++call.interims;
      return H1Reader::Follows::another_head;
    }
    note_head(call, status, fields);
    if (field_of(fields, "connection") == "close") closing_ = true;
    if (opens_tunnel(call, status)) {
      if (!call.protocol.empty() && field_of(fields, "sec-websocket-accept") != websocket_proof)
        call.fault = "no proof that the peer speaks WebSocket";
      begin_tunnel(call);
      return H1Reader::Follows::tunnel;
    }
    if (status == 101) call.fault = "a switch of protocols nobody asked for";
    return is_bodyless(call.method, status) ? H1Reader::Follows::nothing : H1Reader::Follows::body;
  }
  void begin_tunnel(Call& call) {
    std::string_view rest = noise(call.id, call.size);
    while (!rest.empty()) {
      const std::size_t n = std::min<std::size_t>(rest.size(), 1 + sim_.random.below(20'000));
      add(call, std::string(rest.substr(0, n)), n, false);
      rest.remove_prefix(n);
    }
    if (parts_.empty()) {
      note_sent(call, 0, true);
      peer_.end_output();
    } else {
      parts_.back().last = parts_.back().fin = true;
    }
  }
  void on_body(std::string_view bytes) override {
    if (!asked_.empty()) note_body(*asked_.front(), bytes);
  }
  void on_last(const Lines& trailers) override {
    if (asked_.empty()) return;
    Call& call = *asked_.front();
    asked_.pop_front();
    call.last_fields = trailers;
    // Of a chunked upload that is answered before its end so much is dropped, and no more: what was
    // sent behind it may be lost, without a word beforehand.
    if (call.size > 0 && !call.has_length && !call.tunnel() && !was_read(call)) closing_ = true;
    note_end(call, true, "its end");
  }
  // To its end, by the endpoint whose answer came.
  bool was_read(const Call& call) const {
    const std::string answer = field_of(call.fields, "x-answer");
    return !answer.empty() && sim_.sightings[std::stoul(answer)].request_whole;
  }
  void cut(const char* how) {
    if (stalled_at_ != TimePoint::max() && sim_.now() - stalled_at_ > milliseconds(1500))
      trouble("did not read for long");
    if (!asked_.empty() && (asked_.front()->status != 0 || asked_.front()->http10)) closing_ = true;
    while (!asked_.empty()) {
      Call& call = *asked_.front();
      asked_.pop_front();
      // Behind an answer that says close nothing is answered, and nothing has been done.
      if (closing_ && call.status == 0 && call.trouble.empty())
        call.trouble = "came after the last";
      if (draining && call.status == 0 && call.trouble.empty()) call.trouble = "met a drain";
      note_end(call, false, how);
    }
    parts_.clear();
  }

  H1Reader reader_;
  std::deque<Call*> asked_;
  std::deque<Part> parts_;
  bool pipelines_ = false;
  bool closing_ = false;
  bool told_ = false;
};

class H2Caller final : public Caller {
 public:
  H2Caller(Sim& sim, Peer& peer, int number) : Caller(sim, peer, number) {}

  bool http2() const override { return true; }
  bool ready() const override { return open() && peer_.capacity() > 0; }
  bool has_more() const override {
    return open() && std::any_of(sending_.begin(), sending_.end(),
                                 [](const Sending& s) { return may_send(s); });
  }

  void begin(Call& call) override {
    Request request;
    request.method = call.method;
    request.path = "/c" + std::to_string(call.id) + "/";
    request.fields = {{"x-call", std::to_string(call.id)}};
    request.protocol = call.protocol;
    if (call.method == "CONNECT") request.authority = "c" + std::to_string(call.id) + ":443";
    if (call.grpc) request.fields.emplace_back("content-type", "application/grpc");
    const bool more = call.size > 0 || call.trailers || call.tunnel() || call.grpc;
    request.end = !more;
    if (more && !call.tunnel() && call.has_length) request.length = call.size;
    call.at = call.last_sent = sim_.now();
    open_.push_back(&call);
    if (faulty) call.trouble = "on a connection that something was done to";
    note_sent(call, 0, !more);
    Peer::Sink& sink = peer_.call(request);
    sinks_of_[&sink] = &call;
    if (more) sending_.push_back({&call, &sink, call.tunnel() && !sim_.chance(20)});
    sink.head_hook = [this, &call](http::Head& head, bool end) { on_head(call, head, end); };
    sink.data_hook = [this, &call](std::string_view bytes, bool end) {
      if (!bytes.empty()) note_body(call, bytes);
      if (end) note_end(call, true, "its end");
    };
    sink.trailers_hook = [this, &call](http::Fields& trailers) {
      for (const http::Field& f : trailers)
        call.last_fields.emplace_back(std::string(f.name), std::string(f.value));
      note_end(call, true, "trailers");
    };
    sink.reset_hook = [this, &call](http::StreamEnd reason) {
      forget(call);
      if (call.over()) return;
      if (draining && reason == http::StreamEnd::refused) call.trouble = "met a drain";
      note_end(call, false, http::to_string(reason));
    };
  }

  void send(std::size_t bytes) override {
    if (!has_more()) return;
    std::size_t at = sim_.random.below(static_cast<std::uint32_t>(sending_.size()));
    while (!may_send(sending_[at])) at = (at + 1) % sending_.size();
    const Sending sending = sending_[at];
    Call& call = *sending.call;
    http::Stream& stream = *sending.sink->stream;
    if (call.over() && sim_.chance(30)) {
      forget(call);
      return stream.reset(http::StreamEnd::cancelled);
    }
    const std::size_t n = std::min(bytes, call.size - call.sent);
    const std::string piece(noise(call.id, call.size).substr(call.sent, n));
    const bool last = call.sent + n == call.size;
    note_sent(call, n, last);
    if (last) forget(call);
    if (!last || !call.trailers) return stream.send_data(piece, last);
    if (n > 0) stream.send_data(piece, false);
    BlockPool blocks;
    Arena arena(blocks);
    http::Fields trailers(arena);
    trailers.add("x-sum", "1");
    stream.send_trailers(trailers);
  }

  // One stream.
  void give_up() override {
    if (open_.empty() || !open()) return;
    Call& call = *open_.front();
    if (call.trouble.empty()) call.trouble = "gives up";
    for (auto& sink : peer_.calls) {
      if (sink->stream == nullptr || sink->over() || sinks_of_.count(sink.get()) == 0) continue;
      if (sinks_of_[sink.get()] != &call) continue;
      sink->was_reset = true;
      forget(call);
      note_end(call, false, "given up");
      return sink->stream->reset(http::StreamEnd::cancelled);
    }
  }

 private:
  struct Sending {
    Call* call;
    Peer::Sink* sink;
    bool waits;  // for the tunnel to be there
  };
  static bool may_send(const Sending& s) {
    if (s.sink->was_reset) return false;
    if (!s.call->tunnel()) return true;
    if (s.call->status == 0) return !s.waits;
    return true;
  }
  void forget(Call& call) {
    std::erase_if(sending_, [&call](const Sending& s) { return s.call == &call; });
  }
  void on_head(Call& call, http::Head& head, bool end) {
    Lines fields;
    for (const http::Field& f : head.fields)
      fields.emplace_back(std::string(f.name), std::string(f.value));
    if (head.content_length)
      fields.emplace_back("content-length", std::to_string(*head.content_length));
    note_head(call, head.status, fields);
    if (end) note_end(call, true, "its head");
  }

  std::vector<Sending> sending_;
  std::map<Peer::Sink*, Call*> sinks_of_;
};

}  // namespace

std::unique_ptr<Caller> make_caller(Sim& sim, Peer& peer, int number, bool http2) {
  if (http2) return std::make_unique<H2Caller>(sim, peer, number);
  return std::make_unique<H1Caller>(sim, peer, number);
}

}  // namespace outrigger::test::sim
