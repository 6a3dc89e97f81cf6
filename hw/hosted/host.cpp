// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/host.h"

#include <x86intrin.h>

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <fstream>

#include "hw/hosted/call_chain.h"
#include "hw/hosted/traps.h"
#include "spec/cpu/ticks.h"

namespace lockstep::hw::hosted {
namespace {

const char* kind_name(hosted_finding kind) {
  switch (kind) {
    case HOSTED_WARNING:
      return "WARN";
    case HOSTED_BUG:
      return "BUG";
    case HOSTED_STUB:
      return "stub called";
    case HOSTED_FAULT:
      return "bad access";
    case HOSTED_LOCKING:
      return "locking";
    case HOSTED_MEMORY:
      return "memory";
    case HOSTED_STUCK:
      return "stuck";
  }
  return "finding";
}

constexpr const char* bad_release =
    "release of memory that is not allocated, or was overrun at one of its ends";

/// Where the caller's frame begins.
[[gnu::always_inline]] inline std::uint64_t frame() {
  return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
}

}  // namespace

std::string Finding::message() const {
  std::string message = fmt::format("{}: {}", kind_name(kind), text);
  if (!symbol.empty()) message += ", at " + symbol;
  if (!line.empty()) message += fmt::format(" ({})", line);
  if (!chain.empty()) message += ", " + chain;
  return message;
}

Host::Host(Image& image, Arena& arena, Processors& processors, Pool* pool)
    : image_(&image), arena_(&arena), processors_(&processors), pool_(pool), lines_(image.file()) {
  boundary_.version = HOSTED_BOUNDARY_VERSION;
  boundary_.context = this;
  boundary_.arena = arena.boundary();
  // None of these may own anything when it calls leave().
  boundary_.allocate = [](void* self, hosted_u64 bytes, hosted_u64 alignment, hosted_u64 owner) {
    auto* const host = static_cast<Host*>(self);
    return host->pool_ != nullptr ? host->pool_->allocate(bytes, alignment, owner)
                                  : host->heap_.allocate(bytes, alignment, owner);
  };
  boundary_.owner = [](void* self, void* memory) -> hosted_u64 {
    auto* const host = static_cast<Host*>(self);
    const std::optional<std::uint64_t> owner =
        host->pool_ != nullptr ? host->pool_->owner(memory) : Heap::owner(memory);
    if (owner) return *owner;
    host->note(HOSTED_MEMORY, 0, Stands::on, frame(), bad_release);
    host->leave();
  };
  boundary_.release = [](void* self, void* memory) {
    auto* const host = static_cast<Host*>(self);
    if (host->pool_ != nullptr ? host->pool_->release(memory) : host->heap_.release(memory)) return;
    host->note(HOSTED_MEMORY, 0, Stands::on, frame(), bad_release);
    host->leave();
  };
  boundary_.should_fail = [](void* self, unsigned kind, hosted_u64 caller) {
    auto* const host = static_cast<Host*>(self);
    if (host->pool_ != nullptr) host->pool_->set_site(caller);
    return host->faults_.fails(kind) ? 1 : 0;
  };
  boundary_.look_up = [](void* self, hosted_u64 address, hosted_host_page* page) {
    static_cast<Host*>(self)->arena_->look_up(address, *page);
  };
  boundary_.looked_up = [](void* self, hosted_u64 address) {
    auto* const host = static_cast<Host*>(self);
    if (host->lookups_until_race_ == 0 || --host->lookups_until_race_ != 0) return;
    host->race_(address);
  };
  boundary_.touched = [](void* self, hosted_u64 address, hosted_u64 bytes) {
    static_cast<Host*>(self)->arena_->touch(address, bytes);
  };
  boundary_.run = [](void* self, void* vm, hosted_entry* entry, hosted_exit* exit) {
    auto* const host = static_cast<Host*>(self);
    if (host->before_run_ != nullptr) host->before_run_(host->before_run_context_, entry->vcpu);
    host->now_->in_processor = true;
    if (host->timed_) host->ticks_ += __rdtsc() - spec::tick_cost();
    host->processors_->run(vm, *entry, *exit);
    if (host->timed_) host->ticks_ -= __rdtsc();
    host->now_->in_processor = false;
  };
  boundary_.invalidate = [](void* self, void*, unsigned vcpu, unsigned asid, hosted_u64 address) {
    static_cast<Host*>(self)->processors_->invalidate(vcpu, asid, address);
  };
  boundary_.invalidate_root = [](void* self, hosted_u64 ept_pointer) {
    static_cast<Host*>(self)->processors_->invalidate_root(ept_pointer);
  };
  boundary_.invalidate_all = [](void* self, unsigned asid) {
    static_cast<Host*>(self)->processors_->invalidate_all(asid);
  };
  boundary_.finding = [](void* self, unsigned kind, const char* text, hosted_u64 ip) {
    auto* const host = static_cast<Host*>(self);
    host->note(kind, ip, Stands::behind, frame(), text);
    if (kind != HOSTED_WARNING) host->leave();
  };
  boundary_.log = [](void* self, const char* text) {
    auto* const host = static_cast<Host*>(self);
    const std::size_t room = log_limit - host->log_used_;
    const std::size_t bytes = std::min(std::strlen(text), room);
    std::memcpy(host->log_ + host->log_used_, text, bytes);
    host->log_used_ += bytes;
  };
}

/// Its own function, because what setjmp() returns to must not change locals.
[[gnu::noinline]] bool Host::guard(long (*call)(void*), void* argument, long& result) {
  Traps::Entered entered(*this, *image_);
  // Wherever the call ends, it is this CPU that runs.
  if (_setjmp(now_->leave) != 0) {
    now_->inside = now_->in_processor = false;
    tainted_ = true;
    return false;
  }
  now_->inside = true;
  now_->outer = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (timed_) ticks_ -= __rdtsc();
  result = call(argument);
  if (timed_) ticks_ += __rdtsc() - spec::tick_cost();
  now_->inside = false;
  return true;
}

void Host::leave() {
  // A finding outside of any call has nowhere to go.
  if (!now_->inside) std::abort();
  std::longjmp(now_->leave, 1);  // NOLINT: no frame between owns anything
}

void Host::note(unsigned kind, std::uint64_t ip, Stands stands, std::uint64_t stack,
                const char* text) {
  // The fatal one is worth more than the last warning.
  const unsigned place = kind == HOSTED_WARNING ? noted_ : std::min(noted_, most_notes - 1);
  ++noted_;
  if (place >= most_notes) return;
  Note& made = notes_[place];
  made.kind = kind;
  made.ip = ip;
  made.stands = stands;
  made.depth = now_->inside && stack != 0 ? callers(*image_, stack, now_->outer, made.callers) : 0;
  const std::size_t bytes = std::min(std::strlen(text), sizeof made.text - 1);
  std::memcpy(made.text, text, bytes);
  made.text[bytes] = '\0';
}

std::vector<Finding> Host::take_findings() {
  std::vector<Finding> found;
  for (const Note& note : std::span(notes_).first(std::min(noted_, most_notes))) {
    std::string text = note.text;
    while (text.ends_with('\n')) text.pop_back();
    found.push_back({.kind = static_cast<hosted_finding>(note.kind),
                     .text = std::move(text),
                     .symbol = note.ip == 0 ? std::string() : image_->symbol_of(note.ip),
                     .chain = call_chain(*image_, std::span(note.callers).first(note.depth)),
                     .line = line_of(note),
                     .source = source_of(note)});
  }
  noted_ = 0;
  return found;
}

std::string Host::line_of(const Note& note) {
  // What WARN and BUG say of their place is the kernel's own word.
  const std::string_view text = note.text;
  if (text.starts_with("WARNING at ") || text.starts_with("kernel BUG at ")) return {};
  const auto kernels = [&](std::uint64_t address) -> std::string {
    const auto line = lines_.at(address);
    return line && !line->of_shim() ? line->text() : std::string();
  };
  if (note.ip != 0) {
    auto line = kernels(note.stands == Stands::on ? note.ip : note.ip - 1);
    if (!line.empty()) return line;
  }
  for (const std::uint64_t caller : std::span(note.callers).first(note.depth)) {
    if (auto line = kernels(caller - 1); !line.empty()) return line;
  }
  return {};
}

std::string Host::source_of(const Note& note) {
  // "WARNING at arch/x86/kvm/mmu/mmu.c:7946"
  constexpr std::string_view head = "WARNING at ";
  std::string_view text = note.text;
  if (!text.starts_with(head)) return {};
  text.remove_prefix(head.size());
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) return {};
  unsigned number = 0;
  std::from_chars(text.data() + colon + 1, text.data() + text.size(), number);
  const auto place = lines_.at(note.ip);
  if (!place || !place->file.ends_with(text.substr(0, colon))) return {};
  std::ifstream file(place->file);
  std::string line;
  for (unsigned at = 0; at < number; ++at) {
    if (!std::getline(file, line)) return {};
  }
  return line;
}

std::string Host::take_log() {
  std::string text(log_, log_used_);
  log_used_ = 0;
  return text;
}

void Host::forget() {
  heap_.drop();
  if (pool_ != nullptr) pool_->clear();
  tainted_ = false;
}

}  // namespace lockstep::hw::hosted
