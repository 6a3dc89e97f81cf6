// SPDX-License-Identifier: GPL-2.0-or-later
/// `review`: does this patch change what the MMU does?
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"
#include "jobs/review/boot.h"
#include "jobs/review/diagnostics.h"
#include "jobs/review/facts.h"
#include "jobs/review/finding.h"
#include "jobs/review/schedule.h"
#include "jobs/review/stack.h"
#include "jobs/review/submission.h"
#include "props/verdict.h"

namespace lockstep::jobs::review {

/// What became of one patch of the series.
struct PatchReport {
  SubmittedPatch patch;
  bool tried = false;  ///< not after one that does not apply
  AppliedStep step;
  bool relevant = false;         ///< some file may be compiled into KVM
  std::optional<bool> compiles;  ///< none: not tried
  std::string compile_error;     ///< of a build that fails without a diagnostic
  std::vector<Diagnostic> diagnostics;
  std::string cannot_run;  ///< why the patched kernel does not even start, where the base does
  std::vector<Fact> facts;
  Reach reach;
  /// Where no changed line has code: whether the build has the same machine code.
  std::optional<bool> same_code;
  std::vector<ReviewFinding> findings;
  /// Seeded defects in the functions that the patch touches, by what earlier runs of
  /// `mutants` said of this kernel.
  struct Power {
    std::vector<std::string> detected;
    std::vector<std::string> missed;
    std::vector<std::string> unmeasured;
  };
  Power power;
  ScheduleReport schedules;
  BootReport boot;
  std::string cut_short;             ///< why less was run than there was time for
  std::vector<std::string> remarks;  ///< what was masked, not seen again, cut short
  std::uint64_t programs = 0;        ///< run on base and patched beside each other
  std::uint64_t cases = 0;           ///< of the search
  std::uint64_t commands = 0;
  double build_seconds = 0;
  double run_seconds = 0;
};

struct ReviewReport {
  std::string kernel;   ///< as asked for
  std::string release;  ///< "6.1.192"
  std::vector<std::string> notes;
  std::vector<PatchReport> patches;
  double seconds = 0;
  std::uint64_t seed = 0;
  bool interrupted = false;
};

struct ReviewOptions {
  Submission submission;
  std::string kernel;                        ///< version or path
  std::chrono::milliseconds budget{40'000};  ///< of running programs, all patches together
  std::uint64_t seed = 1;
  std::filesystem::path failures = "failures";
  std::filesystem::path corpus;       ///< folder of programs
  std::vector<std::string> expected;  ///< titles, kinds or counters that are intended
  /// Boot debug kernels, too, for as long as this.
  std::optional<std::chrono::milliseconds> boot;
  std::function<void(std::string_view)> progress;  ///< one line at a time; may be empty
  const std::atomic<bool>* stop = nullptr;         ///< not owned
};

/// Apply, build and run. Errors: the kernel cannot be had or built, a tool lacks.
hw::kernels::Result<ReviewReport> review(const ReviewOptions& options);

/// FAIL: some patch does not apply or compile, or has a finding that nobody
/// declared; no verdict: nothing of it could be run or reached.
props::Verdict verdict_of(const ReviewReport& report);
/// The verdict in a line: what the answer begins with.
std::string reason_of(const ReviewReport& report);

}  // namespace lockstep::jobs::review
