#pragma once

// What the admin pages can query and change in the daemon. Called on the back thread; of workers it
// reads the cells, and what belongs to the main thread is posted there.

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "admin/backend.h"
#include "server/life.h"
#include "server/shared.h"
#include "server/snapshot.h"
#include "server/worker.h"

namespace outrigger::server {

std::vector<admin::BreakerInfo> breakers_of(const ServiceSnapshot& service);

class AdminFacts final : public admin::AdminBackend {
 public:
  struct Actions {
    std::function<void()> quit;  // as SIGTERM; any thread
    std::function<void()> drain_listeners;
  };
  AdminFacts(Shared& shared, Life& life, Actions actions, WallTime started, std::string version);

  // The newest snapshot; any thread.
  void set_snapshot(std::shared_ptr<const Snapshot> snapshot);
  std::shared_ptr<const Snapshot> snapshot();

  admin::ServerInfo server_info() override;
  admin::Readiness readiness() override;
  std::vector<admin::ClusterInfo> clusters() override;
  std::vector<admin::ListenerInfo> listeners() override;
  std::vector<admin::CertificateInfo> certificates() override;
  admin::MemoryInfo memory() override;
  std::string config_json() override;
  void set_health_failed(bool failed) override { life_.health_failed = failed; }
  void drain_listeners() override;
  void quit() override { actions_.quit(); }

 private:
  std::string_view listener_state(telemetry::Direction direction) const;

  Shared& shared_;
  Life& life_;
  const Actions actions_;
  const WallTime started_;
  const std::string version_;
  std::mutex mutex_;
  std::shared_ptr<const Snapshot> snapshot_;
};

}  // namespace outrigger::server
