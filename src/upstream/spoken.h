#pragma once

// Which version of HTTP an app in clear text speaks, found out from what it answers (`protocol:
// auto`): nothing is asked for that purpose, so that an app sees requests of callers and nothing
// else. A request is sent by HTTP/1.1 first. A server of HTTP/2 alone answers that with SETTINGS
// (RFC 9113 section 3.4) and has read nothing of it, so that it goes again at once; one that closes
// without a word may have read it, so that only idempotent requests do.

#include <cstdint>

#include "base/state_table.h"

namespace outrigger::upstream {

enum class Spoken : std::uint8_t {
  unknown,         // HTTP/1.1 is tried first
  perhaps_http2,   // HTTP/1.1 was met with silence, before any other answer
  http1,           // and perhaps HTTP/2 too
  http2,           // HTTP/2 was answered
  http2_doubtful,  // but since then a new connection has ended without an answer
};
enum class SpokenEvent : std::uint8_t {
  http1_answer,
  http2_answer,
  settings,      // HTTP/2's SETTINGS, to HTTP/1.1
  silence,       // HTTP/1.1 on a new connection: closed without a byte
  http2_broken,  // what came is not HTTP/2
  http2_lost,    // HTTP/2 on a new connection: it ended before an answer
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
