// SPDX-License-Identifier: GPL-2.0-or-later
/// What a process provides to one image (struct hosted_host), and the way into
/// the image and out of it.
#pragma once

#include <array>
#include <csetjmp>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hw/hosted/arena.h"
#include "hw/hosted/boundary.h"
#include "hw/hosted/boundary_schedule.h"
#include "hw/hosted/fault_plan.h"
#include "hw/hosted/heap.h"
#include "hw/hosted/image.h"
#include "hw/hosted/pool.h"
#include "hw/hosted/processor.h"
#include "hw/hosted/source_lines.h"

namespace lockstep::hw::hosted {

/// Something that the kernel says of itself, or that it did wrong.
struct Finding {
  hosted_finding kind = HOSTED_WARNING;
  std::string text;
  std::string symbol;  ///< where, as "kvm_mmu_zap_all+0x12"; empty if nowhere
  std::string chain;   ///< "called by a, b"; empty if nowhere
  /// "arch/x86/kvm/mmu/mmu.c:6034", the innermost line that is not the shim's; empty where
  /// the text has one, or the image none.
  std::string line;
  /// Of a warning: the line of source that gave it; empty where its file cannot be read.
  std::string source;
  /// "WARN: text, at symbol (line), called by a, b".
  std::string message() const;
};

/// One thread enters one image through one host at a time; of fibers of that thread,
/// each is a CPU of its own (hw/hosted/cpus.h).
class Host {
 public:
  /// All outlive the host. With a pool, objects come from there.
  Host(Image& image, Arena& arena, Processors& processors, Pool* pool = nullptr);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  /// For hosted_image.start().
  const hosted_host& boundary() const { return boundary_; }

  /// Call into the image. None if a fatal finding ended the call in its middle:
  /// then the image is tainted until the host forgets. `call` returns a long
  /// and owns nothing: it may be left without return.
  template <typename Function>
  std::optional<long> enter(Function&& call) {
    // The kernel called the process, which calls it back: a fatal finding ends both.
    if (now_->inside) return call();
    using Plain = std::remove_reference_t<Function>;
    long result = 0;
    const auto run = [](void* argument) -> long { return (*static_cast<Plain*>(argument))(); };
    if (!guard(run, const_cast<std::remove_const_t<Plain>*>(&call), result)) return std::nullopt;
    return result;
  }
  bool tainted() const { return tainted_; }

  /// Findings since the last call of this; the last is the fatal one, if any.
  std::vector<Finding> take_findings();
  bool has_findings() const { return noted_ != 0; }

  /// Drop every allocation: the image was reset, or goes.
  void forget();
  /// Something is left that must not reach the next program: the image is to be reset.
  void taint() { tainted_ = true; }
  /// The image, and what it had allocated, is as it was before.
  void untaint() {
    tainted_ = false;
    noted_ = 0;
  }
  /// Called before each entry to a guest, with its vCPU; null: nobody.
  void set_before_run(void (*before)(void* context, unsigned vcpu), void* context) {
    before_run_ = before;
    before_run_context_ = context;
  }
  /// Which CPU the caller is, from here on. The kernel's own state of it is not the
  /// host's business.
  void be_cpu(unsigned cpu) { now_ = &insides_[cpu]; }
  /// Leave the kernel, as a fatal finding does, without one.
  [[noreturn]] void leave();

  void set_faults(const FaultPlan& plan) {
    failed_before_ += faults_.failed();
    faults_ = plan;
  }
  /// The plan fails nothing more.
  void pause_faults() { faults_.stop(); }
  const FaultPlan& faults() const { return faults_; }
  /// When the user's page with this number, counted from 0, has been looked up, and
  /// before the kernel maps it, call `race` with its address; once. It may enter the
  /// image, and owns nothing then: a fatal finding leaves it without return.
  void race_at(std::uint64_t number, std::function<void(std::uint64_t address)> race) {
    lookups_until_race_ = number + 1;
    race_ = std::move(race);
  }
  void no_race() { lookups_until_race_ = 0; }
  /// Allocations that failed, over all plans.
  std::uint64_t failed() const { return failed_before_ + faults_.failed(); }
  /// System calls that were made again after ENOMEM, over all plans.
  std::uint64_t retries() const { return retries_; }
  void count_retry() { ++retries_; }
  /// Bytes that the kernel has from its slab allocator, pages apart.
  std::uint64_t heap_bytes() const { return heap_.bytes(); }
  /// Count ticks of the time-stamp counter inside the kernel, the processor apart.
  void time_kernel(bool on) { timed_ = on; }
  std::uint64_t kernel_ticks() const { return ticks_; }
  /// What the kernel printed since the last call of this.
  std::string take_log();

 private:
  friend class Traps;
  /// Where a CPU has entered the image.
  struct Inside {
    bool inside = false;
    bool in_processor = false;  ///< the process' own code runs, not the kernel's
    std::uint64_t outer = 0;    ///< stack address behind the kernel's frames
    std::jmp_buf leave;
  };
  /// Where an address stands that comes with a finding.
  enum class Stands {
    on,     ///< on the instruction
    behind  ///< behind the call that led there
  };
  /// A finding as it is noted while the kernel's frames are on the stack: no
  /// memory is allocated.
  struct Note {
    unsigned kind = 0;
    std::uint64_t ip = 0;
    Stands stands = Stands::on;
    std::array<std::uint64_t, 16> callers{};
    std::size_t depth = 0;
    char text[400] = {};
  };
  static constexpr unsigned most_notes = 16;
  static constexpr std::size_t log_limit = 16384;

  bool guard(long (*call)(void*), void* argument, long& result);
  /// `stack` is where the frames of the kernel begin; 0 if none is running.
  void note(unsigned kind, std::uint64_t ip, Stands stands, std::uint64_t stack, const char* text);

  std::string line_of(const Note& note);
  std::string source_of(const Note& note);

  Image* image_;
  Arena* arena_;
  Processors* processors_;
  Pool* pool_;
  hosted_host boundary_{};
  Heap heap_;
  void (*before_run_)(void*, unsigned) = nullptr;
  void* before_run_context_ = nullptr;
  FaultPlan faults_;
  std::uint64_t failed_before_ = 0;
  std::uint64_t lookups_until_race_ = 0;  ///< 0: none comes
  std::function<void(std::uint64_t)> race_;
  std::uint64_t retries_ = 0;
  std::array<Inside, HOSTED_CPUS> insides_{};
  Inside* now_ = &insides_[0];  ///< of the CPU that runs
  bool tainted_ = false;
  bool timed_ = false;
  std::uint64_t ticks_ = 0;
  unsigned noted_ = 0;  ///< more than most_notes are counted only
  Note notes_[most_notes];
  SourceLines lines_;
  std::size_t log_used_ = 0;
  char log_[log_limit];
};

}  // namespace lockstep::hw::hosted
