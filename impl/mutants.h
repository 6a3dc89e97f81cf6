// SPDX-License-Identifier: GPL-2.0-or-later
/// Seeded defects of this MMU, by name. They exist only where
/// LOCKSTEP_IMPL_MUTANTS is defined; elsewhere every question is a constant
/// `false`, and no optimized build has the code.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lockstep::impl {

enum class Mutant : std::uint8_t {
  none,
  role_forgets_access,
  role_forgets_wp,
  role_forgets_smep,
  quadrant_lost,
  wp0_leaves_user,
  wp0_leaves_exec,
  clean_entry_writable,
  permissions_kept,
  pkru_mask_kept,
  emulated_write_not_zapped,
  second_half_not_zapped,
  table_not_write_protected,
  write_protect_without_flush,
  zap_without_flush,
  unsync_parents_not_marked,
  cr3_does_not_sync,
  invlpg_does_not_sync,
  sync_keeps_old_gfn,
  upper_table_unsync,
  previous_roots_kept,
  root_of_other_role,
  move_keeps_mappings,
  slot_table_kept,
  tracking_kept,
  rmap_entry_kept,
  rmap_walk_stops_early,
  mmio_over_present,
  mmio_generation_ignored,
  mmio_cache_kept,
  huge_past_slot,
  huge_write_logged_as_one,
  nx_huge_executable,
  nx_recovery_keeps_list,
  split_maps_first,
  split_gains_write,
  notifier_without_flush,
  notifier_skips_huge,
  notifier_skips_last,
  host_protection_ignored,
  dirty_get_without_flush,
  dirty_clear_half,
  enable_log_without_protect,
  fast_fault_not_logged,
  guest_flags_not_logged,
  ring_loses_entries,
  ring_reset_without_protect,
  tdp_zap_without_flush,
  tdp_skips_last_entry,
  tdp_root_kept,
  quarters_as_top_table,
  last_used_slot_kept,
  mmio_gfn_cut,
  nx_recovery_without_flush,
  reclaim_zaps_roots,
  move_loses_dirty_bits,
  fault_keeps_mmio_address,
  dirty_get_copies_first,
  zap_before_readers,
  walk_not_repeated,
  sync_before_flush,
  dirty_bit_overwritten,
  // Defects of twins: what theorems of smt/ break to be refuted.
  walk_without_smep,
  walk_ignores_ac,
  nx_in_32_bit,
  last_entry_grants,
  fetch_flag_without_smep,
  reserved_from_bit_40,
  nx_taken_for_granted,
  maxphyaddr_one_more,
  large_as_small,
  quadrant_by_top_bit,
  quadrant_of_directory,
  split_rounds_to_even,
  huge_before_slot,
  sync_without_protection,
  delete_keeps_mappings,
  create_keeps_generation,
  dirty_clear_without_protect,
  notifier_unmaps_nothing,
  age_clears_dirty,
  zapped_pages_without_flush,
  count
};

struct MutantInfo {
  Mutant mutant = Mutant::none;
  std::string_view name;   ///< as on the command line
  std::string_view title;  ///< what the defect does
  /// The bug it stands for: commit, CVE, or the rule that it breaks.
  std::string_view history;
  /// Only something beside something else shows it.
  bool parallel = false;
};

/// All of them, whether this build has them or not.
std::span<const MutantInfo> mutants();

/// Defects that theorems are asked to refute. They show that counterexamples are no
/// words alone; no campaign is measured by them.
std::span<const MutantInfo> twin_defects();

/// A defect that KVM had or could have, and this MMU cannot.
struct AbsentMutant {
  std::string_view name;
  std::string_view history;
  std::string_view reason;
};
std::span<const AbsentMutant> absent_mutants();

#ifdef LOCKSTEP_IMPL_MUTANTS
inline constexpr bool has_mutants = true;
namespace detail {
inline Mutant chosen_mutant = Mutant::none;
inline std::uint64_t mutant_reached = 0;
}  // namespace detail
/// The defect is switched on; counts that its place was reached.
inline bool mutant(Mutant which) {
  if (detail::chosen_mutant != which) return false;
  ++detail::mutant_reached;
  return true;
}
inline void choose_mutant(Mutant which) { detail::chosen_mutant = which; }
inline std::uint64_t mutant_reached() { return detail::mutant_reached; }
#else
inline constexpr bool has_mutants = false;
constexpr bool mutant(Mutant) { return false; }
constexpr void choose_mutant(Mutant) {}
constexpr std::uint64_t mutant_reached() { return 0; }
#endif

}  // namespace lockstep::impl
