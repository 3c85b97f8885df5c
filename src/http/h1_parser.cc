#include "http/h1_parser.h"

#include <algorithm>
#include <cstring>

#include "http/bytes.h"

namespace outrigger::http {
namespace {

constexpr std::size_t version_size = 8;  // "HTTP/1.1"

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

}  // namespace

// The input as pointers; `end` is clamped to the head's limit, so that what lies beyond it has no
// say in the verdict.
struct H1Parser::Cursor {
  const char* begin;
  const char* at;
  const char* end;

  std::uint32_t offset(const char* p) const { return static_cast<std::uint32_t>(p - begin); }
  // At a byte that ends a line's content: is it CRLF? Moves behind it when it is.
  H1Verdict line_end() {
    if (at == end) return H1Verdict::need_more;
    if (*at != '\r') return H1Verdict::malformed;
    if (at + 1 == end) return H1Verdict::need_more;
    if (at[1] != '\n') return H1Verdict::malformed;
    at += 2;
    return H1Verdict::complete;
  }
};

H1Parser::H1Parser(Kind kind, const CodecLimits& limits, Arena& arena)
    : limits_(limits), arena_(arena) {
  restart(kind);
}

void H1Parser::restart(Kind kind) {
  lines_ = nullptr;
  count_ = capacity_ = at_ = begin_ = 0;
  kind_ = kind;
  state_ = kind == Kind::trailers ? State::name : State::start_line;
  begun_ = false;
}

H1Verdict H1Parser::feed(std::string_view input) {
  const std::size_t most = kind_ == Kind::trailers ? limits_.trailer_bytes : limits_.head_bytes;
  Cursor cursor{input.data(), input.data() + at_, input.data() + std::min(input.size(), most)};
  begun_ = begun_ || !input.empty();
  H1Verdict verdict = H1Verdict::complete;
  if (state_ == State::start_line) verdict = start_line(cursor);
  if (verdict == H1Verdict::complete) verdict = field_lines(cursor);
  at_ = cursor.offset(cursor.at);
  if (verdict == H1Verdict::need_more && input.size() >= most) return H1Verdict::too_large;
  return verdict;
}

H1Verdict H1Parser::start_line(Cursor& cursor) {
  cursor.at = bytes::scan<bytes::value>(cursor.at, cursor.end);
  const std::string_view line(cursor.begin, static_cast<std::size_t>(cursor.at - cursor.begin));
  if (line.size() > limits_.line_bytes) return H1Verdict::too_large;
  if (const H1Verdict end = cursor.line_end(); end != H1Verdict::complete) return end;
  const H1Verdict verdict = kind_ == Kind::request ? request_line(line) : status_line(line);
  state_ = State::name;
  begin_ = cursor.offset(cursor.at);
  return verdict;
}

// method SP target SP version
H1Verdict H1Parser::request_line(std::string_view line) {
  const char* const end = line.data() + line.size();
  const char* const method_end = bytes::scan<bytes::token>(line.data(), end);
  method_ = {0, static_cast<std::uint32_t>(method_end - line.data())};
  if (method_.size == 0 || method_end == end || *method_end != ' ') return H1Verdict::malformed;
  const char* const target = method_end + 1;
  const char* const target_end = bytes::scan<bytes::target>(target, end);
  target_ = {method_.size + 1, static_cast<std::uint32_t>(target_end - target)};
  if (target_.size == 0 || target_end == end || *target_end != ' ') return H1Verdict::malformed;
  return parse_version(line.substr(target_.at + target_.size + 1));
}

// version SP 3DIGIT [SP reason]; the reason says nothing, some servers leave it and its blank out.
H1Verdict H1Parser::status_line(std::string_view line) {
  if (line.size() < version_size + 4 || line[version_size] != ' ') return H1Verdict::malformed;
  const H1Verdict verdict = parse_version(line.substr(0, version_size));
  if (verdict != H1Verdict::complete) return H1Verdict::malformed;
  const std::string_view code = line.substr(version_size + 1, 3);
  if (!is_digit(code[0]) || !is_digit(code[1]) || !is_digit(code[2]) || code[0] == '0') {
    return H1Verdict::malformed;
  }
  if (line.size() > version_size + 4 && line[version_size + 4] != ' ') return H1Verdict::malformed;
  status_ = static_cast<std::int16_t>((code[0] - '0') * 100 + (code[1] - '0') * 10 + code[2] - '0');
  return H1Verdict::complete;
}

H1Verdict H1Parser::parse_version(std::string_view text) {
  version_ = text == "HTTP/1.0" ? Version::http10 : Version::http11;
  if (text == "HTTP/1.1" || text == "HTTP/1.0") return H1Verdict::complete;
  const bool other_http = text.size() == version_size && text.starts_with("HTTP/") &&
                          is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
  return other_http ? H1Verdict::unsupported : H1Verdict::malformed;
}

H1Verdict H1Parser::field_lines(Cursor& cursor) {
  for (;;) {
    if (state_ == State::name) {
      const H1Verdict verdict = field_name(cursor);
      // Complete in the name's place is the empty line.
      if (verdict != H1Verdict::complete || state_ == State::name) return verdict;
    }
    if (state_ == State::blanks) {
      while (cursor.at != cursor.end && (*cursor.at == ' ' || *cursor.at == '\t')) ++cursor.at;
      if (cursor.at == cursor.end) return H1Verdict::need_more;
      begin_ = cursor.offset(cursor.at);
      state_ = State::value;
    }
    const H1Verdict verdict = field_value(cursor);
    if (verdict != H1Verdict::complete) return verdict;
  }
}

H1Verdict H1Parser::field_name(Cursor& cursor) {
  cursor.at = bytes::scan<bytes::token>(cursor.at, cursor.end);
  const std::uint32_t size = cursor.offset(cursor.at) - begin_;
  if (size > limits_.name_bytes) return H1Verdict::too_large;
  if (cursor.at == cursor.end) return H1Verdict::need_more;
  if (size == 0) return cursor.line_end();
  if (*cursor.at != ':') return H1Verdict::malformed;
  line_.name = {begin_, size};
  line_.known = recognise({cursor.begin + begin_, size});
  ++cursor.at;
  state_ = State::blanks;
  return H1Verdict::complete;
}

H1Verdict H1Parser::field_value(Cursor& cursor) {
  cursor.at = bytes::scan<bytes::value>(cursor.at, cursor.end);
  std::uint32_t end = cursor.offset(cursor.at);
  if (line_.name.size + (end - begin_) > limits_.field_bytes) return H1Verdict::too_large;
  if (const H1Verdict verdict = cursor.line_end(); verdict != H1Verdict::complete) return verdict;
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (end > begin_ && is_blank(cursor.begin[end - 1])) --end;
  line_.value = {begin_, end - begin_};
  const std::size_t most = kind_ == Kind::trailers ? limits_.trailer_fields : limits_.head_fields;
  if (count_ >= most) return H1Verdict::too_large;
  if (count_ == capacity_) grow();
  lines_[count_++] = line_;
  begin_ = cursor.offset(cursor.at);
  state_ = State::name;
  return H1Verdict::complete;
}

void H1Parser::grow() {
  const std::uint32_t capacity = capacity_ == 0 ? 24 : 2 * capacity_;
  Line* grown = arena_.allocate_array<Line>(capacity);
  std::copy_n(lines_, count_, grown);
  lines_ = grown;
  capacity_ = capacity;
}

}  // namespace outrigger::http
