// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "impl/object_pool.h"
#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned { keeps_what_it_saw, topup_under_lock, cache_without_slots_lock, no_topup };
constexpr std::array<Defect, 4> defects = {{
    {"split-keeps-what-it-saw",
     "a split goes on with the huge entry that it saw before mmu_lock "
     "was dropped",
     "shadow_mmu_try_split_huge_page(): -EAGAIN begins the rmap walk anew"},
    {"topup-under-lock", "the split's cache is filled with mmu_lock held",
     "topup_split_caches() sleeps; need_topup_split_caches_or_resched()"},
    {"split-cache-without-lock", "two splits use the VM's one cache without slots_lock",
     "topup_split_caches(): lockdep_assert_held(&kvm->slots_lock)"},
    {"split-without-topup", "a split takes from the cache without having looked",
     "need_topup(&kvm->arch.split_desc_cache, SPLIT_DESC_CACHE_MIN_NR_OBJECTS)"},
}};

enum Verbs : std::uint8_t { split, zap, fault, empty, no_memory };
constexpr std::array<Verb, 5> verbs = {
    {{"split"}, {"zap", 2}, {"fault", 2}, {"empty-cache"}, {"no-memory", 4, 0b11, true}}};

/// Descriptors, of which a cache owns some.
class Descriptors {
 public:
  class Ptr {
   public:
    Ptr() = default;
    explicit Ptr(int& live) : live_(&live) { ++live; }
    Ptr(Ptr&& other) noexcept : live_(std::exchange(other.live_, nullptr)) {}
    Ptr& operator=(Ptr&& other) noexcept {
      std::swap(live_, other.live_);
      return *this;
    }
    ~Ptr() { reset(); }
    void reset() {
      if (int* live = std::exchange(live_, nullptr)) --*live;
    }

   private:
    int* live_ = nullptr;
  };
  /// GFP_KERNEL_ACCOUNT.
  impl::Expected<Ptr> allocate() {
    if (!listener->allocate(size, Allocation::may_sleep)) {
      return impl::fail(impl::Error::no_memory);
    }
    listener->plain(size, Access::update);
    return Ptr(live);
  }
  Tag size{"split-cache"};
  int live = 0;
};

/// What maps a range of guest memory.
enum class Entry : std::uint8_t { none, huge, small };

/// Huge entries that are split ahead, that guests make, and that the host takes.
class Split final : public SystemBody {
 public:
  Split(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(split_protocol, runner, defect, threads) {}

  void tear_down() override {
    cache_.empty();
    for (auto& pieces : pieces_) pieces.reset();
    if (descriptors_.live != 0) listener->warn("descriptors are never given back");
  }

 private:
  void command(Command command) override {
    switch (command.verb) {
      case split:
        split_all();
        break;
      case zap: {
        const std::scoped_lock held(mmu_lock_);
        set(command.number, Entry::none);
        pieces_[command.number].reset();
        break;
      }
      case fault: {
        const std::scoped_lock held(mmu_lock_);
        if (entries_[command.number].get() == Entry::none) set(command.number, Entry::huge);
        break;
      }
      case empty: {
        const std::scoped_lock held(slots_lock_);
        listener->plain(descriptors_.size, Access::update);
        cache_.empty();
        break;
      }
      default:
        runner().fail_allocation(command.number);
    }
  }

  void set(unsigned gfn, Entry entry) { entries_[gfn].set(entry); }

  /// KVM: kvm_mmu_try_split_huge_pages(), shadow_mmu_try_split_huge_pages().
  void split_all() {
    std::unique_lock slots(slots_lock_, std::defer_lock);
    if (!has(cache_without_slots_lock)) slots.lock();
    std::unique_lock held(mmu_lock_);
    for (unsigned gfn = 0; gfn < entries_.size();) {
      if (entries_[gfn].get() != Entry::huge) {
        ++gfn;
        continue;
      }
      listener->plain(descriptors_.size, Access::read);
      if (cache_.size() == 0 && !has(no_topup)) {
        if (!has(topup_under_lock)) held.unlock();
        const bool filled = cache_.topup(1).has_value();
        if (!has(topup_under_lock)) held.lock();
        if (!filled) return;  // faults split what is left
        if (!has(keeps_what_it_saw)) continue;
      }
      listener->plain(descriptors_.size, Access::update);
      auto piece = cache_.take();
      if (!piece) return listener->warn("allocation from an empty cache");
      if (entries_[gfn].get() != Entry::huge) {
        listener->warn("pieces of a huge page appear where it was zapped");
      }
      pieces_[gfn] = std::move(*piece);
      set(gfn, Entry::small);
      ++gfn;
    }
  }

  Descriptors descriptors_;
  impl::ObjectCache<Descriptors, 2> cache_{descriptors_};
  Mutex slots_lock_{"slots-lock"};
  SpinLock mmu_lock_{"mmu-lock"};
  std::array<Descriptors::Ptr, 2> pieces_;  ///< under mmu_lock
  std::array<Plain<Entry>, 2> entries_ = {Plain<Entry>(Entry::huge, "spte", 0),
                                          Plain<Entry>(Entry::huge, "spte", 1)};
};

}  // namespace

const System split_protocol = {
    .name = "split",
    .title = "huge pages split ahead, whose cache is filled with mmu_lock dropped",
    .runs = "impl's ObjectCache; the rest is a model of shadow_mmu_try_split_huge_page()",
    .property = "what was zapped while the lock was dropped does not come back",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<Split>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
