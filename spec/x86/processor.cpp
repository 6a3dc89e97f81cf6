// SPDX-License-Identifier: GPL-2.0-or-later
#include "spec/x86/processor.h"

#include <algorithm>

namespace lockstep::spec {
namespace {

Gva page_of(Gva gva) { return gva >> page_shift; }

template <typename Map, typename Key>
Moment moment_of(const Map& map, const Key& key) {
  const auto found = map.find(key);
  return found == map.end() ? 0 : found->second;
}

}  // namespace

Processor::Processor(Moment now, Registers registers) : all_(now) {
  registers.since = now;
  registers.until = still_true;
  history_.push_back(registers);
}

void Processor::change(Moment now, Registers next) {
  const Registers& last = history_.back();
  if (next.root == last.root && next.pcid == last.pcid && next.control == last.control &&
      next.pdptes == last.pdptes) {
    return;
  }
  history_.back().until = now;
  next.since = now;
  next.until = still_true;
  history_.push_back(next);
}

void Processor::drop_all(Moment now) {
  all_ = now;
  pcid_.clear();
  prefixes_.clear();
  page_.clear();
  global_page_.clear();
  uncertain_.clear();
  std::erase_if(history_, [now](const Registers& r) { return r.until <= now; });
}

void Processor::load_cr3(Moment now, Gpa root, unsigned pcid, bool noflush,
                         const std::array<std::uint64_t, 4>& pdptes) {
  Registers next = registers();
  next.root = root;
  next.pcid = pcid;
  next.pdptes = pdptes;
  change(now, next);
  if (!noflush) {
    pcid_[pcid] = now;
    prefixes_[pcid] = now;
  }
}

void Processor::set_control(Moment now, ControlBit bit, bool on,
                            const std::array<std::uint64_t, 4>& pdptes) {
  Registers next = registers();
  if (next.control.has(bit) == on) return;
  next.control.set(bit, on);
  next.pdptes = pdptes;
  const unsigned pcid = next.pcid;
  if (bit == ControlBit::cr4_pcide && !on) next.pcid = 0;
  change(now, next);
  if (bit == ControlBit::cr4_pge || (bit == ControlBit::cr4_pcide && !on)) drop_all(now);
  if (bit == ControlBit::cr4_smep && on) {
    pcid_[pcid] = now;
    prefixes_[pcid] = now;
  }
}

void Processor::invlpg(Moment now, Gva gva) {
  const unsigned pcid = registers().pcid;
  page_[{pcid, page_of(gva)}] = now;
  global_page_[page_of(gva)] = now;
  prefixes_[pcid] = now;
}

void Processor::invpcid(Moment now, InvpcidType type, unsigned pcid, Gva gva) {
  switch (type) {
    case InvpcidType::address:
      page_[{pcid, page_of(gva)}] = now;
      return;
    case InvpcidType::single:
      pcid_[pcid] = now;
      prefixes_[pcid] = now;
      return;
    case InvpcidType::all_and_global:
      drop_all(now);
      return;
    case InvpcidType::all:
      for (const Registers& r : history_) {
        pcid_[r.pcid] = now;
        prefixes_[r.pcid] = now;
      }
      return;
  }
}

void Processor::page_fault(Moment now, Gva gva, bool certain) {
  const unsigned pcid = registers().pcid;
  if (!certain) {
    uncertain_[{pcid, page_of(gva)}] = now;
    return;
  }
  page_[{pcid, page_of(gva)}] = now;
  faulted_[{pcid, page_of(gva)}] = now;
}

bool Processor::doubts(Gva gva) const {
  return uncertain_.contains({registers().pcid, page_of(gva)});
}

Processor Processor::without_uncertain_drops() const {
  Processor other = *this;
  other.uncertain_.clear();
  return other;
}

Processor Processor::with_control(ControlBit bit, bool on) const {
  Processor other = *this;
  for (Registers& registers : other.history_) registers.control.set(bit, on);
  return other;
}

bool Processor::kept_another_root() const {
  const Registers& present = registers();
  const Moment flushed = std::max(all_, moment_of(pcid_, present.pcid));
  return std::any_of(history_.begin(), history_.end(), [&](const Registers& r) {
    return r.pcid == present.pcid && r.root != present.root && r.until > flushed;
  });
}

std::vector<unsigned> Processor::other_pcids() const {
  std::vector<unsigned> out;
  for (const Registers& r : history_) {
    if (r.pcid != registers().pcid && std::find(out.begin(), out.end(), r.pcid) == out.end()) {
      out.push_back(r.pcid);
    }
  }
  return out;
}

Processor Processor::as_pcid(unsigned pcid) const {
  Processor other = *this;
  other.history_.back().pcid = pcid;
  return other;
}

Moment Processor::translations_since(unsigned pcid, Gva gva) const {
  const std::pair key{pcid, page_of(gva)};
  return std::max(
      {all_, moment_of(pcid_, pcid), moment_of(page_, key), moment_of(uncertain_, key)});
}

Moment Processor::globals_since(unsigned pcid, Gva gva) const {
  const std::pair key{pcid, page_of(gva)};
  return std::max({all_, moment_of(global_page_, page_of(gva)), moment_of(faulted_, key),
                   moment_of(uncertain_, key)});
}

Moment Processor::prefixes_since(unsigned pcid, Gva gva) const {
  return std::max(translations_since(pcid, gva), moment_of(prefixes_, pcid));
}

}  // namespace lockstep::spec
