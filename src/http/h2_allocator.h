#pragma once

// Memory of all HTTP/2 sessions of one worker: what nghttp2 allocates, and our stream objects.
// Freed blocks are kept by size class and handed out again, most recently used first, so that a
// request allocates nothing once the classes are filled; what exceeds `kept_max` goes back to the
// heap, so that a burst of connections leaves nothing behind. Owned by the worker, outlives every
// codec that uses it; one thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_set>

namespace outrigger::http {

class H2Memory {
 public:
  // What sessions share when nghttp2 is of a version whose allocations are known; or nothing.
  enum class Sharing : std::uint8_t { where_known, never };
  // `kept_max`: bytes of free blocks kept for reuse.
  explicit H2Memory(std::size_t kept_max = 2U << 20, Sharing sharing = Sharing::where_known)
      : kept_max_(kept_max), sharing_(sharing) {}
  H2Memory(const H2Memory&) = delete;
  H2Memory& operator=(const H2Memory&) = delete;
  ~H2Memory();

  // At least `size` bytes, aligned to 16. Never null.
  void* allocate(std::size_t size);
  void release(void* pointer);
  void* reallocate(void* pointer, std::size_t size);
  // Gives the free blocks back to the heap.
  void trim();

  // While one lives, nghttp2 is creating a session, and it is one of those whose allocations are
  // known (see library_shares()): the 16 KiB frame buffer that it asks for then is one buffer, the
  // same for all sessions. A session uses it only inside nghttp2_session_mem_ send(), whose output
  // is copied out before another session's turn comes; see H2Session::pump(). The places of its two
  // header tables, 1 KiB each, are one page for all that can neither be read nor written: nghttp2
  // sees no field, so it has no entry to put there.
  class CreatingSession {
   public:
    // `stream_table` becomes the session's table of streams, for rest(); null when it has none of
    // the known size.
    CreatingSession(H2Memory& memory, void*& stream_table) : memory_(memory) {
      stream_table = nullptr;
      memory_.table_of_new_ = &stream_table;
    }
    CreatingSession(const CreatingSession&) = delete;
    CreatingSession& operator=(const CreatingSession&) = delete;
    ~CreatingSession() { memory_.table_of_new_ = nullptr; }

   private:
    H2Memory& memory_;
  };

  // A session without streams is at rest: the page of its table of streams, 256 places that are all
  // empty then, goes back to the system until it is written again. Null is allowed.
  void rest(void* stream_table);

  bool may_share() const { return sharing_ == Sharing::where_known; }
  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t bytes_kept() const { return kept_; }
  // How often the heap was asked: stands still in the steady state.
  std::uint64_t heap_allocations() const { return heap_allocations_; }

 private:
  static constexpr std::size_t class_count = 17;
  // What precedes each block; keeps the alignment.
  struct alignas(16) Header {
    std::size_t size;  // of the block behind it
    Header* next;      // in the free list
  };

  static std::size_t class_of(std::size_t size);
  static std::size_t size_of(std::size_t size_class);
  Header* take(std::size_t size);
  void* take_table();
  void* untouchable();
  bool is_table(void* pointer) const;

  std::array<Header*, class_count> free_{};
  void* frame_buffer_ = nullptr;      // kept once it exists
  void* untouchable_ = nullptr;       // the same
  void** table_of_new_ = nullptr;     // while a session is being created
  std::unordered_set<void*> tables_;  // of all sessions: each a page of its own, without a header
  std::size_t kept_max_;
  const Sharing sharing_;
  std::size_t kept_ = 0;
  std::size_t in_use_ = 0;
  std::uint64_t heap_allocations_ = 0;
};

}  // namespace outrigger::http
