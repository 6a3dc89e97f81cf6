// SPDX-License-Identifier: GPL-2.0-or-later
/// `lockstep review`: base against patched, and an answer fit for a reply.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <functional>
#include <memory>

#include "cli/budget.h"
#include "cli/corpus.h"
#include "cli/interrupt.h"
#include "cli/json_output.h"
#include "cli/terminal.h"
#include "cli/verbs.h"
#include "hw/kernels/cache.h"
#include "jobs/review/input.h"
#include "jobs/review/report.h"
#include "jobs/review/review.h"

namespace lockstep::cli {
namespace {

namespace kernels = hw::kernels;

struct Options {
  std::vector<std::string> inputs;
  std::string kernel = "6.1";
  std::string budget = "40s";
  std::uint64_t seed = 1;
  std::string failures = "failures";
  std::vector<std::string> expected;
  bool boot = false;
  std::string boot_budget = "90s";
  std::string reply;
  std::string html;
  std::string ktap;
  std::string sarif;
  JsonOutput json;
};

constexpr auto footer =
    "Each patch of a series is applied on top of the ones before, compiled as\n"
    "the kernel's own build does, and run in this process beside the kernel\n"
    "without it: the corpus, random programs step by step, then a search among\n"
    "those that reach changed lines. What the base shows too is no finding.\n"
    "Input may be a diff, a mail as it came or was quoted, a mailbox, a folder of\n"
    "them, or a range of commits of the checkout that --kernel names. A patch\n"
    "that changes how the kernel is built is built by bubblewrap only.\n"
    "\n"
    "--boot runs what was found and the corpus on debug kernels in QEMU, too:\n"
    "KASAN, lockdep, the kernel's own warnings, under npt=1, npt=1 tdp_mmu=0 and\n"
    "npt=0. The first use for a version builds that kernel, which takes minutes.\n"
    "\n"
    "Exit: 0 pass, 1 FAIL, 2 wrong usage, 3 no verdict.\n"
    "\n"
    "Examples:\n"
    "  lockstep review 0001-KVM-x86-mmu-fix.patch\n"
    "  lockstep review series.mbox --kernel ~/linux --reply answer.txt\n"
    "  lockstep review x.patch --html answer.html --ktap answer.ktap\n"
    "  lockstep review v6.12..topic --kernel ~/linux\n"
    "  lockstep review x.patch --boot --boot-budget 3m\n"
    "  lockstep review x.patch --expect 'remote_tlb_flush grows'\n";

int failed(const Options& options, const kernels::KernelError& error) {
  if (error.cause == kernels::KernelError::Cause::input) {
    return input_error(options.json.target(), error.message);
  }
  fmt::print(stderr, "lockstep: {}\n", error.message);
  const auto verdict = props::Verdict::no_verdict;
  return options.json.write(base_object(verdict, 0, error.message), verdict);
}

/// Patches that had to be repaired, beside the failures.
void save_repaired(const Options& options, const jobs::review::ReviewReport& report) {
  std::size_t number = 0;
  for (const auto& row : report.patches) {
    ++number;
    if (row.step.repaired.empty()) continue;
    const auto path =
        std::filesystem::path(options.failures) / fmt::format("repaired-{}.patch", number);
    if (kernels::write_file(path, row.step.repaired)) {
      fmt::print(options.json.page(), "repaired patch: {}\n", path.string());
    }
  }
}

int run(const Options& options) {
  const auto& json = options.json;
  const auto budget = parse_budget(options.budget);
  if (!budget) return input_error(json.target(), "--budget: " + budget.error());
  const auto boot_budget = parse_budget(options.boot_budget);
  if (!boot_budget) return input_error(json.target(), "--boot-budget: " + boot_budget.error());
  if (const auto reason = json.unwritable()) return input_error({}, *reason);
  if (std::ranges::find(options.expected, "") != options.expected.end()) {
    return input_error(json.target(), "--expect: without a text it would declare every finding");
  }
  auto submission = jobs::review::read_submission(options.inputs, options.kernel);
  if (!submission) return failed(options, submission.error());

  ProgressLine line;
  jobs::review::ReviewOptions job;
  job.submission = *std::move(submission);
  job.kernel = options.kernel;
  job.budget = *budget;
  job.seed = options.seed;
  job.failures = options.failures;
  job.corpus = source_tree() / "corpus";
  job.expected = options.expected;
  if (options.boot) job.boot = *boot_budget;
  job.stop = &stop_on_interrupt();
  job.progress = [&line](std::string_view text) { line.show(std::string(text)); };
  std::error_code error;
  std::filesystem::create_directories(options.failures, error);
  if (error) {
    return input_error(json.target(),
                       fmt::format("cannot write to '{}': {}", options.failures, error.message()));
  }
  const auto report = jobs::review::review(job);
  line.clear();
  if (!report) return failed(options, report.error());
  fmt::print(json.page(), "{}", jobs::review::text_report(*report));
  save_repaired(options, *report);
  const auto verdict = jobs::review::verdict_of(*report);
  auto object = base_object(verdict, report->seconds, jobs::review::reason_of(*report));
  object["kernel"] = report->release;
  object["seed"] = report->seed;
  object["notes"] = report->notes;
  object["patches"] = jobs::review::json_patches(*report);
  object["findings"] = jobs::review::json_findings(*report);
  namespace review = jobs::review;
  const std::pair<const std::string&, std::function<std::string()>> outputs[] = {
      {options.reply, [&] { return review::reply(*report); }},
      {options.html, [&] { return review::html(*report); }},
      {options.ktap, [&] { return review::ktap(*report); }},
      {options.sarif, [&] {
         return review::sarif(*report).dump(2, ' ', false,
                                            nlohmann::json::error_handler_t::replace) +
                "\n";
       }}};
  for (const auto& [file, make] : outputs) {
    if (file.empty()) continue;
    const auto wrote = kernels::write_file(std::filesystem::absolute(file), make());
    if (!wrote) return failed(options, wrote.error());
  }
  return json.write(object, verdict);
}

}  // namespace

void add_review(CLI::App& app, int& exit) {
  auto* verb = app.add_subcommand("review", "Does this patch change what the MMU does?");
  const auto options = std::make_shared<Options>();
  verb->footer(footer);
  verb->add_option("PATCH", options->inputs, "File, mailbox, folder, -, or range of commits")
      ->required();
  verb->add_option("--kernel", options->kernel, "Version, or path of a kernel tree")
      ->type_name("6.1|PATH")
      ->capture_default_str();
  verb->add_option("--budget", options->budget, "How long programs run, builds apart: 40s, 5m")
      ->type_name("TIME")
      ->capture_default_str();
  verb->add_option("--seed", options->seed, "Of the random programs")
      ->type_name("N")
      ->capture_default_str();
  verb->add_option("--expect", options->expected,
                   "A change that is meant: part of a finding's title, or its kind")
      ->type_name("TEXT");
  verb->add_flag("--boot", options->boot,
                 "Boot debug kernels with and without the patch in QEMU, too");
  verb->add_option("--boot-budget", options->boot_budget, "How long those run programs")
      ->type_name("TIME")
      ->capture_default_str();
  verb->add_option("--reply", options->reply, "Write the answer as a mail of 72 columns")
      ->type_name("FILE");
  verb->add_option("--html", options->html, "Write it as a page, the diff marked line by line")
      ->type_name("FILE");
  verb->add_option("--ktap", options->ktap, "Write it as KTAP, for the kernel's test tools")
      ->type_name("FILE");
  verb->add_option("--sarif", options->sarif, "Write it as SARIF 2.1.0, for code viewers")
      ->type_name("FILE");
  verb->add_option("--failures", options->failures, "Folder for programs that fail")
      ->type_name("DIR")
      ->capture_default_str();
  options->json.add_to(*verb);
  verb->callback([options, &exit] { exit = run(*options); });
}

}  // namespace lockstep::cli
