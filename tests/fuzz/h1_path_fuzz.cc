// Path and authority: what comes out of the normaliser is normal, a second pass changes nothing, no
// separator or dot segment was decoded into being, what is forwarded leads an app that decodes all
// to where what came would have led it, and no app finds a dot segment in it.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "http/validation.h"

using namespace outrigger::http;

namespace {

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// The path as an app decodes it. `slash` stands for %2F: '/' for an app that takes it for a slash,
// another byte for one that does not.
std::string decoded(std::string_view path, char slash) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (path[i] != '%') {
      out += path[i];
      continue;
    }
    const char byte = static_cast<char>(hex(path[i + 1]) * 16 + hex(path[i + 2]));
    out += byte == '/' ? slash : byte;
    i += 2;
  }
  return out;
}

// Where it leads: parameters of dot segments cut off, dots resolved, empty segments dropped.
// `dots` becomes true when there was a dot segment.
std::string resolved(std::string_view path, bool& dots) {
  std::vector<std::string_view> kept;
  bool directory = false;
  for (std::size_t at = 0; at < path.size();) {
    const std::size_t end = std::min(path.find('/', at + 1), path.size());
    const std::string_view segment = path.substr(at + 1, end - at - 1);
    const std::string_view bare = segment.substr(0, segment.find(';'));
    const bool dot = bare == "." || bare == "..";
    dots |= dot;
    directory = segment.empty() || dot;
    if (bare == ".." && !kept.empty()) kept.pop_back();
    if (!directory) kept.push_back(segment);
    at = end;
  }
  std::string out;
  for (const std::string_view segment : kept) out.append("/").append(segment);
  return directory || out.empty() ? out + "/" : out;
}

}  // namespace

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
    for (const char c : bare) {
      if (static_cast<unsigned char>(c) <= ' ' || static_cast<unsigned char>(c) >= 0x7f)
        std::abort();
    }
    const std::string came = text.substr(0, text.find('?'));
    bool dots = false;
    const std::string there = resolved(decoded(came, '\x01'), dots);
    dots = false;
    if (resolved(decoded(bare, '\x01'), dots) != there || dots) std::abort();
    resolved(decoded(bare, '/'), dots);
    if (dots) std::abort();
    if (path->substr(bare.size()) != std::string_view(text).substr(came.size())) std::abort();
  }
  if (is_authority(text)) {
    if (host_of(text).empty() || text.find_first_of("@,/?# \t\r\n") != std::string::npos)
      std::abort();
    const std::string_view host = normalise_host(text, arena);
    if (host.size() > text.size() || !same_authority(text, text, "http")) std::abort();
  }
  return 0;
}
