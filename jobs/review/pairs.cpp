// SPDX-License-Identifier: GPL-2.0-or-later
#include "jobs/review/pairs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace lockstep::jobs::review {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

/// More of one kind tell nothing new.
constexpr std::size_t most_failures = 4;
constexpr std::size_t most_differences = 8;

/// Written by the child where the answers differ first.
struct Noted {
  std::atomic<bool> any{false};
  std::size_t step = 0;
  std::array<char, 160> command{};
  std::array<char, 240> base{};
  std::array<char, 240> patched{};
};

template <std::size_t size>
void store(std::array<char, size>& target, const std::string& text) {
  target = {};
  std::memcpy(target.data(), text.data(), std::min(text.size(), size - 1));
}

/// Counters that say how much work was done: KVM's own, and those of the shim.
bool is_cost(std::string_view name) { return name.starts_with("kvm "); }

/// "WARN: WARNING at arch/x86/kvm/mmu/mmu.c:771, at f+0x12" up to the line; all of a text
/// that names none.
std::string_view up_to_line(std::string_view what) {
  for (const std::string_view ending : {".c:", ".h:"}) {
    const auto at = what.find(ending);
    if (at != std::string_view::npos) return what.substr(0, at + ending.size());
  }
  return what;
}

}  // namespace

std::optional<props::Finding> fails_on(const Workbench& bench, const std::string& engine,
                                       const Program& program) {
  return props::Tester(bench.setup({engine})).run(program).finding;
}

bool same_answer(const Observation& base, const Observation& patched) {
  const auto* const before = std::get_if<Unexpected>(&base);
  const auto* const now = std::get_if<Unexpected>(&patched);
  if (before == nullptr || now == nullptr) return base == patched;
  return up_to_line(before->what) == up_to_line(now->what);
}

bool shows_first(const props::Finding& patched, const props::Finding& base) {
  const auto engineless = [](props::Finding finding) {
    finding.engine.clear();
    return finding.key();
  };
  constexpr auto end = ~std::size_t{0};
  return patched.engine == Workbench::patched_name && engineless(patched) != engineless(base) &&
         patched.step.value_or(end) < base.step.value_or(end);
}

PairsResult run_pairs(Workbench& bench, const std::vector<NamedProgram>& programs,
                      Clock::time_point deadline,
                      const std::function<void(std::size_t, bool)>& reached,
                      const std::function<bool()>& stop) {
  PairsResult result;
  const props::SharedObject<Noted> noted;
  if (!noted) {
    result.broken = "no shared memory";
    return result;
  }
  auto setup = bench.setup({Workbench::base_name, Workbench::patched_name});
  setup.watch = [notes = noted.get()](const props::StepTrace& trace) {
    if (notes->any || trace.answers.size() != 2) return;
    const auto* const base = trace.answers[0].observation;
    const auto* const patched = trace.answers[1].observation;
    if (base == nullptr || patched == nullptr || same_answer(*base, *patched)) return;
    notes->step = trace.step;
    store(notes->command, print(*trace.command, PagingMode::level4));
    store(notes->base, print(*base));
    store(notes->patched, print(*patched));
    notes->any = true;
  };
  props::Tester tester(setup);
  for (std::size_t i = 0; i < programs.size(); ++i) {
    if (Clock::now() >= deadline || (stop && stop())) break;
    noted->any = false;
    const auto& program = programs[i].program;
    const auto outcome = tester.run(program);
    if (outcome.verdict == props::Verdict::input_error || !outcome.skips.empty()) {
      ++result.skipped;
      continue;
    }
    // What a kernel showed before it broke counts all the same.
    const bool nothing =
        outcome.verdict == props::Verdict::no_verdict && !outcome.undecided && !outcome.finding;
    if (nothing || (!outcome.broken.empty() && !outcome.finding)) {
      result.broken = outcome.reason;
      result.broke_on = program;
      break;
    }
    ++result.programs;
    result.undecided += outcome.undecided ? 1 : 0;
    const bool hit = bench.reached_any();
    bench.forget_reached();
    result.productive += hit ? 1 : 0;
    if (reached) reached(i, hit);
    if (outcome.finding) {
      auto on_base = fails_on(bench, Workbench::base_name, program);
      if (on_base && !shows_first(*outcome.finding, *on_base)) {
        ++result.base_fails;
        result.base_finding = on_base->title;
        continue;
      }
      const bool known = std::ranges::any_of(result.failures, [&](const auto& failure) {
        return failure.finding.key() == outcome.finding->key();
      });
      if (known || !fails_on(bench, Workbench::patched_name, program)) continue;
      result.failures.push_back({programs[i].name, program, *outcome.finding});
      if (result.failures.size() >= most_failures) break;
      continue;
    }
    if (noted->any && result.differences.size() < most_differences) {
      result.differences.push_back({programs[i].name, program, noted->step, noted->command.data(),
                                    noted->base.data(), noted->patched.data()});
    }
    const auto base = bench.base().probe->get()->counters();
    const auto patched = bench.patched().probe->get()->counters();
    for (const auto* const side : {&base, &patched}) {
      for (const auto& [name, value] : *side) {
        if (!is_cost(name)) continue;
        auto& cost = result.costs[name];
        (side == &base ? cost.base : cost.patched) += value;
        if (side == &base) continue;
        const auto was = base.find(name);
        const auto before = was == base.end() ? 0 : was->second;
        if (value > before && value - before > cost.growth) {
          cost.growth = value - before;
          cost.program = programs[i].name;
        }
      }
    }
  }
  return result;
}

}  // namespace lockstep::jobs::review
