// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "props/shrink_blocks.h"
#include "props/shrink_fold.h"
#include "props/shrink_values.h"

namespace lockstep::props {
namespace {

using Shared = std::shared_ptr<const Program>;

/// Removes runs of steps: halves, quarters ... single steps, the last first,
/// because later steps depend on earlier ones.
class WithoutChunks {
 public:
  explicit WithoutChunks(Shared program)
      : program_(std::move(program)), size_(program_->steps.size()), end_(size_) {}

  rc::Maybe<Program> operator()() {
    if (end_ == 0) {
      if (size_ <= 1) return rc::Nothing;
      size_ = (size_ + 1) / 2;
      end_ = program_->steps.size();
    }
    if (size_ == 0 || program_->steps.empty()) return rc::Nothing;
    const auto begin = end_ > size_ ? end_ - size_ : 0;
    Program smaller = *program_;
    const auto first = smaller.steps.begin();
    smaller.steps.erase(first + static_cast<std::ptrdiff_t>(begin),
                        first + static_cast<std::ptrdiff_t>(end_));
    end_ = begin;
    mend_blocks(smaller);
    return smaller;
  }

 private:
  Shared program_;
  std::size_t size_;
  std::size_t end_;
};

/// Simpler commands, one step at a time.
class SimplerSteps {
 public:
  explicit SimplerSteps(Shared program) : program_(std::move(program)) {}

  rc::Maybe<Program> operator()() {
    while (next_ == simpler_.size()) {
      if (step_ == program_->steps.size()) return rc::Nothing;
      simpler_ = simpler_commands(program_->steps[step_++].command, program_->configuration);
      next_ = 0;
    }
    Program smaller = *program_;
    smaller.steps[step_ - 1].command = simpler_[next_++];
    return smaller;
  }

 private:
  Shared program_;
  std::size_t step_ = 0;
  std::vector<Command> simpler_;
  std::size_t next_ = 0;
};

/// The program with a schedule that shows the failure, if one of a few does.
std::optional<Program> by_another_schedule(const Program& program, const StillFails& still_fails,
                                           std::uint64_t& tried) {
  constexpr std::uint64_t schedules = 24;
  const bool parallel = std::any_of(program.steps.begin(), program.steps.end(),
                                    [](const Step& step) { return step.thread.has_value(); });
  for (std::uint64_t schedule = 1; parallel && schedule <= schedules; ++schedule) {
    Program other = with_schedule(program, schedule);
    ++tried;
    if (still_fails(other)) return other;
  }
  return std::nullopt;
}

}  // namespace

rc::Seq<Program> shrinks(const Program& program) {
  const auto shared = std::make_shared<const Program>(program);
  return rc::seq::concat(
      rc::makeSeq<WithoutChunks>(shared), rc::seq::fromContainer(folded_programs(program)),
      rc::seq::fromContainer(less_parallel(program)),
      rc::seq::fromContainer(simpler_programs(program)), rc::makeSeq<SimplerSteps>(shared));
}

rc::Shrinkable<Program> with_shrinks(Program program) {
  return rc::shrinkable::shrinkRecur(std::move(program),
                                     [](const Program& value) { return shrinks(value); });
}

Shrunk shrink(const Program& program, const StillFails& still_fails,
              std::chrono::steady_clock::time_point deadline, const std::function<bool()>& stop) {
  Shrunk result;
  auto best = with_shrinks(program);
  for (;;) {
    auto candidates = best.shrinks();
    bool smaller = false;
    while (auto candidate = candidates.next()) {
      if (std::chrono::steady_clock::now() >= deadline || (stop && stop())) {
        result.program = best.value();
        return result;
      }
      const auto value = candidate->value();
      if (validate(value)) continue;
      ++result.tried;
      if (still_fails(value)) {
        best = std::move(*candidate);
      } else if (auto other = by_another_schedule(value, still_fails, result.tried)) {
        best = with_shrinks(std::move(*other));
      } else {
        continue;
      }
      smaller = true;
      break;
    }
    if (smaller) continue;
    result.program = best.value();
    result.minimal = true;
    return result;
  }
}

}  // namespace lockstep::props
