// SPDX-License-Identifier: GPL-2.0-or-later
/// SPTEs and indices of a kernel against those that theorems speak of: the
/// kernel's own text, translated to terms, proved equal by Z3 for every input.
/// .ci/kernel-formulas cuts the functions out of a tree; none of their text stands
/// here. What is concrete is enumerated whole; words are symbolic, all 64 bits.
#include "smt/kernel/access_track.h"
#include "smt/kernel/role.h"
#include "smt/kernel/symbolic_word.h"

#include <cstdio>
#include <string>

#include "impl/fault_steps.h"
#include "impl/spte.h"
#include "smt/solver.h"

namespace kernel_text {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = lockstep::smt::kernel::U64;
using gfn_t = u64;
using kvm_pfn_t = u64;
using ulong = u64;

#define BIT_ULL(bit) (1ull << (bit))
#define GENMASK_ULL(high, low) (((~0ull) << (low)) & (~0ull >> (63 - (high))))
#define WARN_ON(...) ((void)0)
#define WARN_ONCE(...) ((void)0)
#define MMU_WARN_ON(...) ((void)0)
#define KVM_MMU_WARN_ON(...) ((void)0)
#define BUILD_BUG_ON(...) ((void)0)
#define WARN_ON_ONCE(condition) (static_cast<bool>(condition))
#define KVM_BUG_ON(condition, kvm) (static_cast<bool>(condition))
#define pgprintk(...) ((void)0)
#define likely(condition) (condition)
#define unlikely(condition) (condition)
#define __always_inline inline
#define PG_LEVEL_4K 1
#define PAGE_SHIFT 12
#define PAGE_SIZE 4096ull
#define PT_PRESENT_MASK 1ull
#define PT_WRITABLE_MASK 2ull
#define PT_USER_MASK 4ull
#define PT_ACCESSED_MASK 0x20ull
#define PT_DIRTY_MASK 0x40ull
#define PT_PAGE_SIZE_MASK 0x80ull
#define PT64_NX_MASK (1ull << 63)
#define VMX_EPT_READABLE_MASK 1ull
#define VMX_EPT_EXECUTABLE_MASK 4ull
#define VMX_EPT_USER_EXECUTABLE_MASK (1ull << 10)
#define KVM_MEMSLOT_GEN_UPDATE_IN_PROGRESS (1ull << 63)
#define X86_BUG_L1TF 0
#define boot_cpu_has_bug(bug) (cpu.l1tf)
#define cpu_feature_enabled(feature) false
#define kvm_mmu_page_ad_need_write_protect(...) false
#define kvm_slot_dirty_track_enabled(slot) false
#define kvm_vcpu_can_access_host_mmio(vcpu) true
#define kvm_track_host_mmio_mapping(vcpu) ((void)0)
#define mark_page_dirty_in_slot(...) ((void)0)
#define trace_check_mmio_spte(...) ((void)0)
#define check_spte_writable_invariants(spte) ((void)0)
#define static_call(name) name
#define kvm_x86_call(name) kvm_x86_##name
#define X86_FEATURE_CLEAR_CPU_BUF_VM_MMIO 0

/// The processor that the masks are computed for.
struct Cpu {
  bool l1tf = false;
  unsigned x86_cache_bits = 46, x86_phys_bits = 46;
  unsigned maxphyaddr = 46;
};
static Cpu cpu;
#define boot_cpu_data cpu
#define kvm_host cpu
static u8 kvm_get_shadow_phys_bits() { return static_cast<u8>(cpu.x86_phys_bits); }

static bool nx_huge_pages, unsync_denied;
[[maybe_unused]] static bool kvm_ad_enabled;
[[maybe_unused]] static u8 shadow_phys_bits;
static std::uint64_t shadow_host_writable_mask, shadow_mmu_writable_mask, shadow_nx_mask,
    shadow_user_mask, shadow_accessed_mask, shadow_dirty_mask, shadow_mmio_value,
    shadow_mmio_access_mask, shadow_present_mask, shadow_me_value, shadow_acc_track_mask;
[[maybe_unused]] static std::uint64_t shadow_x_mask, shadow_xs_mask, shadow_xu_mask,
    shadow_memtype_mask, shadow_me_mask;
static u64 shadow_nonpresent_or_rsvd_mask, shadow_nonpresent_or_rsvd_lower_gfn_mask;

#define KERNEL_UNIONS
#include EXTRACTED
#undef KERNEL_UNIONS

struct kvm_memslots {
  u64 generation;
};
struct kvm_memory_slot {
  gfn_t base_gfn;
};
struct kvm {
  struct {
    std::uint64_t shadow_mmio_value;
  } arch;
};
struct kvm_vcpu {
  struct kvm* kvm;
  kvm_memslots slots;
};
struct kvm_mmu_page {
  union kvm_mmu_page_role role;
};
[[maybe_unused]] static struct { bool get_mt_mask = false; } kvm_x86_ops;
static struct kvm vm;
static kvm_vcpu vcpu0 = {&vm, {}};

static void kvm_mmu_set_mmio_spte_mask(const u64& value, const u64&, std::uint64_t access) {
  // The masks are numbers: a symbolic one would be a mistake of this file.
  shadow_mmio_value = value.word().node()->value;
  vm.arch.shadow_mmio_value = shadow_mmio_value;
  shadow_mmio_access_mask = access;
}
static kvm_memslots* kvm_vcpu_memslots(kvm_vcpu* vcpu) { return &vcpu->slots; }
static bool is_nx_huge_page_enabled(struct kvm*) { return nx_huge_pages; }
static bool is_writable_pte(const u64& pte) { return pte & PT_WRITABLE_MASK; }
static bool mmu_try_to_unsync_pages(...) { return unsync_denied; }
template <typename... Any>
[[maybe_unused]] static bool kvm_is_mmio_pfn(const Any&...) {
  return false;
}
template <typename... Any>
[[maybe_unused]] static u64 kvm_x86_get_mt_mask(const Any&...) {
  return 0;
}
template <typename... Any>
[[maybe_unused]] static u64 change_spte_executable(const u64& spte, const Any&...) {
  return spte;
}
[[maybe_unused]] static u64 make_spte_executable(const u64& spte) { return spte; }

/// A role as is_root_usable() sees it: a word, and one of its bits.
struct symbolic_role {
  u64 word, direct;
};
struct symbolic_page {
  symbolic_role role;
};
struct kvm_mmu_root_info {
  u64 pgd, hpa;
};
using gpa_t = u64;
#define VALID_PAGE(page) ((page) != ~0ull)
static symbolic_page root_page;
[[maybe_unused]] static symbolic_page* to_shadow_page(const u64&) { return &root_page; }
[[maybe_unused]] static symbolic_page* root_to_sp(const u64&) { return &root_page; }

#define KERNEL_FUNCTIONS
#include EXTRACTED
#undef KERNEL_FUNCTIONS

}  // namespace kernel_text

namespace lockstep::smt::kernel {
namespace {

namespace text = kernel_text;

/// Equalities of one function, refuted together.
class Equality {
 public:
  explicit Equality(const char* name) : name_(name) {}
  /// Under the condition both must be equal.
  void add(const Bool& condition, const Bool& equal) {
    differs_ = differs_ || (condition && !equal);
    possible_ = possible_ || condition;
    ++cases_;
  }
  bool report() const {
    Limits limits;
    limits.time = std::chrono::seconds(120);
    if (check({possible_}, limits).kind != Answer::Kind::sat) {
      std::printf("  %-34s NOTHING COMPARED\n", name_);
      return false;
    }
    const Answer answer = check({differs_}, limits);
    const bool equal = answer.kind == Answer::Kind::unsat;
    std::printf("  %-34s %12u paths,  %s\n", name_, cases_,
                equal                              ? "proved equal"
                : answer.kind == Answer::Kind::sat ? "DIFFERS"
                                                   : "not decided");
    for (const auto& [name, value] : answer.model) {
      std::printf("    %s = 0x%llx\n", name.c_str(), static_cast<unsigned long long>(value));
    }
    return equal;
  }

 private:
  const char* name_;
  Bool differs_ = false;
  Bool possible_ = false;  ///< some input meets some condition
  unsigned cases_ = 0;
};

/// Masks of shadow paging and NPT, as the kernel computes them for a processor.
void reset_masks(bool l1tf, unsigned cache_bits, unsigned phys_bits) {
  text::cpu = {l1tf, cache_bits, phys_bits, phys_bits};
  text::kvm_mmu_reset_all_pte_masks();
}

/// Every level, access and reason; frames of 52 address bits and the old SPTE are
/// symbolic.
bool make_spte() {
  Equality all("make_spte()");
  reset_masks(false, 46, 46);
  const Word frame = Word::variable("pfn"), old = Word::variable("old-spte");
  text::kvm_memory_slot slot;
  for (unsigned bits = 0; bits < 3 * 8 * 2 * 2 * 2; ++bits) {
    const unsigned access = bits & 7, level = (bits >> 3) % 3 + 1, rest = bits / 24;
    const bool host_writable = (rest & 1) != 0;
    text::unsync_denied = (rest & 2) != 0;
    text::nx_huge_pages = (rest & 4) != 0;
    text::kvm_mmu_page page = {};
    page.role.level = level;
    unsigned kernel_access = access;
#ifdef ACC_READ_MASK
    kernel_access = (access & ~1u) | ((access & 1) != 0 ? ACC_EXEC_MASK : 0u) | ACC_READ_MASK;
#endif
    bool denied = false;
    const auto run = [&] {
      text::u64 spte;
      denied = text::make_spte(&text::vcpu0, &page, &slot, kernel_access, text::u64(0),
                               text::u64(frame), text::u64(old), /*prefetch=*/false,
                               /*can_unsync=*/true, host_writable, &spte);
      return spte.word();
    };
    Paths::each(run, [&](const Bool& condition, const Word& theirs) {
      const impl::LeafRequest<Word> request = {.level = level,
                                               .frame = frame,
                                               .access = access,
                                               .host_writable = host_writable,
                                               .read_only = false,
                                               .tracked = denied,
                                               .nx_huge = text::nx_huge_pages};
      Word ours = impl::leaf_spte(request);
#ifdef OLD_WRITABLE_LEAVES_DIRTY_CLEAR
      // Over a writable SPTE 6.1 and 6.12 set no dirty flag: it was counted.
      const Bool was_leaf = Bool(level == 1) || (old & entry::page_size) != 0;
      const Bool counted = was_leaf && (old & entry::writable) != 0;
      ours = ite(counted, ours & ~Word(entry::dirty), ours);
#endif
      // Who is asked, not only what comes of it. Over a table impl/ has cleared `old`.
      const Bool leaf = Bool(level == 1) || old == 0 || (old & entry::page_size) != 0;
      const Bool asked = impl::asks_for_write<Word>(request, old);
      all.add(condition && leaf, Bool(denied) == (Bool(text::unsync_denied) && asked));
      all.add(condition && frame < (1ull << 40), theirs == ours);
    });
  }
  return all.report();
}

/// Any huge SPTE; the mitigation that makes small pages executable is off.
bool split() {
  Equality all(SPLIT_NAME);
  text::nx_huge_pages = false;
  const Word huge = Word::variable("huge-spte");
  for (const unsigned level : {2u, 3u}) {
    for (int index = 0; index < 512; ++index) {
      union text::kvm_mmu_page_role role = {};
      role.level = level - 1;
      const auto run = [&] { return text::SPLIT(&text::vm, text::u64(huge), role, index).word(); };
      const Word within = (Word(4096) << (9 * (level - 1))) - 4096;
      const Bool leaf = (huge & impl::spte::shadow_present) != 0 &&
                        (huge & entry::page_size) != 0 && (huge & within) == 0;
      Paths::each(run, [&](const Bool& condition, const Word& theirs) {
        all.add(condition && leaf,
                theirs == impl::split_spte(huge, level, static_cast<unsigned>(index)));
      });
    }
  }
  return all.report();
}

/// Any gfn and base, at levels 1 to 3.
bool indices() {
  Equality index("gfn_to_index()"), size("__kvm_mmu_slot_lpages()");
  const Word gfn = Word::variable("gfn"), base = Word::variable("base"),
             pages = Word::variable("pages");
  for (int level = 1; level <= 3; ++level) {
    index.add(true, text::gfn_to_index(text::u64(gfn), text::u64(base), level).word() ==
                        impl::array_index<Word>(gfn, base, static_cast<unsigned>(level)));
    text::kvm_memory_slot slot{text::u64(base)};
    size.add(true, text::__kvm_mmu_slot_lpages(&slot, text::u64(pages), level).word() ==
                       impl::array_size<Word>(base, pages, static_cast<unsigned>(level)));
  }
  const bool equal = index.report();
  return size.report() && equal;
}

/// Any gfn and generation on every processor: with L1TF and caches of 32 to 46
/// bits, without and 32 to 51 bits of address.
bool mmio() {
  Equality masks("kvm_mmu_reset_all_pte_masks()"), make("make_mmio_spte()"),
      gfns("get_mmio_spte_gfn()"), generations("get_mmio_spte_generation()"),
      hits("check_mmio_spte()");
  const Word gfn = Word::variable("gfn"), generation = Word::variable("generation"),
             spte = Word::variable("spte");
  for (unsigned width = 32; width <= 51; ++width) {
    for (const bool l1tf : {false, true}) {
      if (l1tf && width > 46) continue;
      reset_masks(l1tf, width, width);
      const impl::MmioLayout<Word> layout = {
          .low_bits = MMIO_SPTE_GEN_LOW_BITS,
          .high_bits = MMIO_SPTE_GEN_HIGH_BITS,
          .mask = (1ull << 51) | entry::present,
          .value = (1ull << 51) | entry::present,
          .access_mask = impl::rights::writable | impl::rights::user,
          .inverted = impl::inverted_mask<Word>(l1tf, width),
          .lower_gfn_mask = impl::lower_gfn_mask<Word>(l1tf, width, width)};
      masks.add(true, text::shadow_nonpresent_or_rsvd_mask.word() == layout.inverted &&
                          text::shadow_nonpresent_or_rsvd_lower_gfn_mask.word() ==
                              layout.lower_gfn_mask &&
                          Word(text::shadow_mmio_value) == layout.value &&
                          Word(text::shadow_mmio_access_mask) == layout.access_mask);
      text::vcpu0.slots.generation = text::u64(generation);
      for (unsigned access = 0; access < 8; ++access) {
        const auto run = [&] {
          return text::make_mmio_spte(&text::vcpu0, text::u64(gfn), access).word();
        };
        Paths::each(run, [&](const Bool& condition, const Word& theirs) {
          make.add(condition, theirs == impl::encode_mmio<Word>(layout, gfn, access, generation));
        });
      }
      gfns.add(true, text::get_mmio_spte_gfn(text::u64(spte)).word() ==
                         impl::decode_mmio_gfn(layout, spte));
      generations.add(true, text::get_mmio_spte_generation(text::u64(spte)).word() ==
                                impl::decode_mmio_generation(layout, spte));
      const auto hit = [&] { return text::check_mmio_spte(&text::vcpu0, text::u64(spte)); };
      Paths::each(hit, [&](const Bool& condition, bool theirs) {
        hits.add(condition, impl::mmio_hit(layout, spte, generation) == Bool(theirs));
      });
    }
  }
  bool equal = masks.report();
  for (const auto* each : {&make, &gfns, &generations, &hits}) equal = each->report() && equal;
  return equal;
}

/// Any two roles, tables, and address of the root's page, which has a shadow page.
bool usable_root() {
  Equality all("is_root_usable()");
  const auto word = [](const char* name) { return Word::variable(name); };
  text::root_page = {{text::u64(word("have.role")), text::u64(0)}};
  text::kvm_mmu_root_info root = {text::u64(word("have.cr3")), text::u64(word("page"))};
  const text::symbolic_role role = {text::u64(word("want.role")), text::u64(word("direct"))};
  const auto run = [&] { return text::is_root_usable(&root, text::u64(word("want.cr3")), role); };
  Paths::each(run, [&](const Bool& condition, bool theirs) {
    const Bool ours = root_usable<Word>({.role = word("have.role"), .table = word("have.cr3")},
                                        {.role = word("want.role"), .table = word("want.cr3")},
                                        word("direct") != 0);
    all.add(condition, Bool(theirs) == (ours && word("page") != ~0ull));
  });
  return all.report();
}

/// EPT without accessed and dirty flags: any SPTE of that type.
bool access_track() {
  Equality mark("mark_spte_for_access_track()"), restore("restore_acc_track_spte()");
  const AccessTrackLayout& layout = TRACK_LAYOUT;
  text::shadow_acc_track_mask = layout.tracked;
  text::shadow_accessed_mask = layout.accessed;
  const Word spte = Word::variable("spte");
  const Bool disabled = (spte & layout.ad_mask) == layout.ad_disabled;
  Paths::each([&] { return text::mark_spte_for_access_track(text::u64(spte)).word(); },
              [&](const Bool& condition, const Word& theirs) {
                mark.add(condition && disabled, theirs == mark_for_access_track(layout, spte));
              });
  Paths::each([&] { return text::restore_acc_track_spte(text::u64(spte)).word(); },
              [&](const Bool& condition, const Word& theirs) {
                restore.add(condition, theirs == restore_access_track(layout, spte));
              });
  const bool equal = mark.report();
  return restore.report() && equal;
}

}  // namespace
}  // namespace lockstep::smt::kernel

int main() {
  namespace kernel = lockstep::smt::kernel;
  bool equal = kernel::make_spte();
  equal = kernel::split() && equal;
  equal = kernel::indices() && equal;
  equal = kernel::mmio() && equal;
  equal = kernel::access_track() && equal;
  equal = kernel::usable_root() && equal;
  return equal ? 0 : 1;
}
