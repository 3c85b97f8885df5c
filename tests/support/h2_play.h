#pragma once

// Plays the cases of h2_cases.h against the codecs in memory, and judges how it went. Besides, what
// the codec had answered after each step tells whoever replays a case over a socket what to wait
// for before the next one. Without gtest.

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/h2_cases.h"
#include "support/h2_frames.h"

namespace outrigger::http::h2 {

// What had come back at the end of a step, all in all.
struct Progress {
  std::size_t heads = 0;       // HEADERS frames
  std::size_t data_bytes = 0;  // in DATA frames
  std::size_t ends = 0;        // END_STREAM flags
  std::size_t resets = 0;
  std::size_t goaways = 0;
};

struct Play {
  std::vector<Frame> frames;
  std::string bytes;
  bool finished = false;
  Progress before;              // the steps began
  std::vector<Progress> after;  // each step
  std::string misuse;           // of a sink, by the codec
  // Of a server: requests that arrived whole. Of a client: the answer.
  std::size_t complete = 0;
  bool began = false;  // the client's answer: its head was good
  bool ended = false;  // the client's stream, in whatever way
  StreamEnd end = StreamEnd::complete;
  int retiring = 0;  // how often the pool was told
};

// `in_pieces`: byte by byte.
Play play(const ServerCase& test, bool in_pieces = false);
Play play(const ClientCase& test, bool in_pieces = false);
// The reason why it is not as expected, with what came back; empty when it is.
std::string judge(const ServerCase& test, const Play& play);
std::string judge(const ClientCase& test, const Play& play);

}  // namespace outrigger::http::h2
