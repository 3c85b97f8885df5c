#pragma once

// What may stand in a message, for both codecs: names, values, targets, authorities and paths
// (RFC 9110, RFC 3986). Pure functions; they look at every byte once and allocate only what they
// return in the arena.

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/arena.h"
#include "http/head.h"

namespace outrigger::http {

bool is_token_char(char c);
// A method, a field name: one or more token characters.
bool is_token(std::string_view text);
// No control byte but HTAB, and no blank at either end. Bytes above 127 are opaque.
bool is_field_value(std::string_view value);
// A field that any encoder may write.
inline bool is_writable(const Field& field) {
  return field.form != Form::unchecked || (is_token(field.name) && is_field_value(field.value));
}
// Not empty, without '#', blank and control bytes. Bytes above 127 are opaque.
bool is_target(std::string_view target);
// Without blanks (SP, HTAB) at the ends.
std::string_view trim(std::string_view text);
// The next member of a comma-separated list, trimmed; empty members are skipped. False at the end.
bool next_member(std::string_view& list, std::string_view& member);

// host [":" port] of RFC 3986 with a host that is not empty: no userinfo, no comma, brackets around
// IPv6 only, a port of at most 65535.
bool is_authority(std::string_view authority);
// REQUIRES: is_authority(). Without the port; brackets stay.
std::string_view host_of(std::string_view authority);
// REQUIRES: is_authority(). Nullopt when there is none, or an empty one.
std::optional<std::uint16_t> port_of(std::string_view authority);
// REQUIRES: is_authority(). What names a service: lower case, no port, no trailing dot.
std::string_view normalise_host(std::string_view authority, Arena& arena);
// The same host and port, where a missing port is the scheme's. REQUIRES: both is_authority().
bool same_authority(std::string_view a, std::string_view b, std::string_view scheme);

// The one spelling of a path, which rules decide on and which is forwarded then. Takes an origin
// form
// ("/path?query") and returns it with unreserved characters decoded once, what may not stand in a
// path as it is (RFC 3986 section 3.3) escaped, escapes in upper case, slashes merged, and dot
// segments resolved, those with ";parameters" included. An escaped slash stays one and separates
// nothing. The query is left alone. Returns the same view when nothing changes. Nullopt (400): not
// an origin form, a broken escape, %00, %5C or a backslash in the path, a dot segment beside an
// escaped slash, or a byte that is_target() refuses.
std::optional<std::string_view> normalise_path(std::string_view path, Arena& arena);

// 1 to 18 digits and nothing else.
std::optional<std::uint64_t> parse_content_length(std::string_view value);

// Whether the name differs from one that somebody here strips, sets or interprets only in '_' for
// '-'. CGI and WSGI read both as one, so that it goes before anybody looks (docs/security.md).
bool is_twin(std::string_view name);

// False for names that frame, route, authenticate or identify: in trailers they are dropped
// (RFC 9110 section 6.5.1).
bool may_trail(const Field& field);

}  // namespace outrigger::http
