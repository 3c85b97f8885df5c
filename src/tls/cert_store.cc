#include "tls/cert_store.h"

#include <sys/stat.h>

#include <utility>

#include "base/check.h"

namespace outrigger::tls {

CertStore::CertStore(IdentityFiles files) : files_(std::move(files)) {}

CertStore::CertStore(std::shared_ptr<const TlsContext> context)
    : current_(std::move(context)), status_{.ok = true, .error = {}}, generation_(1) {
  check(current_ != nullptr, "a certificate store without an identity");
}

CertStore::Stamps CertStore::take_stamps() const {
  Stamps stamps{};
  const std::array<const std::string*, 4> paths{&files_.cert, &files_.key, &files_.ca, &files_.crl};
  for (std::size_t i = 0; i < paths.size(); ++i) {
    struct stat s {};
    if (paths[i]->empty() || stat(paths[i]->c_str(), &s) != 0) continue;
    constexpr std::int64_t nanos = 1'000'000'000;
    stamps[i] = {.device = s.st_dev,
                 .inode = s.st_ino,
                 .size = s.st_size,
                 .modified = s.st_mtim.tv_sec * nanos + s.st_mtim.tv_nsec,
                 .changed = s.st_ctim.tv_sec * nanos + s.st_ctim.tv_nsec};
  }
  return stamps;
}

Result<void> CertStore::reload(WallTime now) {
  if (files_.cert.empty()) return {};
  // Stamps first: a file that changes while it is read is then seen as changed again.
  stamps_ = take_stamps();
  auto loaded = TlsContext::load(files_, now);

  const std::lock_guard lock(mutex_);
  status_.attempted = now;
  status_.ok = loaded.ok();
  status_.error = loaded ? std::string() : loaded.error().message;
  if (!loaded) return loaded.error();
  status_.succeeded = now;
  current_ = *std::move(loaded);
  generation_.fetch_add(1, std::memory_order_release);
  return {};
}

bool CertStore::changed_on_disk() const {
  return !files_.cert.empty() && take_stamps() != stamps_;
}

std::shared_ptr<const TlsContext> CertStore::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

CertStore::Status CertStore::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

std::vector<CertificateInfo> CertStore::certificates() const {
  const auto context = current();
  return context ? context->certificates() : std::vector<CertificateInfo>();
}

const TlsContext& CertStoreReader::get() {
  const std::uint64_t generation = store_.generation();
  if (generation != generation_) {
    // A swap between these two lines only means one more look the next time.
    cached_ = store_.current();
    generation_ = generation;
  }
  check(cached_ != nullptr, "the certificate store has no identity");
  return *cached_;
}

}  // namespace outrigger::tls
