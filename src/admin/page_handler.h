#pragma once

// A request and its answer as the small HTTP servers of this process see them (admin, probes,
// metrics): whole, in memory, free of any transport, so that pages are tested as functions.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/time.h"

namespace outrigger::admin {

struct Request {
  std::string method;
  std::string path;   // without the query, not decoded
  std::string query;  // what follows the '?'
  std::string host;   // Host; empty when there was none
  std::string origin;
  std::string sec_fetch_site;
  std::string accept;
  std::string authorization;
  std::string body;
  TimePoint now{};  // of the loop
  WallTime wall{};
};

struct Response {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers{};  // beside type and length
};

// One thread: the one of the server that asks.
class PageHandler {
 public:
  virtual ~PageHandler() = default;
  // The answer to HEAD is made as for GET; the server leaves its body out.
  virtual Response handle(const Request& request) = 0;
};

}  // namespace outrigger::admin
