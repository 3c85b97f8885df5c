#pragma once

// The text of the admin pages, from the backend's plain values. Pure functions. Shapes follow
// Envoy's where it has the page, so that scripts carry over; more fields stand beside its own.

#include <string>
#include <vector>

#include "admin/backend.h"

namespace outrigger::admin {

std::string server_info_json(const ServerInfo& info, const Readiness& readiness, WallTime now);
// "orders::10.0.0.7:15006::health_flags::healthy", one fact a line.
std::string clusters_text(const std::vector<ClusterInfo>& clusters);
std::string clusters_json(const std::vector<ClusterInfo>& clusters);
// "orders-local::127.0.0.1:9001"
std::string listeners_text(const std::vector<ListenerInfo>& listeners);
std::string listeners_json(const std::vector<ListenerInfo>& listeners);
std::string certificates_json(const std::vector<CertificateInfo>& certificates, WallTime now);
std::string memory_json(const MemoryInfo& memory);

// "2026-11-22T10:00:00Z"
std::string timestamp(WallTime time);
std::string html_escaped(std::string_view text);

}  // namespace outrigger::admin
