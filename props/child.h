// SPDX-License-Identifier: GPL-2.0-or-later
/// A forked process that may die: messages over a socket, what it wrote to
/// stderr, and shared words that survive it.
#pragma once

#include <sys/types.h>
#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace lockstep::props {

/// Owns a file descriptor.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

/// One end of a stream socket that carries whole messages.
class Channel {
 public:
  explicit Channel(Descriptor fd) : fd_(std::move(fd)) {}

  /// False if the other end is gone.
  bool send(std::string_view message);

  enum class Status { message, closed, timeout };
  /// Wait until a whole message is there; none of the past is lost on timeout.
  Status receive(std::string& message, std::chrono::steady_clock::time_point deadline);

  int descriptor() const { return fd_.get(); }

 private:
  Descriptor fd_;
  std::string buffer_;
};

/// A child process. Destruction kills and reaps it.
class Child {
 public:
  /// Fork; the child runs `body` and leaves by _exit(0). It ignores SIGINT (the
  /// parent decides), dies with its parent and leaves no core file.
  static tl::expected<Child, std::string> start(const std::function<void(Channel&)>& body);

  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child();

  Channel& channel() { return channel_; }
  /// Processor time that it has used, all threads; 0 once it has ended.
  std::chrono::nanoseconds processor_time() const;
  /// SIGKILL if it still runs, and reap.
  void end();
  /// "signal 11 (Segmentation fault)", "exit status 1"; after end() of a child
  /// that had died by itself.
  std::string how() const;
  /// Someone else ended it (SIGKILL, as for want of memory, or SIGTERM): that
  /// says nothing about what it was running.
  bool killed() const;
  /// A signal ended it that somebody in it has caused.
  bool crashed() const;
  /// Its body threw: that is no crash of what it was running.
  bool threw() const;
  /// It sleeps: it does not wait for a processor that others have.
  bool asleep() const;
  /// The end of what it wrote to stderr, a few lines.
  std::string last_words() const;

 private:
  Child(pid_t pid, Channel channel, Descriptor words);
  pid_t pid_ = -1;
  int status_ = 0;
  Channel channel_;
  Descriptor words_;
};

/// An object in anonymous shared memory, seen by children forked later.
template <typename T>
class SharedObject;

/// Maps or unmaps pages for SharedObject; null if the kernel refuses.
void* map_shared(std::size_t size);
void unmap_shared(void* address, std::size_t size);

template <typename T>
class SharedObject {
 public:
  SharedObject() : object_(nullptr) {
    if (void* memory = map_shared(sizeof(T))) object_ = new (memory) T();
  }
  SharedObject(SharedObject&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  SharedObject& operator=(SharedObject&& other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~SharedObject() {
    if (object_ != nullptr) unmap_shared(object_, sizeof(T));
  }
  explicit operator bool() const { return object_ != nullptr; }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }

 private:
  T* object_;
};

}  // namespace lockstep::props
