// SPDX-License-Identifier: GPL-2.0-or-later
/// `--json FILE`: one object for machines beside the page for people.
#pragma once

#include <CLI/App.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "props/finding.h"
#include "props/verdict.h"

namespace lockstep::cli {

/// The keys that every verb owes: `verdict`, `exit`, `seconds`, `findings`, and
/// `reason`, one line.
nlohmann::json base_object(props::Verdict verdict, double seconds, std::string_view reason = {});

/// One element of `findings`. `program` is the path of the program's file.
nlohmann::json finding_object(const props::Finding& finding, const std::string& program);

class JsonOutput {
 public:
  /// Add the option --json to the verb. Must outlive the parse.
  void add_to(CLI::App& verb);

  /// Whether the target can be written at all: asked before the work begins, so
  /// that hours of it are not lost. One line if not.
  std::optional<std::string> unwritable() const;

  /// Where the page for people goes: standard output, unless the object does.
  std::FILE* page() const;

  /// Write the object, whole or not at all; says on standard error if it fails.
  /// Nothing happens without --json. Returns the exit code of the verb: `exit`,
  /// or that of no verdict when the object was lost.
  int write(const nlohmann::json& object, props::Verdict verdict) const;

  const std::string& target() const { return target_; }
  void set_target(std::string target) { target_ = std::move(target); }

 private:
  std::string target_;
};

/// The target of --json on a command line that did not parse; may be empty.
std::string json_argument(int argc, const char* const* argv);

/// Say on standard error what is wrong with the input, write the object to
/// `json_target` if there is one, and return exit code 2.
int input_error(const std::string& json_target, std::string_view message);

}  // namespace lockstep::cli
