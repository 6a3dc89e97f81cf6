// SPDX-License-Identifier: GPL-2.0-or-later
/// Who looks slots up without a lock, and who must wait for them.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>

#include "spec/vocabulary/schedule_point.h"

namespace lockstep::impl {

/// A slot that was looked up inside a section lives until its end: who takes slots out
/// waits. KVM: kvm->srcu.
class SlotReaders {
 public:
  static constexpr std::size_t most = 64;

  /// Of the vCPU with this number; may be nested.
  class Section {
   public:
    Section(SlotReaders& readers, std::size_t vcpu)
        : tag_(&readers.tag_), depth_(&readers.lines_[vcpu % most].depth) {
      if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
        steers->enter(*tag_, schedule::Readers::srcu);
      }
      // Nobody else writes it.
      depth_->store(depth_->load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    Section(const Section&) = delete;
    Section& operator=(const Section&) = delete;
    ~Section() {
      depth_->store(depth_->load(std::memory_order_relaxed) - 1, std::memory_order_release);
      if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
        steers->leave(*tag_, schedule::Readers::srcu);
      }
    }

   private:
    const schedule::Tag* tag_;
    std::atomic<std::uint32_t>* depth_;
  };

  /// Return when every section that goes on now has ended. KVM: synchronize_srcu().
  void wait() const {
    if (auto* steers = schedule::listener; steers != nullptr) [[unlikely]] {
      return steers->synchronize(tag_);
    }
    std::atomic_thread_fence(std::memory_order_seq_cst);
    for (const Line& line : lines_) {
      while (line.depth.load(std::memory_order_acquire) != 0) std::this_thread::yield();
    }
  }

 private:
  struct alignas(64) Line {
    std::atomic<std::uint32_t> depth = 0;
  };
  std::array<Line, most> lines_{};
  schedule::Tag tag_{"slots-srcu"};
};

}  // namespace lockstep::impl
