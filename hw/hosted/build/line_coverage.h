// SPDX-License-Identifier: GPL-2.0-or-later
/// From basic blocks that ran to source lines that ran.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"

namespace lockstep::hw::hosted {

/// One row of a DWARF line table: from `address` on stands code of the line.
struct LineRow {
  std::uint64_t address = 0;
  std::uint64_t function = 0;  ///< where the row's sequence begins; each function has one
  std::string file;            ///< relative to the tree, or a full path outside
  unsigned line = 0;
};

/// Rows that begin a statement, from `readelf -wL -W`, by address; `tree` is the
/// folder that kbuild compiled.
std::vector<LineRow> parse_line_rows(std::string_view text, const std::filesystem::path& tree);

/// Addresses of instructions `call target` (E8 with a relative operand) in code
/// that stands at `begin`, in order.
std::vector<std::uint64_t> calls_to(std::span<const std::uint8_t> code, std::uint64_t begin,
                                    std::uint64_t target);

/// Lines of an image of the flavour `coverage`, and the blocks that they belong to.
class LineCoverage {
 public:
  enum class State : std::uint8_t { no_code, missed, hit };
  /// Whether a block ran, by the address that its call returns to (Coverage::hit).
  using Hit = std::function<bool(std::uint64_t)>;

  /// Read the image; `tree` as in parse_line_rows(). Needs binutils.
  static kernels::Result<LineCoverage> read(const std::filesystem::path& image,
                                            const std::filesystem::path& tree);
  /// A row belongs to the last call before it in its function; rows before the
  /// first call (a function's prologue) to none.
  LineCoverage(const std::vector<LineRow>& rows, std::span<const std::uint64_t> calls);

  /// A line is hit if any of its blocks ran: inlined code has many.
  State state(std::string_view file, unsigned line, const Hit& hit) const;
  /// The blocks of a line, as Hit wants them; empty if it has no code.
  std::vector<std::uint64_t> blocks(std::string_view file, unsigned line) const;
  /// Blocks in all.
  std::size_t blocks() const { return blocks_; }

 private:
  /// File, line → return addresses of the calls.
  std::map<std::string, std::map<unsigned, std::vector<std::uint64_t>>, std::less<>> lines_;
  std::size_t blocks_ = 0;
};

}  // namespace lockstep::hw::hosted
