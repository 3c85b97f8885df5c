#pragma once

// What names a request from hop to hop: x-request-id and the W3C trace context
// (https://www.w3.org/TR/trace-context-1/). Pure functions on heads; new text goes to the head's
// arena.

#include <string_view>

#include "base/random.h"
#include "http/head.h"

namespace outrigger::proxy {

// The request's id: what is there, or a new one (a version 4 UUID, RFC 9562). Good as long as the
// head.
std::string_view ensure_request_id(http::Head& head, Random& random);

// A traceparent that everybody reads in one way: lower-case digits, no zero id, not version ff;
// version 00 is exactly 55 bytes, a later one may go on behind a dash.
bool is_traceparent(std::string_view value);
// One good traceparent is kept. None, several or a malformed one say nothing: a new trace is begun
// (not sampled), without the tracestate that came with them (section 4.3).
void ensure_traceparent(http::Head& head, Random& random);
// The trace id of its traceparent; empty when there is none or it is malformed.
std::string_view trace_id_of(const http::Head& head);

}  // namespace outrigger::proxy
