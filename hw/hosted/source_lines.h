// SPDX-License-Identifier: GPL-2.0-or-later
/// Which line of which file an address of an image was compiled from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace lockstep::hw::hosted {

struct SourceLine {
  std::string file;  ///< as the compiler was told
  int line = 0;

  /// "arch/x86/kvm/mmu/mmu.c:6034": the path within a kernel tree, where it is of one.
  std::string text() const;
  /// Of the shim, which is no kernel.
  bool of_shim() const;
};

/// The line tables of one file, read when the first address is asked for.
class SourceLines {
 public:
  /// Of an ELF file; nothing is opened yet.
  explicit SourceLines(std::filesystem::path file);
  SourceLines(SourceLines&&) noexcept;
  ~SourceLines();

  /// The innermost inlined function's line of the instruction at `address`. Nothing where
  /// the file has no line tables (DWARF "Line Number Information"), or cannot be read.
  std::optional<SourceLine> at(std::uint64_t address);

 private:
  struct Tables;
  std::filesystem::path file_;
  std::unique_ptr<Tables> tables_;
};

}  // namespace lockstep::hw::hosted
