#include "http/h1_message.h"

#include "http/validation.h"

namespace outrigger::http {
namespace {

// Names in Connection beside the known options; more than this is nobody's honest message.
constexpr int nominations_max = 32;

// What the framing and hop-by-hop fields of one head say, gathered line by line.
struct Facts {
  Known seen_twice = Known::other;
  std::optional<std::string_view> host;
  std::optional<std::string_view> content_length;
  std::optional<std::string_view> transfer_encoding;
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool te_trailers = false;
  int nominations = 0;
  bool expects_continue = false;
  bool expects_other = false;

  // A field that may stand once only.
  void once(std::optional<std::string_view>& place, Known known, std::string_view value) {
    if (place) seen_twice = known;
    place = value;
  }
};

void read_connection(std::string_view list, Facts& facts) {
  for (std::string_view option; next_member(list, option);) {
    if (equal_ignoring_case(option, "close")) {
      facts.close = true;
    } else if (equal_ignoring_case(option, "keep-alive")) {
      facts.keep_alive = true;
    } else if (equal_ignoring_case(option, "upgrade")) {
      facts.upgrade = true;
    } else if (recognise(option) == Known::other) {
      ++facts.nominations;
    }
  }
}

// The first of the offered protocols that this listener lets switch, as its list spells it.
std::string_view chosen_protocol(const H1Parser& parser, std::string_view text,
                                 const Upgrades& upgrades) {
  for (const H1Parser::Line& line : parser.lines()) {
    if (line.known != Known::upgrade) continue;
    std::string_view list = line.value.in(text);
    for (std::string_view token; next_member(list, token);) {
      const std::string_view allowed = upgrades.find(token);
      if (!allowed.empty() && !is_http_token(token)) return allowed;
    }
  }
  return {};
}

// What a server names in Upgrade, without HTTP itself: one protocol in 101, any number in 426.
std::string_view named_protocols(const H1Parser& parser, std::string_view text, Arena& arena) {
  std::string_view all;
  for (const H1Parser::Line& line : parser.lines()) {
    if (line.known != Known::upgrade) continue;
    std::string_view list = line.value.in(text);
    for (std::string_view token; next_member(list, token);) {
      if (is_http_token(token) || !is_protocol(token)) continue;
      all = all.empty() ? token : arena.concat(all, ", ", token);
    }
  }
  return all;
}

void read_te(std::string_view list, Facts& facts) {
  for (std::string_view coding; next_member(list, coding);) {
    if (equal_ignoring_case(coding, "trailers")) facts.te_trailers = true;
  }
}

void read_expect(std::string_view list, Facts& facts) {
  for (std::string_view expectation; next_member(list, expectation);) {
    if (equal_ignoring_case(expectation, "100-continue")) {
      facts.expects_continue = true;
    } else {
      facts.expects_other = true;
    }
  }
}

// Puts a field of the framing into `facts`; false for one that is passed on.
bool take_framing(Known known, std::string_view value, Facts& facts) {
  switch (known) {
    case Known::connection:
      read_connection(value, facts);
      return true;
    case Known::content_length:
      facts.once(facts.content_length, known, value);
      return true;
    case Known::transfer_encoding:
      facts.once(facts.transfer_encoding, known, value);
      return true;
    case Known::te:
      read_te(value, facts);
      return true;
    case Known::http2_settings:
    case Known::keep_alive:
    case Known::proxy_connection:
    case Known::upgrade:  // see chosen_protocol()
      return true;
    default:
      return false;
  }
}

// Removes what Connection names. A field that somebody here asks for stays: no peer decides which
// of those the next hop gets to see.
void remove_nominated(const H1Parser& parser, std::string_view text, Fields& fields) {
  for (const H1Parser::Line& line : parser.lines()) {
    if (line.known != Known::connection) continue;
    std::string_view list = line.value.in(text);
    for (std::string_view option; next_member(list, option);) {
      if (recognise(option) == Known::other) fields.remove(option);
    }
  }
}

// Content-Length or Transfer-Encoding, well-formed, not both.
H1Verdict read_framing(const Facts& facts, Version version, Head& head, H1Framing& framing) {
  if (facts.seen_twice != Known::other) return H1Verdict::malformed;
  if (facts.transfer_encoding) {
    if (facts.content_length || version == Version::http10 ||
        !equal_ignoring_case(*facts.transfer_encoding, "chunked")) {
      return H1Verdict::malformed;
    }
    framing.body = H1Body::chunked;
  } else if (facts.content_length) {
    head.content_length = parse_content_length(*facts.content_length);
    if (!head.content_length) return H1Verdict::malformed;
    framing.length = *head.content_length;
    framing.body = framing.length > 0 ? H1Body::length : H1Body::none;
  }
  framing.keep_alive = !facts.close && (version == Version::http11 || facts.keep_alive);
  return H1Verdict::complete;
}

// Removes "http://" or "https://" from the front and says which it was.
std::string_view take_scheme(std::string_view& target) {
  for (const std::string_view scheme : {"http", "https"}) {
    const std::size_t size = scheme.size();
    if (target.size() > size + 3 && target.substr(size, 3) == "://" &&
        equal_ignoring_case(target.substr(0, size), scheme)) {
      target.remove_prefix(size + 3);
      return scheme;
    }
  }
  return {};
}

// The four forms of a target (RFC 9112 section 3.2); fills scheme, authority and path. An absolute
// one overrides the Host field, whatever that says. `host` is empty without one.
bool read_target(std::string_view target, std::string_view host, Head& head) {
  if (head.method == Method::connect) {
    head.scheme = {};
    head.authority = target;
    return is_authority(target) && port_of(target) &&
           (host.empty() || same_authority(host, target, "https") || host == host_of(target));
  }
  if (target == "*") {
    head.path = target;
    return head.method == Method::options;
  }
  if (!target.starts_with('/')) {
    const std::string_view scheme = take_scheme(target);
    const std::size_t path = target.find_first_of("/?");
    const std::string_view authority = target.substr(0, path);
    if (scheme.empty() || !is_authority(authority)) return false;
    head.scheme = scheme;
    head.authority = authority;
    if (path == target.npos) {
      head.path = head.method == Method::options ? "*" : "/";
      return true;
    }
    target.remove_prefix(path);
    if (target.starts_with('?')) target = head.arena->concat("/", target);
  }
  head.path = target;
  return true;
}

// Exactly one Host in HTTP/1.1, a good one; in 1.0 it may be missing or empty.
bool read_host(std::optional<std::string_view> host, Head& head) {
  if (head.version == Version::http11) {
    if (!host || !is_authority(*host)) return false;
  } else if (host && !host->empty() && !is_authority(*host)) {
    return false;
  }
  head.authority = host.value_or(std::string_view{});
  return true;
}

// An Upgrade that counts: asked for in Connection, over HTTP/1.1, to what this listener lets
// switch. All others are ignored (RFC 9110 section 7.8).
bool read_protocol(const H1Parser& parser, std::string_view text, const Upgrades& upgrades,
                   Head& head, H1Framing& framing) {
  if (head.version != Version::http11 || head.method == Method::connect) return true;
  head.protocol = chosen_protocol(parser, text, upgrades);
  if (head.protocol.empty()) return true;
  // The tunnel begins behind the body (Docker's exec has one). Its end must be known beforehand; a
  // WebSocket's handshake has none, and a forged one would hide a request.
  const bool websocket = equal_ignoring_case(head.protocol, "websocket");
  if (framing.body == H1Body::chunked || (websocket && framing.body != H1Body::none)) return false;
  framing.upgrade = true;
  if (framing.body == H1Body::none) framing.body = H1Body::tunnel;
  if (websocket) framing.websocket_key = head.fields.value(Known::sec_websocket_key);
  return true;
}

H1Verdict finish_request(const H1Parser& parser, std::string_view text, const Upgrades& upgrades,
                         const Facts& facts, Head& head, H1Framing& framing) {
  const H1Verdict verdict = read_framing(facts, head.version, head, framing);
  if (verdict != H1Verdict::complete) return verdict;
  if (!read_host(facts.host, head)) return H1Verdict::malformed;
  const std::string_view host = facts.host.value_or(std::string_view{});
  if (!read_target(parser.target().in(text), host, head)) return H1Verdict::malformed;
  if (facts.upgrade && !read_protocol(parser, text, upgrades, head, framing)) {
    return H1Verdict::malformed;
  }
  if (head.method == Method::connect) {
    if (facts.content_length || facts.transfer_encoding) return H1Verdict::malformed;
    framing.body = H1Body::tunnel;
  }
  head.te_trailers = facts.te_trailers;
  if (facts.expects_other) return H1Verdict::expectation;
  // To a 1.0 client no 100 can be sent (RFC 9110 section 10.1.1).
  head.expect_continue = facts.expects_continue && head.version == Version::http11;
  if (facts.expects_continue && !head.expect_continue) head.fields.remove(Known::expect);
  return H1Verdict::complete;
}

}  // namespace

bool is_framing(Known known) {
  switch (known) {
    case Known::connection:
    case Known::content_length:
    case Known::host:
    case Known::http2_settings:
    case Known::keep_alive:
    case Known::proxy_connection:
    case Known::te:
    case Known::transfer_encoding:
    case Known::upgrade:
      return true;
    default:
      return false;
  }
}

H1Verdict read_request(const H1Parser& parser, std::string_view text, std::string_view scheme,
                       const Upgrades& upgrades, Head& head, H1Framing& framing) {
  framing = {};
  head.method_text = parser.method().in(text);
  head.method = parse_method(head.method_text);
  head.version = parser.version();
  head.scheme = scheme;
  head.fields.reserve(parser.lines().size() + 8);  // what is added on the way fits too
  Facts facts;
  for (const H1Parser::Line& line : parser.lines()) {
    const std::string_view value = line.value.in(text);
    if (line.known == Known::other) {
      const std::string_view name = line.name.in(text);
      if (is_twin(name)) {
        ++framing.twins;
      } else {
        head.fields.add(Field{name, value, line.known, Form::checked});
      }
    } else if (line.known == Known::host) {
      facts.once(facts.host, line.known, value);
    } else if (!take_framing(line.known, value, facts)) {
      if (line.known == Known::expect) read_expect(value, facts);
      head.fields.add(Field{line.name.in(text), value, line.known, Form::checked});
    }
  }
  if (facts.nominations > nominations_max) return H1Verdict::too_large;
  if (facts.nominations > 0) remove_nominated(parser, text, head.fields);
  return finish_request(parser, text, upgrades, facts, head, framing);
}

H1Verdict read_answer(const H1Parser& parser, std::string_view text, const H1Asked& asked,
                      Head& head, H1Framing& framing) {
  framing = {};
  head.status = parser.status();
  head.version = parser.version();
  head.fields.reserve(parser.lines().size() + 8);
  Facts facts;
  for (const H1Parser::Line& line : parser.lines()) {
    const std::string_view value = line.value.in(text);
    if (line.known == Known::other || !take_framing(line.known, value, facts)) {
      head.fields.add(Field{line.name.in(text), value, line.known, Form::checked});
    }
  }
  if (facts.nominations > nominations_max) return H1Verdict::too_large;
  if (facts.nominations > 0) remove_nominated(parser, text, head.fields);
  framing.body = H1Body::until_close;
  const H1Verdict verdict = read_framing(facts, head.version, head, framing);
  if (verdict != H1Verdict::complete) return verdict;

  if (head.status == 101) {
    // To what was asked for and nothing else (RFC 9110 section 15.2.2).
    if (asked.protocol.empty() || !facts.upgrade) return H1Verdict::malformed;
    if (!equal_ignoring_case(named_protocols(parser, text, *head.arena), asked.protocol)) {
      return H1Verdict::malformed;
    }
    head.protocol = asked.protocol;
  } else if (head.status == 426) {
    // The one answer that means nothing without the field (RFC 9110 section 15.5.22).
    head.protocol = named_protocols(parser, text, *head.arena);
  }
  const bool tunnel = head.status == 101 || (asked.connect && head.status / 100 == 2);
  if (tunnel || is_bodyless(head.status) || asked.head) {
    // Here a length only describes; in 304 and answers to HEAD it may.
    const bool describes = asked.head || head.status == 304;
    if (tunnel || !describes) head.content_length.reset();
    // Framing where none may be: the server could mean to send a body all the same.
    if (!describes && (facts.transfer_encoding || framing.length > 0)) framing.keep_alive = false;
    framing.body = tunnel ? H1Body::tunnel : H1Body::none;
  }
  if (framing.body == H1Body::until_close) framing.keep_alive = false;
  return H1Verdict::complete;
}

std::uint32_t read_trailers(const H1Parser& parser, std::string_view text, Fields& trailers) {
  std::uint32_t twins = 0;
  trailers.reserve(parser.lines().size());
  for (const H1Parser::Line& line : parser.lines()) {
    const Field field{line.name.in(text), line.value.in(text), line.known, Form::checked};
    twins += is_twin(field.name) ? 1 : 0;
    if (may_trail(field)) trailers.add(field);
  }
  return twins;
}

}  // namespace outrigger::http
