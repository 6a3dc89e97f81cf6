// SPDX-License-Identifier: GPL-2.0-or-later
/// Another program, run to its end. Words go to it as they are: no shell reads
/// them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"

namespace lockstep::hw::kernels {

/// Receives one line at a time, without its newline, while work goes on.
using Progress = std::function<void(std::string_view line)>;

struct Process {
  std::vector<std::string> words;        ///< program, looked up in PATH, and arguments
  std::filesystem::path folder = {};     ///< to run in; empty: where the caller is
  std::vector<std::string> environment;  ///< NAME=VALUE, beside the caller's and LC_ALL=C
  std::string input = {};                ///< what it reads on standard input
  Progress on_line = {};                 ///< every line of both outputs as it comes
  /// What a sandbox that hides homes and /tmp must still show.
  std::vector<std::filesystem::path> readable = {};
};

struct Outcome {
  int status = 0;  ///< exit code, or 128 and the signal that ended it
  std::string out;
  std::string err;

  bool ok() const { return status == 0; }
  /// The last line of standard error that says something, else of standard
  /// output; may be empty.
  std::string last_words() const;
};

/// Run it and wait. An error only if it could not be started, naming the Debian
/// package of the programs that this room uses; its own failure is in `status`.
Result<Outcome> run(const Process& process);

/// As run(), but any other exit code than 0 is an error that quotes the last words.
Result<Outcome> run_or_fail(const Process& process);

/// Whether PATH has the program.
bool installed(std::string_view program);

}  // namespace lockstep::hw::kernels
