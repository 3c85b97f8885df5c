#pragma once

// The bearer token of the admin port, which may be replaced while it is asked for. Any thread.

#include <memory>
#include <mutex>
#include <string>
#include <utility>

namespace outrigger::admin {

class Token {
 public:
  explicit Token(std::string text) : text_(std::move(text)) {}

  std::string get() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }
  void set(std::string text) {
    const std::lock_guard lock(mutex_);
    text_ = std::move(text);
  }

 private:
  mutable std::mutex mutex_;  // guards text_
  std::string text_;
};

}  // namespace outrigger::admin
