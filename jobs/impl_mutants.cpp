// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/impl_mutants.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "jobs/corpus_programs.h"
#include "jobs/hunt.h"
#include "props/engine_factory.h"
#include "props/tester.h"

namespace lockstep::jobs {
namespace {

using Clock = std::chrono::steady_clock;

/// Of wall time for each second of CPU time, on a busy machine.
constexpr int wall_factor = 8;
/// CPU time that the sound implementation gets, to find what it shows itself.
constexpr std::chrono::milliseconds base_budget{3'000};

/// Engines that are opened meanwhile look at their inside after each command, unless
/// somebody wished otherwise.
class EveryCommand {
 public:
  EveryCommand() : ours_(std::getenv(name) == nullptr) {
    if (ours_) setenv(name, "step", 1);
  }
  EveryCommand(const EveryCommand&) = delete;
  EveryCommand& operator=(const EveryCommand&) = delete;
  ~EveryCommand() {
    if (ours_) unsetenv(name);
  }

 private:
  static constexpr const char* name = "LOCKSTEP_INVARIANTS";
  bool ours_;
};

class Job {
 public:
  explicit Job(const ImplMutantsOptions& options) : options_(options) {
    world_.engine = "impl";
    world_.cpu_seconds = cpu_seconds_of_children;
    world_.campaign = [this](const props::CampaignOptions& campaign) {
      auto result = props::run_campaign(campaign);
      reached_ = std::ranges::any_of(result.engines, [](const props::EngineTally& engine) {
        return engine.reached.contains(std::string(props::impl_mutant_path));
      });
      return result;
    };
  }

  KernelMutantsReport run() {
    const auto begun = Clock::now();
    auto world = world_;
    // Every finding is the base's.
    world.trial = [](const auto&) { return Trial{.on_base = true}; };
    const auto base = hunt(campaign("base"), std::min(base_budget, options_.budget), known_, world);
    report_.interrupted = base.interrupted;
    for (const auto& mutant : options_.mutants) {
      if (report_.interrupted || stopped()) break;
      auto row = one(mutant);
      if (report_.interrupted) break;
      if (options_.done) options_.done(row);
      report_.rows.push_back(std::move(row));
    }
    report_.interrupted = report_.interrupted || stopped();
    report_.engine = "impl";
    report_.seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    // Engine, kind and command stand before the title.
    for (const auto& key : known_) {
      report_.base_findings.push_back(key.substr(key.rfind('|') + 1));
    }
    return std::move(report_);
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }

  props::CampaignOptions campaign(const std::string& title) const {
    props::CampaignOptions campaign;
    campaign.engines = {"spec", "impl"};
    campaign.budget = options_.budget * wall_factor;
    campaign.seed = options_.seed;
    campaign.failures = options_.failures / title;
    campaign.shrink_budget = std::chrono::milliseconds(0);
    campaign.canary = false;
    campaign.stop = options_.stop;
    campaign.progress = [this, title](const props::Progress& progress) {
      if (!options_.progress) return;
      options_.progress(
          fmt::format("{}: {} cases, {:.0f} s", title, progress.cases, progress.seconds));
    };
    return campaign;
  }

  /// Runs programs in a process that has the defect which is switched on now.
  props::Tester tester() const {
    props::TesterSetup setup;
    setup.engines = {"spec", "impl"};
    setup.factory = props::make_engine;
    setup.models = props::machine_models();
    setup.seed = options_.seed;
    return props::Tester(std::move(setup));
  }

  bool fails(const props::CampaignFinding& found) const {
    return jobs::fails(tester().run(found.program));
  }

  /// The first program of the corpus that fails with the defect alone, into the row.
  void try_corpus(MutantRow& row) {
    if (options_.corpus.empty()) return;
    if (corpus_.empty()) corpus_ = corpus_programs(options_.corpus);
    const double before = cpu_seconds_of_children();
    (void)props::choose_impl_mutant(row.name);
    auto mutated = tester();
    for (const auto& [name, program] : corpus_) {
      if (stopped()) break;
      const auto outcome = mutated.run(program);
      if (!jobs::fails(outcome)) continue;
      (void)props::choose_impl_mutant({});
      const bool on_base = jobs::fails(tester().run(program));
      (void)props::choose_impl_mutant(row.name);
      if (on_base) continue;
      row.detected = true;
      row.strategy = "corpus";
      row.kind = props::name(outcome.finding->kind);
      row.finding = outcome.finding->title;
      row.program = options_.corpus / name.substr(0, name.find(' '));
      row.steps = program.steps.size();
      break;
    }
    (void)props::choose_impl_mutant({});
    row.cpu_seconds += cpu_seconds_of_children() - before;
  }

  Trial trial(const props::CampaignFinding& found, const std::string& mutant) const {
    const double before = cpu_seconds_of_dead_children();
    Trial trial;
    (void)props::choose_impl_mutant({});
    trial.on_base = fails(found);
    (void)props::choose_impl_mutant(mutant);
    trial.again = !trial.on_base && fails(found);
    trial.cpu_seconds = cpu_seconds_of_dead_children() - before;
    return trial;
  }

  MutantRow one(const props::ImplMutant& mutant) {
    MutantRow row;
    row.name = mutant.name;
    row.title = mutant.title;
    auto world = world_;
    world.trial = [this, &mutant](const auto& found) { return trial(found, mutant.name); };
    reached_ = false;
    (void)props::choose_impl_mutant(mutant.name);
    auto cases = campaign(mutant.name);
    if (mutant.parallel) cases.cases_of = props::Cases::parallel;
    const auto found = hunt(cases, options_.budget, known_, world);
    (void)props::choose_impl_mutant({});
    report_.interrupted = found.interrupted;
    row.reached = reached_;
    tell(found, row);
    row.limit_seconds = std::chrono::duration<double>(options_.budget).count();
    if (!row.detected && !found.interrupted) try_corpus(row);
    return row;
  }

  const ImplMutantsOptions& options_;
  HuntWorld world_;
  bool reached_ = false;
  std::set<std::string> known_;
  std::vector<NamedProgram> corpus_;  ///< read when first needed
  KernelMutantsReport report_;
};

}  // namespace

tl::expected<KernelMutantsReport, std::string> run_impl_mutants(const ImplMutantsOptions& options) {
  if (!props::has_impl_mutants()) {
    return tl::unexpected(std::string("this build of impl has no seeded defects"));
  }
  // Some defects show inside alone, and only until the next command mends it.
  const EveryCommand looking;
  auto report = Job(options).run();
  report.release = "compiled with LOCKSTEP_IMPL_MUTANTS";
  return report;
}

}  // namespace lockstep::jobs
