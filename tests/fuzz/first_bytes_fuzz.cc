// Detection on a connection's first bytes: it asks for more only while more could change its mind,
// never changes it, and decides within a bounded number of bytes.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proxy/detect.h"

using outrigger::proxy::detect;
using outrigger::proxy::Detected;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t decided_at_most = 32;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  Detected last = Detected::more;
  for (std::size_t n = 0; n <= bytes.size() && n <= 64; ++n) {
    const Detected now = detect(bytes.substr(0, n));
    if (last != Detected::more && now != last) std::abort();
    if (now == Detected::more && n >= decided_at_most) std::abort();
    last = now;
  }
  if (bytes.starts_with("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") && last != Detected::http2)
    std::abort();
  if (bytes.starts_with('\x16') && last != Detected::opaque) std::abort();
  if (bytes.starts_with("GET /") && last != Detected::http1) std::abort();
  return 0;
}
