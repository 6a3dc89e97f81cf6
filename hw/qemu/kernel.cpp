// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/kernel.h"

#include <fmt/format.h>

#include <algorithm>

#include "hw/kernels/cache.h"

namespace lockstep::hw::qemu {
namespace fs = std::filesystem;
namespace {

constexpr const char* image_name = "vmlinux";

/// KVM and what it needs, in the order in which they load. Kernels have the first
/// built in from time to time.
constexpr const char* module_names[] = {"virt/lib/irqbypass.ko", "arch/x86/kvm/kvm.ko",
                                        "arch/x86/kvm/kvm-amd.ko"};

kernels::Result<DebugKernel> made(const kernels::Build& build, const fs::path& image) {
  DebugKernel kernel{image, {}, build.source().tree.release};
  std::error_code error;
  for (const char* name : module_names) {
    const auto module = build.folder() / name;
    if (fs::exists(module, error)) kernel.modules.push_back(module);
  }
  if (kernel.modules.empty() || kernel.modules.back().filename() != "kvm-amd.ko") {
    return kernels::machine_error(
        fmt::format("{}: kbuild made no kvm-amd.ko", build.folder().string()));
  }
  return kernel;
}

}  // namespace

kernels::Result<kernels::Flavour> debug_flavour() {
  kernels::Flavour flavour;
  flavour.name = "debug";
  for (const char* name : {"machine.config", "checks.config"}) {
    auto text = kernels::read_file(fs::path(LOCKSTEP_SOURCE_DIR) / "hw/qemu" / name);
    if (!text) return tl::unexpected(text.error());
    flavour.fragments.push_back(*std::move(text));
  }
  // Both run at the PVH entry, before KASAN has a shadow.
  flavour.variables = {"KASAN_SANITIZE_string.o=n", "KASAN_SANITIZE_enlighten.o=n"};
  return flavour;
}

kernels::Result<DebugKernel> build_debug_kernel(const kernels::Cache& cache,
                                                const kernels::Source& source,
                                                const kernels::Progress& progress) {
  auto flavour = debug_flavour();
  if (!flavour) return tl::unexpected(flavour.error());
  auto build = kernels::Build::open(cache, source, *std::move(flavour), progress);
  if (!build) return tl::unexpected(build.error());
  if (auto done = build->make({image_name, "modules"}, progress); !done) {
    return tl::unexpected(done.error());
  }
  return made(*build, build->folder() / image_name);
}

kernels::Result<DebugKernel> build_debug_modules(const kernels::Cache& cache,
                                                 const kernels::Source& source,
                                                 const DebugKernel& base,
                                                 const kernels::Progress& progress) {
  auto flavour = debug_flavour();
  if (!flavour) return tl::unexpected(flavour.error());
  auto build = kernels::Build::open(cache, source, *std::move(flavour), progress);
  if (!build) return tl::unexpected(build.error());
  if (auto done = build->make({"modules"}, progress); !done) return tl::unexpected(done.error());
  return made(*build, base.image);
}

std::optional<std::string> image_file(const std::vector<std::string>& changed) {
  const auto of_modules = [](const std::string& name) {
    // What is configured may be built into the image.
    const auto file = fs::path(name).filename().string();
    if (file.starts_with("Kconfig") || file == "Makefile" || file == "Kbuild") return false;
    for (const char* folder : {"arch/x86/kvm/", "virt/kvm/", "Documentation/", "tools/testing/"}) {
      if (name.starts_with(folder)) return true;
    }
    const auto base = fs::path(name).filename().string();
    const bool header = base.ends_with(".h") && name.find("include/") != std::string::npos;
    return header && base.starts_with("kvm");
  };
  const auto found = std::ranges::find_if_not(changed, of_modules);
  if (found == changed.end()) return std::nullopt;
  return *found;
}

bool is_built(const kernels::Cache& cache, const kernels::Source& source) {
  const auto flavour = debug_flavour();
  if (!flavour) return false;
  std::error_code error;
  const auto folder = cache.build(fmt::format("{}-{}", source.key, flavour->key()));
  return fs::exists(folder / image_name, error) &&
         fs::exists(folder / "arch/x86/kvm/kvm-amd.ko", error);
}

}  // namespace lockstep::hw::qemu
