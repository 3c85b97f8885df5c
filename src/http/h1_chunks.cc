#include "http/h1_chunks.h"

#include <algorithm>

#include "http/bytes.h"

namespace outrigger::http {
namespace {

constexpr std::uint8_t digits_max = 15;  // 60 bits: sums of sizes can't wrap

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

}  // namespace

void ChunkDecoder::restart() {
  left_ = total_ = overhead_ = 0;
  extension_ = 0;
  digits_ = 0;
  state_ = State::size;
}

ChunkDecoder::Step ChunkDecoder::next(std::string_view& in, std::string_view& data) {
  while (!in.empty()) {
    if (state_ == State::data) return take_data(in, data);
    const char c = in.front();
    in.remove_prefix(1);
    ++overhead_;
    bool legal = false;
    switch (state_) {
      case State::size:
        legal = take_size(c);
        break;
      case State::size_lf:
        legal = c == '\n' && overhead_ <= limits_.chunk_overhead + total_ / 10;
        if (legal && left_ == 0) return Step::last;
        state_ = State::data;
        break;
      case State::data_cr:
        legal = c == '\r' && enter(State::data_lf);
        break;
      case State::data_lf:
        legal = c == '\n' && enter(State::size);
        digits_ = 0;
        extension_ = 0;
        break;
      default:
        legal = take_extension(c);
        break;
    }
    if (!legal) return Step::malformed;
  }
  return Step::need_more;
}

ChunkDecoder::Step ChunkDecoder::take_data(std::string_view& in, std::string_view& data) {
  data = in.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size())));
  in.remove_prefix(data.size());
  left_ -= data.size();
  total_ += data.size();
  if (left_ == 0) state_ = State::data_cr;
  return Step::data;
}

bool ChunkDecoder::take_size(char c) {
  unsigned digit;
  if (c >= '0' && c <= '9') {
    digit = static_cast<unsigned>(c - '0');
  } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
    digit = static_cast<unsigned>((c | 0x20) - 'a' + 10);
  } else {
    return digits_ > 0 && take_end(c);
  }
  if (++digits_ > digits_max) return false;
  left_ = left_ * 16 + digit;
  return true;
}

// What may follow a size, a name or a value that is whole.
bool ChunkDecoder::take_end(char c) {
  if (c == '\r') return enter(State::size_lf);
  if (c == ';') return enter(State::name_begin);
  return is_blank(c) && enter(State::gap);
}

bool ChunkDecoder::take_extension(char c) {
  if (c != '\r' && ++extension_ > limits_.chunk_extension_bytes) return false;
  const bool is_token = bytes::has(bytes::token, c);
  switch (state_) {
    case State::gap:
      return is_blank(c) || (c == ';' && enter(State::name_begin));
    case State::name_begin:
      return is_blank(c) || (is_token && enter(State::name));
    case State::name:
      if (is_token) return true;
      if (c == '=') return enter(State::value_begin);
      return is_blank(c) ? enter(State::name_gap) : take_end(c);
    case State::name_gap:
      return is_blank(c) || (c == ';' && enter(State::name_begin)) ||
             (c == '=' && enter(State::value_begin));
    case State::value_begin:
      return is_blank(c) || (c == '"' && enter(State::quoted)) || (is_token && enter(State::value));
    case State::value:
      return is_token || take_end(c);
    case State::quoted:
      if (c == '"') return enter(State::quoted_end);
      return c == '\\' ? enter(State::escaped) : bytes::has(bytes::value, c);
    case State::escaped:
      return bytes::has(bytes::value, c) && enter(State::quoted);
    case State::quoted_end:
      return take_end(c);
    default:
      return false;
  }
}

}  // namespace outrigger::http
