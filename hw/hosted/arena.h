// SPDX-License-Identifier: GPL-2.0-or-later
/// Host physical memory of a hosted kernel, and the host's page tables that map
/// a program's memory onto it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "hw/hosted/boundary.h"
#include "hw/kvm/fd.h"
#include "hw/kvm/harness_layout.h"
#include "spec/engine.h"

namespace lockstep::hw::hosted {

/// Sizes of an arena, fixed for its life.
struct ArenaSize {
  std::uint64_t program_bytes = 64ull << 20;  ///< most that a program may have; whole 2 MiB
  std::uint64_t spare_pages = 1024;           ///< where pages migrate to
  std::uint64_t kernel_pages = 32768;         ///< the kernel's page allocator
};

/// Host pages before the kernel's: program memory from frame 0, so that a huge
/// page of addresses is one of frames, then one harness for each paging mode,
/// then spare frames. The kernel sees all frames from base(); the same memory
/// is mapped below it, as the host's user space, at hva_base().
class Arena {
 public:
  static Result<std::unique_ptr<Arena>> create(const ArenaSize& size);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  ~Arena();

  hosted_arena boundary() const;
  const ArenaSize& size() const { return size_; }

  /// What the kernel and the processor see.
  std::byte* frame(Hfn hfn) const { return base_ + hfn * page_size; }
  /// The frame holds a page of a program or of the harness.
  bool is_user(Hfn hfn) const { return hfn < first_free_; }
  bool has(Hfn hfn) const { return hfn < pages_; }

  /// Host virtual address of program memory.
  std::uint64_t hva_base() const { return hva_base_; }
  /// Host virtual address and bytes of the harness of a paging mode.
  std::uint64_t harness_address(PagingMode mode) const;
  std::span<std::byte> harness(PagingMode mode) const;

  /// Give programs `bytes` of fresh memory; only pages that were touched since
  /// the last reset are written again. Mappings are those of a fresh process:
  /// writable, huge where `huge`.
  Result<void> reset(std::uint64_t bytes, bool huge);
  /// What the harness of the mode holds now is what restore_harness() gives back.
  void keep_harness(PagingMode mode);
  /// Undo every write to the harness of the mode; false if nothing was kept.
  bool restore_harness(PagingMode mode);

  /// Whether programs' memory is a PFNMAP mapping from now on: the kernel may take no
  /// references of its pages.
  void set_special(bool special) { special_ = special; }
  /// The host's page tables. Not present outside program memory and harness.
  void look_up(std::uint64_t address, hosted_host_page& page) const;
  /// Somebody writes to the bytes at a host virtual address, or to a frame.
  void touch(std::uint64_t address, std::uint64_t bytes);
  void touch_frame(Hfn hfn) {
    if (hfn < touched_.size() && touched_[hfn] == 0) {
      touched_[hfn] = 1;
      touched_list_.push_back(static_cast<std::uint32_t>(hfn));
    }
  }

  /// User space's own accesses, `width` 1, 2, 4 or 8 bytes; false where the
  /// range leaves the program's memory or is not writable.
  bool store(Hva hva, std::uint64_t value, unsigned width);
  bool load(Hva hva, std::uint64_t& value, unsigned width) const;

  // What the host does to pages [first, first + count) of program memory. The
  // caller brackets them with the notifier's calls.

  /// Copy to other frames. Small pages afterwards.
  Result<void> migrate(std::uint64_t first, std::uint64_t count);
  Result<void> protect(std::uint64_t first, std::uint64_t count, bool writable);
  /// Fresh contents, in other frames.
  Result<void> discard(std::uint64_t first, std::uint64_t count);
  void split(std::uint64_t first, std::uint64_t count);
  /// Huge pages wherever a whole one lies in the range and has one protection.
  Result<void> collapse(std::uint64_t first, std::uint64_t count);

  /// Mappings and contents of user memory, kept and put back.
  struct Saved;
  void save(Saved& saved);
  Result<void> restore(const Saved& saved);
  /// After restore(): what reset() has to mend is what it was at save().
  void remember(const Saved& saved);

  /// First touched-free page whose content is not fresh; none is right. Slow,
  /// for tests and for a doubt about touched().
  std::optional<std::uint64_t> first_stale(std::uint64_t bytes) const;

 private:
  struct Page {
    std::uint32_t frame = 0;
    bool writable = true;
  };
  static constexpr std::uint64_t huge_pages = 512;

  Arena() = default;
  Result<void> map_hva(std::uint64_t page, std::uint64_t count);
  Result<void> protect_hva(std::uint64_t page, std::uint64_t count, bool writable);
  void give_frame(std::uint64_t page, Hfn to);
  Hfn take_spare();
  void release(Hfn hfn);
  void fill(Hfn hfn, std::uint64_t page);
  void note_changed(std::uint64_t page);
  std::uint64_t harness_page(PagingMode mode) const;

  ArenaSize size_;
  Fd file_;
  std::byte* base_ = nullptr;
  std::uint64_t hva_base_ = 0;
  std::uint64_t pages_ = 0;
  std::uint64_t first_free_ = 0;
  bool special_ = false;
  std::uint64_t program_pages_ = 0;    ///< that this program has
  std::uint64_t filled_ = 0;           ///< frames that hold their cells, or are touched
  std::vector<Page> table_;            ///< by page: program memory, then harness
  std::vector<std::uint8_t> level_;    ///< by huge page
  std::vector<std::uint8_t> touched_;  ///< by frame: program memory, then harness
  std::vector<std::uint32_t> touched_list_;
  std::array<std::vector<std::byte>, 5> kept_;  ///< by paging mode
  std::vector<std::uint8_t> changed_;
  std::vector<std::uint32_t> changed_list_;  ///< pages not as after reset()
  std::vector<std::uint32_t> spares_;        ///< free frames, oldest first
  std::size_t next_spare_ = 0;
};

struct Arena::Saved {
  std::vector<Page> table;
  std::vector<std::uint8_t> level;
  std::vector<std::uint32_t> spares;
  std::size_t next_spare = 0;
  std::vector<std::byte> contents;  ///< of the frames of program memory and harness
  /// What was changed and touched before, which a reset has to mend.
  std::vector<std::uint32_t> touched, changed;
};

}  // namespace lockstep::hw::hosted
