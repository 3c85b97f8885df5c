#pragma once

// One exchange's end at a codec, the same for HTTP/1 and HTTP/2, client and server. A codec turns
// bytes into calls of a StreamSink and calls of a Stream into bytes; the proxy holds a server
// Stream and a client Stream and is the sink of both. One thread.
//
// Server side, in order:  on_head  on_data*  [on_trailers]      (the request; `end` marks its end)
//                         send_interim*  send_head  send_data*  [send_trailers]      (the answer)
// Client side, in order:  send_head  send_data*  [send_trailers]
//                         on_interim*  on_head  on_data*  [on_trailers]
//
// How it ends. A message ends with `end` on its last call, or with trailers. For a server stream's
// user the stream is over when it has sent the answer's end: no callback follows, the pointer is
// dead (the codec drains what is left of the request by itself). For a client stream's user it is
// over when both ends have passed: the request's sent, the answer's received. An answer that ends
// before the request has: send the rest or reset(). The other way out is on_reset(), once and last,
// or calling reset(): nothing follows either. The codec frees a stream only after the callback or
// call that ended it has returned; callbacks never come from inside a Stream's own methods.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

#include "http/head.h"

namespace outrigger::http {

// Why a stream ended early. Feeds retries, metrics and logs alike.
enum class StreamEnd : std::uint8_t {
  complete,
  refused,     // REFUSED_STREAM, or beyond the last stream of a GOAWAY: surely not processed
  cancelled,   // the peer gave up: RST_STREAM CANCEL, or a downstream connection that went away
  peer_reset,  // RST_STREAM with any other code
  connection_lost,  // the connection ended in the middle of the answer, or before it on a fresh one
  wrong_version,    // it speaks the other version of HTTP and has processed nothing
  no_tunnel,        // the server's HTTP/2 has no extended CONNECT: nothing of the request was sent
  head_refused,     // the server's SETTINGS allow no head of this size: nothing of it was sent
  stale,            // a reused HTTP/1 connection ended before the first byte of the answer
  protocol_error,   // the peer violated the protocol
  too_large,        // head or field beyond the limits
  flood,            // the connection was closed for abuse
  idle,             // nothing moved for too long
  local,            // reset() by this side
};
const char* to_string(StreamEnd end);

inline constexpr std::size_t any_piece = std::numeric_limits<std::size_t>::max();

class StreamSink {
 public:
  // Server: the request's head, valid until the stream is over. Client: the answer's, valid during
  // the call only. May be edited in place.
  virtual void on_head(Head& head, bool end) = 0;
  // Client: a 1xx other than 101. Server: never.
  virtual void on_interim(Head& head) = 0;
  // Bytes of the body (of the tunnel, after 101 or CONNECT), decoded; valid during the call only.
  // May be empty when `end`.
  virtual void on_data(std::string_view bytes, bool end) = 0;
  // Ends the message. Valid during the call only.
  virtual void on_trailers(Fields& trailers) = 0;
  // The stream ended early; the last callback.
  virtual void on_reset(StreamEnd reason) = 0;
  // What was sent has drained: above_high() has been true and unsent bytes fell below the low
  // watermark.
  virtual void on_drained() = 0;
  // How many bytes of the body are welcome at once; asked before each read of HTTP/1, where no
  // window keeps the peer from sending. 0 when it has just paused the stream.
  virtual std::size_t piece_max() { return any_piece; }

 protected:
  ~StreamSink() = default;
};

class Stream {
 public:
  // Server only; 1xx other than 101.
  virtual void send_interim(const Head& head) = 0;
  // Writes the head; reads it during the call only. Without content_length and without `end` the
  // body is chunked (HTTP/1.1) or ends with the connection (1.0).
  virtual void send_head(const Head& head, bool end) = 0;
  // Accepts all bytes, whatever the watermarks; copies what cannot be sent at once. Stop when
  // above_high().
  virtual void send_data(std::string_view bytes, bool end) = 0;
  virtual void send_trailers(const Fields& trailers) = 0;
  // Ends the stream early: RST_STREAM with the code that fits `reason`, or, in HTTP/1, the end of
  // the connection (a truncated message must look truncated).
  virtual void reset(StreamEnd reason) = 0;

  // Pauses and resumes input. Data already on its way may still arrive after pausing: at most one
  // read (HTTP/1) or one flow-control window (HTTP/2).
  virtual void pause(bool paused) = 0;
  // More is queued than the high watermark allows; on_drained() follows.
  virtual bool above_high() const = 0;
  // How many bytes send_data() should be given at once. Few, if this stream's connection already
  // holds a lot for its other streams, since a hundred pieces add up. 0 is like above_high().
  virtual std::size_t piece_max() const { return any_piece; }

 protected:
  ~Stream() = default;
};

}  // namespace outrigger::http
