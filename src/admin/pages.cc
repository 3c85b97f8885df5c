#include "admin/pages.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string_view>

#include "base/utf8.h"

namespace outrigger::admin {
namespace {

using Json = nlohmann::ordered_json;

// Text from outside may be no UTF-8; what is not becomes U+FFFD instead of an exception.
std::string dump(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string joined(const config::Locality& locality) {
  std::string out = locality.cloud;
  for (const std::string& part : {locality.region, locality.zone}) {
    if (part.empty()) continue;
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

double millis(Duration duration) {
  return static_cast<double>(std::chrono::duration_cast<microseconds>(duration).count()) / 1000;
}

Json locality_json(const config::Locality& locality) {
  return {{"cloud", locality.cloud}, {"region", locality.region}, {"zone", locality.zone}};
}

// Envoy's form of an address; a Unix socket is a pipe there.
Json address_json(std::string_view address) {
  constexpr std::string_view unix_prefix = "unix:";
  if (address.starts_with(unix_prefix)) {
    return {{"pipe", {{"path", address.substr(unix_prefix.size())}}}};
  }
  const std::size_t colon = address.rfind(':');
  std::string_view host = address.substr(0, colon);
  unsigned port = 0;
  if (colon != std::string_view::npos) {
    std::from_chars(address.data() + colon + 1, address.data() + address.size(), port);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return {{"socket_address", {{"address", host}, {"port_value", port}}}};
}

Json stat(std::string_view name, std::string_view type, std::int64_t value) {
  return {{"name", name}, {"type", type}, {"value", value}};
}

Json endpoint_json(const EndpointInfo& e) {
  Json out;
  out["address"] = address_json(e.address);
  if (!e.id.empty()) out["id"] = e.id;
  out["stats"] = {stat("rq_total", "COUNTER", static_cast<std::int64_t>(e.requests)),
                  stat("rq_error", "COUNTER", static_cast<std::int64_t>(e.failures)),
                  stat("rq_active", "GAUGE", e.active), stat("cx_active", "GAUGE", e.connections)};
  out["health_status"] = {{"eds_health_status", "HEALTHY"}};  // as in Envoy without health checks
  out["weight"] = e.weight;
  out["locality"] = locality_json(e.locality);
  out["labels"] = e.labels;
  out["latency_ms"] = millis(e.latency);
  return out;
}

// Names may come from registries: none of them begins a line of its own.
std::string on_one_line(std::string_view text) {
  std::string out = printable(text);
  std::replace(out.begin(), out.end(), '\t', '?');
  return out;
}

std::string days_until(WallTime from, WallTime to) {
  return std::to_string(std::chrono::floor<std::chrono::days>(to - from).count());
}

}  // namespace

std::string timestamp(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<seconds>(time - day));
  std::array<char, 48> text{};
  const int size = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
      static_cast<int>(clock.seconds().count()));
  return {text.data(), static_cast<std::size_t>(size)};
}

std::string html_escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string server_info_json(const ServerInfo& info, const Readiness& readiness, WallTime now) {
  const auto uptime = std::chrono::duration_cast<seconds>(now - info.started).count();
  Json out;
  out["version"] = info.version;
  out["state"] = readiness.state;
  out["ready"] = readiness.ready;
  if (!readiness.reason.empty()) out["reason"] = readiness.reason;
  out["uptime_current_epoch"] = std::to_string(uptime) + "s";
  out["started"] = timestamp(info.started);
  out["pid"] = info.pid;
  out["workers"] = info.workers;
  out["config_version"] = info.config_version;
  out["node"] = {{"id", info.node_id},
                 {"cluster", info.service},
                 {"service", info.service},
                 {"locality", locality_json(info.locality)},
                 {"labels", info.labels}};
  return dump(out);
}

std::string clusters_text(const std::vector<ClusterInfo>& clusters) {
  std::string out;
  for (const ClusterInfo& c : clusters) {
    const auto fact = [&](std::string_view subject, std::string_view name, std::string_view value) {
      out.append(on_one_line(c.name)).append("::");
      if (!subject.empty()) out.append(on_one_line(subject)).append("::");
      out.append(name).append("::").append(on_one_line(value)).append("\n");
    };
    fact("", "protocol", c.protocol);
    fact("", "policy", c.policy);
    fact("", "mtls", c.mtls);
    for (const BreakerInfo& b : c.breakers) {
      fact("default_priority", "max_" + b.resource, std::to_string(b.limit));
      fact("default_priority", "used_" + b.resource, std::to_string(b.used));
      if (b.open) fact("default_priority", "open_" + b.resource, "true");
    }
    for (const EndpointInfo& e : c.endpoints) {
      fact(e.address, "health_flags", "healthy");
      fact(e.address, "weight", std::to_string(e.weight));
      fact(e.address, "locality", joined(e.locality));
      fact(e.address, "rq_total", std::to_string(e.requests));
      fact(e.address, "rq_error", std::to_string(e.failures));
      fact(e.address, "rq_active", std::to_string(e.active));
      fact(e.address, "cx_active", std::to_string(e.connections));
    }
  }
  return out;
}

std::string clusters_json(const std::vector<ClusterInfo>& clusters) {
  Json list = Json::array();
  for (const ClusterInfo& c : clusters) {
    Json breakers = Json::array();
    for (const BreakerInfo& b : c.breakers) {
      breakers.push_back(
          {{"resource", b.resource}, {"used", b.used}, {"limit", b.limit}, {"open", b.open}});
    }
    Json hosts = Json::array();
    for (const EndpointInfo& e : c.endpoints) hosts.push_back(endpoint_json(e));
    list.push_back({{"name", c.name},
                    {"protocol", c.protocol},
                    {"policy", c.policy},
                    {"mtls", c.mtls},
                    {"breakers", breakers},
                    {"host_statuses", hosts}});
  }
  return dump({{"cluster_statuses", list}});
}

std::string listeners_text(const std::vector<ListenerInfo>& listeners) {
  std::string out;
  for (const ListenerInfo& l : listeners) {
    if (l.state != "listening") continue;  // as in Envoy
    out.append(on_one_line(l.name + "::" + l.address)).append("\n");
  }
  return out;
}

std::string listeners_json(const std::vector<ListenerInfo>& listeners) {
  Json list = Json::array();
  for (const ListenerInfo& l : listeners) {
    list.push_back({{"name", l.name},
                    {"local_address", address_json(l.address)},
                    {"state", l.state},
                    {"direction", l.direction},
                    {"protocol", l.protocol},
                    {"mtls", l.mtls},
                    {"target", l.target},
                    {"connections", l.connections}});
  }
  return dump({{"listener_statuses", list}});
}

std::string certificates_json(const std::vector<CertificateInfo>& certificates, WallTime now) {
  Json list = Json::array();
  for (const CertificateInfo& c : certificates) {
    Json names = Json::array();
    for (const std::string& uri : c.uris) names.push_back({{"uri", uri}});
    for (const std::string& name : c.dns_names) names.push_back({{"dns", name}});
    const Json details = {{"path", c.path},
                          {"serial_number", c.serial},
                          {"subject", c.subject},
                          {"issuer", c.issuer},
                          {"subject_alt_names", names},
                          {"days_until_expiration", days_until(now, c.not_after)},
                          {"valid_from", timestamp(c.not_before)},
                          {"expiration_time", timestamp(c.not_after)}};
    list.push_back(
        {{"name", c.name}, {c.is_ca ? "ca_cert" : "cert_chain", Json::array({details})}});
  }
  return dump({{"certificates", list}});
}

std::string memory_json(const MemoryInfo& memory) {
  return dump({{"allocated", memory.allocated},
               {"heap_size", memory.heap},
               {"resident", memory.resident},
               {"buffers", memory.buffers}});
}

}  // namespace outrigger::admin
