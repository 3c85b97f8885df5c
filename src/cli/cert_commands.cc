#include "cli/cert_commands.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <system_error>

#include "tls/authority.h"
#include "tls/spiffe.h"

namespace outrigger::cli {
namespace {

namespace fs = std::filesystem;

constexpr int exit_done = 0;
constexpr int exit_failed = 1;
constexpr int exit_usage = 64;
constexpr int days_max = 36500;
// Clocks differ: a certificate is valid from a little before now.
constexpr auto clock_slack = minutes(5);

struct File {
  fs::path path;
  std::string text;
  mode_t mode;
};

Error file_error(const char* verb, const fs::path& path, int error) {
  return {std::string("cannot ") + verb + " " + path.string() + ": " +
          std::generic_category().message(error)};
}

tls::Validity validity_of(int days, WallTime now) {
  return {.from = now - clock_slack, .until = now + hours(24) * days};
}

Result<std::string> read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return file_error("read", path, errno);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Beside its final name and with its final mode from the first byte, so that nobody ever sees half
// a file or an open key.
Result<void> write_beside(const File& file, const fs::path& temporary) {
  const int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, file.mode);
  if (fd < 0) return file_error("write", temporary, errno);
  int error = 0;
  std::string_view left = file.text;
  while (error == 0 && !left.empty()) {
    const ssize_t n = write(fd, left.data(), left.size());
    if (n < 0 && errno != EINTR) error = errno;
    if (n > 0) left.remove_prefix(static_cast<std::size_t>(n));
  }
  if (error == 0 && fsync(fd) != 0) error = errno;
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0) return {};
  unlink(temporary.c_str());
  return file_error("write", temporary, error);
}

// All files or none, except that renaming may stop between two of them; a watcher of them takes
// a key and a certificate only as a pair.
Result<void> write_files(const std::vector<File>& files, bool force) {
  for (const File& file : files) {
    std::error_code ignored;
    if (!force && fs::exists(file.path, ignored)) {
      return Error{file.path.string() + " already exists; use --force to overwrite it"};
    }
  }
  const auto temporary = [](const File& file) {
    return fs::path(file.path.string() + ".new." + std::to_string(getpid()));
  };
  for (const File& file : files) {
    if (auto written = write_beside(file, temporary(file)); !written) {
      for (const File& f : files) unlink(temporary(f).c_str());
      return written;
    }
  }
  for (const File& file : files) {
    if (std::rename(temporary(file).c_str(), file.path.c_str()) == 0) continue;
    const int error = errno;
    for (const File& f : files) unlink(temporary(f).c_str());
    return file_error("replace", file.path, error);
  }
  return {};
}

Result<void> make_directory(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) return file_error("make the directory", dir, error.value());
  return {};
}

int failed(std::ostream& err, const Error& error) {
  err << "outrigger: " << error.message << "\n";
  return exit_failed;
}

int misused(std::ostream& err, const std::string& message) {
  err << "outrigger: " << message << "\n";
  return exit_usage;
}

// A service name stands for its ID in the CA's trust domain.
Result<tls::SpiffeId> identity_of(const std::string& identity, const std::string& trust_domain) {
  if (identity.find("://") != std::string::npos) return tls::SpiffeId::parse(identity);
  return tls::SpiffeId::parse("spiffe://" + trust_domain + "/" + identity);
}

}  // namespace

int cert_ca_command(const CertCaOptions& options, WallTime now, std::ostream& out,
                    std::ostream& err) {
  if (const char* problem = tls::trust_domain_problem(options.trust_domain)) {
    return misused(err, "trust domain '" + tls::printable(options.trust_domain) + "' " + problem +
                            "; try example.org");
  }
  if (options.days < 1 || options.days > days_max) {
    return misused(err, "--days takes 1 to 36500");
  }
  const fs::path dir(options.dir.empty() ? "." : options.dir);
  const auto authority =
      tls::Authority::create(options.trust_domain, validity_of(options.days, now));
  if (!authority) return failed(err, authority.error());
  if (auto made = make_directory(dir); !made) return failed(err, made.error());
  const auto written = write_files(
      {{dir / "ca.key", authority->key_pem(), 0600}, {dir / "ca.crt", authority->cert_pem(), 0644}},
      options.force);
  if (!written) return failed(err, written.error());
  out << (dir / "ca.crt").string() << "\n" << (dir / "ca.key").string() << "\n";
  err << "A development CA for the trust domain " << options.trust_domain << ", good for "
      << options.days << " days. Whoever has ca.key can be any service: keep it off the hosts.\n"
      << "Next: outrigger cert issue --ca " << dir.string() << " --out DIR SERVICE\n";
  return exit_done;
}

int cert_issue_command(const CertIssueOptions& options, WallTime now, std::ostream& out,
                       std::ostream& err) {
  if (options.days < 1 || options.days > days_max) {
    return misused(err, "--days takes 1 to 36500");
  }
  const fs::path ca_dir(options.ca_dir.empty() ? "." : options.ca_dir);
  const fs::path dir(options.out_dir.empty() ? "." : options.out_dir);
  const auto ca_cert = read(ca_dir / "ca.crt");
  if (!ca_cert) {
    return failed(err, {ca_cert.error().message + " (`outrigger cert ca` makes a CA)"});
  }
  const auto ca_key = read(ca_dir / "ca.key");
  if (!ca_key) return failed(err, ca_key.error());
  const auto authority = tls::Authority::from_pem(*ca_cert, *ca_key);
  if (!authority) return failed(err, {ca_dir.string() + ": " + authority.error().message});
  const auto id = identity_of(options.identity, authority->trust_domain());
  if (!id) return misused(err, id.error().message);
  const auto issued = authority->issue(id->text(), options.dns, validity_of(options.days, now));
  if (!issued) return failed(err, issued.error());

  if (auto made = make_directory(dir); !made) return failed(err, made.error());
  const auto written = write_files(
      {{dir / "tls.key", issued->key_pem, 0600}, {dir / "tls.crt", issued->cert_pem, 0644}},
      options.force);
  if (!written) return failed(err, written.error());
  out << (dir / "tls.crt").string() << "\n" << (dir / "tls.key").string() << "\n";
  if (issued->until < now + hours(24) * options.days) {
    err << "Its CA ends earlier than " << options.days << " days from now, and it with its CA.\n";
  }
  err << "A certificate for " << id->text() << ". In the configuration:\n"
      << "identity: {cert: " << fs::absolute(dir / "tls.crt").string()
      << ", key: " << fs::absolute(dir / "tls.key").string()
      << ", ca: " << fs::absolute(ca_dir / "ca.crt").string() << "}\n";
  return exit_done;
}

}  // namespace outrigger::cli
