// SPDX-License-Identifier: GPL-2.0-or-later
#include "props/engine_factory.h"

#include <fmt/format.h>

#include "hw/hosted/build/prepare.h"
#include "hw/hosted/open.h"
#include "hw/kvm/engine.h"
#include "props/impl_engine.h"
#include "props/spec_engine.h"

namespace lockstep::props {
namespace {

Result<std::unique_ptr<Engine>> make_hosted(std::string_view name) {
  const auto image = hw::hosted::prepare_hosted(name, {});
  if (!image) return tl::unexpected(EngineError{image.error().message});
  return hw::open_hosted_engine(*image, std::string(name));
}

}  // namespace

Result<std::unique_ptr<Engine>> make_engine(std::string_view name, std::uint64_t seed) {
  if (name == "spec") return std::make_unique<SpecEngine>(seed, machine_models());
  if (name == "impl") return make_impl_engine();
  if (name == "kvm") return hw::open_kvm_engine();
  if (hw::parse_hosted_name(name)) return make_hosted(name);
  return tl::unexpected(EngineError{unknown_engine(name).value_or("no such engine")});
}

tl::expected<void, PrepareError> prepare_engine(
    std::string_view name, const std::function<void(std::string_view)>& progress) {
  if (!hw::parse_hosted_name(name)) return {};
  const auto image = hw::hosted::prepare_hosted(name, progress);
  if (image) return {};
  return tl::unexpected(PrepareError{
      image.error().message, image.error().cause == hw::kernels::KernelError::Cause::input});
}

}  // namespace lockstep::props
