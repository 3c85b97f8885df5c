#pragma once

// The file with the admin port's token, read at the start and again whenever it changes: secrets
// are rotated. A file that cannot be read or holds nothing leaves the token as it was, with a
// warning. Owned by the server, on the main thread; the token itself belongs to any.

#include <memory>
#include <string>

#include "admin/token.h"
#include "base/result.h"
#include "net/file_watch.h"

namespace outrigger::server {

// The only word of the file; the error is for people.
Result<std::string> read_token(const std::string& path);

class TokenFile final : private net::FileWatchHandler {
 public:
  // The error is for people.
  static Result<std::unique_ptr<TokenFile>> open(net::Loop& loop, const std::string& path);

  std::shared_ptr<const admin::Token> token() const { return token_; }

 private:
  explicit TokenFile(const std::string& path) : path_(path) {}
  void on_files_changed() override;

  const std::string path_;
  std::shared_ptr<admin::Token> token_;
  std::unique_ptr<net::FileWatch> watch_;
};

}  // namespace outrigger::server
