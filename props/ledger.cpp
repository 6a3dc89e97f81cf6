// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/ledger.h"

#include <fmt/format.h>
#include <algorithm>
#include <utility>

#include "props/commit.h"
#include "props/reduce.h"
#include "props/save.h"

namespace lockstep::props {
namespace {

std::vector<std::string> provenance(const CampaignOptions& options, const Sighting& sighting,
                                    const std::vector<Platform>& platforms) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format("lockstep {}, seed {}, case {}", lockstep_commit(), options.seed,
                              sighting.index));
  for (std::size_t i = 0; i < platforms.size() && i < options.engines.size(); ++i) {
    for (const auto& [what, value] : platforms[i].provenance) {
      lines.push_back(fmt::format("{} {}: {}", options.engines[i], what, value));
    }
    for (const auto& deviation : platforms[i].deviations) {
      lines.push_back(fmt::format("{} deviation: {}", options.engines[i], deviation));
    }
  }
  return lines;
}

}  // namespace

bool Ledger::enter(const Sighting& sighting, const CaseMaker& maker,
                   const std::vector<Platform>& platforms) {
  const auto key = sighting.finding.key();
  for (auto& entry : entries_) {
    if (entry.finding.finding.key() != key) continue;
    ++entry.finding.times;
    return false;
  }
  Entry entry;
  entry.sighting = sighting;
  entry.finding.finding = sighting.finding;
  entry.finding.case_index = sighting.index;
  entry.met = maker.make(sighting.index).program;
  write(entry, {entry.met}, platforms);
  entries_.push_back(std::move(entry));
  if (options_.found) options_.found(entries_.back().finding);
  return true;
}

void Ledger::write(Entry& entry, const std::vector<Program>& programs,
                   const std::vector<Platform>& platforms) {
  auto& finding = entry.finding;
  const auto lines = provenance(options_, entry.sighting, platforms);
  finding.program = annotated(programs.back(), finding.finding, lines);
  finding.sequence = programs.size();
  // The name is that of the first sighting, so that a shrunk program replaces
  // the one that was met; seed and case keep other runs' files apart.
  const auto stem = fmt::format("{}-{}-{}", file_stem(entry.sighting.finding), options_.seed,
                                entry.sighting.index);
  auto all = programs;
  all.back() = finding.program;
  const auto saved = programs.size() == 1 ? save(options_.failures, stem, finding.program)
                                          : save_sequence(options_.failures, stem, all);
  if (saved) {
    finding.path = *saved;
  } else {
    write_error_ = saved.error();
  }
}

std::vector<Program> Ledger::history(const Entry& entry, const CaseMaker& maker) const {
  const auto& sighting = entry.sighting;
  const auto& engines = options_.engines;
  const auto odd = static_cast<std::size_t>(
      std::find(engines.begin(), engines.end(), sighting.finding.engine) - engines.begin());
  std::vector<Program> programs;
  for (auto index = sighting.fresh; index <= sighting.index; index += sighting.stride) {
    // Cases that left this engine alone left nothing behind in it.
    if (odd < engines.size() && ((maker.mask(index) >> odd) & 1u) == 0) continue;
    programs.push_back(maker.make(index).program);
  }
  return programs;
}

void Ledger::reduce_all(const CaseMaker& maker, const std::vector<Platform>& platforms,
                        const std::function<void(const std::string&)>& phase) {
  for (auto& entry : entries_) {
    if (stopped()) return;
    auto& finding = entry.finding;
    phase(finding.finding.title);
    ReduceSetup setup;
    setup.tester.engines = options_.engines;
    setup.tester.factory = options_.factory;
    setup.tester.models = options_.models;
    setup.tester.seed = options_.seed;
    setup.tester.deadline = options_.case_deadline;
    setup.budget = options_.shrink_budget;
    setup.stop = [this] { return stopped(); };
    auto reduced =
        reduce(entry.met, entry.sighting.finding, setup, [&] { return history(entry, maker); });
    finding.finding = std::move(reduced.finding);
    finding.shrunk = reduced.shrunk;
    finding.confirmed = reduced.confirmed;
    const auto unshrunk = finding.path;
    write(entry, reduced.programs, platforms);
    if (unshrunk != finding.path) {
      std::error_code ignored;
      std::filesystem::remove(unshrunk, ignored);
    }
    if (options_.found) options_.found(finding);
  }
}

void Ledger::count_again(const std::map<std::string, std::uint64_t>& again) {
  for (auto& entry : entries_) {
    const auto found = again.find(entry.sighting.finding.key());
    if (found != again.end()) entry.finding.times += found->second;
  }
}

std::vector<CampaignFinding> Ledger::take() {
  std::vector<CampaignFinding> findings;
  for (auto& entry : entries_) findings.push_back(std::move(entry.finding));
  entries_.clear();
  return findings;
}

}  // namespace lockstep::props
