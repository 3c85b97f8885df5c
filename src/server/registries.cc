#include "server/registries.h"

#include "base/log.h"

namespace outrigger::server {

struct Registries::Entry final : RegistryEvents {
  Entry(Registries& o, std::string n) : owner(o), name(std::move(n)) {}
  void on_registry_error(const RegistryError& error) override {
    log::error("discovery", "a registry failed; its last lists stay in force",
               {{"registry", name}, {"why", error.message}});
    owner.trouble_();
  }
  void on_registry_current() override {
    log::info("discovery", "a registry works", {{"registry", name}});
  }

  Registries& owner;
  std::string name;
  std::unique_ptr<Registry> registry;
};

Registries::Registries(net::Loop& loop, const std::map<std::string, config::Registry>& configured,
                       const discovery::FileRegistry::Background& background,
                       std::function<void()> trouble)
    : trouble_(std::move(trouble)) {
  for (const auto& [name, registry] : configured) {
    if (registry.type != config::Registry::Type::file)
      continue;  // others do not get through validation
    auto entry = std::make_unique<Entry>(*this, name);
    entry->registry = std::make_unique<discovery::FileRegistry>(loop, registry.path, background);
    entries_.emplace(name, std::move(entry));
  }
}

Registries::~Registries() = default;

Registry* Registries::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : found->second->registry.get();
}

void Registries::start() {
  for (const auto& [name, entry] : entries_) entry->registry->start(*entry);
}

}  // namespace outrigger::server
