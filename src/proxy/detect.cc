#include "proxy/detect.h"

#include <algorithm>

namespace outrigger::proxy {
namespace {

constexpr std::string_view preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// No registered method is longer than this.
constexpr std::size_t method_max = 24;

// What a program may have meant as HTTP: printable, or white space before it.
bool is_text(char c) {
  return (c >= ' ' && c < 0x7f) || c == '\r' || c == '\n' || c == '\t';
}

bool is_method_byte(char c) {
  return (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
}

}  // namespace

Detected detect(std::string_view bytes) {
  if (bytes.empty()) return Detected::more;
  const std::size_t compared = std::min(bytes.size(), preface.size());
  if (bytes.substr(0, compared) == preface.substr(0, compared)) {
    return compared == preface.size() ? Detected::http2 : Detected::more;
  }
  const Detected otherwise = is_text(bytes.front()) ? Detected::broken : Detected::opaque;
  // METHOD SP target SP HTTP/1.x: a method and a target that begins like one.
  const auto end = std::find_if_not(bytes.begin(), bytes.end(), is_method_byte);
  const auto method = static_cast<std::size_t>(end - bytes.begin());
  if (method > method_max) return otherwise;
  if (method == bytes.size()) return Detected::more;
  if (method == 0 || bytes[method] != ' ') return otherwise;
  if (method + 1 == bytes.size()) return Detected::more;
  const char target = bytes[method + 1];
  const bool plausible = target == '/' || target == '*' || target == 'h' || target == 'H' ||
                         bytes.substr(0, method) == "CONNECT";
  return plausible ? Detected::http1 : otherwise;
}

}  // namespace outrigger::proxy
