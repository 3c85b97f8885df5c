#pragma once

// The WebSocket handshake's key and its proof (RFC 6455 section 4). Needed where one side speaks
// HTTP/1 and the other HTTP/2, whose handshake has neither.

#include <array>
#include <string_view>

#include "base/random.h"

namespace outrigger::http {

using WebsocketKey = std::array<char, 24>;
using WebsocketAccept = std::array<char, 28>;

// Sixteen random bytes in base64. It only has to be new, not secret.
WebsocketKey websocket_key(Random& random);
// What a server that understood the key answers.
WebsocketAccept websocket_accept(std::string_view key);

}  // namespace outrigger::http
