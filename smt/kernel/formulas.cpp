// SPDX-License-Identifier: GPL-2.0-or-later
/// Pure functions of a kernel against those that theorems speak of, for every
/// input. .ci/kernel-formulas cuts the kernel's functions out of a tree and
/// compiles them into this program; none of their text stands here.
#include <cstdint>
#include <cstdio>

#include "impl/mmio_encoding.h"
#include "impl/permission_bitmap.h"
#include "impl/protocol_steps.h"
#include "impl/reserved_masks.h"
#include "impl/shadow_geometry.h"
#include "smt/kernel/role.h"

// What the functions need of a kernel's headers.
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

#define BIT_ULL(bit) (1ull << (bit))
#define GENMASK_ULL(high, low) (((~0ull) << (low)) & (~0ull >> (63 - (high))))
#define WARN_ON(condition) ((void)(condition))
#define WARN_ON_ONCE(condition) (static_cast<bool>(condition))
#define BUILD_BUG_ON(condition) ((void)0)
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
#define __always_inline inline
#define SPTE_ENT_PER_PAGE 512
#define PT_PRESENT_MASK 1ull
#define PT_WRITABLE_MASK 2ull
#define PT_USER_MASK 4ull
#define PFERR_WRITE_MASK 2u
#define PFERR_USER_MASK 4u
#define PFERR_RSVD_MASK 8u
#define PFERR_FETCH_MASK 16u
#define PG_LEVEL_4K 1
#define PT32_ROOT_LEVEL 2
#define PT32E_ROOT_LEVEL 3
#define PT64_ROOT_4LEVEL 4
#define PT64_ROOT_5LEVEL 5

struct rsvd_bits_validate {
  u64 rsvd_bits_mask[2][5];
  u64 bad_mt_xwr;
};
struct kvm_mmu {
  u16 permissions[16];
  u32 pkru_mask;
  bool wp, smep, smap, pke, nx;
};
static bool is_cr0_wp(const kvm_mmu* mmu) { return mmu->wp; }
static bool is_cr4_smep(const kvm_mmu* mmu) { return mmu->smep; }
static bool is_cr4_smap(const kvm_mmu* mmu) { return mmu->smap; }
static bool is_cr4_pke(const kvm_mmu* mmu) { return mmu->pke; }
static bool is_efer_nx(const kvm_mmu* mmu) { return mmu->nx; }
static bool pse36;
static bool is_cpuid_PSE36() { return pse36; }

#define KERNEL_UNIONS
#include EXTRACTED
#undef KERNEL_UNIONS

#define pgprintk(...) ((void)0)
#define PAGE_SHIFT 12
#define PAGE_MASK (~4095ul)
#define offset_in_page(address) static_cast<unsigned>((address) & ~PAGE_MASK)
using gpa_t = u64;
struct kvm_mmu_page {
  union kvm_mmu_page_role role;
  u64* spt;
  bool tdp_mmu_page;
  u8 mmu_valid_gen;
};
[[maybe_unused]] static bool is_tdp_mmu_page(const kvm_mmu_page* sp) { return sp->tdp_mmu_page; }
struct kvm {
  struct {
    u8 mmu_valid_gen;
  } arch;
};
static kvm_mmu_page parent_page;
static kvm_mmu_page* sptep_to_sp(u64*) { return &parent_page; }
#define KVM_BUG_ON(condition, kvm) (condition)
#define EFER_LMA (1ull << 10)
struct kvm_vcpu {
  bool smm;
  void* kvm;
  unsigned long rflags;
  struct {
    u32 pkru;
  } arch;
};
#define PFERR_PRESENT_MASK 1u
#define PFERR_PK_MASK 32u
#define PFERR_SS_MASK 64u
#define PFERR_RSVD_BIT 3
#define PFERR_IMPLICIT_ACCESS (1ull << 48)
#define PT_USER_SHIFT 2
#define X86_EFLAGS_AC (1ul << 18)
#define unlikely(condition) (condition)
#define static_call(name) name
#define kvm_x86_call(name) kvm_x86_##name
static unsigned long kvm_x86_get_rflags(const kvm_vcpu* vcpu) { return vcpu->rflags; }
static void kvm_mmu_refresh_passthrough_bits(kvm_vcpu*, kvm_mmu*) {}
static bool is_smm(const kvm_vcpu* vcpu) { return vcpu->smm; }
static bool is_guest_mode(const kvm_vcpu*) { return false; }
struct kvm_mmu_role_regs : lockstep::smt::kernel::RoleRegisters<bool> {
  u64 efer = 0;  // written where a kernel mends registers that no theorem admits
};
static bool ____is_cr0_pg(const kvm_mmu_role_regs* regs) { return regs->paging; }
static bool ____is_cr0_wp(const kvm_mmu_role_regs* regs) { return regs->wp; }
static bool ____is_cr4_pae(const kvm_mmu_role_regs* regs) { return regs->pae; }
static bool ____is_cr4_la57(const kvm_mmu_role_regs* regs) { return regs->la57; }
static bool ____is_cr4_smep(const kvm_mmu_role_regs* regs) { return regs->smep; }
static bool ____is_cr4_smap(const kvm_mmu_role_regs* regs) { return regs->smap; }
static bool ____is_cr4_pke(const kvm_mmu_role_regs* regs) { return regs->pke; }
static bool ____is_cr4_pse(const kvm_mmu_role_regs* regs) { return regs->pse; }
static bool ____is_efer_lma(const kvm_mmu_role_regs* regs) { return regs->lma; }
static bool ____is_efer_nx(const kvm_mmu_role_regs* regs) { return regs->nx; }

#define fallthrough [[fallthrough]]
#define KERNEL_FUNCTIONS
#include EXTRACTED
#undef KERNEL_FUNCTIONS
#undef fallthrough

namespace lockstep {
namespace {

/// Inputs compared with one function, and the first that differs.
class Comparison {
 public:
  explicit Comparison(const char* name) : name_(name) {}
  void add(bool equal, const char* what, u64 a, u64 b, u64 c) {
    ++count_;
    if (equal) return;
    if (wrong_++ == 0) std::printf("  %s: differs: %s: %llx %llx %llx\n", name_, what, a, b, c);
  }
  bool report() const {
    std::printf("  %-34s %12llu inputs, %s\n", name_, count_, wrong_ == 0 ? "equal" : "DIFFERS");
    return wrong_ == 0;
  }

 private:
  const char* name_;
  unsigned long long count_ = 0, wrong_ = 0;
};

/// Every aligned address below 4 GiB: the function looks at 12 bits.
bool index_of_spte() {
  Comparison all("spte_index()");
  for (u64 address = 0; address < (1ull << 32); address += 8) {
    const auto theirs = static_cast<u64>(spte_index(reinterpret_cast<u64*>(address)));
    const auto ours = impl::index_of_entry(address);
    if (ours != theirs)
      all.add(false, "address", address, ours, theirs);
    else
      all.add(true, "", 0, 0, 0);
  }
  return all.report();
}

/// Every generation that fits, in the layout of the tree.
bool mmio_generation() {
  Comparison all("generation_mmio_spte_mask()");
  impl::MmioLayout<u64> layout;
  layout.low_bits = MMIO_SPTE_GEN_LOW_BITS;
  layout.high_bits = MMIO_SPTE_GEN_HIGH_BITS;
  all.add(impl::generation_mask(layout) == MMIO_SPTE_GEN_MASK, "mask", MMIO_SPTE_GEN_MASK, 0, 0);
  for (u64 generation = 0; generation <= MMIO_SPTE_GEN_MASK; ++generation) {
    const u64 theirs = generation_mmio_spte_mask(generation);
    const u64 ours = impl::encode_mmio<u64>(layout, 0, 0, generation);
    all.add(ours == theirs, "generation", generation, ours, theirs);
    const u64 back = impl::decode_mmio_generation(layout, theirs);
    all.add(back == get_mmio_spte_generation(theirs), "back", generation, back, 0);
  }
  return all.report();
}

/// ACC_* of the tree.
u64 kernel_rights_of(unsigned have) {
  u64 rights = have & (impl::rights::writable | impl::rights::user);
  if ((have & impl::rights::executable) != 0) rights |= ACC_EXEC_MASK;
#ifdef ACC_READ_MASK
  rights |= ACC_READ_MASK;
#endif
  return rights;
}

/// Every register, access and right; where EFER.NX is clear, pages without X do
/// not occur.
bool permission_bitmap() {
  Comparison all("update_permission_bitmask()");
  for (unsigned registers = 0; registers < 16; ++registers) {
    kvm_mmu mmu = {};
    mmu.wp = (registers & 1) != 0;
    mmu.smep = (registers & 2) != 0;
    mmu.smap = (registers & 4) != 0;
    mmu.nx = (registers & 8) != 0;
#ifdef PERMISSION_BITMASK_TAKES_TDP
    update_permission_bitmask(&mmu, /*tdp=*/false, /*ept=*/false);
#else
    update_permission_bitmask(&mmu, /*ept=*/false);
#endif
    const auto table = impl::permission_table<u64>(mmu.wp, mmu.smep, mmu.smap);
    for (unsigned access = 0; access < 16; ++access) {
      const bool write = (access & 1) != 0, user = (access & 2) != 0, not_smap = (access & 4) != 0,
                 fetch = (access & 8) != 0;
      if (write && fetch) continue;
      const auto index = impl::access_index<u64>(write, user, fetch, not_smap);
      for (unsigned have = 0; have < 8; ++have) {
        const bool x = (have & impl::rights::executable) != 0;
        if (!x && !mmu.nx) continue;
        const u64 theirs = (mmu.permissions[access] >> kernel_rights_of(have)) & 1;
        const u64 ours = (table[index] >> have) & 1;
        all.add(ours == theirs, "registers, access, rights", registers, access, have);
      }
    }
  }
  return all.report();
}

/// Every register, access and right, RFLAGS.AC, implicit accesses, and every key with
/// each value of its bits of PKRU, among keys that allow and that forbid everything.
bool permission_check() {
  Comparison all("permission_fault()");
  for (unsigned bits = 0; bits < (1u << 12); ++bits) {
    const auto on = [&](unsigned bit) { return ((bits >> bit) & 1) != 0; };
    kvm_mmu mmu = {};
    mmu.wp = on(0);
    mmu.smep = on(1);
    mmu.smap = on(2);
    mmu.nx = on(3);
    mmu.pke = on(4);
    const bool write = on(5), user = on(6), fetch = on(7), ac = on(8);
    const unsigned have = bits >> 9;
    if (write && fetch) continue;
    if ((have & impl::rights::executable) == 0 && !mmu.nx) continue;
#ifdef PERMISSION_BITMASK_TAKES_TDP
    update_permission_bitmask(&mmu, /*tdp=*/false, /*ept=*/false);
#else
    update_permission_bitmask(&mmu, /*ept=*/false);
#endif
    update_pkru_bitmask(&mmu);
    const auto permission = impl::permission_table<u64>(mmu.wp, mmu.smep, mmu.smap);
    const auto keys = impl::pkru_table<u64>(mmu.pke, mmu.wp);
    const u64 code = (write ? PFERR_WRITE_MASK : 0) | (user ? PFERR_USER_MASK : 0) |
                     (fetch ? PFERR_FETCH_MASK : 0);
    for (unsigned rest = 0; rest < 16 * 4 * 2 * 2; ++rest) {
      const unsigned key = rest & 15, of_key = (rest >> 4) & 3;
      const bool others = ((rest >> 6) & 1) != 0, implicit = (rest >> 7) != 0;
      const u32 pkru = ((others ? ~0u : 0u) & ~(3u << (2 * key))) | (of_key << (2 * key));
      kvm_vcpu vcpu = {};
      vcpu.rflags = ac ? X86_EFLAGS_AC : 0;
      vcpu.arch.pkru = pkru;
      const u64 theirs = static_cast<u32>(
          permission_fault(&vcpu, &mmu, static_cast<unsigned>(kernel_rights_of(have)), key,
                           code | (implicit ? PFERR_IMPLICIT_ACCESS : 0)));
      const auto index = impl::access_index<u64>(write, user, fetch, ac && !implicit);
      const u64 ours = impl::denied_bits<u64>(permission[index], keys[index], have,
                                              u64{key} << entry::protection_key_shift, pkru);
      all.add(ours == theirs, "case, PKRU, theirs", bits, pkru, theirs);
    }
  }
  return all.report();
}

/// Every state of a page and of the generation's one bit.
bool obsolete_page() {
  Comparison all("is_obsolete_sp()");
  for (unsigned bits = 0; bits < 16; ++bits) {
    const auto on = [&](unsigned bit) { return ((bits >> bit) & 1) != 0; };
    struct kvm vm = {};
    vm.arch.mmu_valid_gen = on(0);
    kvm_mmu_page page = {};
    page.role.word = 0;
    page.role.invalid = on(1);
    page.mmu_valid_gen = on(2);
    page.tdp_mmu_page = on(3);
    // Pages of the TDP MMU have no generation: they are of the current one.
    const bool generation = page.tdp_mmu_page ? on(0) : on(2);
    const bool ours = impl::is_obsolete<bool>(on(1), generation, on(0));
    all.add(ours == is_obsolete_sp(&vm, &page), "state", bits, ours, 0);
  }
  return all.report();
}

bool pkru_mask() {
  Comparison all("update_pkru_bitmask()");
  for (unsigned registers = 0; registers < 4; ++registers) {
    kvm_mmu mmu = {};
    mmu.wp = (registers & 1) != 0;
    mmu.pke = (registers & 2) != 0;
    update_pkru_bitmask(&mmu);
    const auto table = impl::pkru_table<u64>(mmu.pke, mmu.wp);
    for (unsigned access = 0; access < 16; ++access) {
      const bool write = (access & 1) != 0, user = (access & 2) != 0, page_user = (access & 4) != 0,
                 fetch = (access & 8) != 0;
      if (write && fetch) continue;
      const u64 theirs = (mmu.pkru_mask >> (access << 1)) & 3;
      const u64 ours =
          page_user ? table[impl::access_index<u64>(write, user, fetch, /*ac=*/false)] : 0;
      all.add(ours == theirs, "registers, access", registers, access, theirs);
    }
  }
  return all.report();
}

/// Every mode and width. KVM takes 36 bits for the reach of PSE-36, whatever the
/// guest's width: the one difference from the manual, compared at 36.
bool reserved_masks() {
  Comparison all("__reset_rsvds_bits_mask()");
  for (unsigned width = 32; width <= 52; ++width) {
    for (unsigned flags = 0; flags < 32; ++flags) {
      const bool nx = (flags & 1) != 0, gigabyte = (flags & 2) != 0, pse = (flags & 4) != 0,
                 amd = (flags & 16) != 0;
      pse36 = (flags & 8) != 0;
      for (int root = 2; root <= 5; ++root) {
        rsvd_bits_validate theirs = {};
        __reset_rsvds_bits_mask(&theirs, rsvd_bits(static_cast<int>(width), 63), root, nx, gigabyte,
                                pse, amd);
        const auto ours = root == 2   ? impl::reserved_masks_32<u64>(pse, pse36, 36)
                          : root == 3 ? impl::reserved_masks_pae<u64>(nx, width)
                                      : impl::reserved_masks_long<u64>(nx, gigabyte, amd, width);
        // A PDPTE of PAE paging is checked when it is loaded.
        const int levels = root == 3 ? 2 : root;
        for (int large = 0; large < 2; ++large) {
          for (int level = 1; level <= levels; ++level) {
            const u64 a = ours[large][level], b = theirs.rsvd_bits_mask[large][level - 1];
            // Entries without bit 7 are looked up at [0]; those with it always fault
            // where it is reserved.
            const u64 possible = large == 0 ? ~entry::page_size : ~0ull;
            const bool always = large == 1 && (a & b & entry::page_size) != 0;
            all.add(always || ((a ^ b) & possible) == 0, "width, ours, theirs", width, a, b);
          }
        }
        if (root != 3) continue;
        const u64 a = impl::reserved_of_pdpte<u64>(width), b = theirs.rsvd_bits_mask[0][2];
        all.add(a == b, "PDPTE: width, ours, theirs", width, a, b);
      }
    }
  }
  return all.report();
}

/// Every store of 1 to 8 bytes to every kind of shadow page.
bool written() {
  Comparison sptes("get_written_sptes()"), sizes("detect_write_misaligned()");
  static u64 table[512];
  for (unsigned kind = 0; kind < 5 + 2 + 4; ++kind) {
    kvm_mmu_page page = {};
    page.spt = table;
    const bool narrow = kind >= 5;
    const unsigned level = !narrow ? kind + 1 : kind < 7 ? 1 : 2;
    const unsigned quadrant = !narrow ? 0 : kind < 7 ? kind - 5 : kind - 7;
    page.role.has_4_byte_gpte = narrow;
    page.role.level = level;
    page.role.quadrant = quadrant;
    for (unsigned size = 1; size <= 8; ++size) {
      for (unsigned offset = 0; offset + size <= 4096; ++offset) {
        const u64 gpa = 0x7000 + offset;
        const bool theirs = detect_write_misaligned(&page, gpa, static_cast<int>(size));
        const bool ours = impl::misaligned_store<u64>(narrow, offset, size);
        sizes.add(ours == theirs, "kind, offset, size", kind, offset, size);
        // Only such stores come as far as the other function.
        if (theirs) continue;
        int count = 0;
        const u64* first = get_written_sptes(&page, gpa, &count);
        const auto range = impl::followed_entries<u64>(narrow, level, quadrant, offset, size);
        const bool same = first == nullptr ? range.count == 0
                                           : range.first == static_cast<u64>(first - table) &&
                                                 range.count == static_cast<u64>(count);
        sptes.add(same, "kind, offset, size", kind, offset, size);
      }
    }
  }
  const bool equal = sptes.report();
  return sizes.report() && equal;
}

/// Every index, level, quadrant and right below parents of every register; of pages
/// of 4-byte entries a page directory alone has children that differ by quadrant,
/// and other pages have none.
bool child_role() {
  Comparison all("kvm_mmu_child_role()");
  namespace kernel = smt::kernel;
  static u64 table[512];
  // Level 2 with 4-byte entries in four quarters, levels 2 to 5 without.
  for (unsigned kind = 0; kind < 4 + 4; ++kind) {
    for (unsigned bits = 0; bits < (1u << 7); ++bits) {
      const auto on = [&](unsigned bit) { return ((bits >> bit) & 1) != 0; };
      const bool narrow = kind < 4;
      const kernel::RoleFields<u64> parent = {.level = narrow ? 2u : kind - 2,
                                              .quadrant = narrow ? kind : 0,
                                              .access = 7,
                                              .has_4_byte_gpte = narrow,
                                              .direct = on(0),
                                              .efer_nx = on(1),
                                              .cr0_wp = on(2),
                                              .smap_andnot_wp = on(3),
                                              .smm = on(4)};
      auto& role = parent_page.role;
      role.word = 0;
      role.level = parent.level;
      role.quadrant = parent.quadrant;
      role.access = parent.access;
      role.has_4_byte_gpte = parent.has_4_byte_gpte;
      role.direct = parent.direct;
      role.efer_nx = parent.efer_nx;
      role.cr0_wp = parent.cr0_wp;
      role.smap_andnot_wp = parent.smap_andnot_wp;
      role.smm = parent.smm;
      role.passthrough = on(5);
      role.guest_mode = on(6);
      for (unsigned index = 0; index < 512; ++index) {
        for (unsigned request = 0; request < 16; ++request) {
          const bool direct = (request & 8) != 0;
          const auto theirs = kvm_mmu_child_role(&table[index], direct, request & 7);
          const auto ours = kernel::child_role<u64>(parent, index, direct, request & 7);
          // What the formula does not name stays, but passthrough, which no child has.
          auto expected = role;
          expected.level = ours.level;
          expected.quadrant = ours.quadrant;
          expected.access = ours.access;
          expected.direct = ours.direct;
          expected.invalid = ours.invalid;
          expected.passthrough = 0;
          all.add(expected.word == theirs.word, "kind, index, theirs", kind, index, theirs.word);
        }
      }
    }
  }
  return all.report();
}

#ifdef ROLE_HAS_SMEP_ANDNOT_WP
/// Every register, in SMM and outside.
bool cpu_role() {
  Comparison all("kvm_calc_cpu_role()");
  for (unsigned bits = 0; bits < (1u << 11); ++bits) {
    const auto on = [&](unsigned bit) { return ((bits >> bit) & 1) != 0; };
    const kvm_mmu_role_regs regs = {{.paging = on(0),
                                     .pae = on(1),
                                     .lma = on(2),
                                     .la57 = on(3),
                                     .wp = on(4),
                                     .smep = on(5),
                                     .smap = on(6),
                                     .pke = on(7),
                                     .pse = on(8),
                                     .nx = on(9)}};
    // Long mode needs paging and PAE.
    if (regs.lma && !(regs.paging && regs.pae)) continue;
    const kvm_vcpu vcpu = {on(10), nullptr};
    const auto theirs = kvm_calc_cpu_role(const_cast<kvm_vcpu*>(&vcpu), &regs);
    namespace kernel = smt::kernel;
    const u64 base = kernel::role_word(kernel::base_role<u64>(regs, vcpu.smm));
    const u64 extended = kernel::extended_role<u64>(regs);
    all.add(base == theirs.base.word, "base", bits, base, theirs.base.word);
    all.add(extended == theirs.ext.word, "extended", bits, extended, theirs.ext.word);
  }
  return all.report();
}
#else
/// In 7.2 SMEP is part of the base role whatever CR0.WP is: another formula, of
/// which no theorem speaks.
bool cpu_role() {
  std::printf("  %-34s not compared: no theorem speaks of it\n", "kvm_calc_cpu_role()");
  return true;
}
#endif

}  // namespace
}  // namespace lockstep

int main() {
  bool equal = lockstep::index_of_spte();
  equal = lockstep::mmio_generation() && equal;
  equal = lockstep::permission_bitmap() && equal;
  equal = lockstep::pkru_mask() && equal;
  equal = lockstep::permission_check() && equal;
  equal = lockstep::obsolete_page() && equal;
  equal = lockstep::reserved_masks() && equal;
  equal = lockstep::written() && equal;
  equal = lockstep::child_role() && equal;
  equal = lockstep::cpu_role() && equal;
  return equal ? 0 : 1;
}
