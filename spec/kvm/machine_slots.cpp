// SPDX-License-Identifier: GPL-2.0-or-later
/// What user space does to the machine: slots, dirty logs, loads and stores
/// through the hva.
#include <algorithm>
#include <cerrno>

#include "spec/kvm/state.h"
#include "spec/program.h"

namespace lockstep::spec {
namespace {

Observation done_or(int error) { return error == 0 ? Observation{Done{}} : Errno{error}; }

std::uint64_t truncate(std::uint64_t value, unsigned size) {
  return size == 8 ? value : value & ((1ull << (size * 8)) - 1);
}

}  // namespace

UserSlots::Region Machine::State::request(const Command& command) const {
  const auto ask = [&](unsigned id) {
    UserSlots::Region region{.id = id, .gpa = 0, .size = page_size, .hva = 0};
    if (const Slot* slot = slots.find(id)) {
      region = {id, slot->gpa, slot->size, slot->hva, slot->log, slot->read_only};
    }
    return region;
  };
  if (const auto* add = std::get_if<SlotAdd>(&command)) {
    return {add->id, add->gpa, add->size, add->hva, add->log, add->read_only};
  }
  if (const auto* remove = std::get_if<SlotDelete>(&command)) {
    UserSlots::Region region = ask(remove->id);
    region.size = 0;
    return region;
  }
  if (const auto* move = std::get_if<SlotMove>(&command)) {
    UserSlots::Region region = ask(move->id);
    region.gpa = move->gpa;
    return region;
  }
  const auto& flags = std::get<SlotFlags>(command);
  UserSlots::Region region = ask(flags.id);
  region.log = flags.log;
  region.read_only = flags.read_only;
  return region;
}

Observation Machine::State::expected(const UserSlots::Region& request) const {
  return done_or(slots.consider(request).error);
}

Judgement Machine::State::judge(const UserSlots::Region& request, const Observation& shown) {
  const Memslots::Answer answer = slots.consider(request);
  if (answer.error != 0 || answer.change == SlotChange::none) {
    return only(done_or(answer.error), shown);
  }
  // kvm_set_memory_region(): what changes nothing begins no generation.
  if (answer.change == SlotChange::none) return only(Done{}, shown);
  const Slot* old = slots.find(request.id);
  const Gpa old_gpa = old != nullptr ? old->gpa : 0;
  const bool logged = old != nullptr && old->log;
  if (logged && (answer.change == SlotChange::remove || !request.log)) retire(request.id, *old);
  slots.apply(now, request, answer.change);

  // kvm_prepare_memory_region(): the bitmap lives as long as logging is on,
  // through moves too.
  if (answer.change == SlotChange::remove || !request.log) {
    logs.erase(request.id);
  } else if (!logged) {
    const bool all_set = configuration.dirty_log == DirtyLogMode::manual_all_set;
    logs.insert_or_assign(request.id, DirtyLog(now, request.size >> page_shift, all_set));
  } else if (answer.change == SlotChange::move) {
    logs.at(request.id).moved(old_gpa);
  }
  // kvm_mmu_zap_all_fast(): nothing that was shadowed survives.
  if (configuration.slot_zap_all &&
      (answer.change == SlotChange::remove || answer.change == SlotChange::move)) {
    poked.clear();
    unprotected.clear();
    mmio_leaves.clear();
    for (Vcpu& vcpu : vcpus) vcpu.lost_root = true;
  }
  for (auto& [leaf, mmio] : mmio_leaves) mmio.refreshed = mmio.synchronized = false;
  // Any change of slots begins a new memslot generation.
  for (Vcpu& vcpu : vcpus) vcpu.mmio.clear();
  return only(Done{}, shown);
}

Observation Machine::State::expected(const Poke& poke) const {
  const auto backing = slots.backing(poke.gpa);
  return done_or(backing && !host_protects(backing->hva) ? 0 : EFAULT);
}

Judgement Machine::State::judge(const Poke& poke, const Observation& shown) {
  const auto backing = slots.backing(poke.gpa);
  if (!backing || host_protects(backing->hva)) return only(Errno{EFAULT}, shown);
  memory.write(now, backing->hva, poke.size, truncate(poke.value, poke.size));
  const Hfn page = backing->hva >> page_shift;
  if (poke.host_poke && !platform.tdp && table_pages.contains(page)) {
    poked.insert(page);
    use(loose(Looseness::host_poke));
  }
  return only(Done{}, shown);
}

Memory::Possibles Machine::State::expected_peek(const Peek& peek) const {
  const auto backing = slots.backing(peek.gpa);
  if (!backing) return {};
  return memory.load(backing->hva, peek.size);
}

Judgement Machine::State::judge(const Peek& peek, const Observation& shown) {
  const auto backing = slots.backing(peek.gpa);
  if (!backing) return only(Errno{EFAULT}, shown);
  const Memory::Possibles possible = expected_peek(peek);
  const Observation plain = Value{possible.front().value};
  const auto* value = std::get_if<Value>(&shown);
  if (value == nullptr) return refuse(print(plain));

  bool exact = false;
  bool speculative = false;
  for (const Memory::Possible& p : possible) {
    const std::uint64_t difference = value->value ^ p.value;
    const std::uint64_t flags = speculative_flags(backing->hva, peek.size, p.value);
    exact = exact || (difference & ~p.maybe) == 0;
    speculative = speculative || (difference & ~(p.maybe | flags)) == 0;
  }
  if (!speculative) return refuse(print(plain));
  if (!exact) use(loose(Looseness::speculative_accessed));
  memory.learn(backing->hva, peek.size, value->value, accessed_flags(backing->hva, peek.size));
  return admit();
}

Observation Machine::State::expected(const EntrySet& set) const {
  const unsigned size = entry_size(configuration.paging);
  const Gpa gpa = set.table + static_cast<Gpa>(set.index) * size;
  const auto backing = slots.backing(gpa);
  const bool refused = backing && host_protects(backing->hva);
  if (!set.vcpu) return done_or(backing && !refused ? 0 : EFAULT);
  if (!backing || backing->slot->read_only) {
    return Mmio{/*write=*/true, gpa, size, truncate(set.value, size)};
  }
  return done_or(refused ? EFAULT : 0);
}

Judgement Machine::State::judge(const EntrySet& set, const Observation& shown) {
  const Observation wanted = expected(set);
  if (std::holds_alternative<Done>(wanted)) {
    const unsigned size = entry_size(configuration.paging);
    const Gpa gpa = set.table + static_cast<Gpa>(set.index) * size;
    const auto backing = slots.backing(gpa);
    memory.write(now, backing->hva, size, truncate(set.value, size));
    if (set.vcpu) note_store(gpa, backing->hva);
    remember_table(set.table, set.level);
    if (set.vcpu) log_write(gpa, /*certain=*/true);
    // The store is an access like any other, and may link tables.
    if (set.vcpu) tables_synchronized();
  }
  if (set.vcpu && wanted == Observation{Errno{EFAULT}}) {
    // KVM emulates the store if it shadows the table.
    const unsigned size = entry_size(configuration.paging);
    const Gpa gpa = set.table + static_cast<Gpa>(set.index) * size;
    const Observation emulated = Mmio{/*write=*/true, gpa, size, truncate(set.value, size)};
    if (shown == emulated) {
      use(loose(Looseness::emulated_host_write));
      return admit();
    }
  }
  return only(wanted, shown);
}

Judgement Machine::State::judge(const DirtyGet& get, const Observation& shown) {
  // kvm_get_dirty_log_protect(): rings exclude bitmaps.
  if (configuration.dirty_log == DirtyLogMode::ring) return only(Errno{ENXIO}, shown);
  const auto log = logs.find(get.id);
  if (log == logs.end()) return only(Errno{ENOENT}, shown);
  const DirtyLog& dirty = log->second;
  const Observation least = DirtyBitmap{dirty.pages(), dirty.must()};
  const auto* bitmap = std::get_if<DirtyBitmap>(&shown);
  if (bitmap == nullptr || bitmap->pages != dirty.pages() ||
      bitmap->words.size() != dirty.must().size()) {
    return refuse(print(least));
  }
  const std::vector<std::uint64_t> all(bitmap->words.size(), ~0ull);
  Judgement judgement = judge_pages(get, *bitmap, all);
  const bool plain = configuration.dirty_log == DirtyLogMode::plain;
  if (plain && judgement.kind == Judgement::Kind::admitted) log->second.all_protected(now);
  return judgement;
}

Judgement Machine::State::judge_pages(const DirtyGet& get, const DirtyBitmap& bitmap,
                                      const std::vector<std::uint64_t>& pages) {
  DirtyLog& dirty = logs.at(get.id);
  const Slot& slot = *slots.find(get.id);
  const Observation least = DirtyBitmap{dirty.pages(), dirty.must()};
  bool extra = false;
  for (std::size_t i = 0; i < bitmap.words.size(); ++i) {
    const std::uint64_t word = bitmap.words[i] & pages[i];
    for (unsigned bit = 0; bit < 64; ++bit) {
      if ((((dirty.must()[i] & pages[i] & ~word) >> bit) & 1u) == 0) continue;
      if (!has_another_gfn(slot, i * 64 + bit)) {
        return refuse("at least " + print(least) + ": a write is missing");
      }
      use(loose(Looseness::alias_rmap));
    }
    std::uint64_t unexplained = word & ~dirty.must()[i];
    extra = extra || unexplained != 0;
    unexplained &= ~dirty.may()[i];
    for (unsigned bit = 0; unexplained != 0 && bit < 64; ++bit) {
      if (((unexplained >> bit) & 1u) == 0) continue;
      if (!explains(dirty, slot, i * 64 + bit)) {
        return refuse("at most " + print(DirtyBitmap{dirty.pages(), dirty.may()}) +
                      " beside what was written: nothing maps the extra page writable");
      }
    }
  }
  if (extra) use(loose(Looseness::dirty_without_write));
  dirty.got(pages, bitmap.words, configuration.dirty_log != DirtyLogMode::plain);
  return admit();
}

bool Machine::State::has_another_gfn(const Slot& slot, std::uint64_t page) const {
  if (platform.tdp) return false;
  const Hva hva = slot.hva + gfn_to_gpa(page);
  const auto& layout = slots.current();
  return std::any_of(layout.begin(), layout.end(), [&](const auto& entry) {
    const Slot& other = entry.second;
    return hva >= other.hva && hva - other.hva < other.size &&
           other.gpa + (hva - other.hva) != slot.gpa + gfn_to_gpa(page);
  });
}

bool Machine::State::explains(const DirtyLog& log, const Slot& slot, std::uint64_t page) const {
  if (page >= log.pages()) return false;
  if (((log.may()[page / 64] >> (page % 64)) & 1u) != 0) return true;
  if (table_pages.contains((slot.hva + gfn_to_gpa(page)) >> page_shift)) return true;
  const auto mapped_at = [&](Gpa gpa) {
    return mapped_writable_by_some_table(gpa + gfn_to_gpa(page), log.protected_since());
  };
  return mapped_at(slot.gpa) || std::any_of(log.earlier().begin(), log.earlier().end(), mapped_at);
}

Observation Machine::State::expected(const DirtyClear& clear) const {
  if (configuration.dirty_log == DirtyLogMode::ring) return Errno{ENXIO};
  // kvm_clear_dirty_log_protect(): the start is checked before the slot.
  if (clear.first % 64 != 0) return Errno{EINVAL};
  const auto log = logs.find(clear.id);
  if (log == logs.end()) return Errno{ENOENT};
  return done_or(log->second.clear_error(clear.first, clear.count));
}

Judgement Machine::State::judge(const DirtyClear& clear, const Observation& shown) {
  const Observation wanted = expected(clear);
  if (std::holds_alternative<Done>(wanted)) {
    logs.at(clear.id).clear(clear.first, clear.count);
  }
  return only(wanted, shown);
}

void Machine::State::log_write(Gpa gpa, bool certain) {
  const auto backing = slots.backing(gpa);
  if (!backing) return;
  const auto log = logs.find(backing->id);
  if (log == logs.end()) return;
  const std::uint64_t page = (gpa - backing->slot->gpa) >> page_shift;
  logged.emplace_back(backing->id, page);
  if (certain && beginning_to_log != backing->id && !logs_late) {
    log->second.wrote(page);
  } else {
    log->second.may_map_writable(page);
  }
}

std::optional<Hva> Machine::State::kept_by_alias(Gpa gpa) const {
  if (platform.tdp || configuration.slot_zap_all) return std::nullopt;
  std::optional<Hva> last;
  slots.backing_since(gpa, 0, [&](const Memslots::BackedInterval& interval) {
    if (interval.hva) last = interval.hva;
  });
  const auto maps_it = [&](const auto& entry) {
    return *last >= entry.second.hva && *last - entry.second.hva < entry.second.size;
  };
  if (last && std::ranges::any_of(slots.current(), maps_it)) return last;
  return std::nullopt;
}

void Machine::State::log_map(Gpa gpa) { log_write(gpa, /*certain=*/false); }

void Machine::State::remember_table(Gpa table, TableLevel level) {
  const auto backing = slots.backing(table);
  if (!backing) return;
  const Remembered told{backing->hva >> page_shift, gpa_to_gfn(table), level};
  Remembered& last = remembered[(told.page ^ told.gfn) % remembered.size()];
  if (last == told) return;
  last = told;
  TablePage& page = table_pages[told.page];
  page.levels.insert(level);
  page.gfns.insert(gpa_to_gfn(table));
}

void Machine::State::tables_synchronized() {
  for (auto& [leaf, mmio] : mmio_leaves) {
    mmio.synchronized = true;
    mmio.refreshed = mmio.unsync;
  }
}

void Machine::State::note_mmio_leaf(const Way& way) {
  if (way.levels == 0) return;
  const Gpa leaf = way.reads[way.levels - 1u].address;
  mmio_leaves.try_emplace(leaf, MmioLeaf{.unsync = stored_tables.contains(gpa_to_gfn(leaf))});
}

void Machine::State::note_store(Gpa gpa, Hva hva) {
  // KVM write-protects a shadowed table by gfn: a store through another gfn of
  // the same host page is as invisible to it as one through the hva.
  if (!platform.tdp) stored_tables.insert(gpa_to_gfn(gpa));
  for (auto leaf = mmio_leaves.lower_bound(gpa & page_mask);
       leaf != mmio_leaves.end() && (leaf->first & page_mask) == (gpa & page_mask); ++leaf) {
    leaf->second.unsync = true;
  }
  if (unprotected.contains(hva >> page_shift) && poked.insert(hva >> page_shift).second) {
    use(loose(Looseness::mmio_unprotects));
  }
  const auto table = table_pages.find(hva >> page_shift);
  if (table != table_pages.end() && !platform.tdp) {
    stored_entries.insert(gpa & ~Gpa{entry_size(configuration.paging) - 1});
  }
  if (table != table_pages.end() && !platform.tdp &&
      !table->second.gfns.contains(gpa_to_gfn(gpa))) {
    poked.insert(hva >> page_shift);
  }
}

}  // namespace lockstep::spec
