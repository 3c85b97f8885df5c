#include "http/hpack_encoder.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace outrigger::http {
namespace {

// RFC 7541 appendix A: where the static table has a name for the first time. Sorted by length.
struct StaticName {
  std::string_view name;
  std::uint8_t index;
};
constexpr std::array<StaticName, 52> static_names{{
    {"age", 21},
    {"via", 60},
    {"date", 33},
    {"etag", 34},
    {"from", 37},
    {"host", 38},
    {"link", 45},
    {"vary", 59},
    {":path", 4},
    {"allow", 22},
    {"range", 50},
    {"accept", 19},
    {"cookie", 32},
    {"expect", 35},
    {"server", 54},
    {":method", 2},
    {":scheme", 6},
    {":status", 8},
    {"expires", 36},
    {"referer", 51},
    {"refresh", 52},
    {"if-match", 39},
    {"if-range", 42},
    {"location", 46},
    {":authority", 1},
    {"set-cookie", 55},
    {"user-agent", 58},
    {"retry-after", 53},
    {"content-type", 31},
    {"max-forwards", 47},
    {"accept-ranges", 18},
    {"authorization", 23},
    {"cache-control", 24},
    {"content-range", 30},
    {"if-none-match", 41},
    {"last-modified", 44},
    {"accept-charset", 15},
    {"content-length", 28},
    {"accept-encoding", 16},
    {"accept-language", 17},
    {"content-encoding", 26},
    {"content-language", 27},
    {"content-location", 29},
    {"www-authenticate", 61},
    {"if-modified-since", 40},
    {"transfer-encoding", 57},
    {"proxy-authenticate", 48},
    {"content-disposition", 25},
    {"if-unmodified-since", 43},
    {"proxy-authorization", 49},
    {"strict-transport-security", 56},
    {"access-control-allow-origin", 20},
}};
constexpr unsigned static_count = 61;

// The first place in static_names whose name has at least so many bytes.
constexpr auto first_of_length = [] {
  std::array<std::uint8_t, 29> first{};
  std::size_t at = 0;
  for (std::size_t size = 0; size < first.size(); ++size) {
    while (at < static_names.size() && static_names[at].name.size() < size) ++at;
    first[size] = static_cast<std::uint8_t>(at);
  }
  return first;
}();

unsigned static_index(std::string_view name) {
  if (name.size() + 1 >= first_of_length.size()) return 0;
  for (std::size_t i = first_of_length[name.size()]; i < first_of_length[name.size() + 1]; ++i) {
    if (static_names[i].name == name) return static_names[i].index;
  }
  return 0;
}

// The last bytes differ the most; what collides is told apart by comparing.
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

bool HpackEncoder::Entry::has_name(std::string_view name) const {
  return name_size == name.size() && std::memcmp(text(), name.data(), name.size()) == 0;
}

bool HpackEncoder::Entry::is(std::string_view name, std::string_view value) const {
  return value_size == value.size() && has_name(name) &&
         (value.empty() || std::memcmp(text() + name_size, value.data(), value.size()) == 0);
}

HpackEncoder::~HpackEncoder() {
  evict(0);
  memory_.release(ring_);
}

void HpackEncoder::peer_allows(std::uint32_t table_size) {
  allowed_ = std::min(table_size, table_default);
  lowest_ = std::min(lowest_, allowed_);
  resized_ = true;
}

// Section 4.2: a table that shrank in between is said to have shrunk, even when it has grown since.
char* HpackEncoder::begin(char* to) {
  if (!resized_) return to;
  resized_ = false;
  evict(lowest_);
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
    if (expected_ >= oldest() && expected_ < inserted_ && slot(expected_).entry->is(name, value)) {
      return put_integer(to, 0x80, 7, index_of(expected_++));
    }
    name_hash = hash(name);
    whole_hash = hash(value, name_hash);
    if (const std::uint64_t number = find(name, value, whole_hash); number != nowhere) {
      expected_ = number + 1;
      return put_integer(to, 0x80, 7, index_of(number));
    }
  }
  unsigned index = static_index(name);
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
  const bool fits = name.size() + value.size() + entry_overhead <= allowed_ / 4 * 3;
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
  return static_cast<unsigned>(static_count + (inserted_ - number));
}

std::uint64_t HpackEncoder::find(std::string_view name, std::string_view value,
                                 std::uint32_t hash) {
  for (std::uint64_t number = inserted_; number > oldest();) {
    const Slot& s = slot(--number);
    if (s.hash == hash && s.entry->is(name, value)) return number;
  }
  return nowhere;
}

unsigned HpackEncoder::find_name(std::string_view name, std::uint32_t name_hash) {
  for (std::uint64_t number = inserted_; number > oldest();) {
    const Slot& s = slot(--number);
    if (s.name_hash == name_hash && s.entry->has_name(name)) return index_of(number);
  }
  return 0;
}

void HpackEncoder::insert(std::string_view name, std::string_view value, std::uint32_t hash,
                          std::uint32_t name_hash) {
  const std::size_t text = name.size() + value.size();
  evict(allowed_ - static_cast<std::uint32_t>(text + entry_overhead));
  if (count_ == capacity_) grow();
  auto* entry = static_cast<Entry*>(memory_.allocate(sizeof(Entry) + text));
  entry->name_size = static_cast<std::uint32_t>(name.size());
  entry->value_size = static_cast<std::uint32_t>(value.size());
  char* to = reinterpret_cast<char*>(entry + 1);
  std::memcpy(to, name.data(), name.size());
  if (!value.empty()) std::memcpy(to + name.size(), value.data(), value.size());
  used_ += entry->charged();
  ++count_;
  slot(inserted_++) = {hash, name_hash, entry};
}

void HpackEncoder::evict(std::uint32_t down_to) {
  while (used_ > down_to) {
    Entry* entry = slot(oldest()).entry;
    used_ -= entry->charged();
    --count_;
    memory_.release(entry);
  }
}

void HpackEncoder::grow() {
  const std::uint32_t larger = std::max(8U, capacity_ * 2);
  auto* ring = static_cast<Slot*>(memory_.allocate(larger * sizeof(Slot)));
  for (std::uint64_t number = oldest(); number < inserted_; ++number)
    ring[number & (larger - 1)] = slot(number);
  memory_.release(ring_);
  ring_ = ring;
  capacity_ = larger;
}

}  // namespace outrigger::http
