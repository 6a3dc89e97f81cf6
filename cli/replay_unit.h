// SPDX-License-Identifier: GPL-2.0-or-later
/// What `replay` runs in one child process: one program, or a folder of
/// programs that share a VM.
#pragma once

#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <tl/expected.hpp>
#include <vector>

#include "cli/engines.h"
#include "props/verdict.h"
#include "spec/program.h"

namespace lockstep::cli {

struct ReplayUnit {
  std::string path;  ///< as given
  struct Entry {
    std::string path;
    Program program;
  };
  std::vector<Entry> programs;  ///< one, or those of the folder in order
};

/// Read the program, or all of the folder. The error is a message on the first
/// file that is none.
tl::expected<ReplayUnit, std::string> read_unit(const std::string& path);

struct ReplayOptions {
  const ChosenEngines& engines;
  bool steps = false;  ///< print every step
  bool view = false;   ///< print the inside of hosted engines as the last step left it
  std::chrono::milliseconds deadline{60'000};
  std::FILE* page = stdout;  ///< not owned
};

struct Replayed {
  std::string path;
  props::Verdict verdict = props::Verdict::no_verdict;
  std::string reason;                     ///< one line; empty for a pass
  std::optional<nlohmann::json> finding;  ///< see finding_object()
  std::vector<std::string> skipped;       ///< "kvm: lacks SMM"
};

/// Run the unit on its engines in a child, print the page, and return one
/// result a program. Programs after a crash or a hang have no verdict.
std::vector<Replayed> replay_unit(const ReplayUnit& unit, const ReplayOptions& options);

}  // namespace lockstep::cli
