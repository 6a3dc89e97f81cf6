// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/source_lines.h"

#include <elfutils/libdw.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <string_view>
#include <utility>

namespace lockstep::hw::hosted {

/// What libdw holds of an open file; null if it could not be had.
struct SourceLines::Tables {
  explicit Tables(const std::filesystem::path& file)
      : descriptor(::open(file.c_str(), O_RDONLY | O_CLOEXEC)),
        dwarf(descriptor < 0 ? nullptr : dwarf_begin(descriptor, DWARF_C_READ)) {}
  Tables(const Tables&) = delete;
  Tables& operator=(const Tables&) = delete;
  ~Tables() {
    if (dwarf != nullptr) dwarf_end(dwarf);
    if (descriptor >= 0) ::close(descriptor);
  }

  int descriptor;
  Dwarf* dwarf;
};

SourceLines::SourceLines(std::filesystem::path file) : file_(std::move(file)) {}
SourceLines::SourceLines(SourceLines&&) noexcept = default;
SourceLines::~SourceLines() = default;

std::optional<SourceLine> SourceLines::at(std::uint64_t address) {
  if (!tables_) tables_ = std::make_unique<Tables>(file_);
  Dwarf_Die unit;
  if (tables_->dwarf == nullptr || dwarf_addrdie(tables_->dwarf, address, &unit) == nullptr) {
    return std::nullopt;
  }
  Dwarf_Line* const row = dwarf_getsrc_die(&unit, address);
  const char* const file = row == nullptr ? nullptr : dwarf_linesrc(row, nullptr, nullptr);
  SourceLine found;
  if (file == nullptr || dwarf_lineno(row, &found.line) != 0) return std::nullopt;
  found.file = std::filesystem::path(file).lexically_normal().string();
  return found;
}

bool SourceLine::of_shim() const { return file.find("/hw/hosted/kernel/") != std::string::npos; }

std::string SourceLine::text() const {
  // Folders at the top of a kernel tree that code of an image comes from.
  constexpr std::array<std::string_view, 6> tops = {"/arch/x86/", "/virt/", "/include/",
                                                    "/kernel/",   "/lib/",  "/mm/"};
  for (const auto top : tops) {
    if (const auto at = file.rfind(top); at != std::string::npos) {
      return fmt::format("{}:{}", std::string_view(file).substr(at + 1), line);
    }
  }
  return fmt::format("{}:{}", file, line);
}

}  // namespace lockstep::hw::hosted
