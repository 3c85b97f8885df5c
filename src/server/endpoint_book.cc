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
// From one list to the next while names are missing, for each of its endpoints: several times what
// the main thread needs to compile one.
constexpr Duration pause_per_endpoint = microseconds(10);

bool is_name(const config::Address& address) {
  return !address.is_unix && !net::SocketAddress::ip(address.host, 1).valid();
}

}  // namespace

// A name that endpoints are given by, and what it stands for.
struct EndpointBook::Name {
  Name(EndpointBook& b, Entry& e, std::string h)
      : book(b), entry(e), host(std::move(h)), timer(net::Timer::to<&Name::expired>(*this)) {}
  ~Name();  // leaves the entry's names
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;
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
  // Goes on from where it came to before: a name that has answered once has answered for good.
  bool answered() const {
    const auto has = [](const Item& item) { return !item.name || item.name->answered; };
    while (answered_to < items.size() && has(items[answered_to])) ++answered_to;
    return answered_to == items.size();
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
  mutable std::size_t answered_to = 0;
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
  Entry(EndpointBook& b, std::string s)
      : book(b), service(std::move(s)), pause_over(net::Timer::to<&Entry::on_pause_over>(*this)) {}
  void on_pause_over() {
    book.publish(*this);
    book.hear();
  }
  bool answered() const {
    return own.answered() && std::all_of(sources.begin(), sources.end(),
                                         [](const auto& source) { return source->now.answered(); });
  }

  EndpointBook& book;
  const std::string service;
  // By host; they live as long as a list contains them.
  std::map<std::string, std::weak_ptr<Name>> names;
  List own;
  std::vector<std::unique_ptr<Source>> sources;
  bool looked_at_soon = false;
  bool changed = false;  // and not published yet
  TimePoint next_list{};
  net::Timer pause_over;
};

EndpointBook::Name::~Name() {
  entry.names.erase(host);
}

EndpointBook::EndpointBook(net::Loop& loop, Publish publish, std::function<void()> heard)
    : loop_(loop), publish_(std::move(publish)), heard_(std::move(heard)), resolver_(loop) {}

EndpointBook::~EndpointBook() = default;

void EndpointBook::add(const std::string& service, const std::vector<config::Endpoint>& endpoints,
                       const std::vector<Registry*>& registries,
                       const config::Locality& registry_locality) {
  auto& entry = entries_[service];
  entry = std::make_unique<Entry>(*this, service);
  for (const config::Endpoint& endpoint : endpoints) entry->own.add(*this, *entry, endpoint);
  for (Registry* registry : registries) {
    entry->sources.push_back(std::make_unique<Source>(*this, *entry, *registry, registry_locality));
    entry->sources.back()->subscription = registry->subscribe(service, *entry->sources.back());
  }
}

std::shared_ptr<EndpointBook::Name> EndpointBook::name_of(Entry& entry, const std::string& host) {
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
  if (!std::exchange(name.answered, true)) hear();
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
    entry.changed = entry.changed || resolved.addresses != name.addresses;
    name.addresses = resolved.addresses;
  }
  look_at(entry);
}

void EndpointBook::look_at(Entry& entry) {
  if (!std::exchange(entry.looked_at_soon, true)) to_look_at_.push_back(&entry);
  loop_.at_turn_end(*this);
}

void EndpointBook::hear() {
  to_hear_ = true;
  loop_.at_turn_end(*this);
}

void EndpointBook::on_turn_end() {
  for (Entry* entry : std::exchange(to_look_at_, {})) {
    entry->looked_at_soon = false;
    for (const auto& source : entry->sources) {
      if (source->take_next()) entry->changed = true;
    }
    if (!entry->changed) continue;
    if (loop_.now() >= entry->next_list || (to_hear_ && entry->answered())) {
      publish(*entry);
    } else if (!entry->pause_over.armed()) {
      loop_.timers().arm_at(entry->pause_over, entry->next_list);
    }
  }
  if (std::exchange(to_hear_, false)) heard_();
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
  book.publish(entry);
  book.hear();
}

bool EndpointBook::settled() const {
  return std::all_of(entries_.begin(), entries_.end(), [](const auto& item) {
    const Entry& entry = *item.second;
    return !entry.changed && entry.own.answered() &&
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

void EndpointBook::publish(Entry& entry) {
  const std::vector<config::Endpoint> list = list_of(entry);
  entry.changed = false;
  entry.pause_over.cancel();
  entry.next_list = loop_.now() + pause_per_endpoint * static_cast<Duration::rep>(list.size());
  publish_(entry.service, list);
}

}  // namespace outrigger::server
