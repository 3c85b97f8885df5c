#pragma once

// Finds the lines of an HTTP/1 head or trailer section and checks every byte of them (RFC 9112):
// CRLF only, no folding, no control byte, token names followed at once by their colon. What the
// fields mean is h1_message's business. Owned by a codec, one thread.
//
// Feed it the bytes from the first one of the head on, the same again with more behind them until
// it does not need more. What has been looked at is not looked at again; lines are kept as offsets,
// since the bytes may move between two calls. The verdict does not depend on how the bytes were
// cut.
//
//   feed("GET / HT")              -> need_more
//   feed("GET / HTTP/1.1\r\n\r\n") -> complete; method(), target(), lines(), size(); restart()

#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "http/codec.h"
#include "http/head.h"

namespace outrigger::http {

enum class H1Verdict : std::uint8_t {
  need_more,
  complete,
  malformed,    // 400
  too_large,    // 431
  unsupported,  // a version of HTTP that is neither 1.0 nor 1.1: 505
  expectation,  // an Expect that nobody here can meet: 417
  late,         // did not come in time: 408
};

class H1Parser {
 public:
  enum class Kind : std::uint8_t { request, response, trailers };

  // One stretch of the head.
  struct Slice {
    std::uint32_t at = 0;
    std::uint32_t size = 0;
    std::string_view in(std::string_view text) const { return text.substr(at, size); }
  };
  struct Line {
    Slice name;
    Slice value;  // trimmed
    Known known;
  };

  // The lines are kept in the arena; limits and arena outlive the parser.
  H1Parser(Kind kind, const CodecLimits& limits, Arena& arena);

  H1Verdict feed(std::string_view input);
  // A byte of the head has been seen.
  bool begun() const { return begun_; }
  // Ready for the next head; forgets the lines' storage, so that the arena may be reset.
  void restart(Kind kind);

  // Empty until they have been found, in a good request line or a bad one.
  Slice method() const { return method_; }
  Slice target() const { return target_; }
  // REQUIRES: complete, all below.
  std::size_t size() const { return at_; }
  Version version() const { return version_; }
  int status() const { return status_; }
  std::span<const Line> lines() const { return {lines_, count_}; }

 private:
  enum class State : std::uint8_t { start_line, name, blanks, value };
  struct Cursor;

  H1Verdict start_line(Cursor& cursor);
  H1Verdict request_line(std::string_view line);
  H1Verdict status_line(std::string_view line);
  H1Verdict parse_version(std::string_view text);
  H1Verdict field_lines(Cursor& cursor);
  H1Verdict field_name(Cursor& cursor);
  H1Verdict field_value(Cursor& cursor);
  void grow();

  const CodecLimits& limits_;
  Arena& arena_;
  Line* lines_ = nullptr;
  std::uint32_t count_ = 0;
  std::uint32_t capacity_ = 0;
  std::uint32_t at_ = 0;     // everything before it has been judged
  std::uint32_t begin_ = 0;  // of the name or value under way
  Line line_{};              // under way
  Slice method_;
  Slice target_;
  std::int16_t status_ = 0;
  Kind kind_;
  State state_;
  Version version_ = Version::http11;
  bool begun_ = false;
};

}  // namespace outrigger::http
