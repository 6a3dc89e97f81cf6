// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/schedule/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define LOCKSTEP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LOCKSTEP_ASAN 1
#endif
#endif
#ifdef LOCKSTEP_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#ifndef __x86_64__
#error "the switch between fibers is written for x86-64"
#endif

// What the psABI lets a callee keep: rbx, rbp, r12 to r15. Control words of the
// x87 and SSE are the same in all fibers.
asm(R"(
.text
.p2align 4
.type lockstep_switch_stack, @function
lockstep_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lockstep_switch_stack, .-lockstep_switch_stack
.p2align 4
.type lockstep_start_fiber, @function
lockstep_start_fiber:
  movq %r12, %rdi
  xorl %ebp, %ebp
  callq *%r13
  ud2
.size lockstep_start_fiber, .-lockstep_start_fiber
)");

extern "C" {
/// Save the stack pointer to *from, go on where `to` was saved.
void lockstep_switch_stack(void** from, void* to);
void lockstep_start_fiber();
}

namespace lockstep::props::schedule {

namespace {

constexpr std::size_t stack_bytes = 256 << 10;

}  // namespace

Fiber::Fiber(void (*entry)(void*), void* argument) : entry_(entry), argument_(argument) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  mapping_ = mmap(nullptr, page + stack_bytes, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping_ == MAP_FAILED) throw std::bad_alloc();
  // An overflow hits the page below.
  if (mprotect(mapping_, page, PROT_NONE) != 0) throw std::bad_alloc();
  bottom_ = static_cast<char*>(mapping_) + page;
  size_ = stack_bytes;

  auto* stack = reinterpret_cast<void**>(static_cast<char*>(mapping_) + page + stack_bytes);
  *--stack = nullptr;  // the stack is aligned to 16 bytes where a call is made
  *--stack = nullptr;
  *--stack = reinterpret_cast<void*>(&lockstep_start_fiber);
  *--stack = nullptr;                                 // rbp
  *--stack = nullptr;                                 // rbx
  *--stack = this;                                    // r12
  *--stack = reinterpret_cast<void*>(&Fiber::begin);  // r13
  *--stack = nullptr;                                 // r14
  *--stack = nullptr;                                 // r15
  top_ = stack;
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
#ifdef LOCKSTEP_ASAN
  __asan_unpoison_memory_region(bottom_, size_);
#endif
  munmap(mapping_, page + stack_bytes);
}

void Fiber::begin(Fiber* self) noexcept {
#ifdef LOCKSTEP_ASAN
  Fiber* from = self->came_from_;
  __sanitizer_finish_switch_fiber(nullptr, &from->bottom_, &from->size_);
#endif
  self->entry_(self->argument_);
  std::abort();
}

void Fiber::switch_to(Fiber& other) {
  other.came_from_ = this;
#ifdef LOCKSTEP_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.size_);
#endif
  lockstep_switch_stack(&top_, other.top_);
#ifdef LOCKSTEP_ASAN
  __sanitizer_finish_switch_fiber(fake_stack_, &came_from_->bottom_, &came_from_->size_);
#endif
}

}  // namespace lockstep::props::schedule
