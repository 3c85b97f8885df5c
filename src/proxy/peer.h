#pragma once

// Who is at the other end of a downstream connection. A PeerBook holds each peer once, however many
// connections it has: a sidecar's come from few apps and few sidecars, and text that differs only
// by connection number would be a good part of an idle one. One book for each listener of a worker,
// which it must not outlive; the worker's thread.
//
//   PeerHold peer = book.hold(key, [&](Peer& fresh) { … });    // fills in a peer that is not there
//   yet
// The key must tell apart what the peers are to differ in. Dropping the last hold forgets the peer,
// soon.

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "telemetry/metrics.h"

namespace outrigger::proxy {

struct Peer {
  std::string address;         // IP without port, or "unix"
  bool secure = false;         // the connection is TLS
  bool trusted_proxy = false;  // its x-forwarded-* are believed
  std::string identity;        // verified SPIFFE ID, or empty
  std::string client_cert;     // the x-forwarded-client-cert element made from its certificate
  std::string tls_version;
  telemetry::PeerId id = telemetry::PeerTable::nobody;
};

class PeerBook {
  struct Entry {
    Peer peer;
    PeerBook* book = nullptr;
    const std::string* key = nullptr;
    std::size_t holds = 0;
  };

 public:
  // Peers without a connection that are remembered all the same: who connects for each request is
  // not looked up anew each time.
  static constexpr std::size_t idle_max = 64;

  class Hold {
   public:
    Hold() = default;
    Hold(Hold&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    Hold& operator=(Hold&& other) noexcept {
      std::swap(entry_, other.entry_);
      return *this;
    }
    ~Hold() {
      if (entry_ != nullptr) entry_->book->release(*entry_);
    }
    const Peer& operator*() const { return entry_->peer; }
    const Peer* operator->() const { return &entry_->peer; }

   private:
    friend class PeerBook;
    explicit Hold(Entry& entry) : entry_(&entry) {}
    Entry* entry_ = nullptr;
  };

  PeerBook() = default;
  PeerBook(const PeerBook&) = delete;
  PeerBook& operator=(const PeerBook&) = delete;

  template <typename Fill>
  Hold hold(const std::string& key, Fill&& fill) {
    const auto [at, fresh] = entries_.try_emplace(key);
    Entry& entry = at->second;
    if (fresh) {
      entry.book = this;
      entry.key = &at->first;
      fill(entry.peer);
    } else if (entry.holds == 0) {
      --idle_;
    }
    ++entry.holds;
    return Hold(entry);
  }
  std::size_t size() const { return entries_.size(); }

 private:
  void release(Entry& entry) {
    if (--entry.holds > 0) return;
    if (idle_ < idle_max) {
      ++idle_;
    } else {
      entries_.erase(entries_.find(*entry.key));
    }
  }

  std::unordered_map<std::string, Entry> entries_;
  std::size_t idle_ = 0;
};

}  // namespace outrigger::proxy
