// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/frames.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>

namespace lockstep::hw::qemu {
namespace {

constexpr std::size_t header_bytes = 4;

std::size_t size_in(std::string_view header) {
  std::size_t size = 0;
  for (std::size_t i = header_bytes; i-- > 0;) {
    size = size << 8 | static_cast<unsigned char>(header[i]);
  }
  return size;
}

/// Whether the stream got ready for the events before the deadline.
FrameStream::Status wait_for(int fd, short events, FrameStream::Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd polled{fd, events, 0};
    const auto most = std::clamp<std::chrono::milliseconds::rep>(left.count(), 0, INT_MAX);
    const int ready = ::poll(&polled, 1, static_cast<int>(most));
    if (ready > 0) return FrameStream::Status::message;
    if (ready == 0) return FrameStream::Status::timeout;
    if (errno != EINTR) return FrameStream::Status::closed;
  }
}

}  // namespace

FrameStream::FrameStream(Fd stream) : stream_(std::move(stream)) {
  const int flags = ::fcntl(stream_.get(), F_GETFL);
  if (flags >= 0) ::fcntl(stream_.get(), F_SETFL, flags | O_NONBLOCK);
  struct stat status = {};
  is_socket_ = ::fstat(stream_.get(), &status) == 0 && S_ISSOCK(status.st_mode);
}

FrameStream::Status FrameStream::send(std::string_view message, Deadline deadline) {
  if (message.size() > most_bytes) return Status::closed;
  std::string frame;
  frame.reserve(header_bytes + message.size());
  for (std::size_t i = 0; i < header_bytes; ++i) {
    frame += static_cast<char>(message.size() >> (8 * i) & 0xffu);
  }
  frame += message;
  for (std::size_t sent = 0; sent < frame.size();) {
    const char* const rest = frame.data() + sent;
    const std::size_t left = frame.size() - sent;
    // No SIGPIPE where the other end is gone. The guest's kernel knows no sockets.
    const ssize_t size = is_socket_ ? ::send(stream_.get(), rest, left, MSG_NOSIGNAL)
                                    : ::write(stream_.get(), rest, left);
    if (size > 0) {
      sent += static_cast<std::size_t>(size);
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size == 0 || errno != EAGAIN) return Status::closed;
    const auto ready = wait_for(stream_.get(), POLLOUT, deadline);
    if (ready != Status::message) return ready;
  }
  return Status::message;
}

FrameStream::Status FrameStream::receive(std::string& message, Deadline deadline) {
  for (;;) {
    if (buffer_.size() >= header_bytes) {
      const std::size_t size = size_in(buffer_);
      if (size > most_bytes) return Status::closed;
      if (buffer_.size() >= header_bytes + size) {
        message = buffer_.substr(header_bytes, size);
        buffer_.erase(0, header_bytes + size);
        return Status::message;
      }
    }
    std::array<char, 65536> bytes;
    const ssize_t size = ::read(stream_.get(), bytes.data(), bytes.size());
    if (size > 0) {
      buffer_.append(bytes.data(), static_cast<std::size_t>(size));
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size == 0 || errno != EAGAIN) return Status::closed;
    const auto ready = wait_for(stream_.get(), POLLIN, deadline);
    if (ready != Status::message) return ready;
  }
}

}  // namespace lockstep::hw::qemu
