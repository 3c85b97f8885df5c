#pragma once

// Shared by both HTTP/2 codecs: nghttp2's session, the scanner in front of it, the streams, and the
// order in which things happen. Owned by its codec; no I/O and no clock; one thread.
//
// Input: feed() splits the bytes into frames. The scanner judges each header, nghttp2 gets the
// frame, and its callbacks only record what happened; once it has returned, dispatch() calls the
// sinks. So sinks may use any stream from inside their callbacks, and nghttp2 is never on the stack
// when they do. A field block is collected until it is complete and decoded here; nghttp2, which
// tracks stream states, is given an empty one in its place.
//
// Output: streams queue what they send and ask the wire for a produce() at the end of the turn.
// pump() lets nghttp2 make frames until it has none or the wire is full; DATA goes from the
// stream's queue into the wire's output without a copy in between. A large piece is framed at once
// from where it is, and so is a head: nghttp2 is given an empty list, and when its frame is due,
// ours takes its place. What pump() records (closed streams, drained queues) is reported only by
// dispatch() or produce(), since callbacks never come from inside a Stream's methods.
//
// The end: doom() records that the connection must end and why; terminate() writes GOAWAY, notifies
// all sinks and finishes the wire. Nothing is fed to nghttp2 after that.

#include <cstdint>
#include <optional>
#include <string_view>

#include "http/codec.h"
#include "http/h2_allocator.h"
#include "http/h2_frame_scanner.h"
#include "http/h2_head.h"
#include "http/h2_head_writer.h"
#include "http/h2_library.h"
#include "http/h2_stream.h"
#include "http/hpack_decoder.h"
#include "http/hpack_encoder.h"
#include "http/local_reply.h"

namespace outrigger::http {

// `draining`: no new streams; the wire is finished when the last one is gone. `over`: it is
// finished.
enum class H2Phase : std::uint8_t { open, draining, over };
enum class H2PhaseEvent : std::uint8_t { drain, end };
inline constexpr StateTable<H2Phase, H2PhaseEvent, 4> h2_phase_table{
    {{{H2Phase::open, H2PhaseEvent::drain, H2Phase::draining},
      {H2Phase::draining, H2PhaseEvent::drain, H2Phase::draining},
      {H2Phase::open, H2PhaseEvent::end, H2Phase::over},
      {H2Phase::draining, H2PhaseEvent::end, H2Phase::over}}}};

class H2Session {
 public:
  struct Parts {
    Wire& wire;
    const CodecLimits& limits;
    CodecCounters& counters;
    BlockPool& blocks;
    net::BufferPool& buffers;
    H2Memory& memory;
  };

  H2Session(bool server, const Parts& parts);
  H2Session(const H2Session&) = delete;
  H2Session& operator=(const H2Session&) = delete;
  virtual ~H2Session();

  // As in Codec.
  std::size_t feed(std::string_view bytes, std::uint64_t now_ms);
  void input_ended() { disconnected(true); }
  void connection_lost() { disconnected(false); }
  void output_drained();
  void produce();
  void rest();
  std::size_t open_streams() const { return stream_count_; }
  bool receiving_head() const { return scanner_.in_head(); }
  // A field block that does not end in time.
  void head_late();
  void ping();
  std::uint64_t answered_pings() const { return answered_pings_; }
  std::uint64_t message_frames() const { return scanner_.message_frames(); }

  // For streams.
  void send_interim(H2Stream& stream, const Head& head);
  void send_head(H2Stream& stream, const Head& head, bool end);
  void send_data(H2Stream& stream, std::string_view bytes, bool end);
  void send_trailers(H2Stream& stream, const Fields& fields);
  void reset(H2Stream& stream, StreamEnd reason);
  void pause(H2Stream& stream, bool paused);
  bool above_high(H2Stream& stream);
  std::size_t piece_max() const;
  void end_stalled(std::uint64_t now_ms, std::uint64_t most_ms);
  bool output_queued() const { return queued_ > 0; }

  // For nghttp2's callbacks.
  void on_begin_headers(const nghttp2_frame& frame);
  void on_data_chunk(std::int32_t id, std::string_view bytes);
  void on_frame_received(const nghttp2_frame& frame);
  void on_invalid_frame(const nghttp2_frame& frame);
  void on_frame_sent(const nghttp2_frame& frame);
  void on_frame_not_sent(const nghttp2_frame& frame);
  void on_stream_closed(std::int32_t id, std::uint32_t code);
  void on_send_data(H2Stream& stream, const nghttp2_frame& frame, std::string_view header);
  ssize_t on_read_data(H2Stream& stream, std::size_t room, std::uint32_t* flags);

 protected:
  // A client's new stream; only the server session makes one.
  virtual H2Stream* peer_opened(std::int32_t id) = 0;
  // The stream's first block is complete, or the next one while no final head has arrived.
  virtual void head_received(H2Stream& stream, bool end) = 0;
  // Tells nghttp2 that the stream's head is to be sent.
  virtual void submit_head(H2Stream& stream, const Head& head, bool end) = 0;
  virtual void write_head(H2HeadWriter& writer, const H2Stream& stream, const Head& head) = 0;
  virtual void settings_received() {}
  // GOAWAY.
  virtual void peer_retires() = 0;
  // No stream will ever be opened again; the open ones are about to end.
  virtual void ending() {}
  // Everything recorded has been reported; `freed`: streams have been freed.
  virtual void settled(bool freed) = 0;
  // The first bytes are queued in a stream.
  virtual void queueing() {}
  // A PING that ping() did not send was acknowledged; false: nobody sent it.
  virtual bool ping_answered(std::uint64_t /*opaque*/) { return false; }
  // The reason with which streams end when the connection does.
  virtual StreamEnd end_of_connection() const = 0;
  // Whether the wire may be finished, now that no stream is open.
  virtual bool may_finish() const = 0;

  H2Stream& make_stream(std::int32_t id, StreamSink* sink);
  H2Stream* find(std::int32_t id) const;
  // The peer broke the rules on one stream: RST_STREAM, and the sink gets `reason`. Too many of
  // these end the connection.
  void fault(H2Stream& stream, H2Error code, StreamEnd reason);
  void glitch();
  void end_stream(H2Stream& stream, H2Error code, StreamEnd reason);
  void rst(H2Stream& stream, H2Error code);
  // Responds without involving a sink.
  void answer(H2Stream& stream, const LocalReply& reply, Flag flag);
  // The user will not be called any more and will not call.
  void user_done(H2Stream& stream);
  // The peer's message is complete. If ours is too, a client's user is done.
  void received_end(H2Stream& stream);
  void doom(H2Error code, StreamEnd reason);
  void schedule() {
    if (!phase_.is(H2Phase::over)) wire_.want_write();
  }
  void pump();
  // Sends the head that has just been submitted, or keeps a copy until it can leave.
  void pump_head(H2Stream& stream, const Head& head);
  void submit_ping(std::uint64_t opaque);
  // The final GOAWAY: it names the last stream that was accepted.
  void submit_goaway();
  bool running() const { return !phase_.is(H2Phase::over) && !doom_; }
  IntrusiveList<H2Stream>& streams() { return streams_; }
  nghttp2_session* library() const { return library_.get(); }
  static nghttp2_data_provider provider_of(H2Stream& stream);

  const bool server_;
  Wire& wire_;
  const CodecLimits limits_;
  CodecCounters& counters_;
  BlockPool& blocks_;
  Machine<h2_phase_table> phase_{H2Phase::open};
  H2FrameScanner scanner_;
  H2HeadReader reader_;
  // Holds a decoded block that is read only during a callback.
  Arena block_arena_;
  Head block_head_;
  Fields block_trailers_;
  std::size_t heads_held_ = 0;
  // Nothing but the preface leaves until the peer's SETTINGS are known.
  bool hold_output_ = false;

 private:
  struct Event {
    H2Stream* stream = nullptr;
    bool block = false;  // a complete field block
    bool end = false;    // END_STREAM
    bool data = false;   // a complete DATA frame
    bool invalid = false;
    bool settings = false;
    bool goaway = false;
    std::string_view chunk;
  };
  struct Doom {
    H2Error code;
    StreamEnd reason;
  };

  bool step(std::string_view& rest);
  void receive(std::string_view bytes);
  void feed_library(std::string_view bytes);
  void take_block(std::string_view payload);
  bool unpad(std::string_view& payload);
  void block_whole(std::string_view block);
  bool decode(std::string_view block);
  H2FrameScanner::StreamView view(std::uint32_t id) const;
  bool accept(const H2FrameScanner::Verdict& verdict);
  void dispatch();
  void pong_received(const std::uint8_t* opaque);
  void block_received(H2Stream& stream, bool end);
  void trailers_received(H2Stream& stream, bool end);
  void data_received(H2Stream& stream, std::string_view bytes, bool end);
  void settle();
  void tell_drained();
  void tell_closed(H2Stream& stream);
  void terminate();
  void end_all(StreamEnd reason, bool output_lost);
  bool head_in_output(const H2Stream& stream) const;
  void disconnected(bool orderly);
  void finish_if_done();
  void free_stream(H2Stream& stream);
  bool pump_frame();
  void block_due(const nghttp2_frame& frame);
  void enqueue(H2Stream& stream, std::string_view bytes);
  bool is_shut(const H2Stream& stream) const;
  void discard_queue(H2Stream& stream);
  void cut_requests();
  void unpark(H2Stream& stream);
  void give_back(std::size_t received);
  void took_from_queue(H2Stream& stream, std::size_t count);
  void wake(H2Stream& stream);
  bool writable(const H2Stream& stream) const;

  net::BufferPool& buffers_;
  H2Memory& memory_;
  TokenBucket own_resets_;
  TokenBucket glitches_;
  void* stream_table_ = nullptr;  // nghttp2's, see H2Memory
  HpackEncoder encoder_;
  HpackDecoder decoder_;
  net::Buffer block_;            // a field block that arrives in pieces
  H2FrameHeader block_headers_;  // of the HEADERS frame that began it
  H2SessionPtr library_;
  IntrusiveList<H2Stream> streams_;
  IntrusiveList<H2Stream, H2ClosedTag> closed_;
  IntrusiveList<H2Stream, H2DrainedTag> drained_;
  IntrusiveList<H2Stream, H2EarlyTag> early_;  // answered before the request has ended
  std::size_t stream_count_ = 0;
  std::size_t queued_ = 0;    // memory held by all streams' queues
  std::size_t parked_ = 0;    // sum of all streams' `unconsumed`
  std::size_t withheld_ = 0;  // bytes received but not yet returned to the connection's window
  std::size_t blocked_controls_ = 0;  // frames other than DATA written while the wire was full
  std::uint64_t now_ms_ = 0;
  H2Stream* block_stream_ = nullptr;
  Event event_;
  std::optional<Doom> doom_;
  bool freed_ = false;
  std::uint64_t sent_pings_ = 0;  // by ping(); each carries its number
  std::uint64_t answered_pings_ = 0;
  bool goaway_sent_ = false;
  bool data_in_frame_ = false;  // the current DATA frame has carried data
  bool block_written_ = false;  // instead of the frame that nghttp2 is handing out
  bool library_ended_ = false;  // it has written its own GOAWAY
  bool reading_paused_ = false;
};

}  // namespace outrigger::http
