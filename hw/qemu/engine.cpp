// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "hw/kernels/cache.h"
#include "spec/program.h"

namespace lockstep::hw::qemu {
namespace {

using Failure = Machine::Failure;

constexpr auto load_patience = std::chrono::seconds(60);
/// The engine inside tries every paging mode.
constexpr auto open_patience = std::chrono::seconds(180);
/// Its own watchdog gives an access up long before.
constexpr auto command_patience = std::chrono::seconds(60);

/// QEMU 7.2 leaves P out of the error code of a page fault for a reserved bit.
constexpr std::string_view reserved_without_present = "tcg-rsvd";

EngineError error_of(std::string_view what, const Failure& failure) {
  return EngineError{fmt::format("{}: {}", what, failure.message)};
}

std::string parameters_of(const std::filesystem::path& module, QemuMode mode) {
  if (module.filename() == "kvm.ko") return std::string(kvm_parameters(mode));
  if (module.filename() == "kvm-amd.ko") return std::string(kvm_amd_parameters(mode));
  return {};
}

}  // namespace

Result<std::unique_ptr<QemuEngine>> QemuEngine::open(EngineOptions options) {
  std::unique_ptr<QemuEngine> engine(new QemuEngine(std::move(options)));
  if (auto started = engine->restart(); !started) return tl::unexpected(started.error());
  const auto said = engine->program_start_;
  if (auto found = engine->find_deviations(); !found) return tl::unexpected(found.error());
  // A kernel says some things once: the first program tells what it said until now.
  engine->booting_ = true;
  engine->program_start_ = said;
  engine->spoiled_ = false;
  return engine;
}

Result<void> QemuEngine::restart() {
  machine_.reset();
  for (const auto& [name, value] : std::exchange(inside_, {})) gone_[name] += value;
  ++own_["kernel booted"];
  const MachineOptions machine{.image = options_.kernel.image, .initramfs = options_.initramfs};
  auto booted = Machine::boot(machine);
  // QEMU hangs now and then: that says nothing about the kernel.
  if (!booted && booted.error().kind == Failure::Kind::hung) {
    ++own_["boot retried"];
    booted = Machine::boot(machine);
  }
  if (!booted) return tl::unexpected(EngineError{booted.error().message});
  machine_ = std::move(*booted);
  spoiled_ = false;
  booting_ = true;
  pending_.reset();
  splats_.clear();
  program_start_ = machine_->console().size();
  if (auto loaded = load_modules(); !loaded) return loaded;
  const auto opened = machine_->ask({Verb::open, {}}, open_patience);
  if (!opened) return tl::unexpected(error_of("the engine inside does not open", opened.error()));
  auto platform = parse_platform(*opened);
  if (!platform) return tl::unexpected(EngineError{platform.error()});
  // What this side found at the first boot.
  if (reserved_deviates_) platform->deviations.emplace_back(reserved_without_present);
  platform_ = std::move(*platform);
  platform_.provenance.emplace_back("kernel image", options_.kernel.image.string());
  platform_.provenance.emplace_back("emulator", "QEMU TCG with SVM, one CPU");
  platform_.provenance.emplace_back("sandbox", machine_->sandboxed() ? "bubblewrap" : "none");
  platform_.provenance.emplace_back("boot", fmt::format("{:.1f} s", boot_time().count()));
  count();
  return {};
}

Result<void> QemuEngine::load_modules() {
  for (const auto& path : options_.kernel.modules) {
    auto image = kernels::read_file(path);
    if (!image) return tl::unexpected(EngineError{image.error().message});
    const LoadModule module{path.stem().string(), parameters_of(path, options_.mode),
                            *std::move(image)};
    const auto loaded = machine_->ask({Verb::load, write_load(module)}, load_patience);
    if (loaded) continue;
    // The kernel tells why better than the errno.
    std::string said;
    for (const auto& splat : find_splats(machine_->console())) said += "\n" + splat.text;
    auto error = error_of(path.filename().string() + " does not load", loaded.error());
    error.message += said;
    return tl::unexpected(std::move(error));
  }
  return {};
}

Result<void> QemuEngine::find_deviations() {
  // TCG walks the guest's tables under NPT alone; with shadow paging KVM does.
  if (options_.mode == QemuMode::shadow) return {};
  // Bits 13 to 20 of an entry for a page of 2 MiB are reserved on every processor.
  constexpr Gpa root = 0x1000, pdpt = 0x2000, pd = 0x3000;
  constexpr std::uint64_t rights = entry::present | entry::writable | entry::user;
  constexpr std::uint64_t reserved_bit = 1ull << 13;
  Configuration configuration;
  configuration.memory = 4ull << 20;
  configuration.roots = {root};
  const std::vector<Command> commands = {
      SlotAdd{.size = configuration.memory},
      EntrySet{
          .vcpu = std::nullopt, .level = TableLevel::pml4, .table = root, .value = pdpt | rights},
      EntrySet{
          .vcpu = std::nullopt, .level = TableLevel::pdpt, .table = pdpt, .value = pd | rights},
      EntrySet{.vcpu = std::nullopt,
               .level = TableLevel::pd,
               .table = pd,
               .value = rights | entry::page_size | reserved_bit},
      Access{.kind = AccessKind::read, .cpl = Cpl::user, .gva = 0}};
  if (auto begun = begin(configuration, true); !begun) return begun;
  Observation last;
  for (const auto& command : commands) {
    auto seen = execute(command);
    if (!seen) return tl::unexpected(seen.error());
    last = std::move(*seen);
  }
  if (auto ended = end(); !ended) return tl::unexpected(ended.error());
  const auto* const fault = std::get_if<PageFault>(&last);
  if (fault != nullptr && (fault->code & fault::reserved) != 0 &&
      (fault->code & fault::present) == 0) {
    reserved_deviates_ = true;
    platform_.deviations.emplace_back(reserved_without_present);
  }
  return {};
}

Observation QemuEngine::repaired(Observation observation) {
  auto* const seen = std::get_if<PageFault>(&observation);
  const bool deviates =
      seen != nullptr && (seen->code & fault::reserved) != 0 && (seen->code & fault::present) == 0;
  if (deviates && std::ranges::find(platform_.deviations, reserved_without_present) !=
                      platform_.deviations.end()) {
    seen->code |= fault::present;
    ++own_[fmt::format("deviation {}", reserved_without_present)];
  }
  return observation;
}

void QemuEngine::count() {
  reached_ = own_;
  for (const auto* part : {&gone_, &inside_}) {
    for (const auto& [name, value] : *part) reached_[name] += value;
  }
}

std::optional<Observation> QemuEngine::new_splat(bool flush) {
  machine_->listen();
  const auto said = [this] { return std::string_view(machine_->console()).substr(program_start_); };
  if (!flush && !has_splat(said())) return std::nullopt;
  // The report whole; a kernel that is gone has said all.
  (void)machine_->flush_console();
  splats_ = find_splats(said());
  if (splats_.empty()) return std::nullopt;
  spoiled_ = true;
  ++own_["splat"];
  return Unexpected{splats_.front().title};
}

Result<Observation> QemuEngine::meaning(const Failure& failure) {
  machine_->listen();
  splats_ = find_splats(std::string_view(machine_->console()).substr(program_start_));
  if (!splats_.empty()) {
    spoiled_ = true;
    ++own_["splat"];
    return Unexpected{splats_.front().title};
  }
  if (failure.kind == Failure::Kind::refused) {
    return tl::unexpected(EngineError{failure.message});
  }
  spoiled_ = true;
  return tl::unexpected(
      EngineError{fmt::format("{}, and its kernel said nothing", failure.message)});
}

Result<void> QemuEngine::begin(const Configuration& configuration, bool fresh) {
  if (spoiled_ || machine_ == nullptr) {
    if (auto started = restart(); !started) return started;
  }
  pending_.reset();
  splats_.clear();
  if (!std::exchange(booting_, false)) program_start_ = machine_->console().size();
  mode_ = configuration.paging;
  const auto begun =
      machine_->ask({Verb::begin, write_begin({fresh, configuration})}, command_patience);
  open_ = begun.has_value();
  if (begun) return {};
  auto what = meaning(begun.error());
  if (!what) return tl::unexpected(what.error());
  // A kernel that falls here has shown something: the first command tells what.
  pending_ = *std::move(what);
  open_ = true;
  return {};
}

Result<Observation> QemuEngine::execute(const Command& command) {
  if (auto pending = take_pending()) return *std::move(pending);
  const auto answered = machine_->ask({Verb::execute, print(command, mode_)}, command_patience);
  if (!answered) return meaning(answered.error());
  if (auto splat = new_splat(false)) return *std::move(splat);
  auto seen = parse_observation_line(*answered, command);
  if (!seen) return tl::unexpected(EngineError{seen.error()});
  return repaired(*std::move(seen));
}

Result<std::vector<ParallelAnswer>> QemuEngine::execute_parallel(
    std::span<const ParallelCommand> commands) {
  if (auto pending = take_pending()) {
    return std::vector<ParallelAnswer>(commands.size(), {*pending, 0, 1});
  }
  const auto answered =
      machine_->ask({Verb::parallel, write_parallel(commands, mode_)}, command_patience);
  std::optional<Observation> odd;
  if (!answered) {
    auto what = meaning(answered.error());
    if (!what) return tl::unexpected(what.error());
    odd = *std::move(what);
  } else {
    odd = new_splat(false);
  }
  if (odd) return std::vector<ParallelAnswer>(commands.size(), {*odd, 0, 1});
  auto answers = parse_parallel_answers(*answered, commands);
  if (!answers) return tl::unexpected(EngineError{answers.error()});
  for (auto& answer : *answers) answer.observation = repaired(std::move(answer.observation));
  return *std::move(answers);
}

Result<Observation> QemuEngine::end() {
  if (!std::exchange(open_, false)) return tl::unexpected(EngineError{"end() without begin()"});
  if (auto pending = take_pending()) {
    count();
    return *std::move(pending);
  }
  // A kernel that is to boot anew has said what there was to say.
  if (spoiled_) {
    count();
    return Done{};
  }
  const auto answered = machine_->ask({Verb::end, {}}, command_patience);
  if (!answered) return meaning(answered.error());
  if (auto flushed = machine_->flush_console(); !flushed) return meaning(flushed.error());
  if (auto splat = new_splat(true)) return *std::move(splat);
  std::string_view rest = *answered;
  auto seen = parse_observation_line(take_line(rest), SlotDelete{});
  if (!seen) return tl::unexpected(EngineError{seen.error()});
  inside_ = parse_counts(rest);
  count();
  return *std::move(seen);
}

Result<Observation> QemuEngine::tear_down() {
  if (spoiled_ || machine_ == nullptr) return Done{};
  splats_.clear();
  program_start_ = machine_->console().size();
  // Objects that are left in a cache are told by its end, which the module's end brings.
  for (auto module = options_.kernel.modules.rbegin(); module != options_.kernel.modules.rend();
       ++module) {
    const auto gone = machine_->ask({Verb::unload, module->stem().string()}, load_patience);
    if (!gone) {
      spoiled_ = true;
      return meaning(gone.error());
    }
  }
  auto splat = new_splat(true);
  spoiled_ = true;
  if (splat) return *std::move(splat);
  return Done{};
}

std::string QemuEngine::complaint() const {
  std::string text;
  for (const auto& splat : splats_) text += splat.text;
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

}  // namespace lockstep::hw::qemu
