#pragma once

// The plain values that the public interfaces exchange. They have no behaviour and own nothing but
// their strings; they may be copied and compared on any thread.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace outrigger {

// Where an endpoint runs. Empty parts are unknown.
struct Locality {
  std::string cloud;
  std::string region;
  std::string zone;
  bool operator==(const Locality&) const = default;
};

using Labels = std::map<std::string, std::string>;

// One instance of a service, as a registry reports it.
struct RegisteredEndpoint {
  std::string address;       // "10.0.0.7:15006", "[::1]:80", "orders.internal:80", "unix:/run/a"
  Locality locality{};       // empty parts are filled in from the registry's own locality
  std::uint32_t weight = 1;  // share of the traffic, relative to its service's other endpoints
  Labels labels{};
  std::string id{};  // the registry's own ID of the instance; empty: its address
  bool operator==(const RegisteredEndpoint&) const = default;
};

}  // namespace outrigger
