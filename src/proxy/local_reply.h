#pragma once

// Answers that the proxy gives itself: a status, a reason flag, a short body that names it, in JSON
// or, for gRPC, as a trailers-only answer. Pure; text goes to the request's arena.

#include <string_view>

#include "base/arena.h"
#include "base/flags.h"
#include "http/head.h"

namespace outrigger::proxy {

// Marks a 503 of a callee's sidecar whose app saw nothing of the request; taken off by the
// caller's.
inline constexpr std::string_view not_processed_name = "x-outrigger-not-processed";

struct LocalReply {
  int status = 503;      // 200 for gRPC
  int grpc_status = -1;  // -1: not gRPC
  std::string_view content_type;
  std::string_view body;     // empty for gRPC
  std::string_view message;  // grpc-message
};

// `detail` is for people and may hold anything; what would break JSON or a header is replaced.
LocalReply make_local_reply(Arena& arena, int status, Flag flag, std::string_view detail,
                            bool grpc);
// x-outrigger-flag and, for gRPC, grpc-status and grpc-message.
void add_reply_fields(http::Fields& fields, const LocalReply& reply, Flag flag);

// The gRPC status for an HTTP one, as the gRPC specification maps them for intermediaries.
int grpc_status_for(int http_status);

}  // namespace outrigger::proxy
