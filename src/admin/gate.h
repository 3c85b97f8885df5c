#pragma once

// Who may talk to the admin port. It is local, but a browser on the same host may be hostile: a
// page of another site can send requests here (cross-site request forgery), or make its own name
// resolve to this address (DNS rebinding). So the Host must name this process, and what a browser
// says about where a request comes from must be this very page.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "admin/page_handler.h"
#include "admin/token.h"

namespace outrigger::admin {

struct Access {
  // Hosts, without ports, beside localhost and the loopback addresses: the address listened on. A
  // wildcard address ("0.0.0.0", "::") stands for any address literal; names are never implied.
  std::vector<std::string> hosts;
  // What a client has to send as a bearer token; null: nothing.
  std::shared_ptr<const Token> token;
};

class Gate {
 public:
  explicit Gate(Access access) : access_(std::move(access)) {}
  // The refusal (401 or 403), or nothing when the request may go on.
  std::optional<Response> refuse(const Request& request) const;

 private:
  bool host_allowed(const std::string& host) const;
  bool token_matches(const std::string& authorization) const;

  Access access_;
};

}  // namespace outrigger::admin
