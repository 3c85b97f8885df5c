// Blocks from a fuzzer's bytes, as one connection's, through our decoder and nghttp2's: the same
// verdict and the same fields, until the first that is malformed.
//
// The input is a list of blocks, each behind a byte with its size.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/hpack_decoder.h"
#include "support/h2_frames.h"

namespace {

using namespace outrigger::http;

void require(bool ok) {
  if (!ok) std::abort();
}

void run(std::string_view rest) {
  H2Memory memory;
  {
    HpackDecoder decoder(memory);
    h2::Inflater reference;
    while (!rest.empty()) {
      const std::size_t size = static_cast<unsigned char>(rest.front());
      rest.remove_prefix(1);
      const std::string block(rest.substr(0, size));
      rest.remove_prefix(block.size());
      h2::FieldList fields;
      decoder.begin(block);
      HpackField field;
      HpackDecoder::Step step{};
      while ((step = decoder.next(field)) == HpackDecoder::Step::field) {
        fields.emplace_back(std::string(field.name), std::string(field.value));
      }
      const h2::FieldList expected = reference.decode(block);
      require((step == HpackDecoder::Step::malformed) == reference.failed());
      if (reference.failed()) break;
      require(fields == expected);
      require(decoder.table_size() <= HpackTable::size_default);
    }
  }
  require(memory.bytes_in_use() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  run({reinterpret_cast<const char*>(data), size});
  return 0;
}
