#pragma once

// One connection: a channel, perhaps a transport, and the bytes waiting in both directions. It
// reads when told that there is something to read and hands the plain bytes to its handler; what
// the handler writes leaves at once or at the end of the turn. Owned by the code that speaks the
// protocol on it; one thread; dies through Loop::retire().
//
//   connection.start(handler)   -> on_open(): at once in plain text, after the handshake with TLS
//   bytes arrive                -> on_bytes(), again and again
//   the peer ends its side      -> on_end_of_input(), at most once
//   output() << …, flush()      -> on_drained() when the output falls from above high to below low
//   finish(), kill(), peer gone -> on_closed(reason), exactly once and last
//
// Its life is one state machine, `connection_life`. Every end goes through end_life(), which closes
// the channel; calls to a connection that has ended do nothing.
//
// A connection on which nothing moves for a moment holds no buffer, neither here nor in the
// transport. abort() ends it without a callback. No callback comes from inside a method called by
// the handler.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/state_table.h"
#include "base/time.h"
#include "net/channel.h"
#include "net/loop.h"
#include "net/pipe.h"
#include "net/transport.h"

namespace outrigger::net {

enum class CloseReason : std::uint8_t {
  finished,        // we closed, everything was sent
  peer_closed,     // the peer ended its side (and we were done)
  peer_reset,      // ECONNRESET, EPIPE
  connect_failed,  // refused, unreachable
  connect_timeout,
  handshake_failed,  // see transport()->failure()
  handshake_timeout,
  tls_failed,     // a broken record after the handshake
  io_error,       // any other errno
  aborted,        // abort()
  timed_out,      // the peer's host acknowledges nothing any more
  write_stalled,  // the peer reads nothing of the pending output
};
const char* to_string(CloseReason reason);

class ConnectionHandler {
 public:
  // The transport's handshake is done. Once, before anything else.
  virtual void on_open() = 0;
  // Plain bytes, starting with those not consumed last time. Returns how many were consumed; the
  // rest is kept and delivered again with more bytes, or on redeliver(). Kept bytes beyond the
  // input limit stop the reading. The view is valid during the call only.
  virtual std::size_t on_bytes(std::string_view bytes) = 0;
  // The peer has finished sending (FIN or close_notify); writing still works.
  virtual void on_end_of_input() = 0;
  // The output has fallen below the low watermark after it was above the high one.
  virtual void on_drained() = 0;
  // Nothing has moved for a moment: what is held only for speed may be released. Called again after
  // each such moment; traffic may resume at any time.
  virtual void on_rest() {}
  // More has arrived than one read takes. A handler that only passes bytes on may have them moved
  // unread, by splice_from() of the receiving connection; `result` is that of the read. False: they
  // are read as usual.
  virtual bool on_bulk(Channel& /*from*/, IoResult& /*result*/) { return false; }
  // How many bytes the next read may take; the rest stays in the kernel, and so with the peer. 0 if
  // this call has paused reading.
  virtual std::size_t read_max() { return Loop::scratch_size; }
  // Whether a reset ends the connection even while reading is paused. Otherwise it is reported when
  // reading resumes, after what had arrived before it.
  virtual bool ends_on_unread_reset() const { return false; }
  // The peer has finished sending, while reading is paused: on_end_of_input() follows after at most
  // this many bytes. Called again with each change.
  virtual void on_end_ahead(std::size_t /*most*/) {}
  // The channel accepts no more of the pending output. Called again after a while, as long as that
  // is so and bytes_written() grows.
  virtual void on_output_waits() {}
  // The connection has ended, for this reason. The last call.
  virtual void on_closed(CloseReason reason) = 0;

 protected:
  ~ConnectionHandler() = default;
};

// What finish() does when everything is sent. `yes`: FIN, then wait for the peer's close, so that
// bytes that are still on their way do not cause a reset that destroys the last bytes sent.
// `no`: close at once; for a peer that has said it sends nothing more.
enum class Linger : std::uint8_t { yes, no };

struct ConnectionLimits {
  std::size_t output_high = 1024 * 1024;  // above it, above_high() and later on_drained()
  std::size_t output_low = 256 * 1024;
  std::size_t input_max = 64 * 1024;  // unconsumed bytes kept before reading stops
  Duration handshake = seconds(5);
  // How long the peer may be silent before its handshake begins, if that is longer: it may turn out
  // to speak clear text (tls::PermissiveTransport) and to have opened its connection early.
  Duration silence{};
  Duration linger = seconds(2);  // finish(): how long to wait for the peer's close
  // finish(): how long the peer may read nothing of what is left. Before that it is the handler's
  // business, which gets on_output_waits(). 0: forever.
  Duration write_stall = seconds(30);
  // How long data may stay unacknowledged, and an idle peer unresponsive, before its host is
  // considered dead. 0: the kernel's defaults, a quarter of an hour or forever.
  Duration peer_silence{};
};

enum class ConnectionPhase : std::uint8_t {
  idle,         // not started
  connecting,   // the channel's connect is under way
  handshaking,  // the transport's handshake is
  open,
  finishing,  // finish(): what is left is being sent
  lingering,  // FIN is out, waiting for the peer's
  killed,     // closed; the handler is told at the end of the turn
  closed,
};
enum class ConnectionEvent : std::uint8_t { connect, shake, opened, finish, sent, kill, end };
inline constexpr StateTable<ConnectionPhase, ConnectionEvent, 21> connection_life{{{
    {ConnectionPhase::idle, ConnectionEvent::connect, ConnectionPhase::connecting},
    {ConnectionPhase::idle, ConnectionEvent::shake, ConnectionPhase::handshaking},
    {ConnectionPhase::idle, ConnectionEvent::opened, ConnectionPhase::open},
    {ConnectionPhase::connecting, ConnectionEvent::shake, ConnectionPhase::handshaking},
    {ConnectionPhase::connecting, ConnectionEvent::opened, ConnectionPhase::open},
    {ConnectionPhase::handshaking, ConnectionEvent::opened, ConnectionPhase::open},
    {ConnectionPhase::open, ConnectionEvent::finish, ConnectionPhase::finishing},
    {ConnectionPhase::finishing, ConnectionEvent::sent, ConnectionPhase::lingering},
    {ConnectionPhase::idle, ConnectionEvent::kill, ConnectionPhase::killed},
    {ConnectionPhase::connecting, ConnectionEvent::kill, ConnectionPhase::killed},
    {ConnectionPhase::handshaking, ConnectionEvent::kill, ConnectionPhase::killed},
    {ConnectionPhase::open, ConnectionEvent::kill, ConnectionPhase::killed},
    {ConnectionPhase::finishing, ConnectionEvent::kill, ConnectionPhase::killed},
    {ConnectionPhase::lingering, ConnectionEvent::kill, ConnectionPhase::killed},
    {ConnectionPhase::idle, ConnectionEvent::end, ConnectionPhase::closed},
    {ConnectionPhase::connecting, ConnectionEvent::end, ConnectionPhase::closed},
    {ConnectionPhase::handshaking, ConnectionEvent::end, ConnectionPhase::closed},
    {ConnectionPhase::open, ConnectionEvent::end, ConnectionPhase::closed},
    {ConnectionPhase::finishing, ConnectionEvent::end, ConnectionPhase::closed},
    {ConnectionPhase::lingering, ConnectionEvent::end, ConnectionPhase::closed},
    {ConnectionPhase::killed, ConnectionEvent::end, ConnectionPhase::closed},
}}};

class Connection final : public Retirable, private ChannelHandler, private YieldingHook {
 public:
  // `transport` null: plain text. `connecting`: the channel's connect is under way;
  // `connect_timeout` bounds it.
  // The limits outlive the connection: thousands share them.
  Connection(Loop& loop, std::unique_ptr<Channel> channel, std::unique_ptr<Transport> transport,
             const ConnectionLimits& limits);
  Connection(Loop&, std::unique_ptr<Channel>, std::unique_ptr<Transport>,
             ConnectionLimits&&) = delete;
  ~Connection() override;

  // Starts; once. With `connecting`, first waits for the connect to finish, at most
  // `connect_timeout`.
  void start(ConnectionHandler& handler, bool connecting = false, Duration connect_timeout = {});
  // Another handler takes over (protocol detection has chosen). In the next turn it gets the kept
  // input, and on_end_of_input() if the input has ended, which was reported to the former handler.
  void set_handler(ConnectionHandler& handler);

  // Bytes to be sent. Append, then flush() or flush_soon().
  Buffer& output() { return output_; }
  // Sends output() followed by `bytes`, now; only what the channel does not accept is copied. For
  // bodies that are too large to be copied needlessly.
  void write_through(std::string_view bytes);
  // Moves what the other channel has received to this one without reading it. What is not accepted
  // stays in a pipe: above_high() until all of it has been sent, then on_drained(). False, with
  // nothing moved, if it has to be copied: TLS on this side, output already pending, no
  // descriptors.
  bool splice_from(Channel& from, IoResult& result);
  // Sends now.
  void flush();
  // Sends at the end of this turn, together with what the rest of the turn appends.
  void flush_soon() { loop_.at_turn_end(*this); }
  // How often output() has been written, whole or in part.
  std::uint32_t writes() const { return writes_; }
  // Bytes not yet taken by the channel.
  std::size_t unsent() const { return buffered() + (pipe_ ? pipe_->held() : 0); }
  bool above_high() const { return buffered() > limits_.output_high || pipe_; }
  // The channel accepted less than it was given, and has not become writable since.
  bool output_waits() const { return write_blocked_; }
  const ConnectionLimits& limits() const { return limits_; }

  // While paused, nothing is read (the kernel's window closes); reading resumes in the next turn.
  void pause_reading(bool paused);
  bool reading_paused() const { return paused_; }
  // Delivers kept input again, in the next turn; nothing is read before that. So a peer that sends
  // a lot cannot monopolise the loop.
  void redeliver();
  // Kept, unconsumed input.
  std::string_view kept_input() const { return input_.view(); }

  // Sends what is left, then FIN; ignores further input until the peer closes or `linger` has
  // passed; then on_closed(finished). No other callbacks follow. If input has already arrived, it
  // lingers in any case.
  void finish(Linger linger = Linger::yes);
  // FIN after what is left, input goes on (half-close).
  void end_output();
  // Closes at once, with RST if `reset`. No callbacks follow.
  void abort(bool reset = false);
  // The same for callers other than the owner (a codec): on_closed(aborted) follows at the end of
  // the turn, unless the owner calls abort() before.
  void kill(bool reset, CloseReason reason = CloseReason::aborted);

  bool open() const { return phase_.is(Phase::open); }
  bool closed() const { return phase_.is(Phase::closed) || phase_.is(Phase::killed); }
  // Everything is sent, FIN included; only the peer's close is waited for.
  bool lingering() const { return phase_.is(Phase::lingering); }
  // on_open() has been called.
  bool was_open() const { return was_open_; }
  std::string peer_address() const { return channel_->peer_address(); }
  bool connecting() const { return phase_.is(Phase::connecting) || phase_.is(Phase::handshaking); }
  bool secure() const { return cipher_ != nullptr; }
  bool input_ended() const { return input_ended_; }
  // Null in plain text.
  const Transport* transport() const {
    return cipher_ == nullptr ? nullptr : cipher_->transport.get();
  }
  Channel& channel() { return *channel_; }
  Loop& loop() { return loop_; }
  // errno of an io_error or connect_failed.
  int error() const { return error_; }
  // Bytes on the wire.
  std::uint64_t bytes_read() const { return bytes_read_; }
  std::uint64_t bytes_written() const { return bytes_written_; }
  // For whoever counts them: those of them that are new since the last call.
  struct Moved {
    std::uint64_t read;
    std::uint64_t written;
  };
  Moved take_moved() {
    return {bytes_read_ - std::exchange(counted_read_, bytes_read_),
            bytes_written_ - std::exchange(counted_written_, bytes_written_)};
  }

 private:
  // What only an encrypted connection has.
  struct Cipher {
    Cipher(std::unique_ptr<Transport> t, BufferPool& pool)
        : transport(std::move(t)), in(pool), out(pool) {}
    std::unique_ptr<Transport> transport;
    Buffer in;   // held while reading is paused
    Buffer out;  // to send
  };

  using Phase = ConnectionPhase;
  using Event = ConnectionEvent;

  void on_channel_ready(bool readable, bool writable, bool closed) override;
  void on_turn_end() override;
  void on_next_turn() override;
  void on_timer();
  void connect_finished();
  void begin_transport();
  void opened();
  std::size_t buffered() const {
    return output_.size() + (cipher_ == nullptr ? 0 : cipher_->out.size());
  }
  // Reads until the channel has no more, the handler pauses, or a turn's share is used up.
  void read_on();
  void look_again();
  void take_plain(std::string_view bytes);
  void take_sealed(std::string_view bytes);
  void open_sealed(std::string_view bytes);
  void continue_handshake(std::string_view& in);
  void deliver(std::string_view fresh);
  void end_of_input(bool clean);
  void transport_failed();
  // Sends output_, then `extra`; what the channel does not take stays in the buffers.
  void write_out(std::string_view extra);
  void send(Buffer& buffer, std::string_view extra);
  void send_pipe();
  void wait_for_room();
  void all_sent();
  void close_with(CloseReason reason, int error = 0);
  void write_failed();
  void hear_of_end();
  // Nothing moves and the channel takes no more. False when that was the end.
  bool watch_blocked();
  void bound_silence(bool bounded);
  // Whether input is only read and discarded until the peer's end.
  bool discards() const { return phase_.is(Phase::finishing) || phase_.is(Phase::lingering); }
  // The only way to end; `event`: end, or kill if the handler has not been told yet.
  void end_life(Event event, bool reset);
  bool reads_wanted() const;
  Transport& tls() { return *cipher_->transport; }

  Loop& loop_;
  std::unique_ptr<Channel> channel_;
  std::unique_ptr<Cipher> cipher_;  // null in plain text
  ConnectionHandler* handler_ = nullptr;
  const ConnectionLimits& limits_;
  Timer timer_;                 // connect, handshake, look_again, linger: one at a time
  Buffer input_;                // plain bytes that the handler has not consumed
  Buffer output_;               // plain bytes to send
  std::unique_ptr<Pipe> pipe_;  // goes before output_; only while it holds bytes
  std::uint64_t bytes_read_ = 0;
  std::uint64_t bytes_written_ = 0;
  std::uint64_t counted_read_ = 0;  // by take_moved()
  std::uint64_t counted_written_ = 0;
  std::uint32_t writes_ = 0;
  std::uint32_t seen_moved_ = 0;  // bytes moved when look_again() last looked; it may wrap
  std::int16_t error_ = 0;        // errno
  std::int16_t write_error_ = 0;  // told to the handler at the turn's end, not inside its own call
  Machine<connection_life> phase_{Phase::idle};
  CloseReason killed_for_ = CloseReason::aborted;
  // Independent facts, not a state: what the channel reported and what the handler requested.
  bool was_open_ : 1 = false;
  bool paused_ : 1 = false;
  bool readable_ : 1 = false;     // the channel may hold unread bytes
  bool peer_closed_ : 1 = false;  // the poller saw FIN: read on to the end
  bool input_ended_ : 1 = false;
  bool tell_end_ : 1 = false;  // the handler that has taken over does not know of it
  bool write_blocked_ : 1 = false;
  bool silence_allowed_ : 1 =
      false;  // the kernel's bound is lifted while the peer's window is shut
  bool was_high_ : 1 = false;
  bool fin_wanted_ : 1 = false;
  bool lingers_ : 1 = true;
  bool fin_sent_ : 1 = false;
  bool redeliver_ : 1 = false;
  bool bulk_ : 1 = false;  // so much came that the next bytes are better moved than copied
};

}  // namespace outrigger::net
