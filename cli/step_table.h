// SPDX-License-Identifier: GPL-2.0-or-later
/// A program's steps as they are executed, every engine's answer beside them.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "props/lockstep.h"
#include "spec/program.h"

namespace lockstep::cli {

/// Makes the lines of one program. Engines that agree share a line; those that
/// do not get one each, and ">>" marks the answer that was not admitted.
class StepTable {
 public:
  /// The program must outlive the table.
  explicit StepTable(const Program& program) : program_(program) {}

  /// The lines of one executed step; empty for the further entries of a `map`
  /// that show nothing new.
  /// A parallel block shows at its last step: a column a thread.
  std::string lines(const props::StepTrace& trace);

 private:
  std::string block_lines(const props::StepTrace& trace);

  const Program& program_;
  std::optional<std::size_t> last_;
  /// Of the block that goes on: the lines of each thread so far.
  std::vector<std::vector<std::string>> columns_;
};

}  // namespace lockstep::cli
