#include "server/snapshot_keeper.h"

#include <algorithm>
#include <utility>

namespace outrigger::server {

void SnapshotKeeper::replaced(std::shared_ptr<const Snapshot> old, const Snapshot& by) {
  if (old->routing != by.routing) held_.push_back(old->routing);
  for (const auto& [name, service] : old->services) {
    const auto now = by.services.find(name);
    if (now == by.services.end() || now->second.endpoints != service.endpoints)
      held_.push_back(service.endpoints);
  }
  for (std::size_t i = 0; i < old->apps.size(); ++i) {
    if (i >= by.apps.size() || by.apps[i].endpoints != old->apps[i].endpoints)
      held_.push_back(old->apps[i].endpoints);
  }
  // One that no worker has seen goes at once: a thousand lists may arrive in one turn.
  if (old.use_count() > 1) held_.push_back(std::move(old));
}

// Only this object hands out what it holds, so that a count of one cannot rise any more. What a
// snapshot in the result refers to is found unused the next time.
std::vector<std::shared_ptr<const void>> SnapshotKeeper::take_unused() {
  const auto unused = std::stable_partition(held_.begin(), held_.end(),
                                            [](const auto& part) { return part.use_count() > 1; });
  std::vector<std::shared_ptr<const void>> out(std::make_move_iterator(unused),
                                               std::make_move_iterator(held_.end()));
  held_.erase(unused, held_.end());
  return out;
}

}  // namespace outrigger::server
