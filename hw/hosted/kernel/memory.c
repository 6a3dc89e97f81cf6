/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Objects come from the process, so that its sanitizer sees them; pages from
 * the arena. A freed page is poisoned and handed out again as late as possible.
 */
#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include "shim.h"

unsigned hosted_gfp_zero = (__force unsigned)__GFP_ZERO;
unsigned hosted_gfp_may_sleep = (__force unsigned)__GFP_DIRECT_RECLAIM;
unsigned long long hosted_live_objects, hosted_live_pages;

#ifdef __SANITIZE_ADDRESS__
void __asan_poison_memory_region(void const volatile *start, unsigned long bytes);
void __asan_unpoison_memory_region(void const volatile *start, unsigned long bytes);
#define poison(start, bytes) __asan_poison_memory_region((void *)(start), bytes)
#define unpoison(start, bytes) __asan_unpoison_memory_region((void *)(start), bytes)
#else
#define poison(start, bytes) ((void)0)
#define unpoison(start, bytes) ((void)0)
#endif

static unsigned int *page_queue; /* ring of free frames */
static unsigned char *page_live;
static unsigned long queue_head, queue_length, queue_size, fresh;
/* A freed frame rests while this many others are freed: long enough to catch
 * who still uses it, short enough to stay in the processor's caches. */
#define RESTING_FRAMES 96

/* Blocks of several pages (permission maps of the vendor modules) come from the
 * first frames behind the user's, first fit. */
#define BLOCK_FRAMES 512
static unsigned char block_used[BLOCK_FRAMES];

static void *from_process(unsigned long bytes, unsigned long alignment) {
  return hosted_host.allocate(hosted_host.context, bytes, alignment, HOSTED_OF_SHIM);
}

void hosted_memory_start(void) {
  unsigned long frame;
  queue_size = hosted_host.arena.pages - hosted_host.arena.first_free - BLOCK_FRAMES;
  page_queue = from_process(queue_size * sizeof(*page_queue), 8);
  page_live = from_process(hosted_host.arena.pages, 8);
  memset(page_live, 0, hosted_host.arena.pages);
  queue_head = 0;
  queue_length = 0;
  frame = hosted_host.arena.first_free + BLOCK_FRAMES;
  poison(hosted_host.arena.base + (frame << PAGE_SHIFT), queue_size << PAGE_SHIFT);
  fresh = frame;
}

void *hosted_object(unsigned long bytes, int zero, unsigned kind, unsigned long caller) {
  return hosted_object_of(HOSTED_OF_SHIM, bytes, zero, kind, caller);
}

void *hosted_object_of(unsigned long owner, unsigned long bytes, int zero, unsigned kind,
                       unsigned long caller) {
  unsigned long alignment = 64;
  void *object;
  if (hosted_host.should_fail(hosted_host.context, kind, caller)) return NULL;
  /* What the kernel aligns to its size must be so: powers of two up to a page. */
  if (is_power_of_2(bytes) && bytes <= PAGE_SIZE)
    alignment = bytes;
  else if (bytes > PAGE_SIZE)
    alignment = PAGE_SIZE;
  object = hosted_host.allocate(hosted_host.context, bytes ? bytes : 1, alignment, owner);
  if (!object) return NULL;
  ++hosted_live_objects;
  memset(object, zero ? 0 : 0x5a, bytes);
  return object;
}

unsigned long hosted_owner(void *object) {
  return hosted_host.owner(hosted_host.context, object);
}

void hosted_release(void *object) {
  if (ZERO_OR_NULL_PTR(object)) return;
  if (hosted_owner(object) != HOSTED_OF_SHIM)
    hosted_fail(HOSTED_MEMORY, "an object of %s is freed as one of the kernel's around KVM",
                hosted_owner_name(hosted_owner(object)));
  hosted_give_back(object);
}

void hosted_give_back(void *object) {
  --hosted_live_objects;
  hosted_host.release(hosted_host.context, object);
}

static unsigned long block_take(unsigned order, int zero) {
  unsigned long count = 1ul << order, at, i;
  for (at = 0; at + count <= BLOCK_FRAMES; at += count) {
    unsigned long address;
    for (i = 0; i < count && !block_used[at + i]; ++i) {}
    if (i < count) continue;
    memset(block_used + at, 1, count);
    hosted_live_pages += count;
    address = hosted_host.arena.base + ((hosted_host.arena.first_free + at) << PAGE_SHIFT);
    memset((void *)address, zero ? 0 : 0x5a, count << PAGE_SHIFT);
    hosted_page_prepare(address);
    return address;
  }
  return 0;
}

unsigned long hosted_page(unsigned order, int zero, unsigned long caller) {
  if (hosted_host.should_fail(hosted_host.context, HOSTED_PAGE, caller)) return 0;
  return hosted_page_of_host(order, zero);
}

unsigned long hosted_page_of_host(unsigned order, int zero) {
  unsigned long frame, address;
  if (order) return block_take(order, zero);
  if (fresh < hosted_host.arena.pages && queue_length < RESTING_FRAMES) {
    frame = fresh++;
  } else if (queue_length) {
    frame = page_queue[queue_head];
    queue_head = (queue_head + 1) % queue_size;
    --queue_length;
  } else {
    return 0;
  }
  ++hosted_live_pages;
  page_live[frame] = 1;
  address = hosted_host.arena.base + (frame << PAGE_SHIFT);
  unpoison(address, PAGE_SIZE);
  memset((void *)address, zero ? 0 : 0x5a, PAGE_SIZE);
  hosted_page_prepare(address);
  return address;
}

void hosted_page_release(unsigned long address, unsigned order) {
  unsigned long frame = (address - hosted_host.arena.base) >> PAGE_SHIFT;
  if (order) {
    unsigned long at = frame - hosted_host.arena.first_free, i;
    for (i = 0; i < 1ul << order; ++i)
      if (at + i >= BLOCK_FRAMES || !block_used[at + i])
        hosted_fail(HOSTED_MEMORY, "free of %d pages that no allocation gave: %lx", 1 << order,
                    address);
    memset(block_used + at, 0, 1ul << order);
    hosted_live_pages -= 1ul << order;
    return;
  }
  if ((address & ~PAGE_MASK) || frame >= hosted_host.arena.pages ||
      frame < hosted_host.arena.first_free)
    hosted_fail(HOSTED_MEMORY, "free of a page that no allocation gave: %lx", address);
  if (!page_live[frame]) hosted_fail(HOSTED_MEMORY, "page %lx freed twice", frame);
  hosted_page_check(address);
  page_live[frame] = 0;
  --hosted_live_pages;
#if !defined(__SANITIZE_ADDRESS__) && !defined(HOSTED_SCHEDULE)
  /* What still walks a freed table finds no entry that hardware would accept. */
  memset((void *)address, 0x5a, PAGE_SIZE);
#endif
  poison(address, PAGE_SIZE);
  page_queue[(queue_head + queue_length) % queue_size] = (unsigned)frame;
  ++queue_length;
}

int hosted_page_live(unsigned long frame) {
  return frame < hosted_host.arena.pages && page_live[frame];
}

int hosted_page_may_be_used(unsigned long frame) {
  return hosted_page_live(frame) || frame < hosted_host.arena.first_free + BLOCK_FRAMES;
}

void hosted_page_prepare(unsigned long address) {
  struct page *page = virt_to_page((void *)address);
  set_page_private(page, 0);
  set_page_count(page, 1);
}

void hosted_page_check(unsigned long address) {
  struct page *page = virt_to_page((void *)address);
  if (page_count(page) != 1)
    hosted_fail(HOSTED_MEMORY, "freed page %lx has %d references", page_to_pfn(page),
                page_count(page));
}

void *hosted_page_descriptor(unsigned long address) { return virt_to_page((void *)address); }
unsigned long hosted_page_address(void *descriptor) {
  return (unsigned long)page_address((struct page *)descriptor);
}

/* A user frame lost its last reference although its mapping still holds one. */
void __folio_put(struct folio *folio) {
  hosted_fail(HOSTED_MEMORY, "reference count of page %lx reached zero", folio_pfn(folio));
}
