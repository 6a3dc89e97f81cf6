// SPDX-License-Identifier: GPL-2.0-or-later
/// The walk of vCPU 0 to the template's address, by either side, and the flags that
/// it sets.
#pragma once

#include "smt/refinement/steps.h"

namespace lockstep::smt::refinement {

/// What a walk comes to.
template <typename P>
struct Walked {
  typename P::Bool faults = false;
  typename P::Word code = 0;
  typename P::Word gfn = 0;
  typename P::Word access = 0;  ///< of the entries above the leaf
};

template <typename P>
class GuestWalks {
 public:
  using B = typename P::Bool;
  using W = typename P::Word;

  /// `without_smep`: a twin.
  GuestWalks(Machine<P>& machine, const spec::Attempt<B>& attempt, bool without_smep)
      : m(machine), attempt_(attempt), without_smep_(without_smep) {}

  struct Upper {
    B stops = false;
    W code = 0;
    W access = impl::rights::all;
  };

  /// What the template takes for granted of vCPU 0: page 0 is the one that its walk
  /// leads to, if there is such a page; tables that it reads through are in slots;
  /// the host lets the last two be written (else the model leaves the answer open).
  B fits() const {
    if (m.direct()) return true;
    const auto& cpu = m.cpus[0];
    const auto& page = m.pages[0];
    const auto above = upper();
    const W table = m.impl_gfn(cpu.upper[2]);
    const B reaches = !above.stops;
    const B alias = same_entry();
    const B writable = !m.at(m.refused, table) && !m.at(m.refused, cpu.upper_table);
    return implies(reaches, m.in_slot(cpu.upper_table) && page.table == table && writable) &&
           implies(reaches && page.exists, page.role == m.role_of(cpu, above.access)) &&
           implies(alias, m.pages[1].table == page.table && m.pages[1].guest == page.guest);
  }

  spec::RightsControl<B> guest_control() const {
    const auto& r = m.cpus[0].registers;
    return {r.wp, r.smep, r.smap, false, r.nx};
  }

  /// walk_guest() above the leaf.
  Upper upper() const {
    const auto& cpu = m.cpus[0];
    const auto& r = cpu.registers;
    const auto masks = m.masks(r.nx, r.pse);
    Upper result;
    for (unsigned level = levels_of(m.mode); level >= 2; --level) {
      const W value = cpu.upper[level];
      const auto stop = impl::entry_stop<W>(value, m.mask_of(masks, level, value), base_code());
      result.code = ite(result.stops, result.code, stop.code);
      result.stops = result.stops || stop.stops;
      result.access = result.access & impl::entry_rights<W>(value, m.nx_mask(m.nx_works(r)));
    }
    return result;
  }

  /// walk_guest().
  Walked<P> by_implementation() const {
    Walked<P> walk;
    if (m.direct()) {
      walk.gfn = m.pages[0].gfn;
      walk.access = impl::rights::all;
      return walk;
    }
    const auto above = upper();
    const auto& r = m.cpus[0].registers;
    const auto masks = m.masks(r.nx, r.pse);
    const W value = leaf();
    const auto stop = impl::entry_stop<W>(value, m.mask_of(masks, 1, value), base_code());
    const W have = above.access & impl::entry_rights<W>(value, m.nx_mask(m.nx_works(r)));
    const B smep = without_smep_ ? B(false) : B(r.smep);
    const auto permission = impl::permission_table<W>(r.wp, smep, r.smap);
    const auto index =
        impl::access_index<W>(attempt_.write, attempt_.user, attempt_.fetch, attempt_.ac);
    const W denied = impl::denied_bits<W>(select(permission, index), W(0), have, value, W(0));
    walk.faults = above.stops || stop.stops || denied != 0;
    walk.code = ite(above.stops, above.code, ite(stop.stops, stop.code, base_code() | denied));
    walk.gfn = m.impl_gfn(value);
    walk.access = have;
    return walk;
  }

  /// The same by spec/x86: SDM "Paging".
  Walked<P> by_manual() const {
    const auto& cpu = m.cpus[0];
    const auto& r = cpu.registers;
    const auto format = m.format(r.nx, r.pse);
    const B works = m.nx_works(r);
    spec::Grant<B> grant = {true, true, true};
    Walked<P> walk;
    if (m.direct()) {
      walk.gfn = m.pages[0].gfn;
      return walk;
    }
    for (unsigned level = levels_of(m.mode); level >= 1; --level) {
      const auto table = static_cast<TableLevel>(level);
      const W value = level == 1 ? leaf() : cpu.upper[level];
      const B absent = (value & entry::present) == 0;
      const B bad = !absent && (value & spec::entry_reserved(format, table, value)) != 0;
      const W code = spec::error_code<W>(attempt_, r.smep, works, bad, bad, false);
      walk.code = ite(walk.faults, walk.code, code);
      walk.faults = walk.faults || absent || bad;
      grant = spec::combine<W>(grant, value, !m.narrow());
      walk.gfn = spec::entry_target(format, table, value) >> page_shift;
    }
    const W code = spec::access_fault<W>(guest_control(), works, attempt_, grant, 0, 0);
    walk.code = ite(walk.faults, walk.code, code);
    walk.faults = walk.faults || code != 0;
    return walk;
  }

  /// Vcpu::set_accessed_dirty(), where tables may be written, of those whose gfn the
  /// template has. The entry as the walk took it.
  W set_flags(const B& through) {
    auto& page = m.pages[0];
    const W value = leaf();
    if (m.direct()) return value;
    const W flags = entry::accessed | ite(attempt_.write, W(entry::dirty), 0);
    const B settable =
        through && !m.of_slot(m.read_only, page.table) && !m.at(m.refused, page.table);
    page.guest = ite(settable, page.guest | flags, page.guest);
    m.pages[1].guest = ite(settable && same_entry(), m.pages[1].guest | flags, m.pages[1].guest);
    const auto stored = [&](const W& table, const B& changes) {
      Steps<P>(m).mark(table, changes);
      m.set(m.written, table, changes, true);
    };
    stored(page.table, settable && page.guest != value);
    auto& cpu = m.cpus[0];
    const B upper = through && (cpu.upper[2] & entry::accessed) == 0 &&
                    !m.of_slot(m.read_only, cpu.upper_table);
    cpu.upper[2] = ite(upper, cpu.upper[2] | entry::accessed, cpu.upper[2]);
    stored(cpu.upper_table, upper);
    return ite(settable, value | flags, value);
  }

 private:
  /// The guest's entry that the leaf page's SPTE stands for; no memory reads as zeroes.
  W leaf() const { return ite(m.in_slot(m.pages[0].table), m.pages[0].guest, W(0)); }
  /// The other page shadows the same entry, in another role.
  B same_entry() const { return P::boolean("page1.same-entry"); }
  W base_code() const {
    const auto& r = m.cpus[0].registers;
    return impl::access_bits<W>(attempt_.write, attempt_.user, attempt_.fetch,
                                impl::fetch_flag<W>(m.nx_works(r), r.smep));
  }

  Machine<P>& m;
  spec::Attempt<B> attempt_;
  bool without_smep_;
};

}  // namespace lockstep::smt::refinement
