#pragma once

// Series by identity: compiling a configuration looks them up by name and shares them; one
// that nobody has held for ten minutes is removed, so that services that vanished do not fill the
// exposition forever. Not thread-safe by itself: Metrics guards it.

#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/time.h"

namespace outrigger::telemetry {

template <typename Key, typename T>
class SeriesMap {
 public:
  static constexpr Duration kept_unused = minutes(10);

  template <typename Make>
  std::shared_ptr<T> get(Key key, Make make) {
    Entry& entry = entries_[std::move(key)];
    if (entry.series == nullptr) entry.series = make();
    entry.unused_since.reset();
    return entry.series;
  }

  // Drops what has been unused for long enough and returns the rest. Only this map hands out
  // references, so a count of one cannot rise while the owner's lock is held.
  std::vector<std::shared_ptr<T>> sweep(TimePoint now) {
    std::vector<std::shared_ptr<T>> out;
    for (auto it = entries_.begin(); it != entries_.end();) {
      Entry& entry = it->second;
      if (entry.series.use_count() > 1) {
        entry.unused_since.reset();
      } else if (!entry.unused_since) {
        entry.unused_since = now;
      } else if (now - *entry.unused_since >= kept_unused) {
        it = entries_.erase(it);
        continue;
      }
      out.push_back(entry.series);
      ++it;
    }
    return out;
  }

  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::shared_ptr<T> series;
    std::optional<TimePoint> unused_since;
  };
  std::map<Key, Entry> entries_;
};

}  // namespace outrigger::telemetry
