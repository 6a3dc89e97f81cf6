// SPDX-License-Identifier: GPL-2.0-or-later
/// The engine `qemu:VERSION`: programs on the `kvm` engine inside a kernel that QEMU
/// runs, beside what that kernel says of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "hw/qemu/kernel.h"
#include "hw/qemu/machine.h"
#include "hw/qemu/names.h"
#include "hw/qemu/splat.h"
#include "spec/engine.h"
#include "spec/engine_insides.h"

namespace lockstep::hw::qemu {

struct EngineOptions {
  std::string name;  ///< as on the command line
  QemuMode mode = QemuMode::tdp_mmu;
  DebugKernel kernel;
  std::filesystem::path initramfs;
};

/// A splat is the answer Unexpected to the command during which the kernel printed it;
/// the next program then has a kernel that booted anew, for a kernel says most of these
/// things once. A guest that does not answer is booted again and asked for the same
/// program once more by whoever drives the engine.
class QemuEngine final : public Engine, public HasKernelLog {
 public:
  /// Boot, load the modules, open the engine inside, find the known deviations of TCG.
  static Result<std::unique_ptr<QemuEngine>> open(EngineOptions options);

  std::string_view name() const override { return options_.name; }
  const Platform& platform() const override { return platform_; }
  Result<void> begin(const Configuration& configuration, bool fresh) override;
  Result<Observation> execute(const Command& command) override;
  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override;
  Result<Observation> end() override;
  const std::map<std::string, std::uint64_t>& reached() const override { return reached_; }
  std::string complaint() const override;
  Result<Observation> tear_down() override;

  /// From the start of QEMU to the first request, of the last boot.
  std::chrono::duration<double> boot_time() const { return machine_->boot_time(); }

 private:
  explicit QemuEngine(EngineOptions options) : options_(std::move(options)) {}

  Result<void> restart();
  Result<void> load_modules();
  Result<void> find_deviations();
  /// The observation as the platform would have it without its known deviations.
  Observation repaired(Observation observation);
  /// Every splat since begin(); none if the kernel is content.
  std::optional<Observation> new_splat(bool flush);
  /// The answer that the failure of begin() left for the next command.
  std::optional<Observation> take_pending() { return std::exchange(pending_, std::nullopt); }
  /// What the failure of a request means: a splat, or no answer at all.
  Result<Observation> meaning(const Machine::Failure& failure);
  /// Bring reached() up to date.
  void count();

  EngineOptions options_;
  Platform platform_;
  std::unique_ptr<Machine> machine_;
  PagingMode mode_ = PagingMode::level4;
  std::size_t program_start_ = 0;  ///< in the console
  std::vector<Splat> splats_;      ///< of the program
  bool spoiled_ = false;           ///< the kernel must boot again
  bool open_ = false;
  /// What the kernel said before its first program is that program's to tell.
  bool booting_ = true;
  std::optional<Observation> pending_;
  bool reserved_deviates_ = false;
  Counts reached_;
  Counts own_;     ///< of this side: boots, splats, deviations
  Counts gone_;    ///< of kernels that are gone
  Counts inside_;  ///< of the kernel that runs
};

}  // namespace lockstep::hw::qemu
