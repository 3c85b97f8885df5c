#pragma once

// Files that are read whole: certificates, tokens, endpoint lists. Any thread.

#include <cstddef>
#include <string>

#include "base/result.h"

namespace outrigger {

// The file's bytes. Anything but a regular file is refused: a pipe or a device under that name
// would hold the thread for as long as nobody writes. The error is the cause alone, without the
// path: "No such file or directory", "it is larger than 64 KiB".
Result<std::string> read_regular_file(const std::string& path, std::size_t bytes_max);

}  // namespace outrigger
