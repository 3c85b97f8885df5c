#include "server/endpoint_book.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "config/scalars.h"
#include "net/socket.h"

namespace outrigger::server {
namespace {

constexpr Duration ttl_min = seconds(5);
constexpr Duration retry_after = seconds(2);

bool is_name(const config::Address& address) {
  return !address.is_unix && !net::SocketAddress::ip(address.host, 1).valid();
}

}  // namespace

// A name that endpoints are given by, and what it stands for.
struct EndpointBook::Name {
  Name(EndpointBook& b, Entry& e, std::string h)
      : book(b), entry(e), host(std::move(h)), timer(net::Timer::to<&Name::expired>(*this)) {}
  void expired() { book.look_up(*this); }

  EndpointBook& book;
  Entry& entry;
  const std::string host;
  std::vector<std::string> addresses;
  bool answered = false;
  std::string error;
  std::unique_ptr<net::Resolver::Query> query;
  net::Timer timer;
};

// Endpoints as they were told: each stands for itself, or for the addresses of its name.
struct EndpointBook::List {
  struct Item {
    config::Endpoint endpoint;
    std::shared_ptr<Name> name;  // or null
  };

  void add(EndpointBook& book, Entry& entry, config::Endpoint endpoint) {
    auto name = is_name(endpoint.address) ? book.name_of(entry, endpoint.address.host) : nullptr;
    items.push_back({std::move(endpoint), std::move(name)});
  }
  bool answered() const {
    return std::all_of(items.begin(), items.end(),
                       [](const Item& item) { return !item.name || item.name->answered; });
  }
  void append_to(std::vector<config::Endpoint>& out) const {
    for (const Item& item : items) {
      if (!item.name) {
        out.push_back(item.endpoint);
        continue;
      }
      for (const std::string& address : item.name->addresses) {
        out.push_back(item.endpoint);
        out.back().address.host = address;
      }
    }
  }

  std::vector<Item> items;
};

// One registry's view of a service.
struct EndpointBook::Source final : EndpointObserver {
  Source(EndpointBook& b, Entry& e, Registry& r, const config::Locality& l)
      : book(b), entry(e), registry(r), locality(l) {}
  void on_endpoints(std::span<const RegisteredEndpoint> endpoints) override;
  // Takes the newer list when its names are there, or there is none before it; else it waits.
  bool take_next() {
    if (!next || (answered && !next->answered())) return false;
    now = std::move(*next);
    next.reset();
    answered = true;
    return true;
  }
  // A registry that is broken is not waited for.
  bool settled() const { return answered ? now.answered() : !registry.status().error.empty(); }

  EndpointBook& book;
  Entry& entry;
  Registry& registry;
  config::Locality locality;
  bool answered = false;
  List now;
  std::optional<List> next;  // waits for its names
  std::unique_ptr<Subscription> subscription;
};

struct EndpointBook::Entry {
  std::string service;
  // By host; they live as long as a list contains them.
  std::map<std::string, std::weak_ptr<Name>> names;
  List own;
  std::vector<std::unique_ptr<Source>> sources;
};

EndpointBook::EndpointBook(net::Loop& loop, Publish publish, std::function<void()> heard)
    : loop_(loop), publish_(std::move(publish)), heard_(std::move(heard)), resolver_(loop) {}

EndpointBook::~EndpointBook() = default;

void EndpointBook::add(const std::string& service, const std::vector<config::Endpoint>& endpoints,
                       const std::vector<Registry*>& registries,
                       const config::Locality& registry_locality) {
  auto& entry = entries_[service];
  entry = std::make_unique<Entry>();
  entry->service = service;
  for (const config::Endpoint& endpoint : endpoints) entry->own.add(*this, *entry, endpoint);
  for (Registry* registry : registries) {
    entry->sources.push_back(std::make_unique<Source>(*this, *entry, *registry, registry_locality));
    entry->sources.back()->subscription = registry->subscribe(service, *entry->sources.back());
  }
}

std::shared_ptr<EndpointBook::Name> EndpointBook::name_of(Entry& entry, const std::string& host) {
  std::erase_if(entry.names, [](const auto& known) { return known.second.expired(); });
  auto& known = entry.names[host];
  if (auto name = known.lock()) return name;
  auto name = std::make_shared<Name>(*this, entry, host);
  known = name;
  look_up(*name);
  return name;
}

void EndpointBook::look_up(Name& name) {
  name.query =
      resolver_.resolve(name.host, [this, &name](const net::Resolved& r) { answered(name, r); });
}

void EndpointBook::answered(Name& name, const net::Resolved& resolved) {
  Entry& entry = name.entry;
  const bool first = !std::exchange(name.answered, true);
  bool news = false;
  if (!resolved.error.empty()) {
    if (resolved.error != name.error) {
      log::warn("server", "cannot resolve an endpoint's name; its last addresses stay in force",
                {{"service", entry.service}, {"name", name.host}, {"why", resolved.error}});
    }
    name.error = resolved.error;
    loop_.timers().arm(name.timer, retry_after);
  } else {
    name.error.clear();
    loop_.timers().arm(name.timer, std::max<Duration>(resolved.ttl, ttl_min));
    news = resolved.addresses != name.addresses;
    name.addresses = resolved.addresses;
  }
  // A list that is taken lets go of names that only the one before had; this is not one of them.
  for (const auto& source : entry.sources) news = source->take_next() || news;
  if (news) changed(entry);
  if (first) heard_();
}

void EndpointBook::Source::on_endpoints(std::span<const RegisteredEndpoint> endpoints) {
  List list;
  for (const RegisteredEndpoint& told : endpoints) {
    const auto address = config::parse_address(told.address);
    if (!address) {
      log::warn("server", "a registry reported an invalid address; ignored",
                {{"service", entry.service}, {"address", told.address}});
      continue;
    }
    config::Endpoint endpoint;
    endpoint.address = *address;
    endpoint.weight = told.weight;
    endpoint.labels = told.labels;
    endpoint.id = told.id;
    endpoint.locality.cloud = told.locality.cloud.empty() ? locality.cloud : told.locality.cloud;
    endpoint.locality.region =
        told.locality.region.empty() ? locality.region : told.locality.region;
    endpoint.locality.zone = told.locality.zone.empty() ? locality.zone : told.locality.zone;
    list.add(book, entry, std::move(endpoint));
  }
  next = std::move(list);
  if (!take_next()) return;
  book.changed(entry);
  book.heard_();
}

bool EndpointBook::settled() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const auto& item) {
    const Entry& entry = *item.second;
    return entry.own.answered() &&
           std::all_of(entry.sources.begin(), entry.sources.end(),
                       [](const auto& source) { return source->settled(); });
  });
}

std::vector<config::Endpoint> EndpointBook::list_of(const Entry& entry) {
  std::vector<config::Endpoint> list;
  entry.own.append_to(list);
  for (const auto& source : entry.sources) source->now.append_to(list);
  return list;
}

EndpointLists EndpointBook::lists() const {
  EndpointLists lists;
  for (const auto& [service, entry] : entries_) lists[service] = list_of(*entry);
  return lists;
}

void EndpointBook::changed(Entry& entry) {
  publish_(entry.service, list_of(entry));
}

}  // namespace outrigger::server
