// SPDX-License-Identifier: GPL-2.0-or-later
/// The only program of the kernel that QEMU boots: the `kvm` engine, driven by
/// requests from a virtio port. It runs as init and never returns.
#include <fmt/format.h>
#include <sys/reboot.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <optional>
#include <thread>

#include "hw/kvm/engine.h"
#include "hw/qemu/frames.h"
#include "hw/qemu/guest/system.h"
#include "hw/qemu/guest/tracepoints.h"
#include "hw/qemu/messages.h"
#include "spec/program.h"

namespace lockstep::hw::qemu::guest {
namespace {

class Agent {
 public:
  Answer answer(const Request& request) {
    switch (request.verb) {
      case Verb::load:
        return load(request.body);
      case Verb::unload:
        return unload(request.body);
      case Verb::open:
        return open();
      case Verb::begin:
        return begin(request.body);
      case Verb::execute:
        return execute(request.body);
      case Verb::parallel:
        return parallel(request.body);
      case Verb::end:
        return end();
      case Verb::mark:
        break;
    }
    say(request.body);
    return std::string();
  }

 private:
  static Answer load(std::string_view body) {
    const auto module = parse_load(body);
    if (!module) return tl::unexpected(std::string("no module to load"));
    const auto loaded = load_module(*module);
    if (!loaded) return tl::unexpected(loaded.error());
    return std::string();
  }

  Answer unload(const std::string& name) {
    engine_.reset();
    tracepoints_.disable();
    const auto unloaded = unload_module(name);
    if (!unloaded) return tl::unexpected(unloaded.error());
    return std::string();
  }

  Answer open() {
    engine_.reset();
    const auto probe = probe_kvm();
    if (!probe) return tl::unexpected(probe.error().message);
    auto engine = open_kvm_engine(*probe);
    if (!engine) return tl::unexpected(engine.error().message);
    engine_ = std::move(*engine);
    tracepoints_.enable();
    auto platform = engine_->platform();
    for (const auto& [feature, reason] : probe->missing) {
      platform.provenance.emplace_back(fmt::format("lacks {}", name(feature)), reason);
    }
    return write_platform(platform);
  }

  Answer begin(std::string_view body) {
    if (engine_ == nullptr) return tl::unexpected(std::string("no engine is open"));
    const auto begun = parse_begin(body);
    if (!begun) return tl::unexpected(begun.error());
    mode_ = begun->configuration.paging;
    const auto done = engine_->begin(begun->configuration, begun->fresh);
    if (!done) return tl::unexpected(done.error().message);
    return std::string();
  }

  Answer execute(std::string_view body) {
    if (engine_ == nullptr) return tl::unexpected(std::string("no engine is open"));
    const auto command = parse_command_line(body, mode_);
    if (!command) return tl::unexpected(command.error());
    const auto seen = engine_->execute(*command);
    if (!seen) return tl::unexpected(seen.error().message);
    return print(*seen);
  }

  Answer parallel(std::string_view body) {
    if (engine_ == nullptr) return tl::unexpected(std::string("no engine is open"));
    const auto commands = parse_parallel(body, mode_);
    if (!commands) return tl::unexpected(commands.error());
    const auto seen = engine_->execute_parallel(*commands);
    if (!seen) return tl::unexpected(seen.error().message);
    return write_parallel_answers(*seen);
  }

  Answer end() {
    if (engine_ == nullptr) return tl::unexpected(std::string("no engine is open"));
    const auto seen = engine_->end();
    if (!seen) return tl::unexpected(seen.error().message);
    auto counts = engine_->reached();
    counts.merge(tracepoints_.counts());
    return fmt::format("{}\n{}", print(*seen), write_counts(counts));
  }

  std::unique_ptr<Engine> engine_;
  Tracepoints tracepoints_;
  PagingMode mode_ = PagingMode::level4;
};

void serve(FrameStream& port) {
  constexpr auto long_time = std::chrono::hours(1);
  constexpr auto pause = std::chrono::milliseconds(5);
  Agent agent;
  std::string message;
  for (;;) {
    const auto status = port.receive(message, std::chrono::steady_clock::now() + long_time);
    // Nobody is at the other end, yet or again.
    if (status == FrameStream::Status::closed) std::this_thread::sleep_for(pause);
    if (status != FrameStream::Status::message) continue;
    const auto request = parse_request(message);
    const auto answer =
        request ? agent.answer(*request) : Answer(tl::unexpected(std::string("no such request")));
    port.send(write_answer(answer), std::chrono::steady_clock::now() + long_time);
  }
}

}  // namespace
}  // namespace lockstep::hw::qemu::guest

int main() {
  namespace guest = lockstep::hw::qemu::guest;
  if (const auto settled = guest::settle_in(); !settled) guest::say("lockstep: " + settled.error());
  const auto port = guest::open_port();
  if (!port) {
    guest::say("lockstep: " + port.error());
    ::reboot(RB_POWER_OFF);
    return 1;
  }
  lockstep::hw::qemu::FrameStream stream{lockstep::hw::Fd(*port)};
  guest::say("lockstep: ready");
  guest::serve(stream);
}
