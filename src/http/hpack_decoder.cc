#include "http/hpack_decoder.h"

#include <cstring>
#include <limits>

#include "http/hpack_huffman.h"

namespace outrigger::http {

void HpackDecoder::begin(std::string_view block) {
  rest_ = block;
  fields_begun_ = false;
}

HpackDecoder::Step HpackDecoder::next(HpackField& field) {
  drop_held();
  while (!rest_.empty()) {
    const auto first = static_cast<unsigned char>(rest_.front());
    if ((first & 0xe0) == 0x20) {
      if (!resize()) return Step::malformed;
      continue;
    }
    fields_begun_ = true;
    const bool good = (first & 0x80) != 0 ? indexed(field) : literal(field);
    return good ? Step::field : Step::malformed;
  }
  return Step::end;
}

// Section 6.1.
bool HpackDecoder::indexed(HpackField& field) {
  std::uint32_t index = 0;
  return take_integer(7, index) && look_up(index, field);
}

// Section 6.2: added to the table, or not, or never by anybody, which for a receiver is the same.
bool HpackDecoder::literal(HpackField& field) {
  const bool add = (static_cast<unsigned char>(rest_.front()) & 0x40) != 0;
  std::uint32_t index = 0;
  Text name;
  Text value;
  if (!take_integer(add ? 6 : 4, index)) return false;
  if (index == 0 ? !take_text(name) : !look_up(index, field)) return false;
  if (!take_text(value)) return false;
  if (index != 0) name.bytes = field.name;
  if (!add && !name.coded && !value.coded) {
    field = {name.bytes, value.bytes};
    return true;
  }
  HpackTable::Entry* const entry = table_.make(name.size_max() + value.size_max());
  held_ = entry;
  if (!name.put(entry->text(), entry->name_size) ||
      !value.put(entry->text() + entry->name_size, entry->value_size)) {
    return false;
  }
  field = {entry->name(), entry->value()};
  if (!add) return true;
  // Section 4.4: what is larger than the table empties it.
  if (entry->charged() > size_) {
    table_.evict(0);
  } else {
    table_.insert(entry, size_);
    held_ = nullptr;
  }
  return true;
}

// Section 6.3. Updates come before a block's first field (section 4.2), and we never allow more
// than the default.
bool HpackDecoder::resize() {
  std::uint32_t size = 0;
  if (fields_begun_ || !take_integer(5, size) || size > HpackTable::size_default) return false;
  size_ = size;
  table_.evict(size);
  return true;
}

bool HpackDecoder::look_up(std::uint32_t index, HpackField& field) {
  if (index == 0) return false;
  if (index <= HpackTable::static_count) {
    field = HpackTable::fixed(index);
    return true;
  }
  index -= HpackTable::static_count;
  if (index > table_.count()) return false;
  const HpackTable::Entry& entry = *table_.slot(table_.end() - index).entry;
  field = {entry.name(), entry.value()};
  return true;
}

// Section 5.1, up to 32 bits. REQUIRES: rest_ is not empty.
bool HpackDecoder::take_integer(unsigned bits, std::uint32_t& value) {
  const std::uint32_t most = (1U << bits) - 1;
  value = static_cast<unsigned char>(rest_.front()) & most;
  rest_.remove_prefix(1);
  if (value < most) return true;
  std::uint64_t sum = value;
  for (unsigned shift = 0; shift <= 28 && !rest_.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    sum += std::uint64_t{byte & 0x7fU} << shift;
    if ((byte & 0x80) != 0) continue;
    value = static_cast<std::uint32_t>(sum);
    return sum <= std::numeric_limits<std::uint32_t>::max();
  }
  return false;
}

// Section 5.2.
bool HpackDecoder::take_text(Text& text) {
  if (rest_.empty()) return false;
  text.coded = (static_cast<unsigned char>(rest_.front()) & 0x80) != 0;
  std::uint32_t size = 0;
  if (!take_integer(7, size) || size > rest_.size()) return false;
  text.bytes = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return true;
}

std::size_t HpackDecoder::Text::size_max() const {
  return coded ? huffman_decoded_max(bytes.size()) : bytes.size();
}

bool HpackDecoder::Text::put(char* to, std::uint32_t& size) const {
  if (!coded) {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    size = static_cast<std::uint32_t>(bytes.size());
    return true;
  }
  const std::optional<std::size_t> decoded = huffman_decode(bytes, to);
  size = static_cast<std::uint32_t>(decoded.value_or(0));
  return decoded.has_value();
}

void HpackDecoder::drop_held() {
  if (held_ == nullptr) return;
  table_.release(held_);
  held_ = nullptr;
}

}  // namespace outrigger::http
