#pragma once

// A reference that becomes null when its target is destroyed: for posts between threads and
// callbacks that may come late. Taken and dereferenced on the target's thread; the WeakRef itself
// may travel and die on any thread.

#include <memory>

namespace outrigger {

template <typename T>
class WeakRef;

// Member of the target. Declare it last, so that it dies first.
template <typename T>
class WeakAnchor {
 public:
  explicit WeakAnchor(T& target) : cell_(std::make_shared<T*>(&target)) {}
  WeakAnchor(const WeakAnchor&) = delete;
  WeakAnchor& operator=(const WeakAnchor&) = delete;
  ~WeakAnchor() { *cell_ = nullptr; }
  WeakRef<T> ref() const { return WeakRef<T>(cell_); }

 private:
  std::shared_ptr<T*> cell_;
};

template <typename T>
class WeakRef {
 public:
  WeakRef() = default;
  // Null once the target is gone. On the target's thread only.
  T* get() const { return cell_ ? *cell_ : nullptr; }

 private:
  friend class WeakAnchor<T>;
  explicit WeakRef(std::shared_ptr<T*> cell) : cell_(std::move(cell)) {}
  std::shared_ptr<T*> cell_;
};

}  // namespace outrigger
