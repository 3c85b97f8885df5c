#include "server/server.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <ranges>
#include <thread>
#include <utility>

#include "admin/handler.h"
#include "base/heap.h"
#include "base/log.h"
#include "server/collect.h"

namespace outrigger::server {
namespace {

constexpr int workers_most = 4;
constexpr rlim_t descriptors_reserved = 512;
constexpr Duration second = seconds(1);
constexpr Duration drain_step = milliseconds(50);
// An app that opens a connection for each call has none between two calls.
constexpr Duration between_calls = seconds(1);
// Names and registries that have neither answered nor failed by then are not waited for any longer.
constexpr Duration first_lists_wait = seconds(15);

// The cgroup's CPU quota rounded up, or the CPUs this process may use; between 1 and 4.
int auto_workers() {
  int cpus = static_cast<int>(std::thread::hardware_concurrency());
  std::ifstream quota("/sys/fs/cgroup/cpu.max");
  std::string allowed;
  double period = 0;
  if (quota >> allowed >> period && allowed != "max" && period > 0) {
    cpus = std::min(cpus, static_cast<int>(std::ceil(std::stod(allowed) / period)));
  }
  return std::clamp(cpus, 1, workers_most);
}

// Raises the soft limit to the hard one and says how many connections that allows.
int connections_allowed(const config::Runtime& runtime) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  getrlimit(RLIMIT_NOFILE, &limit);
  constexpr rlim_t most = 1U << 20;
  const rlim_t files = std::min(limit.rlim_cur, most);
  const rlim_t allowed =
      files > 2 * descriptors_reserved ? files - descriptors_reserved : files / 2;
  return runtime.connections.value_or(static_cast<int>(allowed));
}

Result<net::SocketAddress> listen_address(const config::Address& address) {
  if (address.is_unix) return net::SocketAddress::unix_path(address.host);
  const net::SocketAddress ip = net::SocketAddress::ip(address.host, address.port);
  if (!ip.valid()) return Error{"cannot listen on " + address.to_string() + ": not an IP address"};
  return ip;
}

std::string where(const config::Position& at) {
  if (at.line == 0) return {};
  return at.file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": ";
}

// One socket for each worker. With SO_REUSEPORT another process of ours could share the port
// unnoticed, so the first is bound without it.
Result<std::vector<net::Fd>> bind_all(const config::Address& address, int workers,
                                      net::ListenOptions options) {
  auto resolved = listen_address(address);
  if (!resolved) return resolved.error();
  std::vector<net::Fd> sockets;
  const int wanted = address.is_unix ? 1 : workers;
  for (int i = 0; i < wanted; ++i) {
    options.reuse_port = i > 0;
    auto socket = net::listen_on(*resolved, options);
    if (!socket) return socket.error();
    sockets.push_back(std::move(*socket));
    if (i == 0 && wanted > 1) net::share_port(sockets.front());
  }
  return sockets;
}

log::Level level_of(const std::string& text) {
  log::Level level = log::Level::info;
  log::parse_level(text, level);
  return level;
}

telemetry::Metrics::Options metrics_options(const config::Config& config, int workers) {
  telemetry::Metrics::Options options;
  options.workers = workers;
  options.series_max = config.telemetry.prometheus.max_series;
  options.version = OUTRIGGER_VERSION;
  return options;
}

}  // namespace

Server::Server(std::shared_ptr<const config::Config> config)
    : config_(std::move(config)),
      workers_(config_->runtime.workers > 0 ? config_->runtime.workers : auto_workers()),
      started_(loop_.wall_now()),
      balancers_(upstream::Balancers::built_in()),
      states_(static_cast<std::uint32_t>(workers_)),
      metrics_(metrics_options(*config_, workers_)),
      expiry_(config_->identity ? config_->identity->warn_before : config::Millis(0)),
      second_timer_(net::Timer::to<&Server::every_second>(*this)),
      drain_timer_(net::Timer::to<&Server::next_stage>(*this)) {}

Server::~Server() {
  stop();
}

Result<std::unique_ptr<Server>> Server::prepare(std::shared_ptr<const config::Config> config) {
  Signals::block();
  const config::Log& log = config->telemetry.log;
  log::configure(level_of(log.level), log.format == "json" ? log::Format::json : log::Format::text);
  for (const auto& [room, level] : log.levels) log::set_level(room, level_of(level));
  std::unique_ptr<Server> server(new Server(std::move(config)));
  for (const auto step : {&Server::load_identity, &Server::read_token, &Server::compile_first,
                          &Server::open_logs, &Server::open_sockets}) {
    if (auto done = (*server.*step)(); !done) return done.error();
  }
  return server;
}

Result<void> Server::load_identity() {
  if (!config_->identity) return {};
  const config::Identity& identity = *config_->identity;
  identity_ = std::make_unique<tls::CertStore>(tls::IdentityFiles{
      identity.cert, identity.key, identity.ca, identity.crl, identity.trust_domain});
  auto loaded = identity_->reload(loop_.wall_now());
  if (!loaded) return Error{where(identity.at) + "error: " + loaded.error().message};
  for (const std::string& warning : identity_->current()->warnings()) log::warn("tls", warning);
  return {};
}

Result<void> Server::read_token() {
  const config::Admin& admin = config_->admin;
  if (admin.token_file.empty()) return {};
  auto file = TokenFile::open(loop_, admin.token_file);
  if (!file) return Error{where(admin.at) + "error: admin.token_file: " + file.error().message};
  admin_token_ = std::move(*file);
  return {};
}

Result<void> Server::compile_first() {
  auto compiled = compile(config_, {}, states_, workers_);
  if (!compiled) return compiled.error();
  snapshot_ = std::move(*compiled);
  return {};
}

Result<void> Server::open_logs() {
  auto opened =
      telemetry::AccessLog::open(config_->telemetry.access_log, workers_, loop_.random().next());
  if (!opened)
    return Error{where(config_->telemetry.access_log.at) + "error: " + opened.error().message};
  access_log_ = std::move(*opened);
  return {};
}

Result<void> Server::open_sockets() {
  sockets_.resize(static_cast<std::size_t>(workers_));
  // Bound now, so that a port in use is reported at once; listening when the first lists are there.
  const auto open = [this](const config::Address& address, bool inbound, std::size_t index,
                           const config::Position& at) -> Result<void> {
    auto sockets = bind_all(address, workers_,
                            {.peer_silence = config_->runtime.tcp_user_timeout, .later = true});
    if (!sockets) return Error{where(at) + "error: " + sockets.error().message};
    // Each worker has every listener, at the same place, though a Unix socket is one worker's to
    // accept on: a connection that is handed over finds its door by that place.
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
      sockets_[i].push_back(
          {inbound, index, i < sockets->size() ? std::move((*sockets)[i]) : net::Fd()});
    }
    return {};
  };
  for (std::size_t i = 0; i < config_->inbound.size(); ++i) {
    if (auto done = open(config_->inbound[i].listen, true, i, config_->inbound[i].at); !done)
      return done;
  }
  for (std::size_t i = 0; i < config_->outbound.size(); ++i) {
    if (auto done = open(config_->outbound[i].listen, false, i, config_->outbound[i].at); !done)
      return done;
  }
  const auto open_page = [this](const config::Address& address, const config::Position& at,
                                const char* what, std::optional<mode_t> mode) -> Result<net::Fd> {
    auto sockets =
        bind_all(address, 1, {.peer_silence = config_->runtime.tcp_user_timeout, .mode = mode});
    if (!sockets) return Error{where(at) + "error: " + what + ": " + sockets.error().message};
    return std::move(sockets->front());
  };
  const config::Admin& admin = config_->admin;
  auto socket = open_page(admin.listen, admin.at, "admin port", admin.socket_mode);
  if (!socket) return socket.error();
  admin_socket_ = std::move(*socket);
  if (admin.probes) {
    socket = open_page(*admin.probes, admin.at, "probes", std::nullopt);
    if (!socket) return socket.error();
    probes_socket_ = std::move(*socket);
  }
  if (const auto& own = config_->telemetry.prometheus.listen) {
    socket = open_page(*own, config_->telemetry.prometheus.at, "metrics port", std::nullopt);
    if (!socket) return socket.error();
    metrics_socket_ = std::move(*socket);
  }
  return {};
}

int Server::run() {
  log::start_writer();
  SignalHandler& handler = *this;
  signals_ = std::make_unique<Signals>(loop_, handler);
  shared_ = std::make_unique<Shared>(balancers_, metrics_, *access_log_, identity_.get(), workers_,
                                     connections_allowed(config_->runtime));
  // At most one of these is queued for this thread.
  shared_->release_heap = [this] {
    if (release_wanted_.exchange(true)) return;
    loop_.post([this] {
      release_wanted_ = false;
      release_free_heap();
    });
  };
  // All handles first: workers and admin pages use them.
  for (int i = 0; i < workers_; ++i)
    shared_->threads.push_back(std::make_unique<WorkerThread>(i, *shared_));
  open_admin();
  life_.phase = Phase::waiting;
  fill_book();
  every_second();
  loop_.run();
  stop();
  log::stop_writer(seconds(1));
  return exit_code_;
}

void Server::open_admin() {
  AdminFacts::Actions actions;
  actions.quit = [this] { loop_.post([this] { on_signal(SIGTERM); }); };
  actions.drain_listeners = [this] {
    for (const auto& thread : shared_->threads) thread->advance(Stage::closed);
  };
  facts_ = std::make_unique<AdminFacts>(*shared_, life_, std::move(actions), started_,
                                        OUTRIGGER_VERSION);
  facts_->set_snapshot(snapshot_);
  collection_ = metrics_.collect([this](telemetry::Scrape& scrape) {
    collect_facts(scrape, *facts_, *shared_, loop_.wall_now());
  });
  std::vector<BackThread::Page> pages;
  admin::Access access;
  access.hosts.push_back(config_->admin.listen.host);
  if (admin_token_) access.token = admin_token_->token();
  pages.push_back(
      {std::move(admin_socket_), std::make_unique<admin::AdminHandler>(*facts_, metrics_, access)});
  if (probes_socket_.valid())
    pages.push_back({std::move(probes_socket_),
                     std::make_unique<admin::ProbeHandler>(*facts_),
                     {.receive = seconds(2)}});
  if (metrics_socket_.valid()) {
    pages.push_back(
        {std::move(metrics_socket_),
         std::make_unique<admin::MetricsHandler>(metrics_, config_->telemetry.prometheus.path)});
  }
  back_ = std::make_unique<BackThread>(std::move(pages));
}

// Listeners that an operator has drained meanwhile stay closed.
bool Server::listen_all() {
  for (auto& sockets : sockets_) {
    for (ListenSocket& socket : sockets) {
      if (life_.listeners_drained) socket.fd.reset();
      if (!socket.fd.valid()) continue;
      const auto done = net::begin_listening(socket.fd);
      if (done) continue;
      log::error("server", "cannot start", {{"why", done.error().message}});
      return false;
    }
  }
  return true;
}

void Server::start_workers() {
  for (std::size_t i = 0; i < shared_->threads.size(); ++i) {
    shared_->threads[i]->start(snapshot_, std::move(sockets_[i]));
  }
}

void Server::fill_book() {
  if (!config_->registries.empty()) files_ = std::make_unique<FilesThread>();
  registries_ = std::make_unique<Registries>(
      loop_, config_->registries, [this](FilesThread::Task task) { files_->post(std::move(task)); },
      [this] { check_settled(); });
  book_ = std::make_unique<EndpointBook>(
      loop_,
      [this](const std::string& key, const std::vector<config::Endpoint>& endpoints) {
        endpoints_changed(key, endpoints);
      },
      [this] { check_settled(); });
  for (const auto& [name, service] : config_->services) {
    std::vector<Registry*> sources;
    for (const std::string& registry : service.registries) {
      if (Registry* found = registries_->find(registry)) sources.push_back(found);
    }
    book_->add(name, service.endpoints, sources, {});
  }
  for (std::size_t i = 0; i < snapshot_->apps.size(); ++i)
    book_->add(app_key(i), snapshot_->apps[i].service->endpoints, {}, {});
  registries_->start();
  // What needs no look-up is there already; names were left out of the first snapshot.
  changed_ = book_->lists();
  publish_lists();
}

// A snapshot refers to every service, and lists come by the thousand: those of a turn are published
// together, and before there are workers those of a second.
void Server::endpoints_changed(const std::string& key,
                               const std::vector<config::Endpoint>& endpoints) {
  const bool first = changed_.empty();
  changed_[key] = endpoints;
  if (first && life_.phase != Phase::waiting) loop_.post([this] { publish_lists(); });
}

void Server::publish_lists() {
  if (changed_.empty()) return;
  log::debug("server", "endpoint lists changed", {{"lists", std::to_string(changed_.size())}});
  auto before = std::exchange(snapshot_, with_endpoints(*snapshot_, changed_, states_, workers_));
  changed_.clear();
  if (facts_) facts_->set_snapshot(snapshot_);
  for (const auto& thread : shared_->threads) thread->adopt(snapshot_);
  replaced_.replaced(std::move(before), *snapshot_);
}

// Ports are opened when every list is complete, so that no caller is refused because an endpoint is
// not known yet.
void Server::check_settled() {
  if (life_.phase != Phase::waiting) return;
  const bool in_time = loop_.now() - waiting_since_ < first_lists_wait;
  if (!book_->settled() && in_time) return;
  if (!in_time) {
    log::warn("server", "names or registries have not answered; starting without them",
              {{"waited", std::to_string(first_lists_wait / seconds(1)) + "s"}});
  }
  if (!listen_all()) {
    exit_code_ = 1;
    return loop_.stop();
  }
  publish_lists();
  start_workers();
  life_.phase = Phase::live;
  log::info("server", "running",
            {{"service", config_->node.service},
             {"workers", std::to_string(workers_)},
             {"admin", config_->admin.listen.to_string()}});
}

void Server::every_second() {
  loop_.timers().arm(second_timer_, second);
  check_settled();
  publish_lists();
  auto unused = replaced_.take_unused();
  if (!unused.empty()) back_->post([unused = std::move(unused)] {});
  if (!identity_) return;
  warn_of_expiry();
  if (!identity_->changed_on_disk()) return;
  const auto reloaded = identity_->reload(loop_.wall_now());
  if (reloaded) {
    log::info("tls", "certificates reloaded");
    for (const std::string& warning : identity_->current()->warnings()) log::warn("tls", warning);
  } else {
    log::error("tls", "the new certificates are invalid; the old ones stay in force",
               {{"why", reloaded.error().message}});
  }
}

void Server::warn_of_expiry() {
  for (const std::string& line : expiry_.due(identity_->certificates(), loop_.wall_now())) {
    log::warn("tls", line);
  }
}

void Server::on_signal(int signal) {
  switch (signal) {
    case SIGTERM:
    case SIGINT:
      if (life_.phase != Phase::draining) return drain();
      _exit(2);
    case SIGQUIT:
      Signals::end_at_next();
      return loop_.stop();
    case SIGUSR1:
      return access_log_->reopen();
    default:
      log::warn("server", "signal ignored; this version has no use for it",
                {{"signal", std::to_string(signal)}});
  }
}

// docs/configuration.md has the timeline.
void Server::drain() {
  Signals::end_at_next();
  if (life_.phase == Phase::waiting) return loop_.stop();  // nothing listens yet
  life_.phase = Phase::draining;
  const TimePoint now = loop_.now();
  const Duration all = config_->runtime.drain;
  const bool has_app_calls = !config_->outbound.empty();
  const Duration least =
      has_app_calls ? std::min<Duration>(config_->runtime.drain_min, all / 2) : Duration(0);
  ending_ = {.inbound_closed = now + all / 2,
             .last_calls = now + all / 10 * 9,
             .end = now + all,
             .not_before = now + least,
             .quiet_since = now - between_calls};
  log::info("server", "draining", {{"for", std::to_string(config_->runtime.drain.count()) + "ms"}});
  next_stage();
}

// Ports are closed before the end: clients that connected at the last moment are served too.
void Server::next_stage() {
  const TimePoint now = loop_.now();
  const bool gone = app_is_gone(now);
  const bool reached = std::ranges::all_of(
      shared_->threads, [](const auto& t) { return t->stage() == Stage::closed; });
  if (now >= ending_.end || (reached && shared_->open_connections() == 0)) return loop_.stop();
  Stage stage = Stage::draining;
  if (now >= ending_.inbound_closed) stage = Stage::inbound_closed;
  if (now >= ending_.last_calls) stage = Stage::last_calls;
  if (gone) stage = Stage::closed;
  if (stage > stage_) {
    stage_ = stage;
    for (const auto& thread : shared_->threads) thread->advance(stage);
  }
  loop_.timers().arm(drain_timer_, drain_step);
}

// Nothing is open, and has not been for a moment. Silence alone does not prove that the app is
// gone: it may be working and make a call when it is done.
bool Server::app_is_gone(TimePoint now) {
  if (shared_->open_connections() > 0) {
    ending_.quiet_since = now;
    return false;
  }
  const Duration pause = config_->outbound.empty()
                             ? Duration(0)
                             : std::min<Duration>(between_calls, config_->runtime.drain_min);
  return now >= ending_.not_before && now - ending_.quiet_since >= pause;
}

// Users before what they use.
void Server::stop() {
  back_.reset();
  collection_ = {};
  if (shared_) {
    // All of them end before the first handle goes: workers look at one another until then.
    for (const auto& thread : shared_->threads) thread->stop();
    for (const auto& thread : shared_->threads) thread->join();
    shared_->threads.clear();
  }
  files_.reset();  // a read may hang in the kernel
  book_.reset();
  registries_.reset();
  if (access_log_) access_log_->flush(seconds(1));
}

}  // namespace outrigger::server
