// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/engine_factory.h"

#include <fmt/format.h>

#include "hw/hosted/build/prepare.h"
#include "hw/hosted/open.h"
#include "hw/kvm/engine.h"
#include "hw/qemu/names.h"
#include "hw/qemu/prepare.h"
#include "props/hosted_parallel_engine.h"
#include "props/impl_engine.h"
#include "props/spec_engine.h"

namespace lockstep::props {
namespace {

Result<std::unique_ptr<Engine>> make_hosted(std::string_view name) {
  const auto image = hw::hosted::prepare_hosted(name, {});
  if (!image) return tl::unexpected(EngineError{image.error().message});
  if (runs_blocks_on_hosted(name)) return open_parallel_hosted(*image, std::string(name));
  return hw::open_hosted_engine(*image, std::string(name));
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(std::string_view name, std::uint64_t seed) {
  if (name == "spec") return std::make_unique<SpecEngine>(seed, machine_models());
  if (name == "impl") return make_impl_engine();
  if (name == "kvm") return hw::open_kvm_engine();
  if (hw::parse_hosted_name(name)) return make_hosted(name);
  if (hw::parse_qemu_name(name)) return hw::qemu::open_qemu_engine(name);
  return tl::unexpected(EngineError{unknown_engine(name).value_or("no such engine")});
}

tl::expected<void, PrepareError> prepare_engine(
    std::string_view name, const std::function<void(std::string_view)>& progress) {
  const auto failed = [](const hw::kernels::KernelError& error) {
    return tl::unexpected(
        PrepareError{error.message, error.cause == hw::kernels::KernelError::Cause::input});
  };
  if (hw::parse_qemu_name(name)) {
    const auto kernel = hw::qemu::prepare_debug_kernel(name, progress);
    if (!kernel) return failed(kernel.error());
  }
  if (hw::parse_hosted_name(name)) {
    const auto image = hw::hosted::prepare_hosted(name, progress);
    if (!image) return failed(image.error());
  }
  return {};
}

}  // namespace lockstep::props
