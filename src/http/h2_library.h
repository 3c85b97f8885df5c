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

// What nghttp2 asks its allocator for while it makes a session.
struct H2Allocations {
  int of_a_header_table = 0;  // 1,024 bytes: the places of 128 entries
  int of_a_frame = 0;         // 16 KiB and more
};

// Whether sessions of this version of nghttp2, which makes these allocations, may share what
// H2Memory lets them share. What is shared is recognised by its size alone, so it has to be known
// whose it is: that holds for 1.52.0, the version this was read and measured with. All others, and
// builds of it that allocate differently, get memory of their own for each session: some 18 KiB
// more.
bool may_share(int version, const H2Allocations& allocations);
// The same of the library that is loaded; found out once.
bool library_shares();

// The callbacks end in the H2Session's members of the same names. `stream_table` is what to give to
// H2Memory::rest() while the session has no streams.
H2SessionPtr make_h2_session(bool server, H2Session& session, H2Memory& memory,
                             void*& stream_table);

}  // namespace outrigger::http
