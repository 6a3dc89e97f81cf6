// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/known_findings.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace lockstep::hw::hosted {
namespace {

constexpr std::string_view write_protect_reason =
    "kvm_mmu_write_protect_fault(): a guest turns an entry that led to MMIO into one that leads "
    "to a page table, without INVLPG; nothing drops the vCPU's MMIO cache, whose address the next "
    "write hits (corpus/bugs/mmio-cached-then-write-protected)";

constexpr std::string_view nx_recovery_reason =
    "kvm_recover_nx_huge_pages(): without KVM_X86_QUIRK_SLOT_ZAP_ALL the pages of a deleted slot "
    "that shadow no guest table stay, and the worker finds no slot for them "
    "(corpus/bugs/nx-recovery-of-a-deleted-slot)";

constexpr std::array<std::string_view, 2> write_protect_functions = {"kvm_mmu_write_protect_fault",
                                                                     "kvm_mmu_page_fault"};
constexpr std::array<std::string_view, 2> nx_recovery_functions = {
    "kvm_recover_nx_huge_pages", "kvm_nx_huge_page_recovery_worker"};

constexpr std::array<KnownFinding, 4> all = {{
    {"6.12", "arch/x86/kvm/mmu/mmu.c", 6078, 30, "WARN_ON_ONCE(mmio_info_in_cache(",
     write_protect_functions, "mmio-cached-then-write-protected", write_protect_reason},
    {"7.2", "arch/x86/kvm/mmu/mmu.c", 6537, 30, "WARN_ON_ONCE(mmio_info_in_cache(",
     write_protect_functions, "mmio-cached-then-write-protected", write_protect_reason},
    {"6.12", "arch/x86/kvm/mmu/mmu.c", 7578, 4, "WARN_ON_ONCE(!slot)", nx_recovery_functions,
     "nx-recovery-of-a-deleted-slot", nx_recovery_reason},
    {"7.2", "arch/x86/kvm/mmu/mmu.c", 7946, 4, "WARN_ON_ONCE(!slot)", nx_recovery_functions,
     "nx-recovery-of-a-deleted-slot", nx_recovery_reason},
}};

bool is_release(std::string_view release, std::string_view known) {
  if (!release.starts_with(known)) return false;
  const std::string_view rest = release.substr(known.size());
  return rest.empty() || rest.front() < '0' || rest.front() > '9';
}

bool is_there(const Finding& found, const KnownFinding& finding) {
  std::string_view text = found.text;
  const std::size_t at = text.find(finding.file);
  if (at == std::string_view::npos) return false;
  text.remove_prefix(at + finding.file.size());
  if (!text.starts_with(':')) return false;
  if (!found.source.empty()) return found.source.find(finding.source) != std::string::npos;
  unsigned line = 0;
  const auto read = std::from_chars(text.data() + 1, text.data() + text.size(), line);
  return read.ec == std::errc() && line + finding.drift >= finding.line &&
         line <= finding.line + finding.drift;
}

/// The first gfn that a text names: "leaf 0x1[0] maps gfn 0x400, ...".
std::optional<Gfn> gfn_of(std::string_view text) {
  constexpr std::string_view word = " gfn 0x";
  const std::size_t at = text.find(word);
  if (at == std::string_view::npos) return std::nullopt;
  text.remove_prefix(at + word.size());
  Gfn gfn = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), gfn, 16).ec != std::errc()) {
    return std::nullopt;
  }
  return gfn;
}

}  // namespace

std::span<const KnownFinding> known_findings() { return all; }

std::string_view known(const spec::Violation& violation, const Circumstances& met) {
  // make_spte() takes an MMIO entry for a writable one, and protects no table.
  constexpr unsigned tables_are_protected = 12;
  // The dirty log takes the right to write, and leaves what lets a fault give it back.
  constexpr unsigned faults_restore_rights = 35;
  // mmu_set_spte() compares host pages alone: an entry that goes from the gfn of a read-only or
  // logged slot to another gfn of the same page becomes writable, and keeps the first gfn's
  // record.
  constexpr unsigned rights_are_granted = 11;
  constexpr unsigned writable_is_logged = 31;
  if (!met.shadow) return {};
  const auto tells = [&](std::string_view words) {
    return violation.text.find(words) != std::string::npos;
  };
  if (met.met_mmio && tells("maps the shadowed table") &&
      (violation.invariant == tables_are_protected ||
       violation.invariant == faults_restore_rights)) {
    return "mmio-entry-escapes-write-protection";
  }
  const auto gfn = gfn_of(violation.text);
  const bool shared = met.aliases != nullptr && gfn && met.aliases->shares(*gfn);
  if (shared && ((violation.invariant == rights_are_granted && tells("is read-only")) ||
                 (violation.invariant == writable_is_logged && tells("writable; the log of")))) {
    return "alias-keeps-the-first-gfn";
  }
  return {};
}

const KnownFinding* known(const Finding& finding, std::string_view release) {
  if (finding.kind != HOSTED_WARNING) return nullptr;
  for (const KnownFinding& one : all) {
    const auto function = finding.symbol.substr(0, finding.symbol.find('+'));
    if (is_release(release, one.release) && is_there(finding, one) &&
        std::ranges::find(one.functions, function) != one.functions.end()) {
      return &one;
    }
  }
  return nullptr;
}

}  // namespace lockstep::hw::hosted
