// SPDX-License-Identifier: GPL-2.0-or-later
/// What some engines show of their inside, beside spec/engine.h: an engine that can
/// derives from these too, and who wants to know asks by dynamic_cast.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "spec/engine.h"
#include "spec/vocabulary/address.h"
#include "spec/vocabulary/paging.h"

namespace lockstep {

/// Page tables that an engine made, for somebody else to walk: in the format of
/// 64-bit paging, as bytes.
class TableExport {
 public:
  TableExport() = default;
  TableExport(const TableExport&) = delete;
  TableExport& operator=(const TableExport&) = delete;
  virtual ~TableExport() = default;

  /// level4 or level5.
  virtual PagingMode mode() const = 0;
  /// Frame of the table that CR3 gets.
  virtual Hfn root() const = 0;
  /// The 512 entries of a table; null for a frame that is none.
  virtual const std::uint64_t* table(Hfn frame) const = 0;
  /// 8 aligned bytes of a page that an entry maps; none where no memory is.
  virtual std::optional<std::uint64_t> load(Hfn frame, unsigned offset) const = 0;
};

/// An engine that exports its tables as bytes.
class ExportsTables {
 public:
  virtual ~ExportsTables() = default;
  /// Those that this vCPU would enter its guest with now, good until the engine's next
  /// command. Null if the vCPU has no root.
  virtual std::unique_ptr<TableExport> export_tables(unsigned vcpu) = 0;
};

/// An engine that sees by itself that what it runs is wrong: no model is asked about that.
class Complains {
 public:
  virtual ~Complains() = default;
  /// What is wrong about the program that runs or ran last, in the words of whoever saw it,
  /// where that is why an observation is Unexpected; empty otherwise. What a guest can bring
  /// about on a kernel that is right, as a vCPU that shuts down, is none.
  virtual std::string complaint() const = 0;
};

/// An engine that runs a whole kernel, which complains in its log.
class HasKernelLog : public Complains {
 public:
  /// Take what is tested out of the kernel, which then tells what was left behind; the next
  /// program runs on a kernel that boots anew. Done, or Unexpected and complaint().
  virtual Result<Observation> tear_down() = 0;
};

/// An engine that knows what its MMU costs.
class CountsMemory {
 public:
  virtual ~CountsMemory() = default;
  /// Bytes that are allocated now, slots' metadata included; none without a program.
  virtual std::optional<std::uint64_t> mmu_bytes() = 0;
};

/// An engine that tells how long its MMU has run, apart from the processor that runs
/// its guest and from what the contract costs.
class TimesMmu {
 public:
  virtual ~TimesMmu() = default;
  /// Count from now on, or no more: looking at the clock costs time, too.
  virtual void time_mmu(bool on) = 0;
  /// Ticks of the processor's time-stamp counter so far.
  virtual std::uint64_t mmu_ticks() const = 0;
};

}  // namespace lockstep
