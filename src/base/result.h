#pragma once

// Result<T>: a value or an Error, for the control plane (configuration, certificates, start-up).
// The data plane uses closed enums, since they are counted and logged.

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"

namespace outrigger {

// A failure told to a person: what went wrong and what to do about it.
struct Error {
  std::string message;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Error error)
      : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  // REQUIRES: ok()
  T& value() & {
    check(ok(), "Result::value() of an error");
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    check(ok(), "Result::value() of an error");
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    check(ok(), "Result::value() of an error");
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

  // REQUIRES: !ok()
  const Error& error() const {
    check(!ok(), "Result::error() of a value");
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

// Success without a value, or an Error.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool ok() const { return !error_; }
  explicit operator bool() const { return ok(); }
  const Error& error() const {
    check(!ok(), "Result::error() of a value");
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace outrigger
