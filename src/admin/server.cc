#include "admin/server.h"

#include <algorithm>
#include <string>
#include <utility>

#include "http/connection_wire.h"
#include "http/h1_server_codec.h"
#include "net/connection.h"
#include "net/socket.h"

namespace outrigger::admin {
namespace {

// How long a connection without a request is not taken for idle.
constexpr Duration fresh = seconds(1);

}  // namespace

// One connection with its codec. Owned by the PageServer until it has closed, then by the loop
// until the turn's end.
class PageServer::Client final : public net::Retirable,
                                 private net::ConnectionHandler,
                                 private http::ServerEvents {
 public:
  Client(PageServer& server, std::unique_ptr<net::Channel> channel)
      : server_(server),
        connection_(server.loop_, std::move(channel), nullptr, server.connection_limits_),
        wire_(connection_),
        exchange_(*this),
        codec_(wire_, *this, server.limits_, server.counters_, server.loop_.blocks(), "http"),
        timer_(net::Timer::to<&Client::on_timer>(*this)) {
    wire_.set_codec(&codec_);
  }

  void start() { connection_.start(*this); }
  // Nothing is under way: no request, no answer, perhaps a close.
  bool idle() const { return !busy() && connection_.unsent() == 0; }
  // Since when it has been waiting for what it waits for now.
  TimePoint since() const { return since_; }
  // Closes at once; no callback comes any more.
  void abort() {
    timer_.cancel();
    connection_.abort();
  }

 private:
  // Gathers the one open request and sends its answer.
  class Exchange final : public http::StreamSink {
   public:
    explicit Exchange(Client& client) : client_(client) {}
    void begin(http::Stream& stream) {
      stream_ = &stream;
      request_ = {};
    }
    bool open() const { return stream_ != nullptr; }

    void on_head(http::Head& head, bool end) override;
    void on_interim(http::Head&) override {}
    void on_data(std::string_view bytes, bool end) override;
    void on_trailers(http::Fields&) override { answer(); }
    void on_reset(http::StreamEnd) override { stream_ = nullptr; }
    void on_drained() override {}

   private:
    void answer() { send(client_.server_.handler_.handle(request_)); }
    void send(const Response& response);

    Client& client_;
    http::Stream* stream_ = nullptr;  // until it is answered
    Request request_;
  };

  // Which deadline runs.
  enum class Waiting : std::uint8_t {
    nothing,
    peer,     // for a request to begin
    request,  // for the rest of it
    reader,   // for the peer to take the answer
  };

  void on_open() override { touch(); }
  std::size_t on_bytes(std::string_view bytes) override {
    const auto now = server_.loop_.now().time_since_epoch();
    const std::size_t consumed = codec_.feed(
        bytes, static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(now).count()));
    touch();
    return consumed;
  }
  void on_end_of_input() override { codec_.input_ended(); }
  void on_drained() override { codec_.output_drained(); }
  void on_closed(net::CloseReason) override {
    timer_.cancel();
    codec_.connection_lost(true);
    server_.remove(*this);
  }
  http::StreamSink& on_stream(http::Stream& stream) override {
    exchange_.begin(stream);
    return exchange_;
  }
  void on_idle() override {}

  bool busy() const { return exchange_.open() || codec_.receiving_head(); }
  void touch();
  void on_timer();

  PageServer& server_;
  net::Connection connection_;
  http::ConnectionWire wire_;
  Exchange exchange_;
  http::H1ServerCodec codec_;
  net::Timer timer_;
  Waiting waiting_ = Waiting::nothing;
  TimePoint since_{};
  std::uint64_t written_ = 0;  // when the deadline was set
};

void PageServer::Client::Exchange::on_head(http::Head& head, bool end) {
  const std::size_t question = std::min(head.path.find('?'), head.path.size());
  request_.method = head.method_text;
  request_.path = head.path.substr(0, question);
  request_.query = head.path.substr(std::min(question + 1, head.path.size()));
  request_.host = head.authority;
  const auto value = [&head](std::string_view name) {
    const http::Field* field = head.fields.find(name);
    return std::string(field == nullptr ? std::string_view() : field->value);
  };
  request_.origin = value("origin");
  request_.sec_fetch_site = value("sec-fetch-site");
  request_.accept = value("accept");
  request_.authorization = value("authorization");
  net::Loop& loop = client_.server_.loop_;
  request_.now = loop.now();
  request_.wall = loop.wall_now();
  // A client that asks for a tunnel waits for the answer before it sends anything else.
  if (end || !head.protocol.empty() || head.method == http::Method::connect) return answer();
  if (head.expect_continue) {
    Arena arena(loop.blocks());
    http::Head go_on(arena);
    go_on.status = 100;
    stream_->send_interim(go_on);
  }
}

void PageServer::Client::Exchange::on_data(std::string_view bytes, bool end) {
  if (stream_ == nullptr) return;
  if (request_.body.size() + bytes.size() > client_.server_.options_.body_max) {
    return send({.status = 413, .body = "the body is too large\n"});
  }
  request_.body.append(bytes);
  if (end) answer();
}

void PageServer::Client::Exchange::send(const Response& response) {
  http::Stream& stream = *std::exchange(stream_, nullptr);
  Arena arena(client_.server_.loop_.blocks());
  http::Head head(arena);
  head.status = response.status;
  head.content_length = response.body.size();
  head.fields.add(http::Known::content_type, response.content_type);
  for (const auto& [name, text] : response.headers) head.fields.add(name, text);
  const bool bodyless = response.body.empty() || request_.method == "HEAD";
  stream.send_head(head, bodyless);
  if (!bodyless) stream.send_data(response.body, true);
}

// Sets the deadline of what is waited for now; one that runs for the same goes on, except between
// requests.
void PageServer::Client::touch() {
  Waiting now = Waiting::peer;
  Duration after = server_.options_.idle;
  if (busy()) {
    now = Waiting::request;
    after = server_.options_.receive;
  } else if (connection_.unsent() > 0) {
    now = Waiting::reader;
    after = server_.options_.stall;
  }
  if (now == waiting_ && now != Waiting::peer) return;
  since_ = server_.loop_.now();
  waiting_ = now;
  written_ = connection_.bytes_written();
  server_.loop_.timers().arm(timer_, after);
}

void PageServer::Client::on_timer() {
  if (waiting_ == Waiting::reader && connection_.bytes_written() != written_) {
    waiting_ = Waiting::nothing;
    return touch();
  }
  // An idle connection ends with a FIN, a peer that keeps us waiting with a reset.
  connection_.kill(waiting_ != Waiting::peer);
}

PageServer::PageServer(net::Loop& loop, PageHandler& handler, const Options& options)
    : loop_(loop), handler_(handler), options_(options) {}

PageServer::~PageServer() {
  while (!clients_.empty()) {
    clients_.back()->abort();
    remove(*clients_.back());
  }
}

void PageServer::listen(net::Fd fd) {
  net::ListenerHandler& handler = *this;
  listeners_.push_back(std::make_unique<net::Listener>(loop_, std::move(fd), handler));
}

void PageServer::on_accept(net::Fd fd, const net::SocketAddress& peer) {
  accept(std::make_unique<net::SocketChannel>(loop_, std::move(fd), peer));
}

void PageServer::accept(std::unique_ptr<net::Channel> channel) {
  if (clients_.size() >= options_.connections_max) make_room();
  clients_.push_back(std::make_unique<Client>(*this, std::move(channel)));
  clients_.back()->start();
}

// Closes the connection that has been idle longest, or if none is, the one that has been waiting
// longest. One that has only just come is not idle but on its way to a request, and goes last.
void PageServer::make_room() {
  const TimePoint settled = loop_.now() - fresh;
  const auto rank = [settled](const Client& client) {
    if (!client.idle()) return 1;
    return client.since() <= settled ? 0 : 2;
  };
  const auto worse = [rank](const std::unique_ptr<Client>& a, const std::unique_ptr<Client>& b) {
    return rank(*a) != rank(*b) ? rank(*a) < rank(*b) : a->since() < b->since();
  };
  Client& worst = **std::ranges::min_element(clients_, worse);
  worst.abort();
  remove(worst);
}

void PageServer::remove(Client& client) {
  const auto at = std::ranges::find(clients_, &client, &std::unique_ptr<Client>::get);
  loop_.retire(std::move(*at));
  clients_.erase(at);
}

}  // namespace outrigger::admin
