#include "http/h1_websocket.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "base/check.h"
#include "tls/digest.h"

namespace outrigger::http {
namespace {

template <typename Text>
Text fixed(const std::string& text) {
  Text out;
  check(text.size() == out.size(), "base64 of another length");
  std::copy(text.begin(), text.end(), out.begin());
  return out;
}

}  // namespace

WebsocketKey websocket_key(Random& random) {
  const std::array<std::uint64_t, 2> words{random.next(), random.next()};
  return fixed<WebsocketKey>(
      tls::base64_encode({reinterpret_cast<const char*>(words.data()), sizeof(words)}));
}

WebsocketAccept websocket_accept(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  return fixed<WebsocketAccept>(tls::base64_encode(tls::bytes_of(tls::sha1(text))));
}

}  // namespace outrigger::http
