#pragma once

// Making an nghttp2 session: options, allocator and callbacks. Only h2_*.cc see nghttp2.

#include <nghttp2/nghttp2.h>

#include <memory>

#include "http/h2_allocator.h"

namespace outrigger::http {

class H2Session;

struct H2SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};
using H2SessionPtr = std::unique_ptr<nghttp2_session, H2SessionDeleter>;

// The callbacks end in the H2Session's members of the same names. `stream_table` is what to give to
// H2Memory::rest() while the session has no streams.
H2SessionPtr make_h2_session(bool server, H2Session& session, H2Memory& memory,
                             void*& stream_table);

}  // namespace outrigger::http
