// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/page_walk_matrix_blocks.h"

#include <fmt/format.h>

#include <bit>
#include <initializer_list>
#include <numeric>

namespace lockstep::props {
namespace {

using F = MatrixFlag;
using List = std::vector<MatrixFlags>;

/// Every subset of `free`, in counting order, each with `fixed`.
List subsets(MatrixFlags free, MatrixFlags fixed = 0) {
  List list;
  MatrixFlags subset = 0;
  do {
    list.push_back(subset | fixed);
    subset = (subset - free) & free;
  } while (subset != 0);
  return list;
}

template <typename Rule>
List only(List list, Rule rule) {
  std::erase_if(list, [&rule](MatrixFlags flags) { return !rule(flags); });
  return list;
}

bool at_most_one(MatrixFlags flags, MatrixFlags of) { return std::popcount(flags & of) <= 1; }

constexpr MatrixFlags pte_candidates = (F::pte_36 | F::pte_51) | F::pte_52;
constexpr MatrixFlags pde_candidates = (F::pde_13 | F::pde_21) | F::pde_36 | F::pde_51 | F::pde_52;

/// One candidate for a reserved bit an entry; bits 13 and 21 mean something of
/// their own in a large page only.
bool legal_entry(MatrixFlags flags) {
  if (!has(flags, F::pde_ps) && (flags & (F::pde_13 | F::pde_21)) != 0) return false;
  return at_most_one(flags, pte_candidates) && at_most_one(flags, pde_candidates);
}

/// Read, write, fetch: an access is one of them.
bool legal_access(MatrixFlags flags) { return !(has(flags, F::write) && has(flags, F::fetch)); }

List accesses(MatrixFlags more = 0) {
  return only(subsets((F::user | F::write) | F::fetch | more), legal_access);
}
constexpr MatrixFlags operator|(MatrixFlags a, std::initializer_list<F> b) {
  for (const F flag : b) a = a | flag;
  return a;
}
constexpr MatrixFlags set(std::initializer_list<F> flags) { return MatrixFlags{0} | flags; }

bool is_long(PagingMode mode) { return mode == PagingMode::level4 || mode == PagingMode::level5; }

/// The flags with which the upper entries of the mode grant every right.
MatrixFlags upper_grants(PagingMode mode) {
  if (!is_long(mode)) return 0;
  const auto flags = set({F::pdpte_rw, F::pdpte_user, F::pml4e_rw, F::pml4e_user});
  return mode == PagingMode::level5 ? flags | (F::pml5e_rw | F::pml5e_user) : flags;
}

/// The present flags of the entries above the page directory.
MatrixFlags upper_present(PagingMode mode) {
  switch (mode) {
    case PagingMode::bits32:
      return 0;
    case PagingMode::pae:
      return +F::pdpte_p;
    case PagingMode::level5:
      return set({F::pdpte_p, F::pml4e_p, F::pml5e_p});
    default:
      return F::pdpte_p | F::pml4e_p;
  }
}

/// Upper entries of a mode that differ from "grants all" in at most `most` flags.
List upper_deviations(PagingMode mode, MatrixFlags of, int most) {
  const auto differs = [most](MatrixFlags flags) { return std::popcount(flags) <= most; };
  List list = only(subsets(of), differs);
  for (MatrixFlags& flags : list) flags ^= upper_grants(mode);
  return list;
}

MatrixBlock level4() {
  MatrixBlock b;
  b.name = "4-level";
  b.about = "both lower levels in full under every right of the PDPTE";
  b.cpu = subsets(set({F::cr0_wp, F::cr4_smep, F::cr4_pke, F::efer_nx}), +F::page1gb);
  b.present = subsets(F::pte_p | F::pde_p, F::pdpte_p | F::pml4e_p);
  b.upper = subsets(set({F::pdpte_rw, F::pdpte_user, F::pdpte_nx}), F::pml4e_rw | F::pml4e_user);
  b.pde = only(subsets(set({F::pde_rw, F::pde_user, F::pde_nx, F::pde_d, F::pde_a, F::pde_ps,
                            F::pde_13, F::pde_36, F::pde_51})),
               legal_entry);
  b.pte = only(
      subsets(set({F::pte_rw, F::pte_user, F::pte_nx, F::pte_d, F::pte_a, F::pte_36, F::pte_51})),
      legal_entry);
  b.pku = subsets(set({F::pkru_ad, F::pkru_wd, F::pkey}));
  b.access = accesses();
  return b;
}

MatrixBlock pae() {
  MatrixBlock b;
  b.name = "pae";
  b.about = "page directory and table in full; bits 62:MAXPHYADDR reserved";
  b.mode = PagingMode::pae;
  b.cpu = subsets(set({F::cr0_wp, F::cr4_smep, F::efer_nx}));
  b.present = subsets(set({F::pte_p, F::pde_p, F::pdpte_p}));
  b.pde = only(subsets(set({F::pde_rw, F::pde_user, F::pde_nx, F::pde_d, F::pde_a, F::pde_ps,
                            F::pde_13, F::pde_36, F::pde_51, F::pde_52})),
               legal_entry);
  b.pte = only(subsets(set({F::pte_rw, F::pte_user, F::pte_nx, F::pte_d, F::pte_a, F::pte_36,
                            F::pte_51, F::pte_52})),
               legal_entry);
  b.access = accesses();
  return b;
}

MatrixBlock bits32() {
  MatrixBlock b;
  b.name = "32-bit";
  b.about = "4-MByte pages with and without CR4.PSE and PSE-36";
  b.mode = PagingMode::bits32;
  b.maxphyaddr = {32, 33, 36, 40, 52};
  b.cpu = subsets(set({F::cr0_wp, F::cr4_smep, F::cr4_pse, F::efer_nx, F::pse36}));
  b.present = subsets(F::pte_p | F::pde_p);
  b.pde = only(subsets(set({F::pde_rw, F::pde_user, F::pde_d, F::pde_a, F::pde_g, F::pde_ps,
                            F::pde_13, F::pde_21})),
               legal_entry);
  b.pte = subsets(set({F::pte_rw, F::pte_user, F::pte_d, F::pte_a, F::pte_g}));
  b.access = accesses();
  return b;
}

MatrixBlock uppers(PagingMode mode) {
  MatrixBlock b;
  const bool five = mode == PagingMode::level5;
  b.name = five ? "5-level" : "4-level uppers";
  b.about = "upper entries that differ in up to two flags, with 1-GByte pages";
  b.mode = mode;
  b.cpu = subsets(set({F::cr0_wp, F::cr4_smep, F::efer_nx, F::page1gb}));
  b.present = subsets((F::pte_p | F::pde_p) | upper_present(mode));
  const MatrixFlags top_flags =
      five ? set({F::pml5e_rw, F::pml5e_user, F::pml5e_nx, F::pml5e_a, F::pml5e_ps, F::pml5e_51})
           : 0;
  b.upper = upper_deviations(
      mode,
      top_flags | set({F::pdpte_rw, F::pdpte_user, F::pdpte_nx, F::pdpte_a, F::pdpte_ps,
                       F::pdpte_13, F::pdpte_36, F::pdpte_51, F::pml4e_rw, F::pml4e_user,
                       F::pml4e_nx, F::pml4e_a, F::pml4e_ps, F::pml4e_51}),
      2);
  // Bit 13 of a PDPTE that refers to a table is an address bit.
  b.upper =
      only(b.upper, [](MatrixFlags f) { return has(f, F::pdpte_ps) || !has(f, F::pdpte_13); });
  b.pde = subsets(set({F::pde_rw, F::pde_user, F::pde_ps}));
  b.pte = subsets(F::pte_rw | F::pte_user);
  b.access = accesses();
  return b;
}

MatrixBlock smap(PagingMode mode, std::string_view name) {
  MatrixBlock b;
  b.name = name;
  b.about = "SMAP with AC, every right of both lower levels";
  b.mode = mode;
  const bool wide = mode != PagingMode::bits32;
  const MatrixFlags cpu = set({F::cr0_wp, F::cr4_smep, F::cr4_smap, F::efer_nx});
  b.cpu =
      subsets(is_long(mode) ? cpu | F::cr4_pke : cpu, wide ? +F::page1gb : F::cr4_pse | F::pse36);
  b.present = subsets(F::pte_p | F::pde_p, upper_present(mode));
  b.upper = {upper_grants(mode)};
  b.pde = subsets(set({F::pde_rw, F::pde_user, F::pde_ps}) | (wide ? +F::pde_nx : 0));
  b.pte = subsets(set({F::pte_rw, F::pte_user}) | (wide ? +F::pte_nx : 0));
  if (is_long(mode)) b.pku = subsets(set({F::pkru_ad, F::pkru_wd, F::pkey}));
  b.access = accesses(+F::ac);
  return b;
}

/// Each bit of each entry at each width: reserved, address, or ignored.
MatrixBlock widths(PagingMode mode, std::string_view name) {
  MatrixBlock b;
  b.name = name;
  b.about = "every MAXPHYADDR, every further bit of every entry, every page size";
  b.mode = mode;
  const bool wide = mode != PagingMode::bits32;
  const unsigned narrowest = wide ? 36 : 32;
  b.maxphyaddr.resize(52 - narrowest + 1);
  std::iota(b.maxphyaddr.begin(), b.maxphyaddr.end(), narrowest);
  b.cpu = wide ? subsets(is_long(mode) ? F::efer_nx | F::page1gb : +F::efer_nx)
               : subsets(F::cr4_pse | F::pse36);
  const unsigned root = matrix_root(mode);
  const MatrixFlags present = (F::pte_p | F::pde_p) | upper_present(mode);
  b.present = {present, present & ~+F::pte_p};
  b.upper = {upper_grants(mode)};
  if (is_long(mode)) b.upper.push_back(upper_grants(mode) | F::pdpte_ps);
  b.pde = subsets(+F::pde_ps, F::pde_rw | F::pde_user);
  b.pte = {F::pte_rw | F::pte_user};
  b.access = accesses();
  for (unsigned level = 1; level <= root; ++level) {
    const unsigned first = mode == PagingMode::pae && level == 3 ? 1 : 3;
    for (unsigned bit = first; bit < 8 * entry_size(mode); ++bit) b.stray.push_back({level, bit});
  }
  return b;
}

MatrixBlock keys(PagingMode mode, std::string_view name) {
  MatrixBlock b;
  b.name = name;
  b.about = "every key of the page against the rights of every key, every page size";
  b.mode = mode;
  b.cpu = subsets(F::cr0_wp | F::cr4_pke, F::efer_nx | F::page1gb);
  b.keys.clear();
  for (unsigned leaf = 0; leaf < 16; ++leaf) {
    for (unsigned pkru = 0; pkru < 16; ++pkru) b.keys.push_back({leaf, pkru});
  }
  const MatrixFlags present = (F::pte_p | F::pde_p) | upper_present(mode);
  b.present = {present, present & ~+F::pte_p};
  b.upper = {upper_grants(mode), upper_grants(mode) | F::pdpte_ps};
  b.pde = subsets(F::pde_rw | F::pde_ps, +F::pde_user);
  b.pte = subsets(F::pte_rw | F::pte_user);
  b.pku = subsets(F::pkru_ad | F::pkru_wd, +F::pkey);
  b.access = accesses();
  return b;
}

std::vector<MatrixBlock> completed(std::vector<MatrixBlock> blocks) {
  for (MatrixBlock& block : blocks) {
    for (const MatrixFlags flags : block.pde) block.pde_flags |= flags;
    for (const MatrixFlags flags : block.pte) block.pte_flags |= flags;
    for (const MatrixFlags flags : block.present) {
      block.clears_pde_present |= !has(flags, F::pde_p);
    }
  }
  return blocks;
}

}  // namespace

bool MatrixBlock::legal_tables(MatrixFlags tables) const {
  const unsigned leaf = matrix_leaf({.mode = mode, .flags = tables});
  if (leaf == 1) return true;
  if (has(tables, F::pte_p) || (tables & pte_flags) != pte.front()) return false;
  // A PDE that is not read keeps its present flag where the block never clears it.
  if (leaf == 2) return true;
  return (tables & pde_flags) == pde.front() && !(clears_pde_present && has(tables, F::pde_p));
}

const std::vector<MatrixBlock>& matrix_blocks() {
  static const std::vector<MatrixBlock> blocks = completed({
      level4(),
      pae(),
      bits32(),
      uppers(PagingMode::level4),
      uppers(PagingMode::level5),
      smap(PagingMode::level4, "smap 4-level"),
      smap(PagingMode::level5, "smap 5-level"),
      smap(PagingMode::pae, "smap pae"),
      smap(PagingMode::bits32, "smap 32-bit"),
      widths(PagingMode::level4, "widths 4-level"),
      widths(PagingMode::level5, "widths 5-level"),
      widths(PagingMode::pae, "widths pae"),
      widths(PagingMode::bits32, "widths 32-bit"),
      keys(PagingMode::level4, "keys 4-level"),
      keys(PagingMode::level5, "keys 5-level"),
  });
  return blocks;
}

MatrixFlags varied(const MatrixBlock& block) {
  MatrixFlags some = 0;
  for (const auto* group : {&block.cpu, &block.present, &block.upper, &block.pde, &block.pte,
                            &block.pku, &block.access}) {
    MatrixFlags any = 0;
    MatrixFlags all = ~MatrixFlags{0};
    for (const MatrixFlags flags : *group) {
      any |= flags;
      all &= flags;
    }
    some |= any & ~all;
  }
  return some;
}

std::string describe(const MatrixBlock& block) {
  const MatrixFlags flags = varied(block);
  std::string text =
      fmt::format("{}: {} flags: {}", block.name, std::popcount(flags), print(flags));
  if (block.maxphyaddr.size() > 1) {
    text += fmt::format(" maxphyaddr={}", fmt::join(block.maxphyaddr, ","));
  }
  if (block.stray.size() > 1) text += fmt::format(" stray-bit({})", block.stray.size() - 1);
  if (block.keys.size() > 1) text += " pkey=0..15 pkru-key=0..15";
  return text;
}

const std::vector<std::string_view>& matrix_rules() {
  static const std::vector<std::string_view> rules = {
      "an access is a read, a write or a fetch",
      "an entry has at most one candidate for a reserved bit",
      "bits 13 and 21 are set in entries that map large pages only",
      "entries below one that maps a page are zero: no walk reads them",
      "upper levels in full differ from \"grants all\" in at most two flags",
      "AC takes part where SMAP does",
  };
  return rules;
}

}  // namespace lockstep::props
