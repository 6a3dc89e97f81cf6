// SPDX-License-Identifier: GPL-2.0-or-later
/// The `impl` engine: parallel blocks, its whole MMU under a controlled schedule. A
/// fiber is one CPU; the steps are those that impl announces (locks, slots, dirty bits,
/// SPTEs of the TDP MMU, allocation), and each attempt of a guest access. What a CPU
/// does in the guest, from its entry to the use of a translation, is one step: KVM waits
/// for CPUs there when it flushes.
#include "props/impl_engine_class.h"
#include "props/parallel_block.h"

namespace lockstep::props::impl_engine {

Result<std::vector<ParallelAnswer>> ImplEngine::execute_parallel(
    std::span<const ParallelCommand> commands) {
  if (!machine_) return tl::unexpected(EngineError{"execute_parallel() without begin()"});
  for (const ParallelCommand& command : commands) {
    // What a vCPU needs is there before anybody runs.
    if (const auto index = vcpu_of(command.command)) {
      if (auto found = vcpu(*index); !found) return tl::unexpected(found.error());
    }
  }
  if (!runner_) runner_ = std::make_unique<schedule::Runner>();
  auto block = run_block(*runner_, commands, [this](const Command& command) {
    hit(Path::commands);
    return std::visit([this](const auto& alternative) { return run(alternative); }, command);
  });
  if (!block) return tl::unexpected(block.error());
  hit(Path::parallel_block);
  if (block->preemptions != 0) hit(Path::preempted);
  if (block->failure) {
    (void)complain(*block->failure);
    return std::move(block->answers);
  }
  // Several commands are no step that a rule about one command speaks of.
  before_.reset();
  if (check_commands_ && !block->answers.empty()) [[unlikely]] {
    if (std::string broken = broken_invariants(); !broken.empty()) {
      block->answers.back().observation = complain(std::move(broken));
    }
  }
  return std::move(block->answers);
}

}  // namespace lockstep::props::impl_engine
