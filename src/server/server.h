#pragma once

// The daemon: makes everything from a configuration, runs the main thread's loop (signals, endpoint
// lists, certificates, life cycle) and takes everything down again. run() returns the exit code.
//
//   auto server = Server::prepare(config);      // an Error: nothing was started
//   return (*server)->run();

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "config/model.h"
#include "net/event_loop.h"
#include "server/admin_facts.h"
#include "server/back_thread.h"
#include "server/endpoint_book.h"
#include "server/files_thread.h"
#include "server/life.h"
#include "server/registries.h"
#include "server/shared.h"
#include "server/signals.h"
#include "server/snapshot_keeper.h"
#include "server/token_file.h"
#include "server/worker_thread.h"
#include "tls/expiry.h"

namespace outrigger::server {

class Server final : private SignalHandler {
 public:
  // Loads the identity, compiles the snapshot, binds every port. The error is for people.
  static Result<std::unique_ptr<Server>> prepare(std::shared_ptr<const config::Config> config);
  ~Server();
  int run();

 private:
  explicit Server(std::shared_ptr<const config::Config> config);
  Result<void> load_identity();
  void warn_of_expiry();
  Result<void> read_token();
  Result<void> open_sockets();
  Result<void> open_logs();
  Result<void> compile_first();
  void open_admin();
  void fill_book();
  void start_workers();
  bool listen_all();
  void endpoints_changed(const std::string& key, const std::vector<config::Endpoint>& endpoints);
  void publish_lists();
  void check_settled();
  void every_second();
  void drain();
  void next_stage();
  bool app_is_gone(TimePoint now);
  void stop();
  void on_signal(int signal) override;

  const std::shared_ptr<const config::Config> config_;
  int exit_code_ = 0;
  int workers_ = 1;
  net::EventLoop loop_;
  const WallTime started_;  // by the loop's clock
  const TimePoint waiting_since_{loop_.now()};
  upstream::Balancers balancers_;
  upstream::EndpointStates states_;
  telemetry::Metrics metrics_;
  tls::ExpiryWarnings expiry_;
  std::unique_ptr<telemetry::AccessLog> access_log_;
  std::unique_ptr<tls::CertStore> identity_;
  std::unique_ptr<Shared> shared_;
  Life life_;
  std::shared_ptr<const Snapshot> snapshot_;
  SnapshotKeeper replaced_;
  EndpointLists changed_;                           // newer than the snapshot's
  std::vector<std::vector<ListenSocket>> sockets_;  // by worker
  net::Fd admin_socket_;
  net::Fd metrics_socket_;
  net::Fd probes_socket_;
  std::unique_ptr<TokenFile> admin_token_;  // null: none is asked for
  std::unique_ptr<AdminFacts> facts_;
  std::unique_ptr<Signals> signals_;
  std::unique_ptr<FilesThread> files_;  // null without registries
  std::unique_ptr<Registries> registries_;
  std::unique_ptr<EndpointBook> book_;
  std::unique_ptr<BackThread> back_;
  telemetry::Metrics::Collection collection_;
  net::Timer second_timer_;
  net::Timer drain_timer_;
  // When the next stage comes at the latest, and the earliest time for the end.
  struct {
    TimePoint inbound_closed;
    TimePoint last_calls;
    TimePoint end;
    TimePoint not_before;
    TimePoint quiet_since;
  } ending_{};
  Stage stage_ = Stage::serving;
  std::atomic<bool> release_wanted_{false};
};

}  // namespace outrigger::server
