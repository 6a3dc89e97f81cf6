// SPDX-License-Identifier: GPL-2.0-or-later
/// Base and patched kernel, ready to run side by side, each with what tells which
/// of its lines ran.
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "hw/hosted/build/line_coverage.h"
#include "hw/hosted/coverage.h"
#include "hw/kernels/changed_lines.h"
#include "hw/kernels/source.h"
#include "jobs/review/diagnostics.h"
#include "jobs/review/probe.h"
#include "props/engine_factory.h"
#include "props/tester.h"

namespace lockstep::jobs::review {

/// One line of a file.
struct Place {
  std::string file;
  unsigned line = 0;
  bool removed = false;  ///< numbered in the base; else in the patched tree
  auto operator<=>(const Place&) const = default;
};

/// An image of one kernel.
struct Kernel {
  std::filesystem::path image;
  std::shared_ptr<hw::hosted::Coverage> coverage;
  std::shared_ptr<const hw::hosted::LineCoverage> lines;
  std::shared_ptr<props::SharedObject<Probe>> probe;
  std::string said;  ///< by the compiler, of what it compiled

  /// Blocks of the lines that were added, or removed; empty where there is no code.
  std::vector<std::uint64_t> blocks(const std::vector<hw::kernels::ChangedLines>& changed,
                                    bool removed) const;
};

/// Build the source and open what measures it. `said` gets what the compiler said,
/// also where the build fails.
hw::kernels::Result<Kernel> build_kernel(const hw::kernels::Cache& cache,
                                         const hw::kernels::Source& source, unsigned place,
                                         std::string& said, const hw::kernels::Progress& progress);

/// Lines of a change that have code, and which of them ran.
struct Reach {
  std::vector<Place> code;
  std::vector<Place> reached;
  std::vector<Place> never;
};

/// The file alone, of a flavour (hw/hosted/build/flavour.h), linked for a place.
hw::kernels::Result<std::filesystem::path> build_image(const hw::kernels::Cache& cache,
                                                       const hw::kernels::Source& source,
                                                       std::string_view flavour, unsigned place,
                                                       const hw::kernels::Progress& progress);

class Workbench {
 public:
  /// Names of the engines in findings.
  static constexpr const char* base_name = "base";
  static constexpr const char* patched_name = "patched";

  Workbench(Kernel base, std::uint64_t seed) : base_(std::move(base)), seed_(seed) {}

  /// What the next patch of a series stands on.
  void set_base(Kernel base) { base_ = std::move(base); }
  void set_patched(Kernel patched, std::vector<hw::kernels::ChangedLines> changed);
  const Kernel& base() const { return base_; }
  const Kernel& patched() const { return patched_; }
  const std::vector<hw::kernels::ChangedLines>& changed() const { return changed_; }
  std::uint64_t seed() const { return seed_; }

  /// Makes "spec", "base" and "patched". `step_by_step`: the inside of each VM is
  /// checked after every command; else now and then.
  props::EngineFactory factory(bool step_by_step) const;
  /// A tester of these engines, step by step.
  props::TesterSetup setup(std::vector<std::string> engines) const;
  /// What the engine of that name can do; none before a child has opened it.
  std::optional<Platform> platform(const std::string& name) const;

  /// Whether a changed line ran since forget_reached(): added ones on the patched
  /// kernel, removed ones on the base.
  bool reached_any() const;
  /// Remember what ran, and begin anew.
  void forget_reached();
  /// Over everything that ran.
  Reach reach() const;
  /// Changed lines that ran since forget_reached().
  std::vector<Place> reached_now() const;

 private:
  bool ran(const Place& place) const;

  Kernel base_;
  Kernel patched_;
  std::vector<hw::kernels::ChangedLines> changed_;
  std::vector<Place> places_;  ///< with code
  std::set<Place> reached_;
  std::uint64_t seed_;
};

}  // namespace lockstep::jobs::review
