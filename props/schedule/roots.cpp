// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "impl/protocol_steps.h"
#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned {
  request_before_invalid,
  previous_roots_kept,
  guest_mmu_kept,
  stale_fault_maps,
  kick_without_wait,
  referenced_root_freed,
  zapped_root_valid,
  root_dropped_without_lock
};
constexpr std::array<Defect, 8> defects = {{
    {"request-before-invalid", "vCPUs are asked to drop obsolete roots before there are any",
     "kvm_mmu_zap_all_fast(): kvm_make_all_cpus_request() stands behind the new generation"},
    {"prev-roots-kept", "the current root is asked whether earlier ones are obsolete",
     "527d5cd7eece, mended by cf4a8693d97a"},
    {"guest-mmu-kept", "obsolete roots of the second MMU stay",
     "kvm_mmu_free_obsolete_roots() visits root_mmu and guest_mmu"},
    {"stale-fault-maps", "a fault does not ask whether its root is obsolete",
     "is_page_fault_stale()"},
    {"kick-without-wait", "tables go while a vCPU may still walk them",
     "KVM_REQ_MMU_FREE_OBSOLETE_ROOTS is KVM_REQUEST_WAIT"},
    {"referenced-root-freed", "zapping frees a root that a vCPU remembers",
     "__kvm_mmu_prepare_zap_page(): root_count keeps the page"},
    {"zapped-root-valid", "a root that is kept is not marked invalid when zapped",
     "the generation has one bit: after two changes the root looks valid again"},
    {"root-dropped-without-lock", "the count of a root's users changes without mmu_lock",
     "mmu_free_root_page() under mmu_lock"},
}};

enum Verbs : std::uint8_t { run, fault, switch_root, zap_all, zap_root };
constexpr std::array<Verb, 5> verbs = {
    {{"run", 2}, {"fault", 2}, {"switch-pgd", 2}, {"zap-all"}, {"zap-root"}}};

constexpr unsigned vcpu_count = 2;

using Table = int;

struct Root {
  explicit Root(bool now, Node<Table>* below, unsigned number)
      : generation(now), users(1, "root-count", number), table(below, "root-entry", number) {}
  bool generation;             ///< of the MMU when it was made; never changes
  bool invalid = false;        ///< under mmu_lock, as `users`
  bool zapped = false;         ///< what is to be found out
  Plain<int> users;            ///< root_count
  Atomic<Node<Table>*> table;  ///< what its only entry refers to
};

/// What a vCPU remembers for one of its MMUs; its own, without a lock.
struct Mmu {
  Ref<Root> current, previous;
};

struct Vcpu {
  std::array<Mmu, 2> mmus;                  ///< root_mmu and guest_mmu
  Atomic<int> busy{0, "vcpu-mutex"};        ///< one thread at a time runs a vCPU
  Atomic<int> request{0, "request"};        ///< to drop obsolete roots
  Atomic<int> guest_mode{0, "guest-mode"};  ///< what a kick waits for
  bool serves = false;                      ///< the request was taken, roots are dropped
};

class Roots final : public SystemBody {
 public:
  Roots(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(root_protocol, runner, defect, threads) {
    for (unsigned i = 0; i < vcpus_[0].mmus.size(); ++i) {
      // vCPUs of one role share a root.
      const auto shared = make_root();
      shared->users.set(vcpu_count);
      for (Vcpu& vcpu : vcpus_) {
        vcpu.mmus[i].current = shared;
        vcpu.mmus[i].previous = make_root();
      }
    }
  }

  void tear_down() override {
    for (Vcpu& vcpu : vcpus_) {
      for (Mmu& mmu : vcpu.mmus) {
        drop(mmu.current);
        drop(mmu.previous);
      }
    }
    for (const auto& root : active_) free_root(root);
  }

  const char* broken() const override {
    for (const Vcpu& vcpu : vcpus_) {
      if (vcpu.request.peek() != 0 || vcpu.serves) continue;
      for (const Mmu& mmu : vcpu.mmus) {
        for (const auto& root : {mmu.current, mmu.previous}) {
          if (root && root.peek().zapped) {
            return "a vCPU keeps an obsolete root without a request to drop it";
          }
        }
      }
    }
    return nullptr;
  }

 private:
  /// KVM: is_obsolete_sp().
  bool obsolete(const Root& root) const {
    return impl::is_obsolete(root.invalid, root.generation,
                             generation_.load(std::memory_order_relaxed));
  }

  Ref<Root> make_root() {
    const std::uint32_t number = ++made_;
    const auto table = heap_.make<Table>("table", number, 0);
    active_.push_back(heap_.make<Root>("root", number, generation_.peek(), table.node(), number));
    return active_.back();
  }
  void free_table(Root& root) {
    if (auto* table = root.table.exchange(nullptr)) heap_.free(Ref(*table));
  }
  void free_root(Ref<Root> root) {
    free_table(*root);
    heap_.free(root);
  }

  /// KVM: mmu_free_root_page().
  void drop(Ref<Root>& held) {
    if (!held) return;
    const Ref<Root> root = std::exchange(held, nullptr);
    std::unique_lock lock(mmu_lock_, std::defer_lock);
    if (!has(root_dropped_without_lock)) lock.lock();
    if (--root->users.change() == 0 && root->zapped) free_root(root);
  }

  /// KVM: kvm_mmu_free_obsolete_roots(). Asks without mmu_lock: the request orders
  /// the question behind the answer.
  void drop_obsolete(Vcpu& vcpu) {
    const auto ask = [this](const Ref<Root>& root) { return root && obsolete(*root); };
    for (unsigned i = 0; i < vcpu.mmus.size(); ++i) {
      if (i == 1 && has(guest_mmu_kept)) break;
      Mmu& mmu = vcpu.mmus[i];
      const bool previous = ask(has(previous_roots_kept) ? mmu.current : mmu.previous);
      if (ask(mmu.current)) drop(mmu.current);
      if (previous && mmu.previous && !mmu.previous.peek().zapped) {
        listener->warn("a root is dropped as obsolete that nobody zapped");
      }
      if (previous) drop(mmu.previous);
    }
  }

  void command(Command command) override {
    if (command.verb == zap_all) return zap();
    if (command.verb == zap_root) return zap_oldest();
    Vcpu& vcpu = vcpus_[command.number];
    if (vcpu.busy.exchange(1) != 0) return;
    switch (command.verb) {
      case run:
        enter(vcpu);
        break;
      case fault:
        map(vcpu.mmus[0]);
        break;
      default:
        switch_to_previous(vcpu.mmus[0]);
    }
    vcpu.busy.store(0);
  }

  /// KVM: vcpu_enter_guest().
  void enter(Vcpu& vcpu) {
    if (vcpu.request.load() != 0) {
      vcpu.serves = true;
      vcpu.request.store(0);
      drop_obsolete(vcpu);
      vcpu.serves = false;
    }
    Mmu& mmu = vcpu.mmus[0];
    if (!mmu.current) {
      const std::scoped_lock held(mmu_lock_);
      mmu.current = make_root();
    }
    vcpu.guest_mode.store(1);
    // Whoever asks from here on waits until the guest has been left.
    if (vcpu.request.load() == 0) {
      // Hardware walks from the root to what its entry refers to.
      if (auto* table = mmu.current->table.load()) {
        vcpu.guest_mode.load();
        *Ref(*table);
      }
    }
    vcpu.guest_mode.store(0);
  }

  /// KVM: kvm_tdp_page_fault() and its kin.
  void map(Mmu& mmu) {
    const std::scoped_lock held(mmu_lock_);
    if (!mmu.current || (obsolete(*mmu.current) && !has(stale_fault_maps))) return;
    if (mmu.current->zapped) listener->warn("a mapping is installed below an obsolete root");
  }

  /// KVM: fast_pgd_switch(), without mmu_lock: the vCPU's own reference keeps the
  /// earlier root.
  void switch_to_previous(Mmu& mmu) {
    std::swap(mmu.current, mmu.previous);
    if (mmu.current) mmu.current->table.load();
  }

  /// KVM: kvm_make_all_cpus_request(); an IPI is waited for without sleeping.
  void ask() {
    for (Vcpu& vcpu : vcpus_) vcpu.request.store(1);
    for (Vcpu& vcpu : vcpus_) {
      while (!has(kick_without_wait) && vcpu.guest_mode.load() != 0) listener->yield();
    }
  }

  /// KVM: kvm_mmu_zap_all_fast().
  void zap() {
    const std::scoped_lock slots(slots_lock_);
    if (has(request_before_invalid)) ask();
    const std::scoped_lock held(mmu_lock_);
    generation_.store(!generation_.peek(), std::memory_order_relaxed);
    for (const auto& root : active_) root->zapped = true;
    if (!has(request_before_invalid)) ask();
    for (const auto& root : active_) {
      const bool referenced = root->users.get() != 0;
      free_table(*root);
      if (!referenced || has(referenced_root_freed)) {
        free_root(root);
      } else {
        root->invalid = !has(zapped_root_valid);
      }
    }
    active_.clear();
  }

  /// KVM: __kvm_mmu_prepare_zap_page() of a root that is not obsolete, and the commit.
  void zap_oldest() {
    const std::scoped_lock held(mmu_lock_);
    if (active_.empty()) return;
    const Ref<Root> root = active_.front();
    active_.erase(active_.begin());
    if (has(request_before_invalid)) ask();
    root->zapped = true;
    const bool referenced = root->users.get() != 0;
    root->invalid = referenced && !has(zapped_root_valid);
    if (!has(request_before_invalid)) ask();
    free_table(*root);
    if (!referenced || has(referenced_root_freed)) free_root(root);
  }

  Heap heap_;
  std::uint32_t made_ = 0;
  Mutex slots_lock_{"slots-lock"};
  SpinLock mmu_lock_{"mmu-lock"};
  Atomic<bool> generation_{false, "generation"};  ///< changes under mmu_lock
  std::array<Vcpu, vcpu_count> vcpus_;
  std::vector<Ref<Root>> active_;  ///< under mmu_lock
};

}  // namespace

const System root_protocol = {
    .name = "roots",
    .title = "obsolete roots, requests to drop them, switches between roots",
    .runs =
        "impl's is_obsolete(); the rest is a model of kvm_mmu_zap_all_fast(), "
        "kvm_mmu_free_obsolete_roots() and fast_pgd_switch()",
    .property =
        "no vCPU keeps an obsolete root without a request, maps below one, or walks what "
        "is freed",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<Roots>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
