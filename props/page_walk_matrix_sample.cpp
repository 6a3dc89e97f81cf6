// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix_sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "props/lockstep.h"
#include "props/page_walk_matrix_blocks.h"

namespace lockstep::props {
namespace {

using Clock = std::chrono::steady_clock;
using Random = std::mt19937_64;

/// The same on every standard library, unlike std::uniform_int_distribution.
template <typename Item>
const Item& pick(const std::vector<Item>& list, Random& random) {
  return list[random() % list.size()];
}

/// A legal case of the block with the registers of `registers`.
MatrixCase draw_case(const MatrixBlock& block, const MatrixCase& registers, Random& random) {
  MatrixCase c = registers;
  do {
    c.flags = registers.flags | pick(block.present, random) | pick(block.upper, random) |
              pick(block.pde, random) | pick(block.pte, random);
  } while (!block.legal_tables(c.flags));
  c.flags |= pick(block.pku, random) | pick(block.access, random);
  const auto& keys = pick(block.keys, random);
  c.key = keys.leaf;
  c.pkru_key = keys.pkru;
  const auto& stray = pick(block.stray, random);
  c.stray_level = stray.level;
  c.stray_bit = stray.bit;
  return c;
}

class Sample {
 public:
  explicit Sample(const MatrixSampleOptions& options) : options_(options), random_(options.seed) {
    result_.seed = options.seed;
  }

  MatrixSampleResult run() {
    const auto started = Clock::now();
    const auto elapsed = [&] { return Clock::now() - started; };
    while (elapsed() < options_.budget && !stopped() && open() &&
           result_.findings.size() < options_.max_findings &&
           (options_.max_programs == 0 || result_.programs < options_.max_programs)) {
      step();
      result_.seconds = std::chrono::duration<double>(elapsed()).count();
      if (options_.progress) {
        options_.progress({.seconds = result_.seconds,
                           .cases = result_.cases,
                           .findings = result_.findings.size()});
      }
    }
    judge();
    return std::move(result_);
  }

 private:
  bool stopped() const {
    return options_.stop != nullptr && options_.stop->load(std::memory_order_relaxed);
  }

  bool open() {
    if (lockstep_) return true;
    constexpr unsigned most_broken = 3;
    if (broken_ > most_broken) return false;
    const EngineFactory factory = options_.factory ? options_.factory : make_engine;
    auto engine = factory(options_.engine, options_.seed);
    if (!engine) {
      result_.reason = fmt::format("{}: {}", options_.engine, engine.error().message);
      return false;
    }
    std::vector<std::unique_ptr<Engine>> engines;
    engines.push_back(std::move(*engine));
    lockstep_.emplace(std::move(engines), options_.models ? options_.models : machine_models());
    return true;
  }

  /// Draw a batch and run it.
  void step() {
    const MatrixBlock& block = pick(matrix_blocks(), random_);
    const MatrixCase registers{.mode = block.mode,
                               .maxphyaddr = pick(block.maxphyaddr, random_),
                               .flags = pick(block.cpu, random_)};
    std::vector<MatrixCase> cases;
    while (cases.size() < std::clamp<std::size_t>(options_.batch, 1, matrix_batch)) {
      cases.push_back(draw_case(block, registers, random_));
    }
    std::erase_if(cases, [this](const MatrixCase& c) {
      const auto reason = no_program(c);
      if (reason) ++result_.skipped[*reason];
      return reason.has_value();
    });
    if (cases.empty()) return;
    std::vector<std::size_t> access_step;
    const Program program = matrix_program(cases, &access_step);
    if (const auto reason = lacks(lockstep_->engine(0).platform(), program)) {
      result_.skipped[*reason] += cases.size();
      return;
    }
    ++result_.programs;
    const Outcome outcome = lockstep_->run(program);
    result_.tdp = lockstep_->engine(0).platform().tdp;
    if (outcome.verdict == Verdict::pass) {
      result_.cases += cases.size();
      result_.blocks[std::string(block.name)] += cases.size();
      return;
    }
    if (outcome.finding) {
      found(*outcome.finding, program, cases, access_step);
    } else {
      result_.skipped["no verdict: " + outcome.reason] += cases.size();
      undecided_ = outcome.reason;
    }
    close_if(outcome);
  }

  void found(const Finding& finding, const Program& program, const std::vector<MatrixCase>& cases,
             const std::vector<std::size_t>& access_step) {
    MatrixSampleFinding saved{.finding = finding, .line = {}, .program = program, .alone = false};
    const auto at = finding.step ? std::find(access_step.begin(), access_step.end(), *finding.step)
                                 : access_step.end();
    if (at == access_step.end()) {
      saved.line = fmt::format("FAIL: {}", finding.title);
    } else {
      const MatrixCase& c = cases[static_cast<std::size_t>(at - access_step.begin())];
      saved.line = fmt::format("test {}: FAIL: {}", print(c), finding.title);
      const Program single = matrix_program(std::span(&c, 1));
      const Outcome again = lockstep_->run(single, {.fresh = true, .watch = {}});
      if (again.finding) {
        saved.finding = *again.finding;
        saved.program = single;
        saved.alone = true;
      }
      close_if(again);
    }
    result_.findings.push_back(std::move(saved));
  }

  /// A broken engine must not be used again.
  void close_if(const Outcome& outcome) {
    if (outcome.broken.empty()) return;
    ++broken_;
    undecided_ = outcome.reason;
    result_.reason = outcome.reason;
    tally();
    lockstep_.reset();
  }

  void tally() {
    if (!lockstep_) return;
    for (const auto& [path, times] : lockstep_->reached(0)) result_.reached[path] += times;
  }

  void judge() {
    tally();
    if (!result_.findings.empty()) {
      result_.verdict = Verdict::fail;
      result_.reason = result_.findings.front().line;
    } else if (!undecided_.empty()) {
      result_.reason = undecided_;
    } else if (result_.cases == 0) {
      if (result_.reason.empty()) result_.reason = "no case could run";
    } else {
      result_.verdict = Verdict::pass;
      result_.reason = fmt::format("{} cases sampled", result_.cases);
    }
  }

  const MatrixSampleOptions& options_;
  Random random_;
  std::optional<Lockstep> lockstep_;
  unsigned broken_ = 0;
  std::string undecided_;
  MatrixSampleResult result_;
};

}  // namespace

MatrixSampleResult run_page_walk_sample(const MatrixSampleOptions& options) {
  return Sample(options).run();
}

std::string text_report(const MatrixSampleResult& result, std::string_view engine) {
  std::string text;
  for (const auto& found : result.findings) {
    text += fmt::format("{}{}\n{}\n", found.line, found.alone ? "" : " (in its batch only)",
                        side_by_side(found.finding));
  }
  for (const auto& [reason, cases] : result.skipped) {
    text += fmt::format("  skipped {} cases: {}\n", cases, reason);
  }
  const double rate = result.seconds > 0 ? static_cast<double>(result.cases) / result.seconds : 0;
  text += fmt::format(
      "{} ({}): {} sampled cases in {} programs, seed {}, {} findings, {:.2f} s, "
      "{:.0f} cases/s\n",
      engine, result.tdp ? "tdp" : "shadow", result.cases, result.programs, result.seed,
      result.findings.size(), result.seconds, rate);
  return text;
}

}  // namespace lockstep::props
