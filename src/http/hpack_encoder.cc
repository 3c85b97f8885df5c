#include "http/hpack_encoder.h"

#include <algorithm>
#include <cstring>

namespace outrigger::http {
namespace {

bool is(const HpackTable::Entry& entry, std::string_view name, std::string_view value) {
  return entry.value() == value && entry.name() == name;
}

// The last bytes differ the most; collisions are resolved by comparing.
std::uint64_t last_bytes(std::string_view text) {
  std::uint64_t word = 0;
  if (text.size() >= 8) {
    std::memcpy(&word, text.data() + text.size() - 8, 8);
  } else if (text.size() >= 4) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, text.data(), 4);
    std::memcpy(&last, text.data() + text.size() - 4, 4);
    word = std::uint64_t{first} << 32 | last;
  } else {
    for (const char c : text) word = word << 8 | static_cast<unsigned char>(c);
  }
  return word;
}

std::uint32_t hash(std::string_view text, std::uint64_t with = 0) {
  const std::uint64_t mixed =
      (last_bytes(text) ^ (text.size() << 56) ^ with) * 0x9e3779b97f4a7c15ULL;
  return static_cast<std::uint32_t>(mixed >> 32);
}

// Section 5.1: `bits` of the first byte belong to the number, the others are the pattern.
char* put_integer(char* to, unsigned pattern, unsigned bits, std::size_t value) {
  const std::size_t most = (1U << bits) - 1;
  if (value < most) {
    *to++ = static_cast<char>(pattern | value);
    return to;
  }
  *to++ = static_cast<char>(pattern | most);
  for (value -= most; value >= 128; value >>= 7) *to++ = static_cast<char>(0x80 | (value & 0x7f));
  *to++ = static_cast<char>(value);
  return to;
}

char* put_text(char* to, std::string_view text) {
  to = put_integer(to, 0, 7, text.size());
  if (!text.empty()) std::memcpy(to, text.data(), text.size());
  return to + text.size();
}

}  // namespace

void HpackEncoder::peer_allows(std::uint32_t table_size) {
  allowed_ = std::min(table_size, HpackTable::size_default);
  lowest_ = std::min(lowest_, allowed_);
  resized_ = true;
}

// Section 4.2: a table that shrank in between is said to have shrunk, even when it has grown since.
char* HpackEncoder::begin(char* to) {
  if (!resized_) return to;
  resized_ = false;
  table_.evict(lowest_);
  if (lowest_ < allowed_) to = put_integer(to, 0x20, 5, lowest_);
  lowest_ = allowed_;
  return put_integer(to, 0x20, 5, allowed_);
}

char* HpackEncoder::indexed(char* to, unsigned static_index) {
  *to++ = static_cast<char>(0x80 | static_index);
  return to;
}

char* HpackEncoder::field(char* to, std::string_view name, std::string_view value,
                          Indexing indexing) {
  std::uint32_t name_hash = 0;
  std::uint32_t whole_hash = 0;
  if (indexing == Indexing::add) {
    if (expected_ >= table_.oldest() && expected_ < table_.end() &&
        is(*table_.slot(expected_).entry, name, value)) {
      return put_integer(to, 0x80, 7, index_of(expected_++));
    }
    name_hash = hash(name);
    whole_hash = hash(value, name_hash);
    if (const std::uint64_t number = find(name, value, whole_hash); number != nowhere) {
      expected_ = number + 1;
      return put_integer(to, 0x80, 7, index_of(number));
    }
  }
  unsigned index = HpackTable::fixed_name(name);
  if (index == 0) {
    if (indexing != Indexing::add) name_hash = hash(name);
    index = find_name(name, name_hash);
    // A name that comes again and again is worth an entry, whatever its values.
    if (index == 0 && indexing == Indexing::none) {
      indexing = Indexing::add;
      whole_hash = hash(value, name_hash);
    }
  }
  // One entry must not push all others out.
  const bool fits = name.size() + value.size() + HpackTable::entry_overhead <= allowed_ / 4 * 3;
  if (indexing == Indexing::add && !fits) indexing = Indexing::none;
  switch (indexing) {
    case Indexing::add:
      to = put_integer(to, 0x40, 6, index);
      break;
    case Indexing::none:
      to = put_integer(to, 0x00, 4, index);
      break;
    case Indexing::never:
      to = put_integer(to, 0x10, 4, index);
      break;
  }
  if (index == 0) to = put_text(to, name);
  to = put_text(to, value);
  if (indexing == Indexing::add) insert(name, value, whole_hash, name_hash);
  return to;
}

unsigned HpackEncoder::index_of(std::uint64_t number) const {
  return static_cast<unsigned>(HpackTable::static_count + (table_.end() - number));
}

std::uint64_t HpackEncoder::find(std::string_view name, std::string_view value,
                                 std::uint32_t hash) {
  for (std::uint64_t number = table_.end(); number > table_.oldest();) {
    const HpackTable::Slot& s = table_.slot(--number);
    if (s.hash == hash && is(*s.entry, name, value)) return number;
  }
  return nowhere;
}

unsigned HpackEncoder::find_name(std::string_view name, std::uint32_t name_hash) {
  for (std::uint64_t number = table_.end(); number > table_.oldest();) {
    const HpackTable::Slot& s = table_.slot(--number);
    if (s.name_hash == name_hash && s.entry->name() == name) return index_of(number);
  }
  return 0;
}

void HpackEncoder::insert(std::string_view name, std::string_view value, std::uint32_t hash,
                          std::uint32_t name_hash) {
  HpackTable::Entry* entry = table_.make(name.size() + value.size());
  entry->name_size = static_cast<std::uint32_t>(name.size());
  entry->value_size = static_cast<std::uint32_t>(value.size());
  std::memcpy(entry->text(), name.data(), name.size());
  if (!value.empty()) std::memcpy(entry->text() + name.size(), value.data(), value.size());
  HpackTable::Slot& slot = table_.insert(entry, allowed_);
  slot.hash = hash;
  slot.name_hash = name_hash;
}

}  // namespace outrigger::http
