// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/campaign.h"

#include <fmt/format.h>
#include <algorithm>
#include <set>
#include <utility>

#include "props/crew.h"
#include "props/ledger.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t canary_cases = 2'000;
constexpr std::chrono::seconds canary_budget{20};
constexpr double most_discards = 0.03;
constexpr double most_undecided = 0.01;
constexpr std::chrono::milliseconds tick{100};

class Campaign {
 public:
  explicit Campaign(const CampaignOptions& options)
      : options_(options), ledger_(options_), begun_(Clock::now()) {
    if (!options_.factory) options_.factory = make_engine;
    if (!options_.models) options_.models = machine_models();
    options_.jobs = std::max(1u, options_.jobs);
    result_.seed = options_.seed;
    for (const auto& engine : options_.engines) {
      result_.engines.emplace_back();
      result_.engines.back().name = engine;
    }
  }

  CampaignResult run() {
    if (options_.canary) sing();
    // Without a canary the cases still run: a failure is a failure.
    if (broken_.empty() && !stopped()) cases();
    result_.interrupted = stopped();
    result_.findings = ledger_.take();
    conclude();
    result_.seconds = seconds();
    return std::move(result_);
  }

 private:
  bool stopped() const { return options_.stop != nullptr && options_.stop->load(); }
  double seconds() const { return std::chrono::duration<double>(Clock::now() - begun_).count(); }

  WorkerOrders orders() const {
    WorkerOrders orders;
    orders.engines = options_.engines;
    orders.factory = options_.factory;
    orders.models = options_.models;
    orders.seed = options_.seed;
    orders.wanted = options_.wanted;
    return orders;
  }

  void report_progress(const std::string& phase, const Crew* crew) {
    if (crew != nullptr) {
      cases_ = crew->cases();
      commands_ = crew->commands();
    }
    if (options_.progress) {
      options_.progress({seconds(), cases_, commands_, ledger_.size(), phase});
    }
  }

  /// The lie of one engine must be found by the loop that looks for bugs.
  void sing() {
    result_.canary.asked = true;
    auto lying = orders();
    lying.engines = {fastest_first(options_.engines).front()};
    lying.canary = true;
    lying.last = canary_cases;
    lying.until = Clock::now() + canary_budget;
    bool found = false;
    Crew crew(lying, 1, options_.case_deadline, [&](const Sighting& sighting) {
      if (sighting.finding.kind == FindingKind::refused) found = true;
    });
    while (crew.attend(tick)) {
      if (stopped()) crew.stop();
      report_progress("canary", &crew);
    }
    result_.canary.found = found;
    result_.canary.cases = crew.cases();
    if (!found) {
      result_.canary.why = crew.broken().empty()
                               ? fmt::format("a lie stayed unseen through {} cases", crew.cases())
                               : crew.broken();
    }
    broken_ = crew.broken();
  }

  void cases() {
    auto orders = this->orders();
    const auto begun = Clock::now();
    orders.until = begun + options_.budget;
    orders.cases = options_.cases_of;
    if (options_.max_cases != 0) orders.last = options_.max_cases;
    Crew* self = nullptr;
    Crew crew(orders, options_.jobs, options_.case_deadline, [&](const Sighting& sighting) {
      ledger_.enter(sighting, *self->maker(), self->platforms());
      if (ledger_.size() >= options_.max_findings) self->stop();
    });
    self = &crew;
    while (crew.attend(tick)) {
      if (stopped()) crew.stop();
      report_progress("cases", &crew);
    }
    report_progress("cases", &crew);
    result_.case_seconds = std::chrono::duration<double>(Clock::now() - begun).count();
    broken_ = crew.broken();
    result_.gave_up = crew.broken_engine();
    result_.programs = crew.programs();
    std::map<std::string, std::uint64_t> again;
    crew.add_to(result_, again);
    ledger_.count_again(again);
    for (std::size_t i = 0; i < crew.platforms().size(); ++i) {
      result_.engines[i].provenance = crew.platforms()[i].provenance;
      result_.engines[i].deviations = crew.platforms()[i].deviations;
    }
    for (auto& engine : result_.engines) {
      for (const auto path : reach_names()) {
        // The model maps nothing, so that it has no fault of an MMU's own.
        if (engine.name == "spec" && path == "access pf_fixed") continue;
        if (path == "parallel block" && options_.cases_of != Cases::parallel) continue;
        if (!engine.reached.contains(std::string(path))) engine.never_reached.emplace_back(path);
      }
    }
    if (crew.maker() != nullptr && !stopped()) {
      ledger_.reduce_all(*crew.maker(), crew.platforms(), [&](const std::string& title) {
        report_progress("shrink " + title, nullptr);
      });
    }
  }

  void no_verdict(std::string why) {
    result_.verdict = Verdict::no_verdict;
    result_.reason = std::move(why);
  }

  void conclude() {
    const auto cases = static_cast<double>(result_.cases);
    if (!result_.findings.empty()) {
      result_.verdict = Verdict::fail;
      result_.reason = fmt::format("{} finding{}", result_.findings.size(),
                                   result_.findings.size() == 1 ? "" : "s");
      if (!ledger_.write_error().empty()) result_.reason += "; " + ledger_.write_error();
      return;
    }
    if (!broken_.empty()) return no_verdict(broken_);
    if (result_.interrupted) {
      return no_verdict(fmt::format("interrupted after {} cases", result_.cases));
    }
    if (result_.canary.asked && !result_.canary.found) {
      return no_verdict("the canary was not found: " + result_.canary.why);
    }
    if (result_.cases == 0) return no_verdict("no case ran");
    if (static_cast<double>(result_.discards) > most_discards * cases) {
      return no_verdict(fmt::format("{} of {} cases discarded: {}", result_.discards, result_.cases,
                                    result_.first_discard));
    }
    if (static_cast<double>(result_.undecided) > most_undecided * cases) {
      return no_verdict(fmt::format("{} of {} cases undecided: {}", result_.undecided,
                                    result_.cases, result_.first_undecided));
    }
    for (const auto& engine : result_.engines) {
      if (engine.cases != 0) continue;
      const auto why =
          engine.skipped.empty() ? "no case was for it" : engine.skipped.begin()->first;
      return no_verdict(fmt::format("{} ran nothing: {}", engine.name, why));
    }
    if (options_.cases_of == Cases::every_allocation && result_.programs == 0) {
      return no_verdict("no program came to the end of its allocations");
    }
    result_.verdict = Verdict::pass;
    result_.reason = fmt::format("{} cases without a finding", result_.cases);
    if (options_.cases_of == Cases::every_allocation) {
      result_.reason +=
          fmt::format(", every allocation of {} programs made to fail", result_.programs);
    }
    if (result_.undecided != 0) {
      result_.reason +=
          fmt::format(", {} undecided ({})", result_.undecided, result_.first_undecided);
    }
  }

  CampaignOptions options_;
  CampaignResult result_;
  Ledger ledger_;
  Clock::time_point begun_;
  std::string broken_;
  std::uint64_t cases_ = 0;
  std::uint64_t commands_ = 0;
};

}  // namespace

CampaignResult run_campaign(const CampaignOptions& options) {
  CampaignResult wrong;
  wrong.verdict = Verdict::input_error;
  wrong.seed = options.seed;
  if (options.engines.empty()) wrong.reason = "no engine was named";
  if (options.engines.size() > 16) wrong.reason = "more than 16 engines";
  const std::set<std::string> distinct(options.engines.begin(), options.engines.end());
  if (distinct.size() != options.engines.size()) wrong.reason = "an engine is named twice";
  if (!options.factory) {
    for (const auto& engine : options.engines) {
      if (auto why = unknown_engine(engine)) wrong.reason = std::move(*why);
    }
  }
  if (!wrong.reason.empty()) return wrong;
  return Campaign(options).run();
}

}  // namespace lockstep::props
