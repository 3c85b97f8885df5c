#pragma once

// Responses that the proxy itself generates, in a codec or in an exchange: a status, a reason flag
// and a short body that names it, as JSON or, for gRPC, as a trailers-only response. Pure; text goes
// to the request's arena.

#include <string_view>

#include "base/arena.h"
#include "base/flags.h"
#include "http/head.h"

namespace outrigger::http {

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
void add_reply_fields(Fields& fields, const LocalReply& reply, Flag flag);
// The whole head; `date` as Loop::http_date() says it, or empty.
void fill_reply_head(Head& head, const LocalReply& reply, Flag flag, std::string_view date);

// The gRPC status for an HTTP one, as the gRPC specification maps them for intermediaries; what it
// does not name has the code that gRPC's own libraries give for the same reason.
int grpc_status_for(int http_status);

}  // namespace outrigger::http
