#pragma once

// A second HTTP/1 request parser, written from RFC 9112 for clarity alone: whole strings, no state,
// no speed. The fuzzers and tests hold the real one against it. It decides where messages begin and
// end, what they carry and what is refused; it does not normalise paths.

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace outrigger::http::fakes {

struct ReferenceRequest {
  std::string method;
  std::vector<std::pair<std::string, std::string>> fields;  // that are passed on
  std::string body;
  std::vector<std::string> trailer_names;
  bool has_trailers = false;
  bool tunnel = false;
};

struct ReferenceResult {
  enum class End { open, refused };  // open: more bytes could follow; or they are held (tunnel)
  std::vector<ReferenceRequest> requests;
  std::optional<ReferenceRequest> partial;  // a good head whose body is not whole, or refused
  End end = End::open;
  bool undecided = false;  // no whole head: both verdicts are right
};

class ReferenceParser {
 public:
  static ReferenceResult parse(const std::string& input) {
    ReferenceParser parser(input);
    while (parser.next()) {
    }
    return parser.result_;
  }

 private:
  explicit ReferenceParser(const std::string& input) : in_(input) {}

  static bool tchar(unsigned char c) {
    return std::isalnum(c) != 0 ||
           (c != 0 &&
            std::string("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string::npos);
  }
  static bool token(const std::string& s) {
    for (const char c : s) {
      if (static_cast<unsigned char>(c) >= 128 || !tchar(static_cast<unsigned char>(c)))
        return false;
    }
    return !s.empty();
  }
  static std::string lower(std::string s) {
    for (char& c : s) {
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    }
    return s;
  }
  static std::string trim(const std::string& s) {
    const auto begin = s.find_first_not_of(" \t");
    if (begin == std::string::npos) return "";
    return s.substr(begin, s.find_last_not_of(" \t") - begin + 1);
  }
  static std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> members;
    std::size_t begin = 0;
    while (begin <= list.size()) {
      const std::size_t comma = std::min(list.find(',', begin), list.size());
      const std::string member = trim(list.substr(begin, comma - begin));
      if (!member.empty()) members.push_back(member);
      begin = comma + 1;
    }
    return members;
  }
  static bool value_ok(const std::string& s) {
    for (const char c : s) {
      const auto u = static_cast<unsigned char>(c);
      if ((u < 32 && c != '\t') || u == 127) return false;
    }
    return true;
  }

  bool refuse() {
    result_.end = ReferenceResult::End::refused;
    return false;
  }

  using Lines = std::vector<std::pair<std::string, std::string>>;
  // Field lines of a section; nullopt when one is malformed.
  static std::optional<Lines> field_lines(const std::vector<std::string>& lines, std::size_t most) {
    Lines fields;
    for (const std::string& line : lines) {
      const std::size_t colon = line.find(':');
      if (colon == std::string::npos) return std::nullopt;
      const std::string name = line.substr(0, colon);
      if (!token(name) || name.size() > 256 || !value_ok(line.substr(colon))) return std::nullopt;
      fields.emplace_back(name, trim(line.substr(colon + 1)));
    }
    if (fields.size() > most) return std::nullopt;
    return fields;
  }
  static std::vector<std::string> crlf_lines(const std::string& text) {
    std::vector<std::string> lines;
    std::size_t begin = 0;
    while (begin < text.size()) {
      const std::size_t end = text.find("\r\n", begin);
      lines.push_back(text.substr(begin, end - begin));
      begin = end + 2;
    }
    return lines;
  }

  // The next request; false at the end.
  bool next() {
    if (in_.compare(at_, 2, "\r\n") == 0) at_ += 2;
    if (at_ == in_.size()) return false;
    const std::size_t end = in_.find("\r\n\r\n", at_);
    if (end == std::string::npos) {
      result_.undecided = true;
      return false;
    }
    std::vector<std::string> lines = crlf_lines(in_.substr(at_, end + 2 - at_));
    at_ = end + 4;
    if (lines.empty() || !value_ok(lines[0])) return refuse();
    const std::string start = lines[0];
    lines.erase(lines.begin());
    const auto fields = field_lines(lines, 100);
    if (!fields) return refuse();
    return request(start, *fields);
  }

  static bool authority_ok(const std::string& a) {
    std::string host = a;
    std::string port;
    const std::size_t bracket = a.empty() || a[0] != '[' ? 0 : a.find(']');
    if (bracket == std::string::npos) return false;
    if (const std::size_t colon = a.find(':', bracket); colon != std::string::npos) {
      host = a.substr(0, colon);
      port = a.substr(colon + 1);
    }
    if (port.find_first_not_of("0123456789") != std::string::npos || port.size() > 5) return false;
    if (!port.empty() && std::stoul(port) > 65535) return false;
    if (host.empty()) return false;
    if (host[0] == '[') {
      const std::string inner = host.substr(1, host.size() - 2);
      std::size_t colons = 0;
      for (const char c : inner) {
        if (c == ':') ++colons;
        if (c != ':' && c != '.' && std::isxdigit(static_cast<unsigned char>(c)) == 0) return false;
      }
      return host.back() == ']' && colons >= 2;
    }
    for (std::size_t i = 0; i < host.size(); ++i) {
      const auto c = static_cast<unsigned char>(host[i]);
      if (c < 128 && (std::isalnum(c) != 0 ||
                      (c != 0 && std::string("-._~!$&'()*+;=").find(host[i]) != std::string::npos)))
        continue;
      if (host[i] != '%' || i + 2 >= host.size()) return false;
      if (std::isxdigit(static_cast<unsigned char>(host[i + 1])) == 0 ||
          std::isxdigit(static_cast<unsigned char>(host[i + 2])) == 0)
        return false;
      if (std::stoul(host.substr(i + 1, 2), nullptr, 16) <= 32) return false;
      i += 2;
    }
    return true;
  }
  static std::pair<std::string, std::string> host_port(const std::string& a,
                                                       const std::string& scheme) {
    const std::size_t bracket = a[0] == '[' ? a.find(']') : 0;
    const std::size_t colon = a.find(':', bracket);
    std::string port = colon == std::string::npos ? "" : a.substr(colon + 1);
    if (port.empty()) port = scheme == "https" ? "443" : "80";
    return {lower(a.substr(0, colon)), std::to_string(std::stoul(port))};
  }
  // `host`: null when there was none, or an empty one.
  static bool target_ok(const std::string& method, const std::string& target,
                        const std::string* host) {
    for (const char c : target) {
      const auto u = static_cast<unsigned char>(c);
      if (u <= 32 || u == 127 || c == '#') return false;
    }
    if (method == "CONNECT") {
      const std::size_t colon = target.rfind(':');
      if (!authority_ok(target) || colon == std::string::npos || colon + 1 == target.size())
        return false;
      if (target[0] == '[' && target.back() == ']') return false;
      return host == nullptr || host_port(*host, "https") == host_port(target, "https") ||
             *host == target.substr(0, colon);
    }
    if (target == "*") return method == "OPTIONS";
    if (target[0] == '/') return true;
    for (const std::string scheme : {"http", "https"}) {
      const std::string prefix = scheme + "://";
      if (lower(target.substr(0, prefix.size())) != prefix) continue;
      const std::string rest = target.substr(prefix.size());
      const std::size_t end = rest.find_first_of("/?");
      const std::string authority = rest.substr(0, end);
      return authority_ok(authority);
    }
    return false;
  }

  bool request(const std::string& start, const Lines& lines) {
    const std::size_t one = start.find(' ');
    const std::size_t two = start.rfind(' ');
    if (one == std::string::npos || one == two) return refuse();
    const std::string method = start.substr(0, one);
    const std::string target = start.substr(one + 1, two - one - 1);
    const std::string version = start.substr(two + 1);
    if (!token(method) || target.empty()) return refuse();
    if (version != "HTTP/1.1" && version != "HTTP/1.0") return refuse();
    const bool old = version == "HTTP/1.0";

    std::map<std::string, std::vector<std::string>> by_name;
    for (const auto& [name, value] : lines) by_name[lower(name)].push_back(value);
    for (const char* single : {"host", "content-length", "transfer-encoding"}) {
      if (by_name[single].size() > 1) return refuse();
    }
    const auto& hosts = by_name["host"];
    const bool has_host = !hosts.empty() && !hosts[0].empty();
    if ((!old && !has_host) || (has_host && !authority_ok(hosts[0]))) return refuse();
    if (!target_ok(method, target, has_host ? &hosts[0] : nullptr)) return refuse();

    const bool has_length = !by_name["content-length"].empty();
    const bool is_chunked = !by_name["transfer-encoding"].empty();
    std::size_t length = 0;
    if (has_length) {
      const std::string& text = by_name["content-length"][0];
      if (text.empty() || text.size() > 18) return refuse();
      if (text.find_first_not_of("0123456789") != std::string::npos) return refuse();
      length = std::stoull(text);
    }
    if (is_chunked && (has_length || old || lower(by_name["transfer-encoding"][0]) != "chunked"))
      return refuse();

    std::set<std::string> named;
    bool upgrade = false;
    bool close = old;
    int nominations = 0;
    for (const std::string& value : by_name["connection"]) {
      for (const std::string& option : split(value)) {
        const std::string o = lower(option);
        if (o == "upgrade") upgrade = true;
        if (o == "keep-alive" && old) close = false;
        if (!known(o)) {
          named.insert(o);
          if (o != "close") ++nominations;
        }
      }
    }
    for (const std::string& value : by_name["connection"]) {
      for (const std::string& option : split(value)) close = close || lower(option) == "close";
    }
    if (nominations > 32) return refuse();
    ReferenceRequest request{method, {}, {}, {}, false, method == "CONNECT"};
    std::string protocol;
    for (const std::string& value : by_name["upgrade"]) {
      for (const std::string& offer : split(value)) {
        const std::string o = lower(offer);
        if (o == "websocket") protocol = o;  // the standard list; all else is ignored
      }
    }
    if (method == "CONNECT" && (has_length || is_chunked)) return refuse();
    if (upgrade && !old && !protocol.empty() && method != "CONNECT") {
      if (length > 0 || is_chunked) return refuse();
      request.tunnel = true;
    }
    for (const std::string& value : by_name["expect"]) {
      for (const std::string& what : split(value)) {
        if (lower(what) != "100-continue") return refuse();
      }
    }
    static const std::set<std::string> hop = {
        "host",    "connection",     "content-length", "transfer-encoding", "te",
        "upgrade", "http2-settings", "keep-alive",     "proxy-connection"};
    bool continues = false;
    for (const std::string& value : by_name["expect"])
      continues = continues || !split(value).empty();
    for (const auto& [name, value] : lines) {
      const std::string n = lower(name);
      if (hop.contains(n) || (named.contains(n) && !known(n))) continue;
      if (n == "expect" && old && continues) continue;
      // A twin of one of those names, with '_' for '-'.
      std::string dashed = n;
      std::replace(dashed.begin(), dashed.end(), '_', '-');
      const bool guarded = hop.contains(dashed) || known(dashed) ||
                           dashed.starts_with("x-forwarded-") ||
                           dashed.starts_with("x-outrigger-") || dashed.starts_with("x-envoy-");
      if (dashed != n && guarded) continue;
      request.fields.emplace_back(name, value);
    }
    if (is_chunked) {
      if (!chunks(request)) {
        result_.partial = request;
        return false;
      }
    } else {
      const std::size_t there = std::min(length, in_.size() - at_);
      request.body = in_.substr(at_, there);
      at_ += there;
      if (there < length) {
        result_.partial = request;
        return false;
      }
    }
    result_.requests.push_back(request);
    return !close && method != "CONNECT";
  }

  // Names that the real parser gives a meaning: Connection can't remove them.
  static bool known(const std::string& name) {
    static const std::set<std::string> names = {"accept",
                                                "connection",
                                                "content-encoding",
                                                "content-length",
                                                "content-type",
                                                "cookie",
                                                "date",
                                                "expect",
                                                "grpc-message",
                                                "grpc-retry-pushback-ms",
                                                "grpc-status",
                                                "grpc-timeout",
                                                "host",
                                                "http2-settings",
                                                "keep-alive",
                                                "proxy-connection",
                                                "retry-after",
                                                "sec-websocket-accept",
                                                "sec-websocket-key",
                                                "server",
                                                "set-cookie",
                                                "te",
                                                "traceparent",
                                                "tracestate",
                                                "trailer",
                                                "transfer-encoding",
                                                "upgrade",
                                                "via",
                                                "x-forwarded-client-cert",
                                                "x-forwarded-for",
                                                "x-forwarded-host",
                                                "x-forwarded-proto",
                                                "x-outrigger-deadline-ms",
                                                "x-outrigger-flag",
                                                "x-request-id"};
    return names.contains(name);
  }

  // chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
  static bool extension_ok(const std::string& text) {
    std::size_t i = 0;
    const auto blanks = [&] {
      while (i < text.size() && (text[i] == ' ' || text[i] == '\t')) ++i;
    };
    const auto take_token = [&] {
      const std::size_t begin = i;
      while (i < text.size() && token(text.substr(i, 1))) ++i;
      return i > begin;
    };
    while (i < text.size()) {
      blanks();
      if (i == text.size() || text[i++] != ';') return false;
      blanks();
      if (!take_token()) return false;
      const std::size_t after_name = i;
      blanks();
      if (i == text.size() || text[i] != '=') {
        i = after_name;
        continue;
      }
      ++i;
      blanks();
      if (i < text.size() && text[i] == '"') {
        for (++i; i < text.size() && text[i] != '"'; ++i) {
          if (text[i] == '\\') ++i;
        }
        if (i >= text.size()) return false;
        ++i;
      } else if (!take_token()) {
        return false;
      }
    }
    return true;
  }

  // False: more is needed, or refused.
  bool chunks(ReferenceRequest& request) {
    for (;;) {
      const std::size_t end = in_.find("\r\n", at_);
      if (end == std::string::npos) {
        // The real parser may have refused the line already.
        result_.undecided = true;
        return false;
      }
      const std::string line = in_.substr(at_, end - at_);
      const std::size_t digits =
          std::min(line.find_first_not_of("0123456789abcdefABCDEF"), line.size());
      const std::string extension = line.substr(digits);
      if (digits == 0 || digits > 15 || !value_ok(extension) || extension.size() > 257)
        return refuse();
      if (!extension.empty() && extension.size() - (extension[0] == ';' ? 1U : 0U) > 256)
        return refuse();
      if (!extension_ok(extension)) return refuse();
      const std::size_t size = std::stoull(line.substr(0, digits), nullptr, 16);
      at_ = end + 2;
      if (size == 0) return trailers(request);
      const std::size_t there = std::min(size, in_.size() - at_);
      request.body += in_.substr(at_, there);
      at_ += there;
      if (there < size) return false;
      const std::string crlf = in_.substr(at_, 2);
      if (crlf != "\r\n") return crlf.empty() || crlf == "\r" ? false : refuse();
      at_ += 2;
    }
  }

  bool trailers(ReferenceRequest& request) {
    std::size_t end = at_;
    if (in_.compare(at_, 2, "\r\n") != 0) {
      const std::size_t empty_line = in_.find("\r\n\r\n", at_);
      if (empty_line == std::string::npos) {
        result_.undecided = true;
        return false;
      }
      end = empty_line + 2;
    }
    const auto fields = field_lines(crlf_lines(in_.substr(at_, end - at_)), 32);
    if (!fields) return refuse();
    at_ = end + 2;
    request.has_trailers = !fields->empty();
    return true;
  }

  const std::string& in_;
  std::size_t at_ = 0;
  ReferenceResult result_;
};

}  // namespace outrigger::http::fakes
