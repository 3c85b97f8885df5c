#include "server/endpoint_book.h"

#include <algorithm>

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

// One endpoint that is given by name.
struct EndpointBook::Name {
  Name(EndpointBook& b, Entry& e, const config::Endpoint& g)
      : book(b), entry(e), given(g), timer(net::Timer::to<&Name::expired>(*this)) {}
  void expired() { book.look_up(*this); }

  EndpointBook& book;
  Entry& entry;
  config::Endpoint given;
  std::vector<std::string> addresses;
  bool answered = false;
  std::string error;
  std::unique_ptr<net::Resolver::Query> query;
  net::Timer timer;
};

// One registry's view of a service.
struct EndpointBook::Source final : EndpointObserver {
  Source(EndpointBook& b, Entry& e, const config::Locality& l) : book(b), entry(e), locality(l) {}
  void on_endpoints(std::span<const RegisteredEndpoint> endpoints) override;

  EndpointBook& book;
  Entry& entry;
  config::Locality locality;
  bool answered = false;
  std::vector<config::Endpoint> list;
  std::vector<std::unique_ptr<Name>> names;
  std::unique_ptr<Subscription> subscription;
};

struct EndpointBook::Entry {
  std::string service;
  std::vector<config::Endpoint> fixed;
  std::vector<std::unique_ptr<Name>> names;
  std::vector<std::unique_ptr<Source>> sources;
};

EndpointBook::EndpointBook(net::Loop& loop, Publish publish)
    : loop_(loop), publish_(std::move(publish)), resolver_(loop) {}

EndpointBook::~EndpointBook() = default;

void EndpointBook::add(const std::string& service, const std::vector<config::Endpoint>& endpoints,
                       const std::vector<Registry*>& registries,
                       const config::Locality& registry_locality) {
  auto& entry = entries_[service];
  entry = std::make_unique<Entry>();
  entry->service = service;
  for (const config::Endpoint& endpoint : endpoints) {
    if (is_name(endpoint.address)) {
      entry->names.push_back(std::make_unique<Name>(*this, *entry, endpoint));
    } else {
      entry->fixed.push_back(endpoint);
    }
  }
  for (const auto& name : entry->names) look_up(*name);
  for (Registry* registry : registries) {
    entry->sources.push_back(std::make_unique<Source>(*this, *entry, registry_locality));
    entry->sources.back()->subscription = registry->subscribe(service, *entry->sources.back());
  }
}

void EndpointBook::look_up(Name& name) {
  name.query = resolver_.resolve(name.given.address.host,
                                 [this, &name](const net::Resolved& r) { answered(name, r); });
}

void EndpointBook::answered(Name& name, const net::Resolved& resolved) {
  name.answered = true;
  if (!resolved.error.empty()) {
    if (resolved.error != name.error) {
      log::warn("server", "cannot resolve an endpoint's name; its last addresses stay in force",
                {{"service", name.entry.service},
                 {"name", name.given.address.host},
                 {"why", resolved.error}});
    }
    name.error = resolved.error;
    loop_.timers().arm(name.timer, retry_after);
    return;
  }
  name.error.clear();
  loop_.timers().arm(name.timer, std::max<Duration>(resolved.ttl, ttl_min));
  if (resolved.addresses == name.addresses) return;
  name.addresses = resolved.addresses;
  changed(name.entry);
}

void EndpointBook::Source::on_endpoints(std::span<const RegisteredEndpoint> endpoints) {
  answered = true;
  list.clear();
  names.clear();
  for (const RegisteredEndpoint& told : endpoints) {
    const auto address = config::parse_address(told.address);
    if (!address) {
      log::warn("server", "a registry tells of an address that is none; left out",
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
    if (is_name(endpoint.address)) {
      names.push_back(std::make_unique<Name>(book, entry, endpoint));
      book.look_up(*names.back());
    } else {
      list.push_back(std::move(endpoint));
    }
  }
  book.changed(entry);
}

bool EndpointBook::settled() const {
  const auto answered = [](const auto& things) {
    return std::all_of(things.begin(), things.end(),
                       [](const auto& thing) { return thing->answered; });
  };
  return std::all_of(entries_.begin(), entries_.end(), [&answered](const auto& item) {
    const Entry& entry = *item.second;
    return answered(entry.names) && answered(entry.sources) &&
           std::all_of(entry.sources.begin(), entry.sources.end(),
                       [&answered](const auto& source) { return answered(source->names); });
  });
}

namespace {

template <typename Names>
void append_resolved(const Names& names, std::vector<config::Endpoint>& out) {
  for (const auto& name : names) {
    for (const std::string& address : name->addresses) {
      config::Endpoint endpoint = name->given;
      endpoint.address.host = address;
      out.push_back(std::move(endpoint));
    }
  }
}

}  // namespace

EndpointLists EndpointBook::lists() const {
  EndpointLists lists;
  for (const auto& [service, entry] : entries_) {
    std::vector<config::Endpoint>& list = lists[service];
    list = entry->fixed;
    append_resolved(entry->names, list);
    for (const auto& source : entry->sources) {
      list.insert(list.end(), source->list.begin(), source->list.end());
      append_resolved(source->names, list);
    }
  }
  return lists;
}

void EndpointBook::changed(Entry& entry) {
  publish_(entry.service, lists()[entry.service]);
}

}  // namespace outrigger::server
