// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "impl/memslot.h"
#include "impl/object_pool.h"
#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned {
  flag_before_allocation,
  flag_without_release,
  slot_asks_outside_lock,
  enomem_still_registers,
  second_registrant_starts_anew,
  lock_ends_before_swap
};
constexpr std::array<Defect, 6> defects = {{
    {"flag-before-allocation", "tracking counts as enabled before every slot can be tracked",
     "a364c014a2c1: the flag becomes true strictly after the pointers are set"},
    {"flag-without-release", "the flag is written and read without order",
     "a364c014a2c1: smp_store_release() and smp_load_acquire()"},
    {"slot-asks-outside-lock", "a new slot asks whether to allocate before slots_arch_lock is held",
     "kvm_arch_prepare_memory_region(): slots_arch_lock spans allocation and swap"},
    {"enomem-still-registers", "without memory the notifier is registered nevertheless",
     "kvm_page_track_register_notifier(): returns the error first"},
    {"second-registrant-starts-anew", "who registers second allocates what exists",
     "kvm_enable_external_write_tracking(): asks again under the lock"},
    {"lock-ends-before-swap", "slots_arch_lock is dropped between a slot's metadata and the slot",
     "kvm_set_memslot(): slots_arch_lock spans allocation and swap"},
}};

enum Verbs : std::uint8_t { enable, create, follow, no_memory };
constexpr std::array<Verb, 4> verbs = {
    {{"register"}, {"create-slot"}, {"track"}, {"no-memory", 4, 0b11, true}}};

constexpr std::size_t most_slots = 4;

/// Slots of one page, and users of write tracking that come while there are some.
class WriteTracking final : public SystemBody {
 public:
  WriteTracking(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(write_tracking_protocol, runner, defect, threads) {
    add();
    add();
    published_.store(2);
  }

  const char* broken() const override {
    for (int i = 0; enabled_.peek() && i < published_.peek(); ++i) {
      if (!slots_[static_cast<unsigned>(i)].peek().tracked) {
        return "tracking is enabled, and a slot cannot be tracked";
      }
    }
    if (notifiers_.peek() != 0 && !enabled_.peek()) {
      return "a notifier is registered, and tracking is not enabled";
    }
    return nullptr;
  }

  void tear_down() override {
    std::uint64_t counted = 0;
    for (const auto& slot : slots_) {
      if (slot.peek().tracked) counted += slot.peek().tracked[0];
    }
    if (counted != followed_) listener->warn("tracked pages have been forgotten");
  }

 private:
  void add() {
    slots_[made_].change().pages = 1;
    ++made_;
  }

  /// GFP_KERNEL_ACCOUNT; what exists is kept.
  bool allocate(Plain<impl::MemorySlot>& slot) {
    if (!listener->allocate(array_, Allocation::may_sleep)) return false;
    if (has(second_registrant_starts_anew)) slot.change().tracked.reset();
    return impl::allocate_tracking(slot.change(), memory_).has_value();
  }
  bool enabled() const {
    return enabled_.load(has(flag_without_release) ? std::memory_order_relaxed
                                                   : std::memory_order_acquire);
  }
  void set_enabled() {
    enabled_.store(
        true, has(flag_without_release) ? std::memory_order_relaxed : std::memory_order_release);
  }

  void command(Command command) override {
    switch (command.verb) {
      case enable:
        // KVM: kvm_page_track_register_notifier().
        if (enabled() || enable_tracking() || has(enomem_still_registers)) {
          notifiers_.add(1);
        }
        break;
      case create:
        create_slot();
        break;
      case follow:
        track();
        break;
      default:
        runner().fail_allocation(command.number);
    }
  }

  /// KVM: kvm_enable_external_write_tracking().
  bool enable_tracking() {
    const std::scoped_lock held(slots_arch_lock_);
    if (enabled() && !has(second_registrant_starts_anew)) return true;
    if (has(flag_before_allocation)) set_enabled();
    const auto count = static_cast<unsigned>(published_.load());
    for (unsigned i = 0; i < count; ++i) {
      if (!allocate(slots_[i])) return false;
    }
    if (!has(flag_before_allocation)) set_enabled();
    return true;
  }

  /// KVM: kvm_set_memslot(), with slots_arch_lock from the metadata to the swap.
  void create_slot() {
    const std::scoped_lock slots(slots_lock_);
    if (made_ == most_slots) return;
    const bool asked = has(slot_asks_outside_lock) && enabled();
    std::unique_lock held(slots_arch_lock_);
    auto& slot = slots_[made_];
    slot.change().pages = 1;
    const bool wanted = has(slot_asks_outside_lock) ? asked : enabled();
    if (wanted && !allocate_new(slot)) return;
    if (has(lock_ends_before_swap)) held.unlock();
    ++made_;
    published_.store(static_cast<int>(made_), std::memory_order_release);
  }
  bool allocate_new(Plain<impl::MemorySlot>& slot) {
    return listener->allocate(array_, Allocation::may_sleep) &&
           impl::allocate_tracking(slot.change(), memory_).has_value();
  }

  /// KVM: kvm_write_track_add_gfn(), of the newest slot's page.
  void track() {
    if (!enabled()) return;
    const auto count = static_cast<unsigned>(published_.load(std::memory_order_acquire));
    auto& slot = slots_[count - 1];
    if (!slot.get().tracked) return listener->null_used("gfn_write_track");
    const std::scoped_lock held(mmu_lock_);
    ++tracked_.change();
    ++slot.referred().tracked_of(0);
    ++followed_;
  }

  Mutex slots_lock_{"slots-lock"};
  Mutex slots_arch_lock_{"slots-arch-lock"};
  SpinLock mmu_lock_{"mmu-lock"};
  Tag array_{"gfn-write-track"};
  impl::FaultPlan memory_;  ///< fails nothing: what fails is asked of the listener
  Atomic<bool> enabled_{false, "enabled"};
  Atomic<int> notifiers_{0, "notifiers"};
  Atomic<int> published_{0, "memslots"};
  Plain<int> tracked_{0, "counts"};
  std::uint64_t followed_ = 0;
  unsigned made_ = 0;  ///< under slots_lock
  std::array<Plain<impl::MemorySlot>, most_slots> slots_ = {
      Plain<impl::MemorySlot>("slot", 0), Plain<impl::MemorySlot>("slot", 1),
      Plain<impl::MemorySlot>("slot", 2), Plain<impl::MemorySlot>("slot", 3)};
};

}  // namespace

const System write_tracking_protocol = {
    .name = "write-tracking",
    .title = "write tracking enabled on demand, against other users, new slots and no memory",
    .runs =
        "impl's MemorySlot and allocate_tracking(); the rest is a model of commit "
        "a364c014a2c1",
    .property =
        "if tracking is enabled, every slot can be tracked; without memory nothing is "
        "registered",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<WriteTracking>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
