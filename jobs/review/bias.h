// SPDX-License-Identifier: GPL-2.0-or-later
/// Which random programs reach the changed lines, learned from some that were run.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "spec/program.h"

namespace lockstep::jobs::review {

class Bias {
 public:
  /// A program ran, and reached a changed line or not.
  void learn(const Program& program, bool reached);

  /// Whether to run this program. Those that look like none that reached a changed
  /// line are run one in `rarely` times: what was learned may be wrong. Depends on
  /// the program and on what was learned alone.
  bool wants(const Program& program) const;

  static constexpr unsigned rarely = 8;
  std::uint64_t learned() const { return learned_; }
  std::uint64_t reached() const { return reached_; }

 private:
  struct Shape {
    std::uint64_t seen = 0;
    std::uint64_t reached = 0;
  };
  std::map<std::string, Shape> shapes_;         ///< paging mode, MMU and host
  std::map<std::string, std::uint64_t> kinds_;  ///< command kinds of those that reached
  std::uint64_t learned_ = 0;
  std::uint64_t reached_ = 0;
};

}  // namespace lockstep::jobs::review
