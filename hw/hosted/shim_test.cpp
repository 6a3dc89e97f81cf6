// SPDX-License-Identifier: GPL-2.0-or-later
// What the shim says of callers that do it wrong. Needs an image of a kernel:
// LOCKSTEP_HOSTED_IMAGE names the file.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdlib>
#include <initializer_list>

#include "hw/hosted/session.h"

namespace lockstep::hw::hosted {
namespace {

class ShimTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* const file = std::getenv("LOCKSTEP_HOSTED_IMAGE");
    if (file == nullptr) GTEST_SKIP() << "set LOCKSTEP_HOSTED_IMAGE to an image";
    auto opened = Session::open(file, {.program_bytes = 2ull << 20});
    ASSERT_TRUE(opened) << opened.error().message;
    session = std::move(*opened);
  }
  /// Null if this kernel calls none of these names.
  template <typename Function>
  Function* function(std::initializer_list<const char*> names) {
    for (const char* const name : names) {
      if (const auto at = session->image().address_of(name)) {
        return reinterpret_cast<Function*>(*at);
      }
    }
    return nullptr;
  }
  /// Call as the kernel would; findings in a line.
  template <typename Call>
  std::string said(const Call& call) {
    (void)session->host().enter([&] {
      call();
      return 0L;
    });
    return session->findings();
  }
  void* cache(const char* name) {
    auto* const create = function<void*(const char*, unsigned, void*)>({"hosted_cache"});
    void* made = nullptr;
    EXPECT_EQ(said([&] { made = create(name, 64, nullptr); }), "");
    return made;
  }
  void* object_of(void* of) {
    auto* const allocate =
        function<void*(void*, unsigned)>({"kmem_cache_alloc", "kmem_cache_alloc_noprof"});
    void* made = nullptr;
    EXPECT_EQ(said([&] { made = allocate(of, 0); }), "");
    return made;
  }
  std::unique_ptr<Session> session;
};

using Free = void(void*);

TEST_F(ShimTest, AnObjectGoesBackToTheCacheThatItCameFrom) {
  auto* const free = function<void(void*, void*)>({"kmem_cache_free"});
  auto* const destroy = function<Free>({"kmem_cache_destroy"});
  void* const mine = cache("mine");
  void* const other = cache("other");
  void* object = object_of(mine);
  EXPECT_EQ(said([&] { free(mine, object); }), "");
  EXPECT_EQ(said([&] { destroy(mine); }), "");
  object = object_of(other);
  void* const third = cache("third");
  EXPECT_NE(
      said([&] { free(third, object); }).find("kmem_cache_free() to third of an object of other"),
      std::string::npos);
}

TEST_F(ShimTest, ACacheIsDestroyedEmpty) {
  auto* const destroy = function<Free>({"kmem_cache_destroy"});
  void* const full = cache("full");
  (void)object_of(full);
  EXPECT_NE(said([&] { destroy(full); }).find("slab cache full is destroyed with 1 objects"),
            std::string::npos);
}

/// Documented since 6.4; before, kfree() was for what kmalloc() gave.
TEST_F(ShimTest, KfreeTakesObjectsOfCachesWhereTheKernelSaysSo) {
  auto* const free = function<Free>({"kfree"});
  const bool admitted = !std::string_view(session->image().boundary().release).starts_with("6.1.");
  void* const object = object_of(cache("some"));
  const std::string text = said([&] { free(object); });
  if (admitted) {
    EXPECT_EQ(text, "");
  } else {
    EXPECT_NE(text.find("kfree() of an object of some"), std::string::npos) << text;
  }
}

TEST_F(ShimTest, KfreeTakesNothingOfVmalloc) {
  auto* const vmalloc = function<void*(unsigned long, unsigned)>({"__vmalloc", "__vmalloc_noprof"});
  // Where KVM does without vmalloc(): bytes, alignment, how, node.
  auto* const kvmalloc =
      function<void*(unsigned long, unsigned long, unsigned, int)>({"__kvmalloc_node_noprof"});
  ASSERT_TRUE(vmalloc != nullptr || kvmalloc != nullptr);
  auto* const free = function<Free>({"kfree"});
  auto* const vfree = function<Free>({"vfree"});
  auto* const kvfree = function<Free>({"kvfree"});
  void* memory = nullptr;
  const auto fresh = [&] {
    EXPECT_EQ(said([&] { memory = vmalloc != nullptr ? vmalloc(100, 0) : kvmalloc(100, 1, 0, 0); }),
              "");
  };
  if (vmalloc != nullptr && vfree != nullptr) {
    fresh();
    EXPECT_EQ(said([&] { vfree(memory); }), "");
  }
  fresh();
  EXPECT_EQ(said([&] { kvfree(memory); }), "");
  EXPECT_EQ(said([&] { kvfree(nullptr); }), "");
  fresh();
  const std::string text = said([&] { free(memory); });
  EXPECT_NE(text.find("kfree() of an object of "), std::string::npos) << text;
  EXPECT_NE(text.find("malloc()"), std::string::npos) << text;
}

/// Kernels from 6.13 on queue none, so that the function is not there.
TEST_F(ShimTest, DelayedWorkIsKnownByItsFunction) {
  auto* const queue = function<bool(int, void*, void*, unsigned long)>({"queue_delayed_work_on"});
  if (queue == nullptr) return;
  // struct work_struct: data, a list of two pointers, the function.
  std::array<void*, 64> work{};
  work[3] = reinterpret_cast<void*>(function<Free>({"kfree"}));
  const std::string text = said([&] { (void)queue(0, nullptr, work.data(), 0); });
  EXPECT_NE(text.find("delayed work"), std::string::npos) << text;
  EXPECT_NE(text.find("kfree"), std::string::npos) << text;
}

/// Whoever is about to take a spin lock reads under none: a grace period may end there, but
/// not where another spin lock is held.
TEST_F(ShimTest, GracePeriodsEndInFrontOfLocks) {
  struct Head {
    void* next = nullptr;
    void* function = nullptr;
  };
  auto* const call = function<void(Head*, void (*)(Head*))>({"call_rcu"});
  auto* const hurry = function<void(int)>({"hosted_rcu_hurry"});
  auto* const lock = function<void(void*)>({"_raw_spin_lock"});
  auto* const restore = function<void(void*, unsigned long)>({"_raw_spin_unlock_irqrestore"});
  ASSERT_TRUE(call != nullptr && hurry != nullptr && lock != nullptr && restore != nullptr);
  static unsigned run;
  run = 0;
  alignas(64) static std::array<std::byte, 128> first, second;
  first = second = {};
  static Head head;
  EXPECT_EQ(said([&] {
              lock(first.data());
              hurry(1);
              call(&head, [](Head*) { ++run; });
              lock(second.data());
            }),
            "");
  EXPECT_EQ(run, 0u);
  EXPECT_EQ(said([&] {
              restore(second.data(), 0);
              restore(first.data(), 0);
            }),
            "");
  EXPECT_EQ(run, 0u);
  EXPECT_EQ(said([&] { lock(first.data()); }), "");
  EXPECT_EQ(run, 1u);
  EXPECT_EQ(said([&] {
              restore(first.data(), 0);
              hurry(0);
            }),
            "");
}

/// SRCU has callbacks and barriers of its own.
TEST_F(ShimTest, GracePeriodsOfRcuRunNothingOfSrcu) {
  struct Head {
    void* next = nullptr;
    void* function = nullptr;
  };
  auto* const open = function<int(void*)>({"init_srcu_struct"});
  auto* const call = function<void(void*, Head*, void (*)(Head*))>({"call_srcu"});
  auto* const wait = function<void()>({"synchronize_rcu"});
  auto* const close = function<void(void*)>({"cleanup_srcu_struct"});
  if (call == nullptr) return;  // 6.1 and 6.12 only wait
  static unsigned run;
  run = 0;
  alignas(64) static std::array<std::byte, 1024> domain;
  static Head head;
  EXPECT_EQ(said([&] {
              open(domain.data());
              call(domain.data(), &head, [](Head*) { ++run; });
              wait();
            }),
            "");
  EXPECT_EQ(run, 0u);
  EXPECT_NE(said([&] { close(domain.data()); }).find("callbacks that nobody waits for"),
            std::string::npos);
}

}  // namespace
}  // namespace lockstep::hw::hosted
