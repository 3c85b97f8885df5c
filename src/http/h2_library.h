#pragma once

// Makes nghttp2 sessions: options, allocator and callbacks. Only h2_*.cc see nghttp2.

#include <nghttp2/nghttp2.h>

#include <memory>

#include "http/h2_allocator.h"

namespace outrigger::http {

class H2Session;

struct H2SessionDeleter {
  void operator()(nghttp2_session* session) const { nghttp2_session_del(session); }
};
using H2SessionPtr = std::unique_ptr<nghttp2_session, H2SessionDeleter>;

// What nghttp2 allocates while it makes a session.
struct H2Allocations {
  int of_a_header_table = 0;  // 1,024 bytes: 128 entries
  int of_a_frame = 0;         // 16 KiB and more
};

// Whether sessions of this version of nghttp2, with these allocations, may share what H2Memory can
// share. Shared blocks are recognised by their size alone, so it must be known what each is for:
// that is the case for 1.52.0, the version whose sources were read and which was measured. With
// other versions, and with builds of it that allocate differently, each session has memory of its
// own, about 18 KiB more.
bool may_share(int version, const H2Allocations& allocations);
// The same for the library that is loaded; determined once.
bool library_shares();

// The callbacks call the H2Session's members of the same names. `stream_table` is what to pass to
// H2Memory::rest() while the session has no streams.
H2SessionPtr make_h2_session(bool server, H2Session& session, H2Memory& memory,
                             void*& stream_table);

}  // namespace outrigger::http
