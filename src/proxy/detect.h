#pragma once

// Protocol detection on the first bytes of a connection. Pure.

#include <string_view>

namespace outrigger::proxy {

enum class Detected {
  more,    // could still be any: wait for more bytes
  http1,   // begins like a request line
  http2,   // the preface of HTTP/2 (RFC 9113 section 3.4)
  broken,  // text, but nothing that begins a request: HTTP/1 answers it with 400
  opaque,  // no text
};

// `bytes` are the first of the connection, from its beginning.
Detected detect(std::string_view bytes);

}  // namespace outrigger::proxy
