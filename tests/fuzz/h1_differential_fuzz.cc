// The server codec against the reference parser: the same requests, bodies and verdicts.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/h1_compare.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2 || size > 6000) return 0;
  const std::string raw(reinterpret_cast<const char*>(data + 1), size - 1);
  const std::string difference =
      outrigger::http::fakes::compare_with_reference(raw, data[0] % raw.size());
  if (!difference.empty()) {
    std::fprintf(stderr, "%s\n", difference.c_str());
    std::abort();
  }
  return 0;
}
