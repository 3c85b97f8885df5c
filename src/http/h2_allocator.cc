#include "http/h2_allocator.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/check.h"

namespace outrigger::http {
namespace {

// Two classes for each power of two: 32, 48, 64, 96 … 6144, 8192. Larger blocks come from the heap.
constexpr std::size_t smallest = 32;
constexpr std::size_t largest = 8192;
// While a session is being created, only nghttp2's frame buffer is this large.
constexpr std::size_t frame_buffer_min = 16 * 1024;
// Initial size of a session's stream table; also the page size.
constexpr std::size_t table_size = 4096;
// A header table's array of entries: 128 pointers.
constexpr std::size_t header_table_size = 1024;

}  // namespace

std::size_t H2Memory::class_of(std::size_t size) {
  if (size <= smallest) return 0;
  const auto power = static_cast<std::size_t>(std::bit_width(size - 1));  // size <= 1 << power
  const std::size_t above = 2 * (power - 5);
  const std::size_t middle = (std::size_t{3} << power) / 4;
  return size <= middle ? above - 1 : above;
}

std::size_t H2Memory::size_of(std::size_t size_class) {
  const std::size_t power = smallest << (size_class / 2);
  return size_class % 2 == 0 ? power : power + power / 2;
}

H2Memory::~H2Memory() {
  check(in_use_ == 0, "H2Memory outlives the sessions that use it");
  ::operator delete(frame_buffer_);
  if (untouchable_ != nullptr) munmap(untouchable_, header_table_size);
  trim();
}

void H2Memory::trim() {
  for (Header*& list : free_) {
    while (list != nullptr) {
      Header* next = list->next;
      ::operator delete(list);
      list = next;
    }
  }
  kept_ = 0;
}

void* H2Memory::take_table() {
  void* table =
      mmap(nullptr, table_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (table == MAP_FAILED) return nullptr;
  ++heap_allocations_;
  in_use_ += table_size;
  tables_.insert(table);
  return table;
}

void* H2Memory::untouchable() {
  if (untouchable_ == nullptr) {
    void* page = mmap(nullptr, header_table_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) untouchable_ = page;
  }
  return untouchable_;
}

bool H2Memory::is_table(void* pointer) const {
  return reinterpret_cast<std::uintptr_t>(pointer) % table_size == 0 && tables_.contains(pointer);
}

void H2Memory::rest(void* stream_table) {
  if (stream_table == nullptr || !is_table(stream_table)) return;
  // Nothing is assumed: a page that is not all zero stays.
  const auto* words = static_cast<const std::uint64_t*>(stream_table);
  if (std::any_of(words, words + table_size / sizeof *words,
                  [](std::uint64_t w) { return w != 0; }))
    return;
  madvise(stream_table, table_size, MADV_DONTNEED);
}

H2Memory::Header* H2Memory::take(std::size_t size) {
  if (size <= largest) {
    const std::size_t size_class = class_of(size);
    size = size_of(size_class);
    if (Header* header = free_[size_class]; header != nullptr) {
      free_[size_class] = header->next;
      kept_ -= size;
      return header;
    }
  }
  ++heap_allocations_;
  auto* header = static_cast<Header*>(::operator new(sizeof(Header) + size));
  header->size = size;
  return header;
}

void* H2Memory::allocate(std::size_t size) {
  if (table_of_new_ != nullptr) [[unlikely]] {
    if (size >= frame_buffer_min) {
      // All sessions ask for the same size.
      if (frame_buffer_ == nullptr) frame_buffer_ = ::operator new(size);
      return frame_buffer_;
    }
    if (size == table_size && *table_of_new_ == nullptr) {
      if (void* table = take_table()) return *table_of_new_ = table;
    }
    if (size == header_table_size) {
      if (void* page = untouchable()) return page;
    }
  }
  Header* header = take(size);
  in_use_ += header->size;
  return header + 1;
}

void H2Memory::release(void* pointer) {
  if (pointer == nullptr || pointer == frame_buffer_ || pointer == untouchable_) return;
  if (is_table(pointer)) {
    tables_.erase(pointer);
    in_use_ -= table_size;
    munmap(pointer, table_size);
    return;
  }
  Header* header = static_cast<Header*>(pointer) - 1;
  in_use_ -= header->size;
  if (header->size > largest || kept_ + header->size > kept_max_) {
    ::operator delete(header);
    return;
  }
  Header*& list = free_[class_of(header->size)];
  header->next = list;
  list = header;
  kept_ += header->size;
}

void* H2Memory::reallocate(void* pointer, std::size_t size) {
  if (pointer == nullptr) return allocate(size);
  check(pointer != frame_buffer_ && pointer != untouchable_, "what sessions share grew");
  const std::size_t old =
      is_table(pointer) ? table_size : (static_cast<Header*>(pointer) - 1)->size;
  if (size <= old) return pointer;
  void* grown = allocate(size);
  std::memcpy(grown, pointer, old);
  release(pointer);
  return grown;
}

}  // namespace outrigger::http
