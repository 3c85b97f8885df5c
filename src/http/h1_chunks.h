#pragma once

// The chunked transfer coding up to and including the last chunk's line (RFC 9112 section 7.1); the
// trailer section behind it is for H1Parser. Byte by byte through the framing, in one stretch
// through the data. Extensions are checked, counted and dropped.

#include <cstdint>
#include <string_view>

#include "http/codec.h"

namespace outrigger::http {

class ChunkDecoder {
 public:
  enum class Step : std::uint8_t {
    need_more,
    data,       // some of a chunk's bytes, never none
    last,       // the last chunk's line has been read
    malformed,  // also: more framing than data warrants
  };

  explicit ChunkDecoder(const CodecLimits& limits) : limits_(limits) {}

  // Consumes from the front of `in`. Not to be called again after last or malformed.
  Step next(std::string_view& in, std::string_view& data);
  void restart();

 private:
  enum class State : std::uint8_t {
    size,
    gap,         // blanks behind the size or a value: only ';' may follow
    name_begin,  // behind ';'
    name,
    name_gap,     // blanks behind a name: '=' or ';' may follow
    value_begin,  // behind '='
    value,
    quoted,
    escaped,
    quoted_end,
    size_lf,
    data,
    data_cr,
    data_lf,
  };

  Step take_data(std::string_view& in, std::string_view& data);
  bool take_size(char c);
  bool take_extension(char c);
  bool take_end(char c);
  bool enter(State state) {
    state_ = state;
    return true;
  }

  const CodecLimits& limits_;
  std::uint64_t left_ = 0;      // of the chunk's size, then of its data
  std::uint64_t total_ = 0;     // data of all chunks
  std::uint64_t overhead_ = 0;  // framing of all chunks
  std::uint32_t extension_ = 0;
  std::uint8_t digits_ = 0;
  State state_ = State::size;
};

}  // namespace outrigger::http
