// SPDX-License-Identifier: GPL-2.0-or-later
/// The kvm engine against a loop of ioctls that does the same to a VM of its own:
/// memslots and dirty logs. Accesses of a guest are not in it.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "bench/rows.h"
#include "props/engine_factory.h"

namespace lockstep::bench {
namespace {

constexpr std::uint64_t slot_size = 1ull << 20;
constexpr Gpa slot_gpa = 0x4000'0000;
constexpr std::uint64_t memory_size = 16ull << 20;

/// A round: a slot comes, is logged, read twice, and goes.
constexpr unsigned commands_a_round = 5;

class File {
 public:
  explicit File(int fd) : fd_(fd) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

tl::expected<double, std::string> ioctl_seconds(unsigned rounds) {
  const auto failed = [](std::string_view what) {
    return tl::unexpected(fmt::format("{}: {}", what, std::strerror(errno)));
  };
  const File kvm(open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (kvm.get() < 0) return failed("/dev/kvm");
  const File vm(ioctl(kvm.get(), KVM_CREATE_VM, 0));
  if (vm.get() < 0) return failed("KVM_CREATE_VM");
  void* const memory =
      mmap(nullptr, memory_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return failed("mmap");
  std::vector<std::uint64_t> bitmap(slot_size / page_size / 64);
  const auto round = [&] {
    kvm_userspace_memory_region region = {};
    region.slot = 1;
    region.guest_phys_addr = slot_gpa;
    region.memory_size = slot_size;
    region.userspace_addr = reinterpret_cast<std::uint64_t>(memory);
    if (ioctl(vm.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) return false;
    region.flags = KVM_MEM_LOG_DIRTY_PAGES;
    if (ioctl(vm.get(), KVM_SET_USER_MEMORY_REGION, &region) != 0) return false;
    for (unsigned i = 0; i < 2; ++i) {
      kvm_dirty_log log = {};
      log.slot = 1;
      log.dirty_bitmap = bitmap.data();
      if (ioctl(vm.get(), KVM_GET_DIRTY_LOG, &log) != 0) return false;
    }
    region.memory_size = 0;
    return ioctl(vm.get(), KVM_SET_USER_MEMORY_REGION, &region) == 0;
  };
  bool sound = round();
  const auto start = Clock::now();
  for (unsigned i = 0; i < rounds && sound; ++i) sound = round();
  const double seconds = seconds_since(start);
  auto result = sound ? tl::expected<double, std::string>(seconds) : failed("ioctl");
  munmap(memory, memory_size);
  return result;
}

tl::expected<double, std::string> engine_seconds(Engine& engine, unsigned rounds) {
  Configuration configuration;
  configuration.memory = memory_size;
  if (auto begun = engine.begin(configuration, /*fresh=*/true); !begun) {
    return tl::unexpected(begun.error().message);
  }
  const Command commands[commands_a_round] = {SlotAdd{1, slot_gpa, slot_size, 0, false, false},
                                              SlotFlags{1, true, false}, DirtyGet{1}, DirtyGet{1},
                                              SlotDelete{1}};
  const auto round = [&]() -> std::string {
    for (const Command& command : commands) {
      const auto shown = engine.execute(command);
      if (!shown) return shown.error().message;
      if (std::holds_alternative<Errno>(*shown)) return print(*shown);
    }
    return {};
  };
  std::string wrong = round();
  const auto start = Clock::now();
  for (unsigned i = 0; i < rounds && wrong.empty(); ++i) wrong = round();
  const double seconds = seconds_since(start);
  (void)engine.end();
  if (!wrong.empty()) return tl::unexpected(wrong);
  return seconds;
}

}  // namespace

std::vector<Row> kvm_against_ioctl(const Options& options) {
  Row row;
  row.name = "kvm engine, slots and dirty log";
  row.what = "commands a second of the engine, over a loop of ioctls that does the same";
  row.goal = 0.8;
  auto engine = props::make_engine("kvm", /*seed=*/1);
  if (!engine) {
    row.absent = "kvm: " + engine.error().message;
    return {row};
  }
  const unsigned rounds = 400 / options.scale;
  double best = 0;
  row = repeat(std::move(row), options, [&]() -> tl::expected<double, std::string> {
    const auto raw = ioctl_seconds(rounds);
    if (!raw) return raw;
    const auto ours = engine_seconds(**engine, rounds);
    if (!ours) return ours;
    best = std::max(best, rounds * commands_a_round / *raw);
    return *raw / *ours;
  });
  row.note = fmt::format("the loop: {:.0f} k commands/s", best / 1e3);
  return {row};
}

}  // namespace lockstep::bench
