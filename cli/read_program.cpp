// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/read_program.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iostream>

namespace lockstep::cli {
namespace {

/// What parse() accepts, and one byte to see that there is more.
constexpr std::size_t limit = (1u << 20) + 1;

}  // namespace

tl::expected<std::string, std::string> read_text(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return tl::unexpected(path.string() + ": is a directory");
  }
  errno = 0;
  std::ifstream file;
  if (path != "-") {
    file.open(path, std::ios::binary);
    if (!file) {
      return tl::unexpected(fmt::format("{}: {}", path.string(), std::strerror(errno)));
    }
  }
  std::istream& stream = path == "-" ? std::cin : file;
  std::string text(limit, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(limit));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() == limit) {
    return tl::unexpected(path.string() + ": longer than 1 MiB, so that it is no program");
  }
  return text;
}

tl::expected<Program, std::string> read_program(const std::filesystem::path& path) {
  const auto text = read_text(path);
  if (!text) return tl::unexpected(text.error());
  auto program = parse(*text);
  if (!program) return tl::unexpected(program.error().message(path.string(), *text));
  if (program->steps.empty()) {
    return tl::unexpected(path.string() + ": a program without commands shows nothing");
  }
  if (const auto illegal = validate(*program)) {
    const bool at_step = illegal->step < program->steps.size();
    return tl::unexpected(
        fmt::format("{}: step {}{}: {}", path.string(), illegal->step + 1,
                    at_step ? fmt::format(" ({})", print(program->steps[illegal->step].command,
                                                         program->configuration.paging))
                            : "",
                    illegal->reason));
  }
  return std::move(*program);
}

}  // namespace lockstep::cli
