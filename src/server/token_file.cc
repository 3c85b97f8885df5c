#include "server/token_file.h"

#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"

namespace outrigger::server {
namespace {

constexpr std::size_t token_file_max = 65'536;

}  // namespace

Result<std::string> read_token(const std::string& path) {
  std::ifstream file(path);
  std::string bytes(token_file_max + 1, '\0');
  file.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  if (bytes.size() > token_file_max) return Error{path + " is larger than 64 KiB"};
  std::istringstream in(bytes);
  std::string text;
  std::string more;
  if (!(in >> text)) return Error{path + " cannot be read or contains no token"};
  if (in >> more) return Error{path + " contains more than a token"};
  return text;
}

Result<std::unique_ptr<TokenFile>> TokenFile::open(net::Loop& loop, const std::string& path) {
  std::unique_ptr<TokenFile> file(new TokenFile(path));
  file->watch_ = std::make_unique<net::FileWatch>(loop, std::vector<std::string>{path},
                                                  static_cast<net::FileWatchHandler&>(*file));
  auto text = read_token(path);
  if (!text) return text.error();
  file->token_ = std::make_shared<admin::Token>(std::move(*text));
  return file;
}

void TokenFile::on_files_changed() {
  auto text = read_token(path_);
  if (!text) {
    log::warn("server", "the admin token stays as it was", {{"why", text.error().message}});
    return;
  }
  if (*text == token_->get()) return;
  token_->set(std::move(*text));
  log::info("server", "the admin token has changed", {{"file", path_}});
}

}  // namespace outrigger::server
