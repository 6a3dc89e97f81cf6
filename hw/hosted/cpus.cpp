// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/hosted/cpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

namespace lockstep::hw::hosted {
namespace {

using lockstep::schedule::Access;
using lockstep::schedule::Allocation;
using lockstep::schedule::Hold;
using lockstep::schedule::LockKind;
using lockstep::schedule::Readers;

constexpr unsigned long interrupt_flag = 1ul << 9;
constexpr unsigned long no_global_interrupts = 1ul << 32;

LockKind kind_of(unsigned how) {
  return (how & HOSTED_LOCK_SLEEPS) != 0 ? LockKind::mutex : LockKind::spin;
}
Hold hold_of(unsigned how) {
  return (how & HOSTED_LOCK_SHARED) != 0 ? Hold::shared : Hold::exclusive;
}
Access access_of(unsigned how) {
  const bool reads = (how & HOSTED_ACCESS_READ) != 0;
  const bool writes = (how & HOSTED_ACCESS_WRITE) != 0;
  return reads && writes ? Access::update : writes ? Access::write : Access::read;
}

/// "&(kvm)->mmu_lock" is "mmu_lock".
std::string_view last_name(std::string_view text) {
  const auto at = text.find_last_of(">.&)( ");
  if (at == std::string_view::npos) return text;
  if (at + 1 == text.size()) return last_name(text.substr(0, at));
  return text.substr(at + 1);
}

}  // namespace

Cpus::Cpus(Session& session)
    : session_(&session),
      scheduling_(session.image().boundary().scheduling),
      interrupts_{Tag("interrupts", 0), Tag("interrupts", 1), Tag("interrupts", 2),
                  Tag("interrupts", 3), Tag("interrupts", 4), Tag("interrupts", 5),
                  Tag("interrupts", 6), Tag("interrupts", 7)} {
  first_frame_ = session.arena().boundary().first_free;
  hooks_.context = this;
  hooks_.base = session.pool()->base();
  hooks_.bytes = session.pool()->bytes();
  hooks_.state = session.pool()->state();
  hooks_.lock = [](void* self, const void* lock, const char* name, unsigned how) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.last_[cpus.active_] = {};
    cpus.tell(
        [&](Listener& to) { to.lock(cpus.lock_tag(lock, name), kind_of(how), hold_of(how)); });
  };
  hooks_.unlock = [](void* self, const void* lock, const char* name, unsigned how) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) { to.unlock(cpus.lock_tag(lock, name), hold_of(how)); });
  };
  hooks_.access = [](void* self, const void* address, unsigned, unsigned how, unsigned long long) {
    auto& cpus = *static_cast<Cpus*>(self);
    if (cpus.again(address, how)) return;
    cpus.tell([&](Listener& to) {
      to.atomic(cpus.access_tag(reinterpret_cast<std::uintptr_t>(address)), access_of(how),
                std::memory_order_seq_cst);
    });
  };
  if (std::string_view(session.image().boundary().flavour) == "tsan") {
    // Plain accesses are told as well; whether something orders them is asked of each.
    hooks_.access = [](void* self, const void* address, unsigned, unsigned how,
                       unsigned long long ip) {
      auto& cpus = *static_cast<Cpus*>(self);
      const auto at = reinterpret_cast<std::uintptr_t>(address);
      if ((how & HOSTED_ACCESS_MARKED) == 0) {
        cpus.tell([&](Listener& to) {
          to.code(ip);
          to.plain(cpus.access_tag(at), access_of(how));
        });
      } else {
        // Also what it has read before: another CPU may have published since.
        (void)cpus.again(address, how);
        cpus.tell([&](Listener& to) {
          to.atomic(cpus.access_tag(at), access_of(how), std::memory_order_seq_cst);
        });
      }
    };
  }
  hooks_.allocate = [](void* self, int may_sleep) {
    static const Tag memory("memory");
    static_cast<Cpus*>(self)->tell([&](Listener& to) {
      (void)to.allocate(memory, may_sleep != 0 ? Allocation::may_sleep : Allocation::atomic);
    });
  };
  hooks_.enter = [](void* self, const void* domain, const char* name) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) {
      if (domain == nullptr) return to.enter(cpus.rcu_, Readers::rcu);
      to.enter(cpus.lock_tag(domain, name), Readers::srcu);
    });
  };
  hooks_.leave = [](void* self, const void* domain, const char* name) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) {
      if (domain == nullptr) return to.leave(cpus.rcu_, Readers::rcu);
      to.leave(cpus.lock_tag(domain, name), Readers::srcu);
    });
  };
  hooks_.synchronize = [](void* self, const void* domain, const char* name) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) {
      to.synchronize(domain == nullptr ? cpus.rcu_ : cpus.lock_tag(domain, name));
    });
  };
  hooks_.prepare = [](void* self, const void* event, const char* name) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) { to.prepare_wait(cpus.lock_tag(event, name)); });
  };
  hooks_.wait = [](void* self, const void* event, const char* name) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) { to.wait(cpus.lock_tag(event, name)); });
  };
  hooks_.wake = [](void* self, const void* event, const char* name) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) { to.wake(cpus.lock_tag(event, name)); });
  };
  hooks_.interrupt = [](void* self, unsigned cpu, void (*function)(void*), void* argument) {
    static_cast<Cpus*>(self)->interrupt(cpu, function, argument);
  };
  hooks_.interrupts_on = [](void* self) {
    auto& cpus = *static_cast<Cpus*>(self);
    cpus.tell([&](Listener& to) { to.wake(cpus.interrupts_[cpus.active_]); });
  };
  // Who faults again and again waits for somebody: a notifier that has begun, a root
  // that goes.
  session.host().set_before_run(
      [](void* self, unsigned vcpu) {
        constexpr unsigned faults_of_one_access = 6;
        auto& cpus = *static_cast<Cpus*>(self);
        if (cpus.session_->processors().faults(vcpu) < faults_of_one_access) return;
        cpus.tell([](Listener& to) { to.yield(); });
      },
      this);
  // A processor's walk stands between no two instructions of the kernel: it is not
  // left, the kernel's next call is.
  session.processors().memory().set_before_table(
      [](void* self, Hfn frame) {
        auto& cpus = *static_cast<Cpus*>(self);
        if (cpus.listener_ == nullptr || cpus.listener_->over()) return;
        const unsigned me = cpus.active_;
        const auto at = reinterpret_cast<std::uintptr_t>(cpus.session_->arena().frame(frame));
        try {
          cpus.listener_->atomic(cpus.access_tag(at), Access::read, std::memory_order_seq_cst);
        } catch (...) {
          // The run is over: its end is told again at once.
        }
        cpus.enter(me);
      },
      this);
}

Cpus::~Cpus() {
  session_->processors().memory().set_before_table(nullptr, nullptr);
  session_->host().set_before_run(nullptr, nullptr);
}

/// Tell it, and be this CPU again when that comes back. Nothing may be owned here:
/// when the run is over, the image is left.
template <typename Tell>
void Cpus::tell(Tell&& what) {
  if (listener_ == nullptr || in_interrupt_) return;
  const unsigned me = active_;
  bool over = false;
  try {
    what(*listener_);
  } catch (...) {
    over = true;
  }
  enter(me);
  if (over || listener_->over()) session_->host().leave();
}

/// The CPU has read this twice, and took no lock since: more of the same shows
/// nothing. One that reads on and on spins until another CPU writes, as kvm_rmap_lock()
/// does, and gives way.
bool Cpus::again(const void* address, unsigned how) {
  Last& last = last_[active_];
  const bool same = last.address == address && (how & HOSTED_ACCESS_WRITE) == 0;
  last.times = same ? last.times + 1 : 0;
  last.address = address;
  // Far more than code reads that waits for nobody.
  constexpr unsigned readings_of_one_who_spins = 64;
  if (last.times >= readings_of_one_who_spins) {
    tell([](Listener& to) { to.yield(); });
  }
  return last.times > 1;
}

std::span<std::byte> Cpus::state(const Image& image) {
  const hosted_scheduling* const scheduling = image.boundary().scheduling;
  return {static_cast<std::byte*>(scheduling->cpu_begin),
          static_cast<std::byte*>(scheduling->cpu_end)};
}

void Cpus::switch_to(unsigned cpu) {
  const auto live = state(session_->image());
  std::ranges::copy(live, saved_[active_].begin());
  std::ranges::copy(saved_[cpu], live.begin());
  stands_at(active_, saved_[active_].data());
  stands_at(cpu, live.data());
  session_->processors().be_cpu(cpu);
  active_ = cpu;
}

void Cpus::stands_at(unsigned cpu, const std::byte* memory) {
  scheduling_->offsets[cpu] = reinterpret_cast<std::uintptr_t>(memory) -
                              reinterpret_cast<std::uintptr_t>(scheduling_->cpu_begin);
}

void Cpus::enter(unsigned cpu) {
  // An interrupt that the kernel was left in does not come back.
  in_interrupt_ = false;
  if (cpu != active_) switch_to(cpu);
  session_->host().be_cpu(cpu);
}

Result<void> Cpus::create(std::span<const std::byte> idle) {
  const auto live = state(session_->image());
  const std::vector<std::byte> own(live.begin(), live.end());
  for (unsigned cpu = 0; cpu < HOSTED_CPUS; ++cpu) {
    if (cpu != 0) std::ranges::copy(idle, live.begin());
    const auto done = cpu == 0 ? 0 : session_->host().enter([&] {
      scheduling_->become(cpu);
      return 0L;
    });
    if (!done) return tl::unexpected(EngineError{session_->findings()});
    created_[cpu].assign(live.begin(), live.end());
  }
  std::ranges::copy(own, live.begin());
  return {};
}

void Cpus::begin(Listener& listener) {
  saved_ = created_;
  active_ = 0;
  for (unsigned cpu = 1; cpu < HOSTED_CPUS; ++cpu) stands_at(cpu, saved_[cpu].data());
  stands_at(0, state(session_->image()).data());
  session_->processors().be_cpu(0);
  session_->host().be_cpu(0);
  in_interrupt_ = false;
  last_ = {};
  locks_.made.clear();
  accesses_.made.clear();
  listener_ = &listener;
  scheduling_->listen(&hooks_);
}

void Cpus::end() {
  enter(0);
  // What belongs to the others goes with the run.
  for (unsigned cpu = 0; cpu < HOSTED_CPUS; ++cpu) {
    stands_at(cpu, state(session_->image()).data());
  }
  scheduling_->listen(nullptr);
  listener_ = nullptr;
}

void Cpus::grace() {
  (void)session_->host().enter([&] {
    scheduling_->grace();
    return 0L;
  });
}

bool Cpus::takes_interrupts(unsigned cpu) const {
  const auto offset = static_cast<std::size_t>(
      reinterpret_cast<const std::byte*>(scheduling_->flags) - state(session_->image()).data());
  unsigned long flags = 0;
  std::memcpy(&flags, saved_[cpu].data() + offset, sizeof flags);
  return (flags & (interrupt_flag | no_global_interrupts)) == interrupt_flag;
}

void Cpus::interrupt(unsigned cpu, void (*function)(void*), void* argument) {
  if (cpu >= HOSTED_CPUS || in_interrupt_) return;
  ++*scheduling_->interrupts_awaited;
  while (!takes_interrupts(cpu)) {
    tell([&](Listener& to) { to.prepare_wait(interrupts_[cpu]); });
    if (takes_interrupts(cpu)) break;
    tell([&](Listener& to) { to.spin(interrupts_[cpu]); });
  }
  --*scheduling_->interrupts_awaited;
  const unsigned me = active_;
  in_interrupt_ = true;
  switch_to(cpu);
  auto* const flags = const_cast<unsigned long*>(scheduling_->flags);
  *flags &= ~interrupt_flag;
  function(argument);
  *flags |= interrupt_flag;
  switch_to(me);
  in_interrupt_ = false;
}

Cpus::Named& Cpus::named_at(Names& names, std::uint64_t address) const {
  const Pool& pool = *session_->pool();
  const bool made = address >= pool.saved_end() && address < pool.base() + pool.bytes();
  return made ? names.made[address] : names.kept[address];
}

const Cpus::Tag& Cpus::lock_tag(const void* lock, const char* name) {
  const auto address = reinterpret_cast<std::uintptr_t>(lock);
  Named& named = named_at(locks_, address);
  if (named.from == name && !named.text.empty()) return named.tag;
  named.from = name;
  named.text = name == nullptr ? place(address) : std::string(last_name(name));
  const auto object = session_->pool()->object_at(address);
  std::construct_at(&named.tag, named.text.c_str(), object ? object->serial : Tag::unnumbered);
  return named.tag;
}

const Cpus::Tag& Cpus::access_tag(std::uint64_t address) {
  Named& named = named_at(accesses_, address);
  if (!named.text.empty()) return named.tag;
  named.text = place(address);
  std::construct_at(&named.tag, named.text.c_str());
  return named.tag;
}

/// What stands at an address, told so that each process tells the same.
std::string Cpus::place(std::uint64_t address) const {
  const Arena& arena = session_->arena();
  const hosted_arena frames = arena.boundary();
  if (address - frames.base < frames.pages * page_size) {
    const std::uint64_t frame = (address - frames.base) / page_size - first_frame_;
    return fmt::format("page.{:x}[{}]", frame, address % page_size / 8);
  }
  if (const auto object = session_->pool()->object_at(address)) {
    std::string site = session_->image().symbol_of(object->site);
    site.resize(std::min(site.find('+'), site.size()));
    // Who makes the two objects that every command uses.
    if (site == "kvm_dev_ioctl") site = "kvm";
    if (site == "kvm_vm_ioctl") site = "vcpu";
    return fmt::format("{}.{}+{:x}", site, object->serial,
                       address - session_->pool()->base() - object->begin);
  }
  return session_->image().symbol_of(address);
}

}  // namespace lockstep::hw::hosted
