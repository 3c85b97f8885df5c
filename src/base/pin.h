#pragma once

// A worker's hold on something immutable and shared: a pointer with a plain count, so that pinning
// it for each request costs no atomic instruction. The one atomic reference behind it is taken when
// the worker adopts the value and handed to `release` (which posts it to a thread that has time to
// destroy it) when the last pin is gone. One thread.

#include <cstddef>
#include <functional>
#include <memory>
#include <utility>

namespace outrigger {

template <typename T>
class Pin {
 public:
  using Release = std::function<void(std::shared_ptr<const T>)>;

  Pin() = default;
  Pin(std::shared_ptr<const T> value, Release release)
      : box_(new Box{std::move(value), std::move(release), 1}) {}
  Pin(const Pin& other) : box_(other.box_) {
    if (box_ != nullptr) ++box_->pins;
  }
  Pin(Pin&& other) noexcept : box_(std::exchange(other.box_, nullptr)) {}
  Pin& operator=(Pin other) noexcept {
    std::swap(box_, other.box_);
    return *this;
  }
  ~Pin() {
    if (box_ == nullptr || --box_->pins > 0) return;
    if (box_->release) box_->release(std::move(box_->value));
    delete box_;
  }

  const T& operator*() const { return *box_->value; }
  const T* operator->() const { return box_->value.get(); }
  explicit operator bool() const { return box_ != nullptr; }

 private:
  struct Box {
    std::shared_ptr<const T> value;
    Release release;
    std::size_t pins;
  };
  Box* box_ = nullptr;
};

}  // namespace outrigger
