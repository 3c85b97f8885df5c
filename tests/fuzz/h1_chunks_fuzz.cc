// The chunk decoder: the same data and verdict whole and byte by byte, and never more data than
// there were bytes.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "http/h1_chunks.h"

using namespace outrigger::http;

namespace {

std::string run(std::string_view raw, std::size_t step) {
  const CodecLimits limits;
  ChunkDecoder decoder(limits);
  std::string story;
  for (std::size_t at = 0; at < raw.size(); at += step) {
    std::string_view in = raw.substr(at, step);
    std::string_view data;
    while (!in.empty()) {
      switch (decoder.next(in, data)) {
        case ChunkDecoder::Step::need_more:
          break;
        case ChunkDecoder::Step::data:
          if (data.empty()) std::abort();
          story += data;
          break;
        case ChunkDecoder::Step::last:
          return story + " last";
        case ChunkDecoder::Step::malformed:
          return story + " malformed";
      }
    }
  }
  return story;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view raw(reinterpret_cast<const char*>(data), size);
  const std::string whole = run(raw, size + 1);
  if (whole != run(raw, 1) || whole.size() > raw.size() + 10) std::abort();
  return 0;
}
