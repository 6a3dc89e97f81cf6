// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <mutex>

#include "impl/mmio_encoding.h"
#include "props/schedule/primitives.h"
#include "props/schedule/protocols.h"

namespace lockstep::props::schedule {
namespace {

enum Wrong : unsigned {
  wrap_not_zapped,
  generation_published_early,
  slots_freed_early,
  zap_before_invalid,
  invalid_slot_mapped,
  wrap_zapped_late,
  entry_made_in_swap
};
constexpr std::array<Defect, 7> defects = {{
    {"wrap-not-zapped", "MMIO SPTEs stay when the generation begins anew",
     "kvm_mmu_invalidate_mmio_sptes(); e1359e2beb8b, 152482580a1b"},
    {"generation-published-early",
     "the new generation is published with the slots, not behind "
     "the last reader of the old ones",
     "kvm_swap_active_memslots(); ddfd1730fd82, 152482580a1b"},
    {"slots-freed-early", "the old slots are freed without synchronize_srcu()",
     "kvm_swap_active_memslots()"},
    {"zap-before-invalid", "a slot that goes is zapped before nobody can map it any more",
     "kvm_invalidate_memslot(): KVM_MEMSLOT_INVALID is published first"},
    {"invalid-slot-mapped", "a fault maps what stands in a slot that is about to go",
     "2230f9e1171a: no mapping in the invalid window"},
    {"wrap-zapped-late", "MMIO SPTEs are zapped once the generation that wraps can be seen",
     "152482580a1b: kvm_arch_memslots_updated() comes before the generation"},
    {"entry-made-in-swap",
     "an access makes an MMIO SPTE between the zap of a wrap and the new generation",
     "make_mmio_spte() as KVM has it: the SPTE is current again a period later",
     /*commands, over a period of generations=*/8},
}};

enum Verbs : std::uint8_t { access, create, remove, swap_others };
constexpr std::array<Verb, 4> verbs = {
    {{"access"}, {"create-slot"}, {"delete-slot"}, {"swap-others", 5, 0b10100}}};

/// Two bits of generation: four swaps wrap.
constexpr impl::MmioLayout<std::uint64_t> layout = {
    .low_bits = 2, .high_bits = 0, .mask = 1ull << 51, .value = 1ull << 51};
constexpr std::uint64_t mapped = impl::mmu_present;
constexpr std::uint64_t gfn = 5;
constexpr std::uint64_t spaces = 1;

enum class Slot : std::uint8_t { absent, present, invalid };

struct Slots {
  Slots(std::uint64_t now, Slot its) : slot(its), generation(now, "generation") {}
  Slot slot;
  Atomic<std::uint64_t> generation;
};

/// One gfn that a slot may hold, its SPTE, and guests that access it.
class Memslots final : public SystemBody {
 public:
  Memslots(Runner& runner, unsigned defect, const Threads& threads)
      : SystemBody(memslot_protocol, runner, defect, threads),
        active_(heap_.make<Slots>("slots", 0, 0u, Slot::absent).node(), "memslots") {}

  void tear_down() override { heap_.free(Ref(*active_.load())); }

 private:
  void command(Command command) override {
    switch (command.verb) {
      case access:
        guest_access();
        break;
      case create:
        change(Slot::absent, Slot::present);
        break;
      case swap_others:
        change_others(command.number);
        break;
      default:
        change(Slot::present, Slot::absent);
    }
  }

  /// KVM: kvm_mmu_page_fault(), once, inside the vCPU's SRCU section.
  void guest_access() {
    const std::uint64_t absent_before = absent_at_;
    const std::uint64_t present_before = present_at_;
    const bool was_absent = is_absent_;
    const bool was_present = is_present_;
    const std::scoped_lock reading(srcu_);
    // In this order: a wrap zaps the SPTE before its generation can be seen. KVM's
    // handle_mmio_page_fault() reads the generation last.
    const auto now = [this] { return Ref(*active_.load())->generation.load(); };
    const std::uint64_t generation = now();
    const std::uint64_t spte = spte_.load(std::memory_order_relaxed);
    if (impl::is_mmio(layout, spte)) {
      if (impl::mmio_hit(layout, spte, generation)) {
        // MMIO is an answer if there was no slot at some time since.
        if (!was_absent && absent_at_ == absent_before) {
          listener->warn("a stale MMIO entry answers for a slot that exists");
        }
        return;
      }
    } else if ((spte & mapped) != 0) {
      if (!was_present && present_at_ == present_before) {
        listener->warn("a mapping answers for a slot that was deleted");
      }
      return;
    }
    const Slot slot = Ref(*active_.load())->slot;
    if (slot == Slot::invalid && !has(invalid_slot_mapped)) return;  // the guest tries again
    const std::scoped_lock held(mmu_lock_);
    if (slot != Slot::absent) return spte_.store(mapped, std::memory_order_relaxed);
    // KVM: make_mmio_spte() asks for the generation anew. impl makes none in a swap.
    const std::uint64_t made_at = now();
    const bool swapping = (made_at & impl::update_in_progress) != 0;
    if (swapping && !has(entry_made_in_swap)) return;
    spte_.store(impl::encode_mmio<std::uint64_t>(layout, gfn, 0, made_at),
                std::memory_order_relaxed);
  }

  /// KVM: kvm_swap_active_memslots().
  void swap(Slot slot) {
    Ref<Slots> old(*active_.load());
    const std::uint64_t before = old->generation.load();
    const std::uint64_t after = impl::next_generation(before, spaces);
    const bool early = has(generation_published_early);
    const auto made = heap_.make<Slots>("slots", ++swaps_,
                                        early ? after : before | impl::update_in_progress, slot);
    active_.store(made.node());
    if (!has(slots_freed_early)) srcu_.synchronize();
    if (has(wrap_zapped_late)) made->generation.store(after);
    // KVM: kvm_arch_memslots_updated(), before the generation can be seen.
    if (impl::generation_wraps(layout, after, spaces) && !has(wrap_not_zapped)) zap_all();
    if (!early && !has(wrap_zapped_late)) made->generation.store(after);
    heap_.free(old);
  }

  void zap_all() {
    const std::scoped_lock held(mmu_lock_);
    spte_.store(0, std::memory_order_relaxed);
  }
  /// What maps the slot; MMIO entries belong to none.
  void zap_slot() {
    const std::scoped_lock held(mmu_lock_);
    if ((spte_.load(std::memory_order_relaxed) & mapped) != 0) {
      spte_.store(0, std::memory_order_relaxed);
    }
  }

  /// KVM: kvm_set_memory_region().
  void change(Slot from, Slot to) {
    const std::scoped_lock held(slots_lock_);
    if (Ref(*active_.load())->slot != from) return;
    is_absent_ = is_present_ = true;  // until the ioctl returns, either may be seen
    ++absent_at_;
    ++present_at_;
    if (to == Slot::absent) {
      if (has(zap_before_invalid)) zap_slot();
      swap(Slot::invalid);
      if (!has(zap_before_invalid)) zap_slot();
    }
    swap(to);
    is_absent_ = to == Slot::absent;
    is_present_ = to == Slot::present;
  }

  /// So many changes of slots elsewhere.
  void change_others(unsigned count) {
    const std::scoped_lock held(slots_lock_);
    for (unsigned i = 0; i < count; ++i) swap(Ref(*active_.load())->slot);
  }

  Heap heap_;
  std::uint32_t swaps_ = 0;
  Mutex slots_lock_{"slots-lock"};
  SpinLock mmu_lock_{"mmu-lock"};
  Srcu srcu_{"srcu"};
  Atomic<Node<Slots>*> active_;
  Atomic<std::uint64_t> spte_{0, "spte"};
  // What user space knows: what the slot may be, and how often that began.
  bool is_absent_ = true;
  bool is_present_ = false;
  std::uint64_t absent_at_ = 0;
  std::uint64_t present_at_ = 0;
};

}  // namespace

const System memslot_protocol = {
    .name = "memslots",
    .title = "memory slots that change below faults, and the generation of MMIO entries",
    .runs =
        "impl's mmio_hit(), encode_mmio(), next_generation() and generation_wraps() with a "
        "generation of two bits; the rest is a model of kvm_swap_active_memslots()",
    .property =
        "no entry answers for a slot that was gone, or a hole that was filled, before "
        "the access began",
    .verbs = verbs,
    .defects = defects,
    .make = [](Runner& runner, unsigned defect,
               const Threads& threads) -> std::unique_ptr<SystemBody> {
      return std::make_unique<Memslots>(runner, defect, threads);
    }};

}  // namespace lockstep::props::schedule
