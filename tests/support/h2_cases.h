#pragma once

// What RFC 9113, RFC 7541 and RFC 8441 demand of an endpoint, as data: bytes that a peer sends, and
// how it must go out. Every point that the well-known conformance suites test is here, and stricter
// ones beside them. The tables are replayed against the codecs, whole and byte by byte, and can be
// replayed against a socket: send a step, wait until the other side is quiet, send the next one.

#include <cstdint>
#include <string>
#include <vector>

#include "http/stream.h"

namespace outrigger::http::h2 {

struct Expect {
  enum class What {
    quiet,            // no error: alive, or at its end
    alive,            // no GOAWAY, no RST_STREAM; a PING is answered
    answer,           // as alive, and the stream has an answer with `status`
    reset,            // RST_STREAM with one of `codes`; a PING is answered
    goaway,           // GOAWAY with one of `codes`, then the end
    reset_or_goaway,  // either
  };
  What what = What::alive;
  std::uint32_t stream = 1;
  std::vector<std::uint32_t> codes{};
  int status = 200;
  // Sizes of the stream's DATA frames, when there are any here.
  std::vector<std::size_t> data_sizes{};
  // A frame that must, or must not, be among the answers.
  std::string contains{};
  std::string lacks{};
};

// Towards a server that answers each whole request with 200 and "hello world".
struct ServerCase {
  std::string id{};                  // section of RFC 9113 unless it says otherwise
  std::vector<std::string> steps{};  // behind the preface and the acknowledged SETTINGS
  Expect expect{};
  bool own_preface = false;  // the first step brings its own
};
const std::vector<ServerCase>& server_cases();

// Towards a client that has sent a request on stream 1.
struct ClientCase {
  std::string id{};
  std::vector<std::string> steps{};     // behind the server's SETTINGS, and its acknowledgement
  Expect expect{};                      // `answer` means: the client has a whole answer
  StreamEnd end = StreamEnd::complete;  // how stream 1 ended
  std::string method = "GET";
  bool open = false;  // the request has a body that does not end
  bool own_preface = false;
  std::size_t body = 0;             // the request has a body of so many bytes
  std::vector<std::size_t> sent{};  // bytes of it that have come after each step, all in all
};
const std::vector<ClientCase>& client_cases();

// Header fields in every representation, and what must not be decoded (RFC 7541): put behind the
// fields of a request or an answer, they make a case in either direction.
struct HpackPiece {
  std::string id{};
  std::string bytes{};
};
const std::vector<HpackPiece>& hpack_fields();
const std::vector<HpackPiece>& hpack_errors();

}  // namespace outrigger::http::h2
