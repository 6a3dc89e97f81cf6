// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <system_error>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>

#include "cli/json_output.h"
#include "cli/verbs.h"
#include "props/commit.h"
#include "props/verdict.h"
#include "spec/text_suggest.h"

namespace lockstep::cli {
namespace {

constexpr std::array<std::string_view, 11> verbs = {"bench",  "doctor",  "explain", "kernels",
                                                    "list",   "mutants", "prove",   "replay",
                                                    "review", "run",     "test"};

constexpr std::string_view description =
    "Run programs of KVM MMU operations side by side on an executable spec, an\n"
    "optimized implementation, and real KVM; stop at the first step where one\n"
    "of them did what the spec does not admit.";

constexpr std::string_view examples =
    "Exit: 0 pass, 1 FAIL, 2 wrong usage or input, 3 no verdict.\n"
    "\n"
    "Examples:\n"
    "  lockstep doctor\n"
    "  lockstep run --budget 60s\n"
    "  lockstep replay failures/FILE\n";

int exit_of(props::Verdict verdict) { return props::exit_code(verdict); }

}  // namespace

std::span<const std::string_view> verb_names() { return verbs; }

std::string unknown_verb(std::string_view word) {
  const auto near = spec::text::nearest(word, verbs);
  return fmt::format("unknown verb '{}'; valid: {}{}", word, fmt::join(verbs, ", "),
                     near.empty() ? "" : fmt::format("; did you mean '{}'?", near));
}

int run_command(int argc, const char* const* argv) {
  int exit = exit_of(props::Verdict::pass);
  CLI::App app{std::string(description), "lockstep"};
  app.footer(std::string(examples));
  app.require_subcommand(0, 1);
  app.set_version_flag("--version", fmt::format("lockstep {}", props::lockstep_commit()));
  add_bench(app, exit);
  add_doctor(app, exit);
  add_run(app, exit);
  add_replay(app, exit);
  add_list(app, exit);
  add_explain(app, exit);
  add_kernels(app, exit);
  add_mutants(app, exit);
  add_review(app, exit);
  add_prove(app, exit);
  add_test(app, exit);

  if (argc > 1 && argv[1][0] != '-' && std::ranges::find(verbs, argv[1]) == verbs.end()) {
    return input_error(json_argument(argc, argv), unknown_verb(argv[1]));
  }
  try {
    app.parse(argc, argv);
  } catch (const std::system_error& error) {
    fmt::print(stderr, "lockstep: {}\n", error.what());
    return exit_of(props::Verdict::no_verdict);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
      return app.exit(error);  // --help, --version
    }
    std::string verb = "lockstep";
    for (const CLI::App* parsed : app.get_subcommands()) verb += " " + parsed->get_name();
    return input_error(json_argument(argc, argv),
                       fmt::format("{}; see {} --help", error.what(), verb));
  }
  // A page that could not be written was not read either.
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    std::fputs("lockstep: cannot write to standard output\n", stderr);
    if (exit == exit_of(props::Verdict::pass)) exit = exit_of(props::Verdict::no_verdict);
  }
  if (argc == 1) {
    std::fputs(app.help().c_str(), stderr);
    return exit_of(props::Verdict::input_error);
  }
  return exit;
}

}  // namespace lockstep::cli
