// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep test`: belongs to the bootstrap script, which builds what it runs.
#include <CLI/CLI.hpp>

#include "cli/json_output.h"
#include "cli/verbs.h"

namespace lockstep::cli {

void add_test(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("test", "Build with sanitizers and run every check (./lockstep)");
  verb->allow_extras();
  verb->callback([&exit] {
    exit = input_error({}, "the script at the root of the tree runs the checks: ./lockstep test");
  });
}

}  // namespace lockstep::cli
