// SPDX-License-Identifier: GPL-2.0-or-later
/// One image at work: its memory, its processors, its module and its files.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hw/hosted/arena.h"
#include "hw/hosted/boundary.h"
#include "hw/hosted/coverage.h"
#include "hw/hosted/host.h"
#include "hw/hosted/image.h"
#include "hw/hosted/pool.h"
#include "hw/hosted/processor.h"
#include "hw/kvm/capabilities.h"
#include "spec/engine.h"

namespace lockstep::hw::hosted {

/// A file of the kernel (struct file), closed when it goes; what a fatal
/// finding left behind is not.
class KernelFile {
 public:
  KernelFile() = default;
  KernelFile(Host& host, const hosted_image& image, int number)
      : host_(&host), image_(&image), number_(number) {}
  KernelFile(KernelFile&& other) noexcept
      : host_(other.host_), image_(other.image_), number_(std::exchange(other.number_, -1)) {}
  KernelFile& operator=(KernelFile&& other) noexcept {
    std::swap(host_, other.host_);
    std::swap(image_, other.image_);
    std::swap(number_, other.number_);
    return *this;
  }
  ~KernelFile() { close(); }

  explicit operator bool() const { return number_ >= 0; }
  int number() const { return number_; }
  void close();

  /// The ioctl's result, a negative errno among them; none if it never came
  /// back. One that fails because an allocation was made to fail is asked for
  /// again.
  template <typename Argument>
  std::optional<long> ioctl(unsigned long command, Argument argument) const {
    const auto raw = (unsigned long)(argument);  // NOLINT: pointer or number
    const FaultPlan before = host_->faults();
    const auto ask = [&] {
      return host_->enter(
          [&] { return image_->ioctl(number_, static_cast<unsigned>(command), raw); });
    };
    const auto result = ask();
    const FaultPlan& after = host_->faults();
    // hva_to_pfn() makes KVM_PFN_ERR_FAULT of every failure of get_user_pages().
    const bool out_of_memory = result == -ENOMEM && after.failed() != before.failed();
    const bool no_page =
        result == -EFAULT && after.user_pages_failed() != before.user_pages_failed();
    if (!out_of_memory && !no_page) return result;
    host_->count_retry();
    return ask();
  }
  /// What mmap() of a page shows; null if nothing.
  void* map(unsigned long page) const;

 private:
  Host* host_ = nullptr;
  const hosted_image* image_ = nullptr;
  int number_ = -1;
};

class Session {
 public:
  /// Counts what runs in `coverage`, if given; not owned. Images whose schedule is
  /// controlled take their objects from a pool of that many bytes.
  static Result<std::unique_ptr<Session>> open(const std::filesystem::path& image,
                                               const ArenaSize& size, Coverage* coverage = nullptr,
                                               std::uint64_t pool_bytes = 0);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  /// The vendor module runs with these parameters; loaded again only if they
  /// changed, or the image was reset.
  Result<void> load(const hosted_parameters& parameters);
  const hosted_parameters& parameters() const { return parameters_; }
  /// After a fatal finding: the image is as if it had just been mapped.
  Result<void> recover();

  /// What KVM_GET_SUPPORTED_CPUID of the loaded module says, without leaves
  /// that programs do not need.
  const GuestCpuid& cpuid() const { return cpuid_; }
  const KernelFile& kvm() const { return kvm_; }
  /// KVM_CHECK_EXTENSION; 0 if absent.
  int capability(int number) const;

  Image& image() { return *image_; }
  Host& host() { return *host_; }
  /// How often functions were called that do nothing (kernel/returns_zero.txt), by
  /// name; since the image was mapped or reset.
  std::vector<std::pair<std::string, std::uint64_t>> stub_calls() const;
  /// What the shim counts beside (`unsigned long hosted_count_NAME`), in the same way.
  std::vector<std::pair<std::string, std::uint64_t>> counts() const;
  /// Rescheduling points and contended locks of the kernel yield from now on, or
  /// never.
  void contend(bool on) {
    (void)host_->enter([&] {
      image_->boundary().contend(on ? 1 : 0);
      return 0l;
    });
  }
  /// Grace periods of RCU and SRCU end as soon as they may from now on, or only when
  /// somebody waits for one.
  void hurry(bool on) {
    (void)host_->enter([&] {
      image_->boundary().hurry(on ? 1 : 0);
      return 0l;
    });
  }
  Arena& arena() { return *arena_; }
  Processors& processors() { return *processors_; }
  /// Null without one.
  Pool* pool() { return pool_.get(); }
  /// Host page levels as the kernel was told them; to keep and to put back.
  std::vector<std::uint8_t>& told_levels() { return told_; }

  /// Every shared counter of the kernel, after every grace period.
  std::optional<hosted_counters> quiet_counters();
  /// Tell the kernel how huge the host's pages are, where that changed.
  void tell_levels(std::uint64_t first_page, std::uint64_t pages);
  /// invalidate_range_start() and such over pages of the program.
  std::optional<long> notify(hosted_notify kind, std::uint64_t first_page, std::uint64_t pages);
  /// A file that an ioctl has returned.
  KernelFile adopt(long number) {
    return KernelFile(*host_, image_->boundary(), static_cast<int>(number));
  }
  /// Every finding since the last call, in one line; empty if there is none.
  /// Those of known_findings() are left out and counted.
  std::string findings();
  /// How often each known finding was met, by name.
  const std::map<std::string_view, std::uint64_t>& known() const { return known_; }
  /// A new program begins: what the kernel says once (WARN_ONCE(), of <linux/once_lite.h>)
  /// may be said again.
  void forget_warnings();
  void count_known(std::string_view name) { ++known_[name]; }

 private:
  Session() = default;
  Result<void> start();
  EngineError failed(std::string_view what, std::optional<long> result);

  std::unique_ptr<Image> image_;
  std::vector<std::pair<std::string, std::uint64_t>> stubs_;  ///< name, address of the count
  std::vector<std::pair<std::string, std::uint64_t>> counted_;
  std::span<std::byte> said_once_;  ///< flags of WARN_ONCE()
  Coverage* coverage_ = nullptr;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Pool> pool_;
  std::optional<Processors> processors_;
  std::optional<Host> host_;
  std::optional<hosted_parameters> loaded_;
  hosted_parameters parameters_{};
  KernelFile kvm_;
  GuestCpuid cpuid_;
  std::vector<std::uint8_t> told_;  ///< level, by huge page; 0: none was told
  std::map<std::string_view, std::uint64_t> known_;
};

}  // namespace lockstep::hw::hosted
