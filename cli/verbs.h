// SPDX-License-Identifier: GPL-2.0-or-later
/// The verbs of the `lockstep` command, one source file each.
#pragma once

#include <CLI/App.hpp>
#include <span>
#include <string>
#include <string_view>

namespace lockstep::cli {

/// Add the verb to the command. When it is parsed its callback runs the verb
/// and sets `exit` to the exit code: 0 pass, 1 FAIL, 2 input error, 3 no verdict.
void add_bench(CLI::App& app, int& exit);
void add_doctor(CLI::App& app, int& exit);
void add_run(CLI::App& app, int& exit);
void add_replay(CLI::App& app, int& exit);
void add_list(CLI::App& app, int& exit);
void add_explain(CLI::App& app, int& exit);
void add_kernels(CLI::App& app, int& exit);
void add_mutants(CLI::App& app, int& exit);
void add_review(CLI::App& app, int& exit);
void add_prove(CLI::App& app, int& exit);
void add_test(CLI::App& app, int& exit);

/// Every verb of the design's command that exists.
std::span<const std::string_view> verb_names();

/// One line on why `word` is no verb, with the nearest one.
std::string unknown_verb(std::string_view word);

/// Run the command line and return its exit code. Prints nothing for itself but
/// usage errors.
int run_command(int argc, const char* const* argv);

}  // namespace lockstep::cli
