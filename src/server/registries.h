#pragma once

// The registries of the configuration: created by type, started together, their errors logged. Main
// thread.

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "config/model.h"
#include "discovery/file_registry.h"
#include "net/loop.h"
#include "outrigger/registry.h"

namespace outrigger::server {

class Registries {
 public:
  // `background` reads their files (see discovery::FileRegistry); `trouble` is called when one
  // fails, whose status() then says so.
  Registries(net::Loop& loop, const std::map<std::string, config::Registry>& configured,
             const discovery::FileRegistry::Background& background, std::function<void()> trouble);
  ~Registries();

  // Null when there is none of that name.
  Registry* find(const std::string& name) const;
  void start();

 private:
  struct Entry;
  const std::function<void()> trouble_;
  std::map<std::string, std::unique_ptr<Entry>> entries_;
};

}  // namespace outrigger::server
