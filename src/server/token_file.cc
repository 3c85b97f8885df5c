#include "server/token_file.h"

#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"

namespace outrigger::server {
namespace {

constexpr std::size_t token_file_max = 65'536;

}  // namespace

Result<std::string> read_token(const std::string& path) {
  auto bytes = read_regular_file(path, token_file_max);
  if (!bytes) return Error{"cannot read " + path + ": " + bytes.error().message};
  std::istringstream in(*std::move(bytes));
  std::string text;
  std::string more;
  if (!(in >> text)) return Error{path + " contains no token"};
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
