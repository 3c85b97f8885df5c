// Path and authority: what comes out of the normaliser is normal, a second pass changes nothing,
// and no separator or dot segment was decoded into being.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "http/validation.h"

using namespace outrigger::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  outrigger::BlockPool blocks;
  outrigger::Arena arena(blocks);
  if (const auto path = normalise_path(text, arena)) {
    const auto again = normalise_path(*path, arena);
    if (!again || *again != *path || !path->starts_with('/')) std::abort();
    const std::string bare(path->substr(0, path->find('?')));
    for (const char* bad : {"//", "/../", "/./", "/..;", "/.;", "\\"}) {
      if (bare.find(bad) != std::string::npos) std::abort();
    }
    if (bare.ends_with("/..") || bare.ends_with("/.")) std::abort();
  }
  if (is_authority(text)) {
    if (host_of(text).empty() || text.find_first_of("@,/?# \t\r\n") != std::string::npos)
      std::abort();
    const std::string_view host = normalise_host(text, arena);
    if (host.size() > text.size() || !same_authority(text, text, "http")) std::abort();
  }
  return 0;
}
