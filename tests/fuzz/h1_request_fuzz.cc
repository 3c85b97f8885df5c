// The server codec on any bytes, cut by the first one: no crash, no call out of order, and the same
// story whole and in pieces.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "support/h1_harness.h"

using namespace outrigger::http;

namespace {

std::string run(std::string_view raw, std::size_t step) {
  fakes::H1ServerRig rig;
  for (std::size_t at = 0; at < raw.size(); at += step) rig.feeder.feed(raw.substr(at, step));
  for (const auto& sink : rig.server.sinks) {
    if (!sink->misuse.empty()) std::abort();
  }
  return rig.story();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t step = 1 + data[0] % 32;
  const std::string_view raw(reinterpret_cast<const char*>(data + 1), size - 1);
  if (run(raw, raw.size()) != run(raw, step)) std::abort();
  return 0;
}
