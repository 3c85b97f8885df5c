#pragma once

// HTTP/2 on one connection, as a server or as a client (RFC 9113), over nghttp2. Owned by the
// connection's owner, same thread; see codec.h for the order of calls. `limits` are copied; the
// other parts outlive the codec, H2Memory included: one for each worker.
//
// The constructor puts the connection's preface into the wire's output.

#include <memory>

#include "http/codec.h"
#include "http/h2_allocator.h"

namespace outrigger::http {

class H2ServerSession;
class H2ClientSession;

class H2ServerCodec final : public ServerCodec {
 public:
  H2ServerCodec(Wire& wire, ServerEvents& events, const CodecLimits& limits,
                CodecCounters& counters, BlockPool& blocks, net::BufferPool& buffers,
                H2Memory& memory);
  ~H2ServerCodec() override;

  std::size_t feed(std::string_view bytes, std::uint64_t now_ms) override;
  // A client that has closed its sending side is gone: it could no longer update windows.
  void input_ended() override;
  void connection_lost(bool reset) override;
  void output_drained() override;
  void produce() override;
  void rest() override;
  // In two steps: a GOAWAY that excludes no stream, then, a round trip later, the final one.
  void drain() override;
  // Takes the second step now, without waiting for the PING acknowledgement that shows the round
  // trip.
  void stop_waiting() override;
  void end_stalled(std::uint64_t now_ms, std::uint64_t most_ms) override;
  bool output_queued() const override;
  Version version() const override { return Version::http2; }
  std::size_t open_streams() const override;
  bool receiving_head() const override;
  void head_late(std::string_view kept) override;
  void ping() override;
  std::uint64_t answered_pings() const override;
  std::uint64_t message_frames() const override;

 private:
  std::unique_ptr<H2ServerSession> session_;
};

class H2ClientCodec final : public ClientCodec {
 public:
  H2ClientCodec(Wire& wire, ClientEvents& events, const CodecLimits& limits,
                CodecCounters& counters, BlockPool& blocks, net::BufferPool& buffers,
                H2Memory& memory);
  ~H2ClientCodec() override;

  std::size_t feed(std::string_view bytes, std::uint64_t now_ms) override;
  void input_ended() override;
  void connection_lost(bool reset) override;
  void output_drained() override;
  void produce() override;
  void rest() override;
  void drain() override;
  Version version() const override { return Version::http2; }
  std::size_t open_streams() const override;
  bool receiving_head() const override;

  Stream& open(StreamSink& sink) override;
  std::size_t capacity() const override;
  void ping() override;
  std::uint64_t answered_pings() const override;
  std::uint64_t message_frames() const override;

 private:
  std::unique_ptr<H2ClientSession> session_;
};

}  // namespace outrigger::http
