#pragma once

// Which build this is. The commit is written by cmake/commit.cmake at every build, into one file of
// its own, so that a new commit compiles nothing else anew.

namespace outrigger::cli {

// "1c7a40112345", with "-dirty" when files differed from it; "unknown" outside a repository.
extern const char* const build_commit;

}  // namespace outrigger::cli
