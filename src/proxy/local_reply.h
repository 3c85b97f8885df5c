#pragma once

// What exchanges add to the proxy's own answers; see http/local_reply.h.

#include <string_view>

#include "http/local_reply.h"

namespace outrigger::proxy {

// Marks a 503 of a callee's sidecar whose app saw nothing of the request; taken off by the
// caller's.
inline constexpr std::string_view not_processed_name = "x-outrigger-not-processed";

}  // namespace outrigger::proxy
