// SPDX-License-Identifier: GPL-2.0-or-later
// Programs whose commands run on several CPUs, as somebody else schedules them.
#include <algorithm>

#include "hw/hosted/engine.h"

namespace lockstep::hw::hosted {

Result<std::unique_ptr<HostedEngine>> HostedEngine::open_scheduled(
    const std::filesystem::path& image, std::string name) {
  std::unique_ptr<HostedEngine> engine(new HostedEngine(image, std::move(name), nullptr));
  engine->scheduled_ = engine->probing_ = true;
  engine->checks_ = InvariantChecks::off;
  if (auto probed = engine->probe(); !probed) return tl::unexpected(probed.error());
  engine->probing_ = false;
  return engine;
}

Result<KernelFile> HostedEngine::keep_cpu() {
  const auto made = session_->kvm().ioctl(KVM_CREATE_VM, 0);
  if (!made || *made < 0) return tl::unexpected(EngineError{session_->findings()});
  KernelFile vm = session_->adopt(*made);
  const auto state = Cpus::state(session_->image());
  idle_cpu_.assign(state.begin(), state.end());
  return vm;
}

Result<void> HostedEngine::start_vcpus() {
  for (unsigned vcpu = 0; vcpu < configuration_.vcpus; ++vcpu) {
    if (auto shown = ready(vcpu)) {
      if (!*shown) return tl::unexpected(shown->error());
      return tl::unexpected(EngineError{"a vCPU does not start"});
    }
  }
  if (std::string found = session_->findings(); !found.empty() || session_->host().tainted()) {
    return tl::unexpected(EngineError{found});
  }
  return {};
}

Result<void> HostedEngine::begin_block(lockstep::schedule::Listener& listener) {
  if (cpus_) {
    (void)cpus_->tell_to(listener);
  } else {
    cpus_ = std::make_unique<Cpus>(*session_);
    if (auto created = cpus_->create(idle_cpu_); !created) return created;
    entered_.emplace(session_->host(), session_->image());
    cpus_->begin(listener);
  }
  session_->processors().others_run(true);
  return {};
}

void HostedEngine::end_block() {
  session_->processors().others_run(false);
  cpus_->enter(0);
  // vCPUs that were loaded elsewhere still have something there.
  quiet_.begin();
  (void)cpus_->tell_to(quiet_);
}

void HostedEngine::abandon_block(std::string why) {
  session_->processors().others_run(false);
  abandoned_ = std::move(why);
  session_->host().taint();
  leave_cpus();
}

void HostedEngine::leave_cpus() {
  if (!cpus_ || snapshot_) return;
  halt();
  cpus_.reset();
}

Result<void> HostedEngine::freeze() {
  if (auto started = start_vcpus(); !started) return started;
  cpus_ = std::make_unique<Cpus>(*session_);
  if (auto created = cpus_->create(idle_cpu_); !created) return created;
  snapshot_ = std::make_unique<Snapshot>(*session_);
  frozen_slots_ = slots_;
  return {};
}

Result<void> HostedEngine::rerun(lockstep::schedule::Listener& listener) {
  halt();
  if (auto restored = snapshot_->restore(); !restored) return restored;
  slots_ = frozen_slots_;
  abandoned_.clear();
  complaint_.clear();
  full_rings_ = {};
  host_changes_ = 0;
  roots_planted_ = true;
  session_->processors().reset({.mode = configuration_.paging,
                                .host_maxphyaddr = session_->cpuid().maxphyaddr(),
                                .amd = session_->parameters().intel == 0,
                                .seed = 0},
                               configuration_.vcpus);
  entered_.emplace(session_->host(), session_->image());
  session_->processors().others_run(true);
  cpus_->begin(listener);
  return {};
}

void HostedEngine::halt() {
  session_->processors().others_run(false);
  cpus_->end();
  entered_.reset();
}

std::string HostedEngine::close_all() {
  Host& host = session_->host();
  const hosted_image& image = session_->image().boundary();
  if (host.tainted()) return {};
  const auto close = [&](const KernelFile& file) {
    return host.enter([&] { return long{image.close(file.number())}; }).has_value();
  };
  for (const MachineVcpu& vcpu : machine_->vcpus()) {
    if (!close(vcpu.file)) return session_->findings();
  }
  if (!close(machine_->vm())) return session_->findings();
  const auto now = counters();
  if (!now || !baseline_) return session_->findings();
  const std::string text = leaks_between(*baseline_, *now);
  return text.empty() ? session_->findings() : "leak: " + text;
}

Result<void> HostedEngine::thaw() {
  if (!snapshot_) return {};
  halt();
  auto released = snapshot_->release();
  slots_ = frozen_slots_;
  abandoned_.clear();
  complaint_.clear();
  snapshot_.reset();
  cpus_.reset();
  return released;
}

}  // namespace lockstep::hw::hosted
