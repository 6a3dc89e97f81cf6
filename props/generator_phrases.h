// SPDX-License-Identifier: GPL-2.0-or-later
/// Phrases: short command sequences that aim at one mechanism each. A program
/// is setup, then phrases drawn by the weights of the case.
#pragma once

#include <array>
#include <string_view>

#include "props/generator_sketch.h"

namespace lockstep::props {

struct Phrase {
  std::string_view name;
  /// Usual weight; a case keeps some phrases and drops the others.
  unsigned weight;
  void (*speak)(Sketch& sketch);
  /// Whether the configuration gives it anything to do.
  bool (*possible)(const Sketch& sketch);
};

/// All phrases; the first one (a plain access) is never dropped.
std::span<const Phrase> phrases();

/// Building blocks that several phrases use.
unsigned draw_vcpu(Sketch& sketch);
/// An access by a drawn kind and CPL to a byte of the linear page.
void access(Sketch& sketch, unsigned vcpu, Gva page);
void access(Sketch& sketch, unsigned vcpu, Gva page, AccessKind kind, Cpl cpl);
/// Change one entry on the believed path of the page, by a guest store.
std::optional<EntryPlace> change_path(Sketch& sketch, unsigned vcpu, Gva page);
/// The same on the page's path under that root, which need not be the vCPU's.
std::optional<EntryPlace> change_path(Sketch& sketch, unsigned vcpu, Gpa root, Gva page);
/// INVLPG, MOV CR3, INVPCID or nothing.
void maybe_flush(Sketch& sketch, unsigned vcpu, Gva page);
Gva draw_page(Sketch& sketch);

// Phrases about slots and dirty logging, in generator_slots.cpp.
void speak_slot_cycle(Sketch& sketch);
void speak_slot_command(Sketch& sketch);
void speak_dirty_cycle(Sketch& sketch);
void speak_dirty_get(Sketch& sketch);
void speak_split(Sketch& sketch);
bool may_split(const Sketch& sketch);
void speak_ring_cycle(Sketch& sketch);

// Phrases about the host, in generator_host.cpp.
void speak_mmu_pages(Sketch& sketch);
bool may_mmu_pages(const Sketch& sketch);
void speak_host_change(Sketch& sketch);
bool may_host_change(const Sketch& sketch);
void speak_host_protect(Sketch& sketch);
bool may_host_protect(const Sketch& sketch);
void speak_reclaim(Sketch& sketch);
bool may_reclaim(const Sketch& sketch);

}  // namespace lockstep::props
