// SPDX-License-Identifier: GPL-2.0-or-later
/// Who controls no schedule: one CPU runs alone, and others take its interrupts at once.
#pragma once

#include "spec/vocabulary/schedule_point.h"

namespace lockstep::hw::hosted {

class QuietListener : public lockstep::schedule::Listener {
  using Tag = lockstep::schedule::Tag;

 public:
  void lock(const Tag&, lockstep::schedule::LockKind, lockstep::schedule::Hold) override {}
  bool try_lock(const Tag&, lockstep::schedule::LockKind, lockstep::schedule::Hold) override {
    return true;
  }
  void unlock(const Tag&, lockstep::schedule::Hold) noexcept override {}
  void atomic(const Tag&, lockstep::schedule::Access, std::memory_order) override {}
  void plain(const Tag&, lockstep::schedule::Access) override {}
  bool allocate(const Tag&, lockstep::schedule::Allocation) override { return true; }
  void born(const Tag&) override {}
  void used(const Tag&) override {}
  void freed(const Tag&) noexcept override {}
  void enter(const Tag&, lockstep::schedule::Readers) override {}
  void leave(const Tag&, lockstep::schedule::Readers) noexcept override {}
  void synchronize(const Tag&) override {}
  void prepare_wait(const Tag&) override {}
  /// Nobody is there to wake the caller: the kernel is left.
  void wait(const Tag&) override { stuck_ = true; }
  void spin(const Tag&) override { stuck_ = true; }
  void wake(const Tag&) override {}
  void count(const Tag&, std::int64_t) override {}
  void yield() override {}
  void warn(const char*) override {}
  void null_used(const char*) override {}
  bool over() const override { return stuck_; }
  void begin() { stuck_ = false; }

 private:
  bool stuck_ = false;
};

}  // namespace lockstep::hw::hosted
