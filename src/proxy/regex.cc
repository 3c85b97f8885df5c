#include "proxy/regex.h"

#include <re2/re2.h>

namespace outrigger::proxy {
namespace {

re2::RE2::Options options() {
  re2::RE2::Options o(re2::RE2::Quiet);  // errors are returned, not logged
  o.set_max_mem(1 << 20);                // program and matching tables of one expression
  o.set_never_capture(true);
  return o;
}

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

Regex::Regex(std::unique_ptr<re2::RE2> compiled) : compiled_(std::move(compiled)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view pattern) {
  if (pattern.size() > pattern_bytes_max) {
    return Error{"the regular expression is longer than " + std::to_string(pattern_bytes_max) +
                 " bytes"};
  }
  auto compiled = std::make_unique<re2::RE2>(piece(pattern), options());
  if (!compiled->ok()) {
    return Error{"the regular expression does not compile: " + compiled->error()};
  }
  return Regex(std::move(compiled));
}

bool Regex::matches(std::string_view text) const {
  return compiled_->Match(piece(text), 0, text.size(), re2::RE2::ANCHOR_BOTH, nullptr, 0);
}

bool Regex::is_in(std::string_view text) const {
  return compiled_->Match(piece(text), 0, text.size(), re2::RE2::UNANCHORED, nullptr, 0);
}

}  // namespace outrigger::proxy
