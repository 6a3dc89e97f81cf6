// SPDX-License-Identifier: GPL-2.0-or-later
#include "hw/qemu/frames.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <thread>

namespace lockstep::hw::qemu {
namespace {

using Status = FrameStream::Status;

FrameStream::Deadline soon() {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(50);
}
FrameStream::Deadline later() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(30);
}

struct Pair {
  Pair() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    one = FrameStream(Fd(ends[0]));
    other = FrameStream(Fd(ends[1]));
  }
  FrameStream one, other;
};

TEST(Frames, MessagesKeepTheirBounds) {
  Pair pair;
  const std::string binary("\0\n\xff", 3);
  EXPECT_EQ(pair.one.send("", later()), Status::message);
  EXPECT_EQ(pair.one.send(binary, later()), Status::message);
  std::string message = "old";
  EXPECT_EQ(pair.other.receive(message, later()), Status::message);
  EXPECT_EQ(message, "");
  EXPECT_EQ(pair.other.receive(message, later()), Status::message);
  EXPECT_EQ(message, binary);
  EXPECT_EQ(pair.other.receive(message, soon()), Status::timeout);
}

TEST(Frames, APartIsKeptUntilTheRestComes) {
  Pair pair;
  const std::string whole("\x03\0\0\0abc", 7);
  ASSERT_EQ(::write(pair.one.descriptor(), whole.data(), 5), 5);
  std::string message;
  EXPECT_EQ(pair.other.receive(message, soon()), Status::timeout);
  ASSERT_EQ(::write(pair.one.descriptor(), whole.data() + 5, 2), 2);
  EXPECT_EQ(pair.other.receive(message, later()), Status::message);
  EXPECT_EQ(message, "abc");
}

TEST(Frames, ALargeMessageWaitsForItsReader) {
  Pair pair;
  const std::string large(4u << 20, 'x');
  EXPECT_EQ(pair.one.send(large, soon()), Status::timeout) << "nobody reads";
  Pair again;
  std::string message;
  std::thread reader([&] { EXPECT_EQ(again.other.receive(message, later()), Status::message); });
  EXPECT_EQ(again.one.send(large, later()), Status::message);
  reader.join();
  EXPECT_EQ(message, large);
}

TEST(Frames, AnEndThatIsGoneIsSeen) {
  Pair pair;
  pair.other = FrameStream();
  std::string message;
  EXPECT_EQ(pair.one.receive(message, later()), Status::closed);
  EXPECT_EQ(pair.one.send("x", later()), Status::closed);
}

TEST(Frames, APipeIsAStreamToo) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  FrameStream reader{Fd(ends[0])};
  FrameStream writer{Fd(ends[1])};
  EXPECT_EQ(writer.send("abc", later()), Status::message);
  std::string message;
  EXPECT_EQ(reader.receive(message, later()), Status::message);
  EXPECT_EQ(message, "abc");
}

TEST(Frames, ASizeThatNobodySendsEndsIt) {
  Pair pair;
  const std::string header("\xff\xff\xff\xff", 4);
  ASSERT_EQ(::write(pair.one.descriptor(), header.data(), header.size()), 4);
  std::string message;
  EXPECT_EQ(pair.other.receive(message, later()), Status::closed);
}

}  // namespace
}  // namespace lockstep::hw::qemu
