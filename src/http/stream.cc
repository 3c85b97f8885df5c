#include "http/stream.h"

namespace outrigger::http {

const char* to_string(StreamEnd end) {
  switch (end) {
    case StreamEnd::complete:
      return "complete";
    case StreamEnd::refused:
      return "refused";
    case StreamEnd::cancelled:
      return "cancelled";
    case StreamEnd::peer_reset:
      return "peer_reset";
    case StreamEnd::connection_lost:
      return "connection_lost";
    case StreamEnd::wrong_version:
      return "wrong_version";
    case StreamEnd::no_tunnel:
      return "no_tunnel";
    case StreamEnd::head_refused:
      return "head_refused";
    case StreamEnd::stale:
      return "stale";
    case StreamEnd::protocol_error:
      return "protocol_error";
    case StreamEnd::too_large:
      return "too_large";
    case StreamEnd::flood:
      return "flood";
    case StreamEnd::idle:
      return "idle";
    case StreamEnd::local:
      return "local";
  }
  return "unknown";
}

}  // namespace outrigger::http
