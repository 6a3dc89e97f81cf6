// SPDX-License-Identifier: GPL-2.0-or-later
/// What the host does behind KVM's back, and tells it: reclaim of shadow pages,
/// MMU notifiers; and dirty rings, which outlive the slots that they name.
#include <algorithm>
#include <cerrno>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {

// kvm_vm_ioctl_set_nr_mmu_pages(). Which shadow pages exist nobody may observe:
// the next access makes what it needs.
Observation Machine::State::expected(const MmuPages& limit) const {
  if (limit.pages < least_mmu_pages) return Errno{EINVAL};
  return Done{};
}

Judgement Machine::State::judge(const MmuPages& limit, const Observation& shown) {
  return only(expected(limit), shown);
}
Judgement Machine::State::judge(const Shrink&, const Observation& shown) {
  return only(Done{}, shown);
}
Judgement Machine::State::judge(const NxRecover&, const Observation& shown) {
  return only(Done{}, shown);
}

Judgement Machine::State::judge(const HostChange& change, const Observation& shown) {
  const Hfn first = change.hva >> page_shift;
  const Hfn end = first + (change.size >> page_shift);
  switch (change.action) {
    case HostAction::protect:
    case HostAction::unprotect:
      if (host_protected.size() < end) host_protected.resize(end);
      for (Hfn page = first; page < end; ++page) {
        host_protected[page] = change.action == HostAction::protect;
      }
      break;
    case HostAction::discard:
      memory.discard(now, change.hva, change.size);
      // The notifier zaps what maps these pages, not the shadow of a table that
      // stands in them: as if user space had poked every entry.
      for (auto table = table_pages.lower_bound(first);
           !platform.tdp && table != table_pages.end() && table->first < end; ++table) {
        poked.insert(table->first);
        use(loose(Looseness::host_poke));
      }
      break;
    case HostAction::migrate:
    case HostAction::age:
    case HostAction::split:
    case HostAction::collapse:
      break;
  }
  return only(Done{}, shown);
}

void Machine::State::retire(unsigned id, const Slot& slot) {
  if (configuration.dirty_log != DirtyLogMode::ring) return;
  retired.push_back({id, slot, logs.at(id)});
}

DirtyPages Machine::State::ring_contents(bool most) const {
  DirtyPages contents;
  const auto add = [&](unsigned id, const DirtyLog& log) {
    for (std::uint64_t page = 0; page < log.pages(); ++page) {
      const std::uint64_t word = log.must()[page / 64] | (most ? log.may()[page / 64] : 0);
      if (((word >> (page % 64)) & 1u) != 0) contents.add(id, page);
    }
  };
  for (const auto& [id, log] : logs) add(id, log);
  for (const RetiredLog& old : retired) add(old.id, old.log);
  return contents;
}

// kvm_dirty_ring_push() and kvm_dirty_ring_reset(): an entry for each page that
// became writable, written or not; reset protects the page again, if its slot
// still exists.
Judgement Machine::State::judge(const RingCollect&, const Observation& shown) {
  if (configuration.dirty_log != DirtyLogMode::ring) return undecided("there are no dirty rings");
  const DirtyPages least = ring_contents(/*most=*/false);
  const auto* rings = std::get_if<DirtyPages>(&shown);
  if (rings == nullptr) return refuse(print(least));
  const auto holds = [](const DirtyPages& pages, unsigned id, std::size_t word) {
    for (const DirtyPages::Slot& slot : pages.slots) {
      if (slot.id == id) return word < slot.words.size() ? slot.words[word] : 0;
    }
    return std::uint64_t{0};
  };
  const auto has_alias = [&](unsigned id, std::uint64_t page) {
    const Slot* slot = slots.find(id);
    if (slot != nullptr && has_another_gfn(*slot, page)) return true;
    return std::ranges::any_of(retired, [&](const RetiredLog& old) {
      return old.id == id && has_another_gfn(old.slot, page);
    });
  };
  for (const DirtyPages::Slot& slot : least.slots) {
    for (std::size_t i = 0; i < slot.words.size(); ++i) {
      const std::uint64_t missing = slot.words[i] & ~holds(*rings, slot.id, i);
      for (unsigned bit = 0; missing != 0 && bit < 64; ++bit) {
        if (((missing >> bit) & 1u) == 0) continue;
        if (!has_alias(slot.id, i * 64 + bit)) {
          return refuse("at least " + print(least) + ": a write is missing");
        }
        use(loose(Looseness::alias_rmap));
      }
    }
  }
  bool extra = false;
  for (const DirtyPages::Slot& slot : rings->slots) {
    const auto explained = [&](std::uint64_t page) {
      const auto log = logs.find(slot.id);
      if (log != logs.end() && explains(log->second, *slots.find(slot.id), page)) return true;
      for (const RetiredLog& old : retired) {
        if (old.id == slot.id && explains(old.log, old.slot, page)) return true;
      }
      return false;
    };
    for (std::size_t i = 0; i < slot.words.size(); ++i) {
      const std::uint64_t unexplained = slot.words[i] & ~holds(least, slot.id, i);
      extra = extra || unexplained != 0;
      for (unsigned bit = 0; bit < 64; ++bit) {
        if (((unexplained >> bit) & 1u) != 0 && !explained(i * 64 + bit)) {
          return refuse("at most " + print(ring_contents(/*most=*/true)) +
                        ": nothing maps the extra page writable");
        }
      }
    }
  }
  if (extra) use(loose(Looseness::dirty_without_write));
  for (auto& [id, log] : logs) {
    log.clear(0, log.pages());
    log.all_protected(now);
  }
  retired.clear();
  return admit();
}

}  // namespace lockstep::spec
