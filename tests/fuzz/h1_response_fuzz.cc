// The client codec on any bytes as answers to different requests: no crash, no call out of order,
// and the same story whole and in pieces.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "support/h1_harness.h"

using namespace outrigger::http;

namespace {

std::string run(std::string_view raw, std::size_t step, int asked) {
  fakes::H1ClientRig rig;
  static const char* const methods[] = {"GET", "HEAD", "CONNECT", "GET"};
  rig.ask(methods[asked], asked == 3 ? "foo" : "");
  for (std::size_t at = 0; at < raw.size(); at += step) rig.feeder.feed(raw.substr(at, step));
  rig.feeder.end();
  std::string text;
  for (const auto& sink : rig.sinks) {
    if (!sink->misuse.empty()) std::abort();
    text += sink->story();
  }
  return text + std::to_string(rig.codec.capacity());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::size_t step = 1 + (data[0] >> 2) % 32;
  const std::string_view raw(reinterpret_cast<const char*>(data + 1), size - 1);
  if (run(raw, raw.size(), data[0] & 3) != run(raw, step, data[0] & 3)) std::abort();
  return 0;
}
