#pragma once

// A third reader of HTTP/1, for a simulation's clients and endpoints: messages as they come, cut
// anywhere, written from RFC 9112 for clarity alone. It shares no line with the codecs, so that a
// mistake in their framing cannot cancel out. Strict: what is not exactly right is `broken`.

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::test {

using Lines = std::vector<std::pair<std::string, std::string>>;

// The first value of a field, names in lower case; empty when there is none.
inline std::string field_of(const Lines& fields, std::string_view name) {
  const auto at =
      std::find_if(fields.begin(), fields.end(), [name](const auto& f) { return f.first == name; });
  return at == fields.end() ? std::string() : at->second;
}
inline bool has_field(const Lines& fields, std::string_view name) {
  return std::any_of(fields.begin(), fields.end(),
                     [name](const auto& f) { return f.first == name; });
}

class H1Reader {
 public:
  // What the reader's user knows and the message does not tell: what follows this head.
  enum class Follows { nothing, body, tunnel, another_head };
  class Listener {
   public:
    virtual Follows on_message(const std::string& start, const Lines& fields) = 0;
    virtual void on_body(std::string_view bytes) = 0;
    virtual void on_last(const Lines& trailers) = 0;  // the message is whole

   protected:
    ~Listener() = default;
  };

  // `answers`: a body without a length ends with the connection; a request has none then.
  H1Reader(Listener& listener, bool answers) : listener_(listener), answers_(answers) {}

  void feed(std::string_view bytes) {
    raw_ += bytes;
    while (broken.empty() && step()) {
    }
  }
  // The connection's orderly end: a body that ends with it is whole.
  void end() {
    if (state_ == State::until_close || state_ == State::tunnel) finish({});
  }
  bool between() const { return state_ == State::head && raw_.empty(); }
  bool in_message() const { return state_ != State::head; }
  bool tunnel() const { return state_ == State::tunnel; }
  // Of a head that is not whole yet.
  const std::string& pending() const { return raw_; }
  std::string broken;

 private:
  enum class State { head, length, chunk_size, chunk, chunk_end, trailers, until_close, tunnel };

  static std::string lower(std::string s) {
    for (char& c : s) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return s;
  }

  bool step() {
    switch (state_) {
      case State::head:
        return head();
      case State::length:
      case State::chunk:
        return counted();
      case State::chunk_size:
        return chunk_size();
      case State::chunk_end:
        if (raw_.size() < 2) return false;
        if (raw_.compare(0, 2, "\r\n") != 0) return fail("no CRLF behind a chunk");
        raw_.erase(0, 2);
        state_ = State::chunk_size;
        return true;
      case State::trailers:
        return trailers();
      case State::until_close:
      case State::tunnel:
        if (raw_.empty()) return false;
        listener_.on_body(std::exchange(raw_, {}));
        return false;
    }
    return false;
  }

  bool fail(const std::string& why) {
    broken = why;
    return false;
  }

  bool lines_of(std::string_view text, Lines& to) {
    while (!text.empty()) {
      const std::size_t end = text.find("\r\n");
      const std::string_view line = text.substr(0, end);
      text.remove_prefix(end + 2);
      const std::size_t colon = line.find(':');
      if (colon == std::string_view::npos || colon == 0 || line[0] == ' ')
        return fail("a field line without a name: " + std::string(line));
      std::string_view value = line.substr(colon + 1);
      while (value.starts_with(' ')) value.remove_prefix(1);
      to.emplace_back(lower(std::string(line.substr(0, colon))), std::string(value));
    }
    return true;
  }

  bool head() {
    const std::size_t end = raw_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string text = raw_.substr(0, end + 2);
    raw_.erase(0, end + 4);
    const std::size_t first = text.find("\r\n");
    const std::string start = text.substr(0, first);
    Lines fields;
    if (!lines_of(std::string_view(text).substr(first + 2), fields)) return false;
    if (answers_ && !start.starts_with("HTTP/1.1 ")) return fail("no status line: " + start);
    const std::string length = field_of(fields, "content-length");
    const std::string coding = field_of(fields, "transfer-encoding");
    if (!length.empty() && !coding.empty()) return fail("a length and a transfer coding");
    if (std::count_if(fields.begin(), fields.end(),
                      [](const auto& f) { return f.first == "content-length"; }) > 1)
      return fail("two lengths");
    switch (listener_.on_message(start, fields)) {
      case Follows::another_head:
        return true;
      case Follows::tunnel:
        state_ = State::tunnel;
        return true;
      case Follows::nothing:
        finish({});
        return true;
      case Follows::body:
        break;
    }
    if (coding == "chunked") {
      state_ = State::chunk_size;
    } else if (!coding.empty()) {
      return fail("an unknown transfer coding");
    } else if (!length.empty()) {
      left_ = std::strtoull(length.c_str(), nullptr, 10);
      state_ = State::length;
      if (left_ == 0) finish({});
    } else if (answers_) {
      state_ = State::until_close;
    } else {
      finish({});
    }
    return true;
  }

  bool counted() {
    if (raw_.empty()) return false;
    const std::size_t n = std::min<std::size_t>(raw_.size(), left_);
    const std::string part = raw_.substr(0, n);
    raw_.erase(0, n);
    left_ -= n;
    listener_.on_body(part);
    if (left_ > 0) return true;
    if (state_ == State::chunk) {
      state_ = State::chunk_end;
    } else {
      finish({});
    }
    return true;
  }

  bool chunk_size() {
    const std::size_t end = raw_.find("\r\n");
    if (end == std::string::npos) return false;
    const std::string line = raw_.substr(0, end);
    raw_.erase(0, end + 2);
    if (line.empty() || line.size() > 8 || !std::all_of(line.begin(), line.end(), [](char c) {
          return std::isxdigit(static_cast<unsigned char>(c)) != 0;
        }))
      return fail("no chunk size: " + line.substr(0, 40));
    left_ = std::strtoull(line.c_str(), nullptr, 16);
    state_ = left_ == 0 ? State::trailers : State::chunk;
    return true;
  }

  bool trailers() {
    Lines fields;
    if (raw_.starts_with("\r\n")) {
      raw_.erase(0, 2);
      finish(fields);
      return true;
    }
    const std::size_t end = raw_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    const std::string text = raw_.substr(0, end + 2);
    raw_.erase(0, end + 4);
    if (!lines_of(text, fields)) return false;
    finish(fields);
    return true;
  }

  void finish(const Lines& trailers) {
    state_ = State::head;
    listener_.on_last(trailers);
  }

  Listener& listener_;
  const bool answers_;
  State state_ = State::head;
  std::string raw_;
  std::uint64_t left_ = 0;
};

}  // namespace outrigger::test
