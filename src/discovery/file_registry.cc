#include "discovery/file_registry.h"

#include <algorithm>

#include "base/check.h"
#include "base/file.h"
#include "config/diagnostic.h"
#include "config/load.h"

namespace outrigger::discovery {
namespace {

std::string trouble(const std::string& path, const std::string& what) {
  return path + ": error: " + what;
}

RegisteredEndpoint to_registered(config::Endpoint&& e) {
  return {.address = e.address.to_string(),
          .locality = {std::move(e.locality.cloud), std::move(e.locality.region),
                       std::move(e.locality.zone)},
          .weight = e.weight,
          .labels = std::move(e.labels),
          .id = std::move(e.id)};
}

}  // namespace

FileRegistry::FileRegistry(net::Loop& loop, std::string path, Background background)
    : loop_(loop), path_(std::move(path)), background_(std::move(background)), watches_(loop) {}

void FileRegistry::start(RegistryEvents& events) {
  check(events_ == nullptr, "a registry is started once");
  events_ = &events;
  file_watch_ = std::make_unique<net::FileWatch>(loop_, std::vector<std::string>{path_},
                                                 static_cast<net::FileWatchHandler&>(*this));
  reload();
}

std::unique_ptr<Subscription> FileRegistry::subscribe(std::string_view service,
                                                      EndpointObserver& observer) {
  return watches_.subscribe(service, observer);
}

RegistryStatus FileRegistry::status() const {
  RegistryStatus now = status_;
  now.services = watches_.services();
  return now;
}

void FileRegistry::reload() {
  if (reading_) {
    again_ = true;
    return;
  }
  reading_ = true;
  background_(
      [path = path_, &loop = loop_, self = anchor_.ref()](const std::atomic<bool>& abandoned) {
        auto reading = std::make_shared<Reading>(read(path, abandoned));
        if (abandoned) return;
        loop.post([reading, self] {
          if (FileRegistry* registry = self.get()) registry->take(std::move(*reading));
        });
      });
}

FileRegistry::Reading FileRegistry::read(const std::string& path,
                                         const std::atomic<bool>& abandoned) {
  auto text = read_regular_file(path, config::endpoints_file_bytes_max);
  if (!text) return {.services = {}, .error = trouble(path, text.error().message)};
  // A writer truncates first: an empty file is more likely half a change than intended.
  const bool blank = text->find_first_not_of(" \t\r\n") == std::string::npos;
  if (blank) {
    return {.services = {}, .error = trouble(path, "is empty; write 'services: {}' for none")};
  }
  config::EndpointsResult loaded =
      config::load_endpoints(std::move(text).value(), path, &abandoned);
  if (!loaded.errors.empty()) {
    return {.services = {}, .error = config::render(loaded.errors, false)};
  }
  Reading out;
  for (auto& [name, endpoints] : loaded.services) {
    EndpointList& list = out.services[name];
    std::transform(std::make_move_iterator(endpoints.begin()),
                   std::make_move_iterator(endpoints.end()), std::back_inserter(list),
                   to_registered);
  }
  return out;
}

void FileRegistry::take(Reading reading) {
  reading_ = false;
  const bool told_before = status_.answered || !status_.error.empty();
  if (!reading.error.empty()) {
    status_.stale = status_.answered;
    if (reading.error != status_.error) {
      status_.error = reading.error;
      events_->on_registry_error({reading.error});
    }
  } else {
    const bool news = !told_before || !status_.error.empty();
    status_ = {.answered = true,
               .stale = false,
               .last_good = loop_.now().time_since_epoch(),
               .error = {},
               .services = 0};
    watches_.tell_all(std::move(reading.services));
    if (news) events_->on_registry_current();
  }
  if (again_) {
    again_ = false;
    reload();
  }
}

}  // namespace outrigger::discovery
