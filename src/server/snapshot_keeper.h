#pragma once

// Holds what was in a snapshot and is in no newer one until the last worker has let go of it, so
// that nothing large is ever destroyed by a worker. Main thread.

#include <memory>
#include <vector>

#include "server/snapshot.h"

namespace outrigger::server {

class SnapshotKeeper {
 public:
  void replaced(std::shared_ptr<const Snapshot> old, const Snapshot& by);
  // What nobody else holds any more; the caller destroys it.
  std::vector<std::shared_ptr<const void>> take_unused();
  std::size_t held() const { return held_.size(); }

 private:
  std::vector<std::shared_ptr<const void>> held_;
};

}  // namespace outrigger::server
