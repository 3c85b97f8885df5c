#pragma once

// Memory of all HTTP/2 sessions of one worker: what nghttp2 allocates, and our stream objects.
// Freed blocks are kept by size class and reused, most recently used first, so that a request
// allocates nothing once the classes are filled; what exceeds `kept_max` is returned to the heap,
// so that a burst of connections leaves nothing behind. Owned by the worker, outlives every codec
// that uses it; one thread.
// codec that uses it; one thread.

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_set>

namespace outrigger::http {

class H2Memory {
 public:
  // Whether sessions share memory: only with an nghttp2 version whose allocations are known, or
  // never.
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

  // While one exists, nghttp2 is creating a session, in a version whose allocations are known (see
  // library_shares()). The 16 KiB frame buffer that it then asks for is one buffer shared by all
  // sessions. A session uses it only inside nghttp2_session_mem_send(), whose output is copied out
  // before another session's turn comes; see H2Session::pump(). The entry arrays of its two header
  // tables, 1 KiB each, are one shared page that can neither be read nor written: nghttp2 sees no
  // fields, so it has no entry to store there.
  class CreatingSession {
   public:
    // `stream_table` becomes the session's stream table, for rest(); null when none has the known
    // size.
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

  // A session without streams is idle: the page of its stream table, 256 slots that are all empty
  // then, is returned to the system until it is written again. Null is allowed.
  void rest(void* stream_table);

  bool may_share() const { return sharing_ == Sharing::where_known; }
  std::size_t bytes_in_use() const { return in_use_; }
  std::size_t bytes_kept() const { return kept_; }
  // How often the heap was asked: constant in the steady state.
  std::uint64_t heap_allocations() const { return heap_allocations_; }

 private:
  static constexpr std::size_t class_count = 17;
  // Precedes each block; keeps the alignment.
  struct alignas(16) Header {
    std::size_t size;  // of the block after it
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
  void* untouchable_ = nullptr;       // kept as well
  void** table_of_new_ = nullptr;     // while a session is being created
  std::unordered_set<void*> tables_;  // of all sessions: each a page of its own, without a header
  std::size_t kept_max_;
  const Sharing sharing_;
  std::size_t kept_ = 0;
  std::size_t in_use_ = 0;
  std::uint64_t heap_allocations_ = 0;
};

}  // namespace outrigger::http
