#pragma once

// HPACK's tables (RFC 7541 section 2.3): the static one of appendix A, and the dynamic one of one
// direction of one connection. Owned by an encoder or a decoder; one thread.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "http/h2_allocator.h"

namespace outrigger::http {

struct HpackField {
  std::string_view name;
  std::string_view value;
};

class HpackTable {
 public:
  // RFC 7541 section 4.1, and the size that peers have until their SETTINGS say otherwise.
  static constexpr std::uint32_t entry_overhead = 32;
  static constexpr std::uint32_t size_default = 4096;
  static constexpr std::uint32_t static_count = 61;

  struct Entry {
    std::uint32_t name_size;
    std::uint32_t value_size;
    // name and value follow
    char* text() { return reinterpret_cast<char*>(this + 1); }
    const char* text() const { return reinterpret_cast<const char*>(this + 1); }
    std::string_view name() const { return {text(), name_size}; }
    std::string_view value() const { return {text() + name_size, value_size}; }
    std::uint32_t charged() const { return name_size + value_size + entry_overhead; }
  };
  struct Slot {
    Entry* entry;
    std::uint32_t hash;       // the encoder's
    std::uint32_t name_hash;  // the encoder's
  };

  explicit HpackTable(H2Memory& memory) : memory_(memory) {}
  HpackTable(const HpackTable&) = delete;
  HpackTable& operator=(const HpackTable&) = delete;
  ~HpackTable();

  // The static table's field; 1 to static_count.
  static const HpackField& fixed(std::uint32_t index);
  // The first place in the static table with this name; 0: none.
  static std::uint32_t fixed_name(std::string_view name);

  // Entries are counted from the connection's first one on: oldest() to end() - 1 are held.
  std::uint64_t oldest() const { return end_ - count_; }
  std::uint64_t end() const { return end_; }
  Slot& slot(std::uint64_t number) { return ring_[number & (capacity_ - 1)]; }
  std::uint32_t count() const { return count_; }
  // Bytes, as section 4.1 counts.
  std::uint32_t used() const { return used_; }

  // An entry of its own, to be filled and then inserted or released.
  Entry* make(std::size_t text_max);
  void release(Entry* entry) { memory_.release(entry); }
  // Takes the entry over, after making room for it within `size`. REQUIRES: it fits.
  Slot& insert(Entry* entry, std::uint32_t size);
  void evict(std::uint32_t down_to);

 private:
  void grow();

  H2Memory& memory_;
  Slot* ring_ = nullptr;  // a power of two of them, or none
  std::uint32_t capacity_ = 0;
  std::uint32_t count_ = 0;
  std::uint32_t used_ = 0;
  std::uint64_t end_ = 0;
};

}  // namespace outrigger::http
