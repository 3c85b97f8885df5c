#pragma once

// The node's identity over time: holds the current TlsContext and replaces it when the files
// change. A broken or half-written file never takes a working identity away.
//
// reload() and changed_on_disk() belong to one thread (the main one); current(), generation() and
// status() are for any. Workers ask through a CertStoreReader of their own, which costs one atomic
// load while nothing changes.
//
//   CertStore store(files);
//   store.reload(now)                     at start: must succeed
//   if (store.changed_on_disk()) store.reload(now);     now and then
//   reader.get().server(options)          for each new connection

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "tls/context.h"

namespace outrigger::tls {

class CertStore {
 public:
  // What the last reload came to.
  struct Status {
    bool ok = false;
    std::string error;  // of the last attempt; empty when it succeeded
    WallTime attempted{};
    WallTime succeeded{};
  };

  explicit CertStore(IdentityFiles files);
  // An identity without files, which never changes.
  explicit CertStore(std::shared_ptr<const TlsContext> context);
  CertStore(const CertStore&) = delete;
  CertStore& operator=(const CertStore&) = delete;

  // Reads the files and swaps the identity, or keeps the old one and says why. New connections use
  // the new one; open ones go on with theirs.
  Result<void> reload(WallTime now);
  // Whether a file is another one than at the last reload, successful or not.
  bool changed_on_disk() const;

  // Null before the first successful reload.
  std::shared_ptr<const TlsContext> current() const;
  // Grows with each swap; 0 before the first.
  std::uint64_t generation() const { return generation_.load(std::memory_order_acquire); }
  Status status() const;
  // For the admin page; no key material.
  std::vector<CertificateInfo> certificates() const;

 private:
  // Enough of a file's metadata to notice another one under its name, symbolic links followed.
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = -1;  // no such file
    std::int64_t modified = 0;
    std::int64_t changed = 0;
    bool operator==(const Stamp&) const = default;
  };
  using Stamps = std::array<Stamp, 4>;
  Stamps take_stamps() const;

  const IdentityFiles files_;
  Stamps stamps_{};  // at the last reload; the reloading thread's
  mutable std::mutex mutex_;
  std::shared_ptr<const TlsContext> current_;
  Status status_;
  std::atomic<std::uint64_t> generation_{0};
};

// One worker's view of the store: keeps its own reference, renewed when the generation changed. One
// thread; the store outlives it.
class CertStoreReader {
 public:
  explicit CertStoreReader(const CertStore& store) : store_(store) {}

  // REQUIRES: the store has an identity. Good until the next call only, which may drop a replaced
  // generation; the transports made from it keep it alive themselves.
  const TlsContext& get();

 private:
  const CertStore& store_;
  std::shared_ptr<const TlsContext> cached_;
  std::uint64_t generation_ = 0;
};

}  // namespace outrigger::tls
