// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/page_caches.h"

#include <algorithm>
#include <array>
#include <deque>
#include <mutex>
#include <shared_mutex>

#include "impl/object_pool.h"
#include "props/schedule/primitives.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned {
  empty_cache_allocation,
  inverted_null_check,
  missing_decrement,
  uncounted_split_cache,
  one_vm_scan,
  negative_sum_hidden,
  sleep_under_spinlock,
  reclaim_recursion,
  missing_kvm_lock,
  missing_srcu,
  counter_before_shrinker,
  enomem_not_counted
};

constexpr std::array<Defect, 12> defects = {{
    {"empty-cache-allocation", "the cache's lock is dropped between filling and use",
     "v3 1/9: topup and allocation lock apart; the author saw WARN_ON(!mc->nobjs)"},
    {"inverted-null-check", "allocation locks and counts only where there is no lock",
     "v3 1/9, kvm_mmu_sp_memory_cache_alloc(): if (!cache_lock)"},
    {"missing-decrement", "a page taken from a cache stays counted",
     "v3 1/9: the decrement stands behind the inverted check"},
    {"uncounted-split-cache", "filling the cache for splits counts nothing",
     "v3 1/9, shadow_mmu_get_sp_for_split(): shadow_page_cache_lock = NULL"},
    {"one-vm-scan", "the scan ends behind the first VM, whatever was freed",
     "v3 1/9: list_move_tail() inside list_for_each_entry()"},
    {"negative-sum-hidden", "what was filled is counted once the lock is dropped",
     "v3 1/9: percpu_counter_sum_positive() shows 0 where the sum is negative"},
    {"sleep-under-spinlock", "the cache's lock is a spinlock",
     "v3 1/9: GFP_KERNEL_ACCOUNT in kvm_mmu_topup_memory_cache() under spin_lock()"},
    {"reclaim-recursion", "the scan waits for a cache's lock, also in direct reclaim",
     "v3 1/9; v4 tries the lock"},
    {"missing-kvm-lock", "the scan walks the list of VMs without kvm_lock",
     "review of v3 1/9; mmu_shrink_scan()"},
    {"missing-srcu", "the scan drops kvm_lock and holds nothing else that keeps the VM",
     "review of v3 1/9: use after free of vCPUs"},
    {"counter-before-shrinker", "module exit destroys the counter, then ends the shrinker",
     "kvm_mmu_vendor_module_exit() under percpu_counter_sum()"},
    {"enomem-not-counted", "a topup that fails counts nothing of what it allocated",
     "v3 1/9 counts orig_nobjs != nobjs whatever was returned; lost when inlined"},
}};

enum Verbs : std::uint8_t { fault, reclaim, split, shrink, destroy, module_exit, no_memory };
constexpr std::array<Verb, 7> verbs = {{{"fault", 2},
                                        {"fault-in-reclaim", 2},
                                        {"split", 2},
                                        {"shrink", 9, 1u << 8},
                                        {"destroy-vm", 2},
                                        {"module-exit"},
                                        {"no-memory", 6, 1u << 1, true}}};

constexpr unsigned vm_count = 2;
constexpr std::size_t cache_size = 4;  ///< v4; KVM_ARCH_NR_OBJS_PER_MEMORY_CACHE was 40
constexpr std::size_t least = 2;       ///< for one fault

class Caches;

/// Where a cache's pages come from.
class Pages {
 public:
  /// Owns a page.
  class Ptr {
   public:
    Ptr() = default;
    explicit Ptr(const Tag& page) : page_(&page) {}
    Ptr(Ptr&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
    Ptr& operator=(Ptr&& other) noexcept {
      std::swap(page_, other.page_);
      return *this;
    }
    ~Ptr() { reset(); }
    void reset() {
      if (const Tag* page = std::exchange(page_, nullptr)) listener->freed(*page);
    }

   private:
    const Tag* page_ = nullptr;
  };

  Pages(Caches& system, unsigned number) : size("objects", number), system_(&system) {}
  /// GFP_KERNEL_ACCOUNT: sleeps, and reclaims where memory is short.
  impl::Expected<Ptr> allocate();

  Tag size;  ///< of the cache that is filled

 private:
  Caches* system_;
};

class CacheLock {
 public:
  CacheLock(LockKind kind, unsigned number) : kind_(kind), tag_("cache-lock", number) {}
  void lock() { listener->lock(tag_, kind_, Hold::exclusive); }
  bool try_lock() { return listener->try_lock(tag_, kind_, Hold::exclusive); }
  void unlock() noexcept { listener->unlock(tag_, Hold::exclusive); }

 private:
  LockKind kind_;
  Tag tag_;
};

/// A cache, and the lock that it has from the filling to the last use.
struct CountedCache {
  CountedCache(Caches& system, LockKind kind, unsigned number)
      : lock(kind, number), pages(system, number), objects(pages) {}
  std::size_t empty() {
    listener->plain(pages.size, Access::update);
    return objects.empty();
  }

  CacheLock lock;
  Pages pages;
  impl::ObjectCache<Pages, cache_size> objects;
};

struct Vm {
  Vm(Caches& system, LockKind kind, unsigned number)
      : vcpu(system, kind, number),
        split(system, LockKind::mutex, vm_count + number),
        mmu_lock("mmu-lock", number) {}
  CountedCache vcpu;
  CountedCache split;  ///< its lock is slots_lock
  SpinLock mmu_lock;
  std::vector<Pages::Ptr> tables;  ///< under mmu_lock
};

class Caches final : public SystemBody {
 public:
  Caches(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(page_caches, runner, defect, threads) {
    const auto kind = has(sleep_under_spinlock) ? LockKind::spin : LockKind::mutex;
    std::vector<Ref<Vm>> list;
    for (unsigned i = 0; i < vm_count; ++i) {
      vms_[i] = heap_.make<Vm>("vm", i, *this, kind, i);
      list.push_back(vms_[i]);
    }
    vm_list_.change() = std::move(list);
  }

  void tear_down() override {
    for (unsigned i = 0; i < vm_count; ++i) drop(i);
    if (counter_.peek() != 0) listener->warn("objects are counted, and all caches are gone");
    exit_module();
  }

  const char* broken() const override {
    std::int64_t objects = 0;
    for (const auto& vm : vms_) {
      objects += static_cast<std::int64_t>(vm.peek().vcpu.objects.size());
      objects += static_cast<std::int64_t>(vm.peek().split.objects.size());
    }
    return counter_.peek() == objects ? nullptr
                                      : "the counter is not the sum of objects in counted caches";
  }

  const Tag& new_page() { return pages_.emplace_back("page", ++page_number_); }
  void direct_reclaim() {
    bool& memory_is_short = reclaims_[runner().self()];
    if (!memory_is_short) return;
    memory_is_short = false;
    shrink_pages(1);
  }

 private:
  void command(Command command) override {
    switch (command.verb) {
      case reclaim:
        reclaims_[runner().self()] = true;
        [[fallthrough]];
      case fault:
        handle_fault(command.number);
        reclaims_[runner().self()] = false;
        break;
      case split:
        split_huge_page(command.number);
        break;
      case shrink:
        shrink_pages(command.number);
        break;
      case destroy:
        drop(command.number);
        break;
      case module_exit:
        exit_module();
        break;
      case no_memory:
        runner().fail_allocation(command.number);
        break;
      default:
        break;
    }
  }

  // References, as open files hold them.

  bool get(unsigned vm) {
    int users = users_[vm].load();
    while (users != 0) {
      if (users_[vm].compare_exchange(users, users + 1)) return true;
    }
    return false;
  }
  void put(unsigned vm) {
    if (users_[vm].add(-1) == 0) destroy_vm(vms_[vm]);
  }
  void drop(unsigned vm) {
    if (closed_[vm].exchange(1) == 0) put(vm);
  }

  // Caches.

  /// Fill the cache, which is locked, and count what came in also if it failed;
  /// whether there is enough for a fault.
  bool topup(CountedCache& cache, bool counts, std::int64_t& uncounted) {
    const auto before = static_cast<std::int64_t>(cache.objects.size());
    const bool filled = cache.objects.topup(least).has_value();
    const std::int64_t more = static_cast<std::int64_t>(cache.objects.size()) - before;
    if (!counts || (!filled && has(enomem_not_counted))) return filled;
    count(more, uncounted);
    return filled;
  }

  void count(std::int64_t objects, std::int64_t& uncounted) {
    if (has(negative_sum_hidden)) {
      uncounted += objects;
    } else if (objects != 0) {
      counter_.add(objects);
    }
  }

  /// One page of a cache that its user has locked; `lock` is none if nobody
  /// shares it.
  void take(Vm& vm, CountedCache& cache, const CacheLock* lock, std::int64_t& uncounted) {
    listener->plain(cache.pages.size, Access::update);
    if (cache.objects.size() == 0) listener->warn("allocation from an empty cache");
    if (has(inverted_null_check)) {
      if (lock == nullptr) listener->null_used("the lock of the cache");
    } else if (!has(missing_decrement)) {
      count(-1, uncounted);
    }
    if (auto page = cache.objects.take()) vm.tables.push_back(std::move(*page));
  }

  /// Empty one cache for the shrinker; how many pages there were.
  std::size_t scan(CountedCache& cache) {
    if (has(reclaim_recursion)) {
      cache.lock.lock();
    } else if (!cache.lock.try_lock()) {
      return 0;  // in use, perhaps by who reclaims
    }
    const std::size_t freed = cache.empty();
    if (freed != 0) counter_.add(-static_cast<std::int64_t>(freed));
    cache.lock.unlock();
    return freed;
  }

  // What commands do.

  /// KVM: mmu_topup_memory_caches() to the end of the fault.
  void handle_fault(unsigned number) {
    if (!get(number)) return;
    if (busy_[number].exchange(1) == 0) {
      const Ref<Vm> vm = vms_[number];
      CountedCache& cache = vm->vcpu;
      std::int64_t uncounted = 0;
      cache.lock.lock();
      const bool filled = topup(cache, /*counts=*/true, uncounted);
      if (has(empty_cache_allocation)) {
        cache.lock.unlock();
        cache.lock.lock();
      }
      if (filled) {
        const std::scoped_lock held(vm->mmu_lock);
        for (std::size_t i = 0; i < least; ++i) take(*vm, cache, &cache.lock, uncounted);
      }
      cache.lock.unlock();
      if (uncounted != 0) counter_.add(uncounted);
      busy_[number].store(0);
    }
    put(number);
  }

  /// KVM: shadow_mmu_get_sp_for_split(), under slots_lock.
  void split_huge_page(unsigned number) {
    if (!get(number)) return;
    const Ref<Vm> vm = vms_[number];
    CountedCache& cache = vm->split;
    std::int64_t uncounted = 0;
    cache.lock.lock();
    if (topup(cache, /*counts=*/!has(uncounted_split_cache), uncounted)) {
      const std::scoped_lock held(vm->mmu_lock);
      take(*vm, cache, has(inverted_null_check) ? nullptr : &cache.lock, uncounted);
    }
    cache.lock.unlock();
    if (uncounted != 0) counter_.add(uncounted);
    put(number);
  }

  /// KVM: mmu_shrink_count() and mmu_shrink_scan(); memory management holds
  /// shrinker_rwsem meanwhile.
  void shrink_pages(unsigned pages) {
    if (!shrinker_sem_.try_lock_shared()) return;
    const std::shared_lock held(shrinker_sem_, std::adopt_lock);
    if (!registered_.get()) return;
    const std::int64_t sum = counter_.sum();
    if (sum < 0) listener->warn("the sum of the counter is negative");
    if (sum > 0) scan_vms(pages);
  }

  void scan_vms(unsigned pages) {
    std::unique_lock listed(kvm_lock_, std::defer_lock);
    if (!has(missing_kvm_lock)) listed.lock();
    const std::size_t count = vm_list_.get().size();
    std::size_t freed = 0;
    std::size_t visited = 0;
    while (visited < count && freed < pages) {
      auto& list = vm_list_.change();
      if (list.empty()) break;
      std::rotate(list.begin(), list.begin() + 1, list.end());
      const Ref<Vm> vm = list.back();
      if (has(missing_srcu)) listed.unlock();
      freed += scan(vm->vcpu);
      if (has(missing_srcu)) listed.lock();
      ++visited;
      if (has(one_vm_scan)) break;
    }
    if (freed < pages && visited < count && !has(missing_srcu)) {
      listener->warn("the scan leaves VMs out and has freed less than was asked for");
    }
  }

  /// KVM: kvm_destroy_vm().
  void destroy_vm(Ref<Vm> vm) {
    {
      const std::scoped_lock held(kvm_lock_);
      std::erase(vm_list_.change(), vm);
    }
    for (CountedCache* cache : {&vm->vcpu, &vm->split}) {
      const std::scoped_lock held(cache->lock);
      const std::size_t freed = cache->empty();
      const bool counted = cache != &vm->split || !has(uncounted_split_cache);
      if (freed != 0 && counted) counter_.add(-static_cast<std::int64_t>(freed));
    }
    vm->tables.clear();
    heap_.free(vm);
    module_users_.add(-1);
  }

  /// KVM: kvm_mmu_vendor_module_exit(). The module stays while VMs use it.
  void exit_module() {
    if (module_users_.load() != 0 || exited_.exchange(1) != 0) return;
    if (has(counter_before_shrinker)) counter_.destroy();
    {
      const std::scoped_lock held(shrinker_sem_);
      registered_.set(false);
    }
    if (!has(counter_before_shrinker)) counter_.destroy();
  }

  Heap heap_;
  std::deque<Tag> pages_;
  unsigned page_number_ = 0;
  std::array<bool, most_threads + 1> reclaims_{};
  Mutex kvm_lock_{"kvm-lock"};
  Mutex shrinker_sem_{"shrinker-rwsem"};
  Plain<bool> registered_{true, "registered"};
  Counter counter_{"counter"};
  Plain<std::vector<Ref<Vm>>> vm_list_{{}, "vm-list"};
  std::array<Ref<Vm>, vm_count> vms_;
  Atomic<int> users_[vm_count] = {Atomic<int>(1, "users", 0), Atomic<int>(1, "users", 1)};
  Atomic<int> closed_[vm_count] = {Atomic<int>(0, "closed", 0), Atomic<int>(0, "closed", 1)};
  Atomic<int> busy_[vm_count] = {Atomic<int>(0, "vcpu", 0), Atomic<int>(0, "vcpu", 1)};
  Atomic<int> module_users_{vm_count, "module-users"};
  Atomic<int> exited_{0, "exited"};
};

impl::Expected<Pages::Ptr> Pages::allocate() {
  const Tag& page = system_->new_page();
  if (!listener->allocate(page, Allocation::may_sleep)) return impl::fail(impl::Error::no_memory);
  system_->direct_reclaim();
  listener->plain(size, Access::update);
  listener->born(page);
  return Ptr(page);
}

}  // namespace

const System page_caches = {
    .name = "page-caches",
    .title = "caches of shadow pages, their shrinker and their counter",
    .runs = "impl's ObjectCache; the rest is a model of a series that was not merged",
    .property = "counter = objects in counted caches whenever no lock is held",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<Caches>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
