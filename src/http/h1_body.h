#pragma once

// The body of an HTTP/1 message: what comes in, freed of its framing, and what goes out, framed and
// held to its declared length. Members of a codec, one thread.

#include <cstdint>
#include <string_view>

#include "http/codec.h"
#include "http/h1_chunks.h"
#include "http/h1_message.h"
#include "http/h1_parser.h"

namespace outrigger::http {

//   begin(framing), then next(in) until `end`, trailers or a fault; a tunnel and a body until close
//   have no end of their own.
class H1BodyReader {
 public:
  struct Step {
    enum class Kind : std::uint8_t { need_more, data, trailers, malformed, too_large };
    Kind kind = Kind::need_more;
    std::string_view data{};  // data: some bytes; trailers: the trailer section
    bool end = false;
  };

  // `parser` reads the trailers.
  H1BodyReader(const CodecLimits& limits, H1Parser& parser) : chunks_(limits), parser_(parser) {}

  // REQUIRES: a body, not none.
  void begin(const H1Framing& framing);
  // Consumes from the front of `in`.
  Step next(std::string_view& in);
  // Bytes known to come; 0 for chunks.
  std::uint64_t left() const { return left_; }

 private:
  Step next_chunked(std::string_view& in);

  ChunkDecoder chunks_;
  H1Parser& parser_;
  std::uint64_t left_ = 0;
  H1Body body_ = H1Body::none;
  bool in_trailers_ = false;
};

// Frames what is sent and decides when it leaves: small pieces are copied and leave with the
// message's end or the turn's, large ones leave at once together with what waits.
class H1BodyWriter {
 public:
  static constexpr std::size_t copy_max = 4096;

  explicit H1BodyWriter(Wire& wire) : wire_(wire) {}

  // `last`: a finish() of the wire follows this message's end, and sends it together with FIN.
  void begin(H1Body body, std::uint64_t length, bool last = false);
  // False, and nothing is written, when it is more than declared, or ends with less.
  bool data(std::string_view bytes, bool end);
  // False when they may not be written. Without chunks they are dropped.
  bool trailers(const Fields& trailers);
  H1Body body() const { return body_; }

  // Sends now, or, while held, on release(): a feed that answers many requests sends once.
  void send();
  void hold() { held_ = true; }
  void release(bool flush = true);

 private:
  void write(std::string_view bytes);

  Wire& wire_;
  std::uint64_t left_ = 0;
  H1Body body_ = H1Body::none;
  bool last_ = false;
  bool held_ = false;
  bool wanted_ = false;
};

}  // namespace outrigger::http
