// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace lockstep::hw::hosted {
namespace {

constexpr std::uint64_t huge_page = 2ull << 20;
/// KVM_MEM_MAX_NR_PAGES: larger slots are refused by KVM itself.
constexpr std::uint64_t largest_slot_pages = (1ull << 31) - 1;

/// The slot, if KVM takes it, lets the guest reach host memory outside the
/// program's.
bool escapes(const UserSlots::Region& region, std::uint64_t memory) {
  if (region.size == 0) return false;
  if (region.size % page_size != 0 || region.hva % page_size != 0) return false;
  if (region.size >> page_shift > largest_slot_pages) return false;
  return region.hva > memory || memory - region.hva < region.size;
}

/// What TLBs evict differs between programs, and never between two runs of one.
std::uint64_t eviction_seed(const Configuration& configuration) {
  std::uint64_t seed = 0x9e37'79b9'7f4a'7c15;
  const auto mix = [&seed](std::uint64_t value) {
    seed = (seed ^ value) * 0xff51'afd7'ed55'8ccd;
    seed ^= seed >> 32;
  };
  mix(static_cast<std::uint64_t>(configuration.paging));
  mix(configuration.vcpus);
  mix(configuration.maxphyaddr);
  mix(static_cast<std::uint64_t>(configuration.dirty_log));
  mix(configuration.memory);
  for (unsigned bit = 0; bit < control_bit_count; ++bit) {
    mix(configuration.control.has(static_cast<ControlBit>(bit)) ? 1 : 0);
  }
  mix(configuration.host.fail_allocation.value_or(0));
  mix(configuration.host.race.value_or(0));
  return seed | 1;
}

}  // namespace

HostedEngine::HostedEngine(std::filesystem::path image, std::string name, Coverage* coverage)
    : image_file_(std::move(image)), name_(std::move(name)), coverage_(coverage) {}

HostedEngine::~HostedEngine() {
  machine_.reset();
  leave_cpus();
}

/// An arena that has room for a program's memory.
Result<void> HostedEngine::grow(std::uint64_t memory) {
  const std::uint64_t least = scheduled_ ? 2ull << 20 : 16ull << 20;
  const std::uint64_t wanted = std::max(least, (memory + huge_page - 1) & ~(huge_page - 1));
  if (session_ && session_->arena().size().program_bytes >= wanted) return {};
  machine_.reset();
  session_.reset();
  instructions_ = {};
  baseline_.reset();
  // What is scheduled is put back after each run: it is kept small.
  constexpr std::uint64_t pool_bytes = 16ull << 20;
  auto session =
      scheduled_ ? Session::open(image_file_,
                                 {.program_bytes = wanted, .spare_pages = 64, .kernel_pages = 1536},
                                 coverage_, pool_bytes)
                 : Session::open(image_file_, {.program_bytes = wanted}, coverage_);
  if (!session) return tl::unexpected(session.error());
  session_ = std::move(*session);
  return {};
}

hosted_parameters HostedEngine::parameters_for(const Configuration& configuration) const {
  const HostParameters& host = configuration.host;
  hosted_parameters wanted{};
  wanted.intel = intel_works_ && host.vendor == Vendor::intel ? 1 : 0;
  wanted.tdp = configuration.mmu != MmuKind::shadow ? 1 : 0;
  wanted.tdp_mmu = host.tdp_mmu.value_or(true) ? 1 : 0;
  wanted.eager_page_split = host.eager_page_split.value_or(true) ? 1 : 0;
  wanted.nx_huge_pages = host.nx_huge_pages.value_or(false) ? 1 : 0;
  wanted.ept_accessed_dirty = host.ad_bits.value_or(true) ? 1 : 0;
  // Where it means nothing, no other module is wanted for it.
  const bool logs = wanted.intel != 0 && wanted.tdp != 0 && wanted.ept_accessed_dirty != 0;
  wanted.pml = logs && host.pml.value_or(true) ? 1 : 0;
  const bool five = configuration.paging == PagingMode::level5 || host.five_levels.value_or(false);
  wanted.five_level = five ? 1 : 0;
  wanted.physical_bits = !five ? 46 : host.spare_bit.value_or(false) ? 51 : 52;
  return wanted;
}

void HostedEngine::build_harness(PagingMode mode) {
  auto& instructions = instructions_[static_cast<std::size_t>(mode)];
  Arena& arena = session_->arena();
  if (!arena.restore_harness(mode)) {
    build_guest_image(arena.harness(mode), mode);
    instructions = read_instructions(arena.harness(mode), mode);
    arena.keep_harness(mode);
  }
  code_ = &*instructions;
}

Result<void> HostedEngine::prepare(const Configuration& configuration) {
  if (auto grown = grow(configuration.memory); !grown) return grown;
  const hosted_parameters wanted = parameters_for(configuration);
  if (session_->host().tainted() ||
      std::memcmp(&wanted, &session_->parameters(), sizeof wanted) != 0) {
    baseline_.reset();
  }
  if (session_->host().tainted()) counts_.hit(Path::image_reset);
  if (auto loaded = session_->load(wanted); !loaded) return loaded;
  Arena& arena = session_->arena();
  if (auto reset = arena.reset(configuration.memory, /*huge=*/true); !reset) return reset;
  session_->tell_levels(0, arena.size().program_bytes / page_size);
  build_harness(configuration.paging);
  if (!baseline_) baseline_ = counters();
  session_->processors().reset({.mode = configuration.paging,
                                .host_maxphyaddr = session_->cpuid().maxphyaddr(),
                                .amd = wanted.intel == 0,
                                .seed = eviction_seed(configuration)},
                               configuration.vcpus);
  platform_.tdp = wanted.tdp != 0;
  platform_.amd = session_->cpuid().amd();
  platform_.four_level_ept = wanted.intel != 0;
  platform_.host_maxphyaddr = session_->cpuid().maxphyaddr();
  return {};
}

Result<void> HostedEngine::begin(const Configuration& configuration, bool /*fresh*/) {
  machine_.reset();
  leave_cpus();
  slots_.clear();
  abandoned_.clear();
  complaint_.clear();
  full_rings_ = {};
  commands_ = host_changes_ = 0;
  before_.reset();
  check_commands_ = checks_commands();
  if (configuration.smm) return tl::unexpected(EngineError{"this engine has no guest for SMM"});
  if (configuration.vcpus == 0 || configuration.vcpus > harness_max_vcpus ||
      configuration.roots.empty()) {
    return tl::unexpected(EngineError{"a hosted program has 1 to 16 vCPUs and a root table"});
  }
  if (scheduled_) {
    // Frames and objects have the same numbers whatever ran before.
    baseline_.reset();
    if (auto recovered = session_->recover(); !recovered) return recovered;
  }
  if (auto prepared = prepare(configuration); !prepared) return prepared;
  layout_ = HarnessLayout::of(configuration.paging);
  root_entries_ = harness_root_entries(configuration.paging);
  roots_planted_ = false;
  met_mmio_ = false;
  aliases_.clear();
  session_->forget_warnings();
  session_->contend(configuration.host.contended.value_or(false));
  const bool early = configuration.host.early_grace.value_or(false);
  counts_.hit(early ? Path::grace_early : Path::grace_late);
  session_->hurry(early);
  const auto& failing = configuration.host.fail_allocation;
  session_->host().set_faults(failing ? FaultPlan::nth(*failing) : faults_);
  session_->arena().set_special(configuration.host.pfnmap.value_or(false));
  session_->host().no_race();
  if (configuration.host.race) {
    session_->host().race_at(*configuration.host.race,
                             [this](std::uint64_t address) { move_while_used(address); });
  }
  configuration_ = configuration;
  KernelFile first;
  if (scheduled_) {
    auto kept = keep_cpu();
    if (!kept) return tl::unexpected(kept.error());
    first = std::move(*kept);
  }
  auto machine = Machine::create(*session_, configuration);
  if (!machine) {
    session_->host().pause_faults();
    const std::string left = session_->host().tainted() ? std::string() : leaks();
    if (left.empty()) return tl::unexpected(machine.error());
    return tl::unexpected(EngineError{machine.error().message + "; " + left});
  }
  counts_.hit(Path::vm_created);
  machine_ = std::move(*machine);
  return {};
}

std::optional<hosted_counters> HostedEngine::counters() {
  auto now = session_->quiet_counters();
  if (!now) return now;
  const auto small = std::ranges::count(session_->told_levels(), std::uint8_t{1});
  now->pages -= static_cast<hosted_u64>(small);
  return now;
}

std::string HostedEngine::leaks() {
  Arena& arena = session_->arena();
  if (!arena.reset(configuration_.memory, /*huge=*/true)) return "memory that cannot be reset";
  session_->tell_levels(0, arena.size().program_bytes / page_size);
  const auto now = counters();
  if (!now || !baseline_) return {};
  std::string text = leaks_between(*baseline_, *now);
  if (text.empty()) return text;
  // A module that goes would be blamed for it, as the kernel blames it.
  session_->host().taint();
  return "leak: " + text;
}

std::string HostedEngine::leaks_between(const hosted_counters& before,
                                        const hosted_counters& now) const {
  std::string text;
  const auto compare = [&](const char* what, hosted_u64 then, hosted_u64 after) {
    if (then == after) return;
    text += fmt::format("{}{} {} (before: {})", text.empty() ? "" : ", ", after, what, then);
  };
  compare("objects", before.objects, now.objects);
  compare("pages", before.pages, now.pages);
  compare("references of user pages", before.references, now.references);
  compare("locks held", before.locks, now.locks);
  compare("RCU callbacks", before.rcu_pending, now.rcu_pending);
  compare("shadow pages in the shrinker's count", before.shrinkable, now.shrinkable);
  compare("SRCU read-side sections", before.srcu_nesting, now.srcu_nesting);
  compare("virtual machines", before.virtual_machines, now.virtual_machines);
  compare("references of the user's mm", before.mm_references, now.mm_references);
  compare("references of the user's task", before.task_references, now.task_references);
  return text;
}

Result<Observation> HostedEngine::end() {
  if (!machine_) return tl::unexpected(EngineError{"end() without begin()"});
  // Nothing fails while the end is judged; the plan's counts stay.
  session_->host().pause_faults();
  if (!session_->host().tainted()) {
    statistics_.add(*session_, machine_->vm(), /*is_vcpu=*/false);
    for (const MachineVcpu& vcpu : machine_->vcpus()) {
      statistics_.add(*session_, vcpu.file, /*is_vcpu=*/true);
    }
  }
  const std::string broken = judge_invariants();
  machine_.reset();
  leave_cpus();
  // What a fatal finding left behind goes with the image.
  if (!abandoned_.empty()) return Unexpected{abandoned_};
  std::string text = leaks();
  for (const std::string& found : {session_->findings(), broken}) {
    if (!found.empty()) text = text.empty() ? found : found + "; " + text;
  }
  if (text.empty()) return Done{};
  return complain(std::move(text));
}

Observation HostedEngine::complain(std::string what) {
  if (complaint_.empty()) complaint_ = what;
  return Unexpected{std::move(what)};
}

Observation HostedEngine::with_findings(Observation seen) {
  Host& host = session_->host();
  if (!host.has_findings()) return seen;
  const bool fatal = host.tainted();
  std::string text = session_->findings();
  if (fatal) abandoned_ = text;
  if (text.empty()) return seen;  // known ones only
  return complain(std::move(text));
}

Observation HostedEngine::failed(std::optional<long> result) {
  // Without a result, with_findings() says why.
  if (!result) return Unexpected{"the kernel did not come back"};
  return Errno{static_cast<int>(-*result)};
}

Result<Observation> HostedEngine::execute(const Command& command) {
  if (!machine_) return tl::unexpected(EngineError{"execute() without begin()"});
  if (!abandoned_.empty()) return Unexpected{"the kernel is dead: " + abandoned_};
  if (const auto vcpu = vcpu_of(command); vcpu && *vcpu >= configuration_.vcpus) {
    return tl::unexpected(EngineError{fmt::format("no vCPU {}", *vcpu)});
  }
  counts_.hit(Path::commands);
  ++commands_;
  Result<Observation> seen = std::visit([this](const auto& what) { return on(what); }, command);
  if (session_->host().has_findings()) [[unlikely]] {
    return with_findings(seen ? *std::move(seen) : Observation(Done{}));
  }
  if (check_commands_ &&
      (commands_ <= longest_checked || checks_ == InvariantChecks::every_command)) {
    if (std::string broken = broken_invariants(); !broken.empty()) {
      return complain(std::move(broken));
    }
  }
  return seen;
}

Result<Observation> HostedEngine::not_lowered() {
  return tl::unexpected(EngineError{"a program must be lowered before it is executed"});
}

HostedEngine::Leaves HostedEngine::leaves() {
  Leaves now{};
  if (scheduled_ || session_->parameters().eager_page_split == 0) return now;
  (void)session_->host().enter([&] {
    return long{session_->image().boundary().leaves(machine_->vm().number(), now.data())};
  });
  return now;
}

void HostedEngine::count_splits(const Leaves& before) {
  // No guest ran: what is smaller and new was split from what is larger and gone.
  const Leaves now = leaves();
  const bool into_small = now[0] > before[0] && (now[1] < before[1] || now[2] < before[2]);
  const bool into_large = now[1] > before[1] && now[2] < before[2];
  if (into_small || into_large) counts_.hit(Path::eager_split);
}

Result<Observation> HostedEngine::set_slot(const Command& command) {
  const UserSlots::Region region = *slots_.region(command);
  if (region.id == harness::first_slot) {
    return tl::unexpected(EngineError{fmt::format("slot {} is the harness'", region.id)});
  }
  if (escapes(region, configuration_.memory)) {
    return tl::unexpected(
        EngineError{fmt::format("slot {} leaves the program's memory", region.id)});
  }
  const bool may_split = std::holds_alternative<SlotFlags>(command);
  const Leaves before = may_split ? leaves() : Leaves{};
  const auto set = machine_->set_slot(region);
  if (may_split) count_splits(before);
  if (set != 0) {
    counts_.hit(Path::slot_errno);
    return failed(set);
  }
  counts_.hit(Path::slot_ok);
  slots_.accept(region);
  aliases_.add(region.gpa, region.hva, region.size);
  roots_planted_ = false;
  return Done{};
}

Result<Observation> HostedEngine::on(const Poke& command) {
  const std::optional<Hva> hva = slots_.hva(command.gpa);
  if (!hva || !session_->arena().store(*hva, command.value, command.size)) return Errno{EFAULT};
  return Done{};
}

Result<Observation> HostedEngine::on(const Peek& command) {
  const std::optional<Hva> hva = slots_.hva(command.gpa);
  std::uint64_t value = 0;
  if (!hva || !session_->arena().load(*hva, value, command.size)) return Errno{EFAULT};
  return Value{value};
}

Result<Observation> HostedEngine::on(const DirtyGet& command) {
  const UserSlots::Region* const slot = slots_.find(command.id);
  DirtyBitmap bitmap;
  bitmap.pages = slot == nullptr ? 0 : slot->size >> page_shift;
  bitmap.words.assign((bitmap.pages + 63) / 64, 0);
  counts_.hit(Path::dirty_get);
  const auto got = machine_->get_dirty(command.id, bitmap.words);
  if (got != 0) return failed(got);
  return bitmap;
}

Result<Observation> HostedEngine::on(const DirtyClear& command) {
  // KVM checks the count against the slot before it reads the bitmap, so the
  // buffer never needs to cover more than the slot.
  const UserSlots::Region* const slot = slots_.find(command.id);
  const std::uint64_t slot_pages = slot == nullptr ? 0 : slot->size >> page_shift;
  const std::uint64_t covered = std::min<std::uint64_t>(command.count, slot_pages);
  std::vector<std::uint64_t> words((covered + 63) / 64 + 1, ~0ull);
  counts_.hit(Path::dirty_clear);
  const Leaves before = leaves();
  const auto cleared = machine_->clear_dirty(command.id, command.first, command.count, words);
  count_splits(before);
  if (cleared != 0) return failed(cleared);
  return Done{};
}

const std::map<std::string, std::uint64_t>& HostedEngine::reached() const {
  for (std::size_t i = 0; i < path_names.size(); ++i) {
    if (counts_.of(i) != 0) reached_[std::string(path_names[i])] = counts_.of(i);
  }
  const Processors::Counts& counts = session_->processors().counts();
  const std::pair<const char*, std::uint64_t> processor[] = {
      {"vm entry", counts.entries},
      {"tlb hit", counts.tlb_hits},
      {"page fault", counts.page_faults},
      {"nested fault", counts.nested_faults},
      {"emulated", counts.emulated},
      {"event injected", counts.injected},
      {"tlb flush", counts.flushes},
      {"tlb invalidation", counts.invalidations},
      {"tlb invalidation of a root", counts.root_invalidations},
      {"page modification logged", counts.logged},
      {"page-modification log full", counts.full_logs}};
  for (const auto& [name, count] : processor) {
    if (count != 0) reached_[name] = count;
  }
  statistics_.report(reached_);
  // Who can only count it over a program's end counts it all the same.
  if (const auto fixed = reached_.find("kvm pf_fixed"); fixed != reached_.end()) {
    reached_["access pf_fixed"] = fixed->second;
  }
  for (const auto& [name, calls] : session_->stub_calls()) {
    if (calls != 0) reached_["stub " + name] = calls;
  }
  for (const auto& [name, times] : session_->counts()) {
    if (times == 0) continue;
    std::string text = name;
    std::ranges::replace(text, '_', ' ');
    reached_[text] = times;
  }
  const Host& host = session_->host();
  if (host.failed() != 0) reached_["allocation failed"] = host.failed();
  if (host.retries() != 0) reached_["retry after ENOMEM"] = host.retries();
  for (const auto& [name, count] : session_->known()) {
    reached_[fmt::format("known {}", name)] = count;
  }
  return reached_;
}

}  // namespace lockstep::hw::hosted
