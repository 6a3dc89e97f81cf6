// SPDX-License-Identifier: GPL-2.0-or-later
/// The patched kernel booted beside its base, both with the kernel's own checks: what
/// only one of them reports.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hw/qemu/names.h"
#include "jobs/corpus_programs.h"
#include "jobs/review/finding.h"
#include "spec/engine.h"

namespace lockstep::jobs::review {

/// What was run, and what proves that it ran.
struct BootReport {
  struct Mode {
    std::string parameters;  ///< of the modules: "npt=1 tdp_mmu=0"
    std::uint64_t programs = 0;
    std::uint64_t skipped = 0;     ///< the mode cannot run them
    std::uint64_t undecided = 0;   ///< of the programs: cut short where the model says nothing
    std::uint64_t base_fails = 0;  ///< nothing can be said about the patch there
    std::string base_finding;      ///< title of one
    std::string unconfirmed;       ///< title of what a second run did not show
    std::string broken;            ///< why it was cut short
    /// The modules were taken out at the end: leaks would have been told.
    bool torn_down = false;
    double boot_seconds = 0;  ///< until both kernels took programs
    /// Paths of the base by count: faults that KVM fixed, trace points.
    std::map<std::string, std::uint64_t> reached;
  };
  bool asked = false;
  std::string not_run;  ///< why no kernel was booted
  std::vector<Mode> modes;
  double build_seconds = 0;
  double run_seconds = 0;
};

struct BootOptions {
  std::vector<NamedProgram> programs;              ///< the most telling first
  std::chrono::milliseconds budget{60'000};        ///< of programs; boots take their time
  std::size_t most_findings = 3;                   ///< of each mode
  std::function<void(std::string_view)> progress;  ///< may be empty
  const std::atomic<bool>* stop = nullptr;         ///< not owned
};

/// Boots a kernel in a mode; the names of the engines are Workbench::base_name and
/// patched_name.
using OpenBooted =
    std::function<Result<std::unique_ptr<Engine>>(hw::QemuMode mode, std::string_view name)>;

/// Run every program in every mode on both. Findings are those of the patched kernel
/// alone; none is shrunk.
std::vector<ReviewFinding> run_booted(const BootOptions& options, const OpenBooted& open,
                                      BootReport& report);

/// Programs that say nothing of the host: each once, with no vendor and no parameters.
std::vector<NamedProgram> without_hosts(const std::vector<NamedProgram>& programs);

/// "npt=1 tdp_mmu=0".
std::string parameters_of(hw::QemuMode mode);

/// The page's lines about it; empty if nobody asked.
std::string text_of(const BootReport& report);

}  // namespace lockstep::jobs::review
