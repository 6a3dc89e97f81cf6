// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/prepare.h"

#include <fmt/format.h>

#include <map>
#include <system_error>

#include "hw/kernels/cache.h"
#include "hw/kernels/source.h"
#include "hw/kernels/tree.h"
#include "hw/qemu/archive.h"
#include "hw/qemu/engine.h"
#include "hw/qemu/names.h"

namespace lockstep::hw::qemu {
namespace fs = std::filesystem;

kernels::Result<fs::path> prepare_initramfs(const kernels::Cache& cache) {
  auto agent = kernels::read_file(LOCKSTEP_GUEST_AGENT);
  if (!agent) return tl::unexpected(agent.error());
  const auto archive = initramfs(*std::move(agent));
  const auto path = cache.images() / fmt::format("guest-{}.cpio", kernels::content_key(archive));
  std::error_code error;
  if (fs::exists(path, error)) return path;
  fs::create_directories(path.parent_path(), error);
  if (auto written = kernels::write_file(path, archive); !written) {
    return tl::unexpected(written.error());
  }
  return path;
}

kernels::Result<DebugKernel> prepare_debug_kernel(std::string_view name,
                                                  const kernels::Progress& progress) {
  static std::map<std::string, DebugKernel, std::less<>> prepared;
  const auto wanted = parse_qemu_name(name);
  if (!wanted) {
    return kernels::input_error(fmt::format("'{}' is no qemu engine; write qemu:6.1", name));
  }
  if (const auto found = prepared.find(wanted->kernel); found != prepared.end()) {
    return found->second;
  }
  if (auto reason = lacks_qemu(); !reason.empty()) return kernels::machine_error(reason);
  const auto cache = kernels::Cache::standard();
  if (!cache) return tl::unexpected(cache.error());
  const auto tree = kernels::find_tree(*cache, wanted->kernel);
  if (!tree) return tl::unexpected(tree.error());
  if (tree->built) {
    return kernels::input_error(
        fmt::format("{} was built in place, and kbuild builds no second kernel from such a tree: "
                    "make mrproper there first",
                    tree->path.string()));
  }
  const auto source = kernels::plain_source(*cache, *tree, progress);
  if (!source) return tl::unexpected(source.error());
  if (progress && !is_built(*cache, *source)) {
    progress(fmt::format("building a debug kernel of linux {}: minutes, once", tree->release));
  }
  auto kernel = build_debug_kernel(*cache, *source, progress);
  if (kernel) prepared.emplace(wanted->kernel, *kernel);
  return kernel;
}

lockstep::Result<std::unique_ptr<Engine>> open_qemu_engine(std::string_view name) {
  const auto wanted = parse_qemu_name(name);
  if (!wanted || !wanted->mode) {
    return tl::unexpected(EngineError{
        fmt::format("'{}' names no mode; write {}", name, qemu_name(QemuMode::tdp_mmu, "6.1"))});
  }
  auto kernel = prepare_debug_kernel(name, {});
  if (!kernel) return tl::unexpected(EngineError{kernel.error().message});
  const auto cache = kernels::Cache::standard();
  if (!cache) return tl::unexpected(EngineError{cache.error().message});
  auto initramfs = prepare_initramfs(*cache);
  if (!initramfs) return tl::unexpected(EngineError{initramfs.error().message});
  return open_booted({.name = std::string(name),
                      .mode = *wanted->mode,
                      .kernel = *std::move(kernel),
                      .initramfs = *std::move(initramfs)});
}

lockstep::Result<std::unique_ptr<Engine>> open_booted(EngineOptions options) {
  auto engine = QemuEngine::open(std::move(options));
  if (!engine) return tl::unexpected(engine.error());
  return std::move(*engine);
}

}  // namespace lockstep::hw::qemu
