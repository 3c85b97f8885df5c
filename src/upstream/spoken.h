#pragma once

// Which version of HTTP an app without TLS speaks, detected from its responses (`protocol: auto`):
// no probe is sent, so an app sees callers' requests and nothing else. A request is first sent over
// HTTP/1.1. A server that speaks only HTTP/2 answers it with SETTINGS (RFC 9113 section 3.4) and
// has not read the request, so it is sent again at once; a server that closes without a byte may
// have read it, so only idempotent requests are sent again.

#include <cstdint>

#include "base/state_table.h"

namespace outrigger::upstream {

enum class Spoken : std::uint8_t {
  unknown,         // HTTP/1.1 is tried first
  perhaps_http2,   // HTTP/1.1 got no response, before any other response
  http1,           // and perhaps HTTP/2 too
  http2,           // HTTP/2 got a response
  http2_doubtful,  // but since then a new connection has ended without a response
};
enum class SpokenEvent : std::uint8_t {
  http1_answer,
  http2_answer,
  settings,      // SETTINGS in response to HTTP/1.1
  silence,       // HTTP/1.1 on a new connection: closed without a byte
  http2_broken,  // what arrived is not HTTP/2
  http2_lost,    // HTTP/2 on a new connection: it ended before a response
};

inline constexpr StateTable<Spoken, SpokenEvent, 30> spoken_table{{{
    {Spoken::unknown, SpokenEvent::http1_answer, Spoken::http1},
    {Spoken::unknown, SpokenEvent::http2_answer, Spoken::http2},
    {Spoken::unknown, SpokenEvent::settings, Spoken::http2},
    {Spoken::unknown, SpokenEvent::silence, Spoken::perhaps_http2},
    {Spoken::unknown, SpokenEvent::http2_broken, Spoken::unknown},
    {Spoken::unknown, SpokenEvent::http2_lost, Spoken::unknown},
    {Spoken::perhaps_http2, SpokenEvent::http1_answer, Spoken::http1},
    {Spoken::perhaps_http2, SpokenEvent::http2_answer, Spoken::http2},
    {Spoken::perhaps_http2, SpokenEvent::settings, Spoken::http2},
    {Spoken::perhaps_http2, SpokenEvent::silence, Spoken::perhaps_http2},
    {Spoken::perhaps_http2, SpokenEvent::http2_broken, Spoken::unknown},
    {Spoken::perhaps_http2, SpokenEvent::http2_lost, Spoken::unknown},
    {Spoken::http1, SpokenEvent::http1_answer, Spoken::http1},
    {Spoken::http1, SpokenEvent::http2_answer, Spoken::http1},
    {Spoken::http1, SpokenEvent::settings, Spoken::http2},
    {Spoken::http1, SpokenEvent::silence, Spoken::http1},
    {Spoken::http1, SpokenEvent::http2_broken, Spoken::http1},
    {Spoken::http1, SpokenEvent::http2_lost, Spoken::http1},
    {Spoken::http2, SpokenEvent::http1_answer, Spoken::http2},
    {Spoken::http2, SpokenEvent::http2_answer, Spoken::http2},
    {Spoken::http2, SpokenEvent::settings, Spoken::http2},
    {Spoken::http2, SpokenEvent::silence, Spoken::http2},
    {Spoken::http2, SpokenEvent::http2_broken, Spoken::unknown},
    {Spoken::http2, SpokenEvent::http2_lost, Spoken::http2_doubtful},
    {Spoken::http2_doubtful, SpokenEvent::http1_answer, Spoken::http1},
    {Spoken::http2_doubtful, SpokenEvent::http2_answer, Spoken::http2},
    {Spoken::http2_doubtful, SpokenEvent::settings, Spoken::http2},
    {Spoken::http2_doubtful, SpokenEvent::silence, Spoken::http2_doubtful},
    {Spoken::http2_doubtful, SpokenEvent::http2_broken, Spoken::unknown},
    {Spoken::http2_doubtful, SpokenEvent::http2_lost, Spoken::unknown},
}}};

}  // namespace outrigger::upstream
