#pragma once

// A doubly linked list whose links live in the elements: linking and unlinking never allocate, and
// an element leaves its list by itself when it is destroyed. One thread. The list owns nothing.

#include <cstddef>
#include <iterator>

#include "base/check.h"

namespace outrigger {

template <typename T, typename Tag>
class IntrusiveList;

// Base class of an element. Tag is the element's type, or a type that tells apart several lists
// that one object can be in.
template <typename Tag>
class ListLink {
 public:
  ListLink() = default;
  ListLink(const ListLink&) = delete;
  ListLink& operator=(const ListLink&) = delete;
  ~ListLink() { unlink(); }

  bool linked() const { return next_ != nullptr; }
  void unlink() {
    if (next_ == nullptr) return;
    next_->previous_ = previous_;
    previous_->next_ = next_;
    next_ = previous_ = nullptr;
  }

 private:
  template <typename, typename>
  friend class IntrusiveList;
  ListLink* next_ = nullptr;
  ListLink* previous_ = nullptr;
};

template <typename T, typename Tag = T>
class IntrusiveList {
  using Link = ListLink<Tag>;

 public:
  IntrusiveList() { head_.next_ = head_.previous_ = &head_; }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;
  ~IntrusiveList() {
    clear();
    head_.next_ = head_.previous_ = nullptr;
  }

  bool empty() const { return head_.next_ == &head_; }
  // Linear: for tests and admin pages.
  std::size_t size() const {
    std::size_t n = 0;
    for (Link* l = head_.next_; l != &head_; l = l->next_) ++n;
    return n;
  }

  // REQUIRES: the element is in no list with this Tag.
  void push_back(T& element) { insert_before(head_, element); }
  void push_front(T& element) { insert_before(*head_.next_, element); }

  // REQUIRES: !empty()
  T& front() {
    check(!empty(), "front() of an empty list");
    return static_cast<T&>(*head_.next_);
  }
  T& back() {
    check(!empty(), "back() of an empty list");
    return static_cast<T&>(*head_.previous_);
  }
  T& pop_front() {
    T& element = front();
    static_cast<Link&>(element).unlink();
    return element;
  }
  T& pop_back() {
    T& element = back();
    static_cast<Link&>(element).unlink();
    return element;
  }
  void clear() {
    while (!empty()) head_.next_->unlink();
  }

  // Moves all elements of `other` to the end of this list.
  void take_all(IntrusiveList& other) {
    while (!other.empty()) push_back(other.pop_front());
  }

  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using pointer = T*;
    using reference = T&;

    explicit Iterator(Link* at) : at_(at) {}
    T& operator*() const { return static_cast<T&>(*at_); }
    T* operator->() const { return &**this; }
    Iterator& operator++() {
      at_ = at_->next_;
      return *this;
    }
    Iterator operator++(int) {
      Iterator before = *this;
      at_ = at_->next_;
      return before;
    }
    bool operator==(const Iterator&) const = default;

   private:
    Link* at_;
  };
  // Iteration: the element under the iterator may not be unlinked before the iterator moved on.
  Iterator begin() { return Iterator(head_.next_); }
  Iterator end() { return Iterator(&head_); }

 private:
  void insert_before(Link& where, T& element) {
    Link& link = element;
    check(!link.linked(), "element is in a list already");
    link.next_ = &where;
    link.previous_ = where.previous_;
    where.previous_->next_ = &link;
    where.previous_ = &link;
  }

  Link head_;
};

}  // namespace outrigger
