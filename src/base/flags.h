#pragma once

// Reason flags: why an exchange did not succeed, in one closed enum. The
// same value is a label of outrigger_requests_total, a field of the access log, the name in a local
// reply and a column of the admin pages. The letters are those operators know from Envoy.

#include <cstdint>
#include <string_view>

namespace outrigger {

enum class Flag : std::uint8_t {
  none,
  UH,    // no healthy endpoint
  UF,    // the connection to the endpoint failed
  UO,    // a breaker or a queue was full
  NR,    // no route, or no such service
  URX,   // the retry limit was reached
  UT,    // the response did not arrive in time
  UC,    // the endpoint closed the connection early
  DC,    // the caller went away
  RL,    // rate limited
  UAEX,  // denied by authorization
  DPE,   // the caller violated the protocol
  UPE,   // the endpoint violated the protocol
  FI,    // an injected fault
  SI,    // nothing moved for too long
  OM,    // overload: memory, connections or concurrency
};
inline constexpr int flag_count = static_cast<int>(Flag::OM) + 1;

// "UH"; empty for Flag::none.
std::string_view letters(Flag flag);
// One phrase for people: "no healthy endpoint".
std::string_view describe(Flag flag);
// The flag of these letters; Flag::none when it is none of them.
Flag parse_flag(std::string_view letters);

}  // namespace outrigger
