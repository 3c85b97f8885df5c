#include "config/environment.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace outrigger::config {
namespace {

// Closes a descriptor at the end of a block.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

Error system_error(const std::string& path) {
  return Error{"cannot read " + path + ": " + std::strerror(errno)};
}

// Opens for reading without waiting for the other end of a pipe; directories are no files.
Result<int> open_file(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return system_error(path);
  struct stat info {};
  if (fstat(fd, &info) == 0 && S_ISDIR(info.st_mode)) {
    close(fd);
    return Error{"cannot read " + path + ": it is a directory"};
  }
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) (void)fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
  return fd;
}

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  auto opened = open_file(path);
  if (!opened) return opened.error();
  const Descriptor fd(*opened);
  std::string out;
  char chunk[16 * 1024];
  while (true) {
    const ssize_t got = read(fd.get(), chunk, sizeof chunk);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path);
    if (got == 0) return out;
    out.append(chunk, static_cast<std::size_t>(got));
    if (out.size() > bytes_max) {
      return Error{"cannot read " + path + ": it is larger than " + std::to_string(bytes_max) +
                   " bytes"};
    }
  }
}

Result<void> can_read(const std::string& path) {
  auto opened = open_file(path);
  if (!opened) return opened.error();
  const Descriptor fd(*opened);
  return {};
}

std::vector<std::string> glob_files(const std::string& pattern) {
  glob_t found{};
  std::vector<std::string> out;
  if (glob(pattern.c_str(), 0, nullptr, &found) == 0) {
    for (std::size_t i = 0; i < found.gl_pathc; ++i) out.emplace_back(found.gl_pathv[i]);
  }
  globfree(&found);
  return out;
}

}  // namespace

Environment process_environment() {
  return {[](const std::string& name) -> std::optional<std::string> {
            const char* value = std::getenv(name.c_str());
            if (value == nullptr) return std::nullopt;
            return std::string(value);
          },
          read_file, can_read, glob_files};
}

Environment empty_environment() {
  return {[](const std::string&) -> std::optional<std::string> { return std::nullopt; },
          [](const std::string& path, std::size_t) -> Result<std::string> {
            return Error{"cannot read " + path + ": there are no files here"};
          },
          [](const std::string& path) -> Result<void> {
            return Error{"cannot read " + path + ": there are no files here"};
          },
          [](const std::string&) { return std::vector<std::string>{}; }};
}

}  // namespace outrigger::config
