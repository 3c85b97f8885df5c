#pragma once

// A codec: one connection's protocol without I/O and without clocks. Bytes are fed in and come out
// as calls of StreamSinks; output goes through the Wire. Owned by the connection's owner, same
// thread. A codec must not be destroyed from inside one of its callbacks: use Loop::retire().

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/metric_cells.h"
#include "http/stream.h"
#include "http/upgrades.h"
#include "net/buffer.h"

namespace outrigger::http {

// What a codec needs from its connection.
class Wire {
 public:
  virtual net::Buffer& output() = 0;
  // Sends output() now, or at the end of the turn with everything else.
  virtual void flush() = 0;
  virtual void flush_soon() = 0;
  // Requests Codec::produce() and a flush at the end of this turn, once however often it is called.
  virtual void want_write() = 0;
  // Sends output() and then `bytes` without copying what leaves at once.
  virtual void write_through(std::string_view bytes) = 0;
  // How often output() has been written so far: what was appended since then has not been sent.
  virtual std::uint32_t writes() const = 0;
  // Bytes not yet taken by the kernel; and whether they are above the connection's high watermark.
  virtual std::size_t unsent() const = 0;
  virtual bool above_high() const = 0;
  virtual void pause_reading(bool paused) = 0;
  // feed() again with the bytes it did not consume, at the end of this turn.
  virtual void redeliver() = 0;
  // The protocol is over: sends what is left, then FIN, then lingers. No feed() follows.
  virtual void finish() = 0;
  // The same without lingering: the peer has said that it sends nothing more, and it has not.
  virtual void finish_at_once() = 0;
  // FIN after what is left; input goes on (tunnels).
  virtual void end_output() = 0;
  // For the codec's own answers: Loop::http_date(). Empty if the time is not known.
  virtual std::string_view date() { return {}; }
  // Closes at once, with RST if the peer must not consider what it got complete. Nothing follows.
  virtual void abort(bool reset) = 0;

 protected:
  ~Wire() = default;
};

// Limits of one connection. Defaults are for peers that have not authenticated; see
// raise_for_trusted().
struct CodecLimits {
  std::size_t head_bytes = 60 * 1024;
  std::size_t head_fields = 100;
  std::size_t cookie_crumbs = 256;     // HTTP/2: cookie fields beside the hundred
  std::size_t field_bytes = 8 * 1024;  // name + value
  std::size_t name_bytes = 256;
  std::size_t line_bytes = 8 * 1024;  // request line
  std::size_t trailer_bytes = 8 * 1024;
  std::size_t trailer_fields = 32;
  std::size_t chunk_extension_bytes = 256;
  std::size_t chunk_overhead = 100 * 1024;  // framing beyond a tenth of the data
  std::size_t drain_bytes = 64 * 1024;      // rest of a request whose answer is already sent
  std::size_t upgrade_hold = 16 * 1024;     // client bytes kept until 101
  // What a server lets requests switch to; never null.
  const Upgrades* upgrades = &Upgrades::standard();

  std::size_t stream_high = 256 * 1024;  // queued to send, per stream
  std::size_t stream_low = 64 * 1024;

  // HTTP/2
  std::uint32_t streams = 100;
  std::uint32_t stream_window = 64 * 1024;
  std::uint32_t connection_window = 1024 * 1024;
  std::uint32_t new_streams_per_feed = 100;
  std::size_t queued_control_frames = 1000;
  std::size_t ping_burst = 200, ping_rate = 100;    // a second; SETTINGS count here too
  std::size_t reset_burst = 1000, reset_rate = 33;  // RST_STREAM received
  std::size_t own_reset_burst = 200,
              own_reset_rate = 20;                      // RST_STREAM sent for the peer's errors
  std::size_t glitch_burst = 10000, glitch_rate = 330;  // irregularities that are tolerated
  std::size_t settings_per_frame = 32;
  std::size_t continuations = 8;
  std::size_t empty_frames = 1;
  std::size_t interims = 64;  // 1xx answers to one request
  // All streams together: bytes queued beyond which every stream is above its watermark, and heads
  // held beyond which new streams are refused.
  std::size_t connection_queue = 512 * 1024;
  std::size_t connection_heads = 1024 * 1024;
  // Bytes delivered to waiting streams for which the connection's window is opened again all the
  // same. Beyond that, they count against the window: no client can hold more than both together.
  std::size_t parked = 0;
  // Of a client connection: the last stream id it may use before it retires.
  std::uint32_t stream_id_max = 0x7fffffff;

  void raise_for_trusted() {
    streams = 1024;
    stream_window = 256 * 1024;
    new_streams_per_feed = 1024;
    connection_queue = 4 * 1024 * 1024;
    connection_heads = 16 * 1024 * 1024;
    parked = 8 * 1024 * 1024;
  }
};

// Counters of all codecs of a worker; exported by telemetry.
struct CodecCounters {
  Counter malformed;  // messages refused as malformed
  Counter too_large;  // heads, fields and trailers beyond the limits
  Counter floods;     // connections closed for abuse
  Counter twins;      // fields dropped because their name could be mistaken for another: is_twin()
  Counter glitches;   // irregularities of peers that were tolerated
  Counter resets_received;
  Counter resets_sent;
  Counter goaways_received;
  Counter goaways_sent;
  Counter refused;             // streams of a client beyond what it may have open, or in heads
  Counter stalled;             // streams reset because their windows stayed shut
  Counter keepalive_pings;     // sent because a peer was silent
  Counter keepalive_timeouts;  // connections closed because nothing arrived after it
};

class Codec {
 public:
  virtual ~Codec() = default;

  // Bytes from the peer. Returns how many were consumed; the rest must be fed again, with more
  // behind it or after Wire::redeliver(). `now_ms`: any monotonic clock in milliseconds, for rate
  // limits.
  virtual std::size_t feed(std::string_view bytes, std::uint64_t now_ms) = 0;
  // The peer has finished sending. Streams that depended on more end.
  virtual void input_ended() = 0;
  // The peer has finished sending, and reading is paused: at most this many bytes come before the
  // end. Streams that depend on more end already.
  virtual void input_ends_within(std::size_t /*most*/) {}
  // The connection is dead: all streams end, with no more output. `reset`: with an error, not a
  // close.
  virtual void connection_lost(bool reset) = 0;
  // Wire::unsent() has fallen below the low watermark.
  virtual void output_drained() = 0;
  // End of the turn: appends the output for which Wire::want_write() was called. A codec that
  // writes at once never calls it. May call back into sinks and the Wire, as feed() may.
  virtual void produce() {}
  // Nothing has moved for a moment, and nothing may move for an hour: releases what it can.
  virtual void rest() {}
  // No new streams: GOAWAY, or Connection: close on the next answer. Open ones continue. When none
  // is left, the codec calls Wire::finish().
  virtual void drain() = 0;
  // The drain has waited long enough for the peer.
  virtual void stop_waiting() {}
  virtual Version version() const = 0;
  virtual std::size_t open_streams() const = 0;
  // A request's head has begun to arrive and is not complete yet: the header deadline runs.
  virtual bool receiving_head() const = 0;
  // HTTP/2, for liveness: a PING; how many were answered; and how many HEADERS and DATA frames have
  // come. Nothing in HTTP/1.
  virtual void ping() {}
  virtual std::uint64_t answered_pings() const { return 0; }
  virtual std::uint64_t message_frames() const { return 0; }
  // What is open is a tunnel or gRPC over HTTP/1, whose reader may take its time.
  virtual bool reader_may_stall() const { return false; }
  // HTTP/2: resets the streams whose windows have been shut for at least `most_ms`, with output
  // waiting, since a call found them so. Tunnels and gRPC streams may take their time. `now_ms`:
  // the clock of feed().
  virtual void end_stalled(std::uint64_t /*now_ms*/, std::uint64_t /*most_ms*/) {}
  // Output waits in streams: end_stalled() should be called now and then.
  virtual bool output_queued() const { return false; }
};

// A request that never reached a sink: the codec has answered it, or ended its stream.
struct Refusal {
  int status = 0;  // as the client sees it; 0: no answer, the stream or the connection ended
  int grpc_status = -1;
  std::uint64_t bytes_out = 0;  // of the answer's body
  const Head& head;             // what is known of the request; any part may be empty
};

class ServerEvents {
 public:
  // A request begins; on_head() of the returned sink follows at once. Never null.
  virtual StreamSink& on_stream(Stream& stream) = 0;
  // A request was refused; valid during the call only. The codec takes care of the connection.
  virtual void on_refused(const Refusal&) {}
  // Output has begun to wait in a stream: Codec::output_queued().
  virtual void on_output_queued() {}
  // The last open stream is gone.
  virtual void on_idle() = 0;

 protected:
  ~ServerEvents() = default;
};

// A server codec answers malformed requests itself (400, 431, 417, 505, GOAWAY), reports them by
// on_refused(), and finishes the wire.
class ServerCodec : public Codec {
 public:
  // The head that has begun to arrive (receiving_head()) takes too long: 408, or GOAWAY. `kept`:
  // what has been fed and not consumed.
  virtual void head_late(std::string_view kept) = 0;
};

class ClientEvents {
 public:
  // A stream has closed or the peer's limits have changed: room for more, or idle.
  virtual void on_capacity() = 0;
  // No stream can ever be opened on this connection again (GOAWAY, Connection: close, an error).
  // Open ones may continue. Called once.
  virtual void on_retiring() = 0;

 protected:
  ~ClientEvents() = default;
};

class ClientCodec : public Codec {
 public:
  // REQUIRES: capacity() > 0. Call send_head() on it before returning to the loop.
  virtual Stream& open(StreamSink& sink) = 0;
  // How many streams could be opened now: 0 or 1 in HTTP/1.
  virtual std::size_t capacity() const = 0;
  // How many bytes the open stream's sink wants at once. 0: it has just paused the stream.
  virtual std::size_t read_max() { return any_piece; }
  // HTTP/1: the peer's first bytes were HTTP/2's.
  virtual bool met_http2() const { return false; }
};

}  // namespace outrigger::http
