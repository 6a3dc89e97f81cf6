// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/shrink_blocks.h"

#include <algorithm>
#include <utility>

namespace lockstep::props {
namespace {

/// Call visit(first, end) for each block.
template <typename Visit>
void each_block(const std::vector<Step>& steps, Visit&& visit) {
  for (std::size_t i = 0; i < steps.size();) {
    const std::size_t end = end_of_block(steps, i);
    if (end != i) visit(i, end);
    i = std::max(end, i + 1);
  }
}

}  // namespace

void mend_blocks(Program& program) {
  auto& steps = program.steps;
  // The schedule stood at the first step of the block, which may be gone.
  std::uint64_t schedule = 0;
  each_block(steps, [&](std::size_t first, std::size_t end) {
    unsigned thread = 0;
    std::uint64_t found = 0;
    std::optional<unsigned> before;
    for (std::size_t i = first; i < end; ++i) {
      if (before && *steps[i].thread != *before) ++thread;
      before = steps[i].thread;
      steps[i].thread = thread;
      found = std::max(found, std::exchange(steps[i].schedule, 0));
    }
    schedule = found != 0 ? found : schedule;
    if (thread == 0) {
      for (std::size_t i = first; i < end; ++i) steps[i].thread.reset();
    } else {
      steps[first].schedule = schedule;
    }
  });
  for (Step& step : steps) {
    if (!step.thread) step.schedule = 0;
  }
}

std::vector<Program> less_parallel(const Program& program) {
  std::vector<Program> result;
  const auto keep = [&](Program changed) {
    mend_blocks(changed);
    result.push_back(std::move(changed));
  };
  each_block(program.steps, [&](std::size_t first, std::size_t end) {
    Program sequence = program;
    for (std::size_t i = first; i < end; ++i) sequence.steps[i].thread.reset();
    keep(std::move(sequence));
    const auto& steps = program.steps;
    for (std::size_t i = first; i < end; ++i) {
      const bool begins = i == first || steps[i].thread != steps[i - 1].thread;
      const bool ends = i + 1 == end || steps[i].thread != steps[i + 1].thread;
      const auto move = [&](std::size_t to) {
        Program moved = program;
        Step step = moved.steps[i];
        step.thread.reset();
        const std::uint64_t schedule = moved.steps[first].schedule;
        step.schedule = 0;
        moved.steps.erase(moved.steps.begin() + static_cast<std::ptrdiff_t>(i));
        moved.steps.insert(moved.steps.begin() + static_cast<std::ptrdiff_t>(to), step);
        moved.steps[to == first ? first + 1 : first].schedule = schedule;
        keep(std::move(moved));
      };
      if (begins) move(first);
      if (ends) move(end - 1);
    }
  });
  return result;
}

Program with_schedule(Program program, std::uint64_t schedule) {
  each_block(program.steps,
             [&](std::size_t first, std::size_t) { program.steps[first].schedule = schedule; });
  return program;
}

}  // namespace lockstep::props
