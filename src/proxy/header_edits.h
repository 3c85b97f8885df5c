#pragma once

// A route's changes to the headers of a request or an answer: removed first, then set, then added.
// Compiled from the configuration, whose text it points to; const, used by any thread.

#include <string>
#include <string_view>
#include <vector>

#include "config/model.h"
#include "http/head.h"

namespace outrigger::proxy {

class HeaderEdits {
 public:
  HeaderEdits() = default;
  // `config` outlives this.
  explicit HeaderEdits(const config::HeaderEdits& config);

  bool empty() const { return remove_.empty() && set_.empty() && add_.empty(); }
  // What is set or added are slices of the configuration: good for as long as the exchange pins it.
  void apply(http::Fields& fields) const;

 private:
  std::vector<http::Field> remove_;  // names only
  std::vector<http::Field> set_;
  std::vector<http::Field> add_;
};

}  // namespace outrigger::proxy
