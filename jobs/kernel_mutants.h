// SPDX-License-Identifier: GPL-2.0-or-later
/// `mutants --kernel`: KVM with one seeded defect at a time, and whether random
/// programs find it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "hw/kernels/error.h"
#include "hw/kernels/mutant.h"
#include "jobs/schedule_hunt.h"
#include "jobs/schedules.h"
#include "props/verdict.h"

namespace lockstep::jobs {

/// What became of one mutant.
struct MutantRow {
  enum class State : std::uint8_t {
    absent,   ///< the tree lacks the code: nothing changed
    refused,  ///< it does not apply where its function is, or does not compile or link
    ran,
    no_verdict  ///< the machine or Lockstep failed, not the mutant; `finding` says how
  };

  std::string name;
  std::string title;
  State state = State::ran;
  /// A changed line ran, in the mutant or (of lines that it removes) in the base on
  /// the same programs; none if no changed line has code.
  std::optional<bool> reached;
  bool detected = false;
  std::string kind;      ///< of the finding; "broken" if the engine gave up;
                         ///< "not seen again", "masked by the base" and "no verdict" of what
                         ///< is no detection
  std::string finding;   ///< its title, or why it was refused
  std::string strategy;  ///< that detected it: "random", "corpus" where that did not,
                         ///< "schedules", or "blocks": random programs with parallel ones
  std::string why_not;   ///< the mutant's own word on why nothing detects it yet
  std::filesystem::path program;
  std::size_t steps = 0;   ///< of the program, as it was met
  double cpu_seconds = 0;  ///< to the detection, else in all
  /// CPU time that the search might use; of schedules it is the budget once a system.
  double limit_seconds = 0;
  double build_seconds = 0;
  std::uint64_t cases = 0;
};

struct Hunt;
/// Write down what came of the hunt for a mutant; `reached` only if it was detected.
void tell(const Hunt& found, MutantRow& row);

/// The plain image, asked about schedules.
struct PlainSchedules {
  std::function<ReplayedSchedule(const std::string& saved)> replay;
  /// With the seed and the time of the mutant's hunt; asked for what did not come back only.
  std::function<ScheduleHunt()> hunt;
};
/// Write down what came of a hunt with schedules: a failure detects if its text shows it
/// again and the plain image does not; a crash or a hang only if, besides, the plain image
/// went through seed and time of the hunt.
void tell(const ScheduleHunt& found, const PlainSchedules& plain, MutantRow& row);

struct KernelMutantsReport {
  std::string engine;   ///< "hosted:6.1"
  std::string release;  ///< "6.1.192"
  double seconds = 0;
  /// Titles of findings on the kernel without a mutant; none of them detects.
  std::vector<std::string> base_findings;
  std::vector<MutantRow> rows;
  bool interrupted = false;
};

struct KernelMutantsOptions {
  std::string kernel;                        ///< version or path
  std::vector<hw::kernels::Mutant> mutants;  ///< those to run
  std::chrono::milliseconds budget{20'000};  ///< CPU time of each
  std::uint64_t seed = 1;
  std::filesystem::path failures = "failures";
  /// Programs for what random ones do not detect; none if empty.
  std::filesystem::path corpus;
  std::function<void(std::string_view)> progress;  ///< one line at a time; may be empty
  std::function<void(const MutantRow&)> done;      ///< may be empty
  const std::atomic<bool>* stop = nullptr;         ///< not owned
};

/// Build and run them all. An error if the kernel cannot be had or built, or
/// Coccinelle is absent.
hw::kernels::Result<KernelMutantsReport> run_kernel_mutants(const KernelMutantsOptions& options);

/// pass: each that was reached was detected, or says why nothing can; fail: some was
/// reached and not detected; no verdict: none was reached, one was not detected and may
/// have been reached, one could not run, or the run was interrupted.
props::Verdict verdict_of(const KernelMutantsReport& report);
/// The verdict in a line.
std::string reason_of(const KernelMutantsReport& report);

/// A table of 72 columns for a mail; the undetected first.
std::string text_report(const KernelMutantsReport& report);
/// The array `mutants` of --json.
nlohmann::json json_rows(const KernelMutantsReport& report);

}  // namespace lockstep::jobs
