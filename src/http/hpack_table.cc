#include "http/hpack_table.h"

#include <algorithm>
#include <array>

namespace outrigger::http {
namespace {

constexpr std::array<HpackField, HpackTable::static_count> static_table{{
    {":authority", ""},
    {":method", "GET"},
    {":method", "POST"},
    {":path", "/"},
    {":path", "/index.html"},
    {":scheme", "http"},
    {":scheme", "https"},
    {":status", "200"},
    {":status", "204"},
    {":status", "206"},
    {":status", "304"},
    {":status", "400"},
    {":status", "404"},
    {":status", "500"},
    {"accept-charset", ""},
    {"accept-encoding", "gzip, deflate"},
    {"accept-language", ""},
    {"accept-ranges", ""},
    {"accept", ""},
    {"access-control-allow-origin", ""},
    {"age", ""},
    {"allow", ""},
    {"authorization", ""},
    {"cache-control", ""},
    {"content-disposition", ""},
    {"content-encoding", ""},
    {"content-language", ""},
    {"content-length", ""},
    {"content-location", ""},
    {"content-range", ""},
    {"content-type", ""},
    {"cookie", ""},
    {"date", ""},
    {"etag", ""},
    {"expect", ""},
    {"expires", ""},
    {"from", ""},
    {"host", ""},
    {"if-match", ""},
    {"if-modified-since", ""},
    {"if-none-match", ""},
    {"if-range", ""},
    {"if-unmodified-since", ""},
    {"last-modified", ""},
    {"link", ""},
    {"location", ""},
    {"max-forwards", ""},
    {"proxy-authenticate", ""},
    {"proxy-authorization", ""},
    {"range", ""},
    {"referer", ""},
    {"refresh", ""},
    {"retry-after", ""},
    {"server", ""},
    {"set-cookie", ""},
    {"strict-transport-security", ""},
    {"transfer-encoding", ""},
    {"user-agent", ""},
    {"vary", ""},
    {"via", ""},
    {"www-authenticate", ""},
}};

// Places of the names, each once, sorted by the name's length.
struct NamesByLength {
  std::array<std::uint8_t, HpackTable::static_count> places{};
  std::array<std::uint8_t, 29> first{};  // of those at least so long
};
constexpr NamesByLength names = [] {
  NamesByLength n;
  std::size_t count = 0;
  for (std::size_t length = 0; length < n.first.size(); ++length) {
    n.first[length] = static_cast<std::uint8_t>(count);
    for (std::size_t i = 0; i < static_table.size(); ++i) {
      const std::string_view name = static_table[i].name;
      if (name.size() != length || (i > 0 && static_table[i - 1].name == name)) continue;
      n.places[count++] = static_cast<std::uint8_t>(i);
    }
  }
  return n;
}();

}  // namespace

const HpackField& HpackTable::fixed(std::uint32_t index) {
  return static_table[index - 1];
}

std::uint32_t HpackTable::fixed_name(std::string_view name) {
  if (name.size() + 1 >= names.first.size()) return 0;
  for (std::size_t i = names.first[name.size()]; i < names.first[name.size() + 1]; ++i) {
    if (static_table[names.places[i]].name == name) return names.places[i] + 1U;
  }
  return 0;
}

HpackTable::~HpackTable() {
  evict(0);
  memory_.release(ring_);
}

HpackTable::Entry* HpackTable::make(std::size_t text_max) {
  return static_cast<Entry*>(memory_.allocate(sizeof(Entry) + text_max));
}

HpackTable::Slot& HpackTable::insert(Entry* entry, std::uint32_t size) {
  evict(size - entry->charged());
  if (count_ == capacity_) grow();
  used_ += entry->charged();
  ++count_;
  Slot& made = slot(end_++);
  made = {entry, 0, 0};
  return made;
}

void HpackTable::evict(std::uint32_t down_to) {
  while (used_ > down_to) {
    Entry* entry = slot(oldest()).entry;
    used_ -= entry->charged();
    --count_;
    memory_.release(entry);
  }
}

void HpackTable::grow() {
  const std::uint32_t larger = std::max(8U, capacity_ * 2);
  auto* ring = static_cast<Slot*>(memory_.allocate(larger * sizeof(Slot)));
  for (std::uint64_t number = oldest(); number < end_; ++number)
    ring[number & (larger - 1)] = slot(number);
  memory_.release(ring_);
  ring_ = ring;
  capacity_ = larger;
}

}  // namespace outrigger::http
