// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/hosted_parallel_engine.h"

#include <map>
#include <utility>

#include "hw/hosted/engine.h"
#include "hw/hosted/open.h"
#include "props/parallel_block.h"
#include "props/schedule/random.h"
#include "spec/engine_insides.h"

namespace lockstep::props {
namespace {

class ParallelHosted final : public Engine, public Complains {
 public:
  explicit ParallelHosted(std::unique_ptr<hw::hosted::HostedEngine> engine)
      : engine_(std::move(engine)), platform_(engine_->platform()) {
    runner_.limit(schedule::most_steps);
  }

  std::string_view name() const override { return engine_->name(); }
  const Platform& platform() const override { return platform_; }

  Result<void> begin(const Configuration& configuration, bool fresh) override {
    failure_.clear();
    auto begun = engine_->begin(configuration, fresh);
    const Platform& now = engine_->platform();
    platform_.tdp = now.tdp;
    platform_.amd = now.amd;
    platform_.four_level_ept = now.four_level_ept;
    platform_.host_maxphyaddr = now.host_maxphyaddr;
    return begun;
  }
  Result<Observation> execute(const Command& command) override { return engine_->execute(command); }
  Result<Observation> end() override { return engine_->end(); }
  std::string complaint() const override {
    return engine_->complaint().empty() ? failure_ : engine_->complaint();
  }

  Result<std::vector<ParallelAnswer>> execute_parallel(
      std::span<const ParallelCommand> commands) override {
    if (auto begun = engine_->begin_block(runner_); !begun) return tl::unexpected(begun.error());
    // Grace periods end in the block, too, wherever the schedule has it.
    bool lost = false;
    schedule::Random graces(commands.empty() ? 0 : commands.front().schedule);
    auto block = run_block(runner_, commands, [&](const Command& command) {
      // CPU 0 sets up and takes down.
      engine_->be_cpu(runner_.self() + 1);
      auto seen = engine_->execute(command);
      if (runner_.over() || !seen) return seen;
      // The kernel is left where it stands, by every CPU.
      if (const auto* wrong = std::get_if<Unexpected>(&*seen)) {
        lost = engine_->complaint().empty();
        runner_.report(schedule::FailureKind::warning, wrong->what);
      }
      constexpr unsigned commands_a_grace = 3;
      if (graces.below(commands_a_grace) == 0) {
        engine_->grace();
        if (const auto text = engine_->findings(); !text.empty() && !runner_.over()) {
          runner_.report(schedule::FailureKind::warning, text);
        }
      }
      return seen;
    });
    if (!block) {
      engine_->abandon_block(block.error().message);
      return tl::unexpected(block.error());
    }
    ++blocks_;
    if (block->preemptions != 0) ++preempted_;
    if (block->failure) {
      // A vCPU that left the guest may have done so rightly.
      if (!lost) failure_ = *block->failure;
      engine_->abandon_block(*block->failure);
    } else {
      engine_->end_block();
      engine_->grace();
      if (std::string broken = engine_->judge_block(); !broken.empty() && !block->answers.empty()) {
        // Counts where the model is undecided, too.
        failure_ = broken;
        block->answers.back().observation = Unexpected{std::move(broken)};
      }
    }
    return std::move(block->answers);
  }

  const std::map<std::string, std::uint64_t>& reached() const override {
    reached_ = engine_->reached();
    if (blocks_ != 0) reached_["parallel block"] = blocks_;
    if (preempted_ != 0) reached_["parallel block with preemptions"] = preempted_;
    return reached_;
  }

 private:
  std::unique_ptr<hw::hosted::HostedEngine> engine_;
  Platform platform_;
  schedule::Runner runner_;
  std::string failure_;  ///< that a detector saw in a block of this program
  std::uint64_t blocks_ = 0;
  std::uint64_t preempted_ = 0;
  mutable std::map<std::string, std::uint64_t> reached_;
};

}  // namespace

bool runs_blocks_on_hosted(std::string_view engine) {
  const auto name = hw::parse_hosted_name(engine);
  return name && name->flavour == "asan+schedule";
}

Result<std::unique_ptr<Engine>> open_parallel_hosted(const std::filesystem::path& image,
                                                     std::string name) {
  auto engine = hw::hosted::HostedEngine::open_scheduled(image, std::move(name));
  if (!engine) return tl::unexpected(engine.error());
  return std::make_unique<ParallelHosted>(*std::move(engine));
}

}  // namespace lockstep::props
